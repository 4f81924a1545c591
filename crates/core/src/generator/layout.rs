use crate::unmasker::{Question, Shown};
use crate::{Canvas, RowId};

/// What is asked of the model in one forward: the batch, the rows, and whose they are.
pub(super) struct Layout {
    /// Canvases beside the sequences' own: those on which questions hide something.
    extra: Vec<Canvas>,
    /// The rows wanted, ascending.
    pub rows: Vec<RowId>,
    /// The rows of each sequence: its masked positions, then the answers to its questions.
    pub shown: Vec<Vec<Shown>>,
    /// How many canvases of the batch belong to each sequence.
    pub forwards: Vec<usize>,
}

impl Layout {
    /// The layout of a forward over `canvases`, each with its questions.
    pub fn new(canvases: &[&Canvas], questions: &[Vec<Question>]) -> Self {
        let mut layout =
            Self { extra: Vec::new(), rows: Vec::new(), shown: Vec::new(), forwards: Vec::new() };
        // Where each sequence's rows are wanted: its masked positions, then its questions.
        let mut wanted: Vec<Vec<RowId>> = Vec::with_capacity(canvases.len());
        for (slot, (canvas, questions)) in canvases.iter().zip(questions).enumerate() {
            let own = |position| RowId { sequence: slot, position };
            let mut rows: Vec<RowId> = canvas.masked().map(own).collect();
            let first_extra = layout.extra.len();
            let mut hidden: Vec<&[usize]> = Vec::new();
            for question in questions {
                let known = hidden.iter().position(|&known| known == question.hidden);
                let sequence = match known {
                    _ if question.hidden.is_empty() => slot,
                    Some(n) => canvases.len() + first_extra + n,
                    None => {
                        layout.extra.push(canvas.without(&question.hidden));
                        hidden.push(&question.hidden);
                        canvases.len() + layout.extra.len() - 1
                    }
                };
                rows.push(RowId { sequence, position: question.position });
            }
            layout.forwards.push(1 + hidden.len());
            wanted.push(rows);
        }
        layout.rows = wanted.iter().flatten().copied().collect();
        layout.rows.sort_unstable();
        layout.rows.dedup();
        // Every row wanted is in the list, so that the search never fails.
        let find = |id: RowId| Shown {
            position: id.position,
            row: layout.rows.binary_search(&id).unwrap_or_else(|place| place),
        };
        layout.shown =
            wanted.into_iter().map(|rows| rows.into_iter().map(find).collect()).collect();
        layout
    }

    /// The batch: the sequences' own canvases, then the others.
    pub fn batch<'a>(&'a self, canvases: impl Iterator<Item = &'a Canvas>) -> Vec<&'a Canvas> {
        canvases.chain(&self.extra).collect()
    }

    /// The rows of the sequences in `slots` alone, their masked positions, as a sampler pass wants them.
    pub fn narrow<'a>(
        &mut self,
        slots: &[usize],
        canvas: impl Fn(usize) -> &'a Canvas,
    ) -> Vec<RowId> {
        let mut rows = Vec::new();
        for &slot in slots {
            let first = rows.len();
            let masked = canvas(slot).masked();
            rows.extend(masked.map(|position| RowId { sequence: slot, position }));
            let shown = rows[first..].iter().zip(first..);
            self.shown[slot] =
                shown.map(|(id, row)| Shown { position: id.position, row }).collect();
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: u32 = 9;

    #[test]
    fn questions_that_hide_the_same_share_a_canvas() {
        let canvas = Canvas::infill(vec![1, MASK, 2, MASK], MASK).unwrap();
        let question = |position, hidden: &[usize]| Question { position, hidden: hidden.into() };
        let questions =
            vec![question(0, &[]), question(2, &[2]), question(1, &[0, 2]), question(0, &[0, 2])];
        let layout = Layout::new(&[&canvas, &canvas], &[vec![], questions]);
        assert_eq!(layout.forwards, [1, 3]);
        let batch = layout.batch([&canvas, &canvas].into_iter());
        assert_eq!(batch[2].tokens(), [1, MASK, MASK, MASK]);
        assert_eq!(batch[3].tokens(), [MASK; 4]);
        assert!(layout.rows.is_sorted());
        let asked: Vec<(usize, usize)> = layout.shown[1]
            .iter()
            .map(|shown| (layout.rows[shown.row].sequence, layout.rows[shown.row].position))
            .collect();
        assert_eq!(asked, [(1, 1), (1, 3), (1, 0), (2, 2), (3, 1), (3, 0)]);
        assert_eq!(layout.shown[0].len(), 2);
    }

    #[test]
    fn a_row_asked_for_twice_is_computed_once() {
        let canvas = Canvas::unconditional(2, MASK).unwrap();
        let again = Question { position: 1, hidden: vec![] };
        let layout = Layout::new(&[&canvas], &[vec![again]]);
        assert_eq!(layout.rows.len(), 2);
        assert_eq!(layout.shown[0][2], layout.shown[0][1]);
    }
}
