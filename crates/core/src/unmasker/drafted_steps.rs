use super::{Branch, DynUnmasker, Next, Unmasker, View};
use crate::observation::Row;
use crate::{Error, StepRequest, TokenId, range};

/// Lossless drafts of further steps: reveals the same tokens as the inner unmasker, in fewer rounds.
///
/// A round is one forward. Its batch has the sequence x, and x with the tokens that its next 1, 2, …, D steps
/// are expected to reveal. The drafts come from the last rows of the round before: the positions that its
/// policy ranks next, as many per step as it revealed, each with its most probable token. The inner unmasker
/// then decides on the rows of x. While its reveals equal the next draft, it decides again, on the rows of that
/// draft's canvas. A round thus takes from 1 to D + 1 steps.
///
/// **Law.** That of the inner unmasker, token for token for the same seed: a draft is followed only if the
/// sequence equals it, so it changes the number of rounds and nothing else. That holds for sampled tokens too,
/// of which fewer drafts are right.
///
/// No steps are drafted under a schedule with a total number of steps, with a reviser, or in a step in which the
/// policy requests rows of its own: these plan each step before its forward. A policy must request rows in every
/// step or in none. Unmaskers with sampler passes end their rounds after one step.
///
/// [`Output`](crate::Output) has the cost. `steps` is the number of rounds, `denoiser_calls` the number of
/// canvases (up to D + 1 a round). A round saves time only if a batch of canvases costs less than as many
/// forwards, as on a GPU with few sequences. A session with a cache computes the drafts' canvases in full.
///
/// Sources: FreeDave (arXiv 2510.00294), for the most probable tokens and a constant number per step; Spiffy
/// (arXiv 2509.18085), for sampled tokens, whose graph of drafts is calibrated. This is the chain of FreeDave.
#[doc(alias = "FreeDave")]
#[doc(alias = "Spiffy")]
#[doc(alias = "lossless drafts")]
#[derive(Clone)]
pub struct DraftedSteps {
    inner: Box<dyn DynUnmasker>,
    /// D: the largest number of drafts.
    drafts: usize,
    /// The tokens that the next steps are expected to reveal.
    expected: Vec<(usize, TokenId)>,
    /// How many of them a step reveals.
    per_step: usize,
    /// The sequence after the next 1, 2, … steps.
    branches: Vec<Branch>,
    /// How many of them the round has followed.
    followed: usize,
}

impl DraftedSteps {
    /// Drafts the next `drafts` steps of an unmasker.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `drafts` is 0.
    pub fn new(inner: impl Unmasker + Clone + 'static, drafts: usize) -> Result<Self, Error> {
        Ok(Self {
            inner: inner.boxed(),
            drafts: range::at_least("drafts", drafts, 1)?,
            expected: Vec::new(),
            per_step: 0,
            branches: Vec::new(),
            followed: 0,
        })
    }

    /// Notes what the next steps are expected to reveal, given what this one revealed.
    fn expect(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        let revealed: Vec<usize> = view.revealed().collect();
        let position = |&row: &Row| view.row(row).position;
        let is_left = |row: &Row| !revealed.contains(&position(row));
        let left = view.ranking().iter().copied().filter(is_left);
        let next: Vec<Row> = left.take(revealed.len() * self.drafts).collect();
        self.per_step = revealed.len();
        self.expected.clear();
        for row in next {
            let token = view.most_probable(row)?;
            self.expected.push((view.row(row).position, token));
        }
        Ok(())
    }
}

impl Unmasker for DraftedSteps {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.inner.plan(request)?;
        self.followed = 0;
        self.branches.clear();
        if request.progress().steps > 0 || request.needs_each_forward() {
            return Ok(());
        }
        // The step may have ended the sequence in front of some of them.
        self.expected.retain(|&(position, _)| request.canvas().masked().any(|m| m == position));
        let mut count = 0;
        while count < self.expected.len() {
            count = (count + self.per_step).min(self.expected.len());
            self.branches.push(request.query_branch(self.expected[..count].iter().copied()));
        }
        Ok(())
    }

    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.inner.draft(view)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let next = self.inner.decide(view)?;
        if next != Next::EndStep || view.round() > 0 {
            self.expected.clear();
            return Ok(next);
        }
        self.expect(view)?;
        let branch = self.branches.get(self.followed).copied();
        self.followed += 1;
        Ok(branch.map_or(Next::EndStep, Next::Follow))
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.inner)
    }
}
