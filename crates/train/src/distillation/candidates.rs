//! Masked rows with their logits and entropies, by which chains choose and draw.

use burn::tensor::{Tensor, TensorData};
use conjoint_core::RowStats;

use super::unroll::{log_probabilities, rows};
use crate::model::Tables;

/// A position that a chain may reveal, with the entropy and the logits [V] of its row.
pub(crate) struct Candidate {
    pub position: usize,
    pub entropy: f64,
    pub logits: Vec<f32>,
}

/// The rows at the positions `masked` of each sequence, given hidden states [B, T, D], sequence by sequence. The mask id
/// has probability 0.
pub(crate) fn candidates(
    tables: &Tables,
    masked: &[&[usize]],
    hidden: &Tensor<3>,
) -> Vec<Candidate> {
    let length = hidden.dims()[1];
    let of = |(b, positions): (usize, &&[usize])| -> Vec<(usize, usize)> {
        positions.iter().map(|&position| (b, position)).collect()
    };
    let positions: Vec<(usize, usize)> = masked.iter().enumerate().flat_map(of).collect();
    if positions.is_empty() {
        return Vec::new();
    }
    let flat: Vec<i32> = positions.iter().map(|(b, i)| (b * length + i) as i32).collect();
    let flat = TensorData::new(flat, [positions.len()]);
    let flat = Tensor::from_data(flat, &hidden.device());
    let log_p = log_probabilities(&rows(hidden, &flat), tables.head());
    let vocabulary = log_p.dims()[1];
    let values: Vec<f32> = log_p.into_data().iter().collect();
    let candidate = |(&(_, position), row): (&(usize, usize), &[f32])| {
        let mut logits = row.to_vec();
        logits[tables.config().mask_token_id as usize] = f32::NEG_INFINITY;
        // A row without any possible token is not revealed; the loss reports it.
        let entropy = RowStats::of(&logits).map_or(f64::INFINITY, |row| row.entropy);
        Candidate { position, entropy, logits }
    };
    positions.iter().zip(values.chunks_exact(vocabulary)).map(candidate).collect()
}
