//! Reading and encoding a file of texts.

use std::fmt::Write;
use std::path::Path;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};

use super::ids::Ids;
use super::lines::{Line, lines};
use crate::base::tokenizer::TextTokenizer;
use crate::error::TrainError;
use crate::run::{RunOptions, map};

/// How a file of texts is encoded.
pub(super) struct Encoding<'a> {
    pub tokenizer: &'a TextTokenizer,
    /// T, the length of a row, which holds a text and an end token.
    pub length: usize,
    pub skip_long: bool,
    pub run: &'a RunOptions,
}

const BAR: &str = "{msg} {bar:30} {human_pos} of {human_len} texts, {eta} left";
/// Lines that a thread encodes at a time.
const PART: usize = 4096;

/// Texts that do not fit into a row.
#[derive(Default)]
struct Long {
    count: usize,
    /// The line and the number of tokens of the first one.
    first: Option<(usize, usize)>,
    /// The number of tokens of the longest one.
    longest: usize,
}

impl Long {
    fn add(&mut self, line: usize, tokens: usize) {
        self.count += 1;
        self.first.get_or_insert((line, tokens));
        self.longest = self.longest.max(tokens);
    }
}

impl Encoding<'_> {
    /// Appends the texts of the file `path` to `ids`. Returns the file's SHA-256.
    pub fn read(&self, path: &Path, ids: &mut Ids) -> Result<String, TrainError> {
        let content = std::fs::read(path).map_err(TrainError::io("read", path))?;
        let (lines, blank) = lines(&content);
        let bar = self.bar(lines.len() as u64, path);
        let before = (ids.len(), ids.tokens());
        let mut long = Long::default();
        let mut lines_done = 0;
        for block in lines.chunks(PART * self.run.workers.max(1)) {
            let parts = map(block.chunks(PART).collect(), |part| self.encode(part, path))?;
            let texts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
            for (line, text) in block.iter().zip(texts.concat()) {
                match text.len() < self.length {
                    true => ids.push(&text),
                    false => long.add(line.number, text.len()),
                }
            }
            lines_done += block.len() as u64;
            bar.set_position(lines_done);
        }
        bar.finish_and_clear();
        if let (false, Some((line, tokens))) = (self.skip_long, long.first) {
            let Long { count, longest, .. } = long;
            let (path, length) = (path.into(), self.length);
            return Err(TrainError::LongText { path, line, tokens, length, count, longest });
        }
        let (texts, tokens) = ((ids.len() - before.0) as u64, ids.tokens() - before.1);
        if texts == 0 {
            let reason = match long.count {
                0 => "the file has no texts".to_owned(),
                count => {
                    format!("all of its {count} texts are too long for a row of {}", self.length)
                }
            };
            return Err(TrainError::malformed(path, reason));
        }
        if self.run.progress {
            let mut note = format!("{}: {} texts", path.display(), HumanCount(texts));
            let _ = write!(note, ", {} tokens", HumanCount(tokens));
            for (count, what) in [(blank, "blank lines"), (long.count, "texts that are too long")] {
                if count > 0 {
                    let _ = write!(note, "; skipped {} {what}", HumanCount(count as u64));
                }
            }
            eprintln!("{note}");
        }
        Ok(sha256(&content))
    }

    fn encode(&self, part: &[Line], path: &Path) -> Result<Vec<Vec<u32>>, TrainError> {
        let encode = |line: &Line| {
            let ids = self.tokenizer.encode(&line.text(path)?).map_err(|e| line.error(path, e))?;
            match ids.is_empty() {
                true => Err(line.error(path, "the text has no tokens")),
                false => Ok(ids),
            }
        };
        part.iter().map(encode).collect()
    }

    fn bar(&self, lines: u64, path: &Path) -> ProgressBar {
        let target = match self.run.progress {
            true => ProgressDrawTarget::stderr_with_hz(4),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(lines), target);
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        bar.set_message(format!("encoding {}", path.display()));
        bar
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
