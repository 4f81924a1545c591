//! A `config.json` with checked access: an error names the key and its value.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::FormatError;

/// Keys and values of one JSON file. A `null` counts as absent, as in Transformers.
#[derive(Debug)]
pub struct Config {
    pub path: PathBuf,
    values: Map<String, Value>,
    /// The keys that were read.
    #[cfg(test)]
    keys_read: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

/// The most characters of a value in a message.
const MAX_SHOWN: usize = 80;

impl Config {
    /// The keys and values of a file.
    pub fn new(path: PathBuf, values: Map<String, Value>) -> Self {
        Self {
            path,
            values,
            #[cfg(test)]
            keys_read: Default::default(),
        }
    }

    /// Reads a file that must exist.
    pub fn read(path: PathBuf, hint: &'static str) -> Result<Self, FormatError> {
        match Self::read_optional(path.clone())? {
            Some(config) => Ok(config),
            None => Err(FormatError::MissingFile { path, hint }),
        }
    }

    /// Reads a file that may be absent.
    pub fn read_optional(path: PathBuf) -> Result<Option<Self>, FormatError> {
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(FormatError::io("read", &path))?,
        };
        let values = serde_json::from_slice(&text).map_err(FormatError::json(&path))?;
        Ok(Some(Self::new(path, values)))
    }

    /// The folder that the file lies in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// A key's value, unless absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        #[cfg(test)]
        self.keys_read.borrow_mut().insert(key.to_owned());
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// All keys, absent values included.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// A key's value as JSON text for messages. Long values are cut.
    pub fn describe(&self, key: &str) -> String {
        let text = self.get(key).map_or("absent".into(), Value::to_string);
        match text.char_indices().nth(MAX_SHOWN) {
            None => text,
            Some((end, _)) => format!("{} …", &text[..end]),
        }
    }

    /// The keys of an object-valued key.
    pub fn section(&self, key: &str) -> Result<Option<Self>, FormatError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Self::new(self.path.clone(), values.clone()))),
            Some(_) => Err(self.error(key, "an object")),
        }
    }

    /// A size: an integer from 1 to 2³² − 1, so that products of two sizes cannot overflow.
    pub fn size(&self, key: &str) -> Result<usize, FormatError> {
        self.size_or_none(key)?.ok_or_else(|| self.error(key, "a positive integer"))
    }

    /// A size that may be absent.
    pub fn size_or_none(&self, key: &str) -> Result<Option<usize>, FormatError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value
            .as_u64()
            .filter(|&size| (1..=u64::from(u32::MAX)).contains(&size))
            .and_then(|size| usize::try_from(size).ok())
            .map(Some)
            .ok_or_else(|| self.error(key, "a positive integer"))
    }

    /// A positive real number.
    pub fn positive(&self, key: &str) -> Result<f64, FormatError> {
        self.get(key)
            .and_then(Value::as_f64)
            .filter(|&number| number > 0.0 && number.is_finite())
            .ok_or_else(|| self.error(key, "a positive number"))
    }

    /// A truth value, `false` when absent.
    pub fn flag(&self, key: &str) -> Result<bool, FormatError> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.error(key, "true or false")),
        }
    }

    /// A truth value, `absent` when absent.
    pub fn flag_or(&self, key: &str, absent: bool) -> Result<bool, FormatError> {
        if self.get(key).is_none() { Ok(absent) } else { self.flag(key) }
    }

    /// Rejects any other value than the one that the graph implements.
    ///
    /// `absent` is the reference implementation's default for a missing key.
    pub fn only(&self, key: &str, absent: Value, only: Value) -> Result<(), FormatError> {
        if *self.get(key).unwrap_or(&absent) == only {
            Ok(())
        } else {
            Err(self.error(key, &only.to_string()))
        }
    }

    /// The error for a key with an invalid or unsupported value.
    pub fn error(&self, key: &str, expected: &str) -> FormatError {
        FormatError::Config {
            path: self.path.clone(),
            key: key.into(),
            expected: expected.into(),
            got: self.describe(key),
        }
    }
}

#[cfg(test)]
impl Config {
    /// A configuration from a JSON value, without a file.
    pub(crate) fn of(value: Value) -> Self {
        let Value::Object(values) = value else { panic!("a configuration is an object") };
        Self::new("config.json".into(), values)
    }

    /// The keys that were read so far.
    pub(crate) fn keys_read(&self) -> std::collections::BTreeSet<String> {
        self.keys_read.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn null_is_absent() {
        let config = Config::of(json!({"a": null}));
        assert!(config.get("a").is_none());
        assert!(!config.flag("a").unwrap());
        assert_eq!(config.size_or_none("a").unwrap(), None);
        assert!(config.only("a", json!(1), json!(1)).is_ok());
    }

    #[test]
    fn sizes_are_positive_integers_of_32_bits() {
        for bad in [json!(0), json!(-1), json!(1.5), json!("3"), json!(1u64 << 32), json!([3])] {
            let message = Config::of(json!({"n": bad})).size("n").unwrap_err().to_string();
            assert!(message.contains("n is") && message.contains(&bad.to_string()), "{message}");
        }
        assert_eq!(Config::of(json!({"n": 7})).size("n").unwrap(), 7);
    }

    #[test]
    fn numbers_are_positive_and_finite() {
        for bad in [json!(0), json!(-1e-6), json!("1e-6")] {
            assert!(Config::of(json!({"x": bad})).positive("x").is_err());
        }
        assert_eq!(Config::of(json!({"x": 1e-6})).positive("x").unwrap(), 1e-6);
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let config = Config::of(json!({"short": "x", "long": "ä".repeat(100_000)}));
        assert_eq!(config.describe("short"), "\"x\"");
        assert_eq!(config.describe("long"), format!("\"{} …", "ä".repeat(79)));
    }

    #[test]
    fn a_value_that_is_not_implemented_is_named() {
        let config = Config::of(json!({"alibi": true}));
        let message = config.only("alibi", json!(false), json!(false)).unwrap_err().to_string();
        assert!(message.contains("alibi is true, expected false"), "{message}");
    }
}
