use std::ops::Bound;

use crate::{Error, Stream, range};

/// The probability that a revealed token is remasked, and α_t, the share of known tokens over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    Cap(f64),
    Rescale(f64),
    Conf,
    Loop { eta: f64, on: f64, off: f64, alpha: f64 },
}

impl Rule {
    pub fn cap(eta: f64) -> Result<Self, Error> {
        Ok(Rule::Cap(share(eta)?))
    }

    pub fn rescale(eta: f64) -> Result<Self, Error> {
        Ok(Rule::Rescale(share(eta)?))
    }

    pub fn looping(eta: f64, on: f64, off: f64, alpha: f64) -> Result<Self, Error> {
        let above_0 = |end: f64| (Bound::Excluded(0.0), Bound::Excluded(end));
        let on = range::within("ReMDM's t_on", on, above_0(1.0))?;
        let off = range::within("ReMDM's t_off", off, above_0(on))?;
        let alpha = range::within("ReMDM's alpha", alpha, above_0(1.0))?;
        Ok(Rule::Loop { eta: share(eta)?, on, off, alpha })
    }

    /// α_t.
    fn alpha(self, t: f64) -> f64 {
        match self {
            Rule::Loop { on, alpha, .. } if t > on => (1.0 - t) * alpha / (1.0 - on),
            Rule::Loop { off, alpha, .. } if t > off => alpha,
            Rule::Loop { off, alpha, .. } => 1.0 - t * (1.0 - alpha) / off,
            _ => 1.0 - t,
        }
    }

    /// σ of a step (`conf` distributes it over the revealed positions) and the probability that a masked
    /// position is revealed.
    pub fn odds(self, step: usize, steps: usize) -> (f64, f64) {
        let time = |step: usize| steps.saturating_sub(step) as f64 / steps as f64;
        let (t, s) = (time(step), time(step + 1));
        let (alpha_t, alpha_s) = (self.alpha(t), self.alpha(s));
        // In the first step α_t is 0 and the quotient +∞.
        let most = if alpha_s >= 1.0 { 0.0 } else { ((1.0 - alpha_s) / alpha_t).min(1.0) };
        let (sigma, masked) = match self {
            Rule::Cap(eta) => (eta.min(most), eta.min(most)),
            Rule::Rescale(eta) => (eta * most, eta * most),
            Rule::Conf => (most, 0.0),
            Rule::Loop { eta, on, off, .. } if off < t && t <= on => (eta.min(most), eta.min(most)),
            Rule::Loop { .. } => (0.0, 0.0),
        };
        (sigma, (alpha_s - (1.0 - masked) * alpha_t) / (1.0 - alpha_t))
    }

    /// Draws which of the revealed positions are remasked. ψ is indexed by position.
    pub fn draw(
        self,
        revealed: &[usize],
        sigma: f64,
        psi: &[f64],
        stream: &mut dyn Stream,
    ) -> Vec<usize> {
        if sigma == 0.0 {
            return Vec::new();
        }
        let weight = |position: usize| (-psi[position]).exp();
        let total: f64 = revealed.iter().map(|&position| weight(position)).sum();
        let mut masked = |&position: &usize| match self {
            Rule::Conf => stream.chance(sigma * weight(position) / total),
            _ => stream.chance(sigma),
        };
        revealed.iter().copied().filter(|position| masked(position)).collect()
    }
}

fn share(eta: f64) -> Result<f64, Error> {
    range::probability("ReMDM's eta", eta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> [Rule; 4] {
        let looping = Rule::looping(0.5, 0.6, 0.1, 0.9).unwrap();
        [Rule::cap(0.7).unwrap(), Rule::rescale(1.0).unwrap(), Rule::Conf, looping]
    }

    #[test]
    fn odds_are_probabilities_and_the_last_step_reveals_all() {
        for steps in 1..40 {
            for rule in rules() {
                for step in 0..steps {
                    let (sigma, reveal) = rule.odds(step, steps);
                    let probability = |p: f64| (-1e-12..=1.0 + 1e-12).contains(&p);
                    assert!(probability(sigma) && probability(reveal), "{rule:?} {steps}");
                }
                assert_eq!(rule.odds(steps - 1, steps), (0.0, 1.0), "{rule:?} {steps}");
            }
        }
    }

    /// The share known after a step is α_s for every σ: (1 − σ) α_t + reveal (1 − α_t).
    #[test]
    fn the_share_known_follows_alpha() {
        for rule in rules().into_iter().filter(|&rule| rule != Rule::Conf) {
            for step in 0..16 {
                let (sigma, reveal) = rule.odds(step, 16);
                let alpha = |step: usize| rule.alpha(1.0 - step as f64 / 16.0);
                let known = (1.0 - sigma) * alpha(step) + reveal * (1.0 - alpha(step));
                assert!((known - alpha(step + 1)).abs() < 1e-12, "{rule:?}");
            }
        }
    }

    #[test]
    fn invalid_parameters_are_rejected() {
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Rule::cap(bad).is_err() && Rule::rescale(bad).is_err());
            assert!(Rule::looping(bad, 0.55, 0.05, 0.9).is_err());
        }
        for (on, off, alpha) in
            [(1.0, 0.05, 0.9), (0.5, 0.5, 0.9), (0.5, 0.0, 0.9), (0.5, 0.1, 1.0)]
        {
            assert!(Rule::looping(0.02, on, off, alpha).is_err(), "{on} {off} {alpha}");
        }
        let error = Rule::looping(0.02, 0.3, 0.4, 0.9).unwrap_err().to_string();
        assert!(error.contains("t_off") && error.contains("0.3"), "{error}");
    }
}
