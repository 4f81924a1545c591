//! Selection of an execution provider, and its registration with a session.

use std::str::FromStr;

use ort::ep::ExecutionProviderDispatch;
use ort::session::Session;

use super::ExecutionProvider;
use crate::error::Error;
use crate::runtime::{self, Runtime};

impl ExecutionProvider {
    /// Returns the first of `preferences` that is available in this build and the loaded ONNX Runtime.
    ///
    /// Loads ONNX Runtime if it is not loaded yet. A provider is available if its libraries load. A device that
    /// fails later is an error when a model is opened.
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

    /// Whether graphs run, and keep their hidden states, on a device other than the CPU.
    pub(crate) fn is_device(self) -> bool {
        self != Self::Cpu
    }

    /// The providers to register with a session, in order of preference.
    fn dispatches(self) -> Result<Vec<ExecutionProviderDispatch>, Error> {
        match self {
            // ONNX Runtime registers it by default, with its arena.
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

    /// Registers the provider with a session that is being built.
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
    fn displayed_names_are_parsed() {
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
