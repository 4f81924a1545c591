//! Tests of all detections through [`check_checkpoint`].

use std::fs;
use std::path::{Path, PathBuf};

use super::check_checkpoint;

#[test]
fn a_file_is_rejected_with_the_folder_to_give() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("model.safetensors");
    fs::write(&file, "").unwrap();
    let message = check_checkpoint(&file).unwrap_err().to_string();
    let expected = format!("this is a file: give its folder, {}", root.path().display());
    assert!(message.ends_with(&expected), "{message}");
    let gguf = root.path().join("model.Q4_K_M.GGUF");
    fs::write(&gguf, "GGUF").unwrap();
    let message = check_checkpoint(&gguf).unwrap_err().to_string();
    assert!(message.contains("llama.cpp"), "{message}");
}

#[test]
fn pointers_of_git_lfs_are_detected_in_every_file() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n";
    for name in [
        "config.json",
        "tokenizer.json",
        "pytorch_model.bin",
        "model.safetensors",
        "model-00001-of-00002.safetensors",
    ] {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("config.json"), "{}").unwrap();
        assert!(check_checkpoint(root.path()).is_ok());
        fs::write(root.path().join(name), pointer).unwrap();
        let message = check_checkpoint(root.path()).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("git lfs pull"), "{message}");
    }
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("config.json"), "{}").unwrap();
    fs::write(root.path().join("README.md"), pointer).unwrap();
    assert!(check_checkpoint(root.path()).is_ok(), "other files are ignored");
}

#[cfg(unix)]
#[test]
fn dangling_links_are_reported_with_a_remedy() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    symlink("../../blobs/abc", path("config.json")).unwrap();
    let message = check_checkpoint(root.path()).unwrap_err().to_string();
    assert!(message.contains("config.json") && message.contains("cp -rL"), "{message}");
    fs::remove_file(path("config.json")).unwrap();
    fs::write(path("config.json"), "{}").unwrap();
    symlink("/no/such/file", path("model.safetensors")).unwrap();
    let message = check_checkpoint(root.path()).unwrap_err().to_string();
    assert!(message.contains("/no/such/file") && message.contains("remove the link"), "{message}");
    // The folder itself.
    symlink("/no/such/folder", path("linked")).unwrap();
    let message = check_checkpoint(&path("linked")).unwrap_err().to_string();
    assert!(message.contains("/no/such/folder"), "{message}");
}

#[test]
fn other_formats_are_reported_by_name() {
    for (file, parts) in [
        ("model.gguf", "llama.cpp"),
        ("model_index.json", "Diffusers"),
        ("params.json", "maker's own format"),
        ("consolidated.00.pth", "maker's own format"),
        ("checkpoint-500/config.json", "checkpoint-500"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{}").unwrap();
        let message = check_checkpoint(root.path()).unwrap_err().to_string();
        assert!(message.contains(parts), "{message}");
        fs::write(root.path().join("config.json"), "{}").unwrap();
        assert!(check_checkpoint(root.path()).is_ok(), "{file}");
    }
    let root = tempfile::tempdir().unwrap();
    assert!(check_checkpoint(root.path()).is_ok(), "a missing config.json is reported later");
}

#[test]
fn a_sampler_layer_by_itself_is_reported() {
    let fixtures = conjoint_models::fixtures();
    let message = check_checkpoint(&fixtures.join("adjust-dream-tiny")).unwrap_err().to_string();
    assert!(message.contains("sampler layer by itself"), "{message}");
}

/// A cache with one model, with or without `refs/main`.
fn cache(root: &Path, commits: &[&str], main: Option<&str>) -> PathBuf {
    let model = root.join("models--org--name");
    for commit in commits {
        fs::create_dir_all(model.join("snapshots").join(commit)).unwrap();
    }
    fs::create_dir_all(model.join("refs")).unwrap();
    if let Some(main) = main {
        fs::write(model.join("refs/main"), main).unwrap();
    }
    model
}

#[test]
fn folders_of_the_hubs_cache_are_reported_with_the_snapshot_to_give() {
    for (commits, main, expected) in [
        (&["abc", "def"][..], Some("def"), "give its snapshot, SNAPSHOTS/def"),
        (&["abc"], None, "give its snapshot, SNAPSHOTS/abc"),
        (&["abc"], Some("gone"), "give its snapshot, SNAPSHOTS/abc"),
        (&["abc", "def"], Some(""), "give its snapshot, SNAPSHOTS/abc or SNAPSHOTS/def"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let model = cache(root.path(), commits, main);
        let folder = model.join("snapshots");
        let expected = expected.replace("SNAPSHOTS", &folder.display().to_string());
        for path in [&model, &folder] {
            let message = check_checkpoint(path).unwrap_err().to_string();
            assert!(message.ends_with(&expected), "{message}");
        }
        let message = check_checkpoint(root.path()).unwrap_err().to_string();
        assert!(message.contains("snapshot of one model"), "{message}");
        assert!(check_checkpoint(&folder.join(commits[0])).is_ok());
    }
    let root = tempfile::tempdir().unwrap();
    let model = cache(root.path(), &[], None);
    fs::create_dir_all(model.join("snapshots")).unwrap();
    let message = check_checkpoint(&model).unwrap_err().to_string();
    assert!(message.contains("holds no snapshot"), "{message}");
}
