//! The rows of a call, and the lanes in which they attend.

use conjoint_core::{TokenId, Vocabulary};
use ort::value::{DynValue, Tensor};

use crate::error::Error;

/// A key of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its position in the sequence.
    pub position: usize,
    /// Its row in the pool. Any row if the call computes the position.
    pub row: i64,
}

/// The rows of a call. A lane is a sequence with rows.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    tokens: Vec<TokenId>,
    positions: Vec<usize>,
    /// The lane of each row, and its slot there.
    places: Vec<[usize; 2]>,
    /// The keys of each lane, by ascending position.
    lanes: Vec<Vec<Key>>,
    /// S: most slots of a lane.
    slots: usize,
}

/// The tensors of a [`Packing`], named as the graphs' inputs.
pub(crate) struct PackedTensors {
    /// \[N\]
    pub positions: DynValue,
    /// [B, S]
    pub slots: DynValue,
    /// [N, 2]
    pub lanes: DynValue,
    /// [B, K]
    pub key_positions: DynValue,
    /// [B, K]
    pub cached: DynValue,
    /// [N, 2]
    pub computed: DynValue,
}

/// Sizes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallSize {
    /// N
    pub rows: usize,
    /// B
    pub lanes: usize,
    /// S
    pub slots: usize,
    /// K
    pub keys: usize,
}

impl Packing {
    /// Adds a lane with these keys, by ascending position. They include those of the rows that it will get.
    pub fn lane(&mut self, keys: Vec<Key>) -> usize {
        self.lanes.push(keys);
        self.lanes.len() - 1
    }

    /// Adds a row to a lane.
    pub fn row(&mut self, [lane, slot]: [usize; 2], position: usize, token: TokenId) {
        self.tokens.push(token);
        self.positions.push(position);
        self.places.push([lane, slot]);
        self.slots = self.slots.max(slot + 1);
    }

    /// Adds a lane that computes all positions of a sequence.
    pub fn whole(&mut self, tokens: &[TokenId]) {
        let lane = self.lane((0..tokens.len()).map(|position| Key { position, row: 0 }).collect());
        for (position, &token) in tokens.iter().enumerate() {
            self.row([lane, position], position, token);
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn size(&self) -> CallSize {
        let keys = self.lanes.iter().map(Vec::len).max().unwrap_or(0);
        CallSize { rows: self.len(), lanes: self.lanes.len(), slots: self.slots, keys }
    }

    /// The rows' tokens \[N\]. Checks that they are in the vocabulary. Not every device does when it looks them up.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] without a row, [`Error::UnknownToken`].
    pub fn ids(&self, vocabulary: &Vocabulary) -> Result<Vec<i64>, Error> {
        let size = vocabulary.size();
        match self.tokens.iter().find(|&&token| token as usize >= size) {
            Some(&token) => Err(Error::UnknownToken { token: token.into(), size }),
            None if self.tokens.is_empty() => Err(Error::EmptyBatch),
            None => Ok(self.tokens.iter().map(|&token| token.into()).collect()),
        }
    }

    /// The distinct tokens \[U\] of the rows, and the index of each row's token among them \[N\].
    ///
    /// # Errors
    /// Those of [`ids`](Self::ids).
    pub fn words(&self, vocabulary: &Vocabulary) -> Result<(Vec<i64>, Vec<i64>), Error> {
        Ok(distinct(self.ids(vocabulary)?))
    }

    /// All tensors but the tokens.
    pub fn tensors(&self) -> ort::Result<PackedTensors> {
        let CallSize { rows, lanes, slots, keys } = self.size();
        // Padding repeats a row. Its result is not read.
        let mut slot_rows = vec![0; lanes * slots];
        for (row, &[lane, slot]) in self.places.iter().enumerate() {
            slot_rows[lane * slots + slot] = row as i64;
        }
        let (mut key_positions, mut cached) = (vec![-1; lanes * keys], vec![0; lanes * keys]);
        for (lane, own) in self.lanes.iter().enumerate() {
            for (slot, key) in own.iter().enumerate() {
                key_positions[lane * keys + slot] = key.position as i64;
                cached[lane * keys + slot] = key.row;
            }
        }
        let place = |&[lane, slot]: &[usize; 2]| [lane as i64, slot as i64];
        let key_place = |(&[lane, _], position): (&[usize; 2], &usize)| {
            let slot = self.lanes[lane].partition_point(|key| key.position < *position);
            [lane as i64, slot as i64]
        };
        let places = self.places.iter().flat_map(place).collect();
        let computed = self.places.iter().zip(&self.positions).flat_map(key_place).collect();
        let positions = self.positions.iter().map(|&position| position as i64).collect();
        Ok(PackedTensors {
            positions: vector(positions)?,
            slots: matrix([lanes, slots], slot_rows)?,
            lanes: matrix([rows, 2], places)?,
            key_positions: matrix([lanes, keys], key_positions)?,
            cached: matrix([lanes, keys], cached)?,
            computed: matrix([rows, 2], computed)?,
        })
    }
}

/// A tensor i64 \[N\].
pub(crate) fn vector(values: Vec<i64>) -> ort::Result<DynValue> {
    Ok(Tensor::from_array(([values.len()], values))?.into_dyn())
}

/// A tensor i64 of two dimensions.
pub(crate) fn matrix(shape: [usize; 2], values: Vec<i64>) -> ort::Result<DynValue> {
    Ok(Tensor::from_array((shape, values))?.into_dyn())
}

/// The distinct ids in ascending order, and the index of each id among them.
fn distinct(ids: Vec<i64>) -> (Vec<i64>, Vec<i64>) {
    let mut words = ids.clone();
    words.sort_unstable();
    words.dedup();
    let index = |id: i64| words.binary_search(&id).unwrap_or(0) as i64;
    let which = ids.into_iter().map(index).collect();
    (words, which)
}

#[cfg(test)]
mod tests {
    use ort::value::DynTensorValueType;

    use super::*;

    fn numbers(value: &DynValue) -> (Vec<i64>, Vec<i64>) {
        let value = value.view().downcast::<DynTensorValueType>().unwrap();
        let (shape, values) = value.try_extract_tensor::<i64>().unwrap();
        (shape.to_vec(), values.to_vec())
    }

    /// A lane with all of its three rows, and one that computes positions 4 and 6 beside cached keys at 0 and 5.
    fn packing() -> Packing {
        let mut packing = Packing::default();
        packing.whole(&[7, 8, 9]);
        let keys = [(0, 31), (4, 32), (5, 33), (6, 34)];
        let lane = packing.lane(keys.map(|(position, row)| Key { position, row }).to_vec());
        packing.row([lane, 0], 4, 7);
        packing.row([lane, 1], 6, 5);
        packing
    }

    #[test]
    fn rows_and_keys_are_sorted_into_lanes() {
        crate::runtime::init(crate::runtime::ensure().unwrap()).unwrap();
        let packing = packing();
        assert_eq!(packing.size(), CallSize { rows: 5, lanes: 2, slots: 3, keys: 4 });
        let PackedTensors { positions, slots, lanes, key_positions, cached, computed } =
            packing.tensors().unwrap();
        assert_eq!(numbers(&positions), (vec![5], vec![0, 1, 2, 4, 6]));
        // The third slot of the second lane is padding.
        assert_eq!(numbers(&slots), (vec![2, 3], vec![0, 1, 2, 3, 4, 0]));
        assert_eq!(numbers(&lanes), (vec![5, 2], vec![0, 0, 0, 1, 0, 2, 1, 0, 1, 1]));
        let expected = vec![0, 1, 2, -1, 0, 4, 5, 6];
        assert_eq!(numbers(&key_positions), (vec![2, 4], expected));
        assert_eq!(numbers(&cached), (vec![2, 4], vec![0, 0, 0, 0, 31, 32, 33, 34]));
        assert_eq!(numbers(&computed), (vec![5, 2], vec![0, 0, 0, 1, 0, 2, 1, 1, 1, 3]));
    }

    #[test]
    fn tokens_are_checked_and_distinct_ones_are_counted_once() {
        let words = Vocabulary::new(10, 9).unwrap();
        assert_eq!(packing().ids(&words).unwrap(), [7, 8, 9, 7, 5]);
        let (distinct, which) = packing().words(&words).unwrap();
        assert_eq!((distinct, which), (vec![5, 7, 8, 9], vec![1, 2, 3, 1, 0]));
        let few = Vocabulary::new(9, 8).unwrap();
        let error = packing().ids(&few).unwrap_err();
        assert!(matches!(error, Error::UnknownToken { token: 9, size: 9 }), "{error}");
        assert!(matches!(Packing::default().ids(&words), Err(Error::EmptyBatch)));
    }
}
