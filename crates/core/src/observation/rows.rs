//! Rows as the model gave them, and after the filters.

use super::{Observation, Row};
use crate::top_k_rows::TopRow;
use crate::{Error, RowStats, TokenId};

impl<'a> Observation<'a> {
    /// The logits \[V\] of a row as the model gave them, before any filter. A top-K row is fetched.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn logits(&self, row: Row) -> Result<&'a [f32], Error> {
        self.seen.answer.logits(self.place(row).row)
    }

    /// Statistics of a row before any filter.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn raw_stats(&self, row: Row) -> Option<RowStats> {
        let shown = self.place(row).row;
        match self.condensed() {
            Some(condensed) => condensed.stats(shown),
            // Rows that are not read by their top were fetched before anybody saw them.
            None => RowStats::of(self.logits(row).ok()?),
        }
    }

    /// The probability of a token in a row before any filter; 0 if the vocabulary has no such token. A top-K row
    /// is fetched if the token is not in its top.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn raw_probability(&self, row: Row, token: TokenId) -> Result<f64, Error> {
        let known = self.condensed();
        let known = known.and_then(|rows| rows.logit(self.place(row).row, token));
        let logit = match known {
            Some(logit) => Some(logit),
            None => self.logits(row)?.get(token as usize).copied(),
        };
        let logit = logit.zip(self.raw_stats(row));
        Ok(logit.map_or(0.0, |(logit, stats)| stats.probability(logit)))
    }

    /// The logits \[V\] of a row after the filters, and the mask id ruled out. A top-K row is fetched.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn filtered(&mut self, row: Row) -> Result<&mut [f32], Error> {
        let position = self.load(row, false)?;
        let (mask, sequence) = (self.seen.canvas.mask(), self.seen.sequence);
        let logits = &mut self.scratch.row;
        rule_out(mask, logits).then_some(()).ok_or(Error::EmptyRow { sequence, position })?;
        Ok(logits)
    }

    /// The probability of a token in a filtered row.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] if the vocabulary has no such token, and those of [`filtered`](Self::filtered).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn probability(&mut self, row: Row, token: TokenId) -> Result<f64, Error> {
        let stats = self.row(row).stats;
        let vocabulary = self.config.vocabulary_size;
        if let Some(top) = self.sufficient_top(row) {
            let entry = top.entries().iter().find(|&&(_, id)| id == token);
            if let Some(&(logit, _)) = entry {
                return Ok(stats.probability(logit));
            }
            if !top.has_rest() && (token as usize) < vocabulary {
                return Ok(0.0);
            }
        }
        self.load(row, false)?;
        Ok(stats.probability(self.loaded_logit(row, token)?))
    }

    /// The logit of a token in the row that is loaded.
    pub(crate) fn loaded_logit(&self, row: Row, token: TokenId) -> Result<f32, Error> {
        let size = self.scratch.row.len();
        self.scratch.row.get(token as usize).copied().ok_or(Error::UnknownToken {
            sequence: self.seen.sequence,
            token,
            position: self.place(row).position,
            size,
        })
    }

    /// The filtered top of a top-K row whose statistics come from it.
    pub(crate) fn sufficient_top(&mut self, row: Row) -> Option<TopRow<'_>> {
        self.top(row).filter(|top| top.stats().is_some())
    }
}

/// Rules the mask id out of a row. False if nothing is left.
pub(crate) fn rule_out(mask: TokenId, logits: &mut [f32]) -> bool {
    if let Some(mask) = logits.get_mut(mask as usize) {
        *mask = f32::NEG_INFINITY;
    }
    logits.iter().any(|&logit| logit > f32::NEG_INFINITY)
}
