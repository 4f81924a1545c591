//! Tests of an export's files on disk.

use std::fs;
use std::path::Path;

use conjoint_format::names::WEIGHTS;

use super::{Existing, Staging, Transfer};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_get_their_names_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut staging = Staging::new(folder.path()).unwrap();
    staging.write("a", b"1").unwrap();
    staging.write("b", b"2").unwrap();
    assert!(names(folder.path()).iter().all(|name| name.ends_with(".tmp")));
    staging.commit().unwrap();
    assert_eq!(names(folder.path()), ["a", "b"]);
    assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"2");
}

#[test]
fn a_dropped_export_leaves_the_folder_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "old").unwrap();
    let mut staging = Staging::new(folder.path()).unwrap();
    staging.write("a", b"new").unwrap();
    staging.write("inner/b", b"new").unwrap();
    drop(staging);
    assert_eq!(names(folder.path()), ["a"]);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"old");
}

#[test]
fn a_users_file_is_never_replaced_by_another_one() {
    let root = tempfile::tempdir().unwrap();
    let (source, out) = (root.path().join("source"), root.path().join("out"));
    fs::write(&source, "ours").unwrap();
    fs::create_dir(&out).unwrap();
    for (theirs, equal) in [("ours", true), ("ourx", false), ("longer", false)] {
        fs::write(out.join("name"), theirs).unwrap();
        let mut staging = Staging::new(&out).unwrap();
        let transferred =
            staging.transfer(&source, "name", Transfer::LinkOrCopy, Existing::MustEqual);
        assert_eq!(transferred.is_ok(), equal, "{theirs}");
        staging.commit().unwrap();
        assert_eq!(fs::read_to_string(out.join("name")).unwrap(), theirs);
        assert_eq!(names(&out), ["name"]);
    }
}

#[test]
fn an_exports_own_file_is_replaced_by_each_kind_of_transfer() {
    for transfer in [Transfer::Copy, Transfer::LinkOrCopy, Transfer::Link] {
        let root = tempfile::tempdir().unwrap();
        let (source, out) = (root.path().join("source"), root.path().join("out"));
        fs::write(&source, "new").unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("name"), "old").unwrap();
        // The second time, over a link to the same file.
        for _ in 0..2 {
            let mut staging = Staging::new(&out).unwrap();
            staging.transfer(&source, "name", transfer, Existing::Replace).unwrap();
            staging.copy(&mut ()).unwrap();
            staging.commit().unwrap();
            assert_eq!(fs::read_to_string(out.join("name")).unwrap(), "new");
            assert_eq!(names(&out), ["name"]);
        }
    }
}

#[test]
fn a_file_with_the_same_content_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), b"1").unwrap();
    let mut staging = Staging::new(folder.path()).unwrap();
    staging.write("a", b"1").unwrap();
    assert!(staging.is_empty());
    for other in [&b"2"[..], b"12", b""] {
        staging.write("a", other).unwrap();
        assert!(!staging.is_empty());
        drop(staging.commit().unwrap());
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), other);
        staging = Staging::new(folder.path()).unwrap();
    }
}

#[test]
fn temporary_files_of_interrupted_exports_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join(WEIGHTS);
    fs::create_dir(&weights).unwrap();
    for name in ["head.onnx.12.tmp", "conjoint.json.1.tmp", "model.safetensors.7.tmp"] {
        fs::write(folder.path().join(name), "").unwrap();
        fs::write(weights.join(name), "").unwrap();
    }
    let others = ["head.onnx.tmp", "head.onnx.x.tmp", "notes.12.tmp"];
    others.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
    drop(Staging::new(folder.path()).unwrap());
    // The folder of weights is empty then, and removed too.
    assert_eq!(names(folder.path()), others);
}

/// Where the system locks folders, as Unix does.
#[cfg(unix)]
#[test]
fn exports_into_one_folder_run_one_after_another() {
    use std::sync::mpsc;
    use std::time::Duration;

    use conjoint_format::lock::wait_for_exports;

    let folder = tempfile::tempdir().unwrap();
    let first = Staging::new(folder.path()).unwrap();
    let (sender, receiver) = mpsc::channel();
    let path = folder.path().to_owned();
    let second = std::thread::spawn(move || {
        let staging = Staging::new(&path).unwrap();
        sender.send(()).unwrap();
        // A reader waits for two seconds.
        assert!(wait_for_exports(&path).is_none());
        drop(staging);
        assert!(wait_for_exports(&path).flatten().is_some());
    });
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "it must wait");
    drop(first);
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    second.join().unwrap();
}
