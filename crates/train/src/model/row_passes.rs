//! Passes of the sampler layer that compute a few rows instead of whole sequences.

use burn::tensor::{Int, Tensor, TensorData};

use super::decoder::{KeysValues, Rotary, UNSEEN};
use super::sampler::SamplerModule;

/// The rows that a step's passes compute in each sequence of a batch: N slots per sequence.
///
/// Slot j holds the position that is revealed before pass j + 1. Slots beyond the last pass hold candidates that are
/// not revealed.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots {
    /// The positions [B, N]. A sequence with fewer repeats its first one.
    positions: Vec<usize>,
    /// The number of slots in use in each sequence [B]. The others are padding, which no row attends to.
    used: Vec<usize>,
    /// N.
    count: usize,
}

impl Slots {
    /// Takes the first `count` of each sequence's `positions`, and pads shorter lists. Each list needs at least one
    /// position.
    pub fn new(positions: &[Vec<usize>], count: usize) -> Self {
        let padded = |positions: &Vec<usize>| {
            let repeated = positions.first().copied().unwrap_or(0);
            let all = positions.iter().copied().chain(std::iter::repeat(repeated));
            all.take(count).collect::<Vec<_>>()
        };
        Self {
            used: positions.iter().map(|positions| positions.len().min(count)).collect(),
            positions: positions.iter().flat_map(padded).collect(),
            count,
        }
    }

    /// N.
    pub fn count(&self) -> usize {
        self.count
    }

    /// B.
    fn batch(&self) -> usize {
        self.used.len()
    }

    /// The positions of sequence `b` from slot `from` on, including padding.
    pub fn positions(&self, b: usize, from: usize) -> &[usize] {
        &self.positions[b * self.count + from..(b + 1) * self.count]
    }

    /// The slot of sequence `b` that holds `position`.
    pub fn find(&self, b: usize, position: usize) -> Option<usize> {
        self.positions(b, 0)[..self.used[b]].iter().position(|&p| p == position)
    }
}

/// The passes of one denoising step over rows.
///
/// The keys and values of all T positions are computed once, from the hidden states h⁰ of the full forward pass and the
/// tokens of the first pass. Each pass then computes the open rows and the row revealed just before it, and updates
/// their keys and values. A revealed row is computed once more, and is final after that.
///
/// The rows of the first pass equal those of [`SamplerModule::forward`]. A pass over S rows costs S / T of
/// [`SamplerModule::forward`].
pub struct RowPasses<'a> {
    layer: &'a SamplerModule,
    /// Keys and values of all positions, one entry per decoder layer. `bias` masks those of the slots.
    context: Vec<KeysValues>,
    /// Keys and values of the slots that are final, one entry per decoder layer.
    settled: Vec<Option<KeysValues>>,
    /// 0, or [`UNSEEN`]: [B, 1, 1, T + N].
    bias: Tensor<4>,
    /// Rotary embedding of the slots that are not final.
    rotary: Rotary,
    /// Hidden states [B, S, D] of the slots that are not final.
    hidden: Tensor<3>,
}

impl<'a> RowPasses<'a> {
    /// Begins a step, given embeddings of the first pass's tokens [B, T, D] and the hidden states h⁰ [B, T, D].
    pub fn new(
        layer: &'a SamplerModule,
        embedded: Tensor<3>,
        hidden: Tensor<3>,
        slots: &Slots,
    ) -> Self {
        let [batch, length, width] = hidden.dims();
        let rotary = layer.rotary(length);
        let mut context: Vec<KeysValues> = Vec::new();
        let mut update = layer.fuse(embedded, hidden.clone());
        for (number, decoder) in layer.layers.iter().enumerate() {
            let own = decoder.keys_values(update.clone(), &rotary);
            if number + 1 < layer.layers.len() {
                update = decoder.attend(update, &rotary, own.clone(), None);
            }
            context.push(own);
        }
        let device = hidden.device();
        let ints = |values: Vec<i32>| -> Tensor<1, Int> {
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count]), &device)
        };
        let flat = (0..slots.batch()).flat_map(|b| {
            slots.positions(b, 0).iter().map(move |position| (b * length + position) as i32)
        });
        let flat = ints(flat.collect());
        let positions = ints(slots.positions.iter().map(|&position| position as i32).collect());
        let hidden = hidden.reshape([batch * length, width]).select(0, flat);
        let mut bias = vec![0.0; batch * (length + slots.count)];
        for (b, bias) in bias.chunks_exact_mut(length + slots.count).enumerate() {
            slots.positions(b, 0).iter().for_each(|&position| bias[position] = UNSEEN);
            bias[length + slots.used[b]..].fill(UNSEEN);
        }
        let bias = TensorData::new(bias, [batch, 1, 1, length + slots.count]);
        Self {
            layer,
            settled: vec![None; context.len()],
            context,
            bias: Tensor::from_data(bias, &device),
            rotary: rotary.at(positions, batch),
            hidden: hidden.reshape([batch, slots.count, width]),
        }
    }

    /// Runs one pass: embeddings of the current tokens [B, S, D] → hidden states [B, S, D], both of the slots that are
    /// not final. The first pass takes all slots. After each pass the first of its slots is final.
    pub fn pass(&mut self, embedded: Tensor<3>) -> Tensor<3> {
        let mut update = self.layer.fuse(embedded, self.hidden.clone());
        let mut settled = Vec::new();
        let layers = self.layer.layers.iter().zip(&self.context).zip(&self.settled);
        for ((decoder, context), before) in layers {
            let own = decoder.keys_values(update.clone(), &self.rotary);
            let first = own.first(1);
            let context = match before {
                Some(before) => context.clone().then(before),
                None => context.clone(),
            };
            settled.push(Some(match before {
                Some(before) => before.clone().then(&first),
                None => first,
            }));
            update = decoder.attend(update, &self.rotary, context.then(&own), Some(&self.bias));
        }
        self.settled = settled;
        let next = self.hidden.clone() + self.layer.norm_postattn.forward(update);
        let slots = next.dims()[1];
        if slots > 1 {
            self.hidden = next.clone().narrow(1, 1, slots - 1);
            self.rotary = self.rotary.from(1);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::DreamConfig;
    use crate::model::testing::shaken;
    use burn::tensor::{Device, Distribution};

    const LENGTH: usize = 8;

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::default())
    }

    fn layer(layers: usize) -> SamplerModule {
        shaken(SamplerModule::new(&DreamConfig::tiny(), layers, &Device::default()), 2)
    }

    /// Rows of [B, T, D] at the positions of `slots` from slot `from` on, [B, S, D].
    fn at(all: &Tensor<3>, slots: &Slots, from: usize) -> Tensor<3> {
        let [batch, length, width] = all.dims();
        let flat: Vec<i32> = (0..batch)
            .flat_map(|b| slots.positions(b, from).iter().map(move |p| (b * length + p) as i32))
            .collect();
        let count = flat.len();
        let flat = Tensor::<1, Int>::from_data(TensorData::new(flat, [count]), &all.device());
        let rows = all.clone().reshape([batch * length, width]).select(0, flat);
        rows.reshape([batch, count / batch, width])
    }

    fn distance(a: Tensor<3>, b: Tensor<3>) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn the_first_pass_gives_the_rows_of_a_pass_over_the_sequence() {
        let slots = Slots::new(&[vec![3, 0, 6], vec![7, 2, 5]], 3);
        for layers in [1, 2] {
            let layer = layer(layers);
            let (embedded, hidden) = (random([2, LENGTH, 16]), random([2, LENGTH, 16]));
            let whole = layer.forward(embedded.clone(), hidden.clone());
            let mut passes = RowPasses::new(&layer, embedded.clone(), hidden, &slots);
            let rows = passes.pass(at(&embedded, &slots, 0));
            let off = distance(rows, at(&whole, &slots, 0));
            assert!(off < 1e-5, "{layers} layers: {off}");
        }
    }

    /// Compares with the definition: keeps the input of every position, and recomputes all keys and values.
    #[test]
    fn further_passes_update_their_rows_only() {
        let layer = layer(1);
        let rotary = layer.rotary(LENGTH);
        let slots = Slots::new(&[vec![3, 0, 6, 5]], 4);
        let (first, hidden) = (random([1, LENGTH, 16]), random([1, LENGTH, 16]));
        let mut passes = RowPasses::new(&layer, first.clone(), hidden.clone(), &slots);
        let (mut inputs, mut states) = (layer.fuse(first, hidden.clone()), hidden);
        for from in 0..3 {
            let embedded = random([1, LENGTH, 16]);
            let fused = layer.fuse(embedded.clone(), states.clone());
            for &position in slots.positions(0, from) {
                let row = |of: &Tensor<3>| of.clone().narrow(1, position, 1);
                inputs = inputs.slice_assign([0..1, position..position + 1], row(&fused));
            }
            let decoder = &layer.layers[0];
            let context = decoder.keys_values(inputs.clone(), &rotary);
            let update = decoder.attend(inputs.clone(), &rotary, context, None);
            let next = states.clone() + layer.norm_postattn.forward(update);
            for &position in slots.positions(0, from) {
                let row = next.clone().narrow(1, position, 1);
                states = states.slice_assign([0..1, position..position + 1], row);
            }
            let rows = passes.pass(at(&embedded, &slots, from));
            let off = distance(rows, at(&states, &slots, from));
            assert!(off < 1e-5, "pass {}: {off}", from + 1);
        }
    }

    #[test]
    fn padding_changes_nothing() {
        let layer = layer(2);
        let (embedded, hidden) = (random([2, LENGTH, 16]), random([2, LENGTH, 16]));
        let passes = |rows: &[Vec<usize>], count: usize, part: std::ops::Range<usize>| {
            let slots = Slots::new(rows, count);
            let own = |of: &Tensor<3>| of.clone().slice([part.clone()]);
            let mut passes = RowPasses::new(&layer, own(&embedded), own(&hidden), &slots);
            passes.pass(at(&own(&embedded), &slots, 0));
            passes.pass(at(&own(&embedded), &slots, 1))
        };
        let both = passes(&[vec![3, 0], vec![7, 2, 5, 1]], 4, 0..2);
        let alone = passes(&[vec![3, 0]], 2, 0..1);
        let off = distance(both.slice([0..1, 0..1]), alone);
        assert!(off < 1e-5, "{off}");
    }

    #[test]
    fn slots_are_found_and_padding_is_not() {
        let slots = Slots::new(&[vec![3, 0], vec![7, 2, 5, 1]], 3);
        assert_eq!((slots.positions(0, 0), slots.positions(1, 1)), (&[3, 0, 3][..], &[2, 5][..]));
        let found = [slots.find(0, 0), slots.find(0, 5), slots.find(1, 5), slots.find(1, 1)];
        assert_eq!(found, [Some(1), None, Some(2), None]);
    }
}
