//! The masked diffusion objective: drawing masked rows, their loss, and validation at fixed levels.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use crate::TrainError;
use crate::base::{BaseOptions, HELD_OUT, Rows};
use crate::checkpoint;
use crate::config::DreamConfig;
use crate::dream::{Dream, shift};
use crate::identity::{Identity, identity};
use crate::masking::{self, MaskedRow};
use crate::tokenizer::CharTokenizer;
use crate::trainer::Objective;

/// Rows masked at random, and the model's likelihood of what was there.
pub(crate) struct MaskedDiffusion<'a, R> {
    pub rows: &'a R,
    pub tokenizer: &'a CharTokenizer,
    pub options: &'a BaseOptions,
    pub config: DreamConfig,
}

impl<R: Rows> MaskedDiffusion<'_, R> {
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        let row = self.rows.row(index)?;
        let bad = |reason| Err(TrainError::Row { row: index, reason });
        if row.len() != self.options.length {
            return bad(format!("it has {} tokens, expected {}", row.len(), self.options.length));
        }
        if let Some(id) = row.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            return bad(format!("id {id} is outside the vocabulary of {}", self.config.vocab_size));
        }
        Ok(row)
    }

    /// The rows `rows` of step `step`'s batch, masked.
    fn batch(
        &self,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Vec<MaskedRow>, TrainError> {
        let (options, batch) = (self.options, self.options.run.batch);
        let limit = if progress < options.early_share { options.early_limit } else { 1.0 };
        // One stream for the counts of a step, and one for the positions of each of its rows.
        let first = step * batch as u64;
        let mut rng = masking::stream(options.run.seed, step);
        let counts = masking::counts(&mut rng, batch, options.length - options.prompt, limit);
        rows.map(|j| {
            let index = first + j as u64;
            let mut rng = masking::stream(options.run.seed ^ POSITIONS, index);
            let maskable = options.prompt..options.length;
            Ok(masking::mask(
                &mut rng,
                self.row(index)?,
                maskable,
                counts[j],
                self.config.mask_token_id,
            ))
        })
        .collect()
    }

    /// The mean negative log likelihood of `share` of the tokens of held-out rows, masked.
    fn held_out(&self, model: &Dream, share: f64) -> Result<f64, TrainError> {
        let maskable = self.options.prompt..self.options.length;
        let count = ((share * maskable.len() as f64).round() as usize).max(1);
        let mut total = 0.0;
        for start in (0..self.options.validation_rows).step_by(32) {
            let end = (start + 32).min(self.options.validation_rows);
            let rows: Result<Vec<_>, TrainError> = (start..end)
                .map(|i| {
                    let mut rng = masking::stream(VALIDATION, i as u64);
                    let row = self.row(HELD_OUT + i as u64)?;
                    Ok(masking::mask(
                        &mut rng,
                        row,
                        maskable.clone(),
                        count,
                        self.config.mask_token_id,
                    ))
                })
                .collect();
            total += f64::from(row_losses(model, &rows?).into_scalar::<f32>());
        }
        Ok(total / self.options.validation_rows as f64)
    }
}

/// Sets the positions' random streams apart from the counts'.
const POSITIONS: u64 = 0x706f_7369_7469_6f6e;
/// The seed of validation masks, the same in every run, so that runs can be compared.
const VALIDATION: u64 = 0x7661_6c69_6461_7465;

impl<R: Rows> Objective<Dream> for MaskedDiffusion<'_, R> {
    fn loss(
        &self,
        model: &Dream,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError> {
        let rows = self.batch(step, progress, rows)?;
        Ok(row_losses(model, &rows).div_scalar(self.options.run.batch as f32))
    }

    fn validate(&self, averaged: &Dream) -> Result<BTreeMap<String, f64>, TrainError> {
        let levels = [("masked 10 %", 0.1), ("masked 50 %", 0.5), ("masked 90 %", 0.9)];
        levels
            .into_iter()
            .map(|(name, share)| Ok((name.to_owned(), self.held_out(averaged, share)?)))
            .collect()
    }

    fn save(&self, averaged: &Dream) -> Result<(), TrainError> {
        let dir = &self.options.run.dir;
        checkpoint::save(averaged, dir, self.options.precision)?;
        self.tokenizer.save(&dir.join("tokenizer.json"))
    }

    fn identity(&self) -> Identity {
        let (config, options) = (&self.config, self.options);
        identity([
            ("kind", "base".to_owned()),
            ("seed", options.run.seed.to_string()),
            ("length", options.length.to_string()),
            ("prompt", options.prompt.to_string()),
            ("hidden", config.hidden_size.to_string()),
            ("layers", config.num_hidden_layers.to_string()),
            ("ffn", config.intermediate_size.to_string()),
            ("heads", config.num_attention_heads.to_string()),
            ("kv_heads", config.num_key_value_heads.to_string()),
            ("rope_theta", config.rope_theta.to_string()),
        ])
    }

    fn tokens_per_step(&self) -> u64 {
        (self.options.run.batch * self.options.length) as u64
    }
}

/// The sum over rows of the mean negative log likelihood of the row's masked tokens, in nats.
fn row_losses(model: &Dream, rows: &[MaskedRow]) -> Tensor<1> {
    let device = model.norm.gamma.device();
    let (batch, length) = (rows.len(), rows.first().map_or(0, |row| row.target.len()));
    let ids = |of: fn(&MaskedRow) -> &Vec<u32>| -> Tensor<2, Int> {
        let ids: Vec<i32> = rows.iter().flat_map(of).map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(ids, [batch, length]), &device)
    };
    let mut weights = vec![0.0f32; batch * length];
    for (j, row) in rows.iter().enumerate() {
        for &i in &row.masked {
            weights[j * length + i] = 1.0 / row.masked.len() as f32;
        }
    }
    let weights: Tensor<2> = Tensor::from_data(TensorData::new(weights, [batch, length]), &device);
    let logits = model.logits(shift(model.forward(ids(|row| &row.input))));
    let targets = ids(|row| &row.target).unsqueeze_dim::<3>(2);
    let likelihood = log_softmax(logits, 2).gather(2, targets).squeeze_dim::<2>(2);
    (likelihood * weights).sum().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::echo;

    type RowFn = fn(u64) -> Result<Vec<u32>, TrainError>;

    fn with_objective(test: impl FnOnce(&MaskedDiffusion<'_, RowFn>)) {
        let rows: RowFn = |index| echo(4)(index);
        let tokenizer = CharTokenizer::new("abcd", &[]).unwrap();
        let mut options = BaseOptions {
            hidden_size: 16,
            layers: 1,
            intermediate_size: 8,
            length: 8,
            prompt: 2,
            ..BaseOptions::default()
        };
        options.run.batch = 6;
        let config = options.config(&tokenizer).unwrap();
        test(&MaskedDiffusion { rows: &rows, tokenizer: &tokenizer, options: &options, config });
    }

    #[test]
    fn early_rows_are_lightly_masked_and_prompts_kept() {
        with_objective(|objective| {
            let most = |progress| {
                let rows = (0..40).flat_map(|step| objective.batch(step, progress, 0..6).unwrap());
                rows.map(|row| {
                    assert_eq!(row.input[..2], row.target[..2]);
                    row.masked.len()
                })
                .max()
            };
            assert_eq!((most(0.2), most(0.5)), (Some(4), Some(6)));
        });
    }

    #[test]
    fn a_part_of_a_batch_is_part_of_the_batch() {
        with_objective(|objective| {
            let whole = objective.batch(3, 0.5, 0..6).unwrap();
            assert_eq!(objective.batch(3, 0.5, 2..5).unwrap(), whole[2..5]);
            assert_ne!(objective.batch(4, 0.5, 0..6).unwrap(), whole);
        });
    }

    #[test]
    fn a_model_that_knows_nothing_pays_the_logarithm_of_the_vocabulary() {
        with_objective(|objective| {
            let model = Dream::tied(&objective.config, &Default::default());
            for (level, loss) in objective.validate(&model).unwrap() {
                assert!((loss - (objective.config.vocab_size as f64).ln()).abs() < 1e-5, "{level}");
            }
        });
    }
}
