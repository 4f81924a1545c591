//! A crate outside of this workspace, `tests/outside`, needs nothing but public items: it is built and tested here.
//!
//! It writes KLASS, WINO and the learned joint sampler anew and draws the tokens of those built in, brings a policy and a
//! model with memory of its own, streams and cancels runs, and compares its own strategies with the built-in ones.
//!
//! It shares this workspace's target directory, and so what is compiled of the dependencies of both.

use std::path::Path;
use std::process::Command;

#[test]
fn a_crate_outside_of_the_workspace_builds_and_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Cargo keeps the folder for temporary files right below the target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--manifest-path"])
        .arg(root.join("tests/outside/Cargo.toml"))
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let [printed, said] =
        [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    assert!(output.status.success(), "{}\n{said}\n{printed}", output.status);
    assert!(printed.contains("a_comparison_with_parts_of_ones_own ... ok"), "{said}\n{printed}");
}
