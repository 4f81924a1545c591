use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::Error;

/// One of several parts of the requests. Parts run independently. The replies of all parts, in their order, are those of
/// one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

impl Default for Shard {
    /// All of them.
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

impl Shard {
    /// The batches of this part, out of so many.
    pub fn batches(self, batches: usize) -> Range<usize> {
        let first = |number: usize| (batches as u128 * number as u128 / self.of as u128) as usize;
        first(self.number - 1)..first(self.number)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Name("expected I/N with I from 1 to N, such as 2/4".to_owned());
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let (number, of) = (number.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        match (1..=of).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_all_batches_once_and_in_order() {
        for (batches, of) in [(10, 3), (2, 5), (0, 2), (7, 1)] {
            let parts = (1..=of).flat_map(|number| Shard { number, of }.batches(batches));
            assert!(parts.eq(0..batches), "{batches} in {of}");
        }
    }

    #[test]
    fn a_shard_is_written_as_a_fraction() {
        assert_eq!("2/4".parse::<Shard>().unwrap().to_string(), "2/4");
        for text in ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
