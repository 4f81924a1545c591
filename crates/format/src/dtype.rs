//! Element types of weights.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// Element types that weights may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
#[doc(alias = "precision")]
pub enum DType {
    /// IEEE single precision.
    #[doc(alias("fp32", "f32"))]
    Float32,
    /// IEEE half precision.
    #[doc(alias("fp16", "f16"))]
    Float16,
    /// Single precision with the mantissa cut to 7 bits.
    #[doc(alias("bf16", "bfloat16"))]
    BFloat16,
}

impl DType {
    /// Decodes little-endian `bytes` and appends the numbers to `floats`.
    #[doc(hidden)]
    pub fn append(self, floats: &mut Vec<f32>, bytes: &[u8]) {
        match self {
            Self::Float32 => {
                floats.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
            }
            Self::Float16 => {
                floats.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()));
            }
            Self::BFloat16 => {
                floats.extend(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()));
            }
        }
    }
}
