//! Errors of flags, and exit codes.
//!
//! Libraries name parameters. Only [`Flags`] turns their names into flags.

use std::error::Error as StdError;
use std::str::FromStr;

use clap::error::ContextValue;
use conjoint_lab::{Error, abbreviated, reason};

use crate::interrupt::{self, Interrupted};

/// An invalid value of a flag that clap cannot detect, such as one that depends on the model.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidArgument(String);

impl InvalidArgument {
    /// An invalid value, in clap's own form.
    pub fn new(flag: &str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        let reason = shortened(reason, &value);
        Self(format!("invalid value '{}' for '{flag}': {reason}", abbreviated(&value)))
    }

    /// A required flag that is missing.
    pub fn missing(flag: &str, reason: impl ToString) -> Self {
        Self(format!("'{flag}' is missing: {}", reason.to_string()))
    }

    /// Two values that do not fit each other. One of them may be a default.
    #[cfg(feature = "train")]
    pub fn pair<V: ToString>(one: (&str, V), other: (&str, V), reason: impl ToString) -> Self {
        let [one, other] =
            [one, other].map(|(flag, value)| format!("'{flag} {}'", value.to_string()));
        Self(format!("{one} does not fit {other}: {}", reason.to_string()))
    }

    /// A flag that would have no effect. The value of a flag without one is empty.
    pub fn unused(flag: &str, value: impl ToString, reason: impl ToString) -> Self {
        let (value, reason) = (value.to_string(), reason.to_string());
        let given = format!("{flag} {}", abbreviated(&value));
        Self(format!("'{}' would have no effect: {reason}", given.trim_end()))
    }
}

/// Adds the flag and the value that caused a library's error.
pub fn with_flag<T, E: Into<anyhow::Error>>(
    flag: &str,
    value: impl ToString,
    result: Result<T, E>,
) -> Result<T, InvalidArgument> {
    result.map_err(|error| {
        let (error, value) = (error.into(), value.to_string());
        InvalidArgument::new(flag, &value, reason(&*error, &value))
    })
}

/// For clap, which adds the flag and the value to an error itself: the rest of a library's message, without the value.
pub fn value<T, E: StdError + 'static>(text: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| {
        let reason = reason(&error, text);
        let repeated = format!("unknown name '{}': ", abbreviated(text));
        match reason.strip_prefix(&repeated) {
            Some(rest) => rest.to_owned(),
            None => reason,
        }
    })
}

/// Parses a value for clap, whose error is the rest of the library's message.
pub fn parsed<T: FromStr<Err: StdError + 'static>>(text: &str) -> Result<T, String> {
    value(text, text.parse())
}

/// The flags of a command by the names of their parameters: `order temperature` is `--order-temperature`. This lists the
/// parameters whose flag has another name.
#[derive(Clone, Copy)]
pub struct Flags(pub &'static [(&'static str, &'static str)]);

/// The flags of most commands.
pub const PLAIN: Flags = Flags(&[("ignored keys", "--ignore-key")]);

/// Parameters that the messages of libraries quote.
const QUOTED_PARAMETERS: [&str; 15] = [
    "attention block",
    "eos",
    "external",
    "ignore memory",
    "ignored keys",
    "infill",
    "infill ids",
    "metrics",
    "open next block",
    "out",
    "prompt length",
    "sampler",
    "scorer",
    "shift",
    "unconditional",
];

impl Flags {
    /// The flag of a parameter.
    fn of(self, parameter: &str) -> String {
        let other = self.0.iter().find(|(name, _)| *name == parameter);
        other.map_or_else(|| format!("--{}", parameter.replace(' ', "-")), |(_, f)| (*f).to_owned())
    }

    /// Replaces the parameters that a library's text quotes by flags.
    pub fn text(self, text: &str) -> String {
        let mut text = text.to_owned();
        for name in QUOTED_PARAMETERS {
            text = text.replace(&format!("`{name}`"), &self.of(name));
        }
        text
    }

    /// Names the flag of the parameter that caused a library's error.
    pub fn error(self, error: Error) -> anyhow::Error {
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
            Error::Export(_) | Error::Format(_) | Error::Onnx(_) => {
                anyhow::Error::msg(self.text(&error.to_string()))
            }
            error => error.into(),
        }
    }
}

/// The longest path of most systems.
const MAX_PATH: usize = 4096;

/// A message with every copy of a long value cut. Paths stay whole, because the user needs them.
fn shortened(text: String, value: &str) -> String {
    match value.len() > MAX_PATH {
        true => text.replace(value, &abbreviated(value)),
        false => text,
    }
}

/// Reports an error and exits as clap does, with long values cut.
pub fn exit(error: &clap::Error) -> ! {
    let values = error.context().filter_map(|(_, value)| match value {
        ContextValue::String(text) if text.len() > MAX_PATH => Some(text),
        _ => None,
    });
    let values: Vec<_> = values.collect();
    if values.is_empty() {
        error.exit();
    }
    let text = error.render().to_string();
    eprint!("{}", values.into_iter().fold(text, |text, value| shortened(text, value)));
    std::process::exit(error.exit_code())
}

/// The exit code: 2 for an invalid argument, as with clap, 130 after Ctrl-C, 1 for any other error.
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
        for message in [
            InvalidArgument::new("--prompt", &long, "it is too long").to_string(),
            InvalidArgument::unused("--prompt", &long, "nothing takes it").to_string(),
            InvalidArgument::new("--prompt", &long, format!("no token for x in '{long}'"))
                .to_string(),
            PLAIN.error(Error::parameter("prompt", &long, "it is too long")).to_string(),
        ] {
            assert!(message.len() < 700 && message.contains("(100000 characters)"), "{message}");
        }
    }

    #[test]
    fn parameters_become_flags() {
        let flags = Flags(&[("k", "--steps")]);
        let reason = "give `scorer`, or run `conjoint export --sampler`";
        let error = flags.error(Error::parameter("order temperature", 0, reason));
        assert_eq!(
            error.to_string(),
            "invalid value '0' for '--order-temperature': give --scorer, or run `conjoint export --sampler`"
        );
        assert_eq!(exit_code(&error), 2);
        let error = flags.error(Error::unused("k", "2,4", "'exact' does not take it"));
        assert_eq!(
            error.to_string(),
            "'--steps 2,4' would have no effect: 'exact' does not take it"
        );
        assert_eq!(exit_code(&flags.error(Error::Lacking("a part"))), 1);
        let switch = InvalidArgument::unused("--json", "", "see --out").to_string();
        assert_eq!(switch, "'--json' would have no effect: see --out");
    }

    #[test]
    fn a_message_has_one_beginning() {
        let library = || Err::<(), _>(conjoint::Error::parameter("k", 0, "at least 1"));
        let error = with_flag("--top-k", 0, library()).unwrap_err();
        assert_eq!(error.to_string(), "invalid value '0' for '--top-k': expected at least 1");
        let error = with_flag("--schedule", "per-step:0", library()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid value 'per-step:0' for '--schedule': `k` is `0`, expected at least 1"
        );
        assert_eq!(value("0", library()), Err("expected at least 1".to_owned()));
        let unknown =
            Err::<(), _>(Error::Name("unknown name 'jiont': expected one of joint".to_owned()));
        assert_eq!(value("jiont", unknown), Err("expected one of joint".to_owned()));
    }
}
