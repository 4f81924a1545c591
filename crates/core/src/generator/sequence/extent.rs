//! Which positions are worked on: from block to block, and up to the end of the sequence.

use super::{Held, Sequence};
use crate::generator::config::Config;
use crate::generator::output::FinishReason;
use crate::schedule::Progress;
use crate::{Canvas, Observer};

impl Sequence {
    /// Opens the next block once this one is full and not held, or known well enough, and so on.
    pub(super) fn open_blocks(&mut self) {
        while self.has_next() {
            let open = self.canvas.block();
            let next = open.end + self.block_length;
            if self.progress.masked == 0 && self.held == Held::No {
                self.canvas.set_block(open.end..next);
                let masked = self.canvas.masked().count();
                self.progress = Progress { step: 0, masked, block_masked: masked, ..self.progress };
            } else if self.last_is_known_well() {
                self.canvas.set_block(open.start..next);
                let masked = self.canvas.masked().count();
                let new = masked - self.progress.masked;
                self.progress.masked = masked;
                self.progress.block_masked += new;
            } else {
                break;
            }
        }
    }

    /// Whether a block follows those that are open.
    fn has_next(&self) -> bool {
        self.canvas.block().end < self.canvas.free_span().end
    }

    /// Whether the next block opens at the end of the step although this one is not full.
    pub(super) fn opens_next(&self) -> bool {
        self.has_next() && self.last_is_known_well()
    }

    /// Whether enough of the last open block is known for the next one to be worked on as well.
    fn last_is_known_well(&self) -> bool {
        let Some(share) = self.config.open_next else { return false };
        let (length, end) = (self.block_length, self.canvas.block().end);
        let is_known = |&position: &usize| !self.canvas.is_masked(position);
        let known = (end - length..end).filter(is_known).count();
        known as f64 >= share * length as f64
    }

    /// Why the sequence ends where it does, if that is before its last position.
    pub(super) fn early_end(&self) -> Option<FinishReason> {
        first_end(&self.canvas, &self.config).map(|(_, reason)| reason)
    }

    /// Where the sequence ends as it stands.
    pub(super) fn end(&self) -> usize {
        end(&self.canvas, &self.config)
    }

    /// How many positions were drawn, up to the end.
    pub(super) fn drawn(&self) -> usize {
        let is_drawn = |&p: &usize| !self.canvas.is_given(p) && !self.canvas.is_masked(p);
        (0..self.end()).filter(is_drawn).count()
    }

    /// Closes what lies behind the end of the sequence as it stands, and opens what no longer does.
    pub(super) fn find_end(&mut self) {
        find_end(&mut self.canvas, &self.config);
    }

    /// Fills up what lies behind an end that nothing masked precedes: the strategy has no more say.
    pub(super) fn finish_at_end(&mut self, observer: &mut dyn Observer) {
        let Some(fill) = self.config.stop.as_ref().map(|stop| stop.fill) else { return };
        let Some((end, _)) = first_end(&self.canvas, &self.config) else { return };
        if (0..end).any(|position| self.canvas.is_masked(position)) {
            return;
        }
        self.held = Held::No;
        for position in end..self.canvas.len() {
            if self.canvas.remask(position).is_ok() {
                observer.on_remask(self.index, self.steps, position);
            }
            // Given tokens stay.
            let _ = self.canvas.reveal(position, fill);
        }
    }
}

/// Just behind the first end that was generated, and why it is one.
///
/// Each stretch of neighbours that were generated is looked at by itself: what stands before it may still be masked, and
/// what was given ends nothing.
fn first_end(canvas: &Canvas, config: &Config) -> Option<(usize, FinishReason)> {
    let stop = config.stop.as_ref()?;
    let is_drawn = |p: usize| !canvas.is_given(p) && !canvas.is_masked(p);
    let (mut from, last) = (canvas.free_span().start, canvas.len());
    while let Some(start) = (from..last).find(|&p| is_drawn(p)) {
        let behind = (start..last).find(|&p| !is_drawn(p)).unwrap_or(last);
        if let Some((end, reason)) = stop.first(&canvas.tokens()[start..behind]) {
            return Some((start + end, reason));
        }
        from = behind;
    }
    None
}

fn end(canvas: &Canvas, config: &Config) -> usize {
    first_end(canvas, config).map_or(canvas.len(), |(end, _)| end)
}

/// Closes what lies behind the end of a canvas, and opens what no longer does.
pub(super) fn find_end(canvas: &mut Canvas, config: &Config) {
    if config.stop.is_some() {
        canvas.set_end(end(canvas, config));
    }
}
