//! Logits of the model, one row for each requested position, and statistics of a row.

use ndarray::{Array2, ArrayView1};

use crate::row_kernels::Backend;
use crate::{Error, TokenId};

/// Identifies a row: one position of one sequence of a batch.
///
/// Requests list rows in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    /// Index of the sequence in the batch.
    pub sequence: usize,
    /// Position in that sequence.
    pub position: usize,
}

/// Logits [N, V], one row for each requested position, in the request's order.
#[doc(alias = "logits")]
#[derive(Debug, Clone, PartialEq)]
pub struct DenseRows {
    logits: Array2<f32>,
}

impl DenseRows {
    /// Creates rows from a model's logits [N, V]. −∞ is probability 0.
    pub fn from_logits(logits: Array2<f32>) -> Self {
        // Rows are read as slices, so they must be contiguous.
        let logits = if logits.is_standard_layout() {
            logits
        } else {
            logits.as_standard_layout().into_owned()
        };
        Self { logits }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.logits.nrows()
    }

    /// Returns the logits \[V\] of row `n`, or an empty slice if there is no such row.
    pub fn logits(&self, n: usize) -> &[f32] {
        let row: Option<ArrayView1<'_, f32>> = (n < self.rows()).then(|| self.logits.row(n));
        row.and_then(|row| row.to_slice()).unwrap_or(&[])
    }

    /// Checks the shape against the requested one.
    ///
    /// # Errors
    /// [`Error::DenseShape`].
    pub fn expect_shape(&self, rows: usize, columns: usize) -> Result<(), Error> {
        let (got_rows, got_columns) = self.logits.dim();
        if (got_rows, got_columns) == (rows, columns) || (rows == 0 && got_rows == 0) {
            Ok(())
        } else {
            Err(Error::DenseShape { got_rows, got_columns, rows, columns })
        }
    }
}

/// Statistics of one row of logits, computed in one pass: normaliser, entropy and the two largest
/// probabilities.
#[doc(alias = "logsumexp")]
#[doc(alias = "softmax")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowStats {
    /// ln Σ exp(logit).
    pub log_z: f64,
    /// Entropy H = −Σ p ln p, in nats.
    pub entropy: f64,
    /// The most probable token; the lowest id among equals. It can be the mask id if that is not
    /// [banned](crate::Generator::ban), although the mask is never drawn.
    pub top: TokenId,
    /// Its probability p₁.
    pub p1: f64,
    /// The second largest probability p₂ (0 if only one token is possible).
    pub p2: f64,
}

impl RowStats {
    /// Computes the statistics of a row of logits \[V\]. `None` if all are −∞, or if one is NaN or +∞.
    ///
    /// With z = logit − max: log Z = max + ln Σeᶻ and H = ln Σeᶻ − Σ z eᶻ / Σeᶻ. The row is read once, with
    /// the widest vectors of the CPU, in float32 within pieces of 256 logits and in float64 across them; rows
    /// below 64 tokens are summed in float64 only. All values are within 1e-5 of a float64 computation and
    /// depend on the row only. CPUs with and without fused multiply-add may differ in the seventh digit.
    pub fn of(logits: &[f32]) -> Option<Self> {
        Backend::detect().stats(logits).ok().flatten()
    }

    /// Returns the probability of a token with this logit in the row.
    pub fn probability(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.log_z).exp().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_rows() {
        let uniform = RowStats::of(&[1.0; 4]).unwrap();
        assert!((uniform.entropy - 4f64.ln()).abs() < 1e-12);
        assert_eq!((uniform.top, uniform.p1, uniform.p2), (0, 0.25, 0.25));
        let certain = RowStats::of(&[f32::NEG_INFINITY, 3.0]).unwrap();
        assert_eq!((certain.top, certain.p1, certain.p2, certain.entropy), (1, 1.0, 0.0, 0.0));
        assert_eq!(RowStats::of(&[f32::NEG_INFINITY; 3]), None);
        assert_eq!(RowStats::of(&[]), None);
    }

    #[test]
    fn a_missing_row_is_empty() {
        let rows = DenseRows::from_logits(Array2::zeros((1, 3)));
        assert_eq!(rows.logits(0).len(), 3);
        assert!(rows.logits(1).is_empty());
        assert!(matches!(rows.expect_shape(2, 3), Err(Error::DenseShape { .. })));
    }

    #[test]
    fn transposed_logits_keep_their_rows() {
        let logits = Array2::from_shape_vec((2, 3), vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let rows = DenseRows::from_logits(logits.reversed_axes());
        assert_eq!(rows.logits(1), [1.0, 4.0]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(logits in prop::collection::vec(-30.0f32..30.0, 1..40)) {
            let stats = RowStats::of(&logits).unwrap();
            let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l).exp()).collect();
            let z: f64 = weights.iter().sum();
            let mut p: Vec<f64> = weights.iter().map(|w| w / z).collect();
            let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
            prop_assert!((stats.entropy - entropy).abs() < 1e-9);
            prop_assert!((stats.log_z - z.ln()).abs() < 1e-9);
            prop_assert!((stats.probability(logits[0]) - p[0]).abs() < 1e-9);
            p.sort_by(|a, b| b.total_cmp(a));
            prop_assert!((stats.p1 - p[0]).abs() < 1e-9);
            prop_assert!((stats.p2 - p.get(1).copied().unwrap_or(0.0)).abs() < 1e-9);
        }
    }
}
