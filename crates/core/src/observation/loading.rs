//! Rows on their way into an observation: checked, filtered and swept, whole or by their top.

use super::{Candidate, Observation, Row, RowConfig, RowRef, Scratch, Seen};
use crate::filter::{FilterRow, Memory};
use crate::row_kernels::Backend;
use crate::top_k_rows::TopRow;
use crate::{Error, RowStats, Stream, row_kernels};

impl<'a> Observation<'a> {
    /// Filters and sweeps every row of the sequence. Top-K rows whose top does not suffice are fetched, all at
    /// once.
    pub(crate) fn new(
        seen: Seen<'a>,
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
        let mut this = Self { seen, config, stream, memory, scratch };
        let mut tops = std::mem::take(&mut this.scratch.tops);
        tops.clear();
        tops.extend((0..this.seen.rows.len()).map(|row| this.top(Row(row))?.stats()));
        this.fetch(&tops)?;
        let first = this.seen.round == 0;
        for (row, top) in tops.iter().enumerate() {
            let position = this.seen.rows[row].position;
            let is_new = first && row < this.seen.candidates;
            let stats = top.map_or_else(|| this.sweep(Row(row), is_new), Ok)?;
            this.scratch.rows.push(Candidate { position, stats, confidence: stats.p1 });
        }
        this.scratch.tops = tops;
        Ok(this)
    }

    /// Fetches the top-K rows of which there are no statistics.
    fn fetch(&self, tops: &[Option<RowStats>]) -> Result<(), Error> {
        let Some(condensed) = self.seen.answer.condensed() else { return Ok(()) };
        let rows = self.seen.rows.iter().zip(tops).filter(|(_, top)| top.is_none());
        condensed.fetch(&rows.map(|(shown, _)| shown.row).collect::<Vec<_>>())
    }

    /// The filtered top of a row. `None` if the row is dense, or a filter needs the whole of it.
    pub(super) fn top(&mut self, row: Row) -> Option<TopRow<'_>> {
        let RowRef { position, row } = self.place(row);
        let place = (position, self.seen.canvas);
        let condensed = self.condensed()?;
        // Of a row with NaN or +∞ nothing can be measured.
        condensed.measured(row, 1.0)?;
        let mut top = TopRow::new(condensed, row, place, &mut self.scratch.top);
        self.config.filter.apply_top(&mut top).then_some(top)
    }

    /// Statistics of a filtered row, read off the whole of it.
    fn sweep(&mut self, row: Row, first: bool) -> Result<RowStats, Error> {
        let position = self.load(row, first)?;
        let (sequence, logits) = (self.seen.sequence, &self.scratch.row);
        let stats = Backend::detect().stats(logits).map_err(|token| Error::NonFinite {
            sequence,
            position,
            token,
            value: logits[token],
        })?;
        stats.ok_or(Error::EmptyRow { sequence, position })
    }

    /// Brings a whole row, checked and filtered, into `scratch.row`. `first` says that it is a candidate's and new in this step.
    pub(super) fn load(&mut self, row: Row, first: bool) -> Result<usize, Error> {
        let RowRef { position, row } = self.place(row);
        let logits = self.seen.answer.logits(row)?;
        let scratch = &mut *self.scratch;
        // Before the filters, as they may hide what is wrong with a row.
        row_kernels::copy_finite(logits, &mut scratch.row).map_err(|token| Error::NonFinite {
            sequence: self.seen.sequence,
            position,
            token,
            value: logits[token],
        })?;
        self.config.filter.apply(&mut FilterRow {
            logits: &mut scratch.row,
            position,
            canvas: self.seen.canvas,
            scratch: &mut scratch.filter,
            // A branch that is followed is a forward less, and no step of filters less.
            step: self.seen.step + self.seen.followed,
            first,
            memory: self.memory,
        });
        Ok(position)
    }
}
