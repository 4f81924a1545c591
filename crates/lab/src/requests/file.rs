//! The file of replies: written line by line as replies arrive, and sorted by request at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::reply::Reply;
use crate::Error;

/// The settings that decide the content of a file of replies, by name.
pub type Settings = BTreeMap<String, String>;

/// The index of a request, and of its sample.
pub type Place = (usize, u32);

/// A resumable file of replies.
///
/// The settings of the run are in `FILE.run` beside it. A run with other settings cannot resume the file.
#[derive(Debug)]
pub struct ReplyFile {
    path: PathBuf,
    file: File,
    done: BTreeSet<Place>,
    /// The number of replies so far that are errors.
    failed: usize,
    /// Locked while the run lasts, against other runs that write to the same file.
    _lock: File,
}

/// The fields that identify a line.
#[derive(Deserialize)]
struct Line {
    index: usize,
    sample: u32,
    finish_reason: String,
}

impl Line {
    fn place(&self) -> Place {
        (self.index, self.sample)
    }
}

impl ReplyFile {
    /// Creates a file of replies, or resumes one. An incomplete last line is cut off.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `out` if another run has made the file or is writing to it; [`Error::Io`].
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, Error> {
        let invalid = |reason: String| Error::parameter("out", path.display(), reason);
        let beside = beside(path, "run");
        let is_new = !path.exists();
        if !is_new && !beside.exists() {
            let reason = "the file exists, and no run of this command made it: remove it, or give another name";
            return Err(invalid(reason.to_owned()));
        }
        let lock = OpenOptions::new().create(true).append(true).open(&beside);
        let lock = lock.map_err(|error| invalid(error.to_string()))?;
        if lock.try_lock().is_err() {
            return Err(invalid("another run is writing to it".to_owned()));
        }
        match is_new {
            true => claim(&beside, settings)?,
            false => compare(path, &beside, settings)?,
        }
        let file = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = file.map_err(|error| invalid(error.to_string()))?;
        let lines = lines(path, &file)?;
        let whole = lines.last().map_or(0, |(_, range)| range.end);
        let failed = lines.iter().filter(|(line, _)| line.finish_reason == "error").count();
        let done = lines.iter().map(|(line, _)| line.place()).collect();
        // Cuts off the line that a killed run was writing.
        file.set_len(whole).map_err(Error::io("write", path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_owned(), file, done, failed, _lock: lock })
    }

    /// Whether the file has this reply.
    pub fn has(&self, place: Place) -> bool {
        self.done.contains(&place)
    }

    /// The number of replies.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether there are no replies.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// The number of replies that are errors.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Appends a reply with a single write.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, reply: &Reply) -> Result<(), Error> {
        self.file.write_all(&line(reply)).map_err(Error::io("write", &self.path))?;
        self.failed += usize::from(reply.error.is_some());
        self.done.insert((reply.index, reply.sample));
        Ok(())
    }

    /// Sorts the lines by request: writes them to a temporary file, which is then renamed.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`].
    pub fn finish(self) -> Result<(), Error> {
        let path = &self.path;
        self.file.sync_all().map_err(Error::io("write", path))?;
        let mut source = File::open(path).map_err(Error::io("read", path))?;
        let mut ordered = lines(path, &source)?;
        if ordered.is_sorted_by_key(|(line, _)| line.place()) {
            return Ok(());
        }
        ordered.sort_by_key(|(line, _)| line.place());
        let temporary = beside(path, "tmp");
        let copied = (|| -> std::io::Result<()> {
            let mut target = std::io::BufWriter::new(File::create(&temporary)?);
            let mut text = Vec::new();
            for (_, range) in &ordered {
                text.resize((range.end - range.start) as usize, 0);
                source.seek(SeekFrom::Start(range.start))?;
                std::io::Read::read_exact(&mut source, &mut text)?;
                target.write_all(&text)?;
            }
            target.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&temporary, path)
        })();
        copied.map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            Error::io("write", path)(error)
        })
    }
}

/// A reply as a line.
pub fn line(reply: &Reply) -> Vec<u8> {
    // A structure of strings and numbers always serialises.
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The path with one more extension.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}

fn claim(beside: &Path, settings: &Settings) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(settings).unwrap_or_default();
    // Written in place, because the file is locked.
    let written = OpenOptions::new().write(true).truncate(true).open(beside);
    written.and_then(|mut file| file.write_all(&text)).map_err(Error::io("write", beside))
}

fn compare(path: &Path, beside: &Path, settings: &Settings) -> Result<(), Error> {
    let text = std::fs::read_to_string(beside).map_err(Error::io("read", beside))?;
    let before: Settings = serde_json::from_str(&text)
        .map_err(|error| Error::Malformed { path: beside.to_owned(), reason: error.to_string() })?;
    let names: BTreeSet<_> = before.keys().chain(settings.keys()).collect();
    let differs = names.into_iter().find(|name| before.get(*name) != settings.get(*name));
    let Some(name) = differs else { return Ok(()) };
    let value =
        |settings: &Settings| settings.get(name).map_or("nothing", String::as_str).to_owned();
    let reason = format!(
        "its run has another {name} ({}, now {}): resume with the same settings, or give another file",
        value(&before),
        value(settings)
    );
    Err(Error::parameter("out", path.display(), reason))
}

/// All complete lines, each with its byte range in the file.
fn lines(path: &Path, file: &File) -> Result<Vec<(Line, Range<u64>)>, Error> {
    let mut reader = BufReader::new(file);
    let (mut lines, mut text, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        text.clear();
        let length = reader.read_until(b'\n', &mut text).map_err(Error::io("read", path))? as u64;
        if text.last() != Some(&b'\n') {
            return Ok(lines);
        }
        let line: Line = serde_json::from_slice(&text).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            reason: format!("line {}: expected a reply: {error}", lines.len() + 1),
        })?;
        lines.push((line, at..at + length));
        at += length;
    }
}

/// Removes the temporary file of a killed run.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_temporary(path: &Path) -> Result<(), Error> {
    let temporary = beside(path, "tmp");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("remove", &temporary)(error))
        }
        _ => Ok(()),
    }
}
