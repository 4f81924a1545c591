//! Finding, fetching and loading ONNX Runtime, which is not linked but loaded at run time.
//!
//! The library is searched in this order:
//!
//! 1. the path given by the caller;
//! 2. `ORT_DYLIB_PATH`;
//! 3. conjoint's own cache, `$XDG_CACHE_HOME/conjoint` or `~/.cache/conjoint`;
//! 4. the package `onnxruntime` of the active Python environment;
//! 5. the system's library folders.
//!
//! A given path (1, 2) must exist. In the other places, libraries that are too old by their file name are
//! skipped. Opening a model searches and loads the library, and never downloads anything. [`ensure`] downloads
//! it if none is found, and is meant for programs.

mod fetch;
mod package;
mod places;
mod python;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;

pub use self::package::VERSION;
use self::package::{Package, install_command};
use self::places::{OLDEST_MINOR, Places};
use crate::error::Error;

/// The ONNX Runtime of this process.
pub(crate) struct Runtime {
    pub path: PathBuf,
    pub environment: Environment,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Finds ONNX Runtime's library without loading it.
///
/// # Errors
/// [`Error::RuntimeMissing`] if `explicit` or `ORT_DYLIB_PATH` is a path without a library, otherwise
/// [`Error::RuntimeNotFound`], which lists the searched places and a command that installs it.
pub fn locate(explicit: Option<&Path>) -> Result<PathBuf, Error> {
    Places::of_environment(explicit).find()
}

/// Finds ONNX Runtime, or fetches version [`VERSION`] with `python3 -m pip download` into the cache. Prints a
/// message to standard error before it fetches.
///
/// Returns the library's path. Does nothing if a runtime is loaded already.
///
/// # Errors
/// Those of [`locate`] for a given path; [`Error::NoPackage`] on a machine without a
/// pinned package, [`Error::Command`] if pip fails, [`Error::Checksum`] and [`Error::Io`].
pub fn ensure() -> Result<PathBuf, Error> {
    ensure_with(|message| eprintln!("{message}"))
}

/// As [`ensure`], but passes the message to `say` instead of printing it.
///
/// # Errors
/// Those of [`ensure`].
pub fn ensure_with(mut say: impl FnMut(&str)) -> Result<PathBuf, Error> {
    match RUNTIME.get() {
        Some(runtime) => Ok(runtime.path.clone()),
        None => find_or_fetch(&Places::of_environment(None), &mut say),
    }
}

fn find_or_fetch(places: &Places, say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    match places.find() {
        Err(Error::RuntimeNotFound { .. }) => {
            fetch::fetch(Package::for_this_machine()?, places, say)
        }
        found => found,
    }
}

/// Loads ONNX Runtime from `library`. A process can load only one library; loading the same one again does
/// nothing.
///
/// This is only needed to choose the library. Opening a model loads the one that [`locate`] finds.
///
/// # Errors
/// [`Error::RuntimeMissing`], [`Error::RuntimeUnusable`] if it is not an ONNX Runtime for this machine,
/// [`Error::RuntimeTooOld`], [`Error::RuntimeConflict`] if another one is loaded, and
/// [`Error::RuntimeStart`].
pub fn init(library: impl AsRef<Path>) -> Result<(), Error> {
    load(Some(library.as_ref())).map(drop)
}

/// The loaded runtime. Loads it if necessary.
pub(crate) fn load(explicit: Option<&Path>) -> Result<&'static Runtime, Error> {
    static LOADING: Mutex<()> = Mutex::new(());
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    match (RUNTIME.get(), explicit) {
        (Some(runtime), None) => Ok(runtime),
        (Some(runtime), Some(_)) => {
            let requested = locate(explicit)?;
            if requested == runtime.path {
                Ok(runtime)
            } else {
                Err(Error::RuntimeConflict { loaded: runtime.path.clone(), requested })
            }
        }
        (None, _) => {
            let runtime = start(locate(explicit)?)?;
            Ok(RUNTIME.get_or_init(|| runtime))
        }
    }
}

/// Loads the library.
fn start(path: PathBuf) -> Result<Runtime, Error> {
    let builder = ort::init_from(&path).map_err(|error| load_error(path.clone(), error))?;
    let environment = builder
        .with_name("conjoint")
        .with_telemetry(false)
        .build()
        .map_err(|error| Error::RuntimeStart { path: path.clone(), source: error.into() })?;
    Ok(Runtime { path, environment })
}

/// The error of a library that cannot be loaded.
fn load_error(path: PathBuf, error: LoadDynamicError) -> Error {
    match error {
        LoadDynamicError::BadVersion { version_str: got, .. } => {
            let oldest = format!("1.{OLDEST_MINOR}");
            Error::RuntimeTooOld { path, got, oldest, install: install_command() }
        }
        LoadDynamicError::Dlopen { error, .. } => {
            Error::RuntimeUnusable { path, reason: error.to_string() }
        }
        other => Error::RuntimeUnusable { path, reason: other.to_string() },
    }
}
