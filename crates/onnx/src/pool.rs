//! The keys, values and hidden states that a session keeps.

use std::sync::Arc;

use conjoint_format::Manifest;
use ort::value::DynValue;

use crate::error::Error;
use crate::row_ops::{RowOps, RowUpdate};
use crate::session::Opener;

/// Rows of keys and values in every layer, and of hidden states. A sequence owns one row for each position.
///
/// Row 0 is never used: padding reads it.
pub(crate) struct Pool {
    /// Keys and values of each layer, [M, kv_heads · d].
    pub keys_values: Vec<Arc<DynValue>>,
    /// [M, D]
    pub hidden: Arc<DynValue>,
    rows: usize,
    /// Rows that no sequence owns. The lowest are taken first.
    free: Vec<usize>,
    /// kv_heads · d, D.
    widths: [usize; 2],
    ops: RowOps,
    update: RowUpdate,
    hidden_update: RowUpdate,
}

impl Pool {
    pub fn new(opener: &Opener, manifest: &Manifest, layers: usize) -> Result<Self, Error> {
        let ops = RowOps::new(opener)?;
        let widths = [manifest.kv_heads * manifest.head_dim, manifest.hidden_size];
        let zeros = |_| ops.zeros(1, widths[0]).map(Arc::new);
        let keys_values = (0..2 * layers).map(zeros).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            hidden: Arc::new(ops.zeros(1, widths[1])?),
            update: RowUpdate::new(opener, keys_values.len())?,
            hidden_update: RowUpdate::new(opener, 1)?,
            keys_values,
            rows: 1,
            free: Vec::new(),
            widths,
            ops,
        })
    }

    /// M.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of one row.
    fn row_bytes(&self) -> u64 {
        let [width, hidden] = self.widths;
        4 * (self.keys_values.len() * width + hidden) as u64
    }

    /// Takes rows for a sequence of this length. Rows are added if there are too few. `check` gets the bytes that
    /// the pool will then have.
    pub fn take(
        &mut self,
        length: usize,
        check: impl FnOnce(u64) -> Result<(), Error>,
    ) -> Result<Vec<usize>, Error> {
        if self.free.len() < length {
            // Half as many again, so that a growing batch copies its rows a few times only.
            let more = (length - self.free.len()).max(self.rows / 2);
            check((self.rows + more) as u64 * self.row_bytes())?;
            let [width, hidden] = self.widths;
            for pool in &mut self.keys_values {
                *pool = Arc::new(self.ops.extend(pool, more, width)?);
            }
            self.hidden = Arc::new(self.ops.extend(&self.hidden, more, hidden)?);
            self.free.extend(self.rows..self.rows + more);
            self.rows += more;
        }
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        Ok(self.free.split_off(self.free.len() - length).into_iter().rev().collect())
    }

    /// Gives rows back.
    pub fn give_back(&mut self, rows: Vec<usize>) {
        self.free.extend(rows);
    }

    /// Overwrites the keys and values of rows.
    pub fn write_keys(&mut self, rows: &[i64], new: &[DynValue]) -> Result<(), Error> {
        self.update.run(&mut self.keys_values, rows, &new.iter().collect::<Vec<_>>())
    }

    /// Overwrites hidden states.
    pub fn write_hidden(&mut self, rows: &[i64], new: &DynValue) -> Result<(), Error> {
        self.hidden_update.run(std::slice::from_mut(&mut self.hidden), rows, &[new])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecutionProvider, OnnxDenoiser, runtime};

    #[test]
    fn rows_have_one_owner_and_are_used_again() {
        runtime::ensure().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut options =
            conjoint_export::ExportOptions::new(conjoint_models::fixture("dream-tiny"));
        options.out = Some(folder.path().to_owned());
        let manifest = conjoint_export::export(&options).unwrap();
        let model = OnnxDenoiser::open(folder.path(), ExecutionProvider::Cpu).unwrap();
        let mut pool = Pool::new(&model.shared().opener, &manifest, manifest.layers).unwrap();
        let fits = |_| Ok(());
        assert_eq!(pool.take(3, fits).unwrap(), [1, 2, 3]);
        assert_eq!(pool.take(2, fits).unwrap(), [4, 5]);
        assert_eq!(pool.rows(), 6);
        pool.give_back(vec![2, 1, 3]);
        assert_eq!(pool.take(2, fits).unwrap(), [1, 2]);
        assert_eq!(pool.rows(), 6);
        // 3 is free, and half as many rows as there are would be too few. 2 layers with keys and values of 16, and a
        // hidden state of 32.
        let mut asked = 0;
        let taken = pool.take(5, |bytes| {
            asked = bytes;
            Ok(())
        });
        assert_eq!(taken.unwrap(), [3, 6, 7, 8, 9]);
        assert_eq!((pool.rows(), asked), (10, 10 * 4 * (2 * 2 * 16 + 32)));
        let error = pool.take(1, |needed| Err(Error::CacheMemory { needed, available: 0 }));
        assert!(matches!(error, Err(Error::CacheMemory { .. })));
        assert_eq!(pool.rows(), 10);
    }
}
