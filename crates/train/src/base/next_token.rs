//! The objective of next-token prediction, as a start for masked diffusion.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;

use super::data::Data;
use super::loss::{causal, even_loss};
use super::rows::RowSource;
use crate::error::TrainError;
use crate::masking::MaskedRow;
use crate::model::DreamModule;
use crate::run::{Identity, Objective};

/// Training on whole rows under a causal mask.
///
/// Dream's shift makes the row of position i that of the hidden state i − 1, as in a next-token predictor. Position 0
/// bears no loss: its row comes from its own hidden state, which sees its token.
pub(crate) struct NextToken<'a, R>(pub Data<'a, R>);

impl<R: RowSource> NextToken<'_, R> {
    /// Row `row` with the positions that are predicted. No token of its input is masked.
    fn visible(&self, row: Vec<u32>) -> MaskedRow {
        let maskable = self.0.maskable(&row);
        let predicted = maskable.start.max(1)..maskable.end;
        MaskedRow { input: row.clone(), target: row, predicted: predicted.collect() }
    }
}

impl<R: RowSource> Objective<DreamModule> for NextToken<'_, R> {
    fn loss(
        &self,
        model: &DreamModule,
        step: u64,
        _progress: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError> {
        let pass = |rows: &[MaskedRow]| even_loss(model, rows, causal);
        self.0.step_loss(model, (step, rows), |_, row| self.visible(row), pass)
    }

    fn validate(&self, averaged: &DreamModule) -> Result<BTreeMap<String, f64>, TrainError> {
        let pass = |rows: &[MaskedRow]| even_loss(averaged, rows, causal);
        let figure = self.0.held_out(pass, |_, row| self.visible(row))?;
        Ok([("next token".to_owned(), figure)].into())
    }

    fn save(&self, averaged: &DreamModule) -> Result<(), TrainError> {
        self.0.save(averaged)
    }

    fn identity(&self) -> Identity {
        self.0.identity()
    }

    fn tokens_per_step(&self) -> u64 {
        self.0.tokens_per_step()
    }
}

#[cfg(test)]
mod tests {
    use super::super::loss::log_probabilities;
    use super::super::testing::{letter_tokenizer, letters, tiny_run};
    use super::super::{BaseOptions, RowForm, train_on};
    use super::*;
    use crate::model::testing::shaken;

    #[test]
    fn the_loss_covers_all_tokens_after_the_prompt_and_the_first_position() {
        let dir = tempfile::tempdir().unwrap();
        let rows = |index: u64| -> Result<Vec<u32>, TrainError> {
            let length = 2 + (index % 4) as u32;
            Ok((0..length).map(|i| 2 + (index as u32 + i) % 4).chain([1]).collect())
        };
        for (prompt, first) in [(0, 1), (1, 1), (2, 2)] {
            let options = BaseOptions {
                next_token: true,
                form: RowForm::GivenEnd,
                prompt,
                ..tiny_run(dir.path(), 1)
            };
            let rows = move |index| rows(index * 2 + u64::from(prompt == 2));
            let tokenizer = letter_tokenizer();
            let config = options.config(&tokenizer).unwrap();
            let device = burn::tensor::Device::default();
            let model = shaken(DreamModule::tied(&config, &device), 1);
            let data = Data::new(&rows, &tokenizer, &options, config).unwrap();
            let objective = NextToken(data);
            let mut expected = 0.0;
            for index in 12..18 {
                let row = rows(index).unwrap();
                let end = row.len() - 1;
                // Each token from the tokens before it alone. The shift takes the row before the last one's.
                let nll = |i: usize| {
                    let known = [&row[..i], &[0]].concat();
                    let known = [MaskedRow::new(known, vec![], 0)];
                    let log_p = log_probabilities(&model, &known, causal);
                    let log_p: Vec<f32> = log_p.into_data().iter().collect();
                    -log_p[i * model.config().vocab_size + row[i] as usize]
                };
                let predicted = first..end;
                let count = predicted.len() as f32;
                expected += predicted.map(nll).sum::<f32>() / count / 6.0;
            }
            let loss = [0..2, 2..6].map(|rows| objective.loss(&model, 2, 0.0, rows).unwrap());
            let loss: f32 = loss.into_iter().map(|part| part.into_scalar::<f32>()).sum();
            assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        }
    }

    #[test]
    fn a_next_token_predictor_is_a_start_for_masked_diffusion() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let options = BaseOptions { next_token: true, ..tiny_run(&first, 400) };
        let run = |options| train_on(&letters, &letter_tokenizer(), options).unwrap();
        let summary = run(&options);
        // The second half of a row repeats the first: ln 4 · 3 / 7 = 0.59 nats a token.
        let names: Vec<_> = summary.validation.keys().collect();
        assert_eq!(names, ["next token"]);
        assert!((0.5..0.75).contains(&summary.validation["next token"]), "{summary:?}");
        let mut further = BaseOptions { block_share: 0.5, block_length: 4, ..tiny_run(&second, 1) };
        further.run.init = Some(first.join("model.safetensors"));
        let names: Vec<_> = run(&further).validation.into_keys().collect();
        assert_eq!(names, ["blocks of 4", "masked 10 %", "masked 50 %", "masked 90 %"]);
        // The run does not resume with the other objective.
        let other = BaseOptions { next_token: false, ..options };
        let rejected = train_on(&letters, &letter_tokenizer(), &other).unwrap_err().to_string();
        assert!(rejected.contains("next_token"), "{rejected}");
    }
}
