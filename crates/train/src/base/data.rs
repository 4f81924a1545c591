//! The checked rows of a run, and what the objectives of a base model share.

use std::ops::Range;

use burn::tensor::Tensor;

use super::options::BaseOptions;
use super::passes::{Numbered, passes};
use super::row_form::RowForm;
use super::rows::{HELD_OUT, RowSource};
use super::tokenizer::TextTokenizer;
use crate::error::TrainError;
use crate::masking::MaskedRow;
use crate::model::{DreamConfig, DreamModule, checkpoint};
use crate::run::{Identity, identity};

/// The seed of validation masks. It is the same in every run, so that runs can be compared.
pub(super) const VALIDATION: u64 = 0x7661_6c69_6461_7465;

/// Rows, the model's sizes, and the options of a run.
pub(crate) struct Data<'a, R> {
    rows: &'a R,
    tokenizer: &'a TextTokenizer,
    pub options: &'a BaseOptions,
    pub config: DreamConfig,
    /// The mean number of tokens of a row.
    mean_length: f64,
}

impl<'a, R: RowSource> Data<'a, R> {
    pub fn new(
        rows: &'a R,
        tokenizer: &'a TextTokenizer,
        options: &'a BaseOptions,
        config: DreamConfig,
    ) -> Result<Self, TrainError> {
        let mean_length = rows.mean_length()?.unwrap_or(options.length as f64);
        Ok(Self { rows, tokenizer, options, config, mean_length })
    }

    /// Row `index`, checked.
    pub fn row(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        let row = self.rows.row(index)?;
        let rejected = |reason| Err(TrainError::Row { row: index, reason });
        let (got, length) = (row.len(), self.options.length);
        if self.options.form == RowForm::GivenEnd {
            if got > length || row.last() != Some(&self.config.eos_token_id) {
                return rejected(format!(
                    "it has {got} tokens, expected at most {length}, the last one being the end token"
                ));
            }
        } else if got != length {
            return rejected(format!("it has {got} tokens, expected {length}"));
        }
        if self.maskable(&row).is_empty() {
            return rejected(format!("none of its {got} tokens can be masked"));
        }
        if let Some(id) = row.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            return rejected(format!(
                "id {id} is outside the vocabulary of {}",
                self.config.vocab_size
            ));
        }
        Ok(row)
    }

    /// The positions of a row that may be masked.
    pub fn maskable(&self, row: &[u32]) -> Range<usize> {
        self.options.prompt..row.len().saturating_sub(self.options.form.given())
    }

    /// The loss of a part of a batch: the sum of the losses that `pass` returns for the rows of each forward pass, given
    /// their numbers in the batch.
    pub fn loss(
        &self,
        model: &DreamModule,
        rows: Vec<Numbered>,
        mut pass: impl FnMut(&[usize], &[MaskedRow]) -> Tensor<1>,
    ) -> Tensor<1> {
        let parts = passes(rows).into_iter().map(|part| {
            let (numbers, rows): (Vec<_>, Vec<_>) = part.into_iter().unzip();
            pass(&numbers, &rows).div_scalar(self.options.run.batch as f32)
        });
        let none = || Tensor::zeros([1], &model.norm.gamma.device());
        parts.reduce(|sum, part| sum + part).unwrap_or_else(none)
    }

    /// As [`loss`](Self::loss), for the rows `rows` of step `step`'s batch, each masked by `mask`, which receives its index.
    pub fn step_loss(
        &self,
        model: &DreamModule,
        (step, rows): (u64, Range<usize>),
        mask: impl Fn(u64, Vec<u32>) -> MaskedRow,
        pass: impl Fn(&[MaskedRow]) -> Tensor<1>,
    ) -> Result<Tensor<1>, TrainError> {
        let first = step * self.options.run.batch as u64;
        let masked = |j| {
            let index = first + j as u64;
            Ok((j, mask(index, self.row(index)?)))
        };
        let rows: Result<Vec<_>, TrainError> = rows.map(masked).collect();
        Ok(self.loss(model, rows?, |_, rows| pass(rows)))
    }

    /// The mean loss of the held-out rows, each masked by `mask`, which receives its number. `pass` returns the sum of the
    /// losses of rows.
    pub fn held_out(
        &self,
        pass: impl Fn(&[MaskedRow]) -> Tensor<1>,
        mask: impl Fn(u64, Vec<u32>) -> MaskedRow,
    ) -> Result<f64, TrainError> {
        let mut total = 0.0;
        let count = self.options.validation_rows as u64;
        for start in (0..count).step_by(32) {
            let masked = |number| Ok(mask(number, self.row(HELD_OUT + number)?));
            let rows: Result<Vec<_>, TrainError> =
                (start..(start + 32).min(count)).map(masked).collect();
            total += f64::from(pass(&rows?).into_scalar::<f32>());
        }
        Ok(total / count as f64)
    }

    /// Writes `averaged` and the tokenizer into the run's folder.
    pub fn save(&self, averaged: &DreamModule) -> Result<(), TrainError> {
        let dir = &self.options.run.dir;
        checkpoint::save(averaged, dir, self.options.precision)?;
        self.tokenizer.save(dir)
    }

    pub fn identity(&self) -> Identity {
        let (config, options) = (&self.config, self.options);
        let mut identity = identity([
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
        ]);
        identity.extend(self.rows.identity());
        // Omitted by default, so that runs of earlier versions can resume.
        let form = match options.form {
            RowForm::Padded => None,
            RowForm::Packed => Some("packed"),
            RowForm::GivenEnd => Some("given_end"),
        };
        let block = options.attention_block.map(|block| block.to_string());
        identity.extend(block.map(|block| ("attention_block".to_owned(), block)));
        let next_token = options.next_token.then_some("next_token");
        let flags = form.into_iter().chain(next_token);
        identity.extend(flags.map(|name| (name.to_owned(), "true".to_owned())));
        identity
    }

    pub fn tokens_per_step(&self) -> u64 {
        (self.options.run.batch as f64 * self.mean_length).round() as u64
    }
}
