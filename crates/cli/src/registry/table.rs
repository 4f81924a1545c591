//! Tables of what can be named.

/// One thing that the command line can name, and how it is made from its parameters and a context.
pub struct Entry<T: 'static, C: ?Sized + 'static> {
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    pub make: fn(&super::spec::Values<'_>, &C) -> anyhow::Result<T>,
}

/// A parameter of a named thing.
pub struct Parameter {
    pub name: &'static str,
    pub default: Default,
}

/// What a parameter is where none is given.
#[derive(Clone, Copy)]
pub enum Default {
    /// This value.
    Value(&'static str),
    /// An error.
    Required,
    /// Whatever the summary says; the constructor learns that nothing was given.
    Open,
}

impl Parameter {
    pub const fn new(name: &'static str, default: &'static str) -> Self {
        Self { name, default: Default::Value(default) }
    }

    pub const fn required(name: &'static str) -> Self {
        Self { name, default: Default::Required }
    }

    pub const fn open(name: &'static str) -> Self {
        Self { name, default: Default::Open }
    }
}

impl<T: 'static, C: ?Sized + 'static> Entry<T, C> {
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

/// Every entry with its parameters and what it does, a line each, for help.
pub fn list<T: 'static, C: ?Sized + 'static>(
    table: impl Iterator<Item = &'static Entry<T, C>> + Clone,
) -> String {
    let usages: Vec<String> = table.clone().map(Entry::usage).collect();
    let width = usages.iter().map(String::len).max().unwrap_or(0);
    let line =
        |(usage, entry): (&String, &Entry<T, C>)| format!("  {usage:width$}  {}\n", entry.summary);
    usages.iter().zip(table).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_tells_every_entry() {
        static TABLE: [Entry<(), ()>; 2] = [
            Entry {
                name: "scale",
                summary: "multiplies",
                parameters: &[
                    Parameter::required("by"),
                    Parameter::new("times", "1"),
                    Parameter::open("at"),
                ],
                make: |_, ()| Ok(()),
            },
            Entry { name: "one", summary: "is 1", parameters: &[], make: |_, ()| Ok(()) },
        ];
        assert_eq!(
            list(TABLE.iter()),
            "  scale:BY:times=1[:at=AT]  multiplies\n  one                       is 1\n"
        );
    }
}
