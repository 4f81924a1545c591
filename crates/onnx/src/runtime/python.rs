//! Calls of Python, whose packages contain ONNX Runtime.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// Python's name on the command line.
pub(super) const PROGRAM: &str = if cfg!(windows) { "python" } else { "python3" };

/// Prints the folder of the installed package without importing it. Removes the working folder from the path
/// first, because its files are not part of the environment.
const FIND: &str = "\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import importlib.util
spec = importlib.util.find_spec('onnxruntime')
for folder in (spec and spec.submodule_search_locations) or []: print(folder)";

/// Unpacks only the C library of a wheel.
const UNPACK: &str = r"
import os, sys
sys.path[:] = [entry for entry in sys.path if entry]
import re, zipfile
wheel, folder = sys.argv[1:]
library = re.compile(r'onnxruntime/capi/(lib)?onnxruntime\.(so.*|dll|.*dylib)')
with zipfile.ZipFile(wheel) as archive:
    for name in filter(library.fullmatch, archive.namelist()):
        with open(os.path.join(folder, os.path.basename(name)), 'xb') as file:
            file.write(archive.read(name))";

/// The active Python.
pub(super) fn active() -> PathBuf {
    of_environment(env::var_os("VIRTUAL_ENV").as_deref())
}

/// The Python of a virtual environment, or the one on the path.
fn of_environment(folder: Option<&OsStr>) -> PathBuf {
    let programs = if cfg!(windows) { "Scripts" } else { "bin" };
    match folder.filter(|folder| !folder.is_empty()) {
        Some(folder) => Path::new(folder).join(programs).join(PROGRAM),
        None => PROGRAM.into(),
    }
}

/// Folders of this Python's `onnxruntime` libraries; none without the package.
///
/// # Errors
/// [`Error::Command`] if Python does not run.
pub(super) fn library_folders(python: &Path) -> Result<Vec<PathBuf>, Error> {
    let printed = run(python, ["-c", FIND])?;
    Ok(printed.lines().map(|folder| Path::new(folder.trim_end()).join("capi")).collect())
}

/// Unpacks the C library of a wheel into a folder.
///
/// # Errors
/// [`Error::Command`].
pub(super) fn unpack(python: &Path, wheel: &Path, folder: &Path) -> Result<(), Error> {
    run(python, ["-c".as_ref(), UNPACK.as_ref(), wheel.as_os_str(), folder.as_os_str()]).map(drop)
}

/// Runs Python and returns its output.
///
/// # Errors
/// [`Error::Command`], with Python's error output.
pub(super) fn run<A: AsRef<OsStr>>(
    python: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Result<String, Error> {
    let mut command = Command::new(python);
    command.args(arguments);
    let reason = match command.output() {
        Ok(output) if output.status.success() => {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Ok(output) => {
            format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())
        }
        Err(error) => error.to_string(),
    };
    let mut words = vec![python.display().to_string()];
    // Only the first line of each argument, to keep scripts out of the message.
    let word = |word: &OsStr| word.to_string_lossy().lines().next().unwrap_or_default().to_owned();
    words.extend(command.get_args().map(word));
    Err(Error::Command { command: words.join(" "), reason })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_environment_has_its_own_python() {
        assert_eq!(of_environment(Some("/env".as_ref())), Path::new("/env/bin/python3"));
        assert_eq!(of_environment(Some("".as_ref())), Path::new("python3"));
        assert_eq!(of_environment(None), Path::new("python3"));
    }

    #[test]
    fn an_error_has_the_command_and_its_error_output() {
        let script = "import sys\nsys.exit('no such luck')";
        let error = run(Path::new(PROGRAM), ["-c", script]).unwrap_err().to_string();
        assert!(error.contains("python3 -c import sys`"), "{error}");
        assert!(error.contains("no such luck"), "{error}");
        let error = library_folders(Path::new("/no/such/python")).unwrap_err();
        assert!(matches!(error, Error::Command { .. }), "{error}");
    }
}
