//! Files of prompts and of texts, one per line.

use std::path::Path;

use serde::Deserialize;

use crate::Error;

/// Reads the prompts of a file: one per line, with `\n` for a line break; in a `.jsonl` file, the `prompt` of each object.
/// Empty lines are ignored.
///
/// # Errors
/// [`Error::Parameter`] for `prompts` with the line and the reason.
pub fn prompts(path: &Path) -> Result<Vec<String>, Error> {
    let prompt = |entry: Entry| entry.prompt.ok_or("\"prompt\"");
    entries("prompts", path, |line| Entry { prompt: Some(line), text: None }, prompt)
}

/// Reads the texts of a file, as pairs of prompt and text: one text per line, without a prompt; in a `.jsonl` file, the
/// `prompt` (if any) and the `text` of each object.
///
/// # Errors
/// [`Error::Parameter`] for `texts` with the line and the reason.
pub fn texts(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let text = |entry: Entry| Ok((entry.prompt.unwrap_or_default(), entry.text.ok_or("\"text\"")?));
    entries("texts", path, |line| Entry { prompt: None, text: Some(line) }, text)
}

#[derive(Deserialize)]
struct Entry {
    prompt: Option<String>,
    text: Option<String>,
}

fn entries<T>(
    name: &'static str,
    path: &Path,
    plain: impl Fn(String) -> Entry,
    take: impl Fn(Entry) -> Result<T, &'static str>,
) -> Result<Vec<T>, Error> {
    let invalid = |reason: String| Error::parameter(name, path.display(), reason);
    let content = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    let is_json = path.extension().is_some_and(|extension| extension == "jsonl");
    let mut taken = Vec::new();
    for (line, number) in content.lines().zip(1..).filter(|(line, _)| !line.is_empty()) {
        let entry = match is_json {
            true => serde_json::from_str(line),
            false => Ok(plain(line.replace("\\n", "\n"))),
        };
        let entry = entry.map_err(|error| invalid(format!("line {number}: {error}")))?;
        let missing = |key| invalid(format!("line {number}: the object has no {key}"));
        taken.push(take(entry).map_err(missing)?);
    }
    match taken.is_empty() {
        true => Err(invalid("the file is empty".to_owned())),
        false => Ok(taken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn lines_are_prompts_or_texts() {
        let (_folder, path) = file("a.txt", "one\n\ntwo\\nlines\n");
        assert_eq!(prompts(&path).unwrap(), ["one", "two\nlines"]);
        let texts = texts(&path).unwrap();
        assert_eq!(texts[1], (String::new(), "two\nlines".to_owned()));
    }

    #[test]
    fn objects_have_prompts_and_texts() {
        let lines = "{\"prompt\": \"1+1=\", \"text\": \"2\\n\", \"more\": 3}\n{\"text\": \"b\"}\n";
        let (_folder, path) = file("a.jsonl", lines);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(texts(&path).unwrap(), [pair("1+1=", "2\n"), pair("", "b")]);
        let error = prompts(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("\"prompt\""), "{error}");
    }

    #[test]
    fn errors_name_parameter_file_and_line() {
        for (name, content, reason) in [
            ("a.txt", "\n", "empty"),
            ("a.jsonl", "{\"text\": \"a\"}\n[]\n", "line 2"),
            ("a.jsonl", "text", "line 1"),
        ] {
            let (_folder, path) = file(name, content);
            let error = texts(&path).unwrap_err().to_string();
            for part in ["texts", name, reason] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert!(prompts(Path::new("nowhere")).is_err());
    }
}
