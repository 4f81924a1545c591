//! Tests of searching in temporary folders, and of fetching with a fake pip.
#![cfg(unix)] // the fake pip is a shell script

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use super::package::Package;
use super::*;

/// A library's file name on this system.
fn library(version: &str) -> String {
    match cfg!(target_os = "macos") {
        true => format!("libonnxruntime.{version}.dylib"),
        false => format!("libonnxruntime.so.{version}"),
    }
}

/// Creates every place. Those in `libraries` hold a library of that version.
fn places(root: &Path, libraries: &[(&str, &str)]) -> Places {
    for name in ["cache", "onnxruntime/capi", "system"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for (place, version) in libraries {
        fs::write(root.join(place).join(library(version)), "").unwrap();
    }
    let python = root.join("python3");
    script(&python, &format!("echo {}", root.join("onnxruntime").display()));
    let system = vec![root.join("no such folder"), root.join("system")];
    Places { explicit: None, variable: None, cache: Some(root.join("cache")), python, system }
}

/// Writes a script, in another process. A file that this process has open for writing cannot be run, and a
/// child started by another test may have inherited it.
fn script(path: &Path, body: &str) {
    let write = "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod +x \"$1\"";
    let written = Command::new("sh").args(["-c", write, "sh"]).arg(path).arg(body).status();
    assert!(written.unwrap().success());
}

fn root() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

const ALL: [(&str, &str); 3] =
    [("cache", "1.31.1"), ("onnxruntime/capi", "1.30.0"), ("system", "1.32.0")];

#[test]
fn places_are_searched_in_order() {
    for first in 0..ALL.len() {
        let (_folder, root) = root();
        let expected = root.join(ALL[first].0).join(library(ALL[first].1));
        assert_eq!(places(&root, &ALL[first..]).find().unwrap(), expected);
    }
}

#[test]
fn a_given_library_comes_first_and_must_exist() {
    let (_folder, root) = root();
    let (given, other) = (root.join("a").join(library("1.24.0")), root.join("b"));
    for path in [&given, &other.join(library("1.25.0")), &other.join(library("1.26.3"))] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let found = |explicit: Option<&Path>, variable: Option<&Path>| {
        let (explicit, variable) = (explicit.map(Path::to_owned), variable.map(Path::to_owned));
        Places { explicit, variable, ..places(&root, &ALL) }.find()
    };
    assert_eq!(found(Some(&given), Some(&other)).unwrap(), given);
    assert_eq!(found(None, Some(&given)).unwrap(), given);
    // A folder means the newest library in it.
    assert_eq!(found(None, Some(&other)).unwrap(), other.join(library("1.26.3")));
    let absent = root.join("absent.so");
    for (explicit, variable, name) in
        [(Some(&absent), None, "path given"), (None, Some(&absent), "ORT_DYLIB_PATH")]
    {
        let error = found(explicit.map(|p| &**p), variable.map(|p| &**p)).unwrap_err();
        assert!(matches!(error, Error::RuntimeMissing { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn old_libraries_and_other_files_are_skipped() {
    let (_folder, root) = root();
    let places = places(&root, &[("cache", "1.9.0"), ("onnxruntime/capi", "1.23.2")]);
    for name in ["libonnxruntime_providers_shared.so", "libonnxruntime.so.debug", "onnxruntime"] {
        fs::write(root.join("system").join(name), "").unwrap();
    }
    let error = places.find().unwrap_err();
    assert!(matches!(&error, Error::RuntimeNotFound { tried, .. } if tried.len() == 5), "{error}");
    let message = error.to_string();
    let words = ["ORT_DYLIB_PATH: not set", "cache", "1.9.0", "capi", "1.23.2", "no such folder"];
    for word in words.into_iter().chain(["system", "python3 -m pip install onnxruntime==1.31.1"]) {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
}

#[test]
fn a_broken_python_is_reported_among_the_places() {
    let (_folder, root) = root();
    let places = places(&root, &[]);
    script(&places.python, "echo no such luck >&2; exit 1");
    assert!(places.find().unwrap_err().to_string().contains("no such luck"));
    script(&places.python, ":");
    assert!(places.find().unwrap_err().to_string().contains("no package onnxruntime"));
}

/// Writes a wheel with a library in it, and a Python whose pip downloads it.
fn fake_wheel(root: &Path) -> Package {
    let wheel = root.join("onnxruntime.whl");
    let pack = "import sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:\n    \
                    archive.writestr('onnxruntime/capi/' + sys.argv[2], 'library')\n    \
                    archive.writestr('onnxruntime/capi/other.py', 'other')";
    let arguments = ["-c", pack, wheel.to_str().unwrap(), &library("1.31.1")];
    python::run(Path::new(python::PROGRAM), arguments).unwrap();
    let pip = "if [ \"$2\" = pip ]; then\n  for folder; do :; done\n  echo >> \"$0.downloads\"\n  \
               sleep 0.2\n  mkdir \"$folder\" && cp \"$(dirname \"$0\")/onnxruntime.whl\" \"$folder\"\n\
               else exec python3 \"$@\"; fi";
    script(&root.join("python3"), pip);
    Package::for_test(fetch::digest(&wheel).unwrap())
}

/// Names of everything in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn concurrent_fetches_download_once() {
    let (_folder, root) = root();
    let mut places = places(&root, &[]);
    places.cache = Some(root.join("new/folder/onnxruntime-1.31.1"));
    let package = fake_wheel(&root);
    let expected = root.join("new/folder/onnxruntime-1.31.1").join(library("1.31.1"));
    let messages = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut say = |_: &str| _ = messages.fetch_add(1, Ordering::Relaxed);
                let library = fetch::fetch(&package, &places, &mut say).unwrap();
                assert_eq!(library, expected);
            });
        }
    });
    assert_eq!(messages.into_inner(), 1);
    assert_eq!(fs::read_to_string(root.join("python3.downloads")).unwrap(), "\n");
    assert_eq!(fs::read(&expected).unwrap(), b"library");
    assert_eq!(names(expected.parent().unwrap()), [library("1.31.1")]);
    assert_eq!(names(&root.join("new/folder")), ["onnxruntime-1.31.1", "onnxruntime-1.31.1.lock"]);
    assert_eq!(places.find().unwrap(), expected);
}

#[test]
fn the_first_to_finish_wins() {
    let (_folder, root) = root();
    let places = places(&root, &[]);
    let package = fake_wheel(&root);
    let cached = root.join("cache").join(library("1.31.1"));
    // Another process that does not use the lock finishes while this one downloads.
    let pip = "mkdir \"$folder\" && cp ";
    let fake = fs::read_to_string(&places.python).unwrap();
    let other = format!("echo other > {}; {pip}", cached.display());
    script(&places.python, &fake.replace(pip, &other));
    assert_eq!(fetch::fetch(&package, &places, &mut |_| ()).unwrap(), cached);
    assert_eq!(fs::read_to_string(&cached).unwrap(), "other\n");
    assert_eq!(names(&root.join("cache")), [library("1.31.1")]);
}

#[test]
fn a_package_with_another_digest_is_not_unpacked() {
    let (_folder, root) = root();
    let mut places = places(&root, &[]);
    places.cache = Some(root.join("caches/onnxruntime-1.31.1"));
    let _ = fake_wheel(&root);
    let other = Package::for_test("0".repeat(64));
    let error = fetch::fetch(&other, &places, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    script(&places.python, "echo no route >&2; exit 1");
    let error = fetch::fetch(&other, &places, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Command { .. }), "{error}");
    for word in ["no route", "pip download", "ORT_DYLIB_PATH"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(names(&root.join("caches")), ["onnxruntime-1.31.1.lock"]);
}

#[test]
fn an_old_runtime_is_distinguished_from_a_broken_one() {
    let path = PathBuf::from("library");
    let version_str = "1.9.0".to_owned();
    let old = LoadDynamicError::BadVersion { version_str, path: path.clone() };
    let error = load_error(path.clone(), old);
    assert!(matches!(&error, Error::RuntimeTooOld { got, .. } if got == "1.9.0"), "{error}");
    let error = load_error(path.clone(), LoadDynamicError::MissingApi { path });
    assert!(matches!(error, Error::RuntimeUnusable { .. }), "{error}");
}
