//! The loss of masked diffusion.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::masking::MaskedRow;
use crate::model::{DreamModule, Rotary, UNSEEN, shift};

/// T, the length of the longest row.
pub(super) fn longest(rows: &[MaskedRow]) -> usize {
    rows.iter().map(|row| row.target.len()).max().unwrap_or(0)
}

/// The ids `of` each row, as a matrix [B, T]. Shorter rows are padded with the id 0.
fn ids(rows: &[MaskedRow], of: fn(&MaskedRow) -> &Vec<u32>, device: &Device) -> Tensor<2, Int> {
    let length = longest(rows);
    let mut ids = vec![0; rows.len() * length];
    for (padded, row) in ids.chunks_exact_mut(length).zip(rows) {
        padded.iter_mut().zip(of(row)).for_each(|(id, &of)| *id = of as i32);
    }
    Tensor::from_data(TensorData::new(ids, [rows.len(), length]), device)
}

/// The bias of attention for the rows of a pass: which keys are hidden. `None` hides none.
pub(crate) type Bias = fn(&[MaskedRow], &Device) -> Option<Tensor<4>>;

/// A bias [B, 1, 1, T] that hides the padding of shorter rows from all positions; `None` if all have the same length.
pub(crate) fn padding(rows: &[MaskedRow], device: &Device) -> Option<Tensor<4>> {
    let length = longest(rows);
    if rows.iter().all(|row| row.target.len() == length) {
        return None;
    }
    let mut bias = vec![0.0f32; rows.len() * length];
    for (bias, row) in bias.chunks_exact_mut(length).zip(rows) {
        bias[row.target.len()..].fill(UNSEEN);
    }
    Some(Tensor::from_data(TensorData::new(bias, [rows.len(), 1, 1, length]), device))
}

/// A bias [1, 1, T, T] that hides later positions, padding among them.
pub(crate) fn causal(rows: &[MaskedRow], device: &Device) -> Option<Tensor<4>> {
    let length = longest(rows);
    let mut bias = vec![0.0f32; length * length];
    for (position, keys) in bias.chunks_exact_mut(length).enumerate() {
        keys[position + 1..].fill(UNSEEN);
    }
    Some(Tensor::from_data(TensorData::new(bias, [1, 1, length, length]), device))
}

/// The model's log-probabilities on the masked rows, [B, T, V]. Those of a row do not depend on the other rows. T is the
/// length of the longest row.
pub(crate) fn log_probabilities(model: &DreamModule, rows: &[MaskedRow], bias: Bias) -> Tensor<3> {
    let device = model.norm.gamma.device();
    let input = ids(rows, |row| &row.input, &device);
    let hidden = model.forward_biased(input, bias(rows, &device).as_ref());
    log_softmax(model.logits(shift(hidden)), 2)
}

/// The model's log-probabilities on masked rows, [B, T, V], which it computes together with their whole twins. `bias` is that of
/// attention over both, [B, 1, 2T, 2T]. Not shifted: row i predicts position i.
pub(crate) fn log_probabilities_of_twins(
    model: &DreamModule,
    rows: &[MaskedRow],
    bias: &Tensor<4>,
) -> Tensor<3> {
    let device = model.norm.gamma.device();
    let twins = vec![ids(rows, |row| &row.input, &device), ids(rows, |row| &row.target, &device)];
    let length = longest(rows);
    let rotary = Rotary::new(model.config(), length, &device).twice();
    let hidden = model.forward_at(Tensor::cat(twins, 1), &rotary, Some(bias));
    log_softmax(model.logits(hidden.narrow(1, 0, length)), 2)
}

/// The sum of the losses of rows whose predicted tokens have equal weights.
pub(crate) fn even_loss(model: &DreamModule, rows: &[MaskedRow], bias: Bias) -> Tensor<1> {
    let weights: Vec<_> = rows.iter().map(MaskedRow::even).collect();
    loss(log_probabilities(model, rows, bias), rows, &weights)
}

/// The B · T entropies of log-probabilities [B, T, V], in nats and without gradients.
pub(crate) fn entropies(log_p: &Tensor<3>) -> Vec<f64> {
    let log_p = log_p.clone().inner();
    let entropies = (log_p.clone().exp() * log_p).sum_dim(2).neg();
    entropies.into_data().iter::<f32>().map(f64::from).collect()
}

/// The weighted negative log-likelihood of the predicted tokens, summed over the rows, in nats.
#[doc(alias = "NLL")]
pub(crate) fn loss(log_p: Tensor<3>, rows: &[MaskedRow], weights: &[Vec<f64>]) -> Tensor<1> {
    let [batch, length, _] = log_p.dims();
    let mut matrix = vec![0.0f32; batch * length];
    for (j, (row, weights)) in rows.iter().zip(weights).enumerate() {
        for (&i, &weight) in row.predicted.iter().zip(weights) {
            matrix[j * length + i] = weight as f32;
        }
    }
    let weights: Tensor<2> =
        Tensor::from_data(TensorData::new(matrix, [batch, length]), &log_p.device());
    let targets = ids(rows, |row| &row.target, &log_p.device()).unsqueeze_dim::<3>(2);
    (log_p.gather(2, targets).squeeze_dim::<2>(2) * weights).sum().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DreamConfig;
    use crate::model::testing::shaken;

    #[test]
    fn rows_of_different_lengths_do_not_affect_each_other() {
        let model = shaken(DreamModule::tied(&DreamConfig::tiny(), &Device::default()), 1);
        let row = |ids: &[u32], masked: &[usize]| MaskedRow::new(ids.to_vec(), masked.to_vec(), 6);
        let rows =
            [row(&[1, 2, 3, 7], &[0, 2]), row(&[4, 7], &[0]), row(&[5, 4, 3, 2, 1, 7], &[1, 4])];
        let together = log_probabilities(&model, &rows, padding);
        assert_eq!(together.dims(), [3, 6, 8]);
        let weights = |rows: &[MaskedRow]| -> Vec<Vec<f64>> {
            rows.iter().map(|row| vec![0.5; row.predicted.len()]).collect()
        };
        let mut sum = 0.0;
        for (number, row) in rows.iter().enumerate() {
            let alone = log_probabilities(&model, std::slice::from_ref(row), padding);
            let length = row.target.len();
            let part = together.clone().slice([number..number + 1, 0..length, 0..8]);
            let off: f32 = (alone.clone() - part).abs().max().into_scalar();
            assert!(off < 1e-5, "{off}");
            let one = std::slice::from_ref(row);
            sum += loss(alone, one, &weights(one)).into_scalar::<f32>();
        }
        let all = loss(together, &rows, &weights(&rows)).into_scalar::<f32>();
        assert!((all - sum).abs() < 1e-4, "{all} {sum}");
    }

    #[test]
    fn under_the_causal_bias_a_row_depends_on_earlier_tokens_only() {
        let config = DreamConfig::tiny();
        assert!(config.num_attention_heads > config.num_key_value_heads);
        let model = shaken(DreamModule::tied(&config, &Device::default()), 1);
        let row = |ids: &[u32]| MaskedRow::new(ids.to_vec(), vec![], 6);
        let rows = [row(&[1, 2, 3, 4, 5]), row(&[1, 2, 3, 5, 1]), row(&[1, 2, 3])];
        let log_p = log_probabilities(&model, &rows, causal);
        let part = |row: usize, positions| log_p.clone().slice([row..row + 1, positions, 0..8]);
        let distance = |a: Tensor<3>, b: Tensor<3>| -> f32 { (a - b).abs().max().into_scalar() };
        // Row 3 is that of the hidden state 2, the last one that the three have in common.
        assert!(distance(part(0, 0..4), part(1, 0..4)) < 1e-5);
        assert!(distance(part(0, 0..3), part(2, 0..3)) < 1e-5);
        assert!(distance(part(0, 4..5), part(1, 4..5)) > 1e-3);
        let full = log_probabilities(&model, &rows[..1], padding);
        assert!(distance(part(0, 1..4), full.slice([0..1, 1..4, 0..8])) > 1e-3);
    }
}
