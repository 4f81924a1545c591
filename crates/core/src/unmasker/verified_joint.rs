use std::sync::Arc;

use super::{Branch, Control, Next, Unmasker, View};
use crate::{Error, Order, Row, SamplerLayer, StepRequest, TokenId};

/// Exact sampling with fewer forwards: the sampler layer drafts tokens, and the next forward verifies them all.
///
/// A round is one forward. It answers the sequence x and, in the same batch, x with the first 1, 2, … drafts of the round
/// before. The tokens are then settled one after the other, each by the model's own row:
///
/// 1. If the order puts a draft's position first, the draft is kept with probability min(1, p/q). Here p is the model's
///    row and q the row of the layer that the draft was drawn from, both filtered. A draft that is not kept is
///    replaced by a token from the positive part of p − q. Elsewhere the token is drawn from p.
/// 2. As long as drafts are kept, the next token is settled by the row of the canvas that holds them.
/// 3. Then up to K − 1 new drafts are drawn, a sampler pass before each, from the hidden states of the canvas that the
///    round has come to.
///
/// So a round settles from 1 to K tokens: one more than the drafts kept. Drafts are never part of the sequence before
/// they are settled, so that no observer sees a token that is taken back, and no draft ends a sequence.
///
/// **Law.** That of [`ExactSequential`](super::ExactSequential) with the same order, filters and draw, whatever the
/// layer: the model's own joint at temperature 1 without truncation. Only the number of forwards depends on the layer.
/// With K = 1 it is `ExactSequential`, token for token for the same seed.
///
/// With [`any_order`](Self::any_order) a draft keeps its position, so that fewer are lost. Then the law is that of one
/// token a forward where the order puts first *by the layer's rows*, and by the model's after a draft was lost. Each
/// token is drawn from the model's conditional and positions depend on rows alone, so it is the joint of a model whose
/// conditionals belong to one joint. For other models, and with filters that change the law of a token, it is the law
/// of another order than `ExactSequential`'s.
///
/// [`Output`](crate::Output) holds what it cost. `steps` is the number of rounds, `denoiser_calls` the number of
/// canvases (up to K a round), `sampler_calls` the number of drafts. `drawn − steps` drafts were kept.
///
/// Sources: the acceptance rule is that of Leviathan et al. (arXiv 2211.17192), the layer that of arXiv 2509.22738; their
/// combination is this crate's own.
#[derive(Clone)]
pub struct VerifiedJoint {
    sampler: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    /// K: the most tokens that a round settles.
    most: usize,
    any_order: bool,
    drafts: Vec<Draft>,
    /// How many of the drafts were kept in this round.
    kept: usize,
    /// The sequence with the first 1, 2, … drafts.
    branches: Vec<Branch>,
}

/// A token that the layer drew, not yet settled.
#[derive(Clone)]
struct Draft {
    position: usize,
    token: TokenId,
    /// The filtered row that it was drawn from.
    logits: Vec<f32>,
}

impl VerifiedJoint {
    /// Settles up to K tokens a round, lowest entropy first.
    ///
    /// # Errors
    /// [`Error::Parameter`] if K is 0.
    pub fn new(sampler: impl SamplerLayer + 'static, k: usize) -> Result<Self, Error> {
        if k == 0 {
            return Err(Error::parameter("tokens per round", k, "at least 1"));
        }
        Ok(Self {
            sampler: Arc::new(sampler),
            order: None,
            most: k,
            any_order: false,
            drafts: Vec::new(),
            kept: 0,
            branches: Vec::new(),
        })
    }

    /// Reveals in this order instead.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }

    /// Settles drafts where the layer put them, even if the model's rows put another position first.
    pub fn any_order(self) -> Self {
        Self { any_order: true, ..self }
    }

    /// Settles one token by the model's row.
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

    /// Drafts one token by the layer's row.
    fn place_draft(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let row = view.ranked(0);
        let mut logits = view.filtered(row)?.to_vec();
        let drawn = view.draw_from(row, &mut logits)?;
        view.place_draft(row, drawn);
        let position = view.row(row).position;
        self.drafts.push(Draft { position, token: drawn.token, logits });
        Ok(self.next(view))
    }

    /// Drafts while K allows it. The last masked position gets no draft, because verifying it would spare no forward.
    fn next(&self, view: &View<'_>) -> Next {
        let masked = view.candidates().len().saturating_sub(1);
        if self.drafts.len() + 1 < self.most && masked > 1 { Next::Refine } else { Next::EndStep }
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

    /// Drafts are compared with whole rows.
    fn needs_full_rows(&self) -> bool {
        self.most > 1
    }
}
