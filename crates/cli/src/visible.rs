//! Makes control characters in a model's texts visible on a terminal, where they would move the cursor or change colours.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;

/// The text to print: with visible control characters if standard output is a terminal.
pub fn printed(text: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() { visible(text) } else { Cow::Borrowed(text) }
}

/// Replaces control characters by `\u{…}`, except line breaks and tabs.
fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || is_direction(c);
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_hidden(c) {
            // Writing to a string cannot fail.
            true => drop(write!(visible, "{}", c.escape_unicode())),
            false => visible.push(c),
        }
    }
    Cow::Owned(visible)
}

/// Whether a character changes the direction of the following text.
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
