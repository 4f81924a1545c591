//! Splitting a forward pass into calls of sequences of similar length.
//!
//! In a call, products with weights compute the rows that there are. Attention is padded to the longest lane. With
//! lengths of 64 to 1,024, most of it is padding. Another call costs less than that.

use conjoint_format::Manifest;

/// Queries and keys of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneSize {
    pub slots: usize,
    pub keys: usize,
}

/// Costs, in multiplications of a product with weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// Of a call, whatever its size.
    call: f64,
    /// Of a query and a key, in all layers.
    pair: f64,
}

impl Costs {
    /// The costs of this model's backbone on a processor.
    pub fn of(manifest: &Manifest) -> Self {
        /// A product with few rows takes as long as one with this many more: the weights are read.
        const ROWS: f64 = 16.0;
        /// Multiplications in the time that a layer's operators take to start.
        const START: f64 = 1e7;
        /// A multiplication of attention, in those of other products. Attention also computes a softmax.
        const ATTENTION: f64 = 2.0;
        let Manifest { layers, heads, kv_heads, head_dim, hidden_size, ffn_size, .. } = manifest;
        let weights = hidden_size * (2 * (heads + kv_heads) * head_dim + 3 * ffn_size);
        let layers = *layers as f64;
        Self {
            call: layers * (ROWS * weights as f64 + START),
            pair: layers * ATTENTION * (2 * heads * head_dim) as f64,
        }
    }

    /// Divides lanes into calls of least cost. Each call has the indices of its lanes, in ascending order.
    ///
    /// A call takes a range of the lanes sorted by size: the best of such divisions.
    pub fn calls(&self, lanes: &[LaneSize]) -> Vec<Vec<usize>> {
        let mut sorted: Vec<usize> = (0..lanes.len()).collect();
        sorted.sort_by_key(|&lane| (lanes[lane].keys, lanes[lane].slots));
        // The least cost of the first n lanes, and where their last call begins.
        let mut best = vec![(0.0, 0)];
        for end in 1..=sorted.len() {
            let (mut slots, keys) = (0, lanes[sorted[end - 1]].keys);
            let starts = (0..end).rev().map(|start| {
                slots = slots.max(lanes[sorted[start]].slots);
                let pairs = (end - start) as f64 * slots as f64 * keys as f64;
                (best[start].0 + self.call + self.pair * pairs, start)
            });
            let least = starts.min_by(|a, b| a.0.total_cmp(&b.0));
            best.push(least.unwrap_or_default());
        }
        let mut calls = Vec::new();
        let mut end = sorted.len();
        while end > 0 {
            let start = best[end].1;
            let mut call = sorted[start..end].to_vec();
            call.sort_unstable();
            calls.push(call);
            end = start;
        }
        calls.reverse();
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(lengths: &[usize]) -> Vec<LaneSize> {
        lengths.iter().map(|&length| LaneSize { slots: length, keys: length }).collect()
    }

    /// Those of `uneven` in the tests of this crate.
    #[test]
    fn calls_of_the_tests() {
        let folder = tempfile::tempdir().unwrap();
        let mut options =
            conjoint_export::ExportOptions::new(conjoint_models::fixture("dream-tiny"));
        options.out = Some(folder.path().to_owned());
        let costs = Costs::of(&conjoint_export::export(&options).unwrap());
        let lanes = whole(&[6, 5, 9, 120, 4, 7, 6, 8, 5]);
        assert_eq!(costs.calls(&lanes), [vec![0, 1, 2, 4, 5, 6, 7, 8], vec![3]]);
        assert_eq!(costs.calls(&lanes[..5]).len(), 1);
    }

    #[test]
    fn equal_lengths_share_a_call() {
        let costs = Costs { call: 1.0, pair: 1.0 };
        assert_eq!(costs.calls(&whole(&[7; 5])), [[0, 1, 2, 3, 4]]);
        assert_eq!(costs.calls(&whole(&[7])), [[0]]);
        assert!(costs.calls(&[]).is_empty());
    }

    #[test]
    fn a_call_is_split_where_padding_costs_more_than_a_call() {
        // Together, the short lane has 100 − 16 pairs of padding.
        let lanes = whole(&[10, 4]);
        assert_eq!(Costs { call: 83.0, pair: 1.0 }.calls(&lanes), [[1], [0]]);
        assert_eq!(Costs { call: 85.0, pair: 1.0 }.calls(&lanes), [[0, 1]]);
        // A lane of few queries beside one of many.
        let few = LaneSize { slots: 1, keys: 10 };
        let mixed = [few, LaneSize { slots: 10, keys: 10 }, few];
        assert_eq!(Costs { call: 1.0, pair: 1.0 }.calls(&mixed), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn the_division_is_the_best_one() {
        let costs = Costs { call: 300.0, pair: 1.0 };
        let lanes = whole(&[5, 30, 8, 31, 29, 5, 17]);
        let cost = |call: &[usize]| {
            let size = |of: fn(&LaneSize) -> usize| call.iter().map(|&i| of(&lanes[i])).max();
            let [slots, keys] = [size(|lane| lane.slots), size(|lane| lane.keys)];
            300.0 + (call.len() * slots.unwrap() * keys.unwrap()) as f64
        };
        let calls = costs.calls(&lanes);
        let found: f64 = calls.iter().map(|call| cost(call)).sum();
        // Every division of the sorted lanes: a cut after each of the first six, or none.
        let sorted = [0, 5, 2, 6, 4, 1, 3];
        let all = (0..64).map(|cuts: u32| {
            let mut sum = 0.0;
            let mut start = 0;
            for end in 1..=7 {
                if end == 7 || cuts >> (end - 1) & 1 == 1 {
                    sum += cost(&sorted[start..end]);
                    start = end;
                }
            }
            sum
        });
        assert_eq!(found, all.fold(f64::INFINITY, f64::min));
        assert_eq!(calls, [vec![0, 2, 5], vec![6], vec![1, 3, 4]]);
    }
}
