//! Values in messages.

use std::borrow::Cow;

/// The most characters of a value that a message shows: most paths are shorter.
const LONGEST: usize = 240;

/// A value as a message shows it: cut after 240 characters, with how many there are.
///
/// ```
/// assert_eq!(conjoint_lab::abbreviated("per-step:4"), "per-step:4");
/// assert!(conjoint_lab::abbreviated(&"x".repeat(100_000)).ends_with("xxx… (100000 characters)"));
/// ```
pub fn abbreviated(value: &str) -> Cow<'_, str> {
    match value.char_indices().nth(LONGEST) {
        None => value.into(),
        Some((end, _)) => {
            format!("{}… ({} characters)", &value[..end], value.chars().count()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_longer_is_cut_and_never_within_a_character() {
        for word in ["x", "é", "世"] {
            let longest = word.repeat(LONGEST);
            assert_eq!(abbreviated(&longest), longest);
            assert_eq!(
                abbreviated(&word.repeat(LONGEST + 1)),
                format!("{longest}… (241 characters)")
            );
        }
    }
}
