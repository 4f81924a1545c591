//! The order of a file's texts in each epoch.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rand::seq::SliceRandom;

use super::ids::Ids;
use crate::masking::stream;

/// Separates the random streams of orders from those of masks.
const ORDER: u64 = 0x6f72_6465_725f_5f5f;

/// The order of the training texts, which is another one in each epoch. It depends on the seed and the epoch only.
pub(super) struct Epochs {
    texts: Vec<u32>,
    seed: u64,
    /// The epochs used last. Progressive rows may belong to the one before.
    recent: RwLock<VecDeque<(u64, Arc<Epoch>)>>,
}

/// The order of one epoch.
pub(super) struct Epoch {
    order: Vec<u32>,
    /// Where each text begins in the epoch's tokens, each text with its end token.
    starts: OnceLock<Vec<u64>>,
}

impl Epochs {
    /// Epochs over the texts of these numbers.
    pub fn new(texts: Vec<u32>, seed: u64) -> Self {
        Self { texts, seed, recent: RwLock::default() }
    }

    /// The texts of an epoch, ascending.
    pub fn texts(&self) -> &[u32] {
        &self.texts
    }

    /// The number of the text at `index` of all epochs, one after the other.
    pub fn text(&self, index: u64) -> u32 {
        let length = self.texts.len() as u64;
        self.epoch(index / length).order[(index % length) as usize]
    }

    /// The index of the first text that begins at or after token `token` of epoch `epoch`. It may belong to the next epoch.
    pub fn start(&self, epoch: u64, token: u64, ids: &Ids) -> u64 {
        let held = self.epoch(epoch);
        let starts = held.starts.get_or_init(|| {
            let mut next = 0;
            let start = |&text: &u32| {
                let start = next;
                next += ids.text_len(text) as u64 + 1;
                start
            };
            held.order.iter().map(start).collect()
        });
        let place = starts.partition_point(|&start| start < token);
        epoch * self.texts.len() as u64 + place as u64
    }

    fn epoch(&self, epoch: u64) -> Arc<Epoch> {
        let find = |recent: &VecDeque<(u64, Arc<Epoch>)>| {
            recent.iter().find(|(number, _)| *number == epoch).map(|(_, held)| held.clone())
        };
        if let Some(held) = find(&self.recent.read().unwrap_or_else(PoisonError::into_inner)) {
            return held;
        }
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = find(&recent) {
            return held;
        }
        let mut order = self.texts.clone();
        order.shuffle(&mut stream(self.seed ^ ORDER, epoch));
        let held = Arc::new(Epoch { order, starts: OnceLock::new() });
        recent.push_front((epoch, held.clone()));
        recent.truncate(2);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_has_every_text_once_in_an_order_of_its_own() {
        let texts: Vec<u32> = (0..50).map(|text| 3 * text).collect();
        let epoch = |epochs: &Epochs, epoch: u64| -> Vec<u32> {
            (50 * epoch..50 * (epoch + 1)).map(|index| epochs.text(index)).collect()
        };
        let epochs = Epochs::new(texts.clone(), 1);
        let orders: Vec<_> = (0..4).map(|number| epoch(&epochs, number)).collect();
        for (number, order) in orders.iter().enumerate() {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, texts);
            assert!(orders[..number].iter().all(|other| other != order));
            // The order depends on the seed and the epoch only, not on the epochs before.
            assert_eq!(&epoch(&Epochs::new(texts.clone(), 1), number as u64), order);
            assert_ne!(&epoch(&Epochs::new(texts.clone(), 2), number as u64), order);
        }
        assert_eq!(epoch(&epochs, 0), orders[0]);
    }

    #[test]
    fn texts_begin_where_those_before_end() {
        let mut ids = Ids::new(8);
        (0..5).for_each(|text| ids.push(&vec![7; text]));
        let epochs = Epochs::new((0..5).collect(), 1);
        for epoch in 0..2 {
            let mut token = 0;
            for index in 5 * epoch..5 * (epoch + 1) {
                assert_eq!(epochs.start(epoch, token, &ids), index);
                assert_eq!(epochs.start(epoch, token + 1, &ids), index + 1);
                token += u64::from(epochs.text(index)) + 1;
            }
            assert_eq!(token, 15);
        }
    }
}
