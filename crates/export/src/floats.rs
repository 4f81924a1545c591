//! Weights of every type as float32.

use half::{bf16, f16};

use crate::manifest::DType;

/// Appends the numbers that these bytes hold.
pub(crate) fn extend(floats: &mut Vec<f32>, bytes: &[u8], dtype: DType) {
    match dtype {
        DType::Float32 => floats.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
        DType::Float16 => {
            floats.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()));
        }
        DType::BFloat16 => {
            floats.extend(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()));
        }
    }
}
