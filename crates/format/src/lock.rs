//! Locks of a model's folder.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Keeps other exports out of a folder until it is dropped. `None` where the system does not lock folders.
pub type Lock = Option<File>;

/// Waits up to two seconds for an export into a folder to end. Keeps others out until the lock is dropped.
///
/// Returns `None` if the export is still running.
pub fn wait_for_exports(folder: &Path) -> Option<Lock> {
    const TRIES: u32 = 40;
    const PAUSE: Duration = Duration::from_millis(50);
    let Ok(file) = File::open(folder) else { return Some(None) };
    for _ in 0..TRIES {
        match file.try_lock_shared() {
            Ok(()) => return Some(Some(file)),
            Err(TryLockError::WouldBlock) => sleep(PAUSE),
            Err(TryLockError::Error(_)) => return Some(None),
        }
    }
    None
}
