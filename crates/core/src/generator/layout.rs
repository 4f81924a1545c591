use crate::denoiser::SequenceInput;
use crate::observation::{Asked, Branch, RowRef};
use crate::{Canvas, RowId};

/// What is asked of the model in one forward: the batch, the rows, and whose they are. Its memory is
/// used again at every step.
#[derive(Default)]
pub(super) struct Layout {
    /// Canvases beside the sequences' own: those on which queries hide something, and branches.
    extra: Vec<Canvas>,
    /// The rows wanted, ascending.
    pub rows: Vec<RowId>,
    /// The rows of each sequence: its masked positions, then the answers to its queries. There may
    /// be more of these than sequences.
    pub shown: Vec<Vec<RowRef>>,
    /// The branches on which something is masked.
    branches: Vec<BranchRows>,
    /// How many canvases of the batch belong to each sequence.
    pub forwards: Vec<usize>,
    /// Where the rows of each sequence are wanted, one sequence after the other.
    wanted: Vec<RowId>,
}

/// A branch, as it was asked for in a forward.
pub(super) struct BranchRows {
    /// The sequence that asked for it, and its number among that one's branches.
    id: (usize, Branch),
    /// Its place in the batch.
    pub place: usize,
    /// The rows of its masked positions.
    pub rows: Vec<RowRef>,
}

impl Layout {
    /// Lays out a forward over the sequences of `batch`, each with its queries and its branches.
    pub fn lay_out(
        &mut self,
        batch: &[SequenceInput<'_>],
        queries: &[Vec<Asked>],
        ahead: &mut [Vec<Canvas>],
    ) {
        self.extra.clear();
        self.branches.clear();
        self.forwards.clear();
        self.wanted.clear();
        for (slot, (shown, queries)) in batch.iter().zip(queries).enumerate() {
            let canvas = shown.canvas;
            let own = |position| RowId { sequence: slot, position };
            let first = self.wanted.len();
            self.wanted.extend(canvas.masked().map(own));
            let first_extra = self.extra.len();
            let mut hidden: Vec<&[usize]> = Vec::new();
            for query in queries {
                let known = hidden.iter().position(|&known| known == query.hidden);
                let sequence = match known {
                    _ if query.hidden.is_empty() => slot,
                    Some(n) => batch.len() + first_extra + n,
                    None => {
                        self.extra.push(canvas.with_masked(&query.hidden));
                        hidden.push(&query.hidden);
                        batch.len() + self.extra.len() - 1
                    }
                };
                self.wanted.push(RowId { sequence, position: query.position });
            }
            self.forwards.push(1 + hidden.len());
            let count = self.wanted.len() - first;
            // Numbered once all rows are known.
            let shown = self.shown_of(slot);
            shown.clear();
            shown.resize(count, RowRef { position: 0, row: 0 });
        }
        for (slot, ahead) in ahead.iter_mut().enumerate() {
            for (canvas, branch) in ahead.drain(..).zip(0..) {
                let place = batch.len() + self.extra.len();
                let first = self.wanted.len();
                let wanted = canvas.masked().map(|position| RowId { sequence: place, position });
                self.wanted.extend(wanted);
                let rows = vec![RowRef { position: 0, row: 0 }; self.wanted.len() - first];
                if !rows.is_empty() {
                    self.extra.push(canvas);
                    self.forwards[slot] += 1;
                    self.branches.push(BranchRows { id: (slot, Branch(branch)), place, rows });
                }
            }
        }
        self.rows.clear();
        self.rows.extend_from_slice(&self.wanted);
        self.rows.sort_unstable();
        self.rows.dedup();
        let own = self.shown.iter_mut().take(batch.len()).flatten();
        let all = own.chain(self.branches.iter_mut().flat_map(|branch| &mut branch.rows));
        for (shown, id) in all.zip(&self.wanted) {
            // Every row wanted is in the list, so that the search never fails.
            let row = self.rows.binary_search(id).unwrap_or_else(|place| place);
            *shown = RowRef { position: id.position, row };
        }
    }

    /// The canvases of a batch beside the sequences' own.
    pub fn extra(&self) -> impl Iterator<Item = SequenceInput<'_>> {
        self.extra.iter().map(SequenceInput::stateless)
    }

    /// A branch of a sequence and its canvas, if anything is masked on it.
    pub fn branch(&self, slot: usize, branch: Branch) -> Option<(&BranchRows, &Canvas)> {
        let found = self.branches.iter().find(|other| other.id == (slot, branch))?;
        // The sequences' own canvases come before.
        let canvas = self.extra.get(found.place - self.forwards.len())?;
        Some((found, canvas))
    }

    /// Appends the rows of a sequence alone as a sampler pass wants them: its masked positions, those in the
    /// `window` alone where that is not empty. `place` is that of its canvas in the batch.
    pub fn narrow(&mut self, slot: usize, place: usize, canvas: &Canvas, window: &[usize]) {
        let first = self.rows.len();
        let wanted = |position: &usize| window.is_empty() || window.contains(position);
        let masked = canvas.masked().filter(wanted);
        self.rows.extend(masked.map(|position| RowId { sequence: place, position }));
        self.shown_of(slot).clear();
        let shown = self.rows[first..].iter().zip(first..);
        self.shown[slot].extend(shown.map(|(id, row)| RowRef { position: id.position, row }));
    }

    fn shown_of(&mut self, slot: usize) -> &mut Vec<RowRef> {
        if self.shown.len() <= slot {
            self.shown.resize(slot + 1, Vec::new());
        }
        &mut self.shown[slot]
    }
}

/// A vector's memory, to be filled with references that live for another time.
pub(super) fn emptied<'a>(mut batch: Vec<SequenceInput<'_>>) -> Vec<SequenceInput<'a>> {
    batch.clear();
    // Collected in place.
    batch.into_iter().map_while(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: u32 = 9;

    fn laid_out(canvases: &[&Canvas], queries: &[Vec<Asked>]) -> Layout {
        let mut layout = Layout::default();
        layout.lay_out(&SequenceInput::stateless_batch(canvases), queries, &mut []);
        layout
    }

    #[test]
    fn questions_that_hide_the_same_share_a_canvas() {
        let canvas = Canvas::infill(vec![1, MASK, 2, MASK], MASK).unwrap();
        let query = |position, hidden: &[usize]| Asked { position, hidden: hidden.into() };
        let queries = vec![query(0, &[]), query(2, &[2]), query(1, &[0, 2]), query(0, &[0, 2])];
        let layout = laid_out(&[&canvas, &canvas], &[vec![], queries]);
        assert_eq!(layout.forwards, [1, 3]);
        let extra: Vec<SequenceInput<'_>> = layout.extra().collect();
        assert_eq!(extra[0].canvas.tokens(), [1, MASK, MASK, MASK]);
        assert_eq!(extra[1].canvas.tokens(), [MASK; 4]);
        assert!(extra.iter().all(|shown| shown.id.is_none()));
        assert!(layout.rows.is_sorted());
        let asked: Vec<(usize, usize)> = layout.shown[1]
            .iter()
            .map(|shown| (layout.rows[shown.row].sequence, layout.rows[shown.row].position))
            .collect();
        assert_eq!(asked, [(1, 1), (1, 3), (1, 0), (2, 2), (3, 1), (3, 0)]);
        assert_eq!(layout.shown[0].len(), 2);
    }

    #[test]
    fn branches_follow_the_questions() {
        let canvas = Canvas::infill(vec![1, MASK, 2, MASK], MASK).unwrap();
        let mut ahead = canvas.clone();
        ahead.reveal(1, 5).unwrap();
        let mut full = ahead.clone();
        full.reveal(3, 5).unwrap();
        let query = Asked { position: 1, hidden: vec![2] };
        let mut layout = Layout::default();
        let mut branches = [vec![ahead.clone()], vec![full, ahead.clone()]];
        let shown = SequenceInput::stateless_batch(&[&canvas, &canvas]);
        layout.lay_out(&shown, &[vec![], vec![query]], &mut branches);
        // Each has its own canvas and a branch, one asks a query, and nothing is masked on the full branch.
        assert_eq!(layout.forwards, [2, 3]);
        assert_eq!(layout.extra().count(), 3);
        for (slot, branch, expected) in [(0, 0, Some(3)), (1, 0, None), (1, 1, Some(4))] {
            let found = layout.branch(slot, Branch(branch));
            assert_eq!(found.map(|(rows, _)| rows.place), expected);
            let Some((found, canvas)) = found else { continue };
            assert_eq!(canvas, &ahead);
            let ids = found.rows.iter().map(|shown| layout.rows[shown.row]);
            assert!(ids.eq([RowId { sequence: found.place, position: 3 }]));
        }
    }

    #[test]
    fn a_row_asked_for_twice_is_computed_once() {
        let canvas = Canvas::unconditional(2, MASK).unwrap();
        let again = Asked { position: 1, hidden: vec![] };
        let layout = laid_out(&[&canvas], &[vec![again]]);
        assert_eq!(layout.rows.len(), 2);
        assert_eq!(layout.shown[0][2], layout.shown[0][1]);
    }
}
