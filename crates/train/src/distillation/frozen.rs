//! The frozen model's tables and teacher, and the batches of targets that they make.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::candidates::candidates;
use super::chain::Chain;
use super::teachers::Teacher;
use super::unroll::{self, Pass, Start, Target};
use crate::error::TrainError;
use crate::masking::Window;
use crate::model::{Head, Slots, Tables};

/// The frozen model that the layer is trained to match: its tables, and a teacher that runs it.
pub(crate) struct Frozen<'a, T> {
    pub tables: Tables,
    pub teacher: &'a T,
}

impl<'a, T> Frozen<'a, T> {
    /// The same model with a copy of the tables on `device`.
    pub fn on(&self, device: &Device) -> Frozen<'a, T> {
        Frozen { tables: self.tables.on(device), teacher: self.teacher }
    }
}

/// The inputs of the loss for a batch of chains.
pub(crate) struct Batch {
    /// h⁰, and the rows that passes compute.
    pub start: Start,
    /// One pass per depth, from depth 1 on.
    pub passes: Vec<Pass>,
}

impl<T: Teacher> Frozen<'_, T> {
    /// Computes the passes and targets of `chains`, one per weight.
    ///
    /// A masked row of x^j has the weight `weights[j − 1]` times its weight by `window` within its chain. A depth of
    /// weight 0 has no target, and costs no forward pass of the teacher.
    ///
    /// Passes compute `candidates` rows of each chain (see [`RowPasses`](crate::model::RowPasses)), or whole sequences if
    /// that is `None`. With N rows there are at most N − 1 passes.
    pub fn batch(
        &self,
        chains: &[Chain],
        weights: &[f64],
        window: Window,
        candidates: Option<usize>,
    ) -> Result<Batch, TrainError> {
        let weights = &weights[..candidates.map_or(weights.len(), |n| weights.len().min(n - 1))];
        let is_used = |depth: &usize| *depth == 0 || weights[depth - 1] > 0.0;
        let depths: Vec<usize> = (0..=weights.len()).filter(is_used).collect();
        let mut states = self.hidden(chains, &depths)?.into_iter();
        let [batch, length, width] =
            [chains.len(), self.length(chains), self.tables.config().hidden_size];
        let mut next = || {
            states.next().unwrap_or_else(|| Tensor::zeros([batch, length, width], &self.device()))
        };
        let hidden = next();
        let slots = candidates.map(|count| self.slots(chains, weights.len(), count, &hidden));
        let passes = weights.iter().enumerate().map(|(i, &weight)| {
            let depth = i + 1;
            let embedded = self.tables.embed(match &slots {
                None => self.ids(chains, depth),
                Some(slots) => self.slot_ids(chains, depth, slots),
            });
            let target = (weight > 0.0)
                .then(|| self.target(chains, depth, (weight, window), slots.as_ref(), next()));
            Pass { embedded, target: target.flatten() }
        });
        let passes = passes.collect();
        let rows = slots.map(|slots| (slots, self.tables.embed(self.ids(chains, 1))));
        Ok(Batch { start: Start { hidden, rows }, passes })
    }

    /// Selects the rows that passes compute, `count` per chain, given h⁰.
    fn slots(&self, chains: &[Chain], depth: usize, count: usize, hidden: &Tensor<3>) -> Slots {
        let masked: Vec<&[usize]> = chains.iter().map(|chain| chain.masked(0)).collect();
        let mut rows = candidates(&self.tables, &masked, hidden);
        let mut rest = &mut rows[..];
        let slots = chains.iter().map(|chain| {
            let (own, after) = std::mem::take(&mut rest).split_at_mut(chain.masked(0).len());
            rest = after;
            chain.slots(depth, count, own)
        });
        Slots::new(&slots.collect::<Vec<_>>(), count)
    }

    /// The ids of x^depth at the slots that pass `depth` computes, [B, S].
    fn slot_ids(&self, chains: &[Chain], depth: usize, slots: &Slots) -> Tensor<2, Int> {
        let of = |(b, chain): (usize, &Chain)| -> Vec<i32> {
            let positions = slots.positions(b, depth - 1).iter();
            positions.map(|&position| chain.canvas(depth)[position] as i32).collect()
        };
        let ids: Vec<i32> = chains.iter().enumerate().flat_map(of).collect();
        let shape = [chains.len(), slots.count() + 1 - depth];
        Tensor::from_data(TensorData::new(ids, shape), &self.device())
    }

    /// The output head.
    pub fn head(&self) -> &Head {
        self.tables.head()
    }

    /// The tables' device.
    pub fn device(&self) -> Device {
        self.tables.device()
    }

    fn length(&self, chains: &[Chain]) -> usize {
        chains.first().map_or(0, |chain| chain.canvas(0).len())
    }

    /// The mask id.
    pub fn mask_id(&self) -> u32 {
        self.tables.config().mask_token_id
    }

    /// The ids of x^depth, [B, T].
    pub fn ids(&self, chains: &[Chain], depth: usize) -> Tensor<2, Int> {
        let ids: Vec<i32> =
            chains.iter().flat_map(|c| c.canvas(depth)).map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(ids, [chains.len(), self.length(chains)]), &self.device())
    }

    /// The teacher's hidden states at these depths, [B, T, D] each, in one call.
    pub fn hidden(&self, chains: &[Chain], depths: &[usize]) -> Result<Vec<Tensor<3>>, TrainError> {
        let hidden = self.hidden_values(chains, depths)?;
        let one = |values: &[f32]| self.tensor(chains, values.to_vec());
        Ok(hidden.chunks_exact(hidden.len() / depths.len()).map(one).collect())
    }

    /// The teacher's hidden states at one depth, [B, T, D].
    pub fn hidden_at(&self, chains: &[Chain], depth: usize) -> Result<Tensor<3>, TrainError> {
        Ok(self.tensor(chains, self.hidden_values(chains, &[depth])?))
    }

    /// `values` as hidden states [B, T, D] of `chains`.
    fn tensor(&self, chains: &[Chain], values: Vec<f32>) -> Tensor<3> {
        let [batch, length] = [chains.len(), self.length(chains)];
        let width = self.tables.config().hidden_size;
        Tensor::from_data(TensorData::new(values, [batch, length, width]), &self.device())
    }

    /// The teacher's hidden states at these depths, concatenated.
    fn hidden_values(&self, chains: &[Chain], depths: &[usize]) -> Result<Vec<f32>, TrainError> {
        let canvases =
            depths.iter().flat_map(|&depth| chains.iter().flat_map(move |c| c.canvas(depth)));
        let ids: Vec<i64> = canvases.copied().map(i64::from).collect();
        let (batch, length) = (chains.len(), self.length(chains));
        let hidden = self.teacher.hidden(&ids, depths.len() * batch, length)?;
        let expected = ids.len() * self.tables.config().hidden_size;
        if hidden.len() != expected || expected == 0 {
            return Err(TrainError::TeacherShape {
                got: hidden.len(),
                batch: depths.len() * batch,
                expected,
            });
        }
        Ok(hidden)
    }

    /// The target at the masked rows of x^depth that its pass computes, weighted by depth and window. `None` if there are
    /// no such rows.
    fn target(
        &self,
        chains: &[Chain],
        depth: usize,
        (weight, window): (f64, Window),
        slots: Option<&Slots>,
        hidden: Tensor<3>,
    ) -> Option<Target> {
        let length = self.length(chains);
        let (mut rows, mut computed, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (b, chain) in chains.iter().enumerate() {
            let place = |&position: &usize| match slots {
                None => Some((position, b * length + position)),
                Some(slots) => {
                    let slot = slots.find(b, position)?.checked_sub(depth - 1)?;
                    Some((position, b * (slots.count() + 1 - depth) + slot))
                }
            };
            let places: Vec<_> = chain.masked(depth).iter().filter_map(place).collect();
            rows.extend(places.iter().map(|(position, _)| (b * length + position) as i32));
            computed.extend(places.iter().map(|&(_, place)| place as i32));
            weights.extend(window.weights(places.len()).map(|row| (weight * row) as f32));
        }
        let count = rows.len();
        let ints = |values: Vec<i32>| -> Tensor<1, Int> {
            Tensor::from_data(TensorData::new(values, [count]), &self.device())
        };
        let (rows, computed) = (ints(rows), ints(computed));
        let weights = Tensor::from_data(TensorData::new(weights, [count]), &self.device());
        let hidden = (count > 0).then(|| unroll::rows(&hidden, &rows))?;
        Some(Target { hidden, rows, computed, weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::shaken;
    use crate::model::{DreamConfig, DreamModule};
    use conjoint_trajectory::Trajectory;

    fn trajectories() -> Vec<Trajectory> {
        let order = |shift: u32| (0..5).map(|i| 1 + (i * 2 + shift) % 5).collect();
        let trajectory = |i: u32| Trajectory {
            index: i.into(),
            prompt_len: 1,
            tokens: vec![5, 1, 2, 3, 4, 0],
            order: order(i),
        };
        (0..3).map(trajectory).collect()
    }

    #[test]
    fn weights_sum_to_the_depths_weight_and_rows_are_the_masked_ones() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Device::default()), 1);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let trajectories = trajectories();
        let chains: Vec<_> = trajectories
            .iter()
            .zip(0..)
            .map(|(trajectory, reveals)| Chain::along(trajectory, reveals, 4, 6))
            .collect();
        let batch = frozen.batch(&chains, &[1.0, 0.0, 0.5, 2.0], Window::default(), None).unwrap();
        let sum = |depth: usize| {
            batch.passes[depth - 1]
                .target
                .as_ref()
                .map(|t| t.weights.clone().sum().into_scalar::<f32>())
        };
        // At depth 4 the second chain is complete at depth 4 and the third at depth 3.
        assert_eq!(sum(2), None);
        for (depth, expected) in [(1, 3.0), (3, 1.0), (4, 2.0)] {
            assert!((sum(depth).unwrap() - expected).abs() < 1e-6, "{depth}");
        }
        let rows: Vec<i64> =
            batch.passes[3].target.as_ref().unwrap().rows.to_data().iter().collect();
        assert_eq!(rows, [i64::from(trajectories[0].order[4])]);
    }

    #[test]
    fn targets_come_from_the_canvas_of_each_depth() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Device::default()), 1);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let trajectories = trajectories();
        let chain = [Chain::along(&trajectories[1], 1, 2, 6)];
        let batch = frozen.batch(&chain, &[0.0, 1.0], Window::default(), None).unwrap();
        let target = batch.passes[1].target.as_ref().unwrap();
        let ids: Vec<i64> = trajectories[1].canvas(3, 6).into_iter().map(i64::from).collect();
        let hidden = base.hidden(&ids, 1, 6).unwrap();
        let row = trajectories[1].order[3] as usize;
        let first: Vec<f32> = target.hidden.clone().narrow(0, 0, 1).into_data().iter().collect();
        assert!(first.iter().zip(&hidden[row * 16..]).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn slots_hold_revealed_positions_and_then_those_of_lowest_entropy() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Device::default()), 1);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let trajectories = trajectories();
        let chains: Vec<_> = [0, 3].map(|k| Chain::along(&trajectories[k / 3], k, 2, 6)).into();
        let batch = frozen.batch(&chains, &[1.0; 7], Window::default(), Some(3)).unwrap();
        let (slots, embedded) = batch.start.rows.as_ref().unwrap();
        // Three rows allow two passes: the first computes all, the second all but the first revealed.
        let widths: Vec<_> = batch.passes.iter().map(|pass| pass.embedded.dims()).collect();
        assert_eq!((widths, embedded.dims()), (vec![[2, 3, 16], [2, 2, 16]], [2, 6, 16]));
        let order = |t: usize, k: usize| trajectories[t].order[k] as usize;
        assert_eq!(slots.positions(0, 0), [order(0, 0), order(0, 1), order(0, 2)]);
        // Two positions are left masked in the second chain; the third slot repeats its first.
        assert_eq!(slots.positions(1, 0), [order(1, 3), order(1, 4), order(1, 3)]);
        let indices = |tensor: &Tensor<1, Int>| tensor.to_data().iter::<i64>().collect::<Vec<_>>();
        let of = |pass: usize| {
            let target = batch.passes[pass].target.as_ref().unwrap();
            (indices(&target.rows), indices(&target.computed))
        };
        let at = |b: usize, position: usize| (b * 6 + position) as i64;
        let first = [at(0, order(0, 1)), at(0, order(0, 2)), at(1, order(1, 4))];
        assert_eq!(of(0), (first.to_vec(), vec![1, 2, 4]));
        // One row of two slots a sequence; the second chain has ended.
        assert_eq!(of(1), (vec![at(0, order(0, 2))], vec![1]));
        // The last slot holds the position of lowest entropy that the chain does not reveal.
        let chain = [Chain::along(&trajectories[0], 0, 1, 6)];
        let batch = frozen.batch(&chain, &[1.0], Window::default(), Some(3)).unwrap();
        let ids: Vec<i64> = trajectories[0].canvas(0, 6).into_iter().map(i64::from).collect();
        let hidden = base.hidden(&ids, 1, 6).unwrap();
        let hidden = Tensor::from_data(TensorData::new(hidden, [1, 6, 16]), &Device::default());
        let rows = candidates(&frozen.tables, &[chain[0].masked(0)], &hidden);
        let others = rows.iter().filter(|row| ![order(0, 0), order(0, 1)].contains(&row.position));
        let lowest = others.min_by(|a, b| a.entropy.total_cmp(&b.entropy)).unwrap();
        let expected = [order(0, 0), order(0, 1), lowest.position];
        assert_eq!(batch.start.rows.as_ref().unwrap().0.positions(0, 0), expected);
    }

    #[test]
    fn a_teacher_of_another_width_is_an_error() {
        struct Narrow;
        impl Teacher for Narrow {
            fn hidden(&self, _: &[i64], _: usize, _: usize) -> Result<Vec<f32>, TrainError> {
                Ok(vec![0.0; 7])
            }
        }
        let base = DreamModule::untied(&DreamConfig::tiny(), &Device::default());
        let frozen = Frozen { tables: Tables::of(&base), teacher: &Narrow };
        let trajectories = trajectories();
        let chain = [Chain::along(&trajectories[0], 0, 1, 6)];
        let batch = frozen.batch(&chain, &[1.0], Window::default(), None).map(drop);
        assert!(matches!(batch, Err(TrainError::TeacherShape { got: 7, batch: 2, expected: 192 })));
    }
}
