//! What a folder was made with, so that it is never continued with something else.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{TrainError, atomic, json};

/// Names and values of the options that make a run what it is.
pub(crate) type Identity = BTreeMap<String, String>;

/// Claims `path` for `identity`: writes it where there is none, and otherwise demands that it is
/// the same.
///
/// # Errors
///
/// [`TrainError::OtherOptions`] names the first option that differs.
pub(crate) fn claim(path: &Path, identity: &Identity) -> Result<(), TrainError> {
    if !path.exists() {
        return atomic::write(path, &json::bytes(identity, path)?);
    }
    let found: Identity = json::read(path)?;
    let none = || "none".to_owned();
    for name in identity.keys().chain(found.keys()) {
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

/// One entry for each name and value.
pub(crate) fn identity<const N: usize>(entries: [(&str, String); N]) -> Identity {
    entries.map(|(name, value)| (name.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_options() {
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
