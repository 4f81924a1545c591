//! The token ids that the loop must know of.

use crate::{Error, TokenId};

/// Size of a model's vocabulary and its special ids.
///
/// The mask id is always there; end-of-sequence, padding and beginning-of-sequence may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    size: usize,
    mask: TokenId,
    eos: Option<TokenId>,
    pad: Option<TokenId>,
    bos: Option<TokenId>,
}

impl Vocabulary {
    /// A vocabulary of `size` ids in which `mask` stands for an unknown token.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `mask` is not below `size`, or nothing but the mask is left.
    pub fn new(size: usize, mask: TokenId) -> Result<Self, Error> {
        if size < 2 {
            return Err(Error::parameter(
                "vocabulary size",
                size,
                "at least 2 (a token and the mask)",
            ));
        }
        let vocabulary = Self { size, mask, eos: None, pad: None, bos: None };
        vocabulary.checked("mask id", mask)?;
        Ok(vocabulary)
    }

    /// Sets the id that ends a sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the id is outside the vocabulary, or the mask's.
    pub fn with_eos(mut self, id: TokenId) -> Result<Self, Error> {
        if id == self.mask {
            return Err(Error::parameter("eos id", id, "another id than the mask's"));
        }
        self.eos = Some(self.checked("eos id", id)?);
        Ok(self)
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

    /// The id of an unknown token.
    pub fn mask(&self) -> TokenId {
        self.mask
    }

    /// The id that ends a sequence.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    /// The id that fills unused positions.
    pub fn pad(&self) -> Option<TokenId> {
        self.pad
    }

    /// The id that begins a sequence.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_outside_the_vocabulary_are_refused() {
        assert!(Vocabulary::new(4, 3).is_ok());
        for bad in [Vocabulary::new(4, 4), Vocabulary::new(1, 0)] {
            assert!(matches!(bad, Err(Error::Parameter { .. })));
        }
        let vocabulary = Vocabulary::new(4, 3).unwrap();
        assert!(vocabulary.clone().with_eos(4).is_err());
        assert!(vocabulary.clone().with_eos(3).is_err());
        assert_eq!(vocabulary.with_eos(0).unwrap().eos(), Some(0));
    }
}
