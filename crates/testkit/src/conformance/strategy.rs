use std::sync::Arc;

use conjoint_core::draw::{Argmax, Categorical};
use conjoint_core::schedule::{
    Cosine, DreamLinear, EntropyBound, Factor, Linear, LladaEven, Progress, Threshold,
    TokensPerStep,
};
use conjoint_core::strategy::Strategy;
use conjoint_core::{Draw, Error as CoreError, Generator, Schedule};

use super::Violation;
use super::case::Case;
use super::flaws::flawed_rows;
use super::move_limit::MoveLimited;
use super::probe::{Probe, Rows};

/// A schedule and its name.
type Named = (String, Arc<dyn Schedule>);

/// Runs the suite with its defaults on a strategy; see [`Suite::strategy`].
///
/// # Errors
/// The first [`Violation`] found.
pub fn strategy<S: Into<Strategy>>(name: &str, make: impl Fn() -> S) -> Result<(), Violation> {
    Suite::default().strategy(name, make)
}

/// The conformance suite of strategies, and its settings.
#[derive(Clone)]
pub struct Suite {
    schedules: Vec<Named>,
    moves_per_position: usize,
    extra_forwards: bool,
}

impl Default for Suite {
    /// The schedules of `conjoint-core`, and one move for each position to generate.
    fn default() -> Self {
        Self { schedules: Vec::new(), moves_per_position: 1, extra_forwards: false }
    }
}

/// The division of the positions to generate into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocks {
    One,
    Of(usize),
    /// Of 2, each opened when half of the previous one is known.
    Overlapping,
}

impl Blocks {
    const ALL: [Self; 4] = [Self::One, Self::Of(1), Self::Of(2), Self::Overlapping];

    fn set(self, generator: Generator) -> Result<Generator, CoreError> {
        match self {
            Self::One => Ok(generator),
            Self::Of(length) => generator.block_length(length),
            Self::Overlapping => generator.block_length(2)?.open_next_block_at(0.5),
        }
    }
}

impl Suite {
    /// Adds a schedule. If it has a total number of steps, use 8, which divide over the blocks.
    pub fn schedule(mut self, name: &str, schedule: impl Schedule + 'static) -> Self {
        self.schedules.push((name.to_owned(), Arc::new(schedule)));
        self
    }

    /// Sets how many moves a strategy may make for each position to generate. The default is 1.
    ///
    /// A run with more moves counts as endless. Strategies that remask positions need more than 1.
    pub fn moves_per_position(self, moves: usize) -> Self {
        Self { moves_per_position: moves, ..self }
    }

    /// Allows more forwards than steps that reveal.
    ///
    /// A strategy needs this if it [queries rows with masked positions](conjoint_core::StepRequest::query_with_masked), or
    /// if a step may reveal nothing.
    pub fn extra_forwards(self) -> Self {
        Self { extra_forwards: true, ..self }
    }

    /// Checks a strategy: an unmasker, or an unmasker with a policy and a reviser.
    ///
    /// `make` creates the strategy for each run. A strategy that refines must use a
    /// [`ProbeLayer`](super::ProbeLayer).
    ///
    /// The suite runs every schedule that the strategy takes, in one block, in short blocks and in
    /// overlapping ones, with sampled and argmax draws. The rows are random, tied, sparse, with the mask
    /// and a banned id first, or of a vocabulary of one token. On random rows it also runs with an
    /// end-of-sequence id, on top-K rows, and with settings for each sequence. The canvases have
    /// different lengths, with and without prompts and holes.
    ///
    /// It checks that
    /// - every step with a forward reveals a token, and the run ends within its
    ///   [moves](Self::moves_per_position);
    /// - the mask, banned ids and unknown ids are never revealed, and given tokens stay;
    /// - the reported events give the output;
    /// - the same seed gives the same output, in batches of 1, 2 and 16 and alone;
    /// - a row with NaN or +∞, or without a possible token, is an error that names its sequence and
    ///   position.
    ///
    /// # Errors
    /// The first [`Violation`] found. If the strategy takes no schedule, the reason is returned.
    pub fn strategy<S: Into<Strategy>>(
        &self,
        name: &str,
        make: impl Fn() -> S,
    ) -> Result<(), Violation> {
        let failed = |e| Violation::failed(name, e);
        let make =
            || make().into().map_unmasker(|inner| MoveLimited::new(inner, self.moves_per_position));
        let mut tested = Vec::new();
        let mut rejection = None;
        for (schedule_name, schedule) in self.all_schedules().map_err(failed)? {
            let set = |generator: Generator| match &schedule {
                Some(schedule) => generator.schedule(schedule.clone()),
                None => generator,
            };
            let case = Case::new(name.to_owned(), Probe::new(Rows::Plain), |g| Ok(set(g)))?;
            match case.check_settings(make()) {
                Err(error @ (CoreError::Combination { .. } | CoreError::NeedsSteps { .. })) => {
                    rejection = Some(error);
                    continue;
                }
                other => other.map_err(failed)?,
            }
            let run = format!("{name}, {schedule_name}");
            let is_finite = schedule.as_ref().is_some_and(|schedule| schedule.steps().is_some());
            self.check(&run, is_finite, &set, &make)?;
            tested.push(schedule);
        }
        let Some(schedule) = tested.pop() else {
            // Every schedule was rejected, so there is a reason.
            return Err(failed(rejection.unwrap_or(CoreError::NothingMasked("no schedule"))));
        };
        let several: Arc<dyn Schedule> = match schedule.as_ref().and_then(|s| s.steps()) {
            Some(_) => Arc::new(Linear::new(2).map_err(failed)?),
            None => Arc::new(TokensPerStep::new(3).map_err(failed)?),
        };
        let set = |generator: Generator| match &schedule {
            Some(_) => generator.schedule(several.clone()),
            None => generator,
        };
        flawed_rows(name, &set, make)
    }

    /// Runs every block length, kind of rows and draw, and the further settings.
    fn check(
        &self,
        run: &str,
        is_finite: bool,
        set: &dyn Fn(Generator) -> Generator,
        make: &impl Fn() -> Strategy,
    ) -> Result<(), Violation> {
        let draws: [(&str, Arc<dyn Draw>); 2] =
            [("categorical", Arc::new(Categorical)), ("argmax", Arc::new(Argmax))];
        let case = |run: String, probe, set: &dyn Fn(Generator) -> Result<Generator, CoreError>| {
            Case::new(run, probe, set).map(|case| case.extra_forwards(self.extra_forwards))
        };
        for blocks in Blocks::ALL {
            if blocks == Blocks::Overlapping && (is_finite || !overlaps(set, make)) {
                continue;
            }
            for (draw_name, draw) in &draws {
                let set = |generator: Generator| blocks.set(set(generator).draw(draw.clone()));
                let run = |what: &str| format!("{run}, {blocks:?}, {what}, {draw_name}");
                for rows in Rows::ALL {
                    let run = run(&format!("{rows:?} rows"));
                    case(run, Probe::new(rows), &set)?.check(make)?;
                }
                let stops = |generator: Generator| Ok(set(generator)?.stop_at_eos(true));
                case(run("stopping"), Probe::new(Rows::Plain), &stops)?.check(make)?;
                let top_k = Probe::new(Rows::Plain).map(Probe::top_k);
                case(run("top-K rows"), top_k, &set)?.check(make)?;
                case(run("own settings"), Probe::new(Rows::Plain), &set)?
                    .own_settings()
                    .check(make)?;
            }
        }
        Ok(())
    }

    fn all_schedules(&self) -> Result<Vec<NamedSchedule>, CoreError> {
        let built_in: [(&str, Arc<dyn Schedule>); 12] = [
            ("1 token per step", Arc::new(TokensPerStep::new(1)?)),
            ("3 tokens per step", Arc::new(TokensPerStep::new(3)?)),
            ("a quota of 0", Arc::new(FixedQuota(0))),
            ("a quota of usize::MAX", Arc::new(FixedQuota(usize::MAX))),
            ("Dream's linear schedule", Arc::new(DreamLinear::new(8)?)),
            ("LLaDA's even schedule", Arc::new(LladaEven::new(8)?)),
            ("linear schedule", Arc::new(Linear::new(8)?)),
            ("cosine schedule", Arc::new(Cosine::new(8)?)),
            ("cosine schedule, floor rule", Arc::new(Cosine::floor(8)?)),
            ("threshold", Arc::new(Threshold::new(0.5)?)),
            ("factor", Arc::new(Factor::default())),
            ("entropy bound", Arc::new(EntropyBound::new(1.0)?)),
        ];
        let built_in = built_in.into_iter().map(|(name, schedule)| (name.to_owned(), schedule));
        let all = built_in.chain(self.schedules.iter().cloned());
        let all = all.map(|(name, schedule)| (name, Some(schedule)));
        Ok([("no schedule".to_owned(), None)].into_iter().chain(all).collect())
    }
}

/// A schedule by its name, or no schedule.
type NamedSchedule = (String, Option<Arc<dyn Schedule>>);

/// Whether the strategy takes overlapping blocks. A policy with a total number of steps does not.
fn overlaps(set: &dyn Fn(Generator) -> Generator, make: &impl Fn() -> Strategy) -> bool {
    let check = || {
        let generator = set(Generator::new(Probe::new(Rows::Plain)?)).unmasker(make());
        let canvases = Probe::new(Rows::Plain)?.canvases()?;
        Blocks::Overlapping.set(generator)?.check(&canvases)
    };
    !matches!(check(), Err(CoreError::Parameter { .. }))
}

/// A schedule with a fixed quota, which the generator has to clamp to the masked positions.
struct FixedQuota(usize);

impl Schedule for FixedQuota {
    fn plan(&self, _: &Progress) -> usize {
        self.0
    }
}
