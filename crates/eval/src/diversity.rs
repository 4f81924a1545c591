use std::collections::{BTreeMap, BTreeSet};

use crate::{Bootstrap, Error, Measured, Share};

/// The share of texts that differ from all earlier ones. Strategies that favour probable tokens repeat texts.
///
/// The share decreases with n. Compare it at equal n.
#[doc(alias = "uniqueness")]
pub fn distinct<T: Ord>(texts: &[T]) -> Share {
    let mut seen = BTreeSet::new();
    let mut share = Share::default();
    texts.iter().for_each(|text| share.count(seen.insert(text)));
    share
}

/// The entropy of the words of all texts, in nats: −Σ f ln f over the frequencies f of the words. A word is a run of letters
/// and digits, or any other single character except space.
///
/// This is a plug-in statistic, whose bias decreases with n. Compare it at equal n. The interval resamples texts.
///
/// # Errors
/// [`Error::Empty`] if there is no text.
pub fn word_entropy<T: AsRef<str>>(texts: &[T], bootstrap: &Bootstrap) -> Result<Measured, Error> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let texts: Vec<Vec<usize>> = texts
        .iter()
        .map(|text| {
            let mut number = |word| {
                let next = numbers.len();
                *numbers.entry(word).or_insert(next)
            };
            words(text.as_ref()).map(&mut number).collect()
        })
        .collect();
    let words = numbers.len();
    bootstrap.recentred().one(&texts, |texts| {
        let mut counts = vec![0_u64; words];
        texts.iter().flatten().for_each(|&word| counts[word] += 1);
        entropy(&counts)
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| !c.is_alphanumeric();
    text.split_inclusive(ends)
        .flat_map(move |part| {
            let (word, mark) = part.split_at(part.trim_end_matches(ends).len());
            [word, mark]
        })
        .filter(|part| !part.trim().is_empty())
}

fn entropy(counts: &[u64]) -> f64 {
    let all = counts.iter().sum::<u64>() as f64;
    let term = |&count: &u64| {
        let share = count as f64 / all;
        if count == 0 { 0.0 } else { -share * share.ln() }
    };
    counts.iter().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_texts_count_once() {
        assert_eq!(distinct(&["a", "b", "a", "a"]), Share { passed: 2, n: 4 });
        assert_eq!(distinct::<&str>(&[]), Share::default());
    }

    #[test]
    fn words_and_punctuation_are_separated() {
        let found: Vec<&str> = words("one hen, two  f(x)").collect();
        assert_eq!(found, ["one", "hen", ",", "two", "f", "(", "x", ")"]);
        assert_eq!(words("Ünïcode… ").collect::<Vec<_>>(), ["Ünïcode", "…"]);
    }

    #[test]
    fn the_entropy_of_equally_frequent_words_is_the_log_of_their_number() {
        let texts = ["a b", "c d", "a b", "c d"];
        let found = word_entropy(&texts, &Bootstrap::new(1)).unwrap();
        assert!((found.value - 4.0_f64.ln()).abs() < 1e-12, "{found}");
        assert!(found.low < found.value && found.value <= found.high && found.n == 4, "{found}");
        let one = word_entropy(&["a a", "a"], &Bootstrap::new(1)).unwrap();
        assert_eq!((one.value, one.low, one.high), (0.0, 0.0, 0.0));
        assert!(matches!(word_entropy::<&str>(&[], &Bootstrap::new(1)), Err(Error::Empty(_))));
    }
}
