use super::Order;
use crate::View;

/// Uniformly random order, drawn anew at every ranking.
///
/// Exact at one token per forward. Source: the reverse process of masked diffusion itself
/// (Sahoo et al., arXiv 2406.07524), taken one position at a time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Order for Random {
    /// All alike; the ranking is what is random.
    fn score(&self, _: &View<'_>, _: usize) -> f64 {
        0.0
    }

    fn rank(&self, view: &mut View<'_>, ranked: &mut Vec<usize>) {
        let n = view.candidates().len();
        ranked.clear();
        ranked.extend(0..n);
        for i in 0..n.saturating_sub(1) {
            ranked.swap(i, i + view.stream().below(n - i));
        }
    }
}
