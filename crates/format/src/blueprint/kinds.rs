//! Kinds of model that cannot be exported, as error messages name them.

use crate::config::Config;
use crate::error::FormatError;

pub(super) const QUANTISED: &str = "a quantised model (give the original one, in 16 or 32 bits)";
pub(super) const BLOCKS: &str =
    "a block-causal model of an architecture that is exported with full attention only";
pub(super) const EXPERTS: &str = "a mixture of experts";
pub(super) const CAUSAL: &str = "a causal model, which predicts the next token";
pub(super) const IMAGES: &str = "a model of images and text";

/// The error of a configuration whose `key` shows this kind of model.
pub(super) fn other_kind(config: &Config, key: &str, kind: &'static str) -> FormatError {
    let (key, got) = (key.to_owned(), config.describe(key));
    FormatError::OtherKind { path: config.path.clone(), key, got, kind }
}
