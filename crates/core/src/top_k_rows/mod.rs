//! Rows reduced to their K most probable tokens.
//!
//! A model on a device returns them to copy K logits of a row to the host instead of the whole vocabulary.
//!
//! A top-K row has the K most probable tokens, the mass and entropy of the whole row at the requested
//! temperatures, and the logits of requested tokens. That suffices for all statistics, for orders and
//! schedules, for filters whose support lies within the top, and for most draws. Everything else reads the
//! [whole row](TopKRows::whole), which is fetched on demand. So top-K rows are exact: they change how much
//! data is copied, not the law that is sampled.

mod request;
mod rows;
mod top_row;

use ndarray::Array2;

use crate::{DenseRows, Error};

pub use request::TopKRequest;
pub use rows::{TopKArrays, TopKRows};
pub use top_row::TopRow;
pub(crate) use top_row::{TopMemory, divided};

/// The rows that a model returns.
#[non_exhaustive]
pub enum Rows {
    /// All logits of every row.
    Dense(DenseRows),
    /// The top of every row, and whole rows on demand.
    TopK(Box<TopKRows>),
}

impl Rows {
    /// Returns the logits \[V\] of row `n`. A top-K row is fetched unless it was already.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    pub fn logits(&self, n: usize) -> Result<&[f32], Error> {
        match self {
            Self::Dense(dense) => Ok(dense.logits(n)),
            Self::TopK(top_k) => top_k.whole(n),
        }
    }

    /// Converts all rows to dense logits [N, V]. Top-K rows are fetched.
    ///
    /// # Errors
    /// [`Error::Model`] if a row cannot be fetched.
    pub fn into_dense(self) -> Result<DenseRows, Error> {
        let top_k = match self {
            Self::Dense(dense) => return Ok(dense),
            Self::TopK(top_k) => top_k,
        };
        let (rows, columns) = (top_k.rows(), top_k.vocabulary());
        top_k.fetch(&(0..rows).collect::<Vec<_>>())?;
        let mut logits = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            logits.extend_from_slice(top_k.whole(row)?);
        }
        let logits = Array2::from_shape_vec((rows, columns), logits).map_err(Error::model)?;
        Ok(DenseRows::from_logits(logits))
    }

    /// The top-K rows; `None` if the rows are dense.
    pub fn top_k(&self) -> Option<&TopKRows> {
        match self {
            Self::Dense(_) => None,
            Self::TopK(top_k) => Some(top_k),
        }
    }

    /// Checks the shape against the requested one.
    ///
    /// # Errors
    /// [`Error::DenseShape`].
    pub fn expect_shape(&self, rows: usize, columns: usize) -> Result<(), Error> {
        let top_k = match self {
            Self::Dense(dense) => return dense.expect_shape(rows, columns),
            Self::TopK(top_k) => top_k,
        };
        let (got_rows, got_columns) = (top_k.rows(), top_k.vocabulary());
        if (got_rows, got_columns) == (rows, columns) {
            return Ok(());
        }
        Err(Error::DenseShape { got_rows, got_columns, rows, columns })
    }
}

impl From<DenseRows> for Rows {
    fn from(rows: DenseRows) -> Self {
        Self::Dense(rows)
    }
}

impl From<TopKRows> for Rows {
    fn from(rows: TopKRows) -> Self {
        Self::TopK(Box::new(rows))
    }
}
