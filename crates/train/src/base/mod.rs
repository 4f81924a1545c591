//! Training of a small base model: masked diffusion on rows of texts.
//!
//! - [`TextSource`]: the texts, of the built-in corpus or of a file.
//! - [`RowForm`]: how they fill rows.
//! - [`TextTokenizer`]: the tokenizer of the texts, which becomes that of the model.

mod block_diffusion;
mod data;
mod decoding_blocks;
#[cfg(test)]
mod loop_tests;
mod loss;
mod next_token;
mod objective;
mod options;
mod passes;
mod progressive;
mod row_form;
mod rows;
mod special;
#[cfg(test)]
mod testing;
mod texts;
mod tokenizer;
mod train;

pub use options::BaseOptions;
pub use row_form::RowForm;
pub use rows::{HELD_OUT, RowSource};
pub use texts::{TextFile, TextSource, Validation};
pub use tokenizer::{EOS, MASK, TextTokenizer};
pub use train::{train_base, train_on};
