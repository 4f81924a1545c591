//! The hardware that a graph runs on.

use std::fmt;
use std::str::FromStr;

use ort::ep::ExecutionProviderDispatch;
use ort::session::Session;

use crate::Error;
use crate::runtime::{self, Runtime};

/// An execution provider of ONNX Runtime.
///
/// One that is asked for and not there is an error; nothing falls back to the CPU in silence.
/// (Operators that a device does not have still run on the CPU, which ONNX Runtime decides.)
///
/// ```
/// use conjoint_onnx::ExecutionProvider;
/// assert_eq!("cuda".parse::<ExecutionProvider>()?, ExecutionProvider::Cuda);
/// # Ok::<(), conjoint_onnx::Error>(())
/// ```
#[doc(alias = "CUDA")]
#[doc(alias = "TensorRT")]
#[doc(alias = "GPU")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExecutionProvider {
    /// The processor, by ONNX Runtime's own kernels. Always there.
    #[default]
    Cpu,
    /// NVIDIA GPUs. Needs feature `cuda`.
    Cuda,
    /// NVIDIA GPUs through TensorRT, and through CUDA where TensorRT has no kernel. Needs feature
    /// `tensorrt`.
    TensorRt,
}

impl ExecutionProvider {
    /// The first of `preferences` that this build and the loaded ONNX Runtime have.
    ///
    /// Loads ONNX Runtime if that has not happened yet. A provider counts as available when its
    /// libraries load; a device that then fails is an error when a model is opened.
    ///
    /// # Errors
    /// [`Error::NoProvider`], and those of [`runtime::init`].
    pub fn first_available(preferences: &[Self]) -> Result<Self, Error> {
        let runtime = runtime::load(None)?;
        let mut reasons = Vec::new();
        for &provider in preferences {
            match provider.register(Session::builder(&runtime.environment), runtime) {
                Ok(_) => return Ok(provider),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(Error::NoProvider { reasons })
    }

    /// Whether graphs run, and keep their hidden states, on a device of its own.
    pub(crate) fn is_device(self) -> bool {
        self != Self::Cpu
    }

    /// What to register with a session, most wanted first.
    fn dispatches(self) -> Result<Vec<ExecutionProviderDispatch>, Error> {
        match self {
            // Registered by ONNX Runtime itself, with its arena.
            Self::Cpu => Ok(Vec::new()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(vec![ort::ep::CUDA::default().build().error_on_failure()]),
            #[cfg(feature = "tensorrt")]
            Self::TensorRt => Ok(vec![
                ort::ep::TensorRT::default().build().error_on_failure(),
                ort::ep::CUDA::default().build().error_on_failure(),
            ]),
            #[allow(unreachable_patterns)] // reached in a build without those features
            Self::Cuda => Err(Error::ProviderNotCompiled { provider: self, feature: "cuda" }),
            #[allow(unreachable_patterns)]
            Self::TensorRt => {
                Err(Error::ProviderNotCompiled { provider: self, feature: "tensorrt" })
            }
        }
    }

    /// Registers it with a session that is being built.
    ///
    /// # Errors
    /// [`Error::ProviderNotCompiled`] and [`Error::ProviderAbsent`].
    pub(crate) fn register(
        self,
        builder: ort::Result<ort::session::builder::SessionBuilder>,
        runtime: &Runtime,
    ) -> Result<ort::session::builder::SessionBuilder, Error> {
        let dispatches = self.dispatches()?;
        let registered = builder.and_then(|builder| {
            builder.with_execution_providers(dispatches).map_err(ort::Error::from)
        });
        registered.map_err(|error| Error::ProviderAbsent {
            provider: self,
            runtime: runtime.path.clone(),
            reason: error.to_string(),
        })
    }
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

impl FromStr for ExecutionProvider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::Cpu, Self::Cuda, Self::TensorRt]
            .into_iter()
            .find(|provider| provider.to_string().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| Error::UnknownProvider(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        use ExecutionProvider::*;
        for provider in [Cpu, Cuda, TensorRt] {
            assert_eq!(provider.to_string().parse::<ExecutionProvider>().unwrap(), provider);
            let lower = provider.to_string().to_lowercase();
            assert_eq!(lower.parse::<ExecutionProvider>().unwrap(), provider);
        }
        let error = "gpu".parse::<ExecutionProvider>().unwrap_err();
        assert!(matches!(error, Error::UnknownProvider(ref name) if name == "gpu"), "{error}");
    }
}
