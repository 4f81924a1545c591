use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};

use super::{TabularJoint, cells};
use crate::Error;

impl TabularJoint {
    /// A joint drawn from the symmetric Dirichlet(α) law over all joints.
    ///
    /// With α near 0 a few sequences have nearly all probability. α = 1 is uniform over joints. With a
    /// large α positions are nearly independent. The weights are independent Gamma(α, 1) variables.
    /// The same seed gives the same joint, up to rounding.
    ///
    /// # Errors
    /// [`Error::TableSize`], [`Error::Parameter`] unless α is finite and above 0, and
    /// [`Error::WeightSum`] if α is so small that every weight is 0.
    pub fn random(length: usize, symbols: usize, alpha: f64, seed: u64) -> Result<Self, Error> {
        let cells = cells(length, symbols)?;
        let out_of_range = |_| Error::Parameter {
            name: "alpha",
            value: alpha,
            expected: "a finite number above 0",
        };
        let gamma = Gamma::new(alpha, 1.0).map_err(out_of_range)?;
        let weights: Vec<f64> =
            gamma.sample_iter(ChaCha8Rng::seed_from_u64(seed)).take(cells).collect();
        Self::new(length, symbols, &weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_concentrations_are_rejected() {
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(TabularJoint::random(2, 2, alpha, 0).is_err(), "{alpha}");
        }
        // Gamma(1e-9) weights are below the smallest float.
        assert!(matches!(TabularJoint::random(1, 2, 1e-9, 0), Err(Error::WeightSum(_))));
    }

    #[test]
    fn values_are_pinned() {
        let joint = TabularJoint::random(1, 3, 0.5, 7).unwrap();
        let pinned = [0.006600912523980556, 0.9703331565326719, 0.02306593094334753];
        for (p, pinned) in joint.marginal(0).unwrap().into_iter().zip(pinned) {
            assert!((p - pinned).abs() < 1e-12, "{p}, expected {pinned}");
        }
    }

    /// A component of Dirichlet(α) over n cells has mean 1/n and variance (n − 1) / (n² (nα + 1));
    /// over 4000 joints both are within five standard errors.
    #[test]
    fn moments_are_those_of_the_dirichlet_law() {
        let alpha = 0.5;
        let draw = |seed| TabularJoint::random(2, 2, alpha, seed).unwrap();
        let p: Vec<f64> = (0..4000).map(|seed| draw(seed).law().probability(&[1, 0])).collect();
        let mean = p.iter().sum::<f64>() / 4000.0;
        let variance = p.iter().map(|p| (p - 0.25).powi(2)).sum::<f64>() / 4000.0;
        assert!((mean - 0.25).abs() < 0.02, "{mean}");
        assert!((variance - 3.0 / (16.0 * (4.0 * alpha + 1.0))).abs() < 0.006, "{variance}");
    }
}
