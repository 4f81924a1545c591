//! The grammar of names with parameters.

use std::fmt;
use std::str::FromStr;

use conjoint::Error as SamplingError;

use super::{Conformance, Reference};
use crate::{Error, abbreviated};

/// The name of an entry, its parameters, and what help, documentation and tests say of it.
pub(crate) struct Signature {
    pub name: &'static str,
    pub summary: &'static str,
    pub parameters: Vec<Parameter>,
    pub reference: Reference,
    pub conformance: Conformance,
}

/// A parameter of an entry.
pub(crate) struct Parameter {
    pub name: &'static str,
    pub default: Default,
}

/// The value of a parameter that is not given.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    /// This value.
    Value(&'static str),
    /// None: leaving the parameter out is an error.
    Required,
    /// None: the constructor decides.
    Open,
}

impl Signature {
    pub fn new(name: &'static str, summary: &'static str) -> Self {
        let (reference, conformance) = (Reference::default(), Conformance::default());
        Self { name, summary, parameters: Vec::new(), reference, conformance }
    }

    pub fn push(&mut self, name: &'static str, default: Default) {
        self.parameters.push(Parameter { name, default });
    }

    /// `name:REQUIRED:parameter=default[:open=…]`
    pub fn usage(&self) -> String {
        let parameter = |p: &Parameter| match p.default {
            Default::Value(default) => format!(":{}={default}", p.name),
            Default::Required => format!(":{}", p.name.to_uppercase()),
            Default::Open => format!("[:{}={}]", p.name, p.name.to_uppercase()),
        };
        self.name.to_owned() + &self.parameters.iter().map(parameter).collect::<String>()
    }
}

/// One line of help for each signature: its usage and its summary.
pub(crate) fn list<'a>(signatures: impl Iterator<Item = &'a Signature> + Clone) -> String {
    let usages: Vec<String> = signatures.clone().map(Signature::usage).collect();
    let width = usages.iter().map(String::len).max().unwrap_or(0);
    let line = |(usage, signature): (&String, &Signature)| {
        format!("  {usage:width$}  {}\n", signature.summary)
    };
    usages.iter().zip(signatures).map(line).collect()
}

/// The name most similar to a misspelt one, if it is similar enough.
fn nearest<'n>(given: &str, names: &[&'n str]) -> Option<&'n str> {
    // The distance takes quadratic time, and a user's text may be of any length.
    if given.len() >= 40 {
        return None;
    }
    let scored = names.iter().map(|name| (strsim::jaro(given, name), *name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(similarity, _)| *similarity > 0.75).map(|(_, name)| name)
}

/// A name and the values of its parameters, in the order of the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub name: &'static str,
    /// None where an open parameter is not given.
    values: Vec<Option<String>>,
    written: String,
}

impl fmt::Display for Spec {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Spec {
    /// Parses `NAME:VALUE:PARAMETER=VALUE` by the signatures of `entries`. Also returns the entry.
    pub fn parse<'e, E>(
        text: &str,
        entries: &'e [E],
        signature: impl Fn(&E) -> &Signature,
    ) -> Result<(Self, &'e E), Error> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let entry = entries.iter().find(|entry| signature(entry).name == name);
        let entry = entry.ok_or_else(|| {
            let names: Vec<_> = entries.iter().map(|entry| signature(entry).name).collect();
            unknown_name(name, &names)
        })?;
        let signature = signature(entry);
        let values = values(parts, signature)?;
        Ok((Self { name: signature.name, values, written: text.to_owned() }, entry))
    }

    /// Names the parameter of the signature in a library's error about a value, instead of the library's own name.
    pub fn with_own_name(&self, signature: &Signature, error: Error) -> Error {
        let Error::Sampling(SamplingError::Parameter { name, value, expected }) = error else {
            return error;
        };
        let name = self.own_name(signature, name, &value);
        SamplingError::Parameter { name, value, expected }.into()
    }

    /// The parameter that a library calls `name`: the one of this name, else the only one that `name` contains as a word, else
    /// the only one with this value.
    fn own_name(&self, signature: &Signature, name: &'static str, value: &str) -> &'static str {
        let parameters = || signature.parameters.iter().zip(&self.values);
        let is_value = |text: &str| {
            text == value || text.parse().is_ok_and(|number: f64| number.to_string() == value)
        };
        let is_word = |own: &str| name.split(' ').any(|word| word == own);
        let mut exact = parameters().filter(|(p, _)| p.name == name);
        let mut by_word = parameters().filter(|(p, _)| is_word(p.name));
        let mut by_value = parameters().filter(|(_, given)| given.as_deref().is_some_and(is_value));
        let names = |found: &mut dyn Iterator<Item = (&Parameter, &Option<String>)>| {
            let first = found.next().map(|(parameter, _)| parameter.name);
            first.filter(|_| found.next().is_none())
        };
        names(&mut exact)
            .or_else(|| names(&mut by_word))
            .or_else(|| names(&mut by_value))
            .unwrap_or(name)
    }

    /// The values, by the parameters of the signature that the spec was parsed with.
    pub fn values<'a>(&'a self, signature: &'a Signature) -> Values<'a> {
        Values { values: &self.values, parameters: &signature.parameters }
    }
}

/// The error for a name that no entry has.
fn unknown_name(name: &str, names: &[&str]) -> Error {
    let mut message =
        format!("unknown name '{}': expected one of {}", abbreviated(name), names.join(", "));
    if let Some(nearest) = nearest(name, names) {
        message += &format!("; did you mean '{nearest}'?");
    }
    Error::Name(message)
}

/// The value of each parameter of `signature`, from `VALUE` and `PARAMETER=VALUE` parts.
fn values<'t>(
    parts: impl Iterator<Item = &'t str>,
    signature: &Signature,
) -> Result<Vec<Option<String>>, Error> {
    let parameters = &signature.parameters;
    let mut values: Vec<Option<String>> = vec![None; parameters.len()];
    for (place, part) in parts.enumerate() {
        let (index, value) = match part.split_once('=') {
            None => (Some(place), part),
            Some((key, value)) => (parameters.iter().position(|p| p.name == key), value),
        };
        let error = |problem: &str| {
            Error::Name(format!(
                "{problem} '{}': expected {}",
                abbreviated(part),
                signature.usage()
            ))
        };
        let slot = index.and_then(|index| values.get_mut(index));
        let slot = slot.ok_or_else(|| error("unexpected parameter"))?;
        if slot.replace(value.to_owned()).is_some() {
            return Err(error("the parameter is given a second time in"));
        }
    }
    for (value, parameter) in values.iter_mut().zip(parameters) {
        match parameter.default {
            Default::Value(default) if value.is_none() => *value = Some(default.to_owned()),
            Default::Required if value.is_none() => {
                let (name, usage) = (parameter.name, signature.usage());
                return Err(Error::Name(format!("`{name}` is missing: expected {usage}")));
            }
            _ => {}
        }
    }
    Ok(values)
}

/// The values of a spec's parameters, for the constructor of an entry.
pub struct Values<'a> {
    values: &'a [Option<String>],
    parameters: &'a [Parameter],
}

impl Values<'_> {
    /// The value of a parameter; none where an [open](super::Entry::open) one is not given.
    pub fn given(&self, name: &'static str) -> Option<&str> {
        let place = self.parameters.iter().position(|parameter| parameter.name == name)?;
        self.values.get(place)?.as_deref()
    }

    /// The value of a parameter that has a default or is required.
    pub fn text(&self, name: &'static str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The value as a number.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is not one.
    pub fn number(&self, name: &'static str) -> Result<f64, SamplingError> {
        parsed(name, self.text(name), "a number")
    }

    /// The value as a number; none where an open parameter is not given.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is not one.
    pub fn given_number(&self, name: &'static str) -> Result<Option<f64>, SamplingError> {
        self.given(name).map(|value| parsed(name, value, "a number")).transpose()
    }

    /// The value as a whole number.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is not one.
    pub fn count(&self, name: &'static str) -> Result<usize, SamplingError> {
        parsed(name, self.text(name), "a whole number")
    }

    /// The value as a whole number; none where an open parameter is not given.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is not one.
    pub fn given_count(&self, name: &'static str) -> Result<Option<usize>, SamplingError> {
        self.given(name).map(|value| parsed(name, value, "a whole number")).transpose()
    }

    /// The value as one of these words.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is another one.
    pub fn choice(
        &self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<&'static str, SamplingError> {
        let value = self.text(name);
        let found = words.iter().copied().find(|&word| word == value);
        found.ok_or_else(|| invalid(name, value, format!("one of {}", words.join(", "))))
    }
}

fn parsed<V: FromStr>(name: &'static str, value: &str, expected: &str) -> Result<V, SamplingError> {
    value.parse().map_err(|_| invalid(name, value, expected.to_owned()))
}

/// The error for an invalid value.
pub(crate) fn invalid(name: &'static str, value: &str, expected: String) -> SamplingError {
    SamplingError::Parameter { name, value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signatures() -> [Signature; 2] {
        let mut scale = Signature::new("scale", "multiplies");
        scale.push("by", Default::Required);
        scale.push("times", Default::Value("1"));
        scale.push("plus", Default::Open);
        [scale, Signature::new("one", "is 1")]
    }

    fn value(text: &str) -> Result<f64, String> {
        let signatures = signatures();
        let (spec, of) = Spec::parse(text, &signatures, |s| s).map_err(|e| e.to_string())?;
        assert_eq!(spec.to_string(), text);
        let values = spec.values(of);
        let scaled = || -> Result<f64, SamplingError> {
            let product = values.number("by")? * values.count("times")? as f64;
            Ok(product + values.given_number("plus")?.unwrap_or(0.5))
        };
        if of.name == "one" { Ok(1.0) } else { scaled().map_err(|error| error.to_string()) }
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let names = ["exact", "joint", "per-step", "entropy", "klass"];
        for (given, meant) in [
            ("jiont", Some("joint")),
            ("per_step", Some("per-step")),
            ("entropi", Some("entropy")),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, &names), meant, "{given}");
        }
        assert_eq!(nearest(&"joint".repeat(1000), &names), None);
    }

    #[test]
    fn values_are_given_by_place_or_by_name() {
        assert_eq!(value("one"), Ok(1.0));
        assert_eq!(value("scale:2.5"), Ok(3.0));
        assert_eq!(value("scale:2.5:3"), Ok(8.0));
        assert_eq!(value("scale:times=2:by=4"), Ok(8.5));
        assert_eq!(value("scale:4:plus=0"), Ok(4.0));
    }

    #[test]
    fn errors_name_the_part_and_the_usage() {
        for (text, expected) in [
            ("two", "unknown name 'two': expected one of scale, one"),
            ("scale", "`by` is missing: expected scale:BY:times=1[:plus=PLUS]"),
            ("one:1", "unexpected parameter '1': expected one"),
            ("scale:2:twice=3", "unexpected parameter 'twice=3'"),
            ("scale:2:times=3:times=3", "the parameter is given a second time in 'times=3'"),
            ("scale:2:by=3", "the parameter is given a second time in 'by=3'"),
            ("scale:2:plus=1:plus=2", "the parameter is given a second time in 'plus=2'"),
            ("scale:2:0.5", "invalid value `0.5` for `times`: expected a whole number"),
            ("scale:two", "invalid value `two` for `by`: expected a number"),
            ("scale:2:plus=", "invalid value `` for `plus`: expected a number"),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_list_has_every_signature() {
        assert_eq!(
            list(signatures().iter()),
            "  scale:BY:times=1[:plus=PLUS]  multiplies\n  one                           is 1\n"
        );
    }
}
