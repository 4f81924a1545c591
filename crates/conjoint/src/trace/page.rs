use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The page around the JSON of a trace.
pub(super) fn html(json: &str) -> String {
    include_str!("page.html")
        .replace("{{style}}", include_str!("page.css"))
        .replace("{{script}}", include_str!("page.js"))
        // Last, so that nothing in it is taken for a placeholder.
        .replacen("{{trace}}", &inert(json), 1)
}

/// JSON that no HTML parser sees an end tag, a comment or a line end in.
fn inert(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                inert += &format!("\\u{:04x}", u32::from(character));
            }
            _ => inert.push(character),
        }
    }
    inert
}

/// A page that is written whole or not at all: aside first, then renamed.
///
/// Creating it before a long run tells at once whether its place can be written. Dropped unwritten,
/// it leaves nothing behind.
#[derive(Debug)]
pub struct Page {
    target: PathBuf,
    aside: PathBuf,
    file: File,
}

impl Page {
    /// Prepares a page at `path`; what is there stays until the page is written.
    ///
    /// # Errors
    /// If `path` is something other than a file, or its folder cannot be written.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // A link stays a link: what it leads to is replaced.
        let target = if path.exists() { fs::canonicalize(path)? } else { path.to_owned() };
        let name = target.file_name().filter(|_| target.is_file() || !target.exists());
        let Some(name) = name else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        };
        let name = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let aside = target.with_file_name(name);
        let file = File::create(&aside)?;
        Ok(Self { target, aside, file })
    }

    /// Writes the page and gives it its name.
    ///
    /// # Errors
    /// If the text cannot be written, or the file cannot be renamed.
    pub fn write(mut self, html: &str) -> io::Result<()> {
        self.file.write_all(html.as_bytes())?;
        fs::rename(&self.aside, &self.target)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Gone already once it has its name.
        let _ = fs::remove_file(&self.aside);
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
    fn no_text_ends_the_script_or_a_line_of_it() {
        let hostile = r#""</script><!--{{style}}&amp;"#.to_owned() + "\u{2028}\u{2029}é\"";
        let inert = inert(&hostile);
        assert_eq!(inert.find(['<', '>', '&', '\u{2028}', '\u{2029}']), None);
        let read = |json: &str| serde_json::from_str::<String>(json).unwrap();
        assert_eq!(read(&inert), read(&hostile));
        let page = html(&hostile);
        assert!(page.contains(&inert), "{page}");
        assert!(!page.contains("{{trace}}") && !page.contains("{{script}}"), "{page}");
    }

    #[test]
    fn the_page_asks_for_nothing_from_outside() {
        let page = html("{}");
        for word in ["http:", "https:", "//cdn", "src=", "@import", "url(", "fetch("] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_page_is_there_whole_or_not_at_all() {
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
    fn places_that_cannot_be_written_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Page::create(folder.path()).is_err());
        assert!(Page::create(folder.path().join("nowhere/trace.html")).is_err());
        assert!(Page::create("").is_err());
        assert!(names(folder.path()).is_empty());
    }
}
