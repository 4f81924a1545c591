//! The masked diffusion objective: drawing masked rows, their loss, and validation at fixed levels.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use conjoint_trajectory::digest;
use serde_json::Value;

use crate::TrainError;
use crate::base::{BaseOptions, HELD_OUT, RowSource};
use crate::checkpoint;
use crate::config::DreamConfig;
use crate::dream::{DreamModule, shift};
use crate::identity::{Identity, identity};
use crate::masking::{self, MaskedRow};
use crate::progressive::{Progressive, Slot};
use crate::tokenizer::CharTokenizer;
use crate::trainer::Objective;
use crate::window::Window;

/// Rows masked at random or on their way through decoding, and the model's likelihood of what was there.
pub(crate) struct MaskedDiffusion<'a, R> {
    rows: &'a R,
    tokenizer: &'a CharTokenizer,
    options: &'a BaseOptions,
    config: DreamConfig,
    /// The last rows of each batch.
    progressive: Progressive,
}

impl<'a, R: RowSource> MaskedDiffusion<'a, R> {
    pub fn new(
        rows: &'a R,
        tokenizer: &'a CharTokenizer,
        options: &'a BaseOptions,
        config: DreamConfig,
    ) -> Self {
        let share = options.progressive_share * options.run.batch as f64;
        let progressive = Progressive::new(share.round() as usize, options.progressive_turns);
        Self { rows, tokenizer, options, config, progressive }
    }

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
        let maskable = options.prompt..options.length;
        // One stream for the counts of a step, and one for the positions of each of its rows.
        let mut rng = masking::stream(options.run.seed, step);
        let progressive = self.progressive.per_step();
        let random = batch - progressive;
        let mut counts = masking::counts(&mut rng, random, maskable.len(), limit);
        // The first rows in the slots start anywhere on their way, so that the slots stay spread over it.
        counts.extend(if step < options.progressive_turns as u64 {
            masking::counts(&mut rng, progressive, maskable.len(), 1.0)
        } else {
            vec![maskable.len(); progressive]
        });
        rows.map(|j| {
            let fresh = || {
                let row = step * batch as u64 + j as u64;
                let mut rng = masking::stream(options.run.seed ^ POSITIONS, row);
                Slot { row, masked: masking::positions(&mut rng, maskable.clone(), counts[j]) }
            };
            let Slot { row, masked } = match self.slot(step, j) {
                Some(slot) => self.progressive.get_or(slot, fresh),
                None => fresh(),
            };
            Ok(MaskedRow::new(self.row(row)?, masked, self.config.mask_token_id))
        })
        .collect()
    }

    /// The slot that row `row` of step `step`'s batch comes from, if it is not masked at random.
    fn slot(&self, step: u64, row: usize) -> Option<usize> {
        let turn = row.checked_sub(self.options.run.batch - self.progressive.per_step())?;
        Some(self.progressive.slot(step, turn))
    }

    /// The mean negative log likelihood of `share` of the tokens of held-out rows, masked.
    fn held_out(&self, model: &DreamModule, share: f64) -> Result<f64, TrainError> {
        let maskable = self.options.prompt..self.options.length;
        let count = ((share * maskable.len() as f64).round() as usize).max(1);
        let mut total = 0.0;
        for start in (0..self.options.validation_rows).step_by(32) {
            let end = (start + 32).min(self.options.validation_rows);
            let rows: Result<Vec<_>, TrainError> = (start..end)
                .map(|i| {
                    let mut rng = masking::stream(VALIDATION, i as u64);
                    let masked = masking::positions(&mut rng, maskable.clone(), count);
                    let row = self.row(HELD_OUT + i as u64)?;
                    Ok(MaskedRow::new(row, masked, self.config.mask_token_id))
                })
                .collect();
            let rows = rows?;
            let even = |row: &MaskedRow| Window::default().weights(row.masked.len()).collect();
            let weights: Vec<Vec<f64>> = rows.iter().map(even).collect();
            let loss = loss(log_probabilities(model, &rows), &rows, &weights);
            total += f64::from(loss.into_scalar::<f32>());
        }
        Ok(total / self.options.validation_rows as f64)
    }
}

/// Sets the positions' random streams apart from the counts'.
const POSITIONS: u64 = 0x706f_7369_7469_6f6e;
/// The seed of validation masks, the same in every run, so that runs can be compared.
const VALIDATION: u64 = 0x7661_6c69_6461_7465;

impl<R: RowSource> Objective<DreamModule> for MaskedDiffusion<'_, R> {
    fn loss(
        &self,
        model: &DreamModule,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError> {
        let masked = self.batch(step, progress, rows.clone())?;
        let log_p = log_probabilities(model, &masked);
        let mut entropies = None;
        let mut weights = Vec::with_capacity(masked.len());
        for (j, (row, masked)) in rows.zip(&masked).enumerate() {
            let count = masked.masked.len();
            let Some(slot) = self.slot(step, row) else {
                weights.push(Window::default().weights(count).collect());
                continue;
            };
            let entropies = entropies.get_or_insert_with(|| entropies_of(&log_p));
            let entropy = |&i: &usize| entropies[j * self.options.length + i];
            let entropies: Vec<f64> = masked.masked.iter().map(entropy).collect();
            weights.push(self.options.window.weights_by(&entropies));
            self.progressive.reveal(slot, &entropies);
        }
        Ok(loss(log_p, &masked, &weights).div_scalar(self.options.run.batch as f32))
    }

    fn validate(&self, averaged: &DreamModule) -> Result<BTreeMap<String, f64>, TrainError> {
        let levels = [("masked 10 %", 0.1), ("masked 50 %", 0.5), ("masked 90 %", 0.9)];
        levels
            .into_iter()
            .map(|(name, share)| Ok((name.to_owned(), self.held_out(averaged, share)?)))
            .collect()
    }

    fn save(&self, averaged: &DreamModule) -> Result<(), TrainError> {
        let dir = &self.options.run.dir;
        checkpoint::save(averaged, dir, self.options.precision)?;
        self.tokenizer.save(&dir.join("tokenizer.json"))
    }

    fn identity(&self) -> Identity {
        let (config, options) = (&self.config, self.options);
        // Enough of them to tell other texts by.
        let texts: Vec<_> = (HELD_OUT..HELD_OUT + 64).flat_map(|row| self.rows.row(row)).collect();
        identity([
            ("kind", "base".to_owned()),
            ("texts", digest(texts.iter().map(Vec::as_slice))),
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

    fn carried(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self.progressive.state())
    }

    fn carry_on(&self, carried: Value) -> Result<(), serde_json::Error> {
        self.progressive.restore(serde_json::from_value(carried)?);
        Ok(())
    }

    fn tokens_per_step(&self) -> u64 {
        (self.options.run.batch * self.options.length) as u64
    }
}

/// `of` each row as a matrix [B, T].
fn ids(rows: &[MaskedRow], of: fn(&MaskedRow) -> &Vec<u32>, device: &Device) -> Tensor<2, Int> {
    let length = rows.first().map_or(0, |row| row.target.len());
    let ids: Vec<i32> = rows.iter().flat_map(of).map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(ids, [rows.len(), length]), device)
}

/// The model's log-probabilities on the masked rows, [B, T, V].
fn log_probabilities(model: &DreamModule, rows: &[MaskedRow]) -> Tensor<3> {
    let input = ids(rows, |row| &row.input, &model.norm.gamma.device());
    log_softmax(model.logits(shift(model.forward(input))), 2)
}

/// The entropies of log-probabilities [B, T, V] in nats, B · T of them; no gradient flows through them.
fn entropies_of(log_p: &Tensor<3>) -> Vec<f64> {
    let log_p = log_p.clone().inner();
    let entropies = (log_p.clone().exp() * log_p).sum_dim(2).neg();
    entropies.into_data().iter::<f32>().map(f64::from).collect()
}

/// The weighted negative log-likelihood of what was masked in each row, summed over the rows, in nats.
fn loss(log_p: Tensor<3>, rows: &[MaskedRow], weights: &[Vec<f64>]) -> Tensor<1> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{echo, shaken};

    type RowFn = fn(u64) -> Result<Vec<u32>, TrainError>;

    fn with_objective(test: impl FnOnce(&MaskedDiffusion<'_, RowFn>)) {
        with_options(BaseOptions::default(), test);
    }

    fn with_options(options: BaseOptions, test: impl FnOnce(&MaskedDiffusion<'_, RowFn>)) {
        let rows: RowFn = |index| echo(4)(index);
        let tokenizer = CharTokenizer::new("abcd", &[]).unwrap();
        let mut options = BaseOptions {
            hidden_size: 16,
            layers: 1,
            intermediate_size: 8,
            length: 8,
            prompt: 2,
            ..options
        };
        options.run.batch = 6;
        let config = options.config(&tokenizer).unwrap();
        test(&MaskedDiffusion::new(&rows, &tokenizer, &options, config));
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

    /// With a window of one row, and a model that takes no two positions for equal.
    fn with_progressive(
        progressive_share: f64,
        progressive_turns: usize,
        test: impl FnOnce(&MaskedDiffusion<'_, RowFn>, &DreamModule),
    ) {
        let window = Window { rows: Some(1), share: 1.0 };
        let options =
            BaseOptions { progressive_share, progressive_turns, window, ..BaseOptions::default() };
        with_options(options, |objective| {
            let device = Device::default().autodiff();
            test(objective, &shaken(DreamModule::tied(&objective.config, &device), 1));
        });
    }

    #[test]
    fn progressive_rows_are_unmasked_surest_first_and_then_make_room() {
        with_progressive(0.5, 1, |objective, model| {
            let first = objective.batch(0, 1.0, 0..6).unwrap();
            let counts: Vec<_> = first[3..].iter().map(|row| row.masked.len()).collect();
            // Three strata of 1..=6.
            assert!(counts.iter().zip([1..=2, 3..=4, 5..=6]).all(|(n, range)| range.contains(n)));
            let mut before = first;
            let mut finished = 0;
            for step in 0..20 {
                let log_p = log_probabilities(model, &before[3..]);
                let entropies = entropies_of(&log_p);
                // The parts of a batch may be asked for in any order.
                let parts = [4..6, 0..4].map(|rows| objective.loss(model, step, 1.0, rows));
                for part in parts {
                    assert!(part.unwrap().into_scalar::<f32>().is_finite());
                }
                let after = objective.batch(step + 1, 1.0, 0..6).unwrap();
                for (slot, (old, new)) in before[3..].iter().zip(&after[3..]).enumerate() {
                    let entropy = |i: &usize| entropies[slot * 8 + i];
                    let lowest = old.masked.iter().map(entropy).fold(f64::INFINITY, f64::min);
                    let surest = old.masked.iter().find(|&i| entropy(i) <= lowest + 1e-4);
                    let left: Vec<_> =
                        old.masked.iter().filter(|i| Some(*i) != surest).copied().collect();
                    if left.is_empty() {
                        let index = (step + 1) * 6 + 3 + slot as u64;
                        assert_eq!(new.target, objective.row(index).unwrap());
                        assert_eq!(new.masked, [2, 3, 4, 5, 6, 7]);
                        finished += 1;
                    } else {
                        assert_eq!((&new.target, &new.masked), (&old.target, &left));
                    }
                }
                before = after;
            }
            assert!(finished >= 9, "{finished}");
        });
    }

    #[test]
    fn progressive_rows_have_their_turns() {
        with_progressive(0.5, 3, |objective, model| {
            let batch = |step| objective.batch(step, 1.0, 0..6).unwrap();
            let met: Vec<_> = (0..9)
                .map(|step| {
                    let rows = batch(step);
                    objective.loss(model, step, 1.0, 0..6).unwrap();
                    rows
                })
                .collect();
            let mut continued = 0;
            for (step, rows) in met.iter().enumerate() {
                for (slot, row) in rows.iter().enumerate().skip(3) {
                    let new = step as u64 * 6 + slot as u64;
                    let before = step.checked_sub(3).map(|before| &met[before][slot]);
                    match before.filter(|before| before.masked.len() > 1) {
                        None => assert_eq!(row.target, objective.row(new).unwrap()),
                        Some(before) => {
                            assert_eq!(row.target, before.target);
                            assert_eq!(row.masked.len() + 1, before.masked.len());
                            continued += 1;
                        }
                    }
                }
            }
            assert!(continued >= 9, "{continued}");
        });
    }

    #[test]
    fn only_the_window_of_a_progressive_row_counts() {
        with_progressive(1.0, 1, |objective, model| {
            let rows = objective.batch(0, 1.0, 0..6).unwrap();
            let log_p = log_probabilities(model, &rows);
            let entropies = entropies_of(&log_p);
            let [_, length, vocabulary] = log_p.dims();
            let values: Vec<f32> = log_p.into_data().iter::<f32>().collect();
            let expected: f32 = rows
                .iter()
                .enumerate()
                .map(|(j, row)| {
                    let entropy = |i: usize| entropies[j * length + i];
                    let next = row.masked.iter().copied();
                    let next = next.min_by(|&a, &b| entropy(a).total_cmp(&entropy(b))).unwrap();
                    -values[(j * length + next) * vocabulary + row.target[next] as usize] / 6.0
                })
                .sum();
            let loss = objective.loss(model, 0, 1.0, 0..6).unwrap().into_scalar::<f32>();
            assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        });
    }

    #[test]
    fn a_model_that_knows_nothing_pays_the_logarithm_of_the_vocabulary() {
        with_objective(|objective| {
            let model = DreamModule::tied(&objective.config, &Default::default());
            for (level, loss) in objective.validate(&model).unwrap() {
                assert!((loss - (objective.config.vocab_size as f64).ln()).abs() < 1e-5, "{level}");
            }
        });
    }
}
