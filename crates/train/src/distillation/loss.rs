//! The distillation loss, which compares the unrolled sampler layer with the frozen model on the same canvases.

use burn::tensor::Tensor;

use super::divergence::Divergence;
use super::unroll::{Pass, Start, Unrolled, rows, tempered_log_probabilities};
use crate::model::{Head, SamplerModule};

/// The terms of the distillation loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Δ, the divergence between the frozen model's distribution and the layer's.
    pub divergence: Divergence,
    /// λ₁, the weight of smoothL1(hʲ, h_base(xʲ)), which pulls the hidden states towards the frozen model's.
    pub teacher: f64,
    /// λ₂, the weight of smoothL1(hʲ, h⁰), which pulls the hidden states towards the start.
    pub start: f64,
    /// τ, the temperature of both models' distributions in the comparison. The divergence is multiplied by τ², or by τ
    /// for the total variation, which keeps gradients at their size (Hinton et al., arXiv 1503.02531).
    pub temperature: f64,
}

impl Default for Comparison {
    /// KL(p ‖ q) at temperature 1, without the terms on hidden states.
    fn default() -> Self {
        Self { divergence: Divergence::Kl, teacher: 0.0, start: 0.0, temperature: 1.0 }
    }
}

/// The loss of a chain of passes from the hidden states `start` = h⁰ [B, T, D]:
///
/// ```text
/// Σ_j Σ_rows weight · ( Δ(p_base(· | xʲ), p_sampler(· | xʲ, hʲ)) + λ₁ smoothL1(hʲ, h_base(xʲ)) + λ₂ smoothL1(hʲ, h⁰) )
/// ```
///
/// Here `head` is the frozen head. Both distributions are at temperature τ, for which Δ is scaled (see [`Comparison`]).
/// smoothL1 is averaged over D. Gradients flow through the whole chain.
#[must_use]
pub fn loss(
    layer: &SamplerModule,
    head: &Head,
    start: &Start,
    passes: &[Pass],
    comparison: Comparison,
) -> Tensor<1> {
    let Comparison { divergence, teacher, start: near_start, temperature } = comparison;
    let distributions = |hidden: &Tensor<2>| tempered_log_probabilities(hidden, head, temperature);
    let mut total = Tensor::zeros([1], &start.hidden.device());
    let mut unrolled = Unrolled::new(layer, start);
    let is_compared = passes.iter().any(|pass| pass.target.is_some());
    for pass in passes {
        let hidden = unrolled.pass(pass.embedded.clone());
        if !is_compared {
            // Keeps the loss a function of the layer: a constant has no gradients.
            total = total + hidden.clone().sum().mul_scalar(0.0);
        }
        let Some(target) = &pass.target else { continue };
        let ours = rows(&hidden, &target.computed);
        let mut each = divergence
            .of(distributions(&target.hidden), distributions(&ours))
            .mul_scalar(divergence.scale(temperature));
        if teacher != 0.0 {
            each = each + smooth_l1(ours.clone(), target.hidden.clone()).mul_scalar(teacher);
        }
        if near_start != 0.0 {
            each = each + smooth_l1(ours, rows(&start.hidden, &target.rows)).mul_scalar(near_start);
        }
        total = total + (each * target.weights.clone()).sum();
    }
    total
}

/// Huber's loss with threshold 1, averaged over the width: [N, D] → `[N]`.
fn smooth_l1(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let distance = (a - b).abs();
    let near = distance.clone().clamp_max(1.0);
    (near.clone().square().mul_scalar(0.5) + (distance - near)).mean_dim(1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distillation::divergence::kl;
    use crate::distillation::unroll::{Target, log_probabilities};
    use crate::model::testing::shaken;
    use crate::model::{DreamConfig, init};
    use burn::module::Module;
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, TensorData};

    const ROWS: [i32; 3] = [1, 4, 9];

    /// Irregular numbers on ±1.
    fn numbers<const D: usize>(shape: [usize; D], phase: f32, device: &Device) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|i| (i as f32 * 1.7 + phase).sin()).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn matrix(device: &Device) -> Tensor<2> {
        numbers([8, 16], 0.1, device)
    }

    fn head(device: &Device) -> Head {
        Head::plain(matrix(device))
    }

    /// Two passes over [2, 6, 16], compared at three rows after the second or after both.
    fn passes(device: &Device, both: bool) -> Vec<Pass> {
        let pass = |j: usize| Pass {
            embedded: numbers([2, 6, 16], j as f32, device),
            target: (both || j == 1).then(|| Target {
                hidden: numbers([3, 16], 7.0 + j as f32, device),
                rows: Tensor::from_data(TensorData::new(ROWS.to_vec(), [3]), device),
                computed: Tensor::from_data(TensorData::new(ROWS.to_vec(), [3]), device),
                weights: Tensor::from_data(TensorData::new(vec![0.2f32, 0.3, 0.5], [3]), device),
            }),
        };
        vec![pass(0), pass(1)]
    }

    /// Passes over whole sequences from `hidden`.
    fn start(hidden: Tensor<3>) -> Start {
        Start { hidden, rows: None }
    }

    fn value(loss: Tensor<1>) -> f64 {
        f64::from(loss.into_scalar::<f32>())
    }

    #[test]
    fn the_identity_has_the_loss_of_stale_distributions() {
        let device = Device::default();
        let layer = init(SamplerModule::new(&DreamConfig::tiny(), 1, &device), 1);
        let start = start(numbers([2, 6, 16], 3.0, &device));
        let passes = passes(&device, true);
        let stale: f64 = passes
            .iter()
            .filter_map(|pass| pass.target.as_ref())
            .map(|target| {
                let stale = log_probabilities(&rows(&start.hidden, &target.rows), &head(&device));
                let exact = log_probabilities(&target.hidden, &head(&device));
                value((kl(exact, stale) * target.weights.clone()).sum())
            })
            .sum();
        let lambda = Comparison { start: 5.0, ..Comparison::default() };
        let loss = value(loss(&layer, &head(&device), &start, &passes, lambda));
        assert!((loss - stale).abs() < 1e-5 && stale > 0.1, "{loss} {stale}");
    }

    #[test]
    fn a_pass_without_target_updates_the_state() {
        let device = Device::default();
        let layer = shaken(SamplerModule::new(&DreamConfig::tiny(), 1, &device), 1);
        let start = start(numbers([2, 6, 16], 3.0, &device));
        let last = |passes: Vec<Pass>| {
            value(loss(&layer, &head(&device), &start, &passes, Comparison::default()))
        };
        let through_both = last(passes(&device, false));
        assert!((through_both - last(passes(&device, false)[1..].to_vec())).abs() > 1e-4);
        assert!(last(passes(&device, true)) > through_both);
    }

    #[test]
    fn the_temperature_divides_both_logits_and_is_compensated() {
        let device = Device::default();
        let layer = init(SamplerModule::new(&DreamConfig::tiny(), 1, &device), 1);
        let start = start(numbers([2, 6, 16], 3.0, &device));
        let at = |temperature| {
            let comparison = Comparison { temperature, ..Comparison::default() };
            value(loss(&layer, &head(&device), &start, &passes(&device, false), comparison))
        };
        // Logits divided by τ beforehand, compared at temperature 1, give 1/τ² of the loss.
        let cool = Head::plain(matrix(&device).div_scalar(3.0));
        let passes = passes(&device, false);
        let divided = value(loss(&layer, &cool, &start, &passes, Comparison::default()));
        assert!((at(3.0) - 9.0 * divided).abs() < 1e-5, "{} {divided}", at(3.0));
        assert!((at(3.0) - at(1.0)).abs() > 1e-3);
    }

    #[test]
    fn smooth_l1_is_quadratic_near_zero_and_linear_beyond_one() {
        let device = Device::default();
        let at = |x: f32| Tensor::<2>::from_data(TensorData::new(vec![x], [1, 1]), &device);
        let of = |x| f64::from(smooth_l1(at(x), at(0.0)).into_scalar::<f32>());
        assert_eq!((of(0.5), of(-0.5), of(1.0), of(3.0)), (0.125, 0.125, 0.5, 2.5));
    }

    #[test]
    fn a_loss_without_a_target_has_zero_gradients() {
        let (device, plain) = (Device::default().autodiff(), Device::default());
        let layer = shaken(SamplerModule::new(&DreamConfig::tiny(), 1, &device), 1);
        let passes: Vec<Pass> =
            passes(&plain, true).into_iter().map(|pass| Pass { target: None, ..pass }).collect();
        let start = start(numbers([2, 6, 16], 3.0, &plain));
        let loss = loss(&layer, &head(&plain), &start, &passes, Comparison::default());
        assert_eq!(value(loss.clone()), 0.0);
        let gradients = GradientsParams::from_grads(loss.backward(), &layer);
        let gradient = gradients.get::<2>(layer.down_project.weight.id).unwrap();
        assert_eq!(gradient.abs().sum().into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn gradients_match_finite_differences_through_the_whole_chain() {
        let device = Device::default().autodiff();
        let plain = Device::default();
        for divergence in Divergence::ALL {
            let lambda = Comparison { divergence, teacher: 0.3, start: 0.2, temperature: 1.7 };
            let layer = shaken(SamplerModule::new(&DreamConfig::tiny(), 1, &device), 1);
            let of = |layer: &SamplerModule| {
                loss(
                    layer,
                    &head(&plain),
                    &start(numbers([2, 6, 16], 3.0, &plain)),
                    &passes(&plain, true),
                    lambda,
                )
            };
            let gradients = GradientsParams::from_grads(of(&layer).backward(), &layer);
            let gradient = gradients.get::<2>(layer.down_project.weight.id).unwrap();
            let direction = numbers([32, 16], 0.5, &plain);
            let slope: f32 = (gradient * direction.clone()).sum().into_scalar();
            let moved = |by: f32| {
                let mut layer = layer.clone();
                layer.down_project.weight = layer
                    .down_project
                    .weight
                    .map(|w| Tensor::from_inner(w.inner() + direction.clone().mul_scalar(by)));
                value(of(&layer.valid()))
            };
            let step = 1e-2;
            let measured = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            assert!(
                (measured - f64::from(slope)).abs() < 0.02 * measured.abs().max(0.1),
                "{divergence}: {measured} {slope}"
            );
            assert!(slope.abs() > 1e-3);
        }
    }
}
