use std::str::FromStr;

use anyhow::Result;

use crate::flag::BadFlag;
use crate::registry::{Part, Portions, ScheduleName, UnmaskerName, Uses, refuse_unused};
use crate::sampling::SamplingArguments;

/// One line of a comparison: a strategy at several K, or with a schedule of its own, as `marginal`,
/// `marginal+threshold:0.9` or `p2:eta=2`.
#[derive(Debug, Clone)]
pub struct Line {
    unmasker: UnmaskerName,
    schedule: Option<ScheduleName>,
}

/// One point of a line: its schedule and how that is called.
#[derive(Debug)]
pub struct Setting {
    name: String,
    schedule: ScheduleName,
}

/// The lines of a comparison, as flags gave them.
pub struct Lines<'a> {
    /// The flag that names them.
    pub flag: &'static str,
    pub lines: &'a [Line],
    /// The flag of the K.
    pub k_flag: &'static str,
    pub given: Option<&'a [u16]>,
    /// The K where none are given.
    pub default: &'a [u16],
}

impl Lines<'_> {
    /// Refuses flags that none of the lines takes; the order may be used apart from them.
    pub fn check(&self, sampling: &SamplingArguments, order_is_used: bool) -> Result<(), BadFlag> {
        let uses: Vec<_> = self.lines.iter().map(Line::uses).collect();
        if let Some(ks) = self.given {
            let ks: Vec<_> = ks.iter().map(u16::to_string).collect();
            refuse_unused((self.k_flag, ks.join(",")), Part::Schedule, &uses)?;
        }
        sampling.check(&uses, order_is_used)
    }

    /// Every line with each of its settings, for texts of `length` tokens.
    pub fn points(&self, length: usize) -> Result<Vec<(&Line, Setting)>> {
        let mut points = Vec::new();
        for line in self.lines {
            let settings = line.settings(self.given.unwrap_or(self.default), length)?;
            points.extend(settings.into_iter().map(|setting| (line, setting)));
        }
        Ok(points)
    }
}

impl Setting {
    /// Such as `K = 4`; empty where a strategy has no settings.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    pub fn schedule(&self) -> &ScheduleName {
        &self.schedule
    }
}

impl Line {
    pub fn new(unmasker: UnmaskerName) -> Self {
        Self { unmasker, schedule: None }
    }

    pub fn unmasker(&self) -> &UnmaskerName {
        &self.unmasker
    }

    fn uses(&self) -> Uses<'_> {
        Uses { unmasker: &self.unmasker, scheduled: self.schedule.is_some() }
    }

    /// The line's name in the legend. Lines of one strategy with different schedules are one line: the
    /// schedule's parameter is the point's.
    pub fn name(&self) -> String {
        match &self.schedule {
            None => self.unmasker.to_string(),
            Some(schedule) => format!("{}+{}", self.unmasker, schedule.name()),
        }
    }

    /// The points of the line at these K, for texts of `length` tokens.
    fn settings(&self, ks: &[u16], length: usize) -> Result<Vec<Setting>> {
        let named = |name: String, schedule: Result<ScheduleName, String>| {
            Ok(Setting { name, schedule: schedule.map_err(anyhow::Error::msg)? })
        };
        if let Some(schedule) = &self.schedule {
            return Ok(vec![Setting { name: schedule.to_string(), schedule: schedule.clone() }]);
        }
        match self.unmasker.portions() {
            Portions::One => Ok(vec![named("K = 1".into(), ScheduleName::per_step(1))?]),
            Portions::Own => Ok(vec![named(String::new(), ScheduleName::per_step(1))?]),
            Portions::Schedule => ks
                .iter()
                .map(|&k| named(format!("K = {k}"), ScheduleName::per_step(k.into())))
                .collect(),
            Portions::Steps => {
                let steps = |k: u16| ScheduleName::linear(length.div_ceil(k.into()));
                ks.iter().map(|&k| named(format!("K = {k}"), steps(k))).collect()
            }
        }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((unmasker, schedule)) = text.split_once('+') else {
            return Ok(Self::new(text.parse()?));
        };
        let line = Self { unmasker: unmasker.parse()?, schedule: Some(schedule.parse()?) };
        let alone = [Uses { unmasker: &line.unmasker, scheduled: false }];
        refuse_unused(("+", schedule), Part::Schedule, &alone).map_err(|e| e.to_string())?;
        line.schedule.iter().try_for_each(|schedule| line.unmasker.check(schedule))?;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(line: &str) -> Vec<(String, String)> {
        let line: Line = line.parse().unwrap();
        let settings = line.settings(&[2, 4], 10).unwrap();
        settings.iter().map(|s| (s.name(), s.schedule().to_string())).collect()
    }

    #[test]
    fn each_kind_of_strategy_has_its_points() {
        let pair = |name: &str, schedule: &str| (name.to_owned(), schedule.to_owned());
        assert_eq!(points("exact"), [pair("K = 1", "per-step:1")]);
        assert_eq!(points("wino"), [pair("", "per-step:1")]);
        assert_eq!(points("marginal"), [pair("K = 2", "per-step:2"), pair("K = 4", "per-step:4")]);
        assert_eq!(points("p2"), [pair("K = 2", "linear:5"), pair("K = 4", "linear:3")]);
        assert_eq!(points("marginal+threshold:0.8"), [pair("threshold:0.8", "threshold:0.8")]);
    }

    #[test]
    fn names_tell_lines_apart() {
        let name = |text: &str| text.parse::<Line>().unwrap().name();
        assert_eq!(name("confidence:filtered"), "confidence:filtered");
        assert_eq!(name("marginal+threshold:0.8"), "marginal+threshold");
        for bad in ["marginal+soon", "magic", "wino+per-step:2", "exact+per-step:1", "p2+threshold"]
        {
            assert!(bad.parse::<Line>().is_err(), "{bad}");
        }
        assert!("p2+cosine:4".parse::<Line>().is_ok() && "klass+threshold".parse::<Line>().is_ok());
    }
}
