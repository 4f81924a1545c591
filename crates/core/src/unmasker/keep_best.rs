use super::{Drawn, View};
use crate::observation::Row;

/// A position that competes to stay revealed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    pub score: f64,
    pub position: usize,
    /// The candidate; `None` if the position is revealed already.
    pub candidate: Option<Row>,
}

/// Masks the `masked` rivals of lowest score and reveals all others. Candidates that win are revealed with
/// their drawn token, and revealed positions that lose are remasked. Ties go to revealed positions, then
/// to the leftmost.
pub(super) fn keep_best(
    view: &mut View<'_>,
    mut rivals: Vec<Rival>,
    masked: usize,
    drawn: &[Drawn],
) {
    rivals.sort_unstable_by(|a, b| {
        let revealed_first = a.candidate.is_some().cmp(&b.candidate.is_some());
        b.score.total_cmp(&a.score).then(revealed_first).then(a.position.cmp(&b.position))
    });
    let (known, masked) = rivals.split_at(rivals.len().saturating_sub(masked));
    for rival in masked.iter().filter(|rival| rival.candidate.is_none()) {
        view.remask(rival.position);
    }
    for candidate in known.iter().filter_map(|rival| rival.candidate) {
        view.reveal(candidate, drawn[candidate.index()]);
    }
}
