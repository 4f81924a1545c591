//! Parsing of bodies from left to right.

use crate::{
    flaw::Flaw,
    lexicon::{Number, stem},
};

/// A parsed value and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot<T> {
    /// Byte position in the body.
    pub(crate) at: usize,
    /// The parsed value.
    pub(crate) value: T,
}

impl Spot<&str> {
    /// Checks that this word is `expected`.
    pub(crate) fn agree(&self, expected: &str) -> Result<(), Flaw> {
        if self.value == expected { Ok(()) } else { Err(self.disagreement(expected)) }
    }

    /// The flaw of this word in place of `expected`.
    pub(crate) fn disagreement(&self, expected: impl Into<String>) -> Flaw {
        Flaw::Disagreement { at: self.at, word: self.value.into(), expected: expected.into() }
    }
}

impl Spot<(&str, Number)> {
    /// Checks that this noun, in its number, is `expected`.
    pub(crate) fn reads(&self, expected: &str) -> Result<(), Flaw> {
        let (stem, number) = self.value;
        Spot { at: self.at, value: number.noun(stem).as_str() }.agree(expected)
    }
}

impl Spot<u32> {
    /// Checks that this number is in `low..=high`.
    pub(crate) fn within(&self, low: u32, high: u32) -> Result<(), Flaw> {
        if (low..=high).contains(&self.value) {
            Ok(())
        } else {
            Err(Flaw::OutOfRange { at: self.at, got: self.value, low, high })
        }
    }

    /// Checks that this number repeats `expected`, an earlier number of the text.
    pub(crate) fn repeats(&self, expected: u32) -> Result<(), Flaw> {
        Spot { at: self.at, value: self.value.to_string().as_str() }.agree(&expected.to_string())
    }
}

/// A position in a body that is parsed from left to right.
///
/// It only moves past ASCII, so that it is always on a character boundary.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    body: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(body: &'a str) -> Self {
        Self { body, at: 0 }
    }

    /// The flaw of a missing `expected` at this position.
    pub(crate) fn unparsed(&self, expected: &'static str) -> Flaw {
        Flaw::Unparsed { at: self.at, expected }
    }

    /// Moves past `literal` if it is next, and returns whether it was.
    pub(crate) fn skip(&mut self, literal: &str) -> bool {
        let found = self.rest().starts_with(literal);
        if found {
            self.at += literal.len();
        }
        found
    }

    /// Moves past `literal`, which must be next.
    pub(crate) fn literal(&mut self, literal: &'static str) -> Result<(), Flaw> {
        if self.skip(literal) { Ok(()) } else { Err(self.unparsed(literal)) }
    }

    /// Parses one of `symbols`.
    pub(crate) fn symbol(
        &mut self,
        symbols: &[&'static str],
        expected: &'static str,
    ) -> Result<Spot<&'static str>, Flaw> {
        let at = self.at;
        let found = symbols.iter().copied().find(|symbol| self.skip(symbol));
        found.map(|value| Spot { at, value }).ok_or_else(|| self.unparsed(expected))
    }

    /// Checks that the body ends here.
    pub(crate) fn end(&self) -> Result<(), Flaw> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.unparsed("the end")) }
    }

    /// Parses a whole word with `read`.
    pub(crate) fn word<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Spot<T>, Flaw> {
        self.run(|byte| byte.is_ascii_lowercase(), expected, read)
    }

    /// Parses a word of `table`.
    pub(crate) fn entry(
        &mut self,
        table: &[&'static str],
        expected: &'static str,
    ) -> Result<Spot<&'static str>, Flaw> {
        self.word(expected, |word| table.iter().copied().find(|&entry| entry == word))
    }

    /// Parses a noun of `table`, in either number.
    pub(crate) fn noun(
        &mut self,
        table: &[&'static str],
        expected: &'static str,
    ) -> Result<Spot<(&'static str, Number)>, Flaw> {
        self.word(expected, |word| {
            let (noun, with_s) = stem(table, word)?;
            Some((noun, if with_s { Number::Many } else { Number::One }))
        })
    }

    /// Parses a whole number of at most three digits, without leading zeros.
    pub(crate) fn number(&mut self) -> Result<Spot<u32>, Flaw> {
        self.run(
            |byte| byte.is_ascii_digit(),
            "a number",
            |digits| {
                let plain = digits.len() <= 3 && (digits == "0" || !digits.starts_with('0'));
                if plain { digits.parse().ok() } else { None }
            },
        )
    }

    /// Parses the longest run of ASCII bytes of one `class` with `read`.
    fn run<T>(
        &mut self,
        class: impl Fn(u8) -> bool,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Spot<T>, Flaw> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|&byte| class(byte)).count();
        let value = rest.get(..len).and_then(read).ok_or_else(|| self.unparsed(expected))?;
        let at = self.at;
        self.at += len;
        Ok(Spot { at, value })
    }

    fn rest(&self) -> &'a str {
        self.body.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_parsed_from_left_to_right() {
        let mut cursor = Cursor::new("two hats: 10");
        assert_eq!(cursor.entry(&["one", "two"], "a count"), Ok(Spot { at: 0, value: "two" }));
        assert!(!cursor.skip(":"));
        assert!(cursor.skip(" "));
        assert_eq!(
            cursor.noun(&["hat"], "a noun"),
            Ok(Spot { at: 4, value: ("hat", Number::Many) })
        );
        assert_eq!(cursor.literal("."), Err(Flaw::Unparsed { at: 8, expected: "." }));
        assert_eq!(cursor.literal(": "), Ok(()));
        assert_eq!(cursor.end(), Err(Flaw::Unparsed { at: 10, expected: "the end" }));
        assert_eq!(cursor.number(), Ok(Spot { at: 10, value: 10 }));
        assert_eq!(cursor.end(), Ok(()));
    }

    #[test]
    fn numbers_have_one_spelling() {
        for (digits, value) in [("0", 0), ("7", 7), ("999", 999)] {
            assert_eq!(Cursor::new(digits).number(), Ok(Spot { at: 0, value }));
        }
        for digits in ["", "00", "07", "1000", "99999999999999999999", "-1", "x", "٣"] {
            let flaw = Flaw::Unparsed { at: 0, expected: "a number" };
            assert_eq!(Cursor::new(digits).number(), Err(flaw), "{digits}");
        }
    }

    #[test]
    fn words_are_parsed_whole() {
        let flaw = Flaw::Unparsed { at: 0, expected: "a name" };
        for word in ["an", "anna", "Ann", "änn", ""] {
            assert_eq!(Cursor::new(word).entry(&["ann"], "a name"), Err(flaw.clone()));
        }
        assert!(Cursor::new("annä").entry(&["ann"], "a name").is_ok());
    }
}
