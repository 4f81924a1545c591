use super::Order;
use crate::observation::Row;
use crate::{Error, Observation};

/// Reveals positions in a uniformly random order, drawn at every ranking.
///
/// Exact at one token per forward. Source: the reverse process of masked diffusion itself
/// (Sahoo et al., arXiv 2406.07524), taken one position at a time.
#[doc(alias = "random order")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Order for Random {
    /// The same for all candidates: [`rank`](Self::rank) is random instead.
    fn score(&self, _: &Observation<'_>, _: Row) -> Result<f64, Error> {
        Ok(0.0)
    }

    fn rank(&self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        let n = rows.candidates().len();
        ranked.clear();
        ranked.extend(rows.rows());
        for i in 0..n.saturating_sub(1) {
            ranked.swap(i, i + rows.stream().below(n - i));
        }
        Ok(())
    }
}
