//! Training of a small base model: masked diffusion on rows of a fixed length.

#[cfg(test)]
mod loop_tests;
mod loss;
mod objective;
mod options;
mod progressive;
mod rows;
#[cfg(test)]
mod testing;
mod tokenizer;
mod train;

pub use options::BaseOptions;
pub use rows::{HELD_OUT, RowSource};
pub use tokenizer::{CharTokenizer, EOS, MASK};
pub use train::{train_base, train_on};
