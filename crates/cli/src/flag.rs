//! Flags whose values cannot be used, and what the command exits with.
//!
//! Libraries name parameters. [`Flags`] turns their names into flags, here and nowhere else.

use conjoint_lab::Error;

use crate::interrupt::{self, Interrupted};

/// A value of a flag that cannot be used, as often only shows once a model is open.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadFlag(String);

impl BadFlag {
    /// A value that cannot be used.
    pub fn new(flag: &str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        Self(format!("invalid value '{value}' for '{flag}': {reason}"))
    }

    /// A flag that must be given.
    pub fn missing(flag: &str, reason: impl ToString) -> Self {
        Self(format!("'{flag}' is missing: {}", reason.to_string()))
    }

    /// A flag that would change nothing.
    pub fn unused(flag: &str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        Self(format!("'{flag} {value}' would have no effect: {reason}"))
    }
}

/// Names the flag whose value a library rejected.
pub fn blame<T, E: ToString>(
    flag: &str,
    value: impl ToString,
    result: Result<T, E>,
) -> Result<T, BadFlag> {
    result.map_err(|error| BadFlag::new(flag, value, error))
}

/// The flags of a command, by the names of the parameters that they set: `order temperature` is `--order-temperature`,
/// unless it is listed here under another name.
#[derive(Clone, Copy)]
pub struct Flags(pub &'static [(&'static str, &'static str)]);

/// The flags of commands without other names.
pub const PLAIN: Flags = Flags(&[]);

/// Parameters that a library's texts mention.
const MENTIONED: [&str; 10] = [
    "eos",
    "external",
    "ignore memory",
    "infill",
    "infill ids",
    "metrics",
    "prompt length",
    "sampler",
    "scorer",
    "unconditional",
];

impl Flags {
    /// The flag that sets a parameter.
    fn of(self, parameter: &str) -> String {
        let other = self.0.iter().find(|(name, _)| *name == parameter);
        other.map_or_else(|| format!("--{}", parameter.replace(' ', "-")), |(_, f)| (*f).to_owned())
    }

    /// A library's text, in which parameters are quoted, with flags instead.
    pub fn text(self, text: &str) -> String {
        let mut shown = text.to_owned();
        for name in MENTIONED {
            shown = shown.replace(&format!("`{name}`"), &self.of(name));
        }
        shown
    }

    /// A library's error by the flag that set the parameter.
    pub fn name(self, error: Error) -> anyhow::Error {
        match error {
            Error::Parameter { name, value, reason } => {
                BadFlag::new(&self.of(name), value, self.text(&reason)).into()
            }
            Error::Missing { name, reason } => {
                BadFlag::missing(&self.of(name), self.text(&reason)).into()
            }
            Error::Unused { name, value, reason } => {
                BadFlag::unused(&self.of(name), value, self.text(&reason)).into()
            }
            Error::Lacking(reason) => anyhow::Error::msg(self.text(reason)),
            error => error.into(),
        }
    }
}

/// What the command exits with: 2 for a flag, as for those that clap rejects, 130 after Ctrl-C, 1 for all else.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<BadFlag>() {
        2
    } else if error.is::<Interrupted>() {
        interrupt::EXIT_CODE
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_flags() {
        let flags = Flags(&[("k", "--steps")]);
        let reason = "give `scorer`, or run `conjoint export --sampler`";
        let error = flags.name(Error::parameter("order temperature", 0, reason));
        assert_eq!(
            error.to_string(),
            "invalid value '0' for '--order-temperature': give --scorer, or run `conjoint export --sampler`"
        );
        assert_eq!(exit_code(&error), 2);
        let error = flags.name(Error::unused("k", "2,4", "'exact' does not take it"));
        assert_eq!(
            error.to_string(),
            "'--steps 2,4' would have no effect: 'exact' does not take it"
        );
        assert_eq!(exit_code(&flags.name(Error::Lacking("a part"))), 1);
    }
}
