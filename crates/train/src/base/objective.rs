//! The masked diffusion objective: masked rows of each step, their loss, and validation at fixed masking levels.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::data::{Data, VALIDATION};
use super::decoding_blocks::mask_block;
use super::loss::{entropies, even_loss, log_probabilities, loss, padding};
use super::progressive::{Progressive, Slot};
use super::rows::RowSource;
use crate::error::TrainError;
use crate::masking::{self, MaskedRow};
use crate::model::DreamModule;
use crate::run::{Identity, Objective};

/// Training on rows that are masked at random, masked as in decoding in blocks, or unmasked progressively. A batch has
/// its rows in this order.
pub(crate) struct MaskedDiffusion<'a, R> {
    data: Data<'a, R>,
    /// The number of rows of each batch that are masked as in decoding in blocks.
    in_blocks: usize,
    progressive: Progressive,
}

impl<'a, R: RowSource> MaskedDiffusion<'a, R> {
    pub fn new(data: Data<'a, R>) -> Self {
        let options = data.options;
        let rows = |share: f64| (share * options.run.batch as f64).round() as usize;
        let progressive = rows(options.progressive_share);
        // Both shares may be rounded up.
        let in_blocks = rows(options.block_share).min(options.run.batch - progressive);
        Self {
            in_blocks,
            progressive: Progressive::new(progressive, options.progressive_turns),
            data,
        }
    }

    /// The masked rows `rows` of step `step`'s batch.
    fn batch(
        &self,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Vec<MaskedRow>, TrainError> {
        let (data, options) = (&self.data, self.data.options);
        let (batch, mask_id) = (options.run.batch, data.config.mask_token_id);
        let limit = if progress < options.early_share { options.early_limit } else { 1.0 };
        // One stream for the levels of a step, and one for the positions of each of its rows.
        let mut rng = masking::stream(options.run.seed, step);
        let progressive = self.progressive.per_step();
        let random = batch - progressive - self.in_blocks;
        let mut levels = masking::levels(&mut rng, random);
        levels.extend(masking::levels(&mut rng, self.in_blocks));
        // The first rows in the slots start at random stages, so that the slots stay spread over all stages.
        levels.extend(if step < options.progressive_turns as u64 {
            masking::levels(&mut rng, progressive)
        } else {
            vec![1.0; progressive]
        });
        rows.map(|j| {
            let slot = self.slot(step, j);
            if let Some(Slot { row, masked }) = slot.and_then(|slot| self.progressive.get(slot)) {
                return Ok(MaskedRow::new(data.row(row)?, masked, mask_id));
            }
            let index = step * batch as u64 + j as u64;
            let row = data.row(index)?;
            let maskable = data.maskable(&row);
            let mut rng = masking::stream(options.run.seed ^ POSITIONS, index);
            if (random..random + self.in_blocks).contains(&j) {
                let block = (options.block_length, levels[j]);
                return Ok(mask_block(&mut rng, row, maskable, block, mask_id));
            }
            let limit = if slot.is_some() { 1.0 } else { limit };
            let count = masking::count(levels[j], maskable.len(), limit);
            let masked = masking::positions(&mut rng, maskable, count);
            if let Some(slot) = slot {
                self.progressive.fill(slot, Slot { row: index, masked: masked.clone() });
            }
            Ok(MaskedRow::new(row, masked, mask_id))
        })
        .collect()
    }

    /// The slot of row `row` of step `step`'s batch, or `None` if the row is not progressive.
    fn slot(&self, step: u64, row: usize) -> Option<usize> {
        let turn = row.checked_sub(self.data.options.run.batch - self.progressive.per_step())?;
        Some(self.progressive.slot(step, turn))
    }

    /// The loss of the rows of one pass, given their numbers in the batch.
    fn pass(
        &self,
        model: &DreamModule,
        step: u64,
        (numbers, rows): (&[usize], &[MaskedRow]),
    ) -> Tensor<1> {
        let log_p = log_probabilities(model, rows, padding);
        let length = log_p.dims()[1];
        let mut all_entropies = None;
        let mut weights = Vec::with_capacity(rows.len());
        for (j, (&number, row)) in numbers.iter().zip(rows).enumerate() {
            let Some(slot) = self.slot(step, number) else {
                weights.push(row.even());
                continue;
            };
            let all_entropies = all_entropies.get_or_insert_with(|| entropies(&log_p));
            let entropy = |&i: &usize| all_entropies[j * length + i];
            let masked_entropies: Vec<f64> = row.predicted.iter().map(entropy).collect();
            weights.push(self.data.options.window.weights_by(&masked_entropies));
            self.progressive.reveal(slot, &masked_entropies);
        }
        loss(log_p, rows, &weights)
    }

    /// The mean negative log-likelihood of held-out rows that `mask` masks.
    fn held_out(
        &self,
        model: &DreamModule,
        mask: impl Fn(&mut ChaCha8Rng, Vec<u32>, Range<usize>) -> MaskedRow,
    ) -> Result<f64, TrainError> {
        let pass = |rows: &[MaskedRow]| even_loss(model, rows, padding);
        self.data.held_out(pass, |number, row| {
            let maskable = self.data.maskable(&row);
            mask(&mut masking::stream(VALIDATION, number), row, maskable)
        })
    }
}

/// Separates the random streams of the positions from those of the counts.
const POSITIONS: u64 = 0x706f_7369_7469_6f6e;

impl<R: RowSource> Objective<DreamModule> for MaskedDiffusion<'_, R> {
    fn loss(
        &self,
        model: &DreamModule,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError> {
        let masked = self.batch(step, progress, rows.clone())?;
        let rows = rows.zip(masked).collect();
        Ok(self.data.loss(model, rows, |numbers, rows| self.pass(model, step, (numbers, rows))))
    }

    fn validate(&self, averaged: &DreamModule) -> Result<BTreeMap<String, f64>, TrainError> {
        let mask_id = self.data.config.mask_token_id;
        let mut figures = BTreeMap::new();
        for (name, share) in [("masked 10 %", 0.1), ("masked 50 %", 0.5), ("masked 90 %", 0.9)] {
            let figure = self.held_out(averaged, |rng, row, maskable| {
                let count = ((share * maskable.len() as f64).round() as usize).max(1);
                MaskedRow::new(row, masking::positions(rng, maskable, count), mask_id)
            })?;
            figures.insert(name.to_owned(), figure);
        }
        if self.in_blocks > 0 {
            let length = self.data.options.block_length;
            let figure = self.held_out(averaged, |rng, row, maskable| {
                let level = rng.random();
                mask_block(rng, row, maskable, (length, level), mask_id)
            })?;
            figures.insert(format!("blocks of {length}"), figure);
        }
        Ok(figures)
    }

    fn save(&self, averaged: &DreamModule) -> Result<(), TrainError> {
        self.data.save(averaged)
    }

    fn identity(&self) -> Identity {
        self.data.identity()
    }

    fn carried(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self.progressive.state())
    }

    fn carry_on(&self, carried: Value) -> Result<(), serde_json::Error> {
        self.progressive.restore(serde_json::from_value(carried)?);
        Ok(())
    }

    fn tokens_per_step(&self) -> u64 {
        self.data.tokens_per_step()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BaseOptions, RowForm, TextTokenizer};
    use crate::masking::Window;
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
        test(&MaskedDiffusion::new(Data::new(&rows, &tokenizer, &options, config).unwrap()));
    }

    #[test]
    fn early_rows_are_lightly_masked_and_prompts_are_not_masked() {
        with_objective(|objective| {
            let most = |progress| {
                let rows = (0..40).flat_map(|step| objective.batch(step, progress, 0..6).unwrap());
                rows.map(|row| {
                    assert_eq!(row.input[..2], row.target[..2]);
                    row.predicted.len()
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
            test(objective, &shaken(DreamModule::tied(&objective.data.config, &device), 1));
        });
    }

    #[test]
    fn progressive_rows_are_unmasked_by_lowest_entropy_and_then_replaced() {
        with_progressive(0.5, 1, |objective, model| {
            let first = objective.batch(0, 1.0, 0..6).unwrap();
            let counts: Vec<_> = first[3..].iter().map(|row| row.predicted.len()).collect();
            // Three strata of 1..=6.
            assert!(counts.iter().zip([1..=2, 3..=4, 5..=6]).all(|(n, range)| range.contains(n)));
            let mut before = first;
            let mut finished = 0;
            for step in 0..20 {
                let log_p = log_probabilities(model, &before[3..], padding);
                let entropies = entropies(&log_p);
                // The parts of a batch may be computed in any order.
                let parts = [4..6, 0..4].map(|rows| objective.loss(model, step, 1.0, rows));
                for part in parts {
                    assert!(part.unwrap().into_scalar::<f32>().is_finite());
                }
                let after = objective.batch(step + 1, 1.0, 0..6).unwrap();
                for (slot, (old, new)) in before[3..].iter().zip(&after[3..]).enumerate() {
                    let entropy = |i: &usize| entropies[slot * 8 + i];
                    let lowest = old.predicted.iter().map(entropy).fold(f64::INFINITY, f64::min);
                    let next = old.predicted.iter().find(|&i| entropy(i) <= lowest + 1e-4);
                    let left: Vec<_> =
                        old.predicted.iter().filter(|i| Some(*i) != next).copied().collect();
                    if left.is_empty() {
                        let index = (step + 1) * 6 + 3 + slot as u64;
                        assert_eq!(new.target, objective.data.row(index).unwrap());
                        assert_eq!(new.predicted, [2, 3, 4, 5, 6, 7]);
                        finished += 1;
                    } else {
                        assert_eq!((&new.target, &new.predicted), (&old.target, &left));
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
                    match before.filter(|before| before.predicted.len() > 1) {
                        None => assert_eq!(row.target, objective.data.row(new).unwrap()),
                        Some(before) => {
                            assert_eq!(row.target, before.target);
                            assert_eq!(row.predicted.len() + 1, before.predicted.len());
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
            let log_p = log_probabilities(model, &rows, padding);
            let entropies = entropies(&log_p);
            let [_, length, vocabulary] = log_p.dims();
            let values: Vec<f32> = log_p.into_data().iter::<f32>().collect();
            let expected: f32 = rows
                .iter()
                .enumerate()
                .map(|(j, row)| {
                    let entropy = |i: usize| entropies[j * length + i];
                    let next = row.predicted.iter().copied();
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
        let objective =
            MaskedDiffusion::new(Data::new(&rows, &tokenizer, &options, config).unwrap());
        let mut most = BTreeMap::new();
        for step in 0..40 {
            let batch = objective.batch(step, 1.0, 0..8).unwrap();
            // The loss, row by row: of the masked positions alone, none of which is the last.
            let mut expected = 0.0;
            for row in &batch {
                let end = row.target.len() - 1;
                assert_eq!((row.input[end], row.target[end]), (1, 1));
                assert!(row.predicted.iter().all(|i| (2..end).contains(i)), "{row:?}");
                let longest = most.entry(end).or_insert(0);
                *longest = row.predicted.len().max(*longest);
                let log_p = log_probabilities(&model, std::slice::from_ref(row), padding);
                let log_p: Vec<f32> = log_p.into_data().iter().collect();
                for &i in &row.predicted {
                    let p = log_p[i * objective.data.config.vocab_size + row.target[i] as usize];
                    expected -= p / (row.predicted.len() * 8) as f32;
                }
            }
            let loss = [0..5, 5..8]
                .map(|rows| objective.loss(&model, step, 1.0, rows).unwrap().into_scalar::<f32>());
            assert!((loss[0] + loss[1] - expected).abs() < 1e-4, "{loss:?} {expected}");
        }
        // Rows of every length occur, and all of a text may be masked.
        assert_eq!((most.len(), most[&3], most[&8]), (6, 1, 6), "{most:?}");
        let short: RowFn = |_| Ok(vec![2, 3, 1]);
        let objective = MaskedDiffusion::new(
            Data::new(&short, &tokenizer, &options, objective.data.config.clone()).unwrap(),
        );
        let rejected = objective.batch(0, 1.0, 0..8).unwrap_err().to_string();
        assert!(rejected.contains("none of its 3 tokens"), "{rejected}");
    }

    #[test]
    fn a_batch_has_its_share_of_rows_in_blocks() {
        let options = BaseOptions {
            block_share: 0.5,
            block_length: 3,
            progressive_share: 1.0 / 6.0,
            ..BaseOptions::default()
        };
        with_options(options, |objective| {
            for step in 0..30 {
                let batch = objective.batch(step, 1.0, 0..6).unwrap();
                assert_eq!(objective.batch(step, 1.0, 1..4).unwrap(), batch[1..4]);
                for (number, row) in batch.iter().enumerate() {
                    // The blocks are 2..5 and 5..8.
                    let start = if row.predicted[0] < 5 { 2 } else { 5 };
                    let is_in_blocks = (2..5).contains(&number);
                    let after = if is_in_blocks { start + 3..8 } else { 8..8 };
                    for i in 0..8 {
                        let is_masked = row.predicted.contains(&i) || after.contains(&i);
                        let mask = objective.data.config.mask_token_id;
                        assert_eq!(row.input[i], if is_masked { mask } else { row.target[i] });
                    }
                    let block = if is_in_blocks { start..start + 3 } else { 2..8 };
                    assert!(row.predicted.iter().all(|i| block.contains(i)), "{row:?}");
                }
            }
        });
    }

    #[test]
    fn a_uniform_model_has_the_log_of_the_vocabulary_size_as_loss() {
        with_objective(|objective| {
            let model = DreamModule::tied(&objective.data.config, &Default::default());
            for (level, loss) in objective.validate(&model).unwrap() {
                assert!(
                    (loss - (objective.data.config.vocab_size as f64).ln()).abs() < 1e-5,
                    "{level}"
                );
            }
        });
    }
}
