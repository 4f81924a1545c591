use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The page around the JSON of a trace.
pub(super) fn html(json: &str) -> String {
    include_str!("page.html")
        .replace("{{style}}", include_str!("page.css"))
        .replace("{{script}}", include_str!("page.js"))
        // Last, because a text may contain a placeholder.
        .replacen("{{trace}}", &escaped(json), 1)
}

/// Escapes everything in JSON that an HTML parser could read as a tag, a comment or a line break.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped += &format!("\\u{:04x}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A page that is written atomically: to a temporary file, which is then renamed.
///
/// Create it before a long run: an unwritable path is then an error at once. Dropping it unwritten removes the temporary file.
#[derive(Debug)]
pub struct Page {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl Page {
    /// Prepares a page at `path`. An existing file stays until the page is written.
    ///
    /// # Errors
    /// If `path` is not a file, or its folder is not writable.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // Replaces the target of a link, not the link.
        let target = if path.exists() { fs::canonicalize(path)? } else { path.to_owned() };
        let name = target.file_name().filter(|_| target.is_file() || !target.exists());
        let Some(name) = name else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        };
        let name = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let temporary = target.with_file_name(name);
        let file = File::create(&temporary)?;
        Ok(Self { target, temporary, file })
    }

    /// Writes the page and renames it to its path.
    ///
    /// # Errors
    /// If the text cannot be written, or the file cannot be renamed.
    pub fn write(mut self, html: &str) -> io::Result<()> {
        self.file.write_all(html.as_bytes())?;
        fs::rename(&self.temporary, &self.target)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // After a write there is nothing to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn no_text_ends_the_script_or_its_line() {
        let hostile = r#""</script><!--{{style}}&amp;"#.to_owned() + "\u{2028}\u{2029}é\"";
        let escaped = escaped(&hostile);
        assert_eq!(escaped.find(['<', '>', '&', '\u{2028}', '\u{2029}']), None);
        let read = |json: &str| serde_json::from_str::<String>(json).unwrap();
        assert_eq!(read(&escaped), read(&hostile));
        let page = html(&hostile);
        assert!(page.contains(&escaped), "{page}");
        assert!(!page.contains("{{trace}}") && !page.contains("{{script}}"), "{page}");
    }

    #[test]
    fn the_page_loads_nothing_from_the_network() {
        let page = html("{}");
        for word in ["http:", "https:", "//cdn", "src=", "@import", "url(", "fetch("] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_page_is_written_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.html");
        drop(Page::create(&path).unwrap());
        assert!(names(folder.path()).is_empty());
        Page::create(&path).unwrap().write("one").unwrap();
        let page = Page::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        page.write("two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(folder.path()), ["trace.html"]);
    }

    #[test]
    fn unwritable_paths_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Page::create(folder.path()).is_err());
        assert!(Page::create(folder.path().join("nowhere/trace.html")).is_err());
        assert!(Page::create("").is_err());
        assert!(names(folder.path()).is_empty());
    }
}
