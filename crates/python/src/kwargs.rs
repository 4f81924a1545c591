//! Keyword arguments, taken one by one. What is left at the end is an error.

use std::path::PathBuf;

use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyMemoryView, PyString};

use crate::error::invalid;

/// The keyword arguments of a call.
pub struct Kwargs<'py> {
    function: &'static str,
    left: Bound<'py, PyDict>,
}

impl<'py> Kwargs<'py> {
    /// The keyword arguments of a call of this function.
    pub fn new(
        py: Python<'py>,
        function: &'static str,
        given: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let left = given.map_or_else(|| Ok(PyDict::new(py)), |given| given.copy())?;
        Ok(Self { function, left })
    }

    /// An argument as it was given; `None` if it was not given, or is Python's `None`.
    pub fn any(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = self.left.get_item(name)?;
        if found.is_some() {
            self.left.del_item(name)?;
        }
        Ok(found.filter(|value| !value.is_none()))
    }

    /// An argument of a type.
    fn typed<T: FromPyObjectOwned<'py>>(&self, name: &str, kind: &str) -> PyResult<Option<T>> {
        let Some(value) = self.any(name)? else { return Ok(None) };
        let py = value.py();
        let extracted = value.extract().map_err(Into::<PyErr>::into);
        extracted.map(Some).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(py) {
                return invalid(name, &value.to_string(), &format!("expected {kind}"));
            }
            if error.is_instance_of::<PyTypeError>(py) {
                type_error(name, kind, &value)
            } else {
                error
            }
        })
    }

    /// A whole number.
    pub fn count<T: FromPyObjectOwned<'py>>(&self, name: &str) -> PyResult<Option<T>> {
        self.typed(name, "a whole number of at least 0, and not too large")
    }

    /// A number.
    pub fn number(&self, name: &str) -> PyResult<Option<f64>> {
        self.typed(name, "a number")
    }

    /// A truth value.
    pub fn flag(&self, name: &str) -> PyResult<Option<bool>> {
        self.typed(name, "True or False")
    }

    /// A text.
    pub fn text(&self, name: &str) -> PyResult<Option<String>> {
        self.typed(name, "a str")
    }

    /// A path.
    pub fn path(&self, name: &str) -> PyResult<Option<PathBuf>> {
        self.typed(name, "a str or a path")
    }

    /// Mapping from names to any values.
    pub fn mapping(&self, name: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(value) = self.any(name)? else { return Ok(None) };
        match value.cast_into::<PyDict>() {
            Ok(mapping) => Ok(Some(mapping)),
            Err(error) => Err(type_error(name, "a dict", &error.into_inner())),
        }
    }

    /// A text or a number, or several.
    pub fn words(&self, name: &str) -> PyResult<Option<Vec<Word>>> {
        let Some(value) = self.any(name)? else { return Ok(None) };
        let wrong =
            |value: &Bound<'py, PyAny>| type_error(name, "a str, an int, or a list of them", value);
        if let Some(word) = Word::of(name, &value)? {
            return Ok(Some(vec![word]));
        }
        if is_bytes(&value) {
            return Err(wrong(&value));
        }
        let items = value.try_iter().map_err(|_| wrong(&value))?;
        let word = |item: PyResult<Bound<'py, PyAny>>| {
            let item = item?;
            Word::of(name, &item)?.ok_or_else(|| wrong(&item))
        };
        items.map(word).collect::<PyResult<_>>().map(Some)
    }

    /// Rejects arguments that were not taken.
    pub fn finish(self) -> PyResult<()> {
        let Some(name) = self.left.keys().iter().next() else { return Ok(()) };
        let function = self.function;
        let message = format!("{function}() got an unexpected keyword argument '{name}'");
        Err(PyTypeError::new_err(message))
    }
}

/// A text or a whole number.
pub enum Word {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl Word {
    /// `None` for a value of another type.
    fn of(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if value.is_instance_of::<PyString>() {
            return value.extract().map(Self::Text).map(Some);
        }
        let too_large = |_| invalid(name, &value.to_string(), "expected a number of 64 bits");
        let number = || value.extract().map(Self::Number).map_err(too_large);
        is_integer(value).then(number).transpose()
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Whether a value is one whole number: an `int`, or one of numpy's.
pub fn is_integer(value: &Bound<'_, PyAny>) -> bool {
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyFloat>() {
        return false;
    }
    let has = |name| value.hasattr(name).unwrap_or(false);
    value.is_instance_of::<PyInt>() || has("__index__") && !has("__len__")
}

/// Whether a value is of bytes, whose items would be taken for numbers.
pub fn is_bytes(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>()
}

/// A `TypeError` for an argument.
pub fn type_error(name: &str, expected: &str, got: &Bound<'_, PyAny>) -> PyErr {
    let got = got.get_type().name().map_or_else(|_| "another type".to_owned(), |t| t.to_string());
    PyTypeError::new_err(format!("`{name}`: expected {expected}, got {got}"))
}
