//! The options that identify a run. A run's folder stores them, and rejects other values on resume.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::TrainError;
use crate::files;

/// Names and values of the options that identify a run.
pub(crate) type Identity = BTreeMap<String, String>;

/// Writes `identity` to `path`, or checks that an existing file holds the same.
///
/// # Errors
///
/// [`TrainError::OtherOptions`] names the first option that differs, in alphabetical order.
pub(crate) fn claim(path: &Path, identity: &Identity) -> Result<(), TrainError> {
    if !path.exists() {
        return files::write(path, &files::json_bytes(identity, path)?);
    }
    let found: Identity = files::read_json(path)?;
    let none = || "none".to_owned();
    let names: BTreeSet<&String> = identity.keys().chain(found.keys()).collect();
    for name in names {
        let (old, new) = (found.get(name), identity.get(name));
        if old != new {
            return Err(TrainError::OtherOptions {
                path: path.to_owned(),
                name: name.clone(),
                old: old.cloned().unwrap_or_else(none),
                new: new.cloned().unwrap_or_else(none),
            });
        }
    }
    Ok(())
}

/// An identity of these entries.
pub(crate) fn identity<const N: usize>(entries: [(&str, String); N]) -> Identity {
    entries.map(|(name, value)| (name.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_options_are_rejected_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("options.json");
        let with = |seed: u64| identity([("batch", "4".into()), ("seed", seed.to_string())]);
        claim(&path, &with(1)).unwrap();
        claim(&path, &with(1)).unwrap();
        let error = claim(&path, &with(2)).unwrap_err().to_string();
        assert!(error.contains("seed = 1") && error.contains("but 2"), "{error}");
        let fewer = identity([("batch", "4".into())]);
        assert!(matches!(claim(&path, &fewer), Err(TrainError::OtherOptions { .. })));
    }
}
