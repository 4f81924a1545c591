//! Access to rows before and after the filters.

use super::{Observation, Row};
use crate::top_k_rows::TopRow;
use crate::{Error, RowStats, TokenId, row_kernels};

impl<'a> Observation<'a> {
    /// Returns the logits \[V\] of a row before any filter. A top-K row is fetched.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn logits(&self, row: Row) -> Result<&'a [f32], Error> {
        self.input.answer.logits(self.place(row).row)
    }

    /// Returns the statistics of a row before any filter; `None` if no token is possible.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn raw_stats(&self, row: Row) -> Option<RowStats> {
        let index = self.place(row).row;
        match self.top_k_rows() {
            Some(top_k) => top_k.stats(index),
            // Rows that are not read by their top were fetched when the observation was made.
            None => RowStats::of(self.logits(row).ok()?),
        }
    }

    /// Returns the probability of a token in a row before any filter; 0 if the vocabulary has no such token.
    /// A top-K row is fetched if its top does not hold the token.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn raw_probability(&self, row: Row, token: TokenId) -> Result<f64, Error> {
        let known = self.top_k_rows();
        let known = known.and_then(|rows| rows.logit(self.place(row).row, token));
        let logit = match known {
            Some(logit) => Some(logit),
            None => self.logits(row)?.get(token as usize).copied(),
        };
        let logit = logit.zip(self.raw_stats(row));
        Ok(logit.map_or(0.0, |(logit, stats)| stats.probability(logit)))
    }

    /// Returns the logits \[V\] of a row after the filters, with the mask id ruled out. A top-K row is
    /// fetched.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn filtered(&mut self, row: Row) -> Result<&mut [f32], Error> {
        let position = self.load(row, false)?;
        let (mask, sequence) = (self.input.canvas.mask(), self.input.sequence);
        let logits = &mut self.scratch.row;
        rule_out(mask, logits).then_some(()).ok_or(Error::EmptyRow { sequence, position })?;
        Ok(logits)
    }

    /// Returns the probability of a token in a filtered row.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] if the vocabulary has no such token, and those of
    /// [`filtered`](Self::filtered).
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

    /// Returns the most probable token of a filtered row; the smallest id among equals.
    ///
    /// # Errors
    /// Those of [`filtered`](Self::filtered).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn most_probable(&mut self, row: Row) -> Result<TokenId, Error> {
        let mask = self.input.canvas.mask();
        if let Some(mut top) = self.sufficient_top(row)
            && top.rule_out(mask)
            && let Some(&(_, token)) = top.entries().first()
        {
            return Ok(token);
        }
        Ok(row_kernels::argmax(self.filtered(row)?) as TokenId)
    }

    /// The logit of a token in the loaded row.
    pub(crate) fn loaded_logit(&self, row: Row, token: TokenId) -> Result<f32, Error> {
        let size = self.scratch.row.len();
        self.scratch.row.get(token as usize).copied().ok_or(Error::UnknownToken {
            sequence: self.input.sequence,
            token,
            position: self.place(row).position,
            size,
        })
    }

    /// The filtered top of a top-K row, if it suffices for the statistics.
    pub(crate) fn sufficient_top(&mut self, row: Row) -> Option<TopRow<'_>> {
        self.top(row).filter(|top| top.stats().is_some())
    }
}

/// Rules the mask id out of a row. False if no token is left.
pub(crate) fn rule_out(mask: TokenId, logits: &mut [f32]) -> bool {
    if let Some(mask) = logits.get_mut(mask as usize) {
        *mask = f32::NEG_INFINITY;
    }
    logits.iter().any(|&logit| logit > f32::NEG_INFINITY)
}
