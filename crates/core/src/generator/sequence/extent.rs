//! The open positions of a sequence: its blocks, and its end.

use std::ops::Range;

use super::{KeptOpen, Sequence};
use crate::generator::config::Config;
use crate::generator::output::FinishReason;
use crate::schedule::Progress;
use crate::{Canvas, Observer};

impl Sequence {
    /// Opens the next block while the current one is full and not kept open, or enough of it is known.
    pub(super) fn open_blocks(&mut self) {
        while let Some(next) = self.next_block() {
            let open = self.canvas.block();
            if self.progress.masked == 0 && self.kept_open == KeptOpen::No {
                let steps = super::steps_of(self.blocks, self.total_steps, &next);
                self.canvas.set_block(next);
                let masked = self.canvas.masked().count();
                self.progress = Progress { step: 0, steps, masked, block_masked: masked };
            } else if self.enough_is_known() {
                self.canvas.set_block(open.start..next.end);
                let masked = self.canvas.masked().count();
                let new = masked - self.progress.masked;
                self.progress.masked = masked;
                self.progress.block_masked += new;
            } else {
                break;
            }
        }
    }

    /// The block after the open ones.
    fn next_block(&self) -> Option<Range<usize>> {
        self.blocks.after(&self.canvas.block())
    }

    /// Whether the next block opens at the end of the step although the current one is not full.
    pub(super) fn opens_next(&self) -> bool {
        self.next_block().is_some() && self.enough_is_known()
    }

    /// Whether enough of the last open block is known to open the next one.
    fn enough_is_known(&self) -> bool {
        let Some(share) = self.config.open_next else { return false };
        let last = self.blocks.containing(self.canvas.block().end - 1);
        let is_known = |&position: &usize| !self.canvas.is_masked(position);
        let known = last.clone().filter(is_known).count();
        known as f64 >= share * last.len() as f64
    }

    /// The reason why the sequence ends before its last position, if it does.
    pub(super) fn early_end(&self) -> Option<FinishReason> {
        first_end(&self.canvas, &self.config).map(|(_, reason)| reason)
    }

    /// The current end of the sequence.
    pub(super) fn end(&self) -> usize {
        end(&self.canvas, &self.config)
    }

    /// The number of drawn positions before the end.
    pub(super) fn drawn(&self) -> usize {
        let is_drawn = |&p: &usize| !self.canvas.is_given(p) && !self.canvas.is_masked(p);
        (0..self.end()).filter(is_drawn).count()
    }

    /// Updates the end: closes the positions after it, and reopens those that are before it now.
    pub(super) fn update_end(&mut self) {
        update_end(&mut self.canvas, &self.config);
    }

    /// Fills the positions after the end once no position before it is masked. The sequence is then finished.
    pub(super) fn finish_at_end(&mut self, observer: &mut dyn Observer) {
        let Some(fill) = self.config.stop.as_ref().map(|stop| stop.fill) else { return };
        let Some((end, _)) = first_end(&self.canvas, &self.config) else { return };
        if (0..end).any(|position| self.canvas.is_masked(position)) {
            return;
        }
        self.kept_open = KeptOpen::No;
        for position in end..self.canvas.len() {
            if self.canvas.remask(position).is_ok() {
                observer.on_remask(self.index, self.steps, position);
            }
            // Given tokens stay.
            let _ = self.canvas.reveal(position, fill);
        }
    }
}

/// One past the first generated end, and its reason.
///
/// Each stretch of generated tokens without a gap is searched separately: positions before it may still be
/// masked, and given tokens end nothing.
fn first_end(canvas: &Canvas, config: &Config) -> Option<(usize, FinishReason)> {
    let stop = config.stop.as_ref()?;
    let is_drawn = |p: usize| !canvas.is_given(p) && !canvas.is_masked(p);
    let (mut from, last) = (canvas.free_span().start, canvas.len());
    while let Some(start) = (from..last).find(|&p| is_drawn(p)) {
        let gap = (start..last).find(|&p| !is_drawn(p)).unwrap_or(last);
        if let Some((end, reason)) = stop.first(&canvas.tokens()[start..gap]) {
            return Some((start + end, reason));
        }
        from = gap;
    }
    None
}

fn end(canvas: &Canvas, config: &Config) -> usize {
    first_end(canvas, config).map_or(canvas.len(), |(end, _)| end)
}

/// Updates the end of a canvas.
pub(super) fn update_end(canvas: &mut Canvas, config: &Config) {
    if config.stop.is_some() {
        canvas.set_end(end(canvas, config));
    }
}
