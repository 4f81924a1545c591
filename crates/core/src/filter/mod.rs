//! Filters: rewrite a row of logits before it is ranked and drawn from.
//!
//! [`Filter::then`] chains filters; they run in the order they are written:
//!
//! ```
//! use conjoint_core::filter::{Filter, Temperature, TopP};
//! let filter = Temperature::new(0.8)?.then(TopP::new(0.95)?);
//! # Ok::<(), conjoint_core::Error>(())
//! ```

use std::sync::Arc;

use crate::top_k_rows::{TopKRequest, TopRow};
use crate::{Canvas, TokenId, row_kernels};

mod ban;
mod constrain;
mod credit;
mod memory;
mod min_length;
mod min_p;
mod penalty;
mod repetition_penalty;
mod temperature;
mod top_k;
mod top_p;

pub use ban::Ban;
pub use constrain::Constrain;
pub use credit::CreditDecoding;
pub use memory::Memory;
pub use min_length::MinLength;
pub use min_p::MinP;
pub use penalty::Penalty;
pub use repetition_penalty::RepetitionPenalty;
pub use temperature::Temperature;
pub use top_k::TopK;
pub use top_p::TopP;

/// A row to filter: its logits, its position and the canvas.
#[non_exhaustive]
pub struct FilterRow<'a> {
    /// Logits \[V\], none of them NaN or +∞. Set a logit to −∞ to rule its token out.
    pub logits: &'a mut [f32],
    /// The position whose row it is.
    pub position: usize,
    /// The sequence in its current state.
    pub canvas: &'a Canvas,
    /// A buffer that filters may use instead of allocating. Its content is unspecified.
    pub scratch: &'a mut Vec<(f32, u32)>,
    /// The denoising step of the sequence.
    pub step: usize,
    /// Whether the row comes from a forward and is filtered for the first time in its step. A row is filtered
    /// again when a token is drawn from it, and after sampler passes.
    pub first: bool,
    /// The state that filters keep for the sequence from step to step.
    pub memory: &'a mut Memory,
}

impl<'a> FilterRow<'a> {
    /// Creates a row of the first step, to apply a filter outside of a run.
    pub fn new(
        logits: &'a mut [f32],
        position: usize,
        canvas: &'a Canvas,
        scratch: &'a mut Vec<(f32, u32)>,
        memory: &'a mut Memory,
    ) -> Self {
        Self { logits, position, canvas, scratch, step: 0, first: true, memory }
    }

    /// Gathers the possible tokens whose logit is at least `floor`, as (logit, token), into the scratch
    /// buffer. A block without one costs only its maximum.
    fn gather(&mut self, floor: f32) {
        self.scratch.clear();
        let floor = floor.max(f32::MIN);
        for (block, first) in self.logits.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            if row_kernels::largest(block) >= floor {
                let tokens = block.iter().zip(first..).filter(|(logit, _)| **logit >= floor);
                self.scratch.extend(tokens.map(|(&logit, token)| (logit, token)));
            }
        }
    }

    /// Rules out all tokens except the first `n` that were gathered.
    fn keep(&mut self, n: usize) {
        self.logits.fill(f32::NEG_INFINITY);
        for &(logit, token) in &self.scratch[..n] {
            self.logits[token as usize] = logit;
        }
    }
}

/// The number of logits that share one maximum in `gather`.
const BLOCK: usize = 64;

/// Most probable first, and the lower id first among equals. The order is total, so every selection is
/// deterministic.
fn most_probable_first(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// Rewrites one row of logits.
///
/// All sequences share a filter. State of one sequence belongs in the row's [`memory`](FilterRow::memory).
#[doc(alias = "LogitsProcessor")]
#[doc(alias = "logits processor")]
#[doc(alias = "logits warper")]
pub trait Filter: Send + Sync {
    /// Rewrites the row in place. If it rules out every token, the sequence fails with
    /// [`Error::EmptyRow`](crate::Error::EmptyRow).
    fn apply(&self, row: &mut FilterRow<'_>);

    /// Adds to `request` what the filter needs of a [top-K row](crate::top_k_rows) to be
    /// [applied](Self::apply_top) to it. Returns false, the default, if the filter needs whole rows.
    #[must_use]
    fn request_top_k(&self, request: &mut TopKRequest) -> bool {
        let _ = request;
        false
    }

    /// Applies the filter to the top of a row, with the effect of [`apply`](Self::apply) on the whole row.
    /// Returns false, the default, if the top does not suffice: the row is then fetched and filtered whole.
    #[must_use]
    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        let _ = row;
        false
    }

    /// Chains two filters: this one, then `next`.
    fn then<F: Filter>(self, next: F) -> Then<Self, F>
    where
        Self: Sized,
    {
        Then { first: self, next }
    }
}

/// The requirements of `filter` on top-K rows, and the logit of `mask`. `None` if the filter needs whole rows.
pub(crate) fn top_k_request(
    filter: &dyn Filter,
    mask: TokenId,
    vocabulary: usize,
) -> Option<TopKRequest> {
    let mut request = TopKRequest::default();
    if !filter.request_top_k(&mut request) {
        return None;
    }
    request.require_token(mask);
    request.limit_to(vocabulary);
    Some(request)
}

/// Returns every row unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl Filter for Identity {
    fn apply(&self, _: &mut FilterRow<'_>) {}

    fn request_top_k(&self, _: &mut TopKRequest) -> bool {
        true
    }

    fn apply_top(&self, _: &mut TopRow<'_>) -> bool {
        true
    }
}

/// Two filters, one after the other; made by [`Filter::then`].
#[derive(Debug, Clone, Copy)]
#[must_use = "set the filter on a generator with `Generator::filter`"]
pub struct Then<A, B> {
    first: A,
    next: B,
}

impl<A: Filter, B: Filter> Filter for Then<A, B> {
    fn apply(&self, row: &mut FilterRow<'_>) {
        self.first.apply(row);
        self.next.apply(row);
    }

    fn request_top_k(&self, request: &mut TopKRequest) -> bool {
        self.first.request_top_k(request) && self.next.request_top_k(request)
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        self.first.apply_top(row) && self.next.apply_top(row)
    }
}

impl<F: Filter + ?Sized> Filter for Arc<F> {
    fn apply(&self, row: &mut FilterRow<'_>) {
        (**self).apply(row);
    }

    fn request_top_k(&self, request: &mut TopKRequest) -> bool {
        (**self).request_top_k(request)
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        (**self).apply_top(row)
    }
}

/// Several filters, one after the other.
impl<F: Filter> Filter for Vec<F> {
    fn apply(&self, row: &mut FilterRow<'_>) {
        self.iter().for_each(|filter| filter.apply(row));
    }

    fn request_top_k(&self, request: &mut TopKRequest) -> bool {
        self.iter().all(|filter| filter.request_top_k(request))
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        self.iter().all(|filter| filter.apply_top(row))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Applies a filter to a bare row.
    pub(crate) fn filtered(filter: &dyn Filter, logits: &[f32]) -> Vec<f32> {
        let canvas = Canvas::unconditional(1, 0).unwrap();
        let mut logits = logits.to_vec();
        let mut scratch = Vec::new();
        let mut memory = Memory::default();
        filter.apply(&mut FilterRow::new(&mut logits, 0, &canvas, &mut scratch, &mut memory));
        logits
    }

    /// The tokens a filter leaves possible.
    pub(crate) fn support(filter: &dyn Filter, logits: &[f32]) -> Vec<usize> {
        let row = filtered(filter, logits);
        (0..row.len()).filter(|&token| row[token] > f32::NEG_INFINITY).collect()
    }

    #[test]
    fn filters_run_in_the_order_written() {
        let logits = [0.0, 0.0, 0.0];
        let ban = || Ban::new([0]);
        assert_eq!(support(&ban().then(TopK::new(1).unwrap()), &logits), [1]);
        // Top-1 keeps all equals here, so banning afterwards leaves the others.
        let chain: Vec<Arc<dyn Filter>> = vec![Arc::new(TopK::new(1).unwrap()), Arc::new(ban())];
        assert_eq!(support(&chain, &[1.0, 0.0, 0.0]), Vec::<usize>::new());
    }

    #[test]
    fn a_chain_requests_what_its_filters_need() {
        let t = |t| Temperature::new(t).unwrap();
        let chain = Ban::new([7, 3, 99]).then(t(0.5)).then(TopP::new(0.9).unwrap()).then(t(0.5));
        let request = top_k_request(&chain, 5, 10).unwrap();
        assert_eq!(request.temperatures(), [1.0, 0.5, 0.25]);
        assert_eq!(request.tokens(), [3, 5, 7]);
        let whole = chain.then(Penalty::new([1], 1.0).unwrap());
        assert_eq!(top_k_request(&whole, 5, 10), None);
    }

    proptest! {
        #[test]
        fn truncation_keeps_the_most_probable_token_and_never_adds_one(
            logits in prop::collection::vec(
                prop_oneof![-20.0f32..20.0, Just(f32::NEG_INFINITY), Just(1.0f32)], 1..40),
            k in 1usize..50, p in 0.001f64..=1.0, m in 0.0f64..=1.0,
        ) {
            let filters: [Box<dyn Filter>; 3] = [
                Box::new(TopK::new(k).unwrap()),
                Box::new(TopP::new(p).unwrap()),
                Box::new(MinP::new(m).unwrap()),
            ];
            let best = (0..logits.len())
                .max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).unwrap();
            for filter in &filters {
                let row = filtered(filter.as_ref(), &logits);
                prop_assert_eq!(row[best], logits[best]);
                for (after, before) in row.iter().zip(&logits) {
                    prop_assert!(after == before || *after == f32::NEG_INFINITY);
                }
            }
        }
    }
}
