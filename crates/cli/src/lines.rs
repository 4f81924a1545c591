//! Files of prompts and of texts, a line each.

use std::path::Path;

use serde::Deserialize;

use crate::flag::BadFlag;

/// The prompts of a file: one a line, `\n` standing for a line's end; in a `.jsonl` file, the `prompt` of
/// each object. Empty lines are passed over.
pub fn prompts(flag: &'static str, path: &Path) -> Result<Vec<String>, BadFlag> {
    let prompt = |entry: Entry| entry.prompt.ok_or("\"prompt\"");
    entries(flag, path, |line| Entry { prompt: Some(line), text: None }, prompt)
}

/// The texts of a file, each after its prompt: one a line, without a prompt; in a `.jsonl` file, the `text`
/// of each object after its `prompt`, if it has one.
pub fn texts(flag: &'static str, path: &Path) -> Result<Vec<(String, String)>, BadFlag> {
    let text = |entry: Entry| Ok((entry.prompt.unwrap_or_default(), entry.text.ok_or("\"text\"")?));
    entries(flag, path, |line| Entry { prompt: None, text: Some(line) }, text)
}

#[derive(Deserialize)]
struct Entry {
    prompt: Option<String>,
    text: Option<String>,
}

fn entries<T>(
    flag: &'static str,
    path: &Path,
    plain: impl Fn(String) -> Entry,
    take: impl Fn(Entry) -> Result<T, &'static str>,
) -> Result<Vec<T>, BadFlag> {
    let refuse = |reason: String| BadFlag::new(flag, path.display(), reason);
    let content = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let is_json = path.extension().is_some_and(|extension| extension == "jsonl");
    let mut taken = Vec::new();
    for (line, number) in content.lines().zip(1..).filter(|(line, _)| !line.is_empty()) {
        let entry = match is_json {
            true => serde_json::from_str(line),
            false => Ok(plain(line.replace("\\n", "\n"))),
        };
        let entry = entry.map_err(|error| refuse(format!("line {number}: {error}")))?;
        let missing = |name| refuse(format!("line {number}: the object has no {name}"));
        taken.push(take(entry).map_err(missing)?);
    }
    match taken.is_empty() {
        true => Err(refuse("the file is empty".to_owned())),
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
        assert_eq!(prompts("--prompts", &path).unwrap(), ["one", "two\nlines"]);
        let texts = texts("--texts", &path).unwrap();
        assert_eq!(texts[1], (String::new(), "two\nlines".to_owned()));
    }

    #[test]
    fn objects_have_prompts_and_texts() {
        let lines = "{\"prompt\": \"1+1=\", \"text\": \"2\\n\", \"more\": 3}\n{\"text\": \"b\"}\n";
        let (_folder, path) = file("a.jsonl", lines);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(texts("--texts", &path).unwrap(), [pair("1+1=", "2\n"), pair("", "b")]);
        let error = prompts("--prompts", &path).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("\"prompt\""), "{error}");
    }

    #[test]
    fn what_cannot_be_read_names_flag_file_and_line() {
        for (name, content, reason) in [
            ("a.txt", "\n", "empty"),
            ("a.jsonl", "{\"text\": \"a\"}\n[]\n", "line 2"),
            ("a.jsonl", "text", "line 1"),
        ] {
            let (_folder, path) = file(name, content);
            let error = texts("--texts", &path).unwrap_err().to_string();
            for part in ["--texts", name, reason] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert!(prompts("--prompts", Path::new("nowhere")).is_err());
    }
}
