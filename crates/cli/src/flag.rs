//! Bad values of flags that only show once a model is open.

use conjoint::Error;

/// A flag whose value cannot be used; the command exits with code 2.
#[derive(Debug, thiserror::Error)]
#[error("invalid value '{value}' for '{flag}': {reason}")]
pub struct BadFlag {
    flag: &'static str,
    value: String,
    reason: String,
}

impl BadFlag {
    pub fn new(flag: &'static str, value: impl ToString, reason: impl ToString) -> Self {
        Self { flag, value: value.to_string(), reason: reason.to_string() }
    }
}

/// Blames the flag for a parameter that the library refused.
pub fn blame<T, E: ToString>(
    flag: &'static str,
    value: impl ToString,
    result: Result<T, E>,
) -> Result<T, BadFlag> {
    result.map_err(|error| BadFlag::new(flag, value, error))
}

/// What the library says of a value, for a parser of that value.
pub fn reason(error: Error) -> String {
    error.to_string()
}
