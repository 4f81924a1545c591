use std::sync::Arc;

use conjoint_core::draw::{Argmax, Categorical};
use conjoint_core::schedule::{
    Cosine, DreamLinear, EntropyBound, Factor, Linear, LladaEven, Progress, Threshold,
    TokensPerStep,
};
use conjoint_core::unmasker::Strategy;
use conjoint_core::{Draw, Error as CoreError, Generator, Schedule};

use super::Violation;
use super::case::Case;
use super::flaws::flawed_rows;
use super::probe::Rows;
use super::watch::Watched;

/// A schedule and what it is called.
type Named = (String, Arc<dyn Schedule>);

/// Puts a strategy through the suite with its defaults; see [`Suite::strategy`].
///
/// # Errors
/// The first [`Violation`] found.
pub fn strategy(name: &str, make: impl Fn() -> Box<dyn Strategy>) -> Result<(), Violation> {
    Suite::default().strategy(name, make)
}

/// The conformance suite of strategies, and what it may be told.
#[derive(Clone)]
pub struct Suite {
    schedules: Vec<Named>,
    moves_per_position: usize,
    spends_more: bool,
    needs_steps: bool,
}

impl Default for Suite {
    /// The schedules of `conjoint-core`, and one move for each position to generate.
    fn default() -> Self {
        let (moves_per_position, spends_more, needs_steps) = (1, false, false);
        Self { schedules: Vec::new(), moves_per_position, spends_more, needs_steps }
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
    /// [hides positions](conjoint_core::Before::ask_without) or [waits](conjoint_core::Next::Wait).
    pub fn extra_forwards(self) -> Self {
        Self { spends_more: true, ..self }
    }

    /// Tests with the schedules that have a total number of steps, for a strategy that
    /// [needs one](conjoint_core::schedule::Progress::total).
    pub fn needs_steps(self) -> Self {
        Self { needs_steps: true, ..self }
    }

    /// Puts a strategy through every schedule, with and without blocks, on rows that are plain,
    /// tied, sparse, tempting (the mask and a banned id lead) or of a one-token vocabulary, with
    /// sampled and argmax draws. The canvases are of different lengths, with and without prompts
    /// and holes.
    ///
    /// `make` makes the strategy anew for each run. One that refines does so with a
    /// [`ProbeLayer`](super::ProbeLayer).
    ///
    /// Checked are: every step with a forward reveals a token; it ends within its
    /// [moves](Self::moves_per_position); the mask, banned and unknown ids are never revealed;
    /// given tokens stay; the events told rebuild the output; the same seed gives the same output,
    /// in batches of 1, 2 and 16 and alone; a row with NaN or +∞, and a row without a possible
    /// token, is an error that names its sequence and position.
    ///
    /// # Errors
    /// The first [`Violation`] found.
    pub fn strategy(
        &self,
        name: &str,
        make: impl Fn() -> Box<dyn Strategy>,
    ) -> Result<(), Violation> {
        let draws: [(&str, Arc<dyn Draw>); 2] =
            [("categorical", Arc::new(Categorical)), ("argmax", Arc::new(Argmax))];
        let make = || Watched::new(make(), self.moves_per_position).boxed();
        for (schedule_name, schedule) in
            self.all_schedules().map_err(|e| Violation::failed(name, e))?
        {
            for block in [None, Some(1), Some(2)] {
                for rows in Rows::ALL {
                    for (draw_name, draw) in &draws {
                        let run = format!(
                            "{name}, {schedule_name}, block {block:?}, {rows:?} rows, {draw_name}"
                        );
                        let set = |generator: Generator| {
                            let set = generator.schedule(schedule.clone()).draw(draw.clone());
                            block.map_or(Ok(set.clone()), |length| set.block_length(length))
                        };
                        Case::new(run, rows, set)?.spends_more(self.spends_more).check(&make)?;
                    }
                }
            }
        }
        let failed = |e| Violation::failed(name, e);
        let three: Arc<dyn Schedule> = match self.needs_steps {
            true => Arc::new(Linear::new(2).map_err(failed)?),
            false => Arc::new(TokensPerStep::new(3).map_err(failed)?),
        };
        flawed_rows(name, three, make)
    }

    fn all_schedules(&self) -> Result<Vec<Named>, CoreError> {
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
        Ok(all.filter(|(_, s)| !self.needs_steps || s.steps().is_some()).collect())
    }
}

/// A schedule that wants this many tokens, whatever is left. It is for the generator to keep the
/// answer within reason.
struct Careless(usize);

impl Schedule for Careless {
    fn plan(&self, _: &Progress) -> usize {
        self.0
    }
}
