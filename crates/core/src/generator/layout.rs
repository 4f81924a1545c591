use crate::denoiser::SequenceInput;
use crate::observation::{Branch, RowQuery, RowRef};
use crate::{Canvas, RowId};

/// The batch and the rows of one forward, and which sequence each row belongs to. Its buffers are reused at
/// every step.
#[derive(Default)]
pub(super) struct Layout {
    /// The canvases after the sequences' own: those of queries with masked positions, then those of branches.
    extra: Vec<Canvas>,
    /// The rows to compute, ascending.
    pub rows: Vec<RowId>,
    /// The rows of each sequence: its masked positions, then those of its queries. There may be more entries
    /// than sequences.
    pub row_refs: Vec<Vec<RowRef>>,
    /// The branches with a masked position.
    branches: Vec<BranchRows>,
    /// How many canvases of the batch belong to each sequence.
    pub forwards: Vec<usize>,
    /// The rows of all sequences, one sequence after the other, before sorting.
    row_ids: Vec<RowId>,
}

/// A branch of a sequence within a forward.
pub(super) struct BranchRows {
    /// The sequence, and the number of the branch among its own.
    id: (usize, Branch),
    /// The place of its canvas in the batch.
    pub place: usize,
    /// The rows of its masked positions.
    pub rows: Vec<RowRef>,
}

/// Stands for a row until all rows are numbered.
const UNNUMBERED: RowRef = RowRef { position: 0, row: 0 };

impl Layout {
    /// Lays out a forward over the sequences of `batch`, each with its queries and its branches.
    pub fn lay_out(
        &mut self,
        batch: &[SequenceInput<'_>],
        queries: &[Vec<RowQuery>],
        branches: &mut [Vec<Canvas>],
    ) {
        self.extra.clear();
        self.branches.clear();
        self.forwards.clear();
        self.row_ids.clear();
        for (slot, (input, queries)) in batch.iter().zip(queries).enumerate() {
            self.add_sequence(slot, input.canvas, batch.len(), queries);
        }
        for (slot, canvases) in branches.iter_mut().enumerate() {
            for (canvas, branch) in canvases.drain(..).zip(0..) {
                self.add_branch(slot, Branch(branch), canvas, batch.len());
            }
        }
        self.number_rows(batch.len());
    }

    /// Adds the masked positions of a sequence and its queries. Queries that mask the same positions share a
    /// canvas.
    fn add_sequence(&mut self, slot: usize, canvas: &Canvas, batch: usize, queries: &[RowQuery]) {
        let own = |position| RowId { sequence: slot, position };
        let first = self.row_ids.len();
        self.row_ids.extend(canvas.masked().map(own));
        let first_extra = self.extra.len();
        let mut masked: Vec<&[usize]> = Vec::new();
        for query in queries {
            let known = masked.iter().position(|&known| known == query.masked);
            let sequence = match known {
                _ if query.masked.is_empty() => slot,
                Some(n) => batch + first_extra + n,
                None => {
                    self.extra.push(canvas.with_masked(&query.masked));
                    masked.push(&query.masked);
                    batch + self.extra.len() - 1
                }
            };
            self.row_ids.push(RowId { sequence, position: query.position });
        }
        self.forwards.push(1 + masked.len());
        let count = self.row_ids.len() - first;
        let row_refs = self.row_refs_of(slot);
        row_refs.clear();
        row_refs.resize(count, UNNUMBERED);
    }

    /// Adds the masked positions of a branch, if it has any.
    fn add_branch(&mut self, slot: usize, branch: Branch, canvas: Canvas, batch: usize) {
        let place = batch + self.extra.len();
        let first = self.row_ids.len();
        let masked = canvas.masked().map(|position| RowId { sequence: place, position });
        self.row_ids.extend(masked);
        let rows = vec![UNNUMBERED; self.row_ids.len() - first];
        if !rows.is_empty() {
            self.extra.push(canvas);
            self.forwards[slot] += 1;
            self.branches.push(BranchRows { id: (slot, branch), place, rows });
        }
    }

    /// Sorts the rows, each once, and numbers them for the sequences and the branches.
    fn number_rows(&mut self, batch: usize) {
        self.rows.clear();
        self.rows.extend_from_slice(&self.row_ids);
        self.rows.sort_unstable();
        self.rows.dedup();
        let own = self.row_refs.iter_mut().take(batch).flatten();
        let all = own.chain(self.branches.iter_mut().flat_map(|branch| &mut branch.rows));
        for (row_ref, id) in all.zip(&self.row_ids) {
            // Every row is in the list, so the search succeeds.
            let row = self.rows.binary_search(id).unwrap_or_else(|place| place);
            *row_ref = RowRef { position: id.position, row };
        }
    }

    /// The canvases of the batch after the sequences' own.
    pub fn extra(&self) -> impl Iterator<Item = SequenceInput<'_>> {
        self.extra.iter().map(SequenceInput::stateless)
    }

    /// A branch of a sequence and its canvas; `None` if the branch has no masked position.
    pub fn branch(&self, slot: usize, branch: Branch) -> Option<(&BranchRows, &Canvas)> {
        let found = self.branches.iter().find(|other| other.id == (slot, branch))?;
        // The sequences' own canvases come before.
        let canvas = self.extra.get(found.place - self.forwards.len())?;
        Some((found, canvas))
    }

    /// Appends the rows of one sequence for a sampler pass: its masked positions, or those in the `window` if
    /// that is not empty. `place` is the place of its canvas in the batch.
    pub fn narrow(&mut self, slot: usize, place: usize, canvas: &Canvas, window: &[usize]) {
        let first = self.rows.len();
        let in_window = |position: &usize| window.is_empty() || window.contains(position);
        let masked = canvas.masked().filter(in_window);
        self.rows.extend(masked.map(|position| RowId { sequence: place, position }));
        self.row_refs_of(slot).clear();
        let ids = self.rows[first..].iter().zip(first..);
        self.row_refs[slot].extend(ids.map(|(id, row)| RowRef { position: id.position, row }));
    }

    fn row_refs_of(&mut self, slot: usize) -> &mut Vec<RowRef> {
        if self.row_refs.len() <= slot {
            self.row_refs.resize(slot + 1, Vec::new());
        }
        &mut self.row_refs[slot]
    }
}

/// The buffer of a vector, emptied for references of another lifetime.
pub(super) fn reused<'a>(mut batch: Vec<SequenceInput<'_>>) -> Vec<SequenceInput<'a>> {
    batch.clear();
    // Collected in place.
    batch.into_iter().map_while(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: u32 = 9;

    fn laid_out(canvases: &[&Canvas], queries: &[Vec<RowQuery>]) -> Layout {
        let mut layout = Layout::default();
        layout.lay_out(&SequenceInput::stateless_batch(canvases), queries, &mut []);
        layout
    }

    #[test]
    fn queries_that_mask_the_same_positions_share_a_canvas() {
        let canvas = Canvas::infill(vec![1, MASK, 2, MASK], MASK).unwrap();
        let query = |position, masked: &[usize]| RowQuery { position, masked: masked.into() };
        let queries = vec![query(0, &[]), query(2, &[2]), query(1, &[0, 2]), query(0, &[0, 2])];
        let layout = laid_out(&[&canvas, &canvas], &[vec![], queries]);
        assert_eq!(layout.forwards, [1, 3]);
        let extra: Vec<SequenceInput<'_>> = layout.extra().collect();
        assert_eq!(extra[0].canvas.tokens(), [1, MASK, MASK, MASK]);
        assert_eq!(extra[1].canvas.tokens(), [MASK; 4]);
        assert!(extra.iter().all(|input| input.id.is_none()));
        assert!(layout.rows.is_sorted());
        let rows: Vec<(usize, usize)> = layout.row_refs[1]
            .iter()
            .map(|it| (layout.rows[it.row].sequence, layout.rows[it.row].position))
            .collect();
        assert_eq!(rows, [(1, 1), (1, 3), (1, 0), (2, 2), (3, 1), (3, 0)]);
        assert_eq!(layout.row_refs[0].len(), 2);
    }

    #[test]
    fn branches_come_after_queries() {
        let canvas = Canvas::infill(vec![1, MASK, 2, MASK], MASK).unwrap();
        let mut ahead = canvas.clone();
        ahead.reveal(1, 5).unwrap();
        let mut full = ahead.clone();
        full.reveal(3, 5).unwrap();
        let query = RowQuery { position: 1, masked: vec![2] };
        let mut layout = Layout::default();
        let mut branches = [vec![ahead.clone()], vec![full, ahead.clone()]];
        let inputs = SequenceInput::stateless_batch(&[&canvas, &canvas]);
        layout.lay_out(&inputs, &[vec![], vec![query]], &mut branches);
        // Both sequences have a canvas and a branch. The second also has a query, and a full branch, which needs no rows.
        assert_eq!(layout.forwards, [2, 3]);
        assert_eq!(layout.extra().count(), 3);
        for (slot, branch, expected) in [(0, 0, Some(3)), (1, 0, None), (1, 1, Some(4))] {
            let found = layout.branch(slot, Branch(branch));
            assert_eq!(found.map(|(rows, _)| rows.place), expected);
            let Some((found, canvas)) = found else { continue };
            assert_eq!(canvas, &ahead);
            let ids = found.rows.iter().map(|it| layout.rows[it.row]);
            assert!(ids.eq([RowId { sequence: found.place, position: 3 }]));
        }
    }

    #[test]
    fn a_repeated_row_is_computed_once() {
        let canvas = Canvas::unconditional(2, MASK).unwrap();
        let again = RowQuery { position: 1, masked: vec![] };
        let layout = laid_out(&[&canvas], &[vec![again]]);
        assert_eq!(layout.rows.len(), 2);
        assert_eq!(layout.row_refs[0][2], layout.row_refs[0][1]);
    }
}
