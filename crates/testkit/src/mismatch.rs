//! Comparison of greedy decodes that may differ by rounding.
//!
//! The rounding of a runtime depends on the CPU and the version, and changes logits by about 1e-6. If the scores of two
//! positions differ by less, a decode may reveal either, and all later steps differ.

use conjoint_core::{Canvas, Denoiser, RowId, TokenId};

use crate::Error;

/// The first difference of two histories. A history holds the tokens after each step.
#[derive(Debug, Clone, PartialEq)]
pub enum Mismatch {
    /// The histories are equal.
    Never,
    /// In this step the decodes reveal different positions, whose scores differ by at most `spread`.
    Order {
        /// The step, counted from 0.
        step: usize,
        /// The largest score among those positions minus the smallest.
        spread: f64,
    },
    /// In this step the decodes differ in a token, in a number of tokens or in the length.
    Otherwise {
        /// The step, counted from 0.
        step: usize,
    },
}

/// Compares the histories of two decodes of `start`.
///
/// `score` computes the score by which the strategy ranks positions, from a row of logits \[V\].
///
/// # Errors
/// Those of the denoiser on the canvas before the first different step.
pub fn first_mismatch(
    denoiser: &dyn Denoiser,
    start: &Canvas,
    (ours, reference): (&[Vec<TokenId>], &[Vec<TokenId>]),
    score: impl Fn(&[f32]) -> f64,
) -> Result<Mismatch, Error> {
    let both = || ours.iter().zip(reference);
    let Some(step) = both().position(|(ours, reference)| ours != reference) else {
        let step = ours.len().min(reference.len());
        let same = ours.len() == reference.len();
        return Ok(if same { Mismatch::Never } else { Mismatch::Otherwise { step } });
    };
    let before = if step == 0 { start.tokens() } else { &ours[step - 1] };
    let (ours, reference) = (&ours[step], &reference[step]);
    let mask = start.mask();
    let masked = |tokens: &[TokenId]| tokens.iter().filter(|&&token| token == mask).count();
    let differ = |&p: &usize| ours[p] != reference[p];
    let differs_in_position = |&p: &usize| ours[p] == mask || reference[p] == mask;
    if ours.len() != reference.len() || masked(ours) != masked(reference) {
        return Ok(Mismatch::Otherwise { step });
    }
    let positions: Vec<usize> = (0..ours.len()).filter(differ).collect();
    if !positions.iter().all(differs_in_position) {
        return Ok(Mismatch::Otherwise { step });
    }
    let canvas = Canvas::infill(before.to_vec(), mask)?;
    let rows: Vec<_> = positions.iter().map(|&position| RowId { sequence: 0, position }).collect();
    let (answer, _) = denoiser.denoise(&[&canvas], &rows)?;
    let scores: Vec<f64> = (0..rows.len()).map(|n| score(answer.logits(n))).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Mismatch::Order { step, spread: largest - smallest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TabularDenoiser, TabularJoint};
    use conjoint_core::RowStats;

    #[test]
    fn a_difference_of_order_is_told_from_others() {
        // P(x₀ = 0) = 0.7 and P(x₁ = 0) = 0.6, independent.
        let joint = TabularJoint::new(2, 2, &[0.42, 0.28, 0.18, 0.12]).unwrap();
        let mask = joint.mask();
        let denoiser = TabularDenoiser::new(joint).unwrap();
        let start = Canvas::unconditional(2, mask).unwrap();
        let compare = |ours: &[[TokenId; 2]], reference: &[[TokenId; 2]]| {
            let [ours, reference] =
                [ours, reference].map(|steps| steps.iter().map(|s| s.to_vec()).collect::<Vec<_>>());
            let p1 = |logits: &[f32]| RowStats::of(logits).unwrap().p1;
            first_mismatch(&denoiser, &start, (&ours, &reference), p1).unwrap()
        };
        let left_first = [[0, mask], [0, 0]];
        assert_eq!(compare(&left_first, &left_first), Mismatch::Never);
        let Mismatch::Order { step: 0, spread } = compare(&left_first, &[[mask, 0], [0, 0]]) else {
            panic!("expected a difference of order in the first step")
        };
        assert!((spread - 0.1).abs() < 1e-6);
        for (other, step) in [([[1, mask], [1, 0]], 0), ([[0, mask], [0, 1]], 1)] {
            assert_eq!(compare(&left_first, &other), Mismatch::Otherwise { step });
        }
        assert_eq!(compare(&left_first, &[[0, 0]]), Mismatch::Otherwise { step: 0 });
        assert_eq!(compare(&left_first, &left_first[..1]), Mismatch::Otherwise { step: 1 });
    }
}
