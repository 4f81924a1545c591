use std::cell::OnceCell;

use ndarray::Array2;

use super::TopKRequest;
use crate::{DenseRows, Error, RowStats, TokenId};

/// What a model's top-K head computes of N rows: K tokens of each, and C temperatures.
#[derive(Debug, Clone, PartialEq)]
pub struct TopKArrays {
    /// The K largest logits of each row [N, K], descending.
    pub top: Array2<f32>,
    /// Their tokens [N, K]; among equals the lower id first.
    pub ids: Array2<TokenId>,
    /// Logits of the [tokens asked for](TopKRequest::tokens) [N, M].
    pub asked: Array2<f32>,
    /// Σ e^((l − max) / T) over the whole row, for the [temperatures asked for](TopKRequest::temperatures)
    /// [C, N]: its logarithm and max / T make ln Z. Apart from the maximum float32 holds it best.
    pub mass: Array2<f32>,
    /// The entropy H of softmax(l / T) over the whole row, in nats [C, N].
    pub entropy: Array2<f32>,
}

/// Top-K rows, and a way to get the whole of any.
pub struct TopKRows {
    summary: TopKArrays,
    temperatures: Vec<f32>,
    tokens: Vec<TokenId>,
    vocabulary: usize,
    whole: Vec<OnceCell<Vec<f32>>>,
    source: Box<Source>,
}

/// Answers the whole rows of these numbers, in their order.
type Source = dyn Fn(&[usize]) -> Result<DenseRows, Error> + Send;

impl TopKRows {
    /// Rows over a vocabulary of `vocabulary` tokens; `source` answers the logits [n, V] of the n rows
    /// that it is given the numbers of.
    ///
    /// # Errors
    /// [`Error::TopKShape`] if the summary is not what `wanted` asked for, K is below 2, or an id is
    /// outside the vocabulary.
    pub fn new(
        summary: TopKArrays,
        wanted: &TopKRequest,
        vocabulary: usize,
        source: impl Fn(&[usize]) -> Result<DenseRows, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (rows, k) = summary.top.dim();
        let (temperatures, tokens) = (wanted.temperatures().to_vec(), wanted.tokens().to_vec());
        let measured = (temperatures.len(), rows);
        for (what, got, expected) in [
            ("the top of each row", (rows, k), (rows, k.clamp(2, vocabulary.max(2)))),
            ("ids", summary.ids.dim(), (rows, k)),
            ("logits asked for", summary.asked.dim(), (rows, tokens.len())),
            ("mass", summary.mass.dim(), measured),
            ("entropy", summary.entropy.dim(), measured),
        ] {
            if got != expected {
                return Err(Error::TopKShape { what, got, expected });
            }
        }
        if let Some(&id) = summary.ids.iter().find(|&&id| id as usize >= vocabulary) {
            let (got, expected) = ((rows, id as usize), (rows, vocabulary));
            return Err(Error::TopKShape { what: "ids below the vocabulary", got, expected });
        }
        let whole = (0..rows).map(|_| OnceCell::new()).collect();
        Ok(Self { summary, temperatures, tokens, vocabulary, whole, source: Box::new(source) })
    }

    /// N.
    pub fn rows(&self) -> usize {
        self.whole.len()
    }

    /// V.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The tokens of a row's top, the most probable first, with their logits.
    pub fn top(&self, row: usize) -> impl ExactSizeIterator<Item = (f32, TokenId)> {
        let (top, ids) = (self.summary.top.row(row), self.summary.ids.row(row));
        top.into_iter().copied().zip(ids.into_iter().copied())
    }

    /// A token's logit in a row, if it is known.
    pub fn logit(&self, row: usize, token: TokenId) -> Option<f32> {
        let asked = self.tokens.binary_search(&token).ok();
        let asked = asked.map(|column| self.summary.asked[(row, column)]);
        asked.or_else(|| self.top(row).find(|&(_, id)| id == token).map(|(logit, _)| logit))
    }

    /// A row's mass and entropy at a temperature, if it was asked for.
    pub fn measured(&self, row: usize, temperature: f32) -> Option<(f64, f64)> {
        let at = self.temperatures.iter().position(|&t| t == temperature)?;
        let (mass, entropy) = (self.summary.mass[(at, row)], self.summary.entropy[(at, row)]);
        (mass.is_finite() && entropy.is_finite()).then_some((mass.into(), entropy.into()))
    }

    /// Statistics of a row as the model gave it. `None` if nothing in it is possible, or if it holds NaN
    /// or +∞.
    pub fn stats(&self, row: usize) -> Option<RowStats> {
        let (mass, entropy) = self.measured(row, 1.0)?;
        let mut top = self.top(row);
        let (max, first) = top.next()?;
        let p2 = top.next().map_or(0.0, |(second, _)| f64::from(second - max).exp() / mass);
        let log_z = f64::from(max) + mass.ln();
        Some(RowStats { log_z, entropy: entropy.max(0.0), top: first, p1: 1.0 / mass, p2 })
    }

    /// Fetches those of `rows` that are not here yet, all at once.
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
        let beliefs = (self.source)(&absent)?;
        beliefs.expect_shape(absent.len(), self.vocabulary)?;
        for (n, &row) in absent.iter().enumerate() {
            // It was empty a moment ago.
            let _ = self.whole[row].set(beliefs.logits(n).to_vec());
        }
        Ok(())
    }

    /// All logits \[V\] of a row, fetched if they are not here yet; an empty slice if there is no such
    /// row.
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

    fn summary(rows: usize, k: usize) -> TopKArrays {
        let top = Array2::from_shape_fn((rows, k), |(_, i)| -(i as f32));
        let ids = Array2::from_shape_fn((rows, k), |(_, i)| i as TokenId);
        let one = || Array2::ones((1, rows));
        TopKArrays { top, ids, asked: Array2::zeros((rows, 0)), mass: one(), entropy: one() }
    }

    fn none(_: &[usize]) -> Result<DenseRows, Error> {
        Err(Error::model("nothing is to be fetched"))
    }

    #[test]
    fn summaries_must_be_what_was_asked_for() {
        let wanted = TopKRequest::default();
        assert!(TopKRows::new(summary(3, 2), &wanted, 5, none).is_ok());
        let mut more = wanted.clone();
        more.token(1);
        let cut = TopKArrays { entropy: Array2::ones((1, 2)), ..summary(3, 2) };
        for (bad, wanted, vocabulary, named) in [
            (summary(3, 1), &wanted, 5, "top"),
            (summary(3, 4), &wanted, 3, "top"),
            (summary(3, 2), &more, 5, "asked"),
            (cut, &wanted, 5, "entropy"),
            (
                TopKArrays { ids: Array2::from_elem((3, 2), 5), ..summary(3, 2) },
                &wanted,
                5,
                "below",
            ),
        ] {
            let error = TopKRows::new(bad, wanted, vocabulary, none).err().unwrap().to_string();
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
        let rows = TopKRows::new(summary(3, 2), &TopKRequest::default(), 5, source).unwrap();
        assert_eq!(rows.whole(2).unwrap()[0], 20.0);
        rows.fetch(&[2, 0, 0]).unwrap();
        assert_eq!(rows.whole(0).unwrap()[4], 4.0);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert!(rows.whole(3).unwrap().is_empty());
        let wrong = |_: &[usize]| Ok(DenseRows::from_logits(Array2::zeros((1, 4))));
        let rows = TopKRows::new(summary(1, 2), &TopKRequest::default(), 5, wrong).unwrap();
        assert!(matches!(rows.whole(0), Err(Error::DenseShape { got_columns: 4, .. })));
    }
}
