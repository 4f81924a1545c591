//! The size of a model's vocabulary and its special ids.

use crate::{Error, TokenId, range};

/// The size of a model's vocabulary and its special ids.
///
/// The mask id is required. End-of-sequence, padding and beginning-of-sequence ids are optional. Several ids
/// may end a sequence, such as the end of a text and the end of a turn.
#[doc(alias = "special tokens")]
#[doc(alias = "mask_token_id")]
#[doc(alias = "eos_token_id")]
#[doc(alias = "pad_token_id")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    size: usize,
    mask: TokenId,
    eos: Vec<TokenId>,
    pad: Option<TokenId>,
    bos: Option<TokenId>,
    /// The number of ids, from 0, that have a token.
    assigned: usize,
}

impl Vocabulary {
    /// Creates a vocabulary of `size` ids with this mask id.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `mask` is not below `size`, or `size` is below 2.
    pub fn new(size: usize, mask: TokenId) -> Result<Self, Error> {
        if size < 2 {
            let expected = "an integer of at least 2 (a token and the mask)";
            return Err(Error::parameter("vocabulary size", size, expected));
        }
        let vocabulary = Self { size, mask, eos: Vec::new(), pad: None, bos: None, assigned: size };
        vocabulary.checked("mask id", mask)?;
        Ok(vocabulary)
    }

    /// Adds an id that ends a sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the id is outside the vocabulary, or is the mask id.
    pub fn with_eos(mut self, id: TokenId) -> Result<Self, Error> {
        if id == self.mask {
            return Err(Error::parameter("eos id", id, "an id other than the mask id"));
        }
        let id = self.checked("eos id", id)?;
        if !self.eos.contains(&id) {
            self.eos.push(id);
        }
        Ok(self)
    }

    /// Removes the ids that end a sequence.
    pub fn without_eos(mut self) -> Self {
        self.eos.clear();
        self
    }

    /// Sets the id that fills unused positions.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the id is outside the vocabulary.
    pub fn with_pad(mut self, id: TokenId) -> Result<Self, Error> {
        self.pad = Some(self.checked("pad id", id)?);
        Ok(self)
    }

    /// Sets the id that begins a sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the id is outside the vocabulary.
    pub fn with_bos(mut self, id: TokenId) -> Result<Self, Error> {
        self.bos = Some(self.checked("bos id", id)?);
        Ok(self)
    }

    /// Sets how many ids, counted from 0, have a token.
    ///
    /// Models pad their embedding tables to a round size. Ids beyond the tokens have no meaning, and a
    /// [`Generator`](crate::Generator) bans them by default.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the number exceeds the [size](Self::size), or leaves no token beside the mask.
    pub fn with_assigned(mut self, ids: usize) -> Result<Self, Error> {
        let least = if self.mask == 0 { 2 } else { 1 };
        self.assigned = range::between("ids with a token", ids, least..=self.size)?;
        Ok(self)
    }

    fn checked(&self, name: &'static str, id: TokenId) -> Result<TokenId, Error> {
        if (id as usize) < self.size {
            Ok(id)
        } else {
            Err(Error::parameter(name, id, format!("an id below {}", self.size)))
        }
    }

    /// Number of ids, the width of a row of logits \[V\].
    pub fn size(&self) -> usize {
        self.size
    }

    /// The mask id.
    pub fn mask(&self) -> TokenId {
        self.mask
    }

    /// The id that ends a sequence; the first one if there are several.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos.first().copied()
    }

    /// Every id that ends a sequence, in the order in which they were added.
    pub fn eos_ids(&self) -> &[TokenId] {
        &self.eos
    }

    /// Whether an id ends a sequence.
    pub fn is_eos(&self, id: TokenId) -> bool {
        self.eos.contains(&id)
    }

    /// The id that fills unused positions.
    pub fn pad(&self) -> Option<TokenId> {
        self.pad
    }

    /// The id that begins a sequence.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    /// The ids without a token, except the mask id. They pad the model's embedding table.
    pub fn unassigned(&self) -> impl Iterator<Item = TokenId> + '_ {
        (self.assigned..self.size).map(|id| id as TokenId).filter(|&id| id != self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_outside_the_vocabulary_are_rejected() {
        assert!(Vocabulary::new(4, 3).is_ok());
        for bad in [Vocabulary::new(4, 4), Vocabulary::new(1, 0)] {
            assert!(matches!(bad, Err(Error::Parameter { .. })));
        }
        let vocabulary = Vocabulary::new(4, 3).unwrap();
        assert!(vocabulary.clone().with_eos(4).is_err());
        assert!(vocabulary.clone().with_eos(3).is_err());
        assert_eq!(vocabulary.with_eos(0).unwrap().eos(), Some(0));
    }

    #[test]
    fn several_ids_end_a_sequence() {
        let vocabulary = Vocabulary::new(6, 5).unwrap().with_eos(2).unwrap().with_eos(0).unwrap();
        let vocabulary = vocabulary.with_eos(2).unwrap();
        assert_eq!((vocabulary.eos(), vocabulary.eos_ids()), (Some(2), [2, 0].as_slice()));
        assert!(vocabulary.is_eos(0) && !vocabulary.is_eos(1));
        assert_eq!(vocabulary.without_eos().eos(), None);
    }

    #[test]
    fn ids_beyond_the_tokens_have_none() {
        let ids = |mask: TokenId, assigned: usize| {
            let vocabulary = Vocabulary::new(6, mask).unwrap().with_assigned(assigned)?;
            Ok::<Vec<TokenId>, Error>(vocabulary.unassigned().collect())
        };
        assert_eq!(ids(1, 4).unwrap(), [4, 5]);
        assert_eq!(ids(4, 4).unwrap(), [5], "the mask is a token of its own");
        assert_eq!(ids(1, 6).unwrap(), []);
        for (mask, assigned) in [(1, 7), (1, 0), (0, 1)] {
            assert!(ids(mask, assigned).is_err(), "{mask} {assigned}");
        }
    }
}
