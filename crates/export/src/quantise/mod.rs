//! Weights in 8 or 4 bits, in a file of their own.
//!
//! | form | codes | scale | product |
//! |---|---|---|---|
//! | 8 bits | −127 to 127 | one a row of the matrix | of integers: activations get 8 bits too, with a scale a row |
//! | 4 bits | −8 to 7 | one a block of 128 weights of a row | the runtime's kernel for blocks, activations in 8 bits |
//!
//! Tables, which are the embedding and the output layer, have 8 bits in both.

mod codes;
mod plan;
mod store;
mod table;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) use codes::BLOCK;
pub(crate) use plan::Plan;
pub(crate) use store::{QuantisedStore, base_file};
pub(crate) use table::read_table;

/// In how many bits an export stores the matrices of a model's layers.
///
/// Embedding and output layer have 8 bits either way, norms and biases keep the checkpoint's type, and so does the first projection
/// of a sampler layer.
#[doc(alias = "quantization")]
#[doc(alias = "int8")]
#[doc(alias = "int4")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Quantisation {
    /// 8 bits, and a scale for each output. Products are of integers: activations get 8 bits with a scale a row.
    Int8,
    /// 4 bits, and a scale for each 128 weights.
    Int4,
}

impl Quantisation {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Int8, Self::Int4];
}

impl fmt::Display for Quantisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        })
    }
}

impl FromStr for Quantisation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| "expected int8 or int4".into())
    }
}
