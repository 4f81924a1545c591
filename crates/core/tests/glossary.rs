//! `docs/glossary.md` and the `doc(alias)` attributes of the sources agree.
//!
//! A term of the glossary must be an alias of its item, or the item's own name. An alias of this crate must be in the
//! glossary.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// An item of the sources, with its aliases if it has any.
#[derive(Debug)]
struct Item {
    /// The crate and the modules of its file, such as `conjoint_core::filter::top_p`.
    module: String,
    /// Its name, after that of its type or trait if it has one: `TopP`, `Canvas::infill`.
    name: String,
    aliases: Vec<String>,
}

/// A row of the glossary.
#[derive(Debug)]
struct Entry {
    terms: Vec<String>,
    path: String,
}

/// The root of the repository. `None` in the packaged crate, which does not contain the documentation of the
/// workspace: only there is nothing to compare.
fn repository() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("docs").is_dir().then_some(root)
}

fn entries(glossary: &str) -> Vec<Entry> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = glossary.lines().filter(|line| line.starts_with('|')).map(cells);
    let rows = rows.filter(|cells| cells.len() == 3 && cells[2].starts_with('`'));
    let entry = |cells: Vec<String>| Entry {
        terms: cells[0].split(", ").map(str::to_owned).collect(),
        path: cells[2].trim_matches('`').to_owned(),
    };
    rows.map(entry).collect()
}

/// The Rust files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name that a line declares, without visibility and keywords; fields and variants included.
fn declared(line: &str) -> String {
    let words = line.trim().trim_start_matches("pub ");
    let keywords = ["const ", "async ", "fn ", "struct ", "enum ", "trait ", "type ", "mod "];
    let rest =
        keywords.iter().fold(words, |rest, keyword| rest.strip_prefix(keyword).unwrap_or(rest));
    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The type or trait that an unindented line opens, such as `impl<D: Denoiser> ClassifierFree<D> {`.
fn opened(line: &str) -> Option<String> {
    let line = line.trim_start_matches("pub ");
    if let Some(rest) = line.strip_prefix("impl") {
        let of = rest.rsplit(" for ").next().unwrap_or(rest);
        let of = if rest.starts_with('<') && !rest.contains(" for ") {
            of.split_once("> ").map_or(of, |(_, of)| of)
        } else {
            of
        };
        return Some(declared(of));
    }
    let is_item = ["struct ", "enum ", "trait "].iter().any(|keyword| line.starts_with(keyword));
    is_item.then(|| declared(line))
}

/// The public items of a file, and all items with an alias.
fn items(source: &str, module: &str) -> Vec<Item> {
    let (mut items, mut aliases, mut owner) = (Vec::new(), Vec::new(), String::new());
    for line in source.lines() {
        let text = line.trim();
        if text.starts_with("#[doc(alias") {
            // The quoted parts of the line.
            aliases.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
            continue;
        }
        if text.is_empty() || text.starts_with("//") || text.starts_with("#[") {
            continue;
        }
        let is_indented = line.starts_with(' ');
        if !aliases.is_empty() || text.starts_with("pub ") {
            let name = declared(line);
            let name = if is_indented { format!("{owner}::{name}") } else { name };
            let aliases = std::mem::take(&mut aliases);
            items.push(Item { module: module.to_owned(), name, aliases });
        }
        if !is_indented {
            owner = opened(line).unwrap_or(owner);
        }
    }
    items
}

/// The items of all crates of the workspace.
fn all_items(root: &Path) -> Vec<Item> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let library = if name == "conjoint" { name } else { format!("conjoint_{name}") };
        let sources = folder.join("src");
        let mut found = Vec::new();
        files(&sources, &mut found);
        for file in found {
            let inner = file.strip_prefix(&sources).unwrap().with_extension("");
            let parts = inner.iter().map(|part| part.to_str().unwrap());
            let parts = parts.filter(|part| !["lib", "mod", "main"].contains(part));
            let module: Vec<&str> = std::iter::once(library.as_str()).chain(parts).collect();
            all.extend(items(&fs::read_to_string(&file).unwrap(), &module.join("::")));
        }
    }
    all
}

impl Item {
    /// Whether a path of the glossary names this item: it may stop at a module that re-exports the item.
    fn is_at(&self, path: &str) -> bool {
        let module = path.strip_suffix(&self.name).and_then(|rest| rest.strip_suffix("::"));
        module.is_some_and(|module| {
            self.module == module || self.module.starts_with(&format!("{module}::"))
        })
    }
}

/// A name in lower case without underscores, as the search of rustdoc compares names. Terms with a space or a hyphen
/// need an alias.
fn folded(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

#[test]
fn terms_are_aliases_and_aliases_are_terms() {
    let Some(root) = repository() else { return };
    let glossary = fs::read_to_string(root.join("docs/glossary.md")).expect("docs/glossary.md");
    let (entries, items) = (entries(&glossary), all_items(&root));
    assert!(entries.len() > 80, "{} entries", entries.len());
    let mut problems = Vec::new();
    for Entry { terms, path } in &entries {
        let found: Vec<&Item> = items.iter().filter(|item| item.is_at(path)).collect();
        if found.is_empty() {
            problems.push(format!("the sources have no {path}"));
        }
        let own = folded(path.rsplit("::").next().unwrap_or(path));
        for term in terms {
            if folded(term) != own && !found.iter().any(|item| item.aliases.contains(term)) {
                problems.push(format!("{path} has no alias {term:?}"));
            }
        }
    }
    // Other crates may have aliases that the glossary leaves out.
    for item in items.iter().filter(|item| item.module.starts_with("conjoint_core")) {
        let listed: BTreeSet<&String> = entries
            .iter()
            .filter(|entry| item.is_at(&entry.path))
            .flat_map(|entry| &entry.terms)
            .collect();
        for alias in item.aliases.iter().filter(|alias| !listed.contains(alias)) {
            problems
                .push(format!("the glossary has no {alias:?} of {}::{}", item.module, item.name));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn items_are_read_with_their_owners() {
    let source = "\
/// A type.
#[doc(alias = \"one\")]
#[derive(Debug)]
pub struct Thing<T> {
    #[doc(alias = \"two\")]
    pub field: T,
}

impl<T: Clone> Thing<T> {
    #[doc(alias = \"three\", alias = \"four\")]
    pub fn method(&self) {}
}
";
    let read: Vec<(String, Vec<String>)> =
        items(source, "m").into_iter().map(|item| (item.name, item.aliases)).collect();
    let expected = [
        ("Thing", vec!["one"]),
        ("Thing::field", vec!["two"]),
        ("Thing::method", vec!["three", "four"]),
    ];
    let expected = expected
        .map(|(name, aliases)| (name.to_owned(), aliases.into_iter().map(str::to_owned).collect()));
    assert_eq!(read, expected);
}
