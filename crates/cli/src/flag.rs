//! Flags whose values cannot be used, and what the command exits with.
//!
//! Libraries name parameters. [`Flags`] turns their names into flags, here and nowhere else.

use clap::error::ContextValue;
use conjoint_lab::{Error, abbreviated};

use crate::interrupt::{self, Interrupted};

/// A value of a flag that cannot be used, as often only shows once a model is open.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidArgument(String);

impl InvalidArgument {
    /// A value that cannot be used.
    pub fn new(flag: &str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        let reason = without(reason, &value);
        Self(format!("invalid value '{}' for '{flag}': {reason}", abbreviated(&value)))
    }

    /// A flag that must be given.
    pub fn missing(flag: &str, reason: impl ToString) -> Self {
        Self(format!("'{flag}' is missing: {}", reason.to_string()))
    }

    /// A flag that would change nothing.
    pub fn unused(flag: &str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        Self(format!("'{flag} {}' would have no effect: {reason}", abbreviated(&value)))
    }
}

/// Names the flag whose value a library rejected.
pub fn with_flag<T, E: ToString>(
    flag: &str,
    value: impl ToString,
    result: Result<T, E>,
) -> Result<T, InvalidArgument> {
    result.map_err(|error| InvalidArgument::new(flag, value, error))
}

/// The flags of a command, by the names of the parameters that they set: `order temperature` is `--order-temperature`,
/// unless it is listed here under another name.
#[derive(Clone, Copy)]
pub struct Flags(pub &'static [(&'static str, &'static str)]);

/// The flags of commands without other names.
pub const PLAIN: Flags = Flags(&[("ignored keys", "--ignore-key")]);

/// Parameters that a library's texts mention.
const MENTIONED: [&str; 13] = [
    "eos",
    "external",
    "ignore memory",
    "ignored keys",
    "infill",
    "infill ids",
    "metrics",
    "out",
    "prompt length",
    "sampler",
    "scorer",
    "shift",
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
                InvalidArgument::new(&self.of(name), value, self.text(&reason)).into()
            }
            Error::Missing { name, reason } => {
                InvalidArgument::missing(&self.of(name), self.text(&reason)).into()
            }
            Error::Unused { name, value, reason } => {
                InvalidArgument::unused(&self.of(name), value, self.text(&reason)).into()
            }
            Error::Lacking(reason) => anyhow::Error::msg(self.text(reason)),
            Error::Export(_) | Error::Onnx(_) => anyhow::Error::msg(self.text(&error.to_string())),
            error => error.into(),
        }
    }
}

/// The longest path of most systems.
const LONGEST_PATH: usize = 4096;

/// A message in which every copy of a long value is cut. Paths are left whole: the user needs them to act.
fn without(text: String, value: &str) -> String {
    match value.len() > LONGEST_PATH {
        true => text.replace(value, &abbreviated(value)),
        false => text,
    }
}

/// Ends as clap does, but with long values cut.
pub fn exit(error: &clap::Error) -> ! {
    let values = error.context().filter_map(|(_, value)| match value {
        ContextValue::String(text) if text.len() > LONGEST_PATH => Some(text),
        _ => None,
    });
    let values: Vec<_> = values.collect();
    if values.is_empty() {
        error.exit();
    }
    let text = error.render().to_string();
    eprint!("{}", values.into_iter().fold(text, |text, value| without(text, value)));
    std::process::exit(error.exit_code())
}

/// What the command exits with: 2 for a flag, as for those that clap rejects, 130 after Ctrl-C, 1 for all else.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<InvalidArgument>() {
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
    fn long_values_are_cut() {
        let long = "x".repeat(100_000);
        let named = |error: InvalidArgument| error.to_string();
        for message in [
            named(InvalidArgument::new("--prompt", &long, "it is too long")),
            named(InvalidArgument::unused("--prompt", &long, "nothing takes it")),
            named(InvalidArgument::new(
                "--prompt",
                &long,
                format!("there is no token for x in '{long}'"),
            )),
            PLAIN.name(Error::parameter("prompt", &long, "it is too long")).to_string(),
        ] {
            assert!(message.len() < 700 && message.contains("(100000 characters)"), "{message}");
        }
    }

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
