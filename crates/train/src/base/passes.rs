//! Forward passes over rows of different lengths.

use crate::masking::MaskedRow;

/// The most rows of a pass whose rows differ in length.
const ROWS: usize = 16;

/// A row of a batch: its number and its masked form.
pub(super) type Numbered = (usize, MaskedRow);

/// Divides rows into forward passes. A pass computes every row up to the length of its longest one, so that rows of
/// similar lengths come together. Rows of one length form one pass, in their order.
pub(super) fn passes(mut rows: Vec<Numbered>) -> Vec<Vec<Numbered>> {
    rows.sort_by_key(|(_, row)| row.target.len());
    let lengths = [rows.first(), rows.last()].map(|end| end.map(|(_, row)| row.target.len()));
    if lengths[0] == lengths[1] {
        return if rows.is_empty() { Vec::new() } else { vec![rows] };
    }
    let size = rows.len().div_ceil(rows.len().div_ceil(ROWS));
    let mut passes = Vec::new();
    while !rows.is_empty() {
        let rest = rows.split_off(size.min(rows.len()));
        passes.push(std::mem::replace(&mut rows, rest));
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lengths: impl IntoIterator<Item = usize>) -> Vec<Numbered> {
        let row = |length| MaskedRow::new(vec![1; length], vec![0], 0);
        lengths.into_iter().map(row).enumerate().collect()
    }

    #[test]
    fn rows_of_similar_lengths_share_a_pass() {
        let passes = passes(rows((0..40).map(|i| 10 + (i * 7) % 40)));
        let lengths = |pass: &Vec<Numbered>| -> Vec<usize> {
            pass.iter().map(|(_, row)| row.target.len()).collect()
        };
        let all: Vec<_> = passes.iter().map(lengths).collect();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [14, 14, 12]);
        assert_eq!(all.concat(), (10..50).collect::<Vec<_>>());
        let mut numbers: Vec<_> = passes.iter().flatten().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn rows_of_one_length_form_one_pass() {
        assert_eq!(passes(rows([5; 40])), [rows([5; 40])]);
        assert!(passes(Vec::new()).is_empty());
    }
}
