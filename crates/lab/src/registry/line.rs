use super::{CacheSpec, Part, ReviserSpec, ScheduleSpec, UnmaskerSpec, Uses, reject_unused};
use crate::Error;

/// One line of a comparison: a strategy at several K, or with a schedule of its own.
///
/// [`Registry::line`](super::Registry::line) parses it from `marginal`, `marginal+threshold:0.9`, `joint+klass/wino`,
/// `p2:eta=2`, `joint@dual` or the preset `fast`.
#[derive(Debug, Clone)]
pub struct Line {
    unmasker: UnmaskerSpec,
    schedule: Option<ScheduleSpec>,
    reviser: Option<ReviserSpec>,
    cache: Option<CacheSpec>,
}

impl Line {
    /// A strategy at each K of the comparison, if it takes a K.
    pub fn new(unmasker: UnmaskerSpec) -> Self {
        Self { unmasker, schedule: None, reviser: None, cache: None }
    }

    /// Sets a schedule of its own.
    ///
    /// # Errors
    /// [`Error::Name`] if the strategy does not take this schedule.
    pub fn scheduled(mut self, schedule: ScheduleSpec) -> Result<Self, Error> {
        let alone = [Uses { unmasker: &self.unmasker, scheduled: false }];
        reject_unused(("+", &schedule), Part::Schedule, &alone).map_err(|error| match error {
            Error::Unused { reason, .. } => {
                Error::Name(format!("'+{schedule}' would have no effect: {reason}"))
            }
            error => error,
        })?;
        self.unmasker.check(&schedule).map_err(|error| match error {
            Error::Parameter { reason, .. } => Error::Name(reason),
            error => error,
        })?;
        self.schedule = Some(schedule);
        Ok(self)
    }

    /// Sets a reviser.
    pub fn revised(mut self, reviser: ReviserSpec) -> Self {
        self.reviser = Some(reviser);
        self
    }

    /// Sets a cache of its own.
    #[must_use]
    pub fn cached(mut self, cache: CacheSpec) -> Self {
        self.cache = Some(cache);
        self
    }

    /// The strategy.
    pub fn unmasker(&self) -> &UnmaskerSpec {
        &self.unmasker
    }

    /// Its own schedule, if it has one.
    pub fn schedule(&self) -> Option<&ScheduleSpec> {
        self.schedule.as_ref()
    }

    /// Its reviser, if it has one.
    pub fn reviser(&self) -> Option<&ReviserSpec> {
        self.reviser.as_ref()
    }

    /// Its own cache, if it has one.
    pub fn cache(&self) -> Option<&CacheSpec> {
        self.cache.as_ref()
    }

    /// The strategy, and whether the line sets its schedule.
    pub fn uses(&self) -> Uses<'_> {
        Uses { unmasker: &self.unmasker, scheduled: self.schedule.is_some() }
    }

    /// The line's name in a legend. It has the name of the schedule without parameters: they belong to the point.
    pub fn name(&self) -> String {
        let name = match &self.schedule {
            None => self.unmasker.to_string(),
            Some(schedule) => format!("{}+{}", self.unmasker, schedule.name()),
        };
        let name = match &self.reviser {
            None => name,
            Some(reviser) => format!("{name}/{reviser}"),
        };
        match &self.cache {
            None => name,
            Some(cache) => format!("{name}@{cache}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{PRESETS, Registry, UnmaskerEntry};

    fn line(text: &str) -> Result<Line, Error> {
        Registry::builtin().line(text)
    }

    #[test]
    fn presets_are_lines() {
        for preset in PRESETS {
            let (own, of) = (line(preset.name).unwrap(), line(preset.line).unwrap());
            let schedule = |line: &Line| line.schedule().unwrap().to_string();
            assert_eq!((own.name(), schedule(&own)), (of.name(), schedule(&of)));
            assert!(line(&format!("{}/rcr", preset.name)).is_err());
        }
        let entry = UnmaskerEntry::new("fast", "one token per forward", |_, _| {
            Ok(conjoint::unmasker::ExactSequential::default())
        });
        let own = Registry::builtin().with_unmasker(entry).line("fast").unwrap();
        assert_eq!((own.name().as_str(), own.schedule().is_none()), ("fast", true));
    }

    #[test]
    fn lines_have_names() {
        let name = |text: &str| line(text).unwrap().name();
        assert_eq!(name("confidence:filtered"), "confidence:filtered");
        assert_eq!(name("marginal+threshold:0.8"), "marginal+threshold");
        for bad in ["marginal+soon", "magic", "wino+per-step:2", "exact+per-step:1", "p2+threshold"]
        {
            assert!(line(bad).is_err(), "{bad}");
        }
        assert!(line("p2+cosine:4").is_ok() && line("klass+threshold").is_ok());
        assert_eq!(name("joint+klass:0.8/wino:0.7"), "joint+klass/wino:0.7");
        assert_eq!(name("marginal/rcr"), "marginal/rcr");
        assert_eq!(name("joint@prefix:every=8"), "joint@prefix:every=8");
        assert_eq!(name("joint+klass/wino@none"), "joint+klass/wino@none");
        assert!(line("fast@dual").unwrap().name().ends_with("@dual"));
        assert!(line("joint@soon").is_err() && line("joint@").is_err());
        assert!(line("marginal+klass/nothing").is_err() && line("slow-fast+klass").is_err());
    }
}
