//! The distillation loss: the sampler layer, unrolled, against the frozen model on the same canvas.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use crate::divergence::Divergence;
use crate::head::Head;
use crate::row_passes::{RowPasses, Slots};
use crate::sampler::SamplerModule;

/// How the two models are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Δ, how far the layer's distribution is from the frozen model's.
    pub divergence: Divergence,
    /// λ₁, on smoothL1(hʲ, h_base(xʲ)): stay near what the frozen model would compute.
    pub teacher: f64,
    /// λ₂, on smoothL1(hʲ, h⁰): stay near the start.
    pub start: f64,
    /// τ, by which both models' logits are divided before they are compared. The divergence is multiplied by τ², the
    /// total variation by τ, so that gradients keep their size (Hinton et al., arXiv 1503.02531).
    pub temperature: f64,
}

impl Default for Comparison {
    /// KL(p ‖ q) of the distributions as they are, and nothing else.
    fn default() -> Self {
        Self { divergence: Divergence::Kl, teacher: 0.0, start: 0.0, temperature: 1.0 }
    }
}

/// Where the passes begin, and which rows they compute.
#[derive(Clone, Debug)]
pub struct Start {
    /// h⁰ [B, T, D].
    pub hidden: Tensor<3>,
    /// The rows that passes compute, and the frozen embeddings of x¹ [B, T, D]; all rows if there is none.
    pub rows: Option<(Slots, Tensor<3>)>,
}

/// One pass of the sampler layer and what it is compared with.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The frozen embeddings of xʲ: [B, T, D], or [B, S, D] of the [slots](Slots) that pass j computes, which are those from
    /// j − 1 on.
    pub embedded: Tensor<3>,
    /// What to compare with after this pass; `None` if the pass is only on the way to a later one.
    pub target: Option<Target>,
}

/// The frozen model's answer at some rows of one canvas.
#[derive(Clone, Debug)]
pub struct Target {
    /// The frozen model's hidden states h_base(xʲ) at the rows, [N, D].
    pub hidden: Tensor<2>,
    /// The rows, indices into the flattened B · T, `[N]`.
    pub rows: Tensor<1, Int>,
    /// The same as indices into what the pass gives, B · T or B · S, `[N]`.
    pub computed: Tensor<1, Int>,
    /// The weight of each row, `[N]`. The loss is the plain weighted sum.
    pub weights: Tensor<1>,
}

/// The loss of a chain of passes from the hidden states `start` = h⁰ [B, T, D]:
///
/// ```text
/// Σ_j Σ_rows weight · ( Δ(p_base(· | xʲ), p_sampler(· | xʲ, hʲ)) + λ₁ smoothL1(hʲ, h_base(xʲ)) + λ₂ smoothL1(hʲ, h⁰) )
/// ```
///
/// with `head` the frozen head, both distributions at temperature τ and Δ multiplied for it, see [`Comparison`], and
/// smoothL1 averaged over D. Gradients flow through the whole chain.
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
    for pass in passes {
        let hidden = unrolled.pass(pass.embedded.clone());
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

/// The passes of the layer, one after the other.
pub(crate) struct Unrolled<'a> {
    layer: &'a SamplerModule,
    /// Of whole sequences: the published form.
    hidden: Tensor<3>,
    /// Passes over rows, if they are to compute no more.
    rows: Option<RowPasses<'a>>,
}

impl<'a> Unrolled<'a> {
    pub fn new(layer: &'a SamplerModule, start: &Start) -> Self {
        let hidden = start.hidden.clone();
        let rows = start.rows.as_ref().map(|(slots, embedded)| {
            RowPasses::new(layer, embedded.clone(), hidden.clone(), slots)
        });
        Self { layer, hidden, rows }
    }

    /// The next pass, see [`Pass::embedded`]; its hidden states [B, T, D] or [B, S, D].
    pub fn pass(&mut self, embedded: Tensor<3>) -> Tensor<3> {
        match &mut self.rows {
            Some(passes) => passes.pass(embedded),
            None => {
                self.hidden = self.layer.forward(embedded, self.hidden.clone());
                self.hidden.clone()
            }
        }
    }
}

/// The rows `rows` `[N]` of `hidden` [B, T, D] flattened, [N, D].
pub(crate) fn rows(hidden: &Tensor<3>, rows: &Tensor<1, Int>) -> Tensor<2> {
    let [batch, length, width] = hidden.dims();
    hidden.clone().reshape([batch * length, width]).select(0, rows.clone())
}

/// Hidden states [N, D] → log-probabilities [N, V].
pub(crate) fn log_probabilities(hidden: &Tensor<2>, head: &Head) -> Tensor<2> {
    tempered_log_probabilities(hidden, head, 1.0)
}

fn tempered_log_probabilities(hidden: &Tensor<2>, head: &Head, temperature: f64) -> Tensor<2> {
    let logits = head.logits(hidden.clone());
    log_softmax(if temperature == 1.0 { logits } else { logits.div_scalar(temperature) }, 1)
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
    use crate::divergence::kl;
    use crate::params;
    use crate::testing::{shaken, tiny_config};
    use burn::module::Module;
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, TensorData};

    const ROWS: [i32; 3] = [1, 4, 9];

    /// Numbers on ±1 that look random.
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
    fn the_identity_costs_what_stale_distributions_cost() {
        let device = Device::default();
        let layer = params::init(SamplerModule::new(&tiny_config(), 1, &device), 1);
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
    fn a_pass_without_target_still_moves_the_state() {
        let device = Device::default();
        let layer = shaken(SamplerModule::new(&tiny_config(), 1, &device), 1);
        let start = start(numbers([2, 6, 16], 3.0, &device));
        let last = |passes: Vec<Pass>| {
            value(loss(&layer, &head(&device), &start, &passes, Comparison::default()))
        };
        let through_both = last(passes(&device, false));
        assert!((through_both - last(passes(&device, false)[1..].to_vec())).abs() > 1e-4);
        assert!(last(passes(&device, true)) > through_both);
    }

    #[test]
    fn a_temperature_divides_both_logits_and_keeps_the_scale() {
        let device = Device::default();
        let layer = params::init(SamplerModule::new(&tiny_config(), 1, &device), 1);
        let start = start(numbers([2, 6, 16], 3.0, &device));
        let at = |temperature| {
            let comparison = Comparison { temperature, ..Comparison::default() };
            value(loss(&layer, &head(&device), &start, &passes(&device, false), comparison))
        };
        // A model whose logits are divided by τ already, compared at 1, costs 1/τ² as much.
        let cool = Head::plain(matrix(&device).div_scalar(3.0));
        let passes = passes(&device, false);
        let divided = value(loss(&layer, &cool, &start, &passes, Comparison::default()));
        assert!((at(3.0) - 9.0 * divided).abs() < 1e-5, "{} {divided}", at(3.0));
        assert!((at(3.0) - at(1.0)).abs() > 1e-3);
    }

    #[test]
    fn smooth_l1_is_square_near_and_linear_far() {
        let device = Device::default();
        let at = |x: f32| Tensor::<2>::from_data(TensorData::new(vec![x], [1, 1]), &device);
        let of = |x| f64::from(smooth_l1(at(x), at(0.0)).into_scalar::<f32>());
        assert_eq!((of(0.5), of(-0.5), of(1.0), of(3.0)), (0.125, 0.125, 0.5, 2.5));
    }

    #[test]
    fn gradients_are_slopes_through_the_whole_chain() {
        let device = Device::default().autodiff();
        let plain = Device::default();
        for divergence in Divergence::ALL {
            let lambda = Comparison { divergence, teacher: 0.3, start: 0.2, temperature: 1.7 };
            let layer = shaken(SamplerModule::new(&tiny_config(), 1, &device), 1);
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
