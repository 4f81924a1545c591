//! The places where ONNX Runtime is searched, in order.

use std::env::{self, consts};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::package::{VERSION, install_command};
use super::python;
use crate::error::Error;

/// The oldest supported minor version 1.x.
pub(super) const OLDEST_MINOR: u32 = ort::MINOR_VERSION;

/// The places to search.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// A path given by the caller.
    pub explicit: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`.
    pub variable: Option<PathBuf>,
    /// The cache folder of the fetched library.
    pub cache: Option<PathBuf>,
    /// The Python whose environment is searched.
    pub python: PathBuf,
    /// The system's library folders.
    pub system: Vec<PathBuf>,
}

impl Places {
    /// The places of this process's environment.
    pub fn of_environment(explicit: Option<&Path>) -> Self {
        Self {
            explicit: explicit.map(Path::to_owned),
            variable: variable("ORT_DYLIB_PATH").map(PathBuf::from),
            cache: cache_folder(),
            python: python::active(),
            system: system_folders(),
        }
    }

    /// Finds the first supported library.
    ///
    /// # Errors
    /// [`Error::RuntimeMissing`] if a given path has no library, [`Error::RuntimeNotFound`] if no place has
    /// one.
    pub fn find(&self) -> Result<PathBuf, Error> {
        let named = [("the path given", &self.explicit), ("ORT_DYLIB_PATH", &self.variable)];
        for (named_by, path) in named {
            if let Some(path) = path {
                return named_library(path)
                    .ok_or_else(|| Error::RuntimeMissing { named_by, path: path.clone() });
            }
        }
        let mut tried = vec!["ORT_DYLIB_PATH: not set".into()];
        self.find_cached(&mut tried)
            .or_else(|| self.find_in_python(&mut tried))
            .or_else(|| self.system.iter().find_map(|folder| note("", folder, &mut tried)))
            .ok_or_else(|| Error::RuntimeNotFound { tried, install: install_command() })
    }

    /// The library in the cache.
    pub fn find_cached(&self, tried: &mut Vec<String>) -> Option<PathBuf> {
        note("the cache, ", self.cache.as_deref()?, tried)
    }

    fn find_in_python(&self, tried: &mut Vec<String>) -> Option<PathBuf> {
        let python = self.python.display();
        match python::library_folders(&self.python) {
            Err(error) => tried.push(error.to_string()),
            Ok(folders) if folders.is_empty() => {
                tried.push(format!("the environment of {python}: no package onnxruntime"));
            }
            Ok(folders) => {
                let place = format!("the environment of {python}, ");
                return folders.iter().find_map(|folder| note(&place, folder, tried));
            }
        }
        None
    }
}

/// The supported library in `folder`. If there is none, adds the reason to `tried`.
fn note(place: &str, folder: &Path, tried: &mut Vec<String>) -> Option<PathBuf> {
    let folder_name = folder.display();
    match library_in(folder) {
        Some((path, version)) if is_supported(version) => return Some(path),
        Some((path, _)) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            tried.push(format!("{place}{folder_name}: {name} is older than 1.{OLDEST_MINOR}"));
        }
        None => tried.push(format!("{place}{folder_name}: no library")),
    }
    None
}

/// The library at a given path: the file, or the newest in the folder.
fn named_library(path: &Path) -> Option<PathBuf> {
    if path.is_dir() { library_in(path).map(|(path, _)| path) } else { absolute_file(path) }
}

/// The newest ONNX Runtime library in a folder, and the version in its name, if any.
fn library_in(folder: &Path) -> Option<(PathBuf, Option<Version>)> {
    let entries = folder.read_dir().ok()?.flatten();
    let paths = entries.filter(|entry| is_library(&entry.file_name().to_string_lossy()));
    let found = paths.filter_map(|entry| absolute_file(&entry.path()));
    found.map(|path| (path.clone(), version_of(&path))).max_by_key(|(_, version)| *version)
}

/// The file at a path, with all links resolved: its name holds the version.
fn absolute_file(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

/// Major, minor and patch.
type Version = (u32, u32, u32);

/// Whether a file name is that of the library, such as `libonnxruntime.so.1.31.1`,
/// `libonnxruntime.1.31.1.dylib` or `onnxruntime.dll`, and not of a library beside it.
fn is_library(name: &str) -> bool {
    let stem = format!("{}onnxruntime.", consts::DLL_PREFIX);
    name.strip_prefix(&stem).is_some_and(|rest| {
        let mut parts = rest.split('.');
        parts.any(|part| part == consts::DLL_EXTENSION)
            && parts.all(|part| part.parse::<u32>().is_ok())
    })
}

fn version_of(path: &Path) -> Option<Version> {
    let name = path.file_name()?.to_str()?;
    let mut numbers = name.split('.').filter_map(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)))
}

/// Whether a version is supported. An unknown version counts as supported, and is checked on loading.
fn is_supported(version: Option<Version>) -> bool {
    version.is_none_or(|(major, minor, _)| (major, minor) >= (1, OLDEST_MINOR))
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// `$XDG_CACHE_HOME/conjoint/onnxruntime-VERSION`, `~/.cache/…` without that variable.
fn cache_folder() -> Option<PathBuf> {
    let caches = match variable("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir().filter(|home| !home.as_os_str().is_empty())?.join(".cache"),
    };
    Some(caches.join("conjoint").join(format!("onnxruntime-{VERSION}")))
}

/// The folders that the system's loader searches.
fn system_folders() -> Vec<PathBuf> {
    let name = match consts::OS {
        "windows" => "PATH",
        "macos" => "DYLD_LIBRARY_PATH",
        _ => "LD_LIBRARY_PATH",
    };
    let listed = variable(name).unwrap_or_default();
    let listed: Vec<_> = env::split_paths(&listed).filter(|path| path.is_absolute()).collect();
    let multiarch = format!("/usr/lib/{}-linux-gnu", consts::ARCH);
    let fixed: &[&str] = match consts::OS {
        "windows" => &[],
        "macos" => &["/opt/homebrew/lib", "/usr/local/lib"],
        _ => &["/usr/local/lib", "/usr/local/lib64", &multiarch, "/usr/lib64", "/usr/lib"],
    };
    listed.into_iter().chain(fixed.iter().map(PathBuf::from)).collect()
}
