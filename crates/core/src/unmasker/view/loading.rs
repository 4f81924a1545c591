//! Rows on their way into the view: checked, filtered and swept, whole or by their top.

use super::{Candidate, Shown, Sight, View, Work};
use crate::condensed::TopRow;
use crate::filter::FilterRow;
use crate::sweep::Backend;
use crate::unmasker::view::Parts;
use crate::{Error, RowStats, Stream, sweep};

impl<'a> View<'a> {
    /// Filters and sweeps every row of the sequence. Condensed rows whose top does not tell enough are fetched, all at
    /// once.
    pub(crate) fn new(
        sight: Sight<'a>,
        parts: &'a Parts,
        stream: &'a mut dyn Stream,
        work: &'a mut Work,
    ) -> Result<Self, Error> {
        work.rows.clear();
        work.ranked.clear();
        work.reveals.clear();
        work.remasks.clear();
        work.window.clear();
        let mut view = Self { sight, parts, stream, work };
        let mut tops = std::mem::take(&mut view.work.tops);
        tops.clear();
        tops.extend((0..view.sight.rows.len()).map(|row| view.top(row)?.stats()));
        view.fetch(&tops)?;
        for (row, top) in tops.iter().enumerate() {
            let position = view.sight.rows[row].position;
            let stats = top.map_or_else(|| view.sweep(row), Ok)?;
            view.work.rows.push(Candidate { position, stats, confidence: stats.p1 });
        }
        view.work.tops = tops;
        Ok(view)
    }

    /// Fetches the condensed rows of which there are no statistics.
    fn fetch(&self, tops: &[Option<RowStats>]) -> Result<(), Error> {
        let Some(condensed) = self.sight.answer.condensed() else { return Ok(()) };
        let rows = self.sight.rows.iter().zip(tops).filter(|(_, top)| top.is_none());
        condensed.fetch(&rows.map(|(shown, _)| shown.row).collect::<Vec<_>>())
    }

    /// The filtered top of a row. `None` if the row is dense, or a filter needs the whole of it.
    pub(super) fn top(&mut self, row: usize) -> Option<TopRow<'_>> {
        let Shown { position, row } = self.sight.rows[row];
        let place = (position, self.sight.canvas);
        let condensed = self.condensed()?;
        // Of a row with NaN or +∞ nothing can be measured.
        condensed.measured(row, 1.0)?;
        let mut top = TopRow::new(condensed, row, place, &mut self.work.top);
        self.parts.filter.apply_top(&mut top).then_some(top)
    }

    /// Statistics of a filtered row, read off the whole of it.
    fn sweep(&mut self, row: usize) -> Result<RowStats, Error> {
        let position = self.load(row)?;
        let (sequence, logits) = (self.sight.sequence, &self.work.row);
        let stats = Backend::detect().stats(logits).map_err(|token| Error::NonFinite {
            sequence,
            position,
            token,
            value: logits[token],
        })?;
        stats.ok_or(Error::EmptyRow { sequence, position })
    }

    /// Brings a whole row, checked and filtered, into `work.row`.
    pub(super) fn load(&mut self, row: usize) -> Result<usize, Error> {
        let Shown { position, row } = self.sight.rows[row];
        let logits = self.sight.answer.logits(row)?;
        let work = &mut *self.work;
        // Before the filters, as they may hide what is wrong with a row.
        sweep::copy_finite(logits, &mut work.row).map_err(|token| Error::NonFinite {
            sequence: self.sight.sequence,
            position,
            token,
            value: logits[token],
        })?;
        self.parts.filter.apply(&mut FilterRow {
            logits: &mut work.row,
            position,
            canvas: self.sight.canvas,
            scratch: &mut work.scratch,
        });
        Ok(position)
    }
}
