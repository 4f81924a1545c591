//! The files of an export on their way to the output folder. They appear there together or not at all.

mod compare;
mod files;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use conjoint_format::FormatError;
use conjoint_format::lock::Lock;
use conjoint_format::names::WEIGHTS;

use crate::error::ExportError;
use crate::observer::ExportObserver;
use compare::same_content;
use files::{copy, remove_leftovers, unwritable};

/// Files of an export under temporary names. They are removed unless they are committed.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    /// Temporary and final path of each file.
    files: Vec<(PathBuf, PathBuf)>,
    /// Folders created by this export, the outermost first.
    created: Vec<PathBuf>,
    lock: Lock,
    /// Source and temporary path of large files that cannot be linked. [`Staging::copy`] copies them.
    copies: Vec<(PathBuf, PathBuf)>,
}

/// How to treat an existing file of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// The file belongs to the export: replace it.
    Replace,
    /// The file belongs to the user: it must have the same content.
    MustEqual,
}

/// How to transfer a file from another folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// As a copy, for small files that a user may edit.
    Copy,
    /// As a hard link; if that is impossible, as a copy made by [`Staging::copy`].
    LinkOrCopy,
    /// As a hard link only.
    Link,
}

impl Staging {
    /// Begins an export into a folder. Creates the folder if necessary, waits for another export into it to
    /// end, and removes temporary files of interrupted exports.
    pub(crate) fn new(folder: &Path) -> Result<Self, ExportError> {
        let (files, created, copies) = Default::default();
        let mut staging = Self { folder: folder.into(), files, created, lock: None, copies };
        staging.create_folder(folder)?;
        staging.lock = File::open(folder).and_then(|file| file.lock().map(|()| file)).ok();
        if staging.lock.is_some() {
            remove_leftovers(folder);
            remove_leftovers(&folder.join(WEIGHTS));
        }
        Ok(staging)
    }

    fn create_folder(&mut self, folder: &Path) -> Result<(), ExportError> {
        let missing = folder.ancestors().take_while(|path| !path.exists());
        let mut missing: Vec<PathBuf> = missing.map(Into::into).collect();
        missing.reverse();
        self.created.append(&mut missing);
        fs::create_dir_all(folder).map_err(unwritable("create", &self.folder, folder))
    }

    /// Whether the export would change no file.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Writes a file, unless it exists with this content.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        if self.has_content(name, bytes) {
            return Ok(());
        }
        self.write_always(name, bytes)
    }

    /// Whether the folder has a file of this name and content.
    pub(crate) fn has_content(&self, name: &str, bytes: &[u8]) -> bool {
        let path = self.folder.join(name);
        fs::symlink_metadata(&path)
            .is_ok_and(|file| file.is_file() && file.len() == bytes.len() as u64)
            && fs::read(&path).is_ok_and(|own| own == bytes)
    }

    /// Writes a file, even if it exists with this content.
    pub(crate) fn write_always(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let temporary = self.stage(name)?;
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(unwritable("write", &self.folder, &self.folder.join(name)))
    }

    /// Writes a large file with `fill`, and returns its temporary path. `bytes` is its length, which must be
    /// free on the file system.
    pub(crate) fn write_large(
        &mut self,
        name: &str,
        bytes: u64,
        fill: impl FnOnce(&Path, &mut File) -> Result<(), ExportError>,
    ) -> Result<PathBuf, ExportError> {
        self.check_space(bytes)?;
        let temporary = self.stage(name)?;
        let mut file =
            File::create(&temporary).map_err(unwritable("create", &self.folder, &temporary))?;
        fill(&temporary, &mut file)?;
        file.sync_all().map_err(unwritable("write", &self.folder, &temporary))?;
        Ok(temporary)
    }

    /// Discards a staged file if the folder has one of the same name and content. Returns whether the staged
    /// file is kept.
    ///
    /// # Errors
    /// [`ExportError::Conflict`] if the existing file belongs to the user and differs.
    pub(crate) fn discard_unchanged(
        &mut self,
        staged: &Path,
        existing: Existing,
    ) -> Result<bool, ExportError> {
        let Some((_, target)) = self.files.iter().find(|(temporary, _)| temporary == staged) else {
            return Ok(false);
        };
        if !target.exists() {
            return Ok(true);
        }
        if same_content(staged, target)? {
            self.discard(staged);
            return Ok(false);
        }
        match existing {
            Existing::MustEqual => Err(ExportError::Conflict { path: target.clone() }),
            Existing::Replace => Ok(true),
        }
    }

    /// Removes a staged file.
    pub(crate) fn discard(&mut self, staged: &Path) {
        let _ = fs::remove_file(staged);
        self.files.retain(|(temporary, _)| temporary != staged);
    }

    /// Copies the large files that cannot be linked.
    pub(crate) fn copy(&mut self, observer: &mut dyn ExportObserver) -> Result<(), ExportError> {
        let mut bytes = 0;
        for (from, _) in &self.copies {
            bytes += fs::metadata(from).map_err(FormatError::io("read", from))?.len();
        }
        if bytes == 0 {
            return Ok(());
        }
        self.check_space(bytes)?;
        observer.on_copy(bytes);
        for (from, to) in std::mem::take(&mut self.copies) {
            copy(&from, &to, &self.folder, observer)?;
        }
        Ok(())
    }

    /// Checks that the folder's file system has `bytes` free bytes, if the system reports them.
    fn check_space(&self, bytes: u64) -> Result<(), ExportError> {
        match fs4::available_space(&self.folder) {
            Ok(free) if free < bytes => {
                Err(ExportError::NoSpace { path: self.folder.clone(), needed: bytes, free })
            }
            _ => Ok(()),
        }
    }

    /// Transfers a file from another folder. Returns whether it was transferred: not if the folder has one of
    /// the same content.
    pub(crate) fn transfer(
        &mut self,
        from: &Path,
        name: &str,
        transfer: Transfer,
        existing: Existing,
    ) -> Result<bool, ExportError> {
        // A hard link to a symbolic link would still lead out of the folder.
        let source = fs::canonicalize(from).map_err(FormatError::io("read", from))?;
        let target = self.folder.join(name);
        if target.exists() {
            if same_content(&source, &target)? {
                return Ok(false);
            }
            if existing == Existing::MustEqual {
                return Err(ExportError::Conflict { path: target });
            }
        }
        let temporary = self.stage(name)?;
        if transfer != Transfer::Copy {
            match fs::hard_link(&source, &temporary) {
                Ok(()) => return Ok(true),
                Err(_) if transfer == Transfer::LinkOrCopy => {
                    self.copies.push((source, temporary));
                    return Ok(true);
                }
                Err(source) => return Err(ExportError::Unlinkable { path: from.into(), source }),
            }
        }
        fs::copy(&source, &temporary).map_err(unwritable("copy", &self.folder, from)).map(|_| true)
    }

    /// Renames all files to their final names, in the order in which they were added. Returns the lock of the
    /// folder.
    pub(crate) fn commit(mut self) -> Result<Lock, ExportError> {
        for (temporary, target) in &self.files {
            fs::rename(temporary, target).map_err(ExportError::io("create", target))?;
        }
        // Dropping removes the remaining temporary names. After an error, these are the files that were not
        // renamed. Otherwise they are hard links: on Unix, renaming a link over another link to the same file
        // does nothing.
        Ok(self.lock.take())
    }

    /// Adds a file, and returns its temporary path, in the folder of its final one.
    fn stage(&mut self, name: &str) -> Result<PathBuf, ExportError> {
        let target = self.folder.join(name);
        if let Some(parent) = target.parent() {
            self.create_folder(parent)?;
        }
        let mut temporary = target.clone().into_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let _ = fs::remove_file(&temporary); // left by a process with the same id
        self.files.push((temporary.clone(), target));
        Ok(temporary)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for (temporary, _) in &self.files {
            let _ = fs::remove_file(temporary);
        }
        // Remove folders created for files that were not committed. Folders that are not empty remain.
        for folder in self.created.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        let _ = fs::remove_dir(self.folder.join(WEIGHTS)); // if it is empty
    }
}
