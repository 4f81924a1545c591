//! Where the files of an export lie, and how they get there: complete or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::error::ExportError;
use crate::export::COMPANIONS;
use crate::layout::WEIGHTS;
use crate::manifest::MANIFEST;
use crate::observer::ExportObserver;

/// Files of an export that are ready beside their final names. Those not kept are removed.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    files: Vec<(PathBuf, PathBuf)>,
    /// Folders that did not exist before, the outermost first.
    created: Vec<PathBuf>,
    lock: Lock,
    /// Large files that cannot be linked, and where to: [`Staging::copy`] copies them.
    copies: Vec<(PathBuf, PathBuf)>,
}

/// Keeps other exports out of a folder until it is dropped; nothing where the system has no such locks.
pub(crate) type Lock = Option<File>;

/// What to do about a file that already has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// The name belongs to the export: replace the file.
    Replace,
    /// The name belongs to the user: the file must be the same, byte by byte.
    MustEqual,
}

/// How another folder's file gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// As a copy: small files that a user may edit.
    Copy,
    /// As a hard link, or as a copy where the file system has none across its borders, which [`Staging::copy`] makes.
    LinkOrCopy,
    /// As a hard link or not at all.
    Link,
}

impl Staging {
    /// Begins an export into a folder, which is created where it does not exist. Waits for another export into it to end, and
    /// removes what a killed one left behind.
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

    /// Whether nothing would change.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Writes a file of the export's own, unless it is there already.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        if self.holds(name, bytes) {
            return Ok(());
        }
        self.write_again(name, bytes)
    }

    /// Whether the folder has a file of this name and content.
    pub(crate) fn holds(&self, name: &str, bytes: &[u8]) -> bool {
        let path = self.folder.join(name);
        fs::symlink_metadata(&path)
            .is_ok_and(|file| file.is_file() && file.len() == bytes.len() as u64)
            && fs::read(&path).is_ok_and(|own| own == bytes)
    }

    /// Writes a file of the export's own, whether or not it is there already.
    pub(crate) fn write_again(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let temporary = self.stage(name)?;
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(unwritable("write", &self.folder, &self.folder.join(name)))
    }

    /// Writes a large file of the export's own of so many bytes, which `fill` puts into it, and gives the name that it has until
    /// the commit.
    pub(crate) fn write_large(
        &mut self,
        name: &str,
        bytes: u64,
        fill: impl FnOnce(&Path, &mut File) -> Result<(), ExportError>,
    ) -> Result<PathBuf, ExportError> {
        self.reserve(bytes)?;
        let temporary = self.stage(name)?;
        let mut file =
            File::create(&temporary).map_err(unwritable("create", &self.folder, &temporary))?;
        fill(&temporary, &mut file)?;
        file.sync_all().map_err(unwritable("write", &self.folder, &temporary))?;
        Ok(temporary)
    }

    /// Leaves out a file that was made where the one under its name is the same; it must be where it is the user's. Whether it stays.
    pub(crate) fn settle(&mut self, made: &Path, existing: Existing) -> Result<bool, ExportError> {
        let Some((_, target)) = self.files.iter().find(|(temporary, _)| temporary == made) else {
            return Ok(false);
        };
        if !target.exists() {
            return Ok(true);
        }
        if same_content(made, target)? {
            self.discard(made);
            return Ok(false);
        }
        match existing {
            Existing::MustEqual => Err(ExportError::Conflict { path: target.clone() }),
            Existing::Replace => Ok(true),
        }
    }

    /// Leaves out a file that was made.
    pub(crate) fn discard(&mut self, made: &Path) {
        let _ = fs::remove_file(made);
        self.files.retain(|(temporary, _)| temporary != made);
    }

    /// Copies the large files that could not be linked.
    pub(crate) fn copy(&mut self, observer: &mut dyn ExportObserver) -> Result<(), ExportError> {
        let mut bytes = 0;
        for (from, _) in &self.copies {
            bytes += fs::metadata(from).map_err(ExportError::io("read", from))?.len();
        }
        if bytes == 0 {
            return Ok(());
        }
        self.reserve(bytes)?;
        observer.on_copy(bytes);
        for (from, to) in std::mem::take(&mut self.copies) {
            copy(&from, &to, &self.folder, observer)?;
        }
        Ok(())
    }

    /// Demands room for so many bytes on the folder's file system, where that can be told.
    fn reserve(&self, bytes: u64) -> Result<(), ExportError> {
        match fs4::available_space(&self.folder) {
            Ok(free) if free < bytes => {
                Err(ExportError::NoSpace { path: self.folder.clone(), needed: bytes, free })
            }
            _ => Ok(()),
        }
    }

    /// Brings in another folder's file; whether it was not there already.
    pub(crate) fn bring(
        &mut self,
        from: &Path,
        name: &str,
        transfer: Transfer,
        existing: Existing,
    ) -> Result<bool, ExportError> {
        // A hard link to a symbolic link would lead out of the folder just the same.
        let source = fs::canonicalize(from).map_err(ExportError::io("read", from))?;
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

    /// Gives all files their names, in the order in which they were added. The folder stays locked for what is still to do there.
    pub(crate) fn commit(mut self) -> Result<Lock, ExportError> {
        for (temporary, target) in &self.files {
            fs::rename(temporary, target).map_err(ExportError::io("create", target))?;
        }
        // Dropping removes what is left of the temporary names: after an error those not yet
        // renamed, and otherwise hard links, since renaming one over another link to the same file
        // does nothing on Unix.
        Ok(self.lock.take())
    }

    /// The temporary name of a file, in the folder of its final one.
    fn stage(&mut self, name: &str) -> Result<PathBuf, ExportError> {
        let target = self.folder.join(name);
        if let Some(parent) = target.parent() {
            self.create_folder(parent)?;
        }
        let mut temporary = target.clone().into_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let _ = fs::remove_file(&temporary); // left behind by a process of the same number
        self.files.push((temporary.clone(), target));
        Ok(temporary)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for (temporary, _) in &self.files {
            let _ = fs::remove_file(temporary);
        }
        // Folders that were made for files which did not get there. Those that are not empty stay.
        for folder in self.created.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        let _ = fs::remove_dir(self.folder.join(WEIGHTS)); // if nothing came into it
    }
}

/// Waits a little for an export into a folder to end, and then keeps others waiting until the answer is dropped; none if the export
/// goes on.
pub(crate) fn wait_for_exports(folder: &Path) -> Option<Lock> {
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

/// For `map_err`: a folder that takes no files is named as that.
fn unwritable<'a>(
    action: &'static str,
    folder: &'a Path,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ExportError + 'a {
    move |source| match source.kind() {
        // Reading what is copied may be what is denied.
        _ if action == "copy" && File::open(path).is_err() => ExportError::io("read", path)(source),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ExportError::ReadOnly { path: folder.into(), source }
        }
        _ => ExportError::io(action, path)(source),
    }
}

/// Removes temporary files of exports that were killed.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.strip_suffix(".tmp")?.rsplit_once('.'));
        if parts.is_some_and(|(name, number)| is_written(name) && number.parse::<u32>().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether exports write files of this name.
fn is_written(name: &str) -> bool {
    let ends = [".onnx", ".safetensors"].iter().any(|end| name.ends_with(end));
    ends || name == MANIFEST || COMPANIONS.contains(&name)
}

/// Copies a file a piece at a time.
fn copy(
    from: &Path,
    to: &Path,
    folder: &Path,
    observer: &mut dyn ExportObserver,
) -> Result<(), ExportError> {
    let mut source = File::open(from).map_err(ExportError::io("read", from))?;
    let mut target = File::create(to).map_err(unwritable("create", folder, to))?;
    let mut piece = vec![0; 4 << 20];
    loop {
        let read = match source.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(ExportError::io("read", from))?,
        };
        if read == 0 {
            return target.sync_all().map_err(unwritable("write", folder, to));
        }
        target.write_all(&piece[..read]).map_err(unwritable("write", folder, to))?;
        observer.on_read(read as u64);
    }
}

/// Whether two paths lead to the same content, at no cost if they lead to the same file.
fn same_content(a: &Path, b: &Path) -> Result<bool, ExportError> {
    let metadata = |path: &Path| fs::metadata(path).map_err(ExportError::io("read", path));
    let (a_data, b_data) = (metadata(a)?, metadata(b)?);
    if a_data.len() != b_data.len() {
        return Ok(false);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (a_data.dev(), a_data.ino()) == (b_data.dev(), b_data.ino()) {
            return Ok(true);
        }
    }
    let open = |path: &Path| File::open(path).map_err(ExportError::io("read", path));
    let (mut a_file, mut b_file) = (open(a)?, open(b)?);
    let (mut a_chunk, mut b_chunk) = (Vec::new(), Vec::new());
    loop {
        read_chunk(&mut a_file, &mut a_chunk).map_err(ExportError::io("read", a))?;
        read_chunk(&mut b_file, &mut b_chunk).map_err(ExportError::io("read", b))?;
        if a_chunk != b_chunk {
            return Ok(false);
        }
        if a_chunk.is_empty() {
            return Ok(true);
        }
    }
}

/// The next MiB of a file, or what is left of it.
fn read_chunk(file: &mut File, chunk: &mut Vec<u8>) -> std::io::Result<()> {
    chunk.clear();
    file.take(1 << 20).read_to_end(chunk).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_has_its_name_before_the_commit_and_nothing_else_is_there_after() {
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
    fn an_abandoned_export_leaves_the_folder_as_it_was() {
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
            let brought = staging.bring(&source, "name", Transfer::LinkOrCopy, Existing::MustEqual);
            assert_eq!(brought.is_ok(), equal, "{theirs}");
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
            // A second time over a link to the very same file.
            for _ in 0..2 {
                let mut staging = Staging::new(&out).unwrap();
                staging.bring(&source, "name", transfer, Existing::Replace).unwrap();
                staging.copy(&mut ()).unwrap();
                staging.commit().unwrap();
                assert_eq!(fs::read_to_string(out.join("name")).unwrap(), "new");
                assert_eq!(names(&out), ["name"]);
            }
        }
    }

    #[test]
    fn a_file_that_is_there_already_is_left_alone() {
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
    fn what_a_killed_export_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join(WEIGHTS);
        fs::create_dir(&weights).unwrap();
        for name in ["head.onnx.12.tmp", "conjoint.json.1.tmp", "model.safetensors.7.tmp"] {
            fs::write(folder.path().join(name), "").unwrap();
            fs::write(weights.join(name), "").unwrap();
        }
        let kept = ["head.onnx.tmp", "head.onnx.x.tmp", "notes.12.tmp"];
        kept.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        drop(Staging::new(folder.path()).unwrap());
        // The folder of weights is empty by now, and goes too.
        assert_eq!(names(folder.path()), kept);
    }

    /// Where the system locks folders, as Unix does.
    #[cfg(unix)]
    #[test]
    fn exports_into_one_folder_take_turns() {
        use std::sync::mpsc;
        let folder = tempfile::tempdir().unwrap();
        let first = Staging::new(folder.path()).unwrap();
        let (sender, receiver) = mpsc::channel();
        let path = folder.path().to_owned();
        let second = std::thread::spawn(move || {
            let staging = Staging::new(&path).unwrap();
            sender.send(()).unwrap();
            // One who only reads waits a little, and is then told.
            assert!(wait_for_exports(&path).is_none());
            drop(staging);
            assert!(wait_for_exports(&path).flatten().is_some());
        });
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "it must wait");
        drop(first);
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        second.join().unwrap();
    }

    #[test]
    fn contents_are_compared_beyond_the_first_chunk() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        let mut bytes = vec![7; (1 << 20) + 5];
        fs::write(&a, &bytes).unwrap();
        fs::write(&b, &bytes).unwrap();
        assert!(same_content(&a, &b).unwrap());
        bytes[(1 << 20) + 4] = 8;
        fs::write(&b, &bytes).unwrap();
        assert!(!same_content(&a, &b).unwrap());
    }
}
