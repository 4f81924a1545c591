//! Estimates of how strongly masked positions depend on each other.
//!
//! [`Demask`](crate::policy::Demask) uses them to reveal nearly independent positions together.

use std::sync::Arc;

use ndarray::Array2;

use crate::observation::Row;
use crate::{Error, Observation};

/// Estimates how strongly revealing one masked position moves the distribution of another.
///
/// The true influence of i on j is the mean total variation by which x_i changes the distribution of x_j:
///
/// D_ij = Σ_v p(x_i = v) · TV( p(x_j | x_i = v), p(x_j) ),
///
/// It equals the total variation between the joint of the two and the product of their marginals.
#[doc(alias = "dependency predictor")]
pub trait Influence: Send + Sync {
    /// Returns estimates \[n, n\] for the n [candidates](Observation::candidates) of a step. Entry (i, j) is
    /// the influence of the i-th candidate on the j-th. Entries are at least 0; +∞ means that the two are
    /// never revealed together. The diagonal is not read.
    ///
    /// The observation has the rows, the tokens and the positions. It has the
    /// [hidden states](Observation::hidden) too if the estimate [needs them](Self::needs_hidden).
    ///
    /// # Errors
    /// [`Error::Model`] if a predictor fails; those of the observation.
    fn influences(&self, rows: &mut Observation<'_>) -> Result<Array2<f64>, Error>;

    /// Whether it reads hidden states, as a trained predictor does. They are then requested in every step,
    /// and copied to the host if they are on a device.
    fn needs_hidden(&self) -> bool {
        false
    }
}

impl<I: Influence + ?Sized> Influence for Arc<I> {
    fn influences(&self, rows: &mut Observation<'_>) -> Result<Array2<f64>, Error> {
        (**self).influences(rows)
    }

    fn needs_hidden(&self) -> bool {
        (**self).needs_hidden()
    }
}

/// An upper bound from the marginals alone, without a predictor: D_ij ≤ min(g_i, g_j), with the Gini impurity
/// g = 1 − Σ_v p(v)² of the filtered row.
///
/// x_i = v changes any other distribution by at most 1 − p(v), and has probability p(v). Together that is Σ
/// p(v) (1 − p(v)) = g_i. D is symmetric, so g_j bounds it too. The same bound holds for the influence of a
/// set of positions on j. So Σ g − max g bounds the total variation between the joint of a set and the
/// product of its marginals. The sum of min(g_i, g_j) over the pairs of the set is at least as large: each g
/// counts once for every position with a larger one.
#[doc(alias = "Gini impurity")]
#[derive(Debug, Clone, Copy, Default)]
pub struct GiniBound;

impl GiniBound {
    /// 1 − Σ p² of a row of logits.
    fn gini(logits: &[f32]) -> f64 {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
        for &logit in logits.iter().filter(|&&logit| logit > f32::NEG_INFINITY) {
            let weight = (f64::from(logit) - f64::from(max)).exp();
            sum += weight;
            squares += weight * weight;
        }
        // Rounding can leave −1e-16 for a certain row.
        (1.0 - squares / (sum * sum)).max(0.0)
    }
}

impl Influence for GiniBound {
    fn influences(&self, rows: &mut Observation<'_>) -> Result<Array2<f64>, Error> {
        let n = rows.candidates().len();
        let row = |n| rows.filtered(Row::candidate(n)).map(|logits| Self::gini(logits));
        let gini: Vec<f64> = (0..n).map(row).collect::<Result<_, _>>()?;
        Ok(Array2::from_shape_fn((n, n), |(i, j)| gini[i].min(gini[j])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gini_of_known_rows() {
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-7, "{got}");
        near(GiniBound::gini(&[3.0; 4]), 0.75);
        near(GiniBound::gini(&[0.0, f32::NEG_INFINITY]), 0.0);
        near(GiniBound::gini(&[0.9f32.ln(), 0.1f32.ln()]), 0.18);
        near(GiniBound::gini(&[900.0, 900.0, -900.0]), 0.5);
    }
}
