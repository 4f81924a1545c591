use std::sync::Arc;

use super::{Branch, Control, Next, Unmasker, View};
use crate::{Error, Order, Row, SamplerLayer, StepRequest, TokenId, range};

/// Speculative decoding: the sampler layer drafts tokens, and the next forward verifies all of them. Sampling
/// is exact.
///
/// A round is one forward. Its batch has the sequence x, and x with the first 1, 2, … drafts of the round
/// before. Tokens are then settled one after the other, each by the model's own row:
///
/// 1. If the order ranks a draft's position first, the draft is kept with probability min(1, p/q). Here p is
///    the model's row and q the layer's row that the draft was drawn from, both filtered. A rejected draft is
///    replaced by a token from the positive part of p − q. At other positions the token is drawn from p.
/// 2. While drafts are kept, the next token is settled by the row of the canvas that holds them.
/// 3. Then up to K − 1 new drafts are drawn, with a sampler pass before each, from the hidden states of the
///    last canvas of the round.
///
/// So a round settles from 1 to K tokens: one more than the drafts kept. Drafts are not part of the sequence
/// before they are settled, so no observer sees a rejected token, and no draft ends a sequence.
///
/// **Law.** That of [`ExactSequential`](super::ExactSequential) with the same order, filters and draw, for
/// any layer: the model's own joint at temperature 1 without truncation. Only the number of forwards depends
/// on the layer. With K = 1 it is `ExactSequential`, token for token for the same seed.
///
/// With [`any_order`](Self::any_order) a draft keeps its position, so fewer drafts are lost. The law is then
/// that of one token per forward in another order: positions are ranked by *the layer's rows*, and by the
/// model's rows after a rejected draft. Each token is drawn from the model's conditional, and positions depend
/// on rows only. So the law is the joint if the model's conditionals belong to one joint. For other models, and
/// with filters that change the law of a token, it differs from that of `ExactSequential`.
///
/// [`Output`](crate::Output) has the cost. `steps` is the number of rounds, `denoiser_calls` the number of
/// canvases (up to K a round), `sampler_calls` the number of drafts. `drawn − steps` drafts were kept.
///
/// Sources: the acceptance rule is that of Leviathan et al. (arXiv 2211.17192), the layer that of arXiv
/// 2509.22738; their combination is this crate's own.
#[doc(alias = "speculative decoding")]
#[doc(alias = "self-speculative")]
#[doc(alias = "draft and verify")]
#[derive(Clone)]
pub struct VerifiedJoint {
    sampler: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    /// K: the largest number of tokens that a round settles.
    max_tokens: usize,
    any_order: bool,
    drafts: Vec<Draft>,
    /// The number of drafts kept in this round.
    kept: usize,
    /// The sequence with the first 1, 2, … drafts.
    branches: Vec<Branch>,
}

/// A token drawn by the layer, not yet settled.
#[derive(Clone)]
struct Draft {
    position: usize,
    token: TokenId,
    /// The filtered row from which it was drawn.
    logits: Vec<f32>,
}

impl VerifiedJoint {
    /// Creates the unmasker that settles up to K tokens a round, lowest entropy first.
    ///
    /// # Errors
    /// [`Error::Parameter`] if K is 0.
    pub fn new(sampler: impl SamplerLayer + 'static, k: usize) -> Result<Self, Error> {
        Ok(Self {
            sampler: Arc::new(sampler),
            order: None,
            max_tokens: range::at_least("tokens per round", k, 1)?,
            any_order: false,
            drafts: Vec::new(),
            kept: 0,
            branches: Vec::new(),
        })
    }

    /// Sets the order.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }

    /// Settles drafts at the positions that the layer chose, even if the model's rows rank another position
    /// first.
    pub fn any_order(self) -> Self {
        Self { any_order: true, ..self }
    }

    /// Settles one token from the model's row.
    fn settle(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let draft = self.drafts.get(self.kept);
        let drafted = draft.filter(|_| self.any_order).and_then(|draft| row_of(view, draft));
        let row = drafted.unwrap_or_else(|| view.ranked(0));
        let draft = draft.filter(|draft| draft.position == view.row(row).position);
        let drawn = match draft {
            Some(draft) => view.draw_coupled(row, draft.token, &draft.logits)?,
            None => view.draw(row)?,
        };
        view.reveal(row, drawn);
        let branch = self.branches.get(self.kept);
        if let Some(&branch) = branch.filter(|_| draft.is_some_and(|d| d.token == drawn.token)) {
            self.kept += 1;
            return Ok(Next::Follow(branch));
        }
        self.drafts.clear();
        self.kept = 0;
        Ok(self.next(view))
    }

    /// Drafts one token from the layer's row.
    fn place_draft(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let row = view.ranked(0);
        let mut logits = view.filtered(row)?.to_vec();
        let drawn = view.draw_from(row, &mut logits)?;
        view.place_draft(row, drawn);
        let position = view.row(row).position;
        self.drafts.push(Draft { position, token: drawn.token, logits });
        Ok(self.next(view))
    }

    /// Continues to draft up to K − 1 tokens. The last masked position gets no draft, because verifying it
    /// saves no forward.
    fn next(&self, view: &View<'_>) -> Next {
        let masked = view.candidates().len().saturating_sub(1);
        if self.drafts.len() + 1 < self.max_tokens && masked > 1 {
            Next::Refine
        } else {
            Next::EndStep
        }
    }
}

/// The row of a draft's position.
fn row_of(view: &View<'_>, draft: &Draft) -> Option<Row> {
    view.rows().find(|&row| view.row(row).position == draft.position)
}

impl Unmasker for VerifiedJoint {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.drafts.drain(..self.kept);
        self.kept = 0;
        self.branches.clear();
        for count in 1..=self.drafts.len() {
            let tokens = self.drafts[..count].iter().map(|draft| (draft.position, draft.token));
            self.branches.push(request.query_branch(tokens));
        }
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        if view.round() == 0 { self.settle(view) } else { self.place_draft(view) }
    }

    fn reveals_selection(&self) -> bool {
        false
    }

    fn control(&self) -> Control {
        Control::OrderAlone
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.sampler)
    }

    /// Whole rows, to compare them with the rows of drafts.
    fn needs_full_rows(&self) -> bool {
        self.max_tokens > 1
    }
}
