//! The texts of a file.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::encode::{Encoding, sha256};
use super::epochs::Epochs;
use super::ids::Ids;
use super::{TextFile, Texts, Validation};
use crate::base::rows::HELD_OUT;
use crate::base::tokenizer::TextTokenizer;
use crate::error::{TrainError, check};
use crate::masking::stream;
use crate::run::RunOptions;

/// The texts of a file, encoded once, in memory.
pub(super) struct FileTexts {
    ids: Ids,
    epochs: Epochs,
    /// The numbers of the texts for validation.
    held_out: Vec<u32>,
    /// The number of tokens of the training texts, each with an end token.
    tokens: u64,
    identity: BTreeMap<String, String>,
}

/// The seed of the choice and the order of the texts for validation. It is the same in every run.
const HOLD_OUT: u64 = 0x686f_6c64_5f6f_7574;

impl FileTexts {
    /// Reads and encodes the texts, for rows of `length` tokens.
    pub fn read(
        file: &TextFile,
        tokenizer: &TextTokenizer,
        length: usize,
        run: &RunOptions,
    ) -> Result<Self, TrainError> {
        let encoding = Encoding { tokenizer, length, skip_long: file.skip_long, run };
        let mut ids = Ids::new(tokenizer.len());
        let mut identity = BTreeMap::from([
            ("texts".to_owned(), encoding.read(&file.path, &mut ids)?),
            ("tokenizer".to_owned(), sha256(tokenizer.json().as_bytes())),
            ("mask".to_owned(), tokenizer.mask().to_string()),
            ("eos".to_owned(), tokenizer.eos().to_string()),
        ]);
        // Without the option, no text is too long.
        if file.skip_long {
            identity.insert("skip_long".to_owned(), "true".to_owned());
        }
        let count = ids.len();
        let mut training: Vec<u32> = (0..numbered(count, file)?).collect();
        let held_out = match &file.validation {
            Validation::HeldOut(most) => {
                check(*most > 0, "held_out", most, "at least 1")?;
                if count < 2 {
                    let reason = "one text is too few, because at least one is held out for validation: \
                                  add texts, or give a file of texts for validation";
                    return Err(TrainError::malformed(&file.path, reason));
                }
                training.shuffle(&mut stream(HOLD_OUT, 0));
                let held_out = training.split_off(count - (*most).min((count / 10).max(1)));
                training.sort_unstable();
                identity.insert("held_out".to_owned(), held_out.len().to_string());
                held_out
            }
            Validation::File(path) => {
                identity.insert("validation".to_owned(), encoding.read(path, &mut ids)?);
                let mut held_out: Vec<u32> = (count as u32..numbered(ids.len(), file)?).collect();
                // The first of them are to represent all.
                held_out.shuffle(&mut stream(HOLD_OUT, 0));
                held_out
            }
        };
        let tokens = training.iter().map(|&text| ids.text_len(text) as u64 + 1).sum();
        Ok(Self { ids, epochs: Epochs::new(training, run.seed), held_out, tokens, identity })
    }
}

/// A count of texts, if they can be numbered in 32 bits.
fn numbered(count: usize, file: &TextFile) -> Result<u32, TrainError> {
    let most = || format!("it has {count} texts, and at most {} are supported", u32::MAX);
    u32::try_from(count).map_err(|_| TrainError::malformed(&file.path, most()))
}

impl Texts for FileTexts {
    /// Training texts are those of all epochs, one after the other. The texts for validation repeat.
    fn text(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        Ok(self.ids.text(match index.checked_sub(HELD_OUT) {
            None => self.epochs.text(index),
            Some(index) => self.held_out[(index % self.held_out.len() as u64) as usize],
        }))
    }

    /// An epoch has as many rows as its tokens fill. Row i begins with the first text that begins at or after token i · T of
    /// the epoch, so that each text begins in some row.
    fn packed_start(&self, row: u64, length: usize) -> u64 {
        match row.checked_sub(HELD_OUT) {
            None => {
                let rows = self.tokens.div_ceil(length as u64);
                self.epochs.start(row / rows, row % rows * length as u64, &self.ids)
            }
            // A row uses at most half as many texts as it has tokens.
            Some(row) => HELD_OUT + row * length.div_ceil(2) as u64,
        }
    }

    fn mean_length(&self) -> Result<f64, TrainError> {
        Ok(self.tokens as f64 / self.epochs.texts().len() as f64 - 1.0)
    }

    fn identity(&self) -> Option<BTreeMap<String, String>> {
        Some(self.identity.clone())
    }
}

#[cfg(test)]
mod tests;
