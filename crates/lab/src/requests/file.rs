//! The file of replies: a line as soon as one is there, and in the end in the order of the requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::reply::Reply;
use crate::Error;

/// What decides the content of a file of replies, by name.
pub type Settings = BTreeMap<String, String>;

/// A request's place, and which of its samples.
pub type Place = (usize, u32);

/// A file of replies that can be continued. Beside it lies `FILE.run`, which says how it was made: a run with other settings
/// cannot continue it.
#[derive(Debug)]
pub struct ReplyFile {
    path: PathBuf,
    file: File,
    done: BTreeSet<Place>,
    /// How many of the replies so far are errors.
    failed: usize,
    /// Kept locked, so that no other run writes into the same file.
    _lock: File,
}

/// As much of a line as tells which it is.
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
    /// Begins a file of replies, or continues one: a last line that is not whole is cut off.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `out` if another run has made the file, or is at it; [`Error::Io`].
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, Error> {
        let refuse = |reason: String| Error::parameter("out", path.display(), reason);
        let beside = beside(path, "run");
        let is_new = !path.exists();
        if !is_new && !beside.exists() {
            let reason =
                "the file exists, and no run of this command made it: remove it, or name another";
            return Err(refuse(reason.to_owned()));
        }
        let lock = OpenOptions::new().create(true).append(true).open(&beside);
        let lock = lock.map_err(|error| refuse(error.to_string()))?;
        if lock.try_lock().is_err() {
            return Err(refuse("another run is writing to it".to_owned()));
        }
        match is_new {
            true => claim(&beside, settings)?,
            false => compare(path, &beside, settings)?,
        }
        let file = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = file.map_err(|error| refuse(error.to_string()))?;
        let lines = lines(path, &file)?;
        let whole = lines.last().map_or(0, |(_, range)| range.end);
        let failed = lines.iter().filter(|(line, _)| line.finish_reason == "error").count();
        let done = lines.iter().map(|(line, _)| line.place()).collect();
        // What a run was writing when it was killed.
        file.set_len(whole).map_err(Error::io("write", path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_owned(), file, done, failed, _lock: lock })
    }

    /// Whether a reply is there already.
    pub fn has(&self, place: Place) -> bool {
        self.done.contains(&place)
    }

    /// How many replies there are.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// How many of them are errors.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Adds a reply, in one piece.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, reply: &Reply) -> Result<(), Error> {
        self.file.write_all(&line(reply)).map_err(Error::io("write", &self.path))?;
        self.failed += usize::from(reply.error.is_some());
        self.done.insert((reply.index, reply.sample));
        Ok(())
    }

    /// Brings the lines into the order of the requests: writes them aside, then renames.
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
        let aside = beside(path, "tmp");
        let copied = (|| -> std::io::Result<()> {
            let mut target = std::io::BufWriter::new(File::create(&aside)?);
            let mut text = Vec::new();
            for (_, range) in &ordered {
                text.resize((range.end - range.start) as usize, 0);
                source.seek(SeekFrom::Start(range.start))?;
                std::io::Read::read_exact(&mut source, &mut text)?;
                target.write_all(&text)?;
            }
            target.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&aside, path)
        })();
        copied.map_err(|error| {
            let _ = std::fs::remove_file(&aside);
            Error::io("write", path)(error)
        })
    }
}

/// A reply as a line.
pub fn line(reply: &Reply) -> Vec<u8> {
    // A structure of texts and numbers always becomes JSON.
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The file of this name with a further ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}

fn claim(beside: &Path, settings: &Settings) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(settings).unwrap_or_default();
    // Written in place, since the file is locked; without it there are no replies yet.
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
    let shown =
        |settings: &Settings| settings.get(name).map_or("nothing", String::as_str).to_owned();
    let reason = format!(
        "it was begun with another {name} ({}, now {}): continue with the same settings, or name another file",
        shown(&before),
        shown(settings)
    );
    Err(Error::parameter("out", path.display(), reason))
}

/// All whole lines, each with where it is in the file. What follows the last line end is none.
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
            reason: format!("line {} is no reply: {error}", lines.len() + 1),
        })?;
        lines.push((line, at..at + length));
        at += length;
    }
}

/// Removes what a run left aside when it was killed.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_aside(path: &Path) -> Result<(), Error> {
    let aside = beside(path, "tmp");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("remove", &aside)(error))
        }
        _ => Ok(()),
    }
}
