//! Detection of the name of a model on the Hugging Face Hub, and of folders of the Hub's cache.
//!
//! `huggingface_hub` writes the cache in this layout: `hub/models--OWNER--NAME/` with `refs/main`, which holds
//! a commit, `snapshots/COMMIT/`, whose files are symbolic links, and `blobs/`, which holds their targets.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::entries::{names, not_a_checkpoint};
use crate::error::FormatError;

/// The Hub's cache, in order of precedence: environment variables, each with the path below it.
const CACHES: [(&str, &str); 5] = [
    ("HF_HUB_CACHE", ""),
    ("HUGGINGFACE_HUB_CACHE", ""),
    ("HF_HOME", "hub"),
    ("XDG_CACHE_HOME", "huggingface/hub"),
    ("HOME", ".cache/huggingface/hub"),
];

/// The reason for rejecting a path that does not exist.
pub(super) fn missing(path: &Path) -> String {
    let caches = CACHES.into_iter().filter_map(|(variable, below)| {
        let root = env::var_os(variable).filter(|root| !root.is_empty())?;
        Some(PathBuf::from(root).join(below))
    });
    match model_id(path) {
        Some(id) => missing_model(&id, caches),
        None => "there is no such folder".into(),
    }
}

/// The id OWNER/NAME of a model on the Hub, if a path is the model's address, or an id and no folder OWNER
/// exists.
fn model_id(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let address =
        ["https://", "http://", "hf://"].iter().find_map(|start| text.strip_prefix(start));
    let text = address.map_or(text, |rest| rest.strip_prefix("huggingface.co/").unwrap_or(rest));
    let text = text.trim_end_matches('/');
    let (owner, name) = text.split_once('/')?;
    let name = if address.is_some() { name.split('/').next()? } else { name };
    let is_word = |word: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(is_allowed)
    };
    let is_id =
        is_word(owner) && is_word(name) && (address.is_some() || !Path::new(owner).exists());
    is_id.then(|| format!("{owner}/{name}"))
}

/// The reason for rejecting the id of a model: how to fetch it, or its snapshot in one of these caches.
fn missing_model(id: &str, caches: impl Iterator<Item = PathBuf>) -> String {
    let (_, name) = id.split_once('/').unwrap_or_default();
    let entry = format!("models--{}", id.replace('/', "--"));
    let found = caches.flat_map(|cache| snapshots(&cache.join(&entry))).next();
    match found {
        Some(snapshot) => format!(
            "there is no such folder; the cache of the Hugging Face Hub holds a model of this name: give its snapshot, {}",
            snapshot.display()
        ),
        None => format!(
            "there is no such folder; if this is the name of a model on the Hugging Face Hub, fetch it first, with `hf \
             download {id} --local-dir {name}`, and give the folder {name}"
        ),
    }
}

/// Rejects the Hub's cache, and the folder of a model in it.
pub(super) fn reject_cache(path: &Path) -> Result<(), FormatError> {
    if path.join("config.json").exists() {
        return Ok(());
    }
    // The folder `snapshots` belongs to the model above it.
    let is_snapshots = path.file_name().is_some_and(|name| name == "snapshots");
    let root = if is_snapshots { path.parent().unwrap_or(path) } else { path };
    if root.join("snapshots").is_dir() && root.join("refs").is_dir() {
        let reason = match &snapshots(root)[..] {
            [] => "this is a model's folder in the cache of the Hugging Face Hub, and holds no snapshot: fetch the model \
                   again"
                .into(),
            found => format!(
                "this is a model's folder in the cache of the Hugging Face Hub: give its snapshot, {}",
                listed(found)
            ),
        };
        return Err(not_a_checkpoint(path, reason));
    }
    let models = names(path).into_iter().filter(|name| name.starts_with("models--"));
    let found: Vec<_> =
        models.flat_map(|name| snapshots(&path.join(name)).into_iter().next()).collect();
    match found.is_empty() {
        true => Ok(()),
        false => {
            let given = listed(&found);
            let reason = format!(
                "this is the cache of the Hugging Face Hub: give the snapshot of one model, {given}"
            );
            Err(not_a_checkpoint(path, reason))
        }
    }
}

/// The snapshots of a model in the cache: the one of `refs/main`, or else all.
fn snapshots(root: &Path) -> Vec<PathBuf> {
    let folder = root.join("snapshots");
    let main = fs::read_to_string(root.join("refs/main")).ok();
    let main = main.map(|commit| folder.join(commit.trim())).filter(|path| path.is_dir());
    match main {
        Some(path) if path != folder => vec![path],
        _ => names(&folder)
            .into_iter()
            .map(|name| folder.join(name))
            .filter(|path| path.is_dir())
            .collect(),
    }
}

/// The first three of these paths.
fn listed(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = if paths.len() > shown.len() { " …" } else { "" };
    shown.join(" or ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids_are_distinguished_from_paths() {
        for (path, expected) in [
            ("Dream-org/Dream-v0-Base-7B", Some("Dream-org/Dream-v0-Base-7B")),
            ("GSAI-ML/LLaDA-8B-Base/", Some("GSAI-ML/LLaDA-8B-Base")),
            (
                "https://huggingface.co/GSAI-ML/LLaDA-8B-Base/tree/main",
                Some("GSAI-ML/LLaDA-8B-Base"),
            ),
            ("src/nothing", None), // there is a folder `src`, where tests run
            ("one", None),
            ("a/b/c", None),
            ("/a/b", None),
            ("./a", None),
            ("../a", None),
            ("~/a", None),
            ("a b/c", None),
            ("", None),
        ] {
            assert_eq!(model_id(Path::new(path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_model_id_is_reported_with_a_command_or_a_snapshot() {
        let message = missing_model("org/name", std::iter::empty());
        assert!(message.contains("`hf download org/name --local-dir name`"), "{message}");
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("models--org--name");
        for commit in ["abc", "def"] {
            fs::create_dir_all(model.join("snapshots").join(commit)).unwrap();
        }
        fs::create_dir_all(model.join("refs")).unwrap();
        fs::write(model.join("refs/main"), "def\n").unwrap();
        let message =
            missing_model("org/name", [root.path().join("none"), root.path().into()].into_iter());
        assert!(message.ends_with(&model.join("snapshots/def").display().to_string()), "{message}");
        let message = missing_model("org/other", [root.path().into()].into_iter());
        assert!(message.contains("hf download org/other"), "{message}");
    }
}
