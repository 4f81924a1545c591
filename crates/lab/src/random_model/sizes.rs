use std::str::FromStr;

use crate::Error;

/// The sizes of a decoder, parsed from D,LAYERS,FFN,HEADS,KV,VOCAB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// D: the width of a hidden state.
    pub hidden: usize,
    /// The number of decoder layers.
    pub layers: usize,
    /// The inner width of a feed-forward block.
    pub ffn: usize,
    /// The number of query heads.
    pub heads: usize,
    /// The number of key and value heads.
    pub kv_heads: usize,
    /// V: the size of the vocabulary.
    pub vocabulary: usize,
}

/// The largest number of elements of a matrix. It takes 4 GiB of memory while it is written.
const LARGEST: usize = 1 << 30;

impl FromStr for Sizes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers: Option<Vec<usize>> = text.split(',').map(|part| part.parse().ok()).collect();
        let Some(&[hidden, layers, ffn, heads, kv_heads, vocabulary]) = numbers.as_deref() else {
            return Err(Error::Name(
                "expected six numbers, D,LAYERS,FFN,HEADS,KV,VOCAB".to_owned(),
            ));
        };
        let expect = |holds: bool, what: &str| match holds {
            true => Ok(()),
            false => Err(Error::Name(what.to_owned())),
        };
        expect((1..=1024).contains(&layers), "expected 1 to 1024 LAYERS")?;
        expect(hidden > 0 && ffn > 0, "expected a D and an FFN of at least 1")?;
        expect(vocabulary >= 3, "expected a VOCAB of at least 3: a word, the end and the mask")?;
        expect(heads > 0 && hidden.is_multiple_of(heads), "expected HEADS that divide D")?;
        expect(kv_heads > 0 && heads.is_multiple_of(kv_heads), "expected KV that divides HEADS")?;
        expect((hidden / heads).is_multiple_of(2), "expected heads of an even width D / HEADS")?;
        let largest = vocabulary.max(ffn).checked_mul(hidden);
        let square = hidden.checked_mul(hidden).and_then(|square| square.checked_mul(2));
        let fits = |numbers: Option<usize>| numbers.is_some_and(|numbers| numbers <= LARGEST);
        expect(fits(largest) && fits(square), "expected matrices of at most 2^30 numbers")?;
        Ok(Self { hidden, layers, ffn, heads, kv_heads, vocabulary })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_six_numbers() {
        let sizes: Sizes = "3584,1,18944,28,4,152064".parse().unwrap();
        let Sizes { hidden, layers, ffn, heads, kv_heads, vocabulary } = sizes;
        assert_eq!([hidden, layers, ffn], [3584, 1, 18944]);
        assert_eq!([heads, kv_heads, vocabulary], [28, 4, 152_064]);
    }

    #[test]
    fn invalid_sizes_are_rejected_with_the_reason() {
        for (text, expected) in [
            ("512,12,1408,8,2", "six numbers"),
            ("512,12,1408,8,2,32768,1", "six numbers"),
            ("512,12,1408,8,2,-1", "six numbers"),
            ("0,1,8,1,1,8", "at least 1"),
            ("16,1,0,2,1,8", "at least 1"),
            ("16,0,8,2,1,8", "LAYERS"),
            ("16,1,8,3,1,8", "divide D"),
            ("16,1,8,0,1,8", "divide D"),
            ("16,1,8,4,3,8", "divides HEADS"),
            ("12,1,8,4,2,8", "even width"),
            ("16,1,8,2,1,2", "VOCAB"),
            ("65536,1,8,2,1,8", "2^30"),
            ("16,1,8,2,1,18446744073709551615", "2^30"),
        ] {
            let error = text.parse::<Sizes>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
