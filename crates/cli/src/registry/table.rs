use std::fmt;
use std::str::FromStr;

use conjoint::Error;

/// One thing that the command line can name, and how it is made from its parameters and a context.
pub struct Entry<T: 'static, C: ?Sized + 'static> {
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    pub make: fn(&Values<'_>, &C) -> anyhow::Result<T>,
}

/// A parameter of a named thing.
pub struct Parameter {
    pub name: &'static str,
    /// Its value where none is given; without one it must be given.
    pub default: Option<&'static str>,
}

impl Parameter {
    pub const fn new(name: &'static str, default: &'static str) -> Self {
        Self { name, default: Some(default) }
    }

    pub const fn required(name: &'static str) -> Self {
        Self { name, default: None }
    }
}

/// A name and the values of its parameters, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub name: &'static str,
    values: Vec<String>,
    written: String,
}

impl fmt::Display for Spec {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Reads `NAME:VALUE:PARAMETER=VALUE` against a table.
pub fn parse<T, C: ?Sized>(text: &str, table: &[Entry<T, C>]) -> Result<Spec, String> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let entry = table.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = table.iter().map(|entry| entry.name).collect();
        format!("'{name}' is none of {}", names.join(", "))
    })?;
    let mut values: Vec<Option<String>> = vec![None; entry.parameters.len()];
    for (place, part) in parts.enumerate() {
        let (index, value) = match part.split_once('=') {
            None => (Some(place), part),
            Some((key, value)) => (entry.parameters.iter().position(|p| p.name == key), value),
        };
        let slot = index.and_then(|index| values.get_mut(index));
        let slot =
            slot.ok_or_else(|| format!("'{part}' is no parameter; expected {}", usage(entry)))?;
        if slot.replace(value.to_owned()).is_some() {
            return Err(format!(
                "'{part}' gives a parameter a second time; expected {}",
                usage(entry)
            ));
        }
    }
    let filled = values.into_iter().zip(entry.parameters).map(|(value, parameter)| {
        let value = value.or_else(|| parameter.default.map(str::to_owned));
        value.ok_or_else(|| format!("{} is missing; expected {}", parameter.name, usage(entry)))
    });
    let values = filled.collect::<Result<_, _>>()?;
    Ok(Spec { name: entry.name, values, written: text.to_owned() })
}

impl Spec {
    /// The value of the parameter at this place of the table, if it is a whole number.
    pub fn count(&self, place: usize) -> Option<usize> {
        self.values.get(place)?.parse().ok()
    }
}

/// Makes what a spec names.
pub fn make<T, C: ?Sized>(spec: &Spec, table: &[Entry<T, C>], context: &C) -> anyhow::Result<T> {
    let entry = table.iter().find(|entry| entry.name == spec.name);
    let entry = entry.ok_or_else(|| anyhow::anyhow!("'{}' is not in the table", spec.name))?;
    (entry.make)(&Values { spec, parameters: entry.parameters }, context)
}

/// `name:parameter=default:…`
fn usage<T, C: ?Sized>(entry: &Entry<T, C>) -> String {
    let parameter = |p: &Parameter| match p.default {
        Some(default) => format!(":{}={default}", p.name),
        None => format!(":{}", p.name.to_uppercase()),
    };
    entry.name.to_owned() + &entry.parameters.iter().map(parameter).collect::<String>()
}

/// Every entry with its parameters and what it does, a line each, for help.
pub fn list<T, C: ?Sized>(table: &[Entry<T, C>]) -> String {
    let usages: Vec<String> = table.iter().map(usage).collect();
    let width = usages.iter().map(String::len).max().unwrap_or(0);
    let line =
        |(usage, entry): (&String, &Entry<T, C>)| format!("  {usage:width$}  {}\n", entry.summary);
    usages.iter().zip(table).map(line).collect()
}

/// The values of a spec's parameters.
pub struct Values<'a> {
    spec: &'a Spec,
    parameters: &'static [Parameter],
}

impl Values<'_> {
    /// The value of a parameter of the table.
    pub fn text(&self, name: &'static str) -> &str {
        let place = self.parameters.iter().position(|parameter| parameter.name == name);
        place.and_then(|place| self.spec.values.get(place)).map_or("", String::as_str)
    }

    /// The value as a number.
    pub fn number(&self, name: &'static str) -> Result<f64, Error> {
        self.parsed(name, "a number")
    }

    /// The value as a whole number.
    pub fn count(&self, name: &'static str) -> Result<usize, Error> {
        self.parsed(name, "a whole number")
    }

    /// The value as one of a few words.
    pub fn choice(
        &self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<&'static str, Error> {
        let value = self.text(name);
        words.iter().copied().find(|&word| word == value).ok_or_else(|| Error::Parameter {
            name,
            value: value.to_owned(),
            expected: format!("one of {}", words.join(", ")),
        })
    }

    fn parsed<V: FromStr>(&self, name: &'static str, expected: &str) -> Result<V, Error> {
        let value = self.text(name);
        value.parse().map_err(|_| Error::Parameter {
            name,
            value: value.to_owned(),
            expected: expected.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Entry<f64, ()>] = &[
        Entry {
            name: "scale",
            summary: "multiplies",
            parameters: &[Parameter::required("by"), Parameter::new("times", "1")],
            make: |values, ()| Ok(values.number("by")? * values.count("times")? as f64),
        },
        Entry { name: "one", summary: "is 1", parameters: &[], make: |_, ()| Ok(1.0) },
    ];

    fn value(text: &str) -> Result<f64, String> {
        let spec = parse(text, TABLE)?;
        assert_eq!(spec.to_string(), text);
        make(&spec, TABLE, &()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_go_by_place_or_by_name() {
        assert_eq!(value("one"), Ok(1.0));
        assert_eq!(value("scale:2.5"), Ok(2.5));
        assert_eq!(value("scale:2.5:3"), Ok(7.5));
        assert_eq!(value("scale:times=2:by=4"), Ok(8.0));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, said) in [
            ("two", "'two' is none of scale, one"),
            ("scale", "by is missing; expected scale:BY:times=1"),
            ("one:1", "'1' is no parameter; expected one"),
            ("scale:2:twice=3", "'twice=3' is no parameter"),
            ("scale:2:0.5", "times = 0.5 is out of range: expected a whole number"),
            ("scale:two", "by = two is out of range: expected a number"),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_list_tells_every_entry() {
        assert_eq!(list(TABLE), "  scale:BY:times=1  multiplies\n  one               is 1\n");
    }
}
