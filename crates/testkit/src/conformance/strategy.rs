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
use super::probe::{Probe, Rows};
use super::watch::Watched;

/// A schedule and what it is called.
type Named = (String, Arc<dyn Schedule>);

/// Puts a strategy through the suite with its defaults; see [`Suite::strategy`].
///
/// # Errors
/// The first [`Violation`] found.
pub fn strategy<S: Into<Strategy>>(name: &str, make: impl Fn() -> S) -> Result<(), Violation> {
    Suite::default().strategy(name, make)
}

/// The conformance suite of strategies, and what it may be told.
#[derive(Clone)]
pub struct Suite {
    schedules: Vec<Named>,
    moves_per_position: usize,
    spends_more: bool,
}

impl Default for Suite {
    /// The schedules of `conjoint-core`, and one move for each position to generate.
    fn default() -> Self {
        Self { schedules: Vec::new(), moves_per_position: 1, spends_more: false }
    }
}

/// How the positions to generate are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocks {
    One,
    Of(usize),
    /// Of 2, each opened when half of the one before is known.
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
    /// Tests with one more schedule. A schedule with a total number of steps should have 8, so that
    /// they divide over the blocks.
    pub fn schedule(mut self, name: &str, schedule: impl Schedule + 'static) -> Self {
        self.schedules.push((name.to_owned(), Arc::new(schedule)));
        self
    }

    /// How many moves a strategy may make for each position to generate before it is taken to be
    /// endless. More than 1 is for strategies that mask positions again.
    pub fn moves_per_position(self, moves: usize) -> Self {
        Self { moves_per_position: moves, ..self }
    }

    /// Lets a strategy spend forwards beyond one for each step that reveals: one that
    /// [hides positions](conjoint_core::StepRequest::query_with_masked) or reveals nothing in a step.
    pub fn extra_forwards(self) -> Self {
        Self { spends_more: true, ..self }
    }

    /// Puts a strategy (an unmasker, or one with a policy and a reviser) through every schedule that it takes, in one block,
    /// in short blocks and in overlapping ones, on rows that are plain,
    /// tied, sparse, tempting (the mask and a banned id lead) or of a one-token vocabulary, with
    /// sampled and argmax draws; and, on plain rows, stopping at an end-of-sequence id, on top-K rows, and with settings
    /// for each sequence. The canvases are of different lengths, with and without prompts and holes.
    ///
    /// `make` makes the strategy anew for each run. One that refines does so with a
    /// [`ProbeLayer`](super::ProbeLayer).
    ///
    /// Checked are: every step with a forward reveals a token; it ends within its
    /// [moves](Self::moves_per_position); the mask, banned and unknown ids are never revealed;
    /// given tokens stay; the events reported rebuild the output; the same seed gives the same output,
    /// in batches of 1, 2 and 16 and alone; a row with NaN or +∞, and a row without a possible
    /// token, is an error that names its sequence and position.
    ///
    /// # Errors
    /// The first [`Violation`] found. A strategy that no schedule goes with fails with the reason.
    pub fn strategy<S: Into<Strategy>>(
        &self,
        name: &str,
        make: impl Fn() -> S,
    ) -> Result<(), Violation> {
        let failed = |e| Violation::failed(name, e);
        let make = || make().into().around(|inner| Watched::new(inner, self.moves_per_position));
        let mut tested = Vec::new();
        let mut refused = None;
        for (schedule_name, schedule) in self.all_schedules().map_err(failed)? {
            let set = |generator: Generator| match &schedule {
                Some(schedule) => generator.schedule(schedule.clone()),
                None => generator,
            };
            let alone = Case::new(name.to_owned(), Probe::new(Rows::Plain), |g| Ok(set(g)))?;
            match alone.allows(make()) {
                Err(error @ (CoreError::Combination { .. } | CoreError::NeedsSteps { .. })) => {
                    refused = Some(error);
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
            // Every schedule was refused, so there is a reason.
            return Err(failed(refused.unwrap_or(CoreError::NothingMasked("no schedule"))));
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

    /// Every block length, kind of rows and draw, and the settings beside.
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
            Case::new(run, probe, set).map(|case| case.spends_more(self.spends_more))
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
                let condensed = Probe::new(Rows::Plain).map(Probe::condensed);
                case(run("top-K rows"), condensed, &set)?.check(make)?;
                case(run("own settings"), Probe::new(Rows::Plain), &set)?.each().check(make)?;
            }
        }
        Ok(())
    }

    fn all_schedules(&self) -> Result<Vec<NamedSchedule>, CoreError> {
        let built_in: [(&str, Arc<dyn Schedule>); 12] = [
            ("1 token per step", Arc::new(TokensPerStep::new(1)?)),
            ("3 tokens per step", Arc::new(TokensPerStep::new(3)?)),
            ("a schedule that wants none", Arc::new(Careless(0))),
            ("a schedule that wants more than there are", Arc::new(Careless(usize::MAX))),
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

/// A schedule by its name; none leaves it out.
type NamedSchedule = (String, Option<Arc<dyn Schedule>>);

/// Whether a strategy whose policy may have a total of steps takes overlapping blocks.
fn overlaps(set: &dyn Fn(Generator) -> Generator, make: &impl Fn() -> Strategy) -> bool {
    let check = || {
        let generator = set(Generator::new(Probe::new(Rows::Plain)?)).unmasker(make());
        let canvases = Probe::new(Rows::Plain)?.canvases()?;
        Blocks::Overlapping.set(generator)?.check(&canvases)
    };
    !matches!(check(), Err(CoreError::Parameter { .. }))
}

/// A schedule that wants this many tokens, whatever is left. It is for the generator to keep the
/// answer within reason.
struct Careless(usize);

impl Schedule for Careless {
    fn plan(&self, _: &Progress) -> usize {
        self.0
    }
}
