//! The masked diffusion objective: masked rows of each step, their loss, and validation at fixed masking levels.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;
use serde_json::Value;

use super::loss::{entropies, log_probabilities, loss};
use super::options::BaseOptions;
use super::passes::passes;
use super::progressive::{Progressive, Slot};
use super::row_form::RowForm;
use super::rows::{HELD_OUT, RowSource};
use super::tokenizer::TextTokenizer;
use crate::error::TrainError;
use crate::masking::{self, MaskedRow, Window};
use crate::model::{DreamConfig, DreamModule, checkpoint};
use crate::run::{Identity, Objective, identity};

/// Training on rows that are masked at random or unmasked progressively.
pub(crate) struct MaskedDiffusion<'a, R> {
    rows: &'a R,
    tokenizer: &'a TextTokenizer,
    options: &'a BaseOptions,
    config: DreamConfig,
    /// The mean number of tokens of a row.
    mean_length: f64,
    /// The progressive rows, which are the last rows of each batch.
    progressive: Progressive,
}

impl<'a, R: RowSource> MaskedDiffusion<'a, R> {
    pub fn new(
        rows: &'a R,
        tokenizer: &'a TextTokenizer,
        options: &'a BaseOptions,
        config: DreamConfig,
    ) -> Result<Self, TrainError> {
        let share = options.progressive_share * options.run.batch as f64;
        let progressive = Progressive::new(share.round() as usize, options.progressive_turns);
        let mean_length = rows.mean_length()?.unwrap_or(options.length as f64);
        Ok(Self { rows, tokenizer, options, config, mean_length, progressive })
    }

    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError> {
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
    fn maskable(&self, row: &[u32]) -> Range<usize> {
        self.options.prompt..row.len().saturating_sub(self.options.form.given())
    }

    /// The masked rows `rows` of step `step`'s batch.
    fn batch(
        &self,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Vec<MaskedRow>, TrainError> {
        let (options, batch) = (self.options, self.options.run.batch);
        let limit = if progress < options.early_share { options.early_limit } else { 1.0 };
        // One stream for the levels of a step, and one for the positions of each of its rows.
        let mut rng = masking::stream(options.run.seed, step);
        let progressive = self.progressive.per_step();
        let random = batch - progressive;
        let mut levels = masking::levels(&mut rng, random);
        // The first rows in the slots start at random stages, so that the slots stay spread over all stages.
        levels.extend(if step < options.progressive_turns as u64 {
            masking::levels(&mut rng, progressive)
        } else {
            vec![1.0; progressive]
        });
        rows.map(|j| {
            let slot = self.slot(step, j);
            if let Some(Slot { row, masked }) = slot.and_then(|slot| self.progressive.get(slot)) {
                return Ok(MaskedRow::new(self.row(row)?, masked, self.config.mask_token_id));
            }
            let index = step * batch as u64 + j as u64;
            let row = self.row(index)?;
            let maskable = self.maskable(&row);
            let limit = if slot.is_some() { 1.0 } else { limit };
            let count = masking::count(levels[j], maskable.len(), limit);
            let mut rng = masking::stream(options.run.seed ^ POSITIONS, index);
            let masked = masking::positions(&mut rng, maskable, count);
            if let Some(slot) = slot {
                self.progressive.fill(slot, Slot { row: index, masked: masked.clone() });
            }
            Ok(MaskedRow::new(row, masked, self.config.mask_token_id))
        })
        .collect()
    }

    /// The slot of row `row` of step `step`'s batch, or `None` if the row is masked at random.
    fn slot(&self, step: u64, row: usize) -> Option<usize> {
        let turn = row.checked_sub(self.options.run.batch - self.progressive.per_step())?;
        Some(self.progressive.slot(step, turn))
    }

    /// The part of step `step`'s loss that one pass contributes: `numbers` are the rows' numbers in the batch.
    fn pass(
        &self,
        model: &DreamModule,
        step: u64,
        (numbers, rows): (&[usize], &[MaskedRow]),
    ) -> Tensor<1> {
        let log_p = log_probabilities(model, rows);
        let length = log_p.dims()[1];
        let mut all_entropies = None;
        let mut weights = Vec::with_capacity(rows.len());
        for (j, (&number, row)) in numbers.iter().zip(rows).enumerate() {
            let count = row.masked.len();
            let Some(slot) = self.slot(step, number) else {
                weights.push(Window::default().weights(count).collect());
                continue;
            };
            let all_entropies = all_entropies.get_or_insert_with(|| entropies(&log_p));
            let entropy = |&i: &usize| all_entropies[j * length + i];
            let masked_entropies: Vec<f64> = row.masked.iter().map(entropy).collect();
            weights.push(self.options.window.weights_by(&masked_entropies));
            self.progressive.reveal(slot, &masked_entropies);
        }
        loss(log_p, rows, &weights).div_scalar(self.options.run.batch as f32)
    }

    /// The mean negative log-likelihood of held-out rows with `share` of their tokens masked.
    fn held_out(&self, model: &DreamModule, share: f64) -> Result<f64, TrainError> {
        let mut total = 0.0;
        for start in (0..self.options.validation_rows).step_by(32) {
            let end = (start + 32).min(self.options.validation_rows);
            let rows: Result<Vec<_>, TrainError> = (start..end)
                .map(|i| {
                    let row = self.row(HELD_OUT + i as u64)?;
                    let maskable = self.maskable(&row);
                    let count = ((share * maskable.len() as f64).round() as usize).max(1);
                    let mut rng = masking::stream(VALIDATION, i as u64);
                    let masked = masking::positions(&mut rng, maskable, count);
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

/// Separates the random streams of the positions from those of the counts.
const POSITIONS: u64 = 0x706f_7369_7469_6f6e;
/// The seed of validation masks. It is the same in every run, so that runs can be compared.
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
        let parts = passes(rows.zip(masked).collect()).into_iter().map(|pass| {
            let (numbers, rows): (Vec<_>, Vec<_>) = pass.into_iter().unzip();
            self.pass(model, step, (&numbers, &rows))
        });
        let none = || Tensor::zeros([1], &model.norm.gamma.device());
        Ok(parts.reduce(|sum, part| sum + part).unwrap_or_else(none))
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
        self.tokenizer.save(dir)
    }

    fn identity(&self) -> Identity {
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
        identity.extend(form.map(|form| (form.to_owned(), "true".to_owned())));
        identity
    }

    fn carried(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self.progressive.state())
    }

    fn carry_on(&self, carried: Value) -> Result<(), serde_json::Error> {
        self.progressive.restore(serde_json::from_value(carried)?);
        Ok(())
    }

    fn tokens_per_step(&self) -> u64 {
        (self.options.run.batch as f64 * self.mean_length).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{echo, shaken};
    use burn::tensor::Device;

    type RowFn = fn(u64) -> Result<Vec<u32>, TrainError>;

    fn with_objective(test: impl FnOnce(&MaskedDiffusion<'_, RowFn>)) {
        with_options(BaseOptions::default(), test);
    }

    fn with_options(options: BaseOptions, test: impl FnOnce(&MaskedDiffusion<'_, RowFn>)) {
        let rows: RowFn = |index| echo(4)(index);
        let tokenizer = TextTokenizer::of_characters("abcd", &[]).unwrap();
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
        test(&MaskedDiffusion::new(&rows, &tokenizer, &options, config).unwrap());
    }

    #[test]
    fn early_rows_are_lightly_masked_and_prompts_are_not_masked() {
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
    fn parts_of_a_batch_equal_the_whole_batch() {
        with_objective(|objective| {
            let whole = objective.batch(3, 0.5, 0..6).unwrap();
            assert_eq!(objective.batch(3, 0.5, 2..5).unwrap(), whole[2..5]);
            assert_ne!(objective.batch(4, 0.5, 0..6).unwrap(), whole);
        });
    }

    /// Runs `test` with a window of one row, and a model whose entropies all differ.
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
    fn progressive_rows_are_unmasked_by_lowest_entropy_and_then_replaced() {
        with_progressive(0.5, 1, |objective, model| {
            let first = objective.batch(0, 1.0, 0..6).unwrap();
            let counts: Vec<_> = first[3..].iter().map(|row| row.masked.len()).collect();
            // Three strata of 1..=6.
            assert!(counts.iter().zip([1..=2, 3..=4, 5..=6]).all(|(n, range)| range.contains(n)));
            let mut before = first;
            let mut finished = 0;
            for step in 0..20 {
                let log_p = log_probabilities(model, &before[3..]);
                let entropies = entropies(&log_p);
                // The parts of a batch may be computed in any order.
                let parts = [4..6, 0..4].map(|rows| objective.loss(model, step, 1.0, rows));
                for part in parts {
                    assert!(part.unwrap().into_scalar::<f32>().is_finite());
                }
                let after = objective.batch(step + 1, 1.0, 0..6).unwrap();
                for (slot, (old, new)) in before[3..].iter().zip(&after[3..]).enumerate() {
                    let entropy = |i: &usize| entropies[slot * 8 + i];
                    let lowest = old.masked.iter().map(entropy).fold(f64::INFINITY, f64::min);
                    let next = old.masked.iter().find(|&i| entropy(i) <= lowest + 1e-4);
                    let left: Vec<_> =
                        old.masked.iter().filter(|i| Some(*i) != next).copied().collect();
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
    fn progressive_rows_take_turns() {
        with_progressive(0.5, 3, |objective, model| {
            let batch = |step| objective.batch(step, 1.0, 0..6).unwrap();
            let batches: Vec<_> = (0..9)
                .map(|step| {
                    let rows = batch(step);
                    objective.loss(model, step, 1.0, 0..6).unwrap();
                    rows
                })
                .collect();
            let mut continued = 0;
            for (step, rows) in batches.iter().enumerate() {
                for (slot, row) in rows.iter().enumerate().skip(3) {
                    let new = step as u64 * 6 + slot as u64;
                    let before = step.checked_sub(3).map(|before| &batches[before][slot]);
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
    fn the_loss_of_a_progressive_row_covers_its_window_only() {
        with_progressive(1.0, 1, |objective, model| {
            let rows = objective.batch(0, 1.0, 0..6).unwrap();
            let log_p = log_probabilities(model, &rows);
            let entropies = entropies(&log_p);
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
    fn a_given_end_is_never_masked_and_bears_no_loss() {
        // Texts of 1 to 6 tokens after a prompt of 2, and the end token 1.
        let rows: RowFn = |index| {
            let length = 3 + (index % 6) as usize;
            Ok([vec![2 + (index % 4) as u32; length], vec![1]].concat())
        };
        let tokenizer = TextTokenizer::of_characters("abcd", &[]).unwrap();
        let mut options = BaseOptions {
            form: RowForm::GivenEnd,
            hidden_size: 16,
            layers: 1,
            intermediate_size: 8,
            length: 9,
            prompt: 2,
            progressive_share: 0.5,
            ..BaseOptions::default()
        };
        options.run.batch = 8;
        let config = options.config(&tokenizer).unwrap();
        let device = Device::default().autodiff();
        let model = shaken(DreamModule::tied(&config, &device), 1);
        let objective = MaskedDiffusion::new(&rows, &tokenizer, &options, config).unwrap();
        let mut most = BTreeMap::new();
        for step in 0..40 {
            let batch = objective.batch(step, 1.0, 0..8).unwrap();
            // The loss, row by row: of the masked positions alone, none of which is the last.
            let mut expected = 0.0;
            for row in &batch {
                let end = row.target.len() - 1;
                assert_eq!((row.input[end], row.target[end]), (1, 1));
                assert!(row.masked.iter().all(|i| (2..end).contains(i)), "{row:?}");
                let longest = most.entry(end).or_insert(0);
                *longest = row.masked.len().max(*longest);
                let log_p = log_probabilities(&model, std::slice::from_ref(row));
                let log_p: Vec<f32> = log_p.into_data().iter().collect();
                for &i in &row.masked {
                    let p = log_p[i * objective.config.vocab_size + row.target[i] as usize];
                    expected -= p / (row.masked.len() * 8) as f32;
                }
            }
            let loss = [0..5, 5..8]
                .map(|rows| objective.loss(&model, step, 1.0, rows).unwrap().into_scalar::<f32>());
            assert!((loss[0] + loss[1] - expected).abs() < 1e-4, "{loss:?} {expected}");
        }
        // Rows of every length occur, and all of a text may be masked.
        assert_eq!((most.len(), most[&3], most[&8]), (6, 1, 6), "{most:?}");
        let short: RowFn = |_| Ok(vec![2, 3, 1]);
        let objective =
            MaskedDiffusion::new(&short, &tokenizer, &options, objective.config.clone()).unwrap();
        let rejected = objective.batch(0, 1.0, 0..8).unwrap_err().to_string();
        assert!(rejected.contains("none of its 3 tokens"), "{rejected}");
    }

    #[test]
    fn a_uniform_model_has_the_log_of_the_vocabulary_size_as_loss() {
        with_objective(|objective| {
            let model = DreamModule::tied(&objective.config, &Default::default());
            for (level, loss) in objective.validate(&model).unwrap() {
                assert!((loss - (objective.config.vocab_size as f64).ln()).abs() < 1e-5, "{level}");
            }
        });
    }
}
