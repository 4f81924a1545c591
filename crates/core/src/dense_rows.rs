//! Logits of the model, one row for each requested position.

use ndarray::{Array2, ArrayView1};

use crate::Error;

/// Identifies a row: one position of one sequence of a batch.
///
/// Requests list rows in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    /// Index of the sequence in the batch.
    pub sequence: usize,
    /// Position in that sequence.
    pub position: usize,
}

/// Logits [N, V], one row for each requested position, in the request's order.
#[doc(alias = "logits")]
#[derive(Debug, Clone, PartialEq)]
pub struct DenseRows {
    logits: Array2<f32>,
}

impl DenseRows {
    /// Creates rows from a model's logits [N, V]. −∞ is probability 0.
    pub fn from_logits(logits: Array2<f32>) -> Self {
        // Rows are read as slices, so they must be contiguous.
        let logits = if logits.is_standard_layout() {
            logits
        } else {
            logits.as_standard_layout().into_owned()
        };
        Self { logits }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.logits.nrows()
    }

    /// Returns the logits \[V\] of row `n`, or an empty slice if there is no such row.
    pub fn logits(&self, n: usize) -> &[f32] {
        let row: Option<ArrayView1<'_, f32>> = (n < self.rows()).then(|| self.logits.row(n));
        row.and_then(|row| row.to_slice()).unwrap_or(&[])
    }

    /// Checks the shape against the requested one.
    ///
    /// # Errors
    /// [`Error::DenseShape`].
    pub fn expect_shape(&self, rows: usize, columns: usize) -> Result<(), Error> {
        let (got_rows, got_columns) = self.logits.dim();
        if (got_rows, got_columns) == (rows, columns) || (rows == 0 && got_rows == 0) {
            Ok(())
        } else {
            Err(Error::DenseShape { got_rows, got_columns, rows, columns })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_row_is_empty() {
        let rows = DenseRows::from_logits(Array2::zeros((1, 3)));
        assert_eq!(rows.logits(0).len(), 3);
        assert!(rows.logits(1).is_empty());
        assert!(matches!(rows.expect_shape(2, 3), Err(Error::DenseShape { .. })));
    }

    #[test]
    fn transposed_logits_keep_their_rows() {
        let logits = Array2::from_shape_vec((2, 3), vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let rows = DenseRows::from_logits(logits.reversed_axes());
        assert_eq!(rows.logits(1), [1.0, 4.0]);
    }
}
