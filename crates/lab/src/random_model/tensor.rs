use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use safetensors::{Dtype, View};

use crate::{Error, abbreviated};

/// The number format of stored weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// Four bytes per number.
    #[default]
    Float32,
    /// Two bytes per number.
    Bfloat16,
}

impl Storage {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Float32, Self::Bfloat16];

    /// The name that it is parsed from.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Storage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|storage| storage.name() == text);
        found.ok_or_else(|| {
            Error::Name(format!(
                "unknown type '{}': expected float32 or bfloat16",
                abbreviated(text)
            ))
        })
    }
}

/// The distribution of a tensor's values: independent and uniform, with this mean and standard deviation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub mean: f32,
    pub deviation: f32,
}

/// A tensor whose values are made when it is written.
pub(super) struct RandomTensor {
    pub shape: Vec<usize>,
    pub scale: Scale,
    pub storage: Storage,
    pub seed: u64,
    /// The stream of its random numbers. Other tensors do not affect it.
    pub stream: u64,
}

impl View for RandomTensor {
    fn dtype(&self) -> Dtype {
        match self.storage {
            Storage::Float32 => Dtype::F32,
            Storage::Bfloat16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.stream);
        let width = 12_f32.sqrt() * self.scale.deviation;
        let mut bytes = Vec::with_capacity(self.data_len());
        for _ in 0..self.shape.iter().product::<usize>() {
            let uniform = (rng.next_u32() >> 8) as f32 / (1 << 24) as f32;
            let value = self.scale.mean + width * (uniform - 0.5);
            match self.storage {
                Storage::Float32 => bytes.extend(value.to_le_bytes()),
                // The upper half of a float32. A random number needs no rounding.
                Storage::Bfloat16 => bytes.extend_from_slice(&value.to_le_bytes()[2..]),
            }
        }
        bytes.into()
    }

    fn data_len(&self) -> usize {
        let width = if self.storage == Storage::Float32 { 4 } else { 2 };
        self.shape.iter().product::<usize>() * width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(storage: Storage, stream: u64) -> RandomTensor {
        let scale = Scale { mean: 0.5, deviation: 2.0 };
        RandomTensor { shape: vec![50, 200], scale, storage, seed: 3, stream }
    }

    #[test]
    fn values_have_their_scale() {
        let tensor = random(Storage::Float32, 0);
        let bytes = tensor.data();
        assert_eq!(bytes.len(), tensor.data_len());
        let values: Vec<f64> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes).into())
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        // Five standard errors of 10⁴ uniform numbers.
        assert!((mean - 0.5).abs() < 0.1, "{mean}");
        assert!((variance - 4.0).abs() < 0.18, "{variance}");
        assert_ne!(bytes, random(Storage::Float32, 1).data());
        let halves: Vec<u8> =
            bytes.as_chunks::<4>().0.iter().flat_map(|bytes| [bytes[2], bytes[3]]).collect();
        assert_eq!(random(Storage::Bfloat16, 0).data(), halves);
    }
}
