//! Passes of the sampler layer that compute a few rows instead of the whole sequence.

use burn::tensor::{Int, Tensor, TensorData};

use crate::decoder::{KeysValues, Rotary};
use crate::sampler::SamplerModule;

/// The rows that a step's passes compute in each sequence of a batch, N slots a sequence.
///
/// Slot j holds the position that is revealed before pass j + 1, as far as there are such passes; the other slots hold
/// candidates that are not revealed.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots {
    /// The positions [B, N]. A sequence with fewer repeats its first.
    positions: Vec<usize>,
    /// How many slots of each sequence are its own [B]; the rest are padding, which nothing attends to.
    own: Vec<usize>,
    /// N.
    count: usize,
}

impl Slots {
    /// The first `count` of each sequence's `positions`, which has one at least; shorter ones are padded.
    pub fn new(positions: &[Vec<usize>], count: usize) -> Self {
        let padded = |own: &Vec<usize>| {
            let repeated = own.first().copied().unwrap_or(0);
            let all = own.iter().copied().chain(std::iter::repeat(repeated));
            all.take(count).collect::<Vec<_>>()
        };
        Self {
            own: positions.iter().map(|own| own.len().min(count)).collect(),
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
        self.own.len()
    }

    /// The positions of sequence `b` from slot `from` on, padding included.
    pub fn positions(&self, b: usize, from: usize) -> &[usize] {
        &self.positions[b * self.count + from..(b + 1) * self.count]
    }

    /// In which slot sequence `b` holds a position.
    pub fn find(&self, b: usize, position: usize) -> Option<usize> {
        self.positions(b, 0)[..self.own[b]].iter().position(|&p| p == position)
    }
}

/// The passes of one denoising step that compute rows alone.
///
/// The keys and values of all T positions are computed once, from the hidden states h⁰ of the full forward and the tokens of
/// the first pass. A pass computes the rows that are still open and the one revealed just before it, and refreshes their keys
/// and values; a row that was revealed is computed once more, and then stays. The first pass gives the rows that
/// [`SamplerModule::forward`] gives. A pass costs S / T of a layer for S rows, where that one costs a layer.
pub struct RowPasses<'a> {
    layer: &'a SamplerModule,
    /// Of all positions, for each decoder layer. The slots' are hidden from attention by `bias`.
    outside: Vec<KeysValues>,
    /// Of the slots that are settled, for each decoder layer.
    settled: Vec<Option<KeysValues>>,
    /// 0, or far below any score: [B, 1, 1, T + N].
    bias: Tensor<4>,
    /// Of the slots that are not settled.
    rotary: Rotary,
    /// Their hidden states [B, S, D].
    hidden: Tensor<3>,
}

/// Added to the score of a key that is not to be seen.
const UNSEEN: f32 = -1e30;

impl<'a> RowPasses<'a> {
    /// Begins a step: embeddings of the tokens of the first pass [B, T, D], and the hidden states h⁰ [B, T, D].
    pub fn new(
        layer: &'a SamplerModule,
        embedded: Tensor<3>,
        hidden: Tensor<3>,
        slots: &Slots,
    ) -> Self {
        let [batch, length, width] = hidden.dims();
        let rotary = layer.rotary(length);
        let mut outside: Vec<KeysValues> = Vec::new();
        let mut update = layer.fuse(embedded, hidden.clone());
        for (number, decoder) in layer.layers.iter().enumerate() {
            let seen = decoder.keys_values(update.clone(), &rotary);
            if number + 1 < layer.layers.len() {
                update = decoder.attend(update, &rotary, seen.clone(), None);
            }
            outside.push(seen);
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
            bias[length + slots.own[b]..].fill(UNSEEN);
        }
        let bias = TensorData::new(bias, [batch, 1, 1, length + slots.count]);
        Self {
            layer,
            settled: vec![None; outside.len()],
            outside,
            bias: Tensor::from_data(bias, &device),
            rotary: rotary.at(positions, batch),
            hidden: hidden.reshape([batch, slots.count, width]),
        }
    }

    /// One pass: embeddings of the tokens now [B, S, D] → hidden states [B, S, D], both of the slots that are not
    /// settled. All slots at first; each pass settles the first of its own.
    pub fn pass(&mut self, embedded: Tensor<3>) -> Tensor<3> {
        let mut update = self.layer.fuse(embedded, self.hidden.clone());
        let mut settled = Vec::new();
        let layers = self.layer.layers.iter().zip(&self.outside).zip(&self.settled);
        for ((decoder, outside), before) in layers {
            let own = decoder.keys_values(update.clone(), &self.rotary);
            let first = own.first(1);
            let seen = match before {
                Some(before) => outside.clone().then(before),
                None => outside.clone(),
            };
            settled.push(Some(match before {
                Some(before) => before.clone().then(&first),
                None => first,
            }));
            update = decoder.attend(update, &self.rotary, seen.then(&own), Some(&self.bias));
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
    use crate::testing::{shaken, tiny_config};
    use burn::tensor::{Device, Distribution};

    const LENGTH: usize = 8;

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::default())
    }

    fn layer(layers: usize) -> SamplerModule {
        shaken(SamplerModule::new(&tiny_config(), layers, &Device::default()), 2)
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

    /// The definition, with the input of every position kept and the keys and values of all computed anew.
    #[test]
    fn further_passes_refresh_their_rows_and_nothing_else() {
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
            let seen = decoder.keys_values(inputs.clone(), &rotary);
            let update = decoder.attend(inputs.clone(), &rotary, seen, None);
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
