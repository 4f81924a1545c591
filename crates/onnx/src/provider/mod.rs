//! Execution providers.

mod registration;

use std::fmt;

/// An execution provider of ONNX Runtime.
///
/// An unavailable provider is an error; there is no silent fallback to the CPU. ONNX Runtime still runs single
/// operators on the CPU that the device does not support.
///
/// ```
/// use conjoint_onnx::ExecutionProvider;
/// assert_eq!("cuda".parse::<ExecutionProvider>()?, ExecutionProvider::Cuda);
/// # Ok::<(), conjoint_onnx::Error>(())
/// ```
#[doc(alias = "CUDA")]
#[doc(alias = "TensorRT")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("GPU", "device", "backend"))]
pub enum ExecutionProvider {
    /// The CPU, with ONNX Runtime's own kernels. Always available.
    #[default]
    Cpu,
    /// NVIDIA GPUs. Requires feature `cuda`.
    Cuda,
    /// NVIDIA GPUs through TensorRT, and through CUDA for operators that TensorRT lacks. Requires feature
    /// `tensorrt`.
    TensorRt,
}

impl fmt::Display for ExecutionProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
        })
    }
}
