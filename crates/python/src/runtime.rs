//! ONNX Runtime for this interpreter.

use std::path::PathBuf;

use conjoint::runtime;
use conjoint_lab::Error;
use pyo3::prelude::*;

use crate::error::exception;

/// Loads the package `onnxruntime` of this interpreter. Otherwise finds another ONNX Runtime, or fetches one, as the library
/// does. `ORT_DYLIB_PATH` comes first.
pub fn ensure(py: Python<'_>) -> PyResult<()> {
    let is_named = std::env::var_os("ORT_DYLIB_PATH").is_some_and(|path| !path.is_empty());
    if !is_named && let Some(folder) = installed(py)? {
        // A package that is too old, or a second runtime: the search decides.
        if py.detach(|| runtime::init(folder)).is_ok() {
            return Ok(());
        }
    }
    let found = py.detach(|| runtime::ensure_with(say));
    found.map(drop).map_err(|error| exception(Error::Onnx(error)))
}

/// The folder of the libraries of the package, which is not imported.
fn installed(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let spec = py.import("importlib.util")?.call_method1("find_spec", ("onnxruntime",))?;
    if spec.is_none() {
        return Ok(None);
    }
    let folders: Option<Vec<PathBuf>> = spec.getattr("submodule_search_locations")?.extract()?;
    Ok(folders.into_iter().flatten().next().map(|folder| folder.join("capi")))
}

/// Prints to Python's standard error, which a notebook shows.
fn say(message: &str) {
    let printed = Python::attach(|py| -> PyResult<()> {
        let stderr = py.import("sys")?.getattr("stderr")?;
        stderr.call_method1("write", (format!("{message}\n"),))?;
        stderr.call_method0("flush").map(drop)
    });
    // Without a standard error nobody reads the message.
    let _ = printed;
}
