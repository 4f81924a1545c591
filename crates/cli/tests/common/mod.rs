//! Runs the command on the fixtures.
#![allow(dead_code)] // each test file uses its own part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn fixtures() -> PathBuf {
    conjoint_models::fixtures()
}

/// The trained model of this repository.
pub fn tiny() -> PathBuf {
    conjoint_models::tiny()
}

pub fn conjoint<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conjoint")).args(arguments).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exports a fixture into a new folder, with a sampler layer if one is named.
pub fn export(model: &str, sampler: Option<&str>) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let checkpoint = fixtures().join(model);
    let mut arguments = vec!["export".into(), checkpoint.into_os_string()];
    arguments.extend(["--out".into(), out.path().into()]);
    if let Some(sampler) = sampler {
        arguments.extend(["--sampler".into(), fixtures().join(sampler).into_os_string()]);
    }
    let output = conjoint(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    out
}

/// Runs `conjoint generate` on an exported model, with the other arguments in one line.
pub fn generate(model: &Path, arguments: &str) -> Output {
    let model = model.to_string_lossy();
    let mut all = vec!["generate", "--model", &model];
    all.extend(arguments.split_whitespace());
    conjoint(&all)
}

pub fn generate_json(model: &Path, arguments: &str) -> serde_json::Value {
    let output = generate(model, &format!("{arguments} --json --history"));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Checks that the run exits with 2, and that its message has all of these.
#[track_caller]
pub fn rejected(output: &Output, parts: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.matches("invalid value").count() <= 1, "a nested message:\n{message}");
    for part in parts {
        assert!(message.contains(part), "{part} is missing in\n{message}");
    }
}
