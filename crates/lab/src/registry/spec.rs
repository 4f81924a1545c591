//! The grammar of names with parameters.

use std::fmt;
use std::str::FromStr;

use conjoint::Error as Refused;

use crate::{Error, abbreviated};

/// How a thing is named: its name, its parameters, and a line for people.
pub(crate) struct Signature {
    pub name: &'static str,
    pub summary: &'static str,
    pub parameters: Vec<Parameter>,
}

/// A parameter of a named thing.
pub(crate) struct Parameter {
    pub name: &'static str,
    pub default: Default,
}

/// What a parameter is where none is given.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    /// This value.
    Value(&'static str),
    /// An error.
    Required,
    /// Whatever the summary says; the constructor learns that nothing was given.
    Open,
}

impl Signature {
    pub fn new(name: &'static str, summary: &'static str) -> Self {
        Self { name, summary, parameters: Vec::new() }
    }

    pub fn push(&mut self, name: &'static str, default: Default) {
        self.parameters.push(Parameter { name, default });
    }

    /// `name:REQUIRED:parameter=default[:open=…]`
    fn usage(&self) -> String {
        let parameter = |p: &Parameter| match p.default {
            Default::Value(default) => format!(":{}={default}", p.name),
            Default::Required => format!(":{}", p.name.to_uppercase()),
            Default::Open => format!("[:{}={}]", p.name, p.name.to_uppercase()),
        };
        self.name.to_owned() + &self.parameters.iter().map(parameter).collect::<String>()
    }
}

/// Every signature with what it does, a line each, for help.
pub(crate) fn list<'a>(signatures: impl Iterator<Item = &'a Signature> + Clone) -> String {
    let usages: Vec<String> = signatures.clone().map(Signature::usage).collect();
    let width = usages.iter().map(String::len).max().unwrap_or(0);
    let line = |(usage, of): (&String, &Signature)| format!("  {usage:width$}  {}\n", of.summary);
    usages.iter().zip(signatures).map(line).collect()
}

/// The name that a misspelt one was meant to be, if one is near enough.
fn nearest<'n>(given: &str, names: &[&'n str]) -> Option<&'n str> {
    // A name may not be measured whole: it is as long as a user makes it.
    let likeness = |name: &str| strsim::jaro(given, name);
    let likenesses = names.iter().filter(|_| given.len() < 40).map(|name| (likeness(name), *name));
    let best = likenesses.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.75).map(|(_, name)| name)
}

/// A name and the values of its parameters, in the order of the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub name: &'static str,
    /// None where a parameter is left open.
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
    /// Reads `NAME:VALUE:PARAMETER=VALUE` against the signatures of `entries`; also returns the entry.
    pub fn parse<'e, E>(
        text: &str,
        entries: &'e [E],
        signature: impl Fn(&E) -> &Signature,
    ) -> Result<(Self, &'e E), Error> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let entry =
            entries.iter().find(|entry| signature(entry).name == name).ok_or_else(|| {
                let names: Vec<_> = entries.iter().map(|entry| signature(entry).name).collect();
                let (given, all) = (abbreviated(name), names.join(", "));
                Error::Name(match nearest(name, &names) {
                    Some(meant) => format!("'{given}' is none of {all}: did you mean '{meant}'?"),
                    None => format!("'{given}' is none of {all}"),
                })
            })?;
        let of = signature(entry);
        let mut values: Vec<Option<String>> = vec![None; of.parameters.len()];
        for (place, part) in parts.enumerate() {
            let (index, value) = match part.split_once('=') {
                None => (Some(place), part),
                Some((key, value)) => (of.parameters.iter().position(|p| p.name == key), value),
            };
            let expected = |what: &str| {
                Error::Name(format!("'{}' {what}; expected {}", abbreviated(part), of.usage()))
            };
            let slot = index.and_then(|index| values.get_mut(index));
            let slot = slot.ok_or_else(|| expected("is no parameter"))?;
            if slot.replace(value.to_owned()).is_some() {
                return Err(expected("gives a parameter a second time"));
            }
        }
        for (value, parameter) in values.iter_mut().zip(&of.parameters) {
            match parameter.default {
                Default::Value(default) if value.is_none() => *value = Some(default.to_owned()),
                Default::Required if value.is_none() => {
                    let (name, usage) = (parameter.name, of.usage());
                    return Err(Error::Name(format!("{name} is missing; expected {usage}")));
                }
                _ => {}
            }
        }
        Ok((Self { name: of.name, values, written: text.to_owned() }, entry))
    }

    /// The values, by the names of the signature that the spec was parsed against.
    pub fn values<'a>(&'a self, signature: &'a Signature) -> Values<'a> {
        Values { values: &self.values, parameters: &signature.parameters }
    }
}

/// The values of a spec's parameters, for the constructor of an entry.
pub struct Values<'a> {
    values: &'a [Option<String>],
    parameters: &'a [Parameter],
}

impl Values<'_> {
    /// The value of a parameter, unless it was left open.
    pub fn given(&self, name: &'static str) -> Option<&str> {
        let place = self.parameters.iter().position(|parameter| parameter.name == name)?;
        self.values.get(place)?.as_deref()
    }

    /// The value of a parameter that is not left open.
    pub fn text(&self, name: &'static str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The value as a number.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is none.
    pub fn number(&self, name: &'static str) -> Result<f64, Refused> {
        parsed(name, self.text(name), "a number")
    }

    /// The value as a number, unless it was left open.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is none.
    pub fn given_number(&self, name: &'static str) -> Result<Option<f64>, Refused> {
        self.given(name).map(|value| parsed(name, value, "a number")).transpose()
    }

    /// The value as a whole number.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is none.
    pub fn count(&self, name: &'static str) -> Result<usize, Refused> {
        parsed(name, self.text(name), "a whole number")
    }

    /// The value as a whole number, unless it was left open.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is none.
    pub fn given_count(&self, name: &'static str) -> Result<Option<usize>, Refused> {
        self.given(name).map(|value| parsed(name, value, "a whole number")).transpose()
    }

    /// The value as one of a few words.
    ///
    /// # Errors
    /// [`conjoint::Error::Parameter`] if it is none of them.
    pub fn choice(
        &self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<&'static str, Refused> {
        let value = self.text(name);
        let found = words.iter().copied().find(|&word| word == value);
        found.ok_or_else(|| refused(name, value, format!("one of {}", words.join(", "))))
    }
}

fn parsed<V: FromStr>(name: &'static str, value: &str, expected: &str) -> Result<V, Refused> {
    value.parse().map_err(|_| refused(name, value, expected.to_owned()))
}

/// The error for a value that cannot be used.
pub(crate) fn refused(name: &'static str, value: &str, expected: String) -> Refused {
    Refused::Parameter { name, value: value.to_owned(), expected }
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
        let scaled = || -> Result<f64, Refused> {
            let product = values.number("by")? * values.count("times")? as f64;
            Ok(product + values.given_number("plus")?.unwrap_or(0.5))
        };
        if of.name == "one" { Ok(1.0) } else { scaled().map_err(|error| error.to_string()) }
    }

    #[test]
    fn a_misspelt_name_is_told_the_one_that_it_was_meant_to_be() {
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
    fn values_go_by_place_or_by_name() {
        assert_eq!(value("one"), Ok(1.0));
        assert_eq!(value("scale:2.5"), Ok(3.0));
        assert_eq!(value("scale:2.5:3"), Ok(8.0));
        assert_eq!(value("scale:times=2:by=4"), Ok(8.5));
        assert_eq!(value("scale:4:plus=0"), Ok(4.0));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, said) in [
            ("two", "'two' is none of scale, one"),
            ("scale", "by is missing; expected scale:BY:times=1[:plus=PLUS]"),
            ("one:1", "'1' is no parameter; expected one"),
            ("scale:2:twice=3", "'twice=3' is no parameter"),
            ("scale:2:times=3:times=3", "'times=3' gives a parameter a second time"),
            ("scale:2:by=3", "'by=3' gives a parameter a second time"),
            ("scale:2:plus=1:plus=2", "'plus=2' gives a parameter a second time"),
            ("scale:2:0.5", "invalid value `0.5` for `times`: expected a whole number"),
            ("scale:two", "invalid value `two` for `by`: expected a number"),
            ("scale:2:plus=", "invalid value `` for `plus`: expected a number"),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.contains(said), "{error}");
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
