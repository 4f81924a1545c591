use std::sync::Arc;

use super::{Candidate, Next, Unmasker, View};
use crate::{Error, Order, SamplerLayer, range};

/// The confidence that the sampler layer needs for one more token.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// The largest probability p₁ of its best candidate is at least this, from 0 (always) to 1 (only certain
    /// tokens).
    Confidence(f64),
    /// The entropy of its best candidate is at most this, in nats.
    Entropy(f64),
}

impl Bound {
    fn checked(self) -> Result<Self, Error> {
        match self {
            Bound::Confidence(c) => range::probability("confidence bound", c)?,
            Bound::Entropy(h) => range::non_negative("entropy bound", h)?,
        };
        Ok(self)
    }

    fn holds(self, best: &Candidate) -> bool {
        match self {
            Bound::Confidence(c) => best.stats.p1 >= c,
            Bound::Entropy(h) => best.stats.entropy <= h,
        }
    }
}

/// [`LearnedJoint`](super::LearnedJoint) with an adaptive K: draws from the sampler layer while the layer is
/// confident.
///
/// Reveals one token from the full forward. Then it runs the sampler layer and reveals one more token if the
/// best candidate meets the bound, and so on, up to the schedule's quota. A step that ends at the bound has
/// run one pass without a reveal.
///
/// **Law.** Whether to continue depends on rows only. So for every bound it is exact if the sampler layer
/// returns the model's true conditionals; otherwise it is as close to the model's joint as the layer is. The
/// bound restricts the layer to rows where its error is small: [`Bound::Entropy`]`(0)` reveals only certain
/// tokens, and [`Bound::Confidence`]`(0)` is `LearnedJoint`, token for token. Source: the layer is that of
/// arXiv 2509.22738, which has a fixed K; the bound is this crate's own.
#[doc(alias = "adaptive parallelism")]
#[derive(Clone)]
pub struct AdaptiveJoint {
    sampler: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    bound: Bound,
}

impl AdaptiveJoint {
    /// Creates the unmasker with this sampler layer and bound, lowest entropy first.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless the bound is a confidence from 0 to 1 or a finite entropy of at least 0.
    pub fn new(sampler: impl SamplerLayer + 'static, bound: Bound) -> Result<Self, Error> {
        Ok(Self { sampler: Arc::new(sampler), order: None, bound: bound.checked()? })
    }

    /// Sets the order.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }
}

impl Unmasker for AdaptiveJoint {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let best = view.ranked(0);
        if view.round() > 0 && !self.bound.holds(view.row(best)) {
            return Ok(Next::EndStep);
        }
        let drawn = view.draw(best)?;
        view.reveal(best, drawn);
        Ok(if view.quota() == 1 { Next::EndStep } else { Next::Refine })
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn reveals_selection(&self) -> bool {
        false
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.sampler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RowStats;

    #[test]
    fn parameters_are_checked() {
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(Bound::Confidence(bad).checked().is_err(), "{bad}");
            assert!(Bound::Entropy(bad).checked().is_err(), "{bad}");
        }
        assert!(Bound::Confidence(1.1).checked().is_err());
        assert!(Bound::Entropy(1.1).checked().is_ok());
    }

    #[test]
    fn equality_meets_a_bound() {
        let stats = RowStats::of(&[0.0, 0.0]).unwrap();
        let best = Candidate { position: 0, stats, confidence: stats.p1 };
        assert!(Bound::Confidence(0.5).holds(&best) && !Bound::Confidence(0.51).holds(&best));
        assert!(Bound::Entropy(0.694).holds(&best) && !Bound::Entropy(0.693).holds(&best));
    }
}
