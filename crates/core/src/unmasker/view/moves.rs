//! What a strategy wants done.

use super::{Drawn, View};

impl View<'_> {
    /// Says that the sampler passes of this step are to look at these candidates alone: only they meet the output
    /// layer, and only they are candidates then. Without it they are all that is still masked. The step ends
    /// once they are revealed.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn narrow_to(&mut self, candidates: impl IntoIterator<Item = usize>) {
        let (rows, window) = (self.sight.rows, &mut self.work.window);
        window.clear();
        window.extend(candidates.into_iter().map(|candidate| rows[candidate].position));
    }

    /// Narrows the sampler passes to the best candidates of the ranking.
    pub(in crate::unmasker) fn narrow_to_best(&mut self, count: usize) {
        let best = std::mem::take(&mut self.work.ranked);
        self.narrow_to(best.iter().take(count).copied());
        self.work.ranked = best;
    }

    /// Records that the position of a row, a masked one, is to be revealed.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn reveal(&mut self, row: usize, drawn: Drawn) {
        self.work.reveals.push((self.sight.rows[row].position, drawn));
    }

    /// Records that a revealed position is to be masked again. Remasks are made before reveals.
    pub fn remask(&mut self, position: usize) {
        self.work.remasks.push(position);
    }

    /// Records that the token at a revealed position gives way to another: a remask, then a reveal.
    pub fn replace(&mut self, position: usize, drawn: Drawn) {
        self.work.remasks.push(position);
        self.work.reveals.push((position, drawn));
    }
}
