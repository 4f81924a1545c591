//! Divergences between two distributions over the vocabulary.

use std::fmt;

use burn::tensor::Tensor;
use burn::tensor::activation::softplus;

/// The divergence between the frozen model's distribution p and the sampler layer's distribution q, in nats per row
/// unless stated otherwise.
///
/// These are the four that Wen et al. compare for distillation (f-Distill, arXiv 2307.15190).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Divergence {
    /// KL(p ‖ q), the published one. Penalises tokens that p gives and q misses.
    #[doc(alias = "forward KL")]
    #[doc(alias = "Kullback-Leibler")]
    #[default]
    Kl,
    /// KL(q ‖ p). Penalises tokens that q gives and p misses.
    ReverseKl,
    /// KL(p ‖ m) / 2 + KL(q ‖ m) / 2 with m = (p + q) / 2.
    #[doc(alias = "JS")]
    JensenShannon,
    /// Σ |p − q| / 2, a share: under the best coupling with p, this share of draws from q changes.
    #[doc(alias = "TV")]
    TotalVariation,
}

impl Divergence {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Kl, Self::ReverseKl, Self::JensenShannon, Self::TotalVariation];

    /// The divergence of each row from log-probabilities p and q [N, V] → `[N]`.
    pub(crate) fn of(self, log_p: Tensor<2>, log_q: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Kl => kl(log_p, log_q),
            Self::ReverseKl => kl(log_q, log_p),
            Self::JensenShannon => {
                // ln m = ln q + ln(1 + p / q) − ln 2, which stays finite where p and q underflow.
                let log_m = (softplus(log_p.clone() - log_q.clone(), 1.0) + log_q.clone())
                    .sub_scalar(std::f64::consts::LN_2);
                (kl(log_p, log_m.clone()) + kl(log_q, log_m)).mul_scalar(0.5)
            }
            Self::TotalVariation => {
                (log_p.exp() - log_q.exp()).abs().sum_dim(1).squeeze_dim(1).mul_scalar(0.5)
            }
        }
    }

    /// The factor on the divergence at temperature τ, which keeps gradients at their size.
    ///
    /// Dividing logits by τ divides slopes by τ. All divergences but the total variation are quadratic near p = q, which
    /// divides their slopes by τ once more.
    pub(crate) fn scale(self, temperature: f64) -> f64 {
        match self {
            Self::TotalVariation => temperature,
            Self::Kl | Self::ReverseKl | Self::JensenShannon => temperature * temperature,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kl => "kl",
            Self::ReverseKl => "reverse-kl",
            Self::JensenShannon => "jensen-shannon",
            Self::TotalVariation => "total-variation",
        })
    }
}

/// KL(p ‖ q) of each row in nats, from log-probabilities [N, V] → `[N]`.
pub(crate) fn kl(log_p: Tensor<2>, log_q: Tensor<2>) -> Tensor<1> {
    (log_p.clone().exp() * (log_p - log_q)).sum_dim(1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::log_softmax;
    use burn::tensor::{Device, TensorData};

    fn logs<const V: usize>(p: [f32; V]) -> Tensor<2> {
        let data = TensorData::new(p.map(f32::ln).to_vec(), [1, V]);
        Tensor::from_data(data, &Device::default())
    }

    fn of<const V: usize>(divergence: Divergence, p: [f32; V], q: [f32; V]) -> f64 {
        f64::from(divergence.of(logs(p), logs(q)).into_scalar::<f32>())
    }

    #[test]
    fn values_match_those_computed_by_hand() {
        let (p, q) = ([0.5, 0.25, 0.25], [0.25, 0.125, 0.625]);
        let by_hand =
            |p: [f64; 3], q: [f64; 3]| p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>();
        let (wide_p, wide_q) = (p.map(f64::from), q.map(f64::from));
        let m = [0.375, 0.1875, 0.4375];
        let expected = [
            by_hand(wide_p, wide_q),
            by_hand(wide_q, wide_p),
            0.5 * (by_hand(wide_p, m) + by_hand(wide_q, m)),
            0.375,
        ];
        for (divergence, expected) in Divergence::ALL.into_iter().zip(expected) {
            assert!((of(divergence, p, q) - expected).abs() < 1e-6, "{divergence}");
            assert!(of(divergence, p, p).abs() < 1e-6, "{divergence}");
        }
    }

    #[test]
    fn scaled_gradients_keep_their_size_at_any_temperature() {
        // At high temperatures, the scaled slope hardly depends on the temperature.
        let device = Device::default();
        let slope = |divergence: Divergence, temperature: f64| {
            let cooled = |logits: [f32; 3]| {
                let logits =
                    Tensor::<2>::from_data(TensorData::new(logits.to_vec(), [1, 3]), &device);
                log_softmax(logits.div_scalar(temperature), 1)
            };
            let (p, q) = (cooled([0.3, 0.1, -0.4]), cooled([0.0, 0.1, 0.2]));
            let moved = cooled([1e-2, 0.1, 0.2]);
            let value = |q| f64::from(divergence.of(p.clone(), q).into_scalar::<f32>());
            divergence.scale(temperature) * (value(moved) - value(q)) / 1e-2
        };
        for divergence in Divergence::ALL {
            let (hot, hotter) = (slope(divergence, 8.0), slope(divergence, 16.0));
            assert!((hotter / hot - 1.0).abs() < 0.1, "{divergence}: {hot} {hotter}");
        }
    }

    #[test]
    fn divergences_reach_their_bounds_and_stay_finite_on_underflow() {
        let device = Device::default();
        // e^−200 is zero in float32, and so are both probabilities of the last token.
        let logs = |values: [f32; 3]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [1, 3]), &device)
        };
        let (p, q) = (logs([0.0, -200.0, -200.0]), logs([-200.0, 0.0, -300.0]));
        let expected = [200.0, 200.0, std::f64::consts::LN_2, 1.0];
        for (divergence, expected) in Divergence::ALL.into_iter().zip(expected) {
            let (value, slope) = slope(divergence, p.clone(), q.clone());
            assert!((value - expected).abs() < 1e-4 * expected, "{divergence}: {value}");
            assert!(slope.iter().all(|s| s.is_finite()), "{divergence}: {slope:?}");
        }
    }

    /// The value, and its gradient with respect to the log-probabilities of q.
    fn slope(divergence: Divergence, p: Tensor<2>, q: Tensor<2>) -> (f64, Vec<f32>) {
        let device = Device::default().autodiff();
        let q = Tensor::<2>::from_data(q.to_data(), &device).require_grad();
        let value = divergence.of(Tensor::from_data(p.to_data(), &device), q.clone());
        let gradients = value.backward();
        let slope = q.grad(&gradients).unwrap().into_data().iter::<f32>().collect();
        (f64::from(value.into_scalar::<f32>()), slope)
    }
}
