//! Rows of which only the top is known: what a model on a device answers, so that a step moves K tokens a
//! row instead of a vocabulary.
//!
//! A top-K row is its K most probable tokens, the mass and entropy of the whole row at the temperatures
//! asked for, and the logits of tokens asked for by id. That is enough for every statistic, for orders and
//! schedules, for filters whose support lies within the top, and for most draws; whatever else is wanted of a
//! row is read off the [whole row](TopKRows::whole), which is fetched for that. So a top-K row is exact: it
//! changes what is moved, never a law.

mod request;
mod rows;
mod top_row;

use ndarray::Array2;

use crate::{DenseRows, Error};

pub use request::TopKRequest;
pub use rows::{TopKArrays, TopKRows};
pub use top_row::TopRow;
pub(crate) use top_row::{TopMemory, divided};

/// Rows as a model answered them.
pub enum Rows {
    /// All logits of every row.
    Dense(DenseRows),
    /// The top of every row, and the whole of it on demand.
    TopK(Box<TopKRows>),
}

impl Rows {
    /// Row `n`'s logits \[V\]; a top-K row is fetched if it has not been yet.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    pub fn logits(&self, n: usize) -> Result<&[f32], Error> {
        match self {
            Self::Dense(beliefs) => Ok(beliefs.logits(n)),
            Self::TopK(condensed) => condensed.whole(n),
        }
    }

    /// All rows as dense logits [N, V]; condensed ones are fetched.
    ///
    /// # Errors
    /// [`Error::Model`] if a row cannot be fetched.
    pub fn into_dense(self) -> Result<DenseRows, Error> {
        let condensed = match self {
            Self::Dense(beliefs) => return Ok(beliefs),
            Self::TopK(condensed) => condensed,
        };
        let (rows, columns) = (condensed.rows(), condensed.vocabulary());
        condensed.fetch(&(0..rows).collect::<Vec<_>>())?;
        let mut logits = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            logits.extend_from_slice(condensed.whole(row)?);
        }
        let logits = Array2::from_shape_vec((rows, columns), logits).map_err(Error::model)?;
        Ok(DenseRows::from_logits(logits))
    }

    /// The top-K rows, if they are that.
    pub fn condensed(&self) -> Option<&TopKRows> {
        match self {
            Self::Dense(_) => None,
            Self::TopK(condensed) => Some(condensed),
        }
    }

    /// Checks the shape against what was asked for.
    ///
    /// # Errors
    /// [`Error::DenseShape`].
    pub fn expect_shape(&self, rows: usize, columns: usize) -> Result<(), Error> {
        let condensed = match self {
            Self::Dense(beliefs) => return beliefs.expect_shape(rows, columns),
            Self::TopK(condensed) => condensed,
        };
        let (got_rows, got_columns) = (condensed.rows(), condensed.vocabulary());
        if (got_rows, got_columns) == (rows, columns) {
            return Ok(());
        }
        Err(Error::DenseShape { got_rows, got_columns, rows, columns })
    }
}

impl From<DenseRows> for Rows {
    fn from(beliefs: DenseRows) -> Self {
        Self::Dense(beliefs)
    }
}

impl From<TopKRows> for Rows {
    fn from(condensed: TopKRows) -> Self {
        Self::TopK(Box::new(condensed))
    }
}
