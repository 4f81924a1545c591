//! Texts of a model on a terminal: what would move the cursor or change colours is made visible.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;

/// A text as it is printed: with its control characters visible where the standard output is a terminal.
pub fn printed(text: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() { visible(text) } else { Cow::Borrowed(text) }
}

/// Control characters but line ends and tabs as `\u{…}`.
fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || is_direction(c);
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_hidden(c) {
            // Writing to a string cannot fail.
            true => drop(write!(shown, "{}", c.escape_unicode())),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Marks that turn the direction of what follows.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_made_visible() {
        assert_eq!(visible("a\u{1b}[31mb\r\u{9b}c\u{7f}"), r"a\u{1b}[31mb\u{d}\u{9b}c\u{7f}");
        assert_eq!(visible("x\u{202e}y"), r"x\u{202e}y");
        assert!(matches!(visible("two\nlines\tand é 🦉"), Cow::Borrowed(_)));
    }
}
