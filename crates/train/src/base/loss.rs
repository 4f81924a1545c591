//! The loss of masked diffusion.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::masking::MaskedRow;
use crate::model::{DreamModule, shift};

/// The ids `of` each row, as a matrix [B, T].
fn ids(rows: &[MaskedRow], of: fn(&MaskedRow) -> &Vec<u32>, device: &Device) -> Tensor<2, Int> {
    let length = rows.first().map_or(0, |row| row.target.len());
    let ids: Vec<i32> = rows.iter().flat_map(of).map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(ids, [rows.len(), length]), device)
}

/// The model's log-probabilities on the masked rows, [B, T, V].
pub(crate) fn log_probabilities(model: &DreamModule, rows: &[MaskedRow]) -> Tensor<3> {
    let input = ids(rows, |row| &row.input, &model.norm.gamma.device());
    log_softmax(model.logits(shift(model.forward(input))), 2)
}

/// The B · T entropies of log-probabilities [B, T, V], in nats and without gradients.
pub(crate) fn entropies(log_p: &Tensor<3>) -> Vec<f64> {
    let log_p = log_p.clone().inner();
    let entropies = (log_p.clone().exp() * log_p).sum_dim(2).neg();
    entropies.into_data().iter::<f32>().map(f64::from).collect()
}

/// The weighted negative log-likelihood of the masked tokens, summed over the rows, in nats.
#[doc(alias = "NLL")]
pub(crate) fn loss(log_p: Tensor<3>, rows: &[MaskedRow], weights: &[Vec<f64>]) -> Tensor<1> {
    let [batch, length, _] = log_p.dims();
    let mut matrix = vec![0.0f32; batch * length];
    for (j, (row, weights)) in rows.iter().zip(weights).enumerate() {
        for (&i, &weight) in row.masked.iter().zip(weights) {
            matrix[j * length + i] = weight as f32;
        }
    }
    let weights: Tensor<2> =
        Tensor::from_data(TensorData::new(matrix, [batch, length]), &log_p.device());
    let targets = ids(rows, |row| &row.target, &log_p.device()).unsqueeze_dim::<3>(2);
    (log_p.gather(2, targets).squeeze_dim::<2>(2) * weights).sum().neg()
}
