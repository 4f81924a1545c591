use crate::Error;
use crate::registry::{Part, Portions, ScheduleSpec, UnmaskerSpec, Uses, refuse_unused};
use crate::sampling::Sampling;

/// One line of a comparison: a strategy at several K, or with a schedule of its own, as `marginal`,
/// `marginal+threshold:0.9` or `p2:eta=2`. [`Registry::line`](crate::registry::Registry::line) parses it.
#[derive(Debug, Clone)]
pub struct Line {
    unmasker: UnmaskerSpec,
    schedule: Option<ScheduleSpec>,
}

/// One point of a line: its schedule and how that is called.
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
    /// These lines, at K = 2, 4 and 8 where they have that choice.
    pub fn new(lines: Vec<Line>) -> Self {
        Self { lines, given: None, default: vec![2, 4, 8] }
    }

    /// At these K, which one of the lines must then take.
    pub fn at(mut self, ks: Option<Vec<u16>>) -> Self {
        self.given = ks;
        self
    }

    /// At these K unless others are [given](Self::at).
    pub fn by_default_at(mut self, ks: &[u16]) -> Self {
        self.default = ks.to_vec();
        self
    }

    /// Whether one of them is made of this.
    pub fn take(&self, part: Part) -> bool {
        self.lines.iter().any(|line| line.unmasker.takes(part))
    }

    /// Rejects settings that none of the lines takes; the order may be used apart from them.
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
                return Err(Error::parameter("k", shown(ks), "expected numbers of at least 1"));
            }
            refuse_unused(("k", shown(ks)), Part::Schedule, &uses)?;
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
            points.extend(line.settings(ks, length)?.into_iter().map(|setting| (line, setting)));
        }
        Ok(points)
    }
}

fn shown(ks: &[u16]) -> String {
    ks.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

impl Setting {
    /// Such as `K = 4`; empty where a strategy has no settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its schedule.
    pub fn schedule(&self) -> &ScheduleSpec {
        &self.schedule
    }
}

impl Line {
    /// A strategy at each K of the comparison, where it has such a choice.
    pub fn new(unmasker: UnmaskerSpec) -> Self {
        Self { unmasker, schedule: None }
    }

    /// With a schedule of its own.
    ///
    /// # Errors
    /// [`Error::Unused`] or [`Error::Name`] if the strategy does not go with it.
    pub fn scheduled(mut self, schedule: ScheduleSpec) -> Result<Self, Error> {
        let alone = [Uses { unmasker: &self.unmasker, scheduled: false }];
        refuse_unused(("+", &schedule), Part::Schedule, &alone)?;
        self.unmasker.check(&schedule).map_err(|error| match error {
            Error::Parameter { reason, .. } => Error::Name(reason),
            error => error,
        })?;
        self.schedule = Some(schedule);
        Ok(self)
    }

    /// The strategy.
    pub fn unmasker(&self) -> &UnmaskerSpec {
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
    fn settings(&self, ks: &[u16], length: usize) -> Result<Vec<Setting>, Error> {
        let named = |name: String, schedule: Result<ScheduleSpec, Error>| {
            Ok(Setting { name, schedule: schedule? })
        };
        if let Some(schedule) = &self.schedule {
            return Ok(vec![Setting { name: schedule.to_string(), schedule: schedule.clone() }]);
        }
        match self.unmasker.portions() {
            Portions::One => Ok(vec![named("K = 1".into(), ScheduleSpec::per_step(1))?]),
            Portions::Own => Ok(vec![named(String::new(), ScheduleSpec::per_step(1))?]),
            Portions::Schedule => ks
                .iter()
                .map(|&k| named(format!("K = {k}"), ScheduleSpec::per_step(k.into())))
                .collect(),
            Portions::Steps => {
                let steps = |k: u16| ScheduleSpec::linear(length.div_ceil(k.into()));
                ks.iter().map(|&k| named(format!("K = {k}"), steps(k))).collect()
            }
        }
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
        let settings = line(text).unwrap().settings(&[2, 4], 10).unwrap();
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
    fn names_tell_lines_apart() {
        let name = |text: &str| line(text).unwrap().name();
        assert_eq!(name("confidence:filtered"), "confidence:filtered");
        assert_eq!(name("marginal+threshold:0.8"), "marginal+threshold");
        for bad in ["marginal+soon", "magic", "wino+per-step:2", "exact+per-step:1", "p2+threshold"]
        {
            assert!(line(bad).is_err(), "{bad}");
        }
        assert!(line("p2+cosine:4").is_ok() && line("klass+threshold").is_ok());
    }

    #[test]
    fn a_k_that_no_line_takes_is_refused() {
        let check = |text: &str, ks: &[u16]| {
            let lines = Lines::new(vec![line(text).unwrap()]).at(Some(ks.to_vec()));
            lines.check(&Sampling::default(), false)
        };
        assert!(check("marginal", &[2]).is_ok());
        assert!(matches!(check("exact", &[2]), Err(Error::Unused { name: "k", .. })));
        assert!(matches!(check("marginal", &[0]), Err(Error::Parameter { name: "k", .. })));
    }
}
