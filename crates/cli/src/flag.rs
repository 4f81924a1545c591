//! Flags whose values cannot be used, and what the command exits with.

/// A flag that is to blame, as often only shows once a model is open.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadFlag(String);

impl BadFlag {
    /// A value that cannot be used.
    pub fn new(flag: &'static str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        Self(format!("invalid value '{value}' for '{flag}': {reason}"))
    }

    /// A flag that must be given.
    pub fn missing(flag: &'static str, reason: impl ToString) -> Self {
        Self(format!("'{flag}' is missing: {}", reason.to_string()))
    }

    /// A flag that would change nothing.
    pub fn unused(flag: &'static str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        Self(format!("'{flag} {value}' would have no effect: {reason}"))
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

/// What the command exits with: 2 if a flag is to blame, as for those that clap refuses, 1 for all else.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<BadFlag>() { 2 } else { 1 }
}
