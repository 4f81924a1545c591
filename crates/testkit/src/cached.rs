//! A tabular model with a key-value cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use conjoint_core::cache::{DynCachePolicy, Plan, Planner};
use conjoint_core::denoiser::{Answer, Request, SequenceId, Session};
use conjoint_core::{Canvas, Denoiser, Error as CoreError, RowId, State, TokenId, Vocabulary};

use crate::oracle::{TabularState, dense_rows};
use crate::{Error, TabularDenoiser};

/// A [`TabularDenoiser`] with two layers and a key-value cache, which becomes stale as that of a transformer does.
///
/// 1. A position that a forward computes sees the token of each position, as of that one's own last computation.
///    These tokens are its *context*. They stay with it until it is computed again.
/// 2. The row of position i is the mean of p(x_i = · | context of q) over all positions q, i itself included.
///
/// A position that was never computed is invisible: contexts hold the mask there, and the mean leaves it out. The
/// mask marginalises, as everywhere in tabular models.
///
/// Without a cache, each context is the canvas itself. The rows are then those of the [`TabularDenoiser`], up to
/// rounding in float64. With [block-causal attention](Self::block_causal), a position sees only the blocks up to its
/// own, in both layers.
///
/// ```
/// use conjoint_core::cache::Dual;
/// use conjoint_core::{Canvas, Generator};
/// use conjoint_testkit::{CachedDenoiser, TabularDenoiser, TabularJoint, exact_law};
///
/// let joint = TabularJoint::random(3, 2, 0.5, 1)?;
/// let model = CachedDenoiser::new(TabularDenoiser::new(joint.clone())?).with_cache(Dual::new());
/// let generator = Generator::new(model); // one token a step
///
/// // A block that is the whole sequence is computed in each forward.
/// let law = exact_law(&generator, &Canvas::unconditional(3, joint.mask())?)?;
/// assert!(joint.total_variation(&law) < 1e-6);
///
/// // A prompt is computed once, and does not see the tokens that follow.
/// let prompted = Canvas::new(&[1], 2, joint.mask())?;
/// let law = exact_law(&generator, &prompted)?;
/// assert!(joint.given(prompted.tokens())?.total_variation(&law) > 0.01);
/// # Ok::<(), conjoint_testkit::Error>(())
/// ```
#[derive(Clone)]
pub struct CachedDenoiser {
    oracle: TabularDenoiser,
    block: Option<usize>,
    policy: Option<Box<dyn DynCachePolicy>>,
}

impl CachedDenoiser {
    /// The model without a cache: it opens no session.
    pub fn new(oracle: TabularDenoiser) -> Self {
        Self { oracle, block: None, policy: None }
    }

    /// Opens sessions with this cache policy.
    #[must_use]
    pub fn with_cache(self, policy: impl DynCachePolicy) -> Self {
        Self { policy: Some(policy.boxed()), ..self }
    }

    /// Makes attention block-causal: position p sees the positions q with ⌊q / `block`⌋ ≤ ⌊p / `block`⌋.
    ///
    /// [`Denoiser::attention_block`] stays `None`, so that a test can combine it with any blocks of a generator.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `block` is 0.
    pub fn block_causal(self, block: usize) -> Result<Self, Error> {
        if block == 0 {
            let expected = "an integer of at least 1";
            return Err(Error::Parameter { name: "block", value: 0.0, expected });
        }
        Ok(Self { block: Some(block), ..self })
    }

    /// One past the last position that a position sees.
    fn sight(&self, position: usize, length: usize) -> usize {
        self.block.map_or(length, |block| ((position / block + 1) * block).min(length))
    }

    /// Computes the planned positions of a canvas. Returns the contexts of these and of the cached ones.
    fn compute(&self, canvas: &Canvas, plan: &Plan, kept: &Contexts) -> Contexts {
        let length = canvas.len();
        let mut shown = vec![canvas.mask(); length];
        let mut contexts = Contexts::new();
        for &position in &plan.cached {
            if let Some(context) = kept.get(&position) {
                shown[position] = context[position];
                contexts.insert(position, context.clone());
            }
        }
        plan.compute.iter().for_each(|&position| shown[position] = canvas.tokens()[position]);
        for &position in &plan.compute {
            let mut context = shown.clone();
            context[self.sight(position, length)..].fill(canvas.mask());
            contexts.insert(position, context);
        }
        contexts
    }

    /// The logits of one row \[V + 1\].
    fn row(&self, contexts: &Contexts, position: usize, length: usize) -> Result<Vec<f32>, Error> {
        let mut mean = vec![0.0; self.oracle.vocabulary().size() - 1];
        let mut seen = 0.0;
        for context in contexts.range(..self.sight(position, length)).map(|(_, context)| context) {
            let conditional = self.oracle.conditional(context, position)?;
            mean.iter_mut().zip(conditional).for_each(|(sum, p)| *sum += p);
            seen += 1.0;
        }
        mean.iter_mut().for_each(|sum| *sum /= seen);
        Ok(self.oracle.logits(&mean))
    }

    /// The answer to a request, with the contexts of each canvas of its batch.
    fn answer(&self, request: &Request<'_>, contexts: &[Contexts]) -> Result<Answer, CoreError> {
        let batch = request.batch;
        let row = |&RowId { sequence, position }: &RowId| {
            let input = batch.get(sequence).ok_or(Error::Sequence { sequence, batch: batch.len() });
            self.row(&contexts[sequence], position, input?.canvas.len())
        };
        let logits: Result<Vec<Vec<f32>>, Error> = request.rows.iter().map(row).collect();
        let logits = logits.map_err(CoreError::model)?;
        let rows = dense_rows(&logits, self.oracle.vocabulary().size())?;
        let first = request.rows.iter().copied().zip(logits).collect();
        Ok(Answer::new(rows, State::new(TabularState { oracle: self.oracle.clone(), first })))
    }
}

/// For each position that has been computed, the tokens \[T\] that it saw.
type Contexts = BTreeMap<usize, Vec<TokenId>>;

impl Denoiser for CachedDenoiser {
    fn vocabulary(&self) -> &Vocabulary {
        self.oracle.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, CoreError> {
        let contexts = request.batch.iter().map(|input| {
            let plan = Plan { compute: (0..input.canvas.len()).collect(), cached: Vec::new() };
            self.compute(input.canvas, &plan, &Contexts::new())
        });
        self.answer(request, &contexts.collect::<Vec<_>>())
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, CoreError> {
        let Some(policy) = self.policy.clone() else { return Ok(None) };
        let planner = Planner::new(policy);
        Ok(Some(Box::new(CachedSession { model: self, planner, kept: BTreeMap::new() })))
    }
}

/// The contexts of each sequence of a run.
struct CachedSession {
    model: Arc<CachedDenoiser>,
    planner: Planner,
    kept: BTreeMap<SequenceId, Contexts>,
}

impl Session for CachedSession {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, CoreError> {
        let mut contexts = Vec::with_capacity(request.batch.len());
        for (sequence, input) in request.batch.iter().enumerate() {
            let rows = request.rows.iter().filter(|row| row.sequence == sequence);
            let required: Vec<usize> = rows.map(|row| row.position).collect();
            let plan = self.planner.plan(input, &required);
            let kept = input.id.and_then(|id| self.kept.remove(&id)).unwrap_or_default();
            let computed = self.model.compute(input.canvas, &plan, &kept);
            if let Some(id) = input.id {
                self.kept.insert(id, computed.clone());
            }
            contexts.push(computed);
        }
        self.model.answer(request, &contexts)
    }

    fn end(&mut self, sequence: SequenceId) {
        self.planner.end(sequence);
        self.kept.remove(&sequence);
    }

    fn is_exact(&self) -> bool {
        self.planner.is_exact()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TabularJoint;
    use conjoint_core::cache::{CachePolicy, CacheView, Recompute};
    use conjoint_core::denoiser::{Changed, SequenceInput};

    /// Computes nothing but the required positions.
    #[derive(Clone)]
    struct Required;

    impl CachePolicy for Required {
        fn select(&mut self, _: &CacheView<'_>) -> Recompute {
            Recompute::Positions(Vec::new())
        }
    }

    fn joint() -> TabularJoint {
        TabularJoint::random(3, 2, 0.7, 3).unwrap()
    }

    fn model() -> CachedDenoiser {
        CachedDenoiser::new(TabularDenoiser::new(joint()).unwrap())
    }

    fn near(row: &[f32], expected: &[f64]) {
        let close = |(&logit, &p): (&f32, &f64)| (f64::from(logit).exp() - p).abs() < 1e-6;
        assert_eq!(row.len(), expected.len() + 1);
        assert!(row.iter().zip(expected).all(close), "{row:?}, expected {expected:?}");
    }

    fn row(session: &mut dyn Session, canvas: &Canvas, is_new: bool, position: usize) -> Vec<f32> {
        let changed = if is_new { Changed::All } else { Changed::Positions(vec![]) };
        let input = [SequenceInput { id: Some(SequenceId(0)), canvas, changed: &changed }];
        let rows = [RowId { sequence: 0, position }];
        let answer = session.forward(&Request::new(&input, &rows)).unwrap();
        answer.rows.into_dense().unwrap().logits(0).to_vec()
    }

    #[test]
    fn positions_are_invisible_until_they_are_computed_and_then_stale() {
        let model = Arc::new(model().with_cache(Required));
        let mut session = model.open_session().unwrap().unwrap();
        let mut canvas = Canvas::new(&[1], 2, 2).unwrap();
        let given =
            |tokens: [TokenId; 3], position| joint().conditional(&tokens, position).unwrap();
        // The prompt is invisible to the row.
        near(&row(&mut *session, &canvas, true, 1), &given([2, 2, 2], 1));
        // Now it is visible. Position 1 has seen nothing.
        let mean = |a: Vec<f64>, b: Vec<f64>| -> Vec<f64> {
            a.iter().zip(&b).map(|(a, b)| (a + 2.0 * b) / 3.0).collect()
        };
        row(&mut *session, &canvas, false, 0);
        canvas.reveal(1, 0).unwrap();
        // Nor is its new token computed: it still shows the mask.
        let expected = mean(given([2, 2, 2], 2), given([1, 2, 2], 2));
        near(&row(&mut *session, &canvas, false, 2), &expected);
    }

    #[test]
    fn block_causal_rows_see_the_blocks_up_to_their_own() {
        let model = model().block_causal(2).unwrap();
        let canvas = Canvas::infill(vec![1, 2, 0], 2).unwrap();
        let rows = [RowId { sequence: 0, position: 1 }];
        let (answer, _) = model.denoise(&[&canvas], &rows).unwrap();
        near(answer.logits(0), &joint().conditional(&[1, 2, 2], 1).unwrap());
        assert!(model.block_causal(0).is_err());
    }

    #[test]
    fn without_a_cache_the_rows_are_those_of_the_oracle() {
        let model = model();
        let canvas = Canvas::infill(vec![2, 2, 0], 2).unwrap();
        let rows = [0, 1].map(|position| RowId { sequence: 0, position });
        let (answer, _) = model.denoise(&[&canvas], &rows).unwrap();
        for position in [0, 1] {
            let expected = joint().conditional(canvas.tokens(), position).unwrap();
            near(answer.logits(position), &expected);
        }
        assert!(Arc::new(model).open_session().unwrap().is_none());
    }
}
