use std::sync::Arc;

use super::{Next, Unmasker, View};
use crate::{Error, Order, RowStats, SamplerLayer};

/// [`LearnedJoint`](super::LearnedJoint) with each probability of the layer clipped to its Fréchet bounds.
///
/// Let p_i be the row of a position in the step's full forward, and P the probability of the tokens drawn
/// since. For any joint, the probability of both lies within the Fréchet bounds max(0, p_i + P − 1) and
/// min(p_i, P). So each true conditional lies between
///
/// max(0, (p_i − 1 + P) / P) and p_i / P.
///
/// Each probability of a refined row is clipped to these bounds, and the row is normalised again. A token
/// that the filters rule out stays out. If no token of a row is left, the row of the full forward replaces
/// it. The rows p_i of all candidates are kept during a step.
///
/// **Law.** With an exact sampler layer it is exact for every K, at temperature 1 without truncation: true
/// conditionals are never clipped. With a layer that returns the full forward's rows it is
/// [`Marginal`](super::Marginal), because p_i is within its own bounds. With an imperfect layer clipping
/// moves no probability away from the true one, if P is right, and normalising at most doubles the distance
/// of a row. So at K = 2 the total variation to the joint is at most twice that of
/// [`LearnedJoint`](super::LearnedJoint). The gain is small: with noise of ±4 nats on the layer's logits the
/// distance fell by about 5 % on random joints of 3 tokens. Bounds: Fréchet (1935); the layer: arXiv
/// 2509.22738.
#[doc(alias = "Frechet bounds")]
#[derive(Clone)]
pub struct ClippedJoint {
    sampler: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    /// The positions and probabilities \[V\] of the full forward.
    base: Vec<(usize, Vec<f32>)>,
    /// The probability P of the tokens drawn in the step.
    path: f64,
}

impl ClippedJoint {
    /// Creates the unmasker with this sampler layer, lowest entropy first.
    pub fn new(sampler: impl SamplerLayer + 'static) -> Self {
        Self { sampler: Arc::new(sampler), order: None, base: Vec::new(), path: 1.0 }
    }

    /// Sets the order.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }

    /// Stores the rows of the full forward, if a sampler pass will follow.
    fn begin(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.path = 1.0;
        self.base.clear();
        if view.quota() > 1 {
            for candidate in view.rows() {
                let position = view.row(candidate).position;
                let row = view.filtered(candidate)?;
                let stats = RowStats::of(row);
                let probability = |&logit| stats.map_or(0.0, |s| s.probability(logit) as f32);
                self.base.push((position, row.iter().map(probability).collect()));
            }
        }
        Ok(())
    }

    /// The probabilities p_i of a position.
    fn base(&self, position: usize) -> &[f32] {
        let place = self.base.binary_search_by_key(&position, |&(position, _)| position);
        place.map_or(&[], |place| &self.base[place].1)
    }
}

/// Clips a row of logits to the bounds given by `base` and the probability of the path.
fn clip(logits: &mut [f32], base: &[f32], path: f64) {
    let Some(stats) = RowStats::of(logits) else { return };
    for (logit, &p) in logits.iter_mut().zip(base).filter(|(logit, _)| **logit > f32::NEG_INFINITY)
    {
        let (p, refined) = (f64::from(p), stats.probability(*logit));
        let (least, most) = ((p - 1.0 + path) / path, p / path);
        *logit = refined.max(least).min(most).ln() as f32;
    }
    if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        logits.iter_mut().zip(base).for_each(|(logit, p)| *logit = p.ln());
    }
}

impl Unmasker for ClippedJoint {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let best = view.ranked(0);
        let position = view.row(best).position;
        let drawn = if view.round() == 0 {
            self.begin(view)?;
            view.draw(best)?
        } else {
            let mut logits = view.filtered(best)?.to_vec();
            clip(&mut logits, self.base(position), self.path);
            view.draw_from(best, &mut logits)?
        };
        let first = || self.base(position).get(drawn.token as usize).map_or(1.0, |&p| p.into());
        let probability = if view.round() == 0 { first() } else { drawn.probability };
        // The product of many small probabilities must not underflow to 0.
        self.path = (self.path * probability).clamp(f64::MIN_POSITIVE, 1.0);
        view.reveal(best, drawn);
        Ok(if view.quota() == 1 { Next::EndStep } else { Next::Refine })
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.sampler)
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clipped(refined: &[f32], base: &[f32], path: f64) -> Vec<f32> {
        let mut logits: Vec<f32> = refined.iter().map(|p| p.ln()).collect();
        clip(&mut logits, base, path);
        logits.iter().map(|logit| logit.exp()).collect()
    }

    #[test]
    fn probabilities_stay_within_the_frechet_bounds() {
        // At P = 0.8: from (0.5 − 0.2) / 0.8 to 0.5 / 0.8, and from 0 to 0.1 / 0.8.
        let row = clipped(&[0.1, 0.2, 0.7, 0.0], &[0.5, 0.3, 0.1, 0.1], 0.8);
        let expected = [0.375, 0.2, 0.125, 0.0];
        assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{row:?}");
        // With P = 1 the bounds are equal.
        assert_eq!(clipped(&[0.5, 0.5], &[0.25, 0.75], 1.0), [0.25, 0.75]);
    }

    #[test]
    fn the_base_row_is_within_its_own_bounds() {
        let base = [0.6, 0.3, 0.1];
        for path in [1e-3, 0.3, 0.9, 1.0] {
            let row = clipped(&base, &base, path);
            assert!(row.iter().zip(base).all(|(a, b)| (a - b).abs() < 1e-6), "{path}: {row:?}");
        }
    }

    #[test]
    fn an_empty_row_is_replaced_by_the_base_row() {
        assert_eq!(clipped(&[0.0, 1.0], &[1.0, 0.0], 0.5), [1.0, 0.0]);
    }
}
