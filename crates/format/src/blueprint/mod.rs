//! The structure of a model, read from its `config.json`.
//!
//! Each architecture is one file that reads its own `config.json` keys into a [`Blueprint`]. Code that uses a
//! [`Blueprint`] depends on the kind of its [`Body`] only, not on the architecture.

mod architecture;
mod bert;
mod blocks;
mod encoder;
mod encoder_kind;
mod heads;
mod keys;
mod kinds;
mod llada;
mod modernbert;
mod qwen;
mod read;
mod related;
mod structure;
#[cfg(test)]
mod tests;

pub use encoder::{Activation, AttentionSpan, Encoder, NormOrder, Qkv, Stack};
pub use structure::{Blueprint, Body, LayerNames, Names, Overrides};
