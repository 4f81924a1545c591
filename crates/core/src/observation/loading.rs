//! Loads rows into an observation: checks them, filters them and computes their statistics.

use super::{Candidate, Observation, Row, RowConfig, RowRef, Scratch, StepInput};
use crate::filter::{FilterRow, Memory};
use crate::row_kernels::Backend;
use crate::top_k_rows::TopRow;
use crate::{Error, RowStats, Stream, row_kernels};

impl<'a> Observation<'a> {
    /// Filters every row of the sequence and computes its statistics. Top-K rows whose top does not suffice
    /// are fetched together.
    pub(crate) fn new(
        input: StepInput<'a>,
        config: &'a RowConfig,
        stream: &'a mut dyn Stream,
        memory: &'a mut Memory,
        scratch: &'a mut Scratch,
    ) -> Result<Self, Error> {
        scratch.rows.clear();
        scratch.reveals.clear();
        scratch.remasks.clear();
        scratch.drafts.clear();
        scratch.window.clear();
        (scratch.keep_open, scratch.kept_by_reviser) = (false, false);
        (scratch.drafted, scratch.narrowed) = (false, false);
        let mut this = Self { input, config, stream, memory, scratch };
        let mut tops = std::mem::take(&mut this.scratch.tops);
        tops.clear();
        tops.extend((0..this.input.rows.len()).map(|row| this.top(Row(row))?.stats()));
        this.fetch(&tops)?;
        let first = this.input.round == 0;
        for (row, top) in tops.iter().enumerate() {
            let position = this.input.rows[row].position;
            let is_new = first && row < this.input.candidates;
            let stats = top.map_or_else(|| this.sweep(Row(row), is_new), Ok)?;
            this.scratch.rows.push(Candidate { position, stats, confidence: stats.p1 });
        }
        this.scratch.tops = tops;
        Ok(this)
    }

    /// Fetches the top-K rows without statistics.
    fn fetch(&self, tops: &[Option<RowStats>]) -> Result<(), Error> {
        let Some(top_k) = self.input.answer.top_k() else { return Ok(()) };
        let rows = self.input.rows.iter().zip(tops).filter(|(_, top)| top.is_none());
        top_k.fetch(&rows.map(|(row_ref, _)| row_ref.row).collect::<Vec<_>>())
    }

    /// The filtered top of a row. `None` if the row is dense, or a filter needs the whole row.
    pub(super) fn top(&mut self, row: Row) -> Option<TopRow<'_>> {
        let RowRef { position, row } = self.place(row);
        let place = (position, self.input.canvas);
        let top_k = self.top_k_rows()?;
        // A row with NaN or +∞ has no finite mass: load it whole to report the token.
        top_k.measured(row, 1.0)?;
        let mut top = TopRow::new(top_k, row, place, &mut self.scratch.top);
        self.config.filter.apply_top(&mut top).then_some(top)
    }

    /// Statistics of a filtered row, computed from the whole row.
    fn sweep(&mut self, row: Row, first: bool) -> Result<RowStats, Error> {
        let position = self.load(row, first)?;
        let (sequence, logits) = (self.input.sequence, &self.scratch.row);
        let stats = Backend::detect().stats(logits).map_err(|token| Error::NonFinite {
            sequence,
            position,
            token,
            value: logits[token],
        })?;
        stats.ok_or(Error::EmptyRow { sequence, position })
    }

    /// Loads a whole row into `scratch.row`, checked and filtered. `first`: it is a candidate's and new in
    /// this step.
    pub(super) fn load(&mut self, row: Row, first: bool) -> Result<usize, Error> {
        let RowRef { position, row } = self.place(row);
        let logits = self.input.answer.logits(row)?;
        let scratch = &mut *self.scratch;
        // Before the filters, because they may hide a NaN or +∞.
        row_kernels::copy_finite(logits, &mut scratch.row).map_err(|token| Error::NonFinite {
            sequence: self.input.sequence,
            position,
            token,
            value: logits[token],
        })?;
        self.config.filter.apply(&mut FilterRow {
            logits: &mut scratch.row,
            position,
            canvas: self.input.canvas,
            scratch: &mut scratch.filter,
            // For filters, a followed branch is a step like any other.
            step: self.input.step + self.input.followed,
            first,
            memory: self.memory,
        });
        Ok(position)
    }
}
