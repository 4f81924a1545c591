//! Which ONNX operators graphs are made of.

use serde::{Deserialize, Serialize};

/// Which ONNX operators RMS norms, rotary embeddings, attention and GELU are made of.
///
/// Both sets compute the same function, up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[doc(alias = "opset")]
pub enum Operators {
    /// `RMSNormalization`, `RotaryEmbedding`, `Attention` and `Gelu` of opset 23. They are faster where a
    /// provider implements them, as ONNX Runtime's CPU provider does.
    #[default]
    Fused,
    /// Simpler operators of opset 18, such as `MatMul`, `Softmax` and `ReduceMean`. Every importer has them,
    /// TensorRT's included.
    #[doc(alias = "TensorRT")]
    Portable,
}
