use std::cell::OnceCell;

use ndarray::Array2;

use super::TopKRequest;
use crate::{DenseRows, Error, RowStats, TokenId};

/// The arrays of a model's top-K head for N rows: K tokens of each, M requested tokens and C temperatures.
#[derive(Debug, Clone, PartialEq)]
pub struct TopKArrays {
    /// The K largest logits of each row [N, K], descending.
    pub top: Array2<f32>,
    /// Their tokens [N, K]; among equals the lower id first.
    pub ids: Array2<TokenId>,
    /// Logits of the [requested tokens](TopKRequest::tokens) [N, M].
    pub requested: Array2<f32>,
    /// Σ e^((l − max) / T) over the whole row, for the [requested temperatures](TopKRequest::temperatures)
    /// [C, N]. ln Z is its logarithm plus max / T; kept apart from the maximum for precision in float32.
    pub mass: Array2<f32>,
    /// The entropy H of softmax(l / T) over the whole row, in nats [C, N].
    pub entropy: Array2<f32>,
}

/// Top-K rows, with a source of whole rows.
#[doc(alias = "sparse logits")]
pub struct TopKRows {
    arrays: TopKArrays,
    temperatures: Vec<f32>,
    tokens: Vec<TokenId>,
    vocabulary: usize,
    whole: Vec<OnceCell<Vec<f32>>>,
    source: Box<Source>,
}

/// Returns the whole rows of these indices, in their order.
type Source = dyn Fn(&[usize]) -> Result<DenseRows, Error> + Send;

impl TopKRows {
    /// Creates rows over a vocabulary of `vocabulary` tokens. `source` returns the logits [n, V] of n rows,
    /// given their indices.
    ///
    /// # Errors
    /// [`Error::TopKShape`] if an array does not match `request`, or K is below 2. [`Error::TopKToken`] if an id is
    /// outside the vocabulary.
    pub fn new(
        arrays: TopKArrays,
        request: &TopKRequest,
        vocabulary: usize,
        source: impl Fn(&[usize]) -> Result<DenseRows, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (rows, k) = arrays.top.dim();
        let (temperatures, tokens) = (request.temperatures().to_vec(), request.tokens().to_vec());
        let measured = (temperatures.len(), rows);
        for (what, got, expected) in [
            ("the top of each row", (rows, k), (rows, k.clamp(2, vocabulary.max(2)))),
            ("ids", arrays.ids.dim(), (rows, k)),
            ("logits requested", arrays.requested.dim(), (rows, tokens.len())),
            ("mass", arrays.mass.dim(), measured),
            ("entropy", arrays.entropy.dim(), measured),
        ] {
            if got != expected {
                return Err(Error::TopKShape { what, got, expected });
            }
        }
        let mut ids = arrays.ids.indexed_iter();
        if let Some(((row, _), &token)) = ids.find(|&(_, &id)| id as usize >= vocabulary) {
            return Err(Error::TopKToken { row, token, size: vocabulary });
        }
        let whole = (0..rows).map(|_| OnceCell::new()).collect();
        Ok(Self { arrays, temperatures, tokens, vocabulary, whole, source: Box::new(source) })
    }

    /// The number of rows N.
    pub fn rows(&self) -> usize {
        self.whole.len()
    }

    /// The size of the vocabulary V.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The tokens of a row's top with their logits, the most probable first.
    pub fn top(&self, row: usize) -> impl ExactSizeIterator<Item = (f32, TokenId)> {
        let (top, ids) = (self.arrays.top.row(row), self.arrays.ids.row(row));
        top.into_iter().copied().zip(ids.into_iter().copied())
    }

    /// The logit of a token in a row, if it is in the top or was requested.
    pub fn logit(&self, row: usize, token: TokenId) -> Option<f32> {
        let requested = self.tokens.binary_search(&token).ok();
        let requested = requested.map(|column| self.arrays.requested[(row, column)]);
        requested.or_else(|| self.top(row).find(|&(_, id)| id == token).map(|(logit, _)| logit))
    }

    /// The mass and entropy of a row at a temperature, if that was requested.
    pub fn measured(&self, row: usize, temperature: f32) -> Option<(f64, f64)> {
        let at = self.temperatures.iter().position(|&t| t == temperature)?;
        let (mass, entropy) = (self.arrays.mass[(at, row)], self.arrays.entropy[(at, row)]);
        (mass.is_finite() && entropy.is_finite()).then_some((mass.into(), entropy.into()))
    }

    /// The statistics of a row before any filter. `None` if no token is possible, or if the row holds NaN or
    /// +∞.
    pub fn stats(&self, row: usize) -> Option<RowStats> {
        let (mass, entropy) = self.measured(row, 1.0)?;
        let mut top = self.top(row);
        let (max, first) = top.next()?;
        let p2 = top.next().map_or(0.0, |(second, _)| f64::from(second - max).exp() / mass);
        let log_z = f64::from(max) + mass.ln();
        Some(RowStats { log_z, entropy: entropy.max(0.0), top: first, p1: 1.0 / mass, p2 })
    }

    /// Fetches the rows that were not fetched yet, in one call of the source.
    ///
    /// # Errors
    /// Those of the source, and [`Error::DenseShape`].
    pub fn fetch(&self, rows: &[usize]) -> Result<(), Error> {
        let absent = |row: &usize| self.whole.get(*row).is_some_and(|cell| cell.get().is_none());
        let mut absent: Vec<usize> = rows.iter().copied().filter(absent).collect();
        absent.sort_unstable();
        absent.dedup();
        if absent.is_empty() {
            return Ok(());
        }
        let dense = (self.source)(&absent)?;
        dense.expect_shape(absent.len(), self.vocabulary)?;
        for (n, &row) in absent.iter().enumerate() {
            // Each cell in `absent` is empty.
            let _ = self.whole[row].set(dense.logits(n).to_vec());
        }
        Ok(())
    }

    /// All logits \[V\] of a row, fetched unless it was already; an empty slice if there is no such row.
    ///
    /// # Errors
    /// Those of [`fetch`](Self::fetch).
    pub fn whole(&self, row: usize) -> Result<&[f32], Error> {
        self.fetch(&[row])?;
        Ok(self.whole.get(row).and_then(OnceCell::get).map_or(&[], Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn arrays(rows: usize, k: usize) -> TopKArrays {
        let top = Array2::from_shape_fn((rows, k), |(_, i)| -(i as f32));
        let ids = Array2::from_shape_fn((rows, k), |(_, i)| i as TokenId);
        let one = || Array2::ones((1, rows));
        TopKArrays { top, ids, requested: Array2::zeros((rows, 0)), mass: one(), entropy: one() }
    }

    fn no_source(_: &[usize]) -> Result<DenseRows, Error> {
        Err(Error::model("fetched"))
    }

    #[test]
    fn array_shapes_must_match_the_request() {
        let request = TopKRequest::default();
        assert!(TopKRows::new(arrays(3, 2), &request, 5, no_source).is_ok());
        let mut more = request.clone();
        more.require_token(1);
        let cut = TopKArrays { entropy: Array2::ones((1, 2)), ..arrays(3, 2) };
        for (bad, request, vocabulary, named) in [
            (arrays(3, 1), &request, 5, "top"),
            (arrays(3, 4), &request, 3, "top"),
            (arrays(3, 2), &more, 5, "requested"),
            (cut, &request, 5, "entropy"),
            (
                TopKArrays { ids: Array2::from_elem((3, 2), 5), ..arrays(3, 2) },
                &request,
                5,
                "token id 5 in row 0",
            ),
        ] {
            let error =
                TopKRows::new(bad, request, vocabulary, no_source).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_row_is_fetched_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let source = move |rows: &[usize]| {
            counted.fetch_add(1, Ordering::Relaxed);
            let logit = |(n, v)| (10 * rows[n] + v) as f32;
            Ok(DenseRows::from_logits(Array2::from_shape_fn((rows.len(), 5), logit)))
        };
        let rows = TopKRows::new(arrays(3, 2), &TopKRequest::default(), 5, source).unwrap();
        assert_eq!(rows.whole(2).unwrap()[0], 20.0);
        rows.fetch(&[2, 0, 0]).unwrap();
        assert_eq!(rows.whole(0).unwrap()[4], 4.0);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert!(rows.whole(3).unwrap().is_empty());
        let wrong = |_: &[usize]| Ok(DenseRows::from_logits(Array2::zeros((1, 4))));
        let rows = TopKRows::new(arrays(1, 2), &TopKRequest::default(), 5, wrong).unwrap();
        assert!(matches!(rows.whole(0), Err(Error::DenseShape { got_columns: 4, .. })));
    }
}
