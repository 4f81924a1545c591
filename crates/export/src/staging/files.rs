//! Operations on single files of an output folder.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use conjoint_format::FormatError;
use conjoint_format::names::{COMPANIONS, MANIFEST};

use crate::error::ExportError;
use crate::observer::ExportObserver;

/// For `map_err`: an error of writing, which distinguishes a read-only folder.
pub(super) fn unwritable<'a>(
    action: &'static str,
    folder: &'a Path,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ExportError + 'a {
    move |source| match source.kind() {
        // The source of the copy may be unreadable.
        _ if action == "copy" && File::open(path).is_err() => {
            FormatError::io("read", path)(source).into()
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ExportError::ReadOnly { path: folder.into(), source }
        }
        _ => ExportError::io(action, path)(source),
    }
}

/// Removes temporary files of interrupted exports.
pub(super) fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.strip_suffix(".tmp")?.rsplit_once('.'));
        if parts
            .is_some_and(|(name, number)| is_exported_name(name) && number.parse::<u32>().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether exports write files of this name.
fn is_exported_name(name: &str) -> bool {
    let ends = [".onnx", ".safetensors"].iter().any(|end| name.ends_with(end));
    ends || name == MANIFEST || COMPANIONS.contains(&name)
}

/// Copies a file piece by piece.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    folder: &Path,
    observer: &mut dyn ExportObserver,
) -> Result<(), ExportError> {
    let mut source = File::open(from).map_err(FormatError::io("read", from))?;
    let mut target = File::create(to).map_err(unwritable("create", folder, to))?;
    let mut piece = vec![0; 4 << 20];
    loop {
        let read = match source.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(FormatError::io("read", from))?,
        };
        if read == 0 {
            return target.sync_all().map_err(unwritable("write", folder, to));
        }
        target.write_all(&piece[..read]).map_err(unwritable("write", folder, to))?;
        observer.on_read(read as u64);
    }
}
