//! Checks of output files.

use std::path::Path;

use crate::flag::InvalidArgument;

/// The folder and the name of the file that `flag` gives. The folder must exist.
pub fn place<'a>(
    flag: &'static str,
    path: &'a Path,
) -> Result<(&'a Path, &'a str), InvalidArgument> {
    let invalid = |reason| InvalidArgument::new(flag, path.display(), reason);
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| !path.is_dir());
    let name = name.ok_or_else(|| invalid("expected the name of a file".to_owned()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match folder.is_dir() {
        true => Ok((folder, name)),
        false => Err(invalid(format!("there is no folder {}", folder.display()))),
    }
}
