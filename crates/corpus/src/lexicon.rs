//! The words and their inflection. All are regular: nouns and verbs take an `s`.

use rand::{Rng, RngExt};

/// Names. Their first letters differ, so that the first letter determines the order.
pub(crate) const NAMES: [&str; 24] = [
    "ann", "bob", "cal", "dan", "eve", "fay", "gus", "hal", "ida", "jay", "kim", "lea", "max",
    "ned", "ora", "pam", "quy", "ray", "sue", "tom", "una", "val", "wes", "zoe",
];

/// Adjectives for animals and things.
pub(crate) const ADJECTIVES: [&str; 24] = [
    "amber", "big", "blue", "cold", "dark", "dry", "fat", "gray", "huge", "icy", "ivory", "neat",
    "new", "odd", "old", "pink", "red", "soft", "tan", "tiny", "ugly", "warm", "wet", "wild",
];

/// Subjects of stories.
pub(crate) const ANIMALS: [&str; 24] = [
    "ant", "ape", "asp", "bat", "bear", "bee", "bird", "cat", "cow", "crab", "crow", "dog", "duck",
    "eel", "emu", "frog", "goat", "hen", "lion", "mole", "owl", "pig", "rat", "seal",
];

/// Objects of stories.
pub(crate) const THINGS: [&str; 24] = [
    "axe", "bag", "bed", "bell", "book", "cap", "coin", "cup", "drum", "egg", "hat", "jar", "key",
    "kite", "lamp", "map", "oar", "pan", "pot", "ring", "rope", "rug", "toy", "urn",
];

/// Verbs of stories.
pub(crate) const VERBS: [&str; 14] = [
    "buy", "find", "get", "hear", "hide", "hold", "keep", "like", "love", "need", "see", "sell",
    "take", "want",
];

/// Nouns of word problems.
pub(crate) const FOODS: [&str; 12] =
    ["bean", "bun", "date", "egg", "fig", "lime", "nut", "pear", "pie", "plum", "roll", "yam"];

/// Verbs of addition.
pub(crate) const GAINS: [&str; 6] = ["buys", "finds", "gets", "picks", "takes", "wins"];

/// Verbs of subtraction.
pub(crate) const LOSSES: [&str; 6] = ["cooks", "drops", "eats", "loses", "sells", "sends"];

/// Grammatical number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// Singular.
    One,
    /// Plural.
    Many,
}

impl Number {
    /// The grammatical number of a count of `n`.
    pub(crate) fn of(n: i64) -> Self {
        if n == 1 { Self::One } else { Self::Many }
    }

    /// `hat` or `hats`.
    pub(crate) fn noun(self, noun: &str) -> String {
        match self {
            Self::One => noun.into(),
            Self::Many => format!("{noun}s"),
        }
    }

    /// `sees` or `see`.
    pub(crate) fn verb(self, verb: &str) -> String {
        match self {
            Self::One => format!("{verb}s"),
            Self::Many => verb.into(),
        }
    }
}

/// The entry of `table` that `word` consists of, and whether an `s` follows it.
pub(crate) fn stem(table: &[&'static str], word: &str) -> Option<(&'static str, bool)> {
    let find = |word| table.iter().copied().find(|&entry| entry == word);
    let bare = find(word).map(|entry| (entry, false));
    bare.or_else(|| Some((find(word.strip_suffix('s')?)?, true)))
}

/// Draws an entry of a nonempty table uniformly.
pub(crate) fn pick<T: Copy, R: Rng + ?Sized>(rng: &mut R, table: &[T]) -> T {
    table[rng.random_range(0..table.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const TABLES: [&[&str]; 8] =
        [&NAMES, &ADJECTIVES, &ANIMALS, &THINGS, &VERBS, &FOODS, &GAINS, &LOSSES];

    #[test]
    fn tables_are_sorted_lowercase_and_short() {
        for table in TABLES {
            assert!(table.is_sorted_by(|a, b| a < b), "{table:?}");
            for word in table {
                assert!(
                    (3..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()),
                    "{word}"
                );
            }
        }
    }

    #[test]
    fn names_differ_in_their_first_letter() {
        let initials: HashSet<_> = NAMES.iter().map(|name| name.as_bytes()[0]).collect();
        assert_eq!(initials.len(), NAMES.len());
        assert!(NAMES.iter().all(|name| name.len() == 3));
    }

    #[test]
    fn a_plain_s_inflects_every_noun_and_verb() {
        for word in [&ANIMALS[..], &THINGS, &VERBS, &FOODS].concat() {
            let ending =
                ["s", "x", "z", "ch", "sh", "f", "fe"].iter().find(|&&end| word.ends_with(end));
            assert_eq!(ending, None, "{word}");
            let consonant_y =
                word.strip_suffix('y').is_some_and(|rest| !rest.ends_with(['a', 'e', 'o', 'u']));
            assert!(!consonant_y, "{word}");
        }
    }

    #[test]
    fn every_word_has_one_reading() {
        for (left, right) in
            [(&ADJECTIVES[..], &ANIMALS[..]), (&ADJECTIVES, &THINGS), (&GAINS, &LOSSES)]
        {
            assert!(left.iter().all(|word| stem(right, word).is_none()));
        }
        for table in [&ANIMALS[..], &THINGS, &VERBS, &FOODS] {
            for &word in table {
                assert_eq!(stem(table, word), Some((word, false)));
                assert_eq!(stem(table, &format!("{word}s")), Some((word, true)));
                assert_eq!(stem(table, &format!("{word}ss")), None);
            }
        }
    }
}
