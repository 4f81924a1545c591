//! In how many bits an export stores its matrices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// In how many bits an export stores the matrices of a model's layers.
///
/// The embedding and the output layer have 8 bits in both forms. Norms, biases and the first projection of a
/// sampler layer keep the checkpoint's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
#[doc(alias("quantization", "quantize", "quant"))]
pub enum Quantisation {
    /// 8 bits, with one scale for each output. Products are of integers: activations get 8 bits too, with one
    /// scale for each row.
    #[doc(alias("w8a8", "8-bit"))]
    Int8,
    /// 4 bits, with one scale for each 128 weights.
    #[doc(alias("w4a8", "4-bit"))]
    Int4,
}

impl Quantisation {
    /// Every form.
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
