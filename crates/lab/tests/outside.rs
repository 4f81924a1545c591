//! Builds and tests `tests/outside`, a crate outside of this workspace that uses only public items.
//!
//! It implements KLASS, WINO and the learned joint sampler again, and draws the tokens of the built-in ones. It also has a
//! policy and a model with memory, streams and cancels runs, and compares its strategies with the built-in ones.
//!
//! It shares this workspace's target directory, and so the compiled dependencies.

use std::path::Path;
use std::process::Command;

#[test]
fn a_crate_outside_of_the_workspace_builds_and_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Cargo's folder for temporary files is directly below the target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--manifest-path"])
        .arg(root.join("tests/outside/Cargo.toml"))
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let [printed, errors] =
        [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    assert!(output.status.success(), "{}\n{errors}\n{printed}", output.status);
    assert!(printed.contains("a_comparison_with_parts_of_ones_own ... ok"), "{errors}\n{printed}");
}
