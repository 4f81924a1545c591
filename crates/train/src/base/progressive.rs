//! Progressive rows, which are unmasked from step to step in the order in which decoding would unmask them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Positions whose entropy is below this, in nats, are revealed together: the context implies their tokens.
const CERTAIN: f64 = 0.01;
/// Entropies within this distance, in nats, count as equal, so that rounding does not choose the next position.
const EQUAL: f64 = 1e-4;

/// Slots that hold progressive rows, from fully masked to fully revealed (PUMA, arXiv 2602.10314).
///
/// Random masks rarely resemble those of decoding, which reveals the end and the punctuation of a text before its words.
/// A row here starts fully masked. After each step on it, its tokens are revealed at the position of lowest entropy, and
/// at all positions whose entropy is below 0.01 nats. The choice depends on the visible tokens only, never on the masked
/// ones. The true conditional distributions therefore remain the minimizer of the loss.
///
/// Each step takes the next `per_step` slots in turn. With more slots than that, successive steps train on different
/// texts.
pub(crate) struct Progressive {
    slots: Vec<Mutex<Option<Slot>>>,
    per_step: usize,
}

/// A partly revealed row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// Its index among the rows.
    pub row: u64,
    /// The masked positions, ascending; at least one.
    pub masked: Vec<usize>,
}

/// Locks a slot. A panicking thread cannot leave it inconsistent.
fn lock(slot: &Mutex<Option<Slot>>) -> MutexGuard<'_, Option<Slot>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progressive {
    /// Slots for `per_step` rows per step. Each row takes part in one step out of `turns`.
    pub fn new(per_step: usize, turns: usize) -> Self {
        let slots = (0..per_step * turns).map(|_| Mutex::new(None)).collect();
        Self { slots, per_step }
    }

    pub fn per_step(&self) -> usize {
        self.per_step
    }

    /// The slot of progressive row `row`, below `per_step`, in step `step`.
    pub fn slot(&self, step: u64, row: usize) -> usize {
        let turns = (self.slots.len() / self.per_step) as u64;
        (step % turns) as usize * self.per_step + row
    }

    /// The row in slot `slot`, if it has one.
    pub fn get(&self, slot: usize) -> Option<Slot> {
        lock(&self.slots[slot]).clone()
    }

    /// Puts a row into slot `slot`.
    pub fn fill(&self, slot: usize, row: Slot) {
        *lock(&self.slots[slot]) = Some(row);
    }

    /// Reveals positions in slot `slot`, given the entropies of its masked positions: the first one of lowest entropy, and
    /// all below [`CERTAIN`]. Empties the slot if no position is left.
    pub fn reveal(&self, slot: usize, entropies: &[f64]) {
        let mut held = lock(&self.slots[slot]);
        let Some(row) = held.as_mut() else { return };
        let lowest = entropies.iter().copied().fold(f64::INFINITY, f64::min);
        let next = entropies.iter().position(|&entropy| entropy <= lowest + EQUAL);
        let stays =
            |&(i, (_, &entropy)): &(usize, (&usize, &f64))| Some(i) != next && entropy > CERTAIN;
        let left = row.masked.iter().zip(entropies).enumerate().filter(stays);
        row.masked = left.map(|(_, (&position, _))| position).collect();
        if row.masked.is_empty() {
            *held = None;
        }
    }

    /// The rows in the slots, for a checkpoint.
    pub fn state(&self) -> Vec<Option<Slot>> {
        self.slots.iter().map(|slot| lock(slot).clone()).collect()
    }

    /// Restores the rows from [`Progressive::state`]. Further slots stay empty.
    pub fn restore(&self, state: Vec<Option<Slot>>) {
        for (slot, row) in self.slots.iter().zip(state) {
            *lock(slot) = row;
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
    fn the_position_of_lowest_entropy_and_certain_ones_are_revealed() {
        let rows = Progressive::new(2, 1);
        assert_eq!(rows.get(1), None);
        rows.fill(1, fresh());
        assert_eq!(rows.get(1), Some(fresh()));
        rows.reveal(1, &[0.5, 0.20001, 0.2, 1.0]);
        assert_eq!(rows.get(1).unwrap().masked, [1, 4, 6]);
        rows.reveal(1, &[0.001, 0.4, 0.009]);
        assert_eq!(rows.state(), [None, Some(Slot { row: 7, masked: vec![4] })]);
        rows.reveal(1, &[2.0]);
        assert_eq!(rows.state(), [None, None]);
    }

    #[test]
    fn slots_take_turns() {
        let rows = Progressive::new(2, 3);
        let slots: Vec<_> = (4..8).map(|step| [0, 1].map(|row| rows.slot(step, row))).collect();
        assert_eq!(slots, [[2, 3], [4, 5], [0, 1], [2, 3]]);
        assert_eq!(rows.state().len(), 6);
    }

    #[test]
    fn a_stored_state_is_restored() {
        let (rows, other) = (Progressive::new(2, 1), Progressive::new(1, 3));
        rows.fill(1, fresh());
        let json = serde_json::to_string(&rows.state()).unwrap();
        other.restore(serde_json::from_str(&json).unwrap());
        assert_eq!(other.state(), [None, Some(fresh()), None]);
    }
}
