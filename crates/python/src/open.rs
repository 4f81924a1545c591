//! `conjoint.open`.

use std::path::PathBuf;

use conjoint::prelude::*;
use conjoint_lab::{Error, ModelOptions};
use pyo3::prelude::*;

use crate::error::{exception, invalid, parsed};
use crate::kwargs::{is_integer, type_error};
use crate::model::Model;
use crate::runtime;
use crate::strategies::registry;

/// Opens an exported model.
///
/// Finds ONNX Runtime first: `ORT_DYLIB_PATH`, the package `onnxruntime` of this Python, or the places of the library. If there is
/// none, pip fetches it once.
///
/// Args:
///     path: Folder of the model, made by `conjoint.export` or the command `conjoint export`.
///     device: "cpu", "cuda" or "tensorrt". The latter two need a wheel that was built with that feature.
///     threads: Threads on the CPU, 1 to 1024. By default one per core that the process may use.
///     cache: Cache of keys and values, such as "dual" (see `strategies()["caches"]`). By default none, or the exact cache of a
///         model with block-causal attention.
///     head: Output layer: "auto", "dense" or "condensed" (the top-K head).
///     ignore_memory: Whether to run the model even if its estimated memory exceeds the available memory.
///
/// Raises:
///     ValueError: An argument is invalid, or the folder is not an exported model.
///     conjoint.Error: The model cannot be opened, or ONNX Runtime cannot be found or fetched.
#[pyfunction]
#[pyo3(signature = (path, *, device="cpu", threads=None, cache=None, head="auto", ignore_memory=false))]
pub fn open(
    py: Python<'_>,
    path: PathBuf,
    device: &str,
    threads: Option<&Bound<'_, PyAny>>,
    cache: Option<&str>,
    head: &str,
    ignore_memory: bool,
) -> PyResult<Model> {
    let mut options = ModelOptions::new(path);
    options.provider = provider(device)?;
    options.head =
        head.parse().map_err(|_| invalid("head", head, "expected auto, dense or condensed"))?;
    options.threads = threads.map(thread_count).transpose()?;
    options.ignore_memory = ignore_memory;
    let cache = cache.map(|text| parsed("cache", text, registry().cache(text))).transpose()?;
    options.check().map_err(exception)?;
    runtime::ensure(py)?;
    let opened = py.detach(|| options.open()).map_err(exception)?;
    Ok(Model::new(opened, cache))
}

fn provider(device: &str) -> PyResult<ExecutionProvider> {
    let provider =
        device.parse().map_err(|_| invalid("device", device, "expected cpu, cuda or tensorrt"))?;
    let is_compiled = match provider {
        ExecutionProvider::Cpu => true,
        ExecutionProvider::Cuda => cfg!(feature = "cuda"),
        _ => cfg!(feature = "tensorrt"),
    };
    match is_compiled {
        true => Ok(provider),
        false => {
            let reason =
                format!("it is not compiled in: build the wheel with `--features {device}`");
            Err(invalid("device", device, &reason))
        }
    }
}

fn thread_count(threads: &Bound<'_, PyAny>) -> PyResult<u16> {
    if !is_integer(threads) {
        return Err(type_error("threads", "a whole number", threads));
    }
    let count = threads.extract().ok().filter(|count| (1..=1024).contains(count));
    count.ok_or_else(|| {
        exception(Error::parameter("threads", threads, "expected an integer from 1 to 1024"))
    })
}
