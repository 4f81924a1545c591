use std::ops::{Deref, DerefMut};

use crate::observation::Row;
use crate::unmasker::{Drawn, View};
use crate::{Error, Observation};

/// What a reviser works on: an [`Observation`], the policy's selection, and what can be done to revealed tokens.
pub struct Revision<'v, 'a>(pub(crate) &'v mut View<'a>);

impl<'a> Deref for Revision<'_, 'a> {
    type Target = Observation<'a>;

    fn deref(&self) -> &Observation<'a> {
        self.0
    }
}

impl<'a> DerefMut for Revision<'_, 'a> {
    fn deref_mut(&mut self) -> &mut Observation<'a> {
        self.0
    }
}

impl Revision<'_, '_> {
    /// The candidates that the policy selected, the first to be revealed in front. Under a policy that
    /// leaves the rest of the step open ([`Ranked`](crate::policy::Ranked)) an unmasker with a sampler layer may still
    /// reveal others in place of all but the first.
    pub fn selected(&self) -> &[Row] {
        let count = self.0.quota();
        &self.0.scratch.selection.ranked[..count]
    }

    /// Selects exactly these candidates instead. At least one must be left, if there are any candidates.
    pub fn select(&mut self, candidates: impl IntoIterator<Item = Row>) {
        self.0.scratch.selection.all_of(candidates);
    }

    /// Selects at least `count` candidates, as far as there are so many: where the policy selected fewer, those next in its
    /// ranking, then the most confident of the others.
    pub fn select_at_least(&mut self, count: usize) {
        let count = count.min(self.candidates().len());
        let mut selection = std::mem::take(&mut self.0.scratch.selection);
        if selection.ranked.len() < count {
            let mut others: Vec<Row> =
                self.rows().filter(|row| !selection.ranked.contains(row)).collect();
            let confidence = |row: &Row| self.row(*row).confidence;
            others.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)).then(a.cmp(b)));
            others.truncate(count - selection.ranked.len());
            selection.ranked.extend(others);
        }
        selection.count = selection.count.max(count);
        self.0.scratch.selection = selection;
    }

    /// Draws a token from the filtered row of an answer, to replace the one that stands there.
    ///
    /// # Errors
    /// As [`View::draw`].
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw(&mut self, row: Row) -> Result<Drawn, Error> {
        self.0.draw(row)
    }

    /// Records that a revealed position is masked again.
    pub fn remask(&mut self, position: usize) {
        self.0.remask(position);
    }

    /// Records that another token replaces the one at a revealed position.
    pub fn replace(&mut self, position: usize, drawn: Drawn) {
        self.0.replace(position, drawn);
    }

    /// Keeps the block open even if it is full after this step, so that its tokens can be looked at once more: the reviser is
    /// then asked again, with no candidates. It must change a token to keep a full block open again.
    pub fn keep_block_open(&mut self) {
        self.0.keep_block_open();
    }
}
