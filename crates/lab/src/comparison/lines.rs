use crate::Error;
use crate::registry::{HowMany, Line, Part, ScheduleSpec, reject_unused};
use crate::sampling::Sampling;

/// One point of a line: its schedule, and the name of that.
#[derive(Debug)]
pub struct Setting {
    name: String,
    schedule: ScheduleSpec,
}

/// The lines of a comparison or a benchmark, and the K at which they are run.
#[derive(Debug, Clone)]
pub struct Lines {
    lines: Vec<Line>,
    given: Option<Vec<u16>>,
    default: Vec<u16>,
}

impl From<Vec<Line>> for Lines {
    fn from(lines: Vec<Line>) -> Self {
        Self::new(lines)
    }
}

impl Lines {
    /// These lines, at K = 2, 4 and 8 where they take a K.
    pub fn new(lines: Vec<Line>) -> Self {
        Self { lines, given: None, default: vec![2, 4, 8] }
    }

    /// Sets K. At least one of the lines must take it.
    pub fn at(mut self, ks: Option<Vec<u16>>) -> Self {
        self.given = ks;
        self
    }

    /// Sets the default of K, for lines without a [given](Self::at) one.
    pub fn by_default_at(mut self, ks: &[u16]) -> Self {
        self.default = ks.to_vec();
        self
    }

    /// Whether one of the lines takes this part.
    pub fn take(&self, part: Part) -> bool {
        self.lines.iter().any(|line| line.unmasker().takes(part))
    }

    /// Rejects settings that none of the lines takes. With `order_is_used`, something else takes the order.
    ///
    /// # Errors
    /// [`Error::Missing`] without lines; [`Error::Parameter`] or [`Error::Unused`] for `k`; [`Error::Unused`] for a
    /// setting.
    pub fn check(&self, sampling: &Sampling, order_is_used: bool) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Err(Error::missing("strategies", "give at least one"));
        }
        let uses: Vec<_> = self.lines.iter().map(Line::uses).collect();
        if let Some(ks) = &self.given {
            if ks.is_empty() || ks.contains(&0) {
                return Err(Error::parameter("k", listed(ks), "expected numbers of at least 1"));
            }
            reject_unused(("k", listed(ks)), Part::Schedule, &uses)?;
        }
        sampling.check(&uses, order_is_used)
    }

    /// Every line with each of its settings, for texts of `length` tokens.
    ///
    /// # Errors
    /// Those of the schedules.
    pub fn points(&self, length: usize) -> Result<Vec<(&Line, Setting)>, Error> {
        let ks = self.given.as_ref().unwrap_or(&self.default);
        let mut points = Vec::new();
        for line in &self.lines {
            points.extend(settings(line, ks, length)?.into_iter().map(|setting| (line, setting)));
        }
        Ok(points)
    }
}

fn listed(ks: &[u16]) -> String {
    ks.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

impl Setting {
    /// The name, such as `K = 4`; empty if the strategy has no settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schedule.
    pub fn schedule(&self) -> &ScheduleSpec {
        &self.schedule
    }
}

/// The points of a line at these K, for texts of `length` tokens.
fn settings(line: &Line, ks: &[u16], length: usize) -> Result<Vec<Setting>, Error> {
    let named = |name: String, schedule: Result<ScheduleSpec, Error>| {
        Ok(Setting { name, schedule: schedule? })
    };
    if let Some(schedule) = line.schedule() {
        return Ok(vec![named(schedule.to_string(), Ok(schedule.clone()))?]);
    }
    let at_each_k = |schedule: &dyn Fn(usize) -> Result<ScheduleSpec, Error>| {
        ks.iter().map(|&k| named(format!("K = {k}"), schedule(k.into()))).collect()
    };
    match line.unmasker().how_many() {
        HowMany::One => Ok(vec![named("K = 1".into(), ScheduleSpec::per_step(1))?]),
        HowMany::Own => Ok(vec![named(String::new(), ScheduleSpec::per_step(1))?]),
        HowMany::Schedule => at_each_k(&ScheduleSpec::per_step),
        HowMany::Steps => at_each_k(&|k| ScheduleSpec::linear(length.div_ceil(k))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn line(text: &str) -> Result<Line, Error> {
        Registry::builtin().line(text)
    }

    fn points(text: &str) -> Vec<(String, String)> {
        let settings = settings(&line(text).unwrap(), &[2, 4], 10).unwrap();
        settings.iter().map(|s| (s.name().to_owned(), s.schedule().to_string())).collect()
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
    fn a_k_that_no_line_takes_is_rejected() {
        let check = |text: &str, ks: &[u16]| {
            let lines = Lines::new(vec![line(text).unwrap()]).at(Some(ks.to_vec()));
            lines.check(&Sampling::default(), false)
        };
        assert!(check("marginal", &[2]).is_ok());
        assert!(matches!(check("exact", &[2]), Err(Error::Unused { name: "k", .. })));
        assert!(matches!(check("marginal", &[0]), Err(Error::Parameter { name: "k", .. })));
    }
}
