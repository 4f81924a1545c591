//! One run at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::TrainError;

/// Locks the file of a run's options. The lock ends with the returned file, or with the process.
///
/// `None` if the file system has no locks.
pub(super) fn lock(options: &Path) -> Result<Option<File>, TrainError> {
    let file = File::open(options).map_err(TrainError::io("read", options))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let folder = options.parent().unwrap_or(options).to_owned();
            Err(TrainError::Running { folder })
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_in_the_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let options = folder.path().join("options.json");
        std::fs::write(&options, "{}").unwrap();
        let first = lock(&options).unwrap();
        assert!(first.is_some());
        let message = lock(&options).map(drop).unwrap_err().to_string();
        assert!(message.contains("another process is training in"), "{message}");
        drop(first);
        assert!(lock(&options).unwrap().is_some());
    }
}
