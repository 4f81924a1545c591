//! Fetching the pinned package into the cache.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::package::{Package, VERSION, install_command};
use super::places::Places;
use super::python;
use crate::error::Error;

/// Fetches the pinned ONNX Runtime into the cache, unless it is there, and returns the library's path.
///
/// The package is unpacked in a temporary folder, which is renamed at the end. A cache folder is therefore
/// complete or absent. A lock makes a second process wait for the first. Where the file system has no locks,
/// both fetch, and the first to finish wins.
///
/// # Errors
/// [`Error::Command`], [`Error::Checksum`] and [`Error::Io`].
pub(super) fn fetch(
    package: &Package,
    places: &Places,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let missing = || Error::RuntimeNotFound {
        tried: vec!["a cache folder: neither XDG_CACHE_HOME nor a home folder is known".into()],
        install: install_command(),
    };
    let cache = places.cache.as_deref().ok_or_else(missing)?;
    let (parent, name) = cache.parent().zip(cache.file_name()).ok_or_else(missing)?;
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let lock_path = parent.join(format!("{}.lock", name.display()));
    let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
    let _ = lock.lock();

    let cached = || places.find_cached(&mut Vec::new());
    if let Some(library) = cached() {
        return Ok(library);
    }
    say(&format!("fetching ONNX Runtime {VERSION} with pip into {}", cache.display()));
    let scratch = tempfile::tempdir_in(parent).map_err(Error::io("write in", parent))?;
    let wheel = download(package, &places.python, scratch.path())?;
    let unpacked = scratch.path().join("unpacked");
    fs::create_dir(&unpacked).map_err(Error::io("create", &unpacked))?;
    python::unpack(&places.python, &wheel, &unpacked)?;
    let renamed = fs::rename(&unpacked, cache);
    match cached() {
        Some(library) => Ok(library),
        None => Err(Error::Io {
            action: "move ONNX Runtime into",
            path: cache.to_owned(),
            source: renamed.err().unwrap_or_else(|| io::ErrorKind::NotFound.into()),
        }),
    }
}

/// Downloads the wheel into `folder` and checks its digest.
fn download(package: &Package, python: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let downloads = folder.join("wheel");
    python::run(python, package.download_arguments(&downloads.display().to_string()))
        .map_err(with_alternative)?;
    let mut entries = fs::read_dir(&downloads).map_err(Error::io("read", &downloads))?.flatten();
    let wheel = entries.next().map(|entry| entry.path()).ok_or_else(|| Error::Io {
        action: "find the package in",
        path: downloads.clone(),
        source: io::ErrorKind::NotFound.into(),
    })?;
    let got = digest(&wheel)?;
    if got == package.sha256 {
        return Ok(wheel);
    }
    let file = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(Error::Checksum { file, expected: package.sha256, got })
}

/// Adds an alternative for machines without pip or a package index.
fn with_alternative(error: Error) -> Error {
    match error {
        Error::Command { command, reason } => {
            let alternative = "if pip is not available, install ONNX Runtime another way and point \
                               ORT_DYLIB_PATH at its library";
            Error::Command { command, reason: format!("{reason}\n{alternative}") }
        }
        other => other,
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    io::copy(&mut file, &mut hasher).map_err(Error::io("read", path))?;
    Ok(hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
