//! Names with parameters, as they are written on the command line.

use std::fmt;
use std::str::FromStr;

use conjoint::Error;

use super::table::{Default, Entry, Parameter};

/// A name and the values of its parameters, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
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
    /// Reads `NAME:VALUE:PARAMETER=VALUE` against a table.
    pub fn parse<T: 'static, C: ?Sized + 'static>(
        text: &str,
        table: impl Iterator<Item = &'static Entry<T, C>> + Clone,
    ) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let entry = table.clone().find(|entry| entry.name == name).ok_or_else(|| {
            let names: Vec<_> = table.map(|entry| entry.name).collect();
            format!("'{name}' is none of {}", names.join(", "))
        })?;
        let mut values: Vec<Option<String>> = vec![None; entry.parameters.len()];
        for (place, part) in parts.enumerate() {
            let (index, value) = match part.split_once('=') {
                None => (Some(place), part),
                Some((key, value)) => (entry.parameters.iter().position(|p| p.name == key), value),
            };
            let expected = |what: &str| format!("'{part}' {what}; expected {}", entry.usage());
            let slot = index.and_then(|index| values.get_mut(index));
            let slot = slot.ok_or_else(|| expected("is no parameter"))?;
            if slot.replace(value.to_owned()).is_some() {
                return Err(expected("gives a parameter a second time"));
            }
        }
        for (value, parameter) in values.iter_mut().zip(entry.parameters) {
            match parameter.default {
                Default::Value(default) if value.is_none() => *value = Some(default.to_owned()),
                Default::Required if value.is_none() => {
                    return Err(format!(
                        "{} is missing; expected {}",
                        parameter.name,
                        entry.usage()
                    ));
                }
                _ => {}
            }
        }
        Ok(Self { name: entry.name, values, written: text.to_owned() })
    }

    /// The value of the parameter at this place of the table, unless it was left open.
    pub fn value(&self, place: usize) -> Option<&str> {
        self.values.get(place)?.as_deref()
    }

    /// Makes what it names.
    pub fn make<T: 'static, C: ?Sized + 'static>(
        &self,
        mut table: impl Iterator<Item = &'static Entry<T, C>>,
        context: &C,
    ) -> anyhow::Result<T> {
        let entry = table.find(|entry| entry.name == self.name);
        let entry = entry.ok_or_else(|| anyhow::anyhow!("'{}' is not in the table", self.name))?;
        (entry.make)(&Values { spec: self, parameters: entry.parameters }, context)
    }
}

/// The values of a spec's parameters.
pub struct Values<'a> {
    spec: &'a Spec,
    parameters: &'static [Parameter],
}

impl Values<'_> {
    /// The value of a parameter of the table, unless it was left open.
    pub fn given(&self, name: &'static str) -> Option<&str> {
        self.spec.value(self.parameters.iter().position(|parameter| parameter.name == name)?)
    }

    /// The value of a parameter that is not left open.
    pub fn text(&self, name: &'static str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The value as a number.
    pub fn number(&self, name: &'static str) -> Result<f64, Error> {
        parsed(name, self.text(name), "a number")
    }

    /// The value as a number, unless it was left open.
    pub fn given_number(&self, name: &'static str) -> Result<Option<f64>, Error> {
        self.given(name).map(|value| parsed(name, value, "a number")).transpose()
    }

    /// The value as a whole number.
    pub fn count(&self, name: &'static str) -> Result<usize, Error> {
        parsed(name, self.text(name), "a whole number")
    }

    /// The value as a whole number, unless it was left open.
    pub fn given_count(&self, name: &'static str) -> Result<Option<usize>, Error> {
        self.given(name).map(|value| parsed(name, value, "a whole number")).transpose()
    }

    /// The value as one of a few words.
    pub fn choice(
        &self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<&'static str, Error> {
        let value = self.text(name);
        let found = words.iter().copied().find(|&word| word == value);
        found.ok_or_else(|| refused(name, value, format!("one of {}", words.join(", "))))
    }
}

fn parsed<V: FromStr>(name: &'static str, value: &str, expected: &str) -> Result<V, Error> {
    value.parse().map_err(|_| refused(name, value, expected.to_owned()))
}

/// The error for a value that will not do.
pub fn refused(name: &'static str, value: &str, expected: String) -> Error {
    Error::Parameter { name, value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: [Entry<f64, ()>; 2] = [
        Entry {
            name: "scale",
            summary: "multiplies",
            parameters: &[
                Parameter::required("by"),
                Parameter::new("times", "1"),
                Parameter::open("plus"),
            ],
            make: |values, ()| {
                let product = values.number("by")? * values.count("times")? as f64;
                Ok(product + values.given_number("plus")?.unwrap_or(0.5))
            },
        },
        Entry { name: "one", summary: "is 1", parameters: &[], make: |_, ()| Ok(1.0) },
    ];

    fn value(text: &str) -> Result<f64, String> {
        let spec = Spec::parse(text, TABLE.iter())?;
        assert_eq!(spec.to_string(), text);
        spec.make(TABLE.iter(), &()).map_err(|error| error.to_string())
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
            ("scale:2:0.5", "times = 0.5 is out of range: expected a whole number"),
            ("scale:two", "by = two is out of range: expected a number"),
            ("scale:2:plus=", "plus =  is out of range: expected a number"),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
