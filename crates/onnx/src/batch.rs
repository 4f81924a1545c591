//! Batches of sequences, padded to one length.

use conjoint_core::{Canvas, RowId, TokenId, Vocabulary};
use ort::value::{DynValue, Tensor};

use crate::error::Error;

/// A batch padded on the right to `length`: B sequences, T positions.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Token ids [B · T], padding included.
    ids: Vec<i64>,
    /// True for tokens, false for padding [B · T].
    valid: Vec<bool>,
    /// Length of each sequence [B].
    lengths: Vec<usize>,
    /// T.
    length: usize,
}

impl Batch {
    /// Pads to the longest canvas, or to `least` if that is longer.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] and [`Error::UnknownToken`].
    pub fn new(canvases: &[&Canvas], least: usize, vocabulary: &Vocabulary) -> Result<Self, Error> {
        let sequences: Vec<&[TokenId]> = canvases.iter().map(|canvas| canvas.tokens()).collect();
        Self::padded(&sequences, least, vocabulary)
    }

    /// Pads to the longest sequence, or to `least` if that is longer.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] if there is no sequence or an empty one, and [`Error::UnknownToken`].
    pub fn padded(
        sequences: &[&[TokenId]],
        least: usize,
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
        if lengths.contains(&0) {
            return Err(Error::EmptyBatch);
        }
        let length = lengths.iter().copied().max().ok_or(Error::EmptyBatch)?.max(least);
        let pad = i64::from(vocabulary.pad().unwrap_or(0));
        let mut ids = vec![pad; sequences.len() * length];
        let mut valid = vec![false; ids.len()];
        for (i, sequence) in sequences.iter().enumerate() {
            let start = i * length;
            valid[start..start + sequence.len()].fill(true);
            for (id, &token) in ids[start..].iter_mut().zip(*sequence) {
                *id = token.into();
            }
        }
        Self { ids, valid, lengths, length }.checked(vocabulary.size())
    }

    /// A batch of sequences of the same `length`, one after the other in `ids`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::EmptyBatch`] and [`Error::UnknownToken`].
    pub fn rectangular(
        ids: &[i64],
        batch: usize,
        length: usize,
        size: usize,
    ) -> Result<Self, Error> {
        if batch == 0 || length == 0 {
            return Err(Error::EmptyBatch);
        }
        if batch.checked_mul(length) != Some(ids.len()) {
            let (got, expected) = (vec![ids.len()], vec![batch, length]);
            return Err(Error::Shape { what: "ids", got, expected });
        }
        let (valid, lengths) = (vec![true; ids.len()], vec![length; batch]);
        Self { ids: ids.to_vec(), valid, lengths, length }.checked(size)
    }

    /// Checks that all ids are in the vocabulary. Not every device does when it looks them up.
    fn checked(self, size: usize) -> Result<Self, Error> {
        let known = |&id: &i64| usize::try_from(id).is_ok_and(|id| id < size);
        match self.ids.iter().copied().find(|id| !known(id)) {
            None => Ok(self),
            Some(token) => Err(Error::UnknownToken { token, size }),
        }
    }

    /// B, T.
    pub fn shape(&self) -> [usize; 2] {
        [self.lengths.len(), self.length]
    }

    /// Length of each sequence [B].
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Indices [N] of `rows` in the flattened batch [B · T].
    ///
    /// # Errors
    /// [`Error::NoSuchRow`].
    pub fn flat(&self, rows: &[RowId]) -> Result<Vec<i64>, Error> {
        let sequences = self.lengths.len();
        let flat = |&RowId { sequence, position }: &RowId| match self.lengths.get(sequence) {
            Some(&length) if position < length => Ok((sequence * self.length + position) as i64),
            length => {
                Err(Error::NoSuchRow { sequence, position, sequences, length: length.copied() })
            }
        };
        rows.iter().map(flat).collect()
    }

    /// The distinct ids \[U\], the index of each token among them [B, T], and `key_mask` [B, T].
    pub fn into_distinct(self) -> ort::Result<(DynValue, DynValue, DynValue)> {
        let shape = self.shape();
        let (words, which) = distinct(self.ids);
        let words = Tensor::from_array(([words.len()], words))?;
        let which = Tensor::from_array((shape, which))?;
        let valid = Tensor::from_array((shape, self.valid))?;
        Ok((words.into_dyn(), which.into_dyn(), valid.into_dyn()))
    }

    /// `input_ids` and `key_mask`, both [B, T].
    pub fn into_tensors(self) -> ort::Result<(DynValue, DynValue)> {
        let shape = self.shape();
        let ids = Tensor::from_array((shape, self.ids))?;
        Ok((ids.into_dyn(), Tensor::from_array((shape, self.valid))?.into_dyn()))
    }
}

/// The distinct ids in ascending order, and the index of each id among them.
pub(crate) fn distinct(ids: Vec<i64>) -> (Vec<i64>, Vec<i64>) {
    let mut words = ids.clone();
    words.sort_unstable();
    words.dedup();
    let index = |id: i64| words.binary_search(&id).unwrap_or(0) as i64;
    let which = ids.into_iter().map(index).collect();
    (words, which)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_on_the_right() {
        let words = Vocabulary::new(10, 9).unwrap().with_pad(7).unwrap();
        let (long, short) = (Canvas::new(&[1], 2, 9).unwrap(), Canvas::new(&[2], 1, 9).unwrap());
        let batch = Batch::new(&[&long, &short], 4, &words).unwrap();
        assert_eq!(batch.ids, [1, 9, 9, 7, 2, 9, 7, 7]);
        let valid = [true, true, true, false, true, true, false, false];
        assert_eq!(batch.valid, valid);
        let rows = [(0, 1), (1, 0), (1, 1)];
        let rows = rows.map(|(sequence, position)| RowId { sequence, position });
        assert_eq!(batch.flat(&rows).unwrap(), [1, 4, 5]);
    }

    #[test]
    fn missing_rows_and_unknown_tokens_are_reported() {
        let words = Vocabulary::new(10, 9).unwrap();
        let canvas = Canvas::new(&[1], 1, 9).unwrap();
        let batch = Batch::new(&[&canvas], 5, &words).unwrap();
        for (sequence, position) in [(0, 2), (1, 0), (usize::MAX, usize::MAX)] {
            let row = RowId { sequence, position };
            let error = batch.flat(&[row]).unwrap_err();
            assert!(matches!(error, Error::NoSuchRow { .. }), "{error}");
        }
        assert!(matches!(Batch::new(&[], 3, &words), Err(Error::EmptyBatch)));
        assert!(matches!(Batch::padded(&[&[1], &[]], 3, &words), Err(Error::EmptyBatch)));
        let foreign = Canvas::new(&[1, 12], 1, 9).unwrap();
        let error = Batch::new(&[&canvas, &foreign], 0, &words).unwrap_err();
        assert!(matches!(error, Error::UnknownToken { token: 12, size: 10 }), "{error}");
    }

    #[test]
    fn indices_recover_the_ids() {
        let ids = vec![9, 3, 9, 0, 3, 9];
        let (words, which) = distinct(ids.clone());
        assert_eq!((words.as_slice(), which.as_slice()), (&[0, 3, 9][..], &[2, 1, 2, 0, 1, 2][..]));
        let back: Vec<i64> = which.iter().map(|&number| words[number as usize]).collect();
        assert_eq!(back, ids);
        assert_eq!(distinct(vec![]), (vec![], vec![]));
    }

    #[test]
    fn the_number_of_ids_must_match() {
        assert!(Batch::rectangular(&[1, 2, 3, 4], 2, 2, 5).is_ok());
        for (batch, length) in [(2, 3), (usize::MAX, 2)] {
            let error = Batch::rectangular(&[1, 2, 3, 4], batch, length, 5).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{error}");
        }
        let negative = Batch::rectangular(&[-1], 1, 1, 5);
        assert!(matches!(negative, Err(Error::UnknownToken { token: -1, .. })));
        assert!(matches!(Batch::rectangular(&[], 0, 3, 5), Err(Error::EmptyBatch)));
    }
}
