//! Linear maps.

use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::FormatError;

/// y = x Wᵀ + b, with W [out, in] as PyTorch stores it.
#[derive(Debug, Clone)]
pub struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Takes `name.weight` and, with `bias`, `name.bias`.
    pub(super) fn take(
        checkpoint: &mut Checkpoint,
        name: &str,
        shape: [usize; 2],
        bias: bool,
    ) -> Result<Self, FormatError> {
        let weight = checkpoint.take(&weight(name), &shape)?;
        let bias =
            bias.then(|| checkpoint.take(&format!("{name}.bias"), &shape[..1])).transpose()?;
        Ok(Self { weight, bias })
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.weight).chain(&self.bias)
    }
}

/// Name of the weight of a linear map, a norm or a table.
pub(crate) fn weight(name: &str) -> String {
    format!("{name}.weight")
}
