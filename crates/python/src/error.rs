//! Exceptions: `ValueError` for an argument, `conjoint.Error` for everything else.

use std::error::Error as StdError;
use std::ffi::CString;

use conjoint::export::{ExportError, FormatError};
use conjoint_lab::{Error as LabError, abbreviated, reason};
use pyo3::exceptions::{PyException, PyUserWarning, PyValueError};
use pyo3::prelude::*;

use crate::names::{argument, in_python};

pyo3::create_exception!(
    conjoint,
    Error,
    PyException,
    "A model, a strategy or a file failed. An invalid argument is a ValueError instead."
);

/// The exception of an error of the library.
pub fn exception(error: LabError) -> PyErr {
    match error {
        LabError::Parameter { name, value, reason } => invalid(name, &value, &reason),
        LabError::Missing { name, reason } => {
            value_error(format!("`{}` is missing: {}", argument(name), in_python(&reason)))
        }
        LabError::Unused { name, value, reason } => unused(&argument(name), value, &reason),
        LabError::Name(reason) => value_error(in_python(&reason)),
        LabError::Lacking(reason) => value_error(in_python(reason)),
        LabError::Sampling(error) => sampling_exception(&error),
        error => failure(&error),
    }
}

/// The exception of an error of the core.
fn sampling_exception(error: &conjoint::Error) -> PyErr {
    use conjoint::Error as Core;

    match error {
        Core::Parameter { name, value, expected } => {
            invalid(name, value, &format!("expected {expected}"))
        }
        Core::EmptyPrompt
        | Core::NothingMasked(_)
        | Core::UnknownToken { .. }
        | Core::TooLong { .. }
        | Core::Combination { .. } => value_error(in_python(&error.to_string())),
        error => failure(error),
    }
}

/// The exception of an export.
pub fn export_exception(error: &ExportError) -> PyErr {
    match error {
        ExportError::Format(
            FormatError::NotACheckpoint { .. }
            | FormatError::SamplerLayer { .. }
            | FormatError::ShiftUnknown { .. }
            | FormatError::AttentionBlockUnknown { .. }
            | FormatError::AttentionBlockOfEncoder { .. }
            | FormatError::UnknownKeys { .. }
            | FormatError::IgnoredKey { .. }
            | FormatError::NoMask { .. }
            | FormatError::GivenToken { .. },
        )
        | ExportError::QuantisedPortable => value_error(in_python(&error.to_string())),
        ExportError::HeadTop { got } => {
            invalid("head top", &got.to_string(), "expected at least 2, or 0 for no top-K head")
        }
        error => failure(error),
    }
}

/// A `ValueError` for an argument, by the library's name of the parameter.
pub fn invalid(name: &str, value: &str, reason: &str) -> PyErr {
    let (name, value, reason) = (argument(name), abbreviated(value), in_python(reason));
    value_error(format!("invalid value `{value}` for `{name}`: {reason}"))
}

/// A `ValueError` for an argument that would have no effect.
pub fn unused(argument: &str, value: impl ToString, reason: &str) -> PyErr {
    let (value, reason) = (value.to_string(), in_python(reason));
    value_error(format!("`{argument}={}` would have no effect: {reason}", abbreviated(&value)))
}

/// Adds the argument to the error of a value that is parsed.
pub fn parsed<T, E: StdError + 'static>(
    name: &str,
    text: &str,
    result: Result<T, E>,
) -> PyResult<T> {
    result.map_err(|error| {
        let reason = reason(&error, text);
        let repeated = format!("unknown name '{}': ", abbreviated(text));
        invalid(name, text, reason.strip_prefix(&repeated).unwrap_or(&reason))
    })
}

/// Warns the caller, who may have turned warnings into errors.
pub fn warn(py: Python<'_>, message: String) -> PyResult<()> {
    let message = CString::new(message.replace('\0', ""))?;
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &message, 1)
}

/// A `ValueError`.
pub fn value_error(message: String) -> PyErr {
    PyValueError::new_err(message)
}

/// A `conjoint.Error`, with the causes that the message does not contain already.
pub fn failure(error: &(dyn StdError + 'static)) -> PyErr {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = inner.source();
    }
    Error::new_err(in_python(&message))
}
