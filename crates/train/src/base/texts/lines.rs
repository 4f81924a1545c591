//! The lines of a file of texts.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use crate::error::TrainError;

/// A line that is not blank.
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    bytes: &'a [u8],
}

/// The lines of a file's `content` that are not blank, and the number of those that are.
pub(super) fn lines(content: &[u8]) -> (Vec<Line<'_>>, usize) {
    // A byte order mark is no part of the first text.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let mut blank = 0;
    let mut found = Vec::new();
    if content.is_empty() {
        return (found, blank);
    }
    for (bytes, number) in content.split(|&byte| byte == b'\n').zip(1..) {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match bytes.iter().all(u8::is_ascii_whitespace) {
            true => blank += 1,
            false => found.push(Line { number, bytes }),
        }
    }
    (found, blank)
}

impl<'a> Line<'a> {
    /// The text of this line of the file `path`.
    pub fn text(&self, path: &Path) -> Result<Cow<'a, str>, TrainError> {
        #[derive(Deserialize)]
        struct Entry {
            text: String,
        }

        let line = std::str::from_utf8(self.bytes).map_err(|error| {
            let byte = error.valid_up_to();
            let reason =
                format!("byte {} (0x{:02x}) is not valid UTF-8", byte + 1, self.bytes[byte]);
            self.error(path, reason)
        })?;
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            return Ok(Cow::Borrowed(line));
        }
        let entry: Entry = serde_json::from_str(line).map_err(|e| self.error(path, e))?;
        Ok(Cow::Owned(entry.text))
    }

    /// The error of this line of the file `path`.
    pub fn error(&self, path: &Path, reason: impl ToString) -> TrainError {
        TrainError::malformed(path, format!("line {}: {}", self.number, reason.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content: &[u8], path: &str) -> (Vec<(usize, String)>, usize) {
        let (lines, blank) = lines(content);
        let text = |line: &Line| line.text(Path::new(path)).unwrap().into_owned();
        (lines.iter().map(|line| (line.number, text(line))).collect(), blank)
    }

    #[test]
    fn lines_end_with_either_line_break_and_blank_ones_are_counted() {
        let one = |text: &str| (1, text.to_owned());
        assert_eq!(texts(b"a", "t.txt"), (vec![one("a")], 0));
        assert_eq!(texts(b"a\n", "t.txt"), (vec![one("a")], 0));
        assert_eq!(texts(b"", "t.txt"), (vec![], 0));
        assert_eq!(texts(b"\n", "t.txt"), (vec![], 0));
        let (found, blank) = texts(b"\xef\xbb\xbfa\\n b \r\n\r\n \t\n\xc3\xa9\r\n\n", "t.txt");
        assert_eq!((found, blank), (vec![one("a\\n b "), (4, "\u{e9}".to_owned())], 3));
    }

    #[test]
    fn objects_of_jsonl_files_have_a_text() {
        let (found, _) = texts(b"{\"text\": \"a\\nb\", \"id\": 1}\n", "t.jsonl");
        assert_eq!(found, [(1, "a\nb".to_owned())]);
        let (lines, _) = lines(b"{\"text\": \"a\"}\n{\"texts\": 1}\n");
        let error = lines[1].text(Path::new("t.jsonl")).unwrap_err().to_string();
        assert!(error.starts_with("t.jsonl: line 2: missing field `text`"), "{error}");
    }

    #[test]
    fn invalid_bytes_are_named_by_line_and_place() {
        let (lines, _) = lines(b"good\nab\xffc\n");
        let error = lines[1].text(Path::new("t.txt")).unwrap_err().to_string();
        assert_eq!(error, "t.txt: line 2: byte 3 (0xff) is not valid UTF-8");
    }
}
