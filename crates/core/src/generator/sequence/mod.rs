use std::ops::Range;
use std::sync::Arc;

use super::config::Config;
use super::output::{FinishReason, Output};
use super::resolve::Roles;
use crate::blocks::Blocks;
use crate::denoiser::{Changed, SequenceId, SequenceInput};
use crate::filter::Memory;
use crate::observation::{RowQuery, RowRef, Scratch};
use crate::observer::Reveal;
use crate::schedule::Progress;
use crate::top_k_rows::{Rows, TopKRequest};
use crate::unmasker::{Drawn, Next};
use crate::{Canvas, Error, Observer, Policy, Reviser, StepRequest, Stream, TokenId, Unmasker};

mod decide;
mod extent;

/// The step limit per position, beyond the schedule's own steps. Strategies that remask tokens need far fewer.
/// The message of [`Error::StepLimitExceeded`] states this number.
const STEPS_PER_POSITION: usize = 64;

/// A sequence during generation: its canvas, its copy of the strategy and its random stream.
pub(super) struct Sequence {
    pub index: usize,
    pub canvas: Canvas,
    /// The error, if the sequence has failed.
    pub failed: Option<Error>,
    roles: Roles,
    config: Arc<Config>,
    stream: Box<dyn Stream>,
    filters: Memory,
    progress: Progress,
    blocks: Blocks,
    /// The schedule's steps for all blocks.
    total_steps: usize,
    changed: Changed,
    /// The positions that the sampler passes of the step compute; if empty, all masked ones.
    pub window: Vec<usize>,
    /// The canvas of the step's sampler passes, if it has drafts.
    draft_canvas: Option<Canvas>,
    /// The place in the batch of the branch that the step follows.
    branch: Option<usize>,
    /// The number of branches followed so far.
    followed: usize,
    /// The number of tokens that the policy has yet to reveal in this step.
    left: usize,
    kept_open: KeptOpen,
    /// Who keeps the block open in this step if it becomes full.
    keep_open: KeptOpen,
    steps: usize,
    max_steps: usize,
    denoiser_calls: usize,
    sampler_calls: usize,
}

/// Whether a full block stays open, and who keeps it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptOpen {
    No,
    ByUnmasker,
    ByReviser,
}

/// The requests of a sequence for a forward, beside the rows of its masked positions.
pub(super) struct Plan {
    pub queries: Vec<RowQuery>,
    /// The canvases of its branches.
    pub branches: Vec<Canvas>,
    /// Whether hidden states are requested.
    pub hidden: bool,
}

/// The rows of a sequence after a forward or a sampler pass.
pub(super) struct RoundRows<'a> {
    pub rows: &'a Rows,
    pub hidden: Option<ndarray::ArrayView2<'a, f32>>,
    /// The rows of this sequence. After a forward those of the masked positions, then those of the queries;
    /// after a sampler pass those of the window.
    pub own: &'a [RowRef],
    pub round: usize,
}

impl Sequence {
    /// Checks the canvas against the settings and begins its first block.
    pub fn begin(
        index: usize,
        mut canvas: Canvas,
        roles: Roles,
        config: Arc<Config>,
        stream: Box<dyn Stream>,
    ) -> Result<Self, Error> {
        let span = canvas.free_span();
        let length = span.len();
        let steps = roles.steps.unwrap_or(0);
        let blocks = blocks_of(&config, &span, steps)?;
        if steps > 0 && config.open_next.is_some() {
            let expected = "a schedule without a total number of steps";
            return Err(Error::parameter("steps with overlapping blocks", steps, expected));
        }
        let block = blocks.first();
        canvas.set_block(block.clone());
        let masked = canvas.masked().count();
        let mut sequence = Self {
            index,
            canvas,
            failed: None,
            roles,
            config,
            stream,
            filters: Memory::default(),
            progress: Progress {
                step: 0,
                steps: steps_of(blocks, steps, &block),
                masked,
                block_masked: masked,
            },
            blocks,
            total_steps: steps,
            changed: Changed::All,
            window: Vec::new(),
            draft_canvas: None,
            branch: None,
            followed: 0,
            left: 0,
            kept_open: KeptOpen::No,
            keep_open: KeptOpen::No,
            steps: 0,
            max_steps: steps.saturating_add(STEPS_PER_POSITION.saturating_mul(length)),
            denoiser_calls: 0,
            sampler_calls: 0,
        };
        sequence.open_blocks();
        Ok(sequence)
    }

    pub fn id(&self) -> SequenceId {
        SequenceId(self.index as u64)
    }

    /// The input of a forward.
    pub fn input(&self) -> SequenceInput<'_> {
        SequenceInput { id: Some(self.id()), canvas: &self.canvas, changed: &self.changed }
    }

    /// The input of a sampler pass.
    pub fn layer_input(&self) -> SequenceInput<'_> {
        SequenceInput { canvas: self.pass_canvas(), ..self.input() }
    }

    /// The canvas of sampler passes: the sequence with the drafts of the step.
    pub fn pass_canvas(&self) -> &Canvas {
        self.draft_canvas.as_ref().unwrap_or(&self.canvas)
    }

    /// The place in the batch of the canvas that the step follows. `slot` is the place of the sequence's own
    /// canvas.
    pub fn place(&self, slot: usize) -> usize {
        self.branch.unwrap_or(slot)
    }

    /// Continues from a branch of the forward, if the sequence now equals it.
    pub fn follow(&mut self, branch: &Canvas, place: usize) -> bool {
        let (own, open) = (&self.canvas, self.canvas.open_positions());
        let is_equal = branch.tokens() == own.tokens() && branch.open_positions() == open;
        if !is_equal || self.opens_next() {
            return false;
        }
        self.branch = Some(place);
        self.followed += 1;
        self.progress.step += 1;
        self.progress.masked = self.canvas.masked().count();
        true
    }

    /// The sampler layer of its unmasker.
    pub fn sampler_layer(&self) -> Option<&Arc<dyn crate::SamplerLayer>> {
        self.roles.unmasker.sampler_layer()
    }

    /// The required content of its top-K rows; `None` if it needs whole rows.
    pub fn top_k(&self) -> Option<&TopKRequest> {
        let Roles { unmasker, policy, reviser, .. } = &self.roles;
        let whole = unmasker.needs_full_rows()
            || policy.as_ref().is_some_and(|policy| policy.needs_full_rows())
            || reviser.as_ref().is_some_and(|reviser| reviser.needs_full_rows());
        self.config.rows.top_k.as_ref().filter(|_| !whole)
    }

    /// Takes the steps that skip the forward. Returns the requests of the next step.
    pub fn plan(&mut self, observer: &mut dyn Observer) -> Result<Plan, Error> {
        loop {
            if self.steps > self.max_steps {
                return Err(Error::StepLimitExceeded { sequence: self.index, steps: self.steps });
            }
            let mut request = StepRequest::new(&self.canvas, self.progress, self.stream.as_mut());
            let Roles { unmasker, policy, reviser, .. } = &mut self.roles;
            if let Some(policy) = policy.as_mut().filter(|_| self.progress.masked > 0) {
                policy.plan(&mut request)?;
            }
            request.has_reviser = reviser.is_some();
            if request.skipped == 0 {
                if let Some(reviser) = reviser {
                    reviser.plan(&mut request)?;
                }
                unmasker.plan(&mut request)?;
            }
            let StepRequest { queries, branches, remasks, skipped, hidden, .. } = request;
            if skipped == 0 {
                queries.iter().try_for_each(|query| query.check(&self.canvas))?;
                let branches = branches.iter().map(|tokens| self.with_tokens(tokens));
                return Ok(Plan { queries, branches: branches.collect::<Result<_, _>>()?, hidden });
            }
            if self.progress.is_last() {
                return Err(self.no_progress());
            }
            self.remask(&remasks, observer)?;
            self.update_end();
            let left = self.progress.steps - 1 - self.progress.step;
            for _ in 1..skipped.min(left) {
                self.count_step(observer);
            }
            self.end_step(observer);
        }
    }

    /// Counts the forwards of a step, and clears the list of changed positions.
    pub fn forwarded(&mut self, calls: usize, observer: &mut dyn Observer) {
        match &mut self.changed {
            Changed::All => self.changed = Changed::Positions(Vec::new()),
            Changed::Positions(positions) => positions.clear(),
        }
        self.denoiser_calls += calls;
        observer.on_forward(self.index, self.steps, calls);
    }

    /// Counts a pass of the sampler layer.
    pub fn refined(&mut self, round: usize, observer: &mut dyn Observer) {
        self.sampler_calls += 1;
        observer.on_sampler_pass(self.index, self.steps, round);
    }

    /// Applies the moves of the round. Returns what follows.
    fn make_moves(
        &mut self,
        next: Next,
        round: usize,
        scratch: &mut Scratch,
        observer: &mut dyn Observer,
    ) -> Result<Next, Error> {
        let mut moved =
            scratch.reveals.iter().map(|(position, _)| position).chain(&scratch.remasks);
        if let Some(&position) = moved.next().filter(|_| self.draft_canvas.is_some()) {
            let reason = "it cannot be revealed or remasked after `place_draft` in the same step";
            return Err(Error::IllegalMove { position, reason });
        }
        self.remask(&scratch.remasks, observer)?;
        for &(position, drawn) in &scratch.reveals {
            let (sequence, token) = (self.index, drawn.token);
            write(&mut self.canvas, &self.config, sequence, (position, token))?;
            self.note_change(position);
            let (step, probability) = (self.steps, drawn.probability);
            observer.on_reveal(&Reveal { sequence, step, round, position, token, probability });
        }
        self.update_end();
        for &(position, Drawn { token, .. }) in &scratch.drafts {
            let canvas = self.draft_canvas.get_or_insert_with(|| self.canvas.clone());
            write(canvas, &self.config, self.index, (position, token))?;
            extent::update_end(canvas, &self.config);
        }
        let is_full = self.pass_canvas().masked().next().is_none();
        if scratch.narrowed {
            std::mem::swap(&mut self.window, &mut scratch.window);
        }
        let in_window = |position: usize| self.window.contains(&position);
        let is_narrowed = scratch.narrowed || !self.window.is_empty();
        let window_is_done = is_narrowed && !self.pass_canvas().masked().any(in_window);
        Ok(if is_full || window_is_done && next == Next::Refine { Next::EndStep } else { next })
    }

    fn remask(&mut self, positions: &[usize], observer: &mut dyn Observer) -> Result<(), Error> {
        for &position in positions {
            if !self.canvas.open_positions().contains(&position) {
                let reason =
                    "it cannot be remasked: it is outside the current block, or after the end";
                return Err(Error::IllegalMove { position, reason });
            }
            self.canvas.remask(position)?;
            self.note_change(position);
            observer.on_remask(self.index, self.steps, position);
        }
        Ok(())
    }

    /// The canvas of the sequence with further tokens.
    fn with_tokens(&self, tokens: &[(usize, TokenId)]) -> Result<Canvas, Error> {
        let mut canvas = self.canvas.clone();
        for &token in tokens {
            write(&mut canvas, &self.config, self.index, token)?;
        }
        extent::update_end(&mut canvas, &self.config);
        Ok(canvas)
    }

    fn note_change(&mut self, position: usize) {
        if let Changed::Positions(positions) = &mut self.changed
            && let Err(place) = positions.binary_search(&position)
        {
            positions.insert(place, position);
        }
    }

    fn no_progress(&self) -> Error {
        Error::NoProgress { sequence: self.index, step: self.steps }
    }

    /// Ends a denoising step: finishes a sequence that has reached its end, and opens the next block if the
    /// current one is full and not kept open.
    pub fn end_step(&mut self, observer: &mut dyn Observer) {
        self.finish_at_end(observer);
        self.count_step(observer);
        self.window.clear();
        (self.draft_canvas, self.branch) = (None, None);
        self.progress.masked = self.canvas.masked().count();
        self.open_blocks();
    }

    fn count_step(&mut self, observer: &mut dyn Observer) {
        observer.on_step(self.index, self.steps, &self.canvas);
        self.steps += 1;
        self.progress.step += 1;
    }

    pub fn is_done(&self) -> bool {
        self.canvas.is_done() && self.kept_open == KeptOpen::No
    }

    /// The output of the sequence. `early` is the reason if it was cancelled or met a deadline.
    pub fn output(self, early: Option<FinishReason>) -> Output {
        let finish = early.or(self.early_end()).unwrap_or(FinishReason::Length);
        Output {
            generated: self.canvas.free_span(),
            end: self.end(),
            drawn: self.drawn(),
            tokens: self.canvas.tokens().to_vec(),
            denoiser_calls: self.denoiser_calls,
            sampler_calls: self.sampler_calls,
            steps: self.steps,
            finish,
        }
    }
}

/// The blocks of a sequence, if they fit its positions and the schedule's steps.
fn blocks_of(config: &Config, span: &Range<usize>, steps: usize) -> Result<Blocks, Error> {
    let length = config.block_length.unwrap_or(span.len());
    let blocks = match config.aligned {
        true => Blocks::from_zero(span, length),
        false => Blocks::from_start(span, length),
    };
    match (steps, blocks.count()) {
        (1.., blocks) if steps < blocks => Err(Error::TooFewSteps { steps, blocks }),
        _ => Ok(blocks),
    }
}

/// The schedule's steps for a block; 0 without a total.
fn steps_of(blocks: Blocks, total: usize, block: &Range<usize>) -> usize {
    if total == 0 { 0 } else { blocks.steps(total, block) }
}

/// Writes a token at a masked position of a canvas of the sequence.
fn write(
    canvas: &mut Canvas,
    config: &Config,
    sequence: usize,
    (position, token): (usize, TokenId),
) -> Result<(), Error> {
    let size = config.rows.vocabulary_size;
    if token as usize >= size {
        return Err(Error::UnknownToken { sequence, token, position, size });
    }
    if !canvas.open_positions().contains(&position) {
        let reason = "it cannot be revealed: it is outside the current block, or after the end";
        return Err(Error::IllegalMove { position, reason });
    }
    canvas.reveal(position, token)
}
