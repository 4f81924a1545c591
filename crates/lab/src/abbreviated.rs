//! Long values in messages.

use std::borrow::Cow;

/// The largest number of characters of a value in a message. Most paths are shorter.
const MAX_CHARACTERS: usize = 240;

/// Cuts a value after 240 characters, and adds its length.
///
/// ```
/// assert_eq!(conjoint_lab::abbreviated("per-step:4"), "per-step:4");
/// assert!(conjoint_lab::abbreviated(&"x".repeat(100_000)).ends_with("xxx… (100000 characters)"));
/// ```
pub fn abbreviated(value: &str) -> Cow<'_, str> {
    match value.char_indices().nth(MAX_CHARACTERS) {
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
    fn only_longer_values_are_cut_between_characters() {
        for word in ["x", "é", "世"] {
            let short = word.repeat(MAX_CHARACTERS);
            assert_eq!(abbreviated(&short), short);
            assert_eq!(
                abbreviated(&word.repeat(MAX_CHARACTERS + 1)),
                format!("{short}… (241 characters)")
            );
        }
    }
}
