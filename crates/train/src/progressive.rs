//! Rows that are unmasked from step to step in the model's own order, as decoding will unmask them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Below this entropy, in nats, a token is as good as implied: such positions are revealed together.
const CERTAIN: f64 = 0.01;
/// Entropies this near to each other, in nats, are equal: rounding must not decide what comes next.
const EQUAL: f64 = 1e-4;

/// The slots of a batch that hold rows on their way from all masked to all revealed (PUMA, arXiv 2602.10314).
///
/// Random masks hardly ever look like those of decoding, which reveals the end and the punctuation of a text before its
/// words. A row here starts masked and is trained on in each of its turns; then its tokens are revealed at the position where
/// the model is surest, and at all where it is certain. Which position is revealed depends on the state alone and never
/// on the hidden tokens, so that the true conditional distributions stay the minimizer.
///
/// A batch takes so many slots in turn: where there are more slots than that, one text is not met in one step after the
/// other, which would bend the weights towards it.
pub(crate) struct Progressive {
    slots: Vec<Mutex<Option<Slot>>>,
    per_step: usize,
}

/// A row on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// Its index among the rows.
    pub row: u64,
    /// The positions that are still masked, ascending; never none.
    pub masked: Vec<usize>,
}

/// What a slot holds. A thread that panicked held it whole.
fn lock(slot: &Mutex<Option<Slot>>) -> MutexGuard<'_, Option<Slot>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progressive {
    /// `per_step` rows in each step, each of which has its turn in one step of `turns`.
    pub fn new(per_step: usize, turns: usize) -> Self {
        let slots = (0..per_step * turns).map(|_| Mutex::new(None)).collect();
        Self { slots, per_step }
    }

    pub fn per_step(&self) -> usize {
        self.per_step
    }

    /// The slot of the row `row` of `per_step` in step `step`.
    pub fn slot(&self, step: u64, row: usize) -> usize {
        let turns = (self.slots.len() / self.per_step) as u64;
        (step % turns) as usize * self.per_step + row
    }

    /// The row in slot `slot`, or else `fresh`, which then is in it.
    pub fn get_or(&self, slot: usize, fresh: impl FnOnce() -> Slot) -> Slot {
        lock(&self.slots[slot]).get_or_insert_with(fresh).clone()
    }

    /// Reveals in slot `slot`, whose masked positions have these entropies: the surest, the first of equals, and all
    /// that are certain. A row of which nothing is left makes room for a fresh one.
    pub fn reveal(&self, slot: usize, entropies: &[f64]) {
        let mut held = lock(&self.slots[slot]);
        let Some(row) = held.as_mut() else { return };
        let surest = entropies.iter().copied().fold(f64::INFINITY, f64::min);
        let next = entropies.iter().position(|&entropy| entropy <= surest + EQUAL);
        let stays =
            |&(i, (_, &entropy)): &(usize, (&usize, &f64))| Some(i) != next && entropy > CERTAIN;
        let left = row.masked.iter().zip(entropies).enumerate().filter(stays);
        row.masked = left.map(|(_, (&position, _))| position).collect();
        if row.masked.is_empty() {
            *held = None;
        }
    }

    /// What is in the slots, to be kept with a checkpoint.
    pub fn state(&self) -> Vec<Option<Slot>> {
        self.slots.iter().map(|slot| lock(slot).clone()).collect()
    }

    /// Puts back what [`Progressive::state`] gave; slots beyond it are empty.
    pub fn restore(&self, state: Vec<Option<Slot>>) {
        for (slot, kept) in self.slots.iter().zip(state) {
            *lock(slot) = kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Slot {
        Slot { row: 7, masked: vec![1, 3, 4, 6] }
    }

    #[test]
    fn the_surest_position_and_the_certain_ones_are_revealed() {
        let rows = Progressive::new(2, 1);
        assert_eq!(rows.get_or(1, fresh), fresh());
        rows.reveal(1, &[0.5, 0.20001, 0.2, 1.0]);
        assert_eq!(rows.get_or(1, || panic!("held")).masked, [1, 4, 6]);
        rows.reveal(1, &[0.001, 0.4, 0.009]);
        assert_eq!(rows.state(), [None, Some(Slot { row: 7, masked: vec![4] })]);
        rows.reveal(1, &[2.0]);
        assert_eq!(rows.state(), [None, None]);
    }

    #[test]
    fn slots_have_their_turns() {
        let rows = Progressive::new(2, 3);
        let slots: Vec<_> = (4..8).map(|step| [0, 1].map(|row| rows.slot(step, row))).collect();
        assert_eq!(slots, [[2, 3], [4, 5], [0, 1], [2, 3]]);
        assert_eq!(rows.state().len(), 6);
    }

    #[test]
    fn what_is_kept_is_put_back() {
        let (rows, other) = (Progressive::new(2, 1), Progressive::new(1, 3));
        rows.get_or(1, fresh);
        let json = serde_json::to_string(&rows.state()).unwrap();
        other.restore(serde_json::from_str(&json).unwrap());
        assert_eq!(other.state(), [None, Some(fresh()), None]);
    }
}
