//! The objective of block diffusion: each block is unmasked given the blocks before it.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::data::{Data, VALIDATION};
use super::loss::{log_probabilities_of_twins, longest, loss};
use super::row_form::RowForm;
use super::rows::RowSource;
use crate::error::TrainError;
use crate::masking::{self, MaskedRow};
use crate::model::{DreamModule, UNSEEN};
use crate::run::{Identity, Objective};

/// Training of a block-causal model (BD3-LM, arXiv 2503.09573).
///
/// A forward pass computes each row twice, as twins: masked and whole. A position of the masked twin attends to its own block
/// of that twin, and to the earlier blocks of the whole one. So a pass trains every block, in a state of decoding of its
/// own, where a pass over one row trains a single block.
///
/// Of the m tokens of a block that may be masked, n are, and n is uniform from 1 to m. A masked token weighs m / (n · M), where
/// M is the number of tokens of the row that may be masked. The loss is thus the bound on the negative log-likelihood of a
/// token, in nats.
pub(crate) struct BlockDiffusion<'a, R> {
    data: Data<'a, R>,
    block: usize,
}

/// Separates the random streams of the masks from others.
const MASKS: u64 = 0x626c_6f63_6b73;

impl<'a, R: RowSource> BlockDiffusion<'a, R> {
    pub fn new(data: Data<'a, R>, block: usize) -> Self {
        Self { data, block }
    }

    /// Masks a part of every block of `row`.
    fn masked(&self, rng: &mut ChaCha8Rng, row: Vec<u32>) -> MaskedRow {
        let row = self.cut(row);
        let mut masked = Vec::new();
        for block in self.blocks(row.len()) {
            let count = masking::count(rng.random(), block.len(), 1.0);
            masked.extend(masking::positions(rng, block, count));
        }
        MaskedRow::new(row, masked, self.data.config.mask_token_id)
    }

    /// Leaves out the blocks of padding behind the block in which a text ends. No other block attends to them.
    fn cut(&self, mut row: Vec<u32>) -> Vec<u32> {
        let (options, end) = (self.data.options, self.data.config.eos_token_id);
        let ends = |i: &usize| row[*i] == end;
        if options.form == RowForm::Padded
            && let Some(end) = (options.prompt..row.len()).find(ends)
        {
            row.truncate((end / self.block + 1) * self.block);
        }
        row
    }

    /// The positions of each block that may be masked, in a row of `length` tokens. Blocks count from position 0.
    fn blocks(&self, length: usize) -> impl Iterator<Item = Range<usize>> {
        let (block, prompt) = (self.block, self.data.options.prompt);
        let starts = (0..length).step_by(block);
        let blocks = starts.map(move |start| start.max(prompt)..length.min(start + block));
        blocks.filter(|block| !block.is_empty())
    }

    /// The weights of the masked tokens of a row.
    fn weights(&self, row: &MaskedRow) -> Vec<f64> {
        let length = row.target.len();
        let all = length - self.data.options.prompt;
        let mut weights = Vec::with_capacity(row.predicted.len());
        for block in self.blocks(length) {
            let count = row.predicted.iter().filter(|i| block.contains(i)).count();
            let weight = block.len() as f64 / (count * all) as f64;
            weights.extend(std::iter::repeat_n(weight, count));
        }
        weights
    }

    /// The sum of the losses of these rows.
    fn pass(&self, model: &DreamModule, rows: &[MaskedRow]) -> Tensor<1> {
        let bias = twins(rows, self.block, &model.norm.gamma.device());
        let log_p = log_probabilities_of_twins(model, rows, &bias);
        let weights: Vec<_> = rows.iter().map(|row| self.weights(row)).collect();
        loss(log_p, rows, &weights)
    }
}

/// The bias of attention [B, 1, 2T, 2T] over masked rows and their whole twins behind them, T being the length of the longest
/// row.
fn twins(rows: &[MaskedRow], block: usize, device: &Device) -> Tensor<4> {
    let length = longest(rows);
    let mut bias = vec![UNSEEN; rows.len() * 4 * length * length];
    for (row, bias) in rows.iter().zip(bias.chunks_exact_mut(4 * length * length)) {
        for (query, keys) in bias.chunks_exact_mut(2 * length).enumerate() {
            let (is_whole, own) = (query >= length, query % length / block);
            for key in 0..row.target.len() {
                let of = key / block;
                let (masked, whole) =
                    if is_whole { (false, of <= own) } else { (of == own, of < own) };
                for (place, seen) in [(key, masked), (length + key, whole)] {
                    if seen {
                        keys[place] = 0.0;
                    }
                }
            }
        }
    }
    Tensor::from_data(TensorData::new(bias, [rows.len(), 1, 2 * length, 2 * length]), device)
}

impl<R: RowSource> Objective<DreamModule> for BlockDiffusion<'_, R> {
    fn loss(
        &self,
        model: &DreamModule,
        step: u64,
        _progress: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError> {
        let seed = self.data.options.run.seed ^ MASKS;
        let mask = |index, row| self.masked(&mut masking::stream(seed, index), row);
        self.data.step_loss(model, (step, rows), mask, |rows| self.pass(model, rows))
    }

    fn validate(&self, averaged: &DreamModule) -> Result<BTreeMap<String, f64>, TrainError> {
        let mask = |number, row| self.masked(&mut masking::stream(VALIDATION, number), row);
        let figure = self.data.held_out(|rows| self.pass(averaged, rows), mask)?;
        Ok([(format!("blocks of {}", self.block), figure)].into())
    }

    fn save(&self, averaged: &DreamModule) -> Result<(), TrainError> {
        self.data.save(averaged)
    }

    fn identity(&self) -> Identity {
        self.data.identity()
    }

    fn tokens_per_step(&self) -> u64 {
        self.data.tokens_per_step()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{letter_tokenizer, letters, losses, tiny_run};
    use super::super::{BaseOptions, train_on};
    use super::*;
    use crate::model::testing::shaken;
    use burn::tensor::Int;
    use burn::tensor::activation::log_softmax;

    /// Texts of 1 to 6 letters, padded to 8.
    fn texts(index: u64) -> Result<Vec<u32>, TrainError> {
        let length = 1 + (index * 5 % 6) as u32;
        let text = (0..length).map(|i| 2 + (index as u32 + i * i) % 4);
        Ok(text.chain(std::iter::repeat(1)).take(8).collect())
    }

    type RowFn = fn(u64) -> Result<Vec<u32>, TrainError>;

    fn with_objective(prompt: usize, test: impl FnOnce(&BlockDiffusion<'_, RowFn>)) {
        let dir = tempfile::tempdir().unwrap();
        let options = BaseOptions { attention_block: Some(3), prompt, ..tiny_run(dir.path(), 1) };
        let (tokenizer, rows) = (letter_tokenizer(), texts as RowFn);
        let config = options.config(&tokenizer).unwrap();
        let data = Data::new(&rows, &tokenizer, &options, config).unwrap();
        test(&BlockDiffusion::new(data, 3));
    }

    #[test]
    fn every_block_up_to_the_end_has_a_masked_token() {
        for prompt in [0, 1, 4] {
            with_objective(prompt, |objective| {
                let mut seen = [0; 4];
                for index in 0..600 {
                    let row = texts(index).unwrap();
                    let masked = objective.masked(&mut masking::stream(1, index), row.clone());
                    let end = (prompt..8).find(|&i| row[i] == 1).unwrap();
                    let length = masked.target.len();
                    assert_eq!(length, 8.min((end / 3 + 1) * 3));
                    assert_eq!(masked.target, row[..length]);
                    for start in (0..length).step_by(3) {
                        let block = start.max(prompt)..length.min(start + 3);
                        let count = masked.predicted.iter().filter(|i| block.contains(i)).count();
                        assert!(block.is_empty() || count > 0, "{masked:?}");
                        if block.len() == 3 {
                            seen[count] += 1;
                        }
                    }
                    assert!(masked.predicted.iter().all(|&i| i >= prompt));
                    let sum: f64 = objective.weights(&masked).iter().sum();
                    assert!((sum - 1.0).abs() < 1e-9);
                }
                // The numbers of masked tokens of a whole block are equally likely. A prompt of 4 leaves no whole block.
                let all: i32 = seen.iter().sum();
                assert_eq!(all > 0, prompt < 4);
                assert!(
                    all == 0 || seen[1..].iter().all(|n| (n - all / 3).abs() < all / 10),
                    "{seen:?}"
                );
            });
        }
    }

    /// As in decoding: whole blocks before, the masked block, and nothing behind it.
    #[test]
    fn a_block_is_predicted_from_its_masked_tokens_and_the_whole_blocks_before_it() {
        with_objective(0, |objective| {
            let device = Device::default();
            let model = shaken(DreamModule::tied(&objective.data.config, &device), 1);
            let rows: Vec<_> = (0..6)
                .map(|i| objective.masked(&mut masking::stream(1, i), texts(i).unwrap()))
                .collect();
            assert!(rows.iter().any(|row| row.target.len() != rows[0].target.len()));
            let log_p = log_probabilities_of_twins(&model, &rows, &twins(&rows, 3, &device));
            let mut expected = 0.0;
            for (number, row) in rows.iter().enumerate() {
                let weights = objective.weights(row);
                for (&i, weight) in row.predicted.iter().zip(weights) {
                    let (start, end) = (i / 3 * 3, row.target.len().min(i / 3 * 3 + 3));
                    let seen = [&row.target[..start], &row.input[start..end]].concat();
                    let seen: Vec<i32> = seen.iter().map(|&id| id as i32).collect();
                    let ids: Tensor<2, Int> =
                        Tensor::from_data(TensorData::new(seen, [1, end]), &device);
                    let alone = log_softmax(model.logits(model.predicting(ids)), 2);
                    let part = |of: &Tensor<3>, row: usize| -> Vec<f32> {
                        let part = of.clone().slice([row..row + 1, i..i + 1, 0..8]);
                        part.into_data().iter().collect()
                    };
                    let (alone, twin) = (part(&alone, 0), part(&log_p, number));
                    let off = alone.iter().zip(&twin).map(|(a, b)| (a - b).abs());
                    assert!(off.fold(0.0, f32::max) < 1e-5, "{alone:?} {twin:?}");
                    expected -= weight as f32 * alone[row.target[i] as usize];
                }
            }
            let loss = objective.pass(&model, &rows).into_scalar::<f32>();
            assert!((loss - expected).abs() < 1e-4, "{loss} {expected}");
        });
    }

    #[test]
    fn a_model_learns_in_blocks_and_its_checkpoint_has_their_length() {
        let dir = tempfile::tempdir().unwrap();
        let options = BaseOptions { attention_block: Some(4), ..tiny_run(dir.path(), 400) };
        let run = |options: &BaseOptions| train_on(&letters, &letter_tokenizer(), options);
        let summary = run(&options).unwrap();
        // The second block repeats the first, whose letters are random: ln 4 / 2 = 0.69 nats a token.
        let names: Vec<_> = summary.validation.keys().collect();
        assert_eq!(names, ["blocks of 4"]);
        assert!((0.65..0.95).contains(&summary.validation["blocks of 4"]), "{summary:?}");
        let curve = losses(dir.path());
        assert!(curve[390..].iter().sum::<f64>() < 0.75 * curve[..10].iter().sum::<f64>());
        let json = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["model_type"], &json["block_size"]), (&"a2d-qwen2".into(), &4.into()));
        // A run that starts from it has its blocks, and none resumes with others.
        let weights = dir.path().join("model.safetensors");
        assert_eq!(BaseOptions::from_weights(&weights).unwrap().attention_block, Some(4));
        let other = BaseOptions { attention_block: Some(2), ..options };
        let rejected = run(&other).unwrap_err().to_string();
        assert!(rejected.contains("attention_block"), "{rejected}");
    }
}
