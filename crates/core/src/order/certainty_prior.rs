use std::ops::Bound;

use super::Order;
use crate::observation::Row;
use crate::{Canvas, Error, Observation, range};

/// Reveals confident positions near known tokens first.
///
/// The score is c · D, with c the largest probability p₁ of the filtered row and
///
/// D(i) = Σ_d g(d) known(i + d) / Σ_d g(d), with g(d) = exp(−d² / 2σ²),
///
/// the density of known tokens around position i. Positions left of the sequence count as known; those right
/// of it count as the last position does. A small σ is close to left-to-right order.
///
/// Exact at one token per forward: the score depends on rows and known positions, not on drawn tokens.
/// Source: certainty-prior decoding of d²Cache (arXiv 2509.23094), σ = 10. Tails beyond 8σ,
/// which are below 1e-13, are dropped.
#[doc(alias = "certainty prior")]
#[doc(alias = "d2Cache")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CertaintyPrior {
    sigma: f64,
}

impl CertaintyPrior {
    /// Creates the order with width σ, in positions. A step costs 16σ operations for each candidate.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < σ ≤ 1000.
    pub fn new(sigma: f64) -> Result<Self, Error> {
        let range = (Bound::Excluded(0.0), Bound::Included(1000.0));
        Ok(Self { sigma: range::within("sigma", sigma, range)? })
    }

    fn density(&self, canvas: &Canvas, position: usize) -> f64 {
        let last = canvas.len() - 1;
        let known = |p: usize| f64::from(u8::from(!canvas.is_masked(p.min(last))));
        let reach = (8.0 * self.sigma).ceil() as usize;
        let (mut density, mut total) = (known(position), 1.0);
        for d in 1..=reach {
            let g = (-0.5 * (d as f64 / self.sigma).powi(2)).exp();
            density += g * (position.checked_sub(d).map_or(1.0, known) + known(position + d));
            total += 2.0 * g;
        }
        density / total
    }
}

impl Default for CertaintyPrior {
    /// σ = 10.
    fn default() -> Self {
        Self { sigma: 10.0 }
    }
}

impl Order for CertaintyPrior {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        let row = rows.row(candidate);
        Ok(row.stats.p1 * self.density(rows.canvas(), row.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_counts_known_tokens_nearby() {
        let prior = CertaintyPrior::new(1.0).unwrap();
        let g = |d: f64| (-0.5 * d * d).exp();
        let side: f64 = (1..=8).map(|d| g(f64::from(d))).sum();
        // Known: all positions left of the sequence and one token of three. Unknown: the positions right of it.
        let canvas = Canvas::infill(vec![9, 1, 9], 9).unwrap();
        let first = (side + g(1.0)) / (1.0 + 2.0 * side);
        assert!((prior.density(&canvas, 0) - first).abs() < 1e-12);
        let last = (side - g(2.0)) / (1.0 + 2.0 * side);
        assert!((prior.density(&canvas, 2) - last).abs() < 1e-12);
    }

    #[test]
    fn an_empty_canvas_is_read_from_the_left() {
        let canvas = Canvas::unconditional(300, 9).unwrap();
        let prior = CertaintyPrior::default();
        let densities: Vec<f64> = (0..80).map(|p| prior.density(&canvas, p)).collect();
        assert!(densities.is_sorted_by(|a, b| a > b), "{densities:?}");
        assert!((densities[0] - 0.5).abs() < 0.03, "{}", densities[0]);
    }

    #[test]
    fn parameters_are_checked() {
        for bad in [0.0, -1.0, 1000.1, f64::NAN] {
            assert!(CertaintyPrior::new(bad).is_err(), "{bad}");
        }
    }
}
