//! A comparison that can be interrupted: a folder with one file per finished point.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Error, Point, Report};

/// Names and values of the settings of a comparison: model, texts, filters, featuriser.
pub type Settings = BTreeMap<String, String>;

/// The identity of a point within a comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The strategy's name.
    pub strategy: String,
    /// Its setting.
    pub parameter: String,
    /// The seed.
    pub seed: u64,
}

/// The folder of a comparison.
///
/// Each point is measured once and stored in its own file, so that an interrupted comparison resumes. Files are written
/// atomically. `settings.json` holds the settings of the folder; opening it with other settings is an error.
///
/// ```
/// use conjoint_eval::{Collection, Key, Settings};
/// # use conjoint_eval::{Cost, Point};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let settings = Settings::from([("model".into(), "tiny".into())]);
/// let collection = Collection::open(folder, &settings)?;
/// let key = Key { strategy: "joint".into(), parameter: "K = 4".into(), seed: 1 };
/// let measure = || {
///     // … a long measurement
/// #     let cost = Cost { denoiser_calls: 1.0, rounds: 1.0, sampler_calls: 3.0, sampler_cost: 0.1 };
/// #     let (texts, tokens, seconds) = (1, 4, 3600.0);
/// #     let (strategy, parameter, metrics) = ("joint".into(), "K = 4".into(), Default::default());
/// #     let point = Point { strategy, parameter, seed: 1, texts, tokens, cost, seconds, metrics };
///     Ok::<_, conjoint_eval::Error>(point)
/// };
/// let point = collection.point(&key, measure)?;
/// // The second call reads the file.
/// assert_eq!(collection.point(&key, || -> Result<_, conjoint_eval::Error> { panic!() })?, point);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Collection {
    folder: PathBuf,
}

impl Collection {
    /// Creates a folder with these settings, or opens one that has the same settings.
    ///
    /// # Errors
    /// [`Error::OtherSetting`] names the first setting that differs; [`Error::Malformed`] and
    /// [`Error::Io`].
    pub fn open(folder: impl Into<PathBuf>, settings: &Settings) -> Result<Self, Error> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let path = folder.join("settings.json");
        if path.exists() {
            same(&path, settings)?;
        } else {
            write(&path, settings)?;
        }
        Ok(Self { folder })
    }

    /// Returns the point of this key from its file, or measures and stores it.
    ///
    /// # Errors
    /// Those of [`find`](Self::find), those of `measure`, and [`Error::Io`].
    pub fn point<E: From<Error>>(
        &self,
        key: &Key,
        measure: impl FnOnce() -> Result<Point, E>,
    ) -> Result<Point, E> {
        if let Some(point) = self.find(key)? {
            return Ok(point);
        }
        let point = measure()?;
        let path = self.point_file(key);
        belongs(&path, &point, key)?;
        write(&path, &point)?;
        Ok(point)
    }

    /// Returns the point of this key, if it is stored.
    ///
    /// # Errors
    /// [`Error::Malformed`] if its file holds another point, and [`Error::Io`].
    pub fn find(&self, key: &Key) -> Result<Option<Point>, Error> {
        let path = self.point_file(key);
        if !path.exists() {
            return Ok(None);
        }
        let point: Point = read(&path)?;
        belongs(&path, &point, key)?;
        Ok(Some(point))
    }

    /// Returns the stored points of these keys, in the same order.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn report(&self, keys: &[Key]) -> Result<Report, Error> {
        let points = keys.iter().filter_map(|key| self.find(key).transpose());
        Ok(Report { points: points.collect::<Result<_, _>>()? })
    }

    /// A place for the texts of this key's point: a `.jsonl` file in the folder, which the collection neither reads nor writes.
    ///
    /// It is `texts-STRATEGY-PARAMETER-SEED.jsonl`. All bytes other than letters, digits and points are escaped, such as
    /// `K%20%3d%204` for `K = 4`.
    pub fn texts(&self, key: &Key) -> PathBuf {
        self.path("texts", key, "jsonl")
    }

    fn point_file(&self, key: &Key) -> PathBuf {
        self.path("point", key, "json")
    }

    /// The file of a key. Escapes give different keys different files.
    fn path(&self, kind: &str, key: &Key, extension: &str) -> PathBuf {
        let plain = |text: &str| -> String {
            let byte = |byte: u8| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            };
            text.bytes().map(byte).collect()
        };
        let (strategy, parameter) = (plain(&key.strategy), plain(&key.parameter));
        self.folder.join(format!("{kind}-{strategy}-{parameter}-{}.{extension}", key.seed))
    }
}

/// Checks that a folder has these settings.
fn same(path: &Path, settings: &Settings) -> Result<(), Error> {
    let found: Settings = read(path)?;
    let none = || "nothing".to_owned();
    match settings.keys().chain(found.keys()).find(|name| found.get(*name) != settings.get(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::OtherSetting {
            path: path.to_owned(),
            name: name.clone(),
            old: found.get(name).cloned().unwrap_or_else(none),
            new: settings.get(name).cloned().unwrap_or_else(none),
        }),
    }
}

/// Checks that a point belongs to the key of its file.
fn belongs(path: &Path, point: &Point, key: &Key) -> Result<(), Error> {
    let Key { strategy, parameter, seed } = key;
    let is = (&point.strategy, &point.parameter, point.seed);
    match is == (strategy, parameter, *seed) {
        true => Ok(()),
        false => Err(Error::malformed(
            path,
            format!(
                "it is for {strategy} {parameter}, seed {seed}, but holds {} {}, seed {}",
                is.0, is.1, is.2
            ),
        )),
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let json = fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&json).map_err(|reason| Error::malformed(path, reason))
}

/// Writes a file atomically.
fn write(path: &Path, content: &impl Serialize) -> Result<(), Error> {
    let json =
        serde_json::to_vec_pretty(content).map_err(|reason| Error::malformed(path, reason))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default, and these become ordinary files.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).map_err(Error::io("create a file in", folder))?;
    file.write_all(&json)
        .and_then(|()| file.as_file().sync_all())
        .map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::point;

    fn key(strategy: &str, k: u32, seed: u64) -> Key {
        Key { strategy: strategy.to_owned(), parameter: format!("K = {k}"), seed }
    }

    fn settings(texts: u32) -> Settings {
        Settings::from([("model".into(), "tiny".into()), ("texts".into(), texts.to_string())])
    }

    #[test]
    fn a_resumed_comparison_measures_no_point_twice() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [key("joint", 2, 1), key("joint", 4, 1), key("a/b", 4, 1)];
        let mut measured = Vec::new();
        let mut compare = |budget: usize| -> Result<(), Error> {
            let collection = Collection::open(folder.path(), &settings(500))?;
            for (i, key) in keys.iter().enumerate() {
                collection.point(key, || {
                    // Interrupted once the budget is used up.
                    let k = if i == 0 { 2 } else { 4 };
                    let done = measured.len();
                    measured.push(i);
                    if done == budget {
                        measured.pop();
                        return Err(Error::Empty("the budget"));
                    }
                    Ok(point(&key.strategy, k, 1, 0.5))
                })?;
            }
            Ok(())
        };
        assert!(compare(1).is_err());
        assert!(compare(2).is_err());
        compare(usize::MAX).unwrap();
        compare(0).unwrap();
        assert_eq!(measured, [0, 1, 2]);
        let collection = Collection::open(folder.path(), &settings(500)).unwrap();
        let missing = key("joint", 8, 1);
        let report = collection.report(&[keys.to_vec(), vec![missing]].concat()).unwrap();
        let names: Vec<&str> = report.points.iter().map(|p| p.strategy.as_str()).collect();
        assert_eq!(names, ["joint", "joint", "a/b"]);
    }

    #[test]
    fn other_settings_are_rejected_by_name() {
        let folder = tempfile::tempdir().unwrap();
        Collection::open(folder.path(), &settings(500)).unwrap();
        let error = Collection::open(folder.path(), &settings(400)).unwrap_err().to_string();
        assert!(error.contains("texts = 500, but 400"), "{error}");
        let more = settings(500).into_iter().chain([("top-p".to_owned(), "0.9".to_owned())]);
        let error = Collection::open(folder.path(), &more.collect()).unwrap_err().to_string();
        assert!(error.contains("top-p = nothing, but 0.9"), "{error}");
        let fewer = Settings::from([("model".into(), "tiny".into())]);
        let error = Collection::open(folder.path(), &fewer).unwrap_err();
        assert!(matches!(error, Error::OtherSetting { .. }), "{error}");
    }

    #[test]
    fn files_with_another_content_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let collection = Collection::open(folder.path(), &settings(1)).unwrap();
        let wrong =
            collection.point(&key("joint", 2, 1), || Ok::<_, Error>(point("joint", 4, 1, 0.5)));
        assert!(matches!(wrong, Err(Error::Malformed { .. })));
        assert_eq!(collection.find(&key("joint", 2, 1)).unwrap(), None);
        fs::write(collection.point_file(&key("joint", 2, 1)), "{\"strategy\": \"jo").unwrap();
        assert!(matches!(collection.find(&key("joint", 2, 1)), Err(Error::Malformed { .. })));
    }

    #[test]
    fn different_keys_have_different_files() {
        let collection = Collection { folder: PathBuf::new() };
        let of = |strategy: &str, parameter: &str| {
            let key = Key { strategy: strategy.into(), parameter: parameter.into(), seed: 1 };
            collection.point_file(&key)
        };
        assert_ne!(of("a-b", "c"), of("a", "b-c"));
        assert_ne!(of("a b", ""), of("a_b", ""));
        assert_ne!(of("../a", ""), of("a", ""));
        assert_eq!(of("../a", "τ").components().count(), 1);
    }
}
