use std::ops::{Deref, DerefMut};

use crate::observation::Row;
use crate::unmasker::{Drawn, View};
use crate::{Error, Observation};

/// The view of a reviser: an [`Observation`], the policy's selection, and methods to mask or replace revealed
/// tokens.
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
    /// The candidates that the policy selected, in the order of revealing.
    ///
    /// With a policy that leaves the rest of the step open ([`Ranked`](crate::policy::Ranked)), an unmasker
    /// with a sampler layer may reveal others in place of all except the first.
    pub fn selected(&self) -> &[Row] {
        let count = self.0.quota();
        &self.0.scratch.selection.ranked[..count]
    }

    /// Replaces the selection by exactly these candidates. If there are candidates, at least one must be
    /// selected.
    pub fn select(&mut self, candidates: impl IntoIterator<Item = Row>) {
        self.0.scratch.selection.all_of(candidates);
    }

    /// Selects at least `count` candidates, or all if there are fewer. Adds those next in the policy's
    /// ranking, then the most confident others.
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

    /// Draws a token from a filtered row, to replace the current token of its position.
    ///
    /// # Errors
    /// Those of [`View::draw`].
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw(&mut self, row: Row) -> Result<Drawn, Error> {
        self.0.draw(row)
    }

    /// Remasks a revealed position at the end of the round.
    pub fn remask(&mut self, position: usize) {
        self.0.remask(position);
    }

    /// Replaces the token of a revealed position at the end of the round.
    pub fn replace(&mut self, position: usize, drawn: Drawn) {
        self.0.replace(position, drawn);
    }

    /// Keeps the block open even if it is full after this step, to revise its tokens once more. The reviser
    /// is then called without candidates. It must change a token to keep a full block open again.
    pub fn keep_block_open(&mut self) {
        self.0.keep_block_open();
    }
}
