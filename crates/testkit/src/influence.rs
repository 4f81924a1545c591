//! The true influences of a tabular joint.

use conjoint_core::influence::Influence;
use conjoint_core::{Canvas, Error as CoreError, Observation};
use ndarray::Array2;

use crate::{Error, TabularJoint};

/// The true influences of a [`TabularJoint`] on canvases of its length, given the tokens revealed:
/// D_ij = Σ_v p(x_i = v) · TV(p(x_j | x_i = v), p(x_j)).
#[derive(Debug, Clone)]
pub struct TabularInfluence(TabularJoint);

impl TabularInfluence {
    /// The influences within one joint.
    pub fn new(joint: TabularJoint) -> Self {
        Self(joint)
    }

    /// D_ij, the influence of position i on position j, both masked.
    fn between(&self, canvas: &Canvas, i: usize, j: usize) -> Result<f64, Error> {
        let mut tokens = canvas.tokens().to_vec();
        let before = self.0.conditional(&tokens, j)?;
        let mut influence = 0.0;
        for (token, p) in (0..).zip(self.0.conditional(&tokens, i)?) {
            if p > 0.0 {
                tokens[i] = token;
                let after = self.0.conditional(&tokens, j)?;
                let change: f64 = after.iter().zip(&before).map(|(a, b)| (a - b).abs()).sum();
                influence += p * 0.5 * change;
            }
        }
        Ok(influence)
    }
}

impl Influence for TabularInfluence {
    fn influences(&self, rows: &mut Observation<'_>) -> Result<Array2<f64>, CoreError> {
        let positions: Vec<usize> = rows.candidates().iter().map(|c| c.position).collect();
        let n = positions.len();
        let mut influences = Array2::zeros((n, n));
        for ((i, j), influence) in influences.indexed_iter_mut().filter(|((i, j), _)| i != j) {
            let between = self.between(rows.canvas(), positions[i], positions[j]);
            *influence = between.map_err(CoreError::model)?;
        }
        Ok(influences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_influence_of_two_is_the_distance_of_the_product_of_marginals() {
        for seed in 0..8 {
            let joint = TabularJoint::random(2, 3, 0.5, seed).unwrap();
            let distance = joint.total_variation(&joint.product_of_marginals());
            let canvas = Canvas::unconditional(2, joint.mask()).unwrap();
            let truth = TabularInfluence::new(joint);
            for (i, j) in [(0, 1), (1, 0)] {
                assert!((truth.between(&canvas, i, j).unwrap() - distance).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn known_tokens_change_the_influence() {
        // The last bit is the parity of the others.
        let joint = TabularJoint::new(3, 2, &[1., 0., 0., 1., 0., 1., 1., 0.]).unwrap();
        let truth = TabularInfluence::new(joint);
        let between = |tokens: [u32; 3]| {
            truth.between(&Canvas::infill(tokens.to_vec(), 2).unwrap(), 1, 2).unwrap()
        };
        assert_eq!((between([2, 2, 2]), between([0, 2, 2])), (0.0, 0.5));
    }
}
