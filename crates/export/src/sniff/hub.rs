//! Names of models on the Hugging Face Hub, and the folders of its cache.
//!
//! The cache's layout, as `huggingface_hub` writes it: `hub/models--OWNER--NAME/` with `refs/main`, which holds a commit,
//! `snapshots/COMMIT/`, whose files are symbolic links, and `blobs/`, where these lead.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::{names, not};
use crate::error::ExportError;

/// Where the Hub's own tools keep what they fetch: variables, each with what lies below it.
const CACHES: [(&str, &str); 5] = [
    ("HF_HUB_CACHE", ""),
    ("HUGGINGFACE_HUB_CACHE", ""),
    ("HF_HOME", "hub"),
    ("XDG_CACHE_HOME", "huggingface/hub"),
    ("HOME", ".cache/huggingface/hub"),
];

/// What to do about a path at which there is nothing.
pub(super) fn missing(path: &Path) -> String {
    let caches = CACHES.into_iter().filter_map(|(variable, below)| {
        let root = env::var_os(variable).filter(|root| !root.is_empty())?;
        Some(PathBuf::from(root).join(below))
    });
    match id(path) {
        Some(id) => of_hub(&id, caches),
        None => "there is no such folder".into(),
    }
}

/// The id of a model, if a path could be one or is its address: OWNER/NAME, where no folder OWNER exists.
fn id(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let address =
        ["https://", "http://", "hf://"].iter().find_map(|start| text.strip_prefix(start));
    let text = address.map_or(text, |rest| rest.strip_prefix("huggingface.co/").unwrap_or(rest));
    let text = text.trim_end_matches('/');
    let (owner, name) = text.split_once('/')?;
    let name = if address.is_some() { name.split('/').next()? } else { name };
    let is_word = |word: &str| {
        let of_id = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(of_id)
    };
    let is_id =
        is_word(owner) && is_word(name) && (address.is_some() || !Path::new(owner).exists());
    is_id.then(|| format!("{owner}/{name}"))
}

/// What to do with the id of a model: fetch it, or take what one of these caches holds of it.
fn of_hub(id: &str, caches: impl Iterator<Item = PathBuf>) -> String {
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

/// Rejects the cache itself, and the folder of a model in it.
pub(super) fn reject_cache(path: &Path) -> Result<(), ExportError> {
    if path.join("config.json").exists() {
        return Ok(());
    }
    // The folder `snapshots` given by itself belongs to the model above it.
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
        return Err(not(path, reason));
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
            Err(not(path, reason))
        }
    }
}

/// The snapshots of a model in the cache: that of `refs/main`, or else all.
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

/// The first few of these paths.
fn listed(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = if paths.len() > shown.len() { " …" } else { "" };
    shown.join(" or ") + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sniff::checkpoint;

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
    fn names_of_the_hub_are_told_from_paths() {
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
            assert_eq!(id(Path::new(path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_name_is_fetched_or_taken_from_the_cache() {
        let message = of_hub("org/name", std::iter::empty());
        assert!(message.contains("`hf download org/name --local-dir name`"), "{message}");
        let root = tempfile::tempdir().unwrap();
        let model = cache(root.path(), &["abc", "def"], Some("def\n"));
        let message =
            of_hub("org/name", [root.path().join("none"), root.path().into()].into_iter());
        assert!(message.ends_with(&model.join("snapshots/def").display().to_string()), "{message}");
        let message = of_hub("org/other", [root.path().into()].into_iter());
        assert!(message.contains("hf download org/other"), "{message}");
    }

    #[test]
    fn the_cache_and_its_folders_name_the_snapshot_to_give() {
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
                let message = checkpoint(path).unwrap_err().to_string();
                assert!(message.ends_with(&expected), "{message}");
            }
            let message = checkpoint(root.path()).unwrap_err().to_string();
            assert!(message.contains("snapshot of one model"), "{message}");
            assert!(checkpoint(&folder.join(commits[0])).is_ok());
        }
        let root = tempfile::tempdir().unwrap();
        let model = cache(root.path(), &[], None);
        fs::create_dir_all(model.join("snapshots")).unwrap();
        let message = checkpoint(&model).unwrap_err().to_string();
        assert!(message.contains("holds no snapshot"), "{message}");
    }
}
