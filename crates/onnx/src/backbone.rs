//! The graph of the frozen model up to its output layer.

use std::path::Path;
use std::sync::Arc;

use conjoint_core::Vocabulary;
use conjoint_format::Manifest;
use ndarray::Array2;
use ort::value::DynValue;

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::packing::{PackedTensors, Packing, vector};
use crate::row_ops::zeros;
use crate::session::Opener;

const INPUTS: [&str; 8] =
    ["input_ids", "positions", "slots", "lanes", "key_positions", "cached", "computed", "sources"];

/// The graph of the frozen model up to its output layer.
pub(crate) struct Backbone {
    graph: Graph,
    layers: usize,
    shift: bool,
    /// A pool that no key comes from.
    no_pool: Arc<DynValue>,
}

impl Backbone {
    pub fn open(opener: &Opener, folder: &Path, manifest: &Manifest) -> Result<Self, Error> {
        // A layer that is applied several times has keys and values of its own each time.
        let (graph, layers) = opener
            .open_layers(folder.join(&manifest.graphs.backbone), |layers| {
                Signature::new(&INPUTS, &["hidden"]).with_pools(layers).with_new_keys(layers)
            })?;
        let no_pool = Arc::new(graph.named(zeros([1, manifest.kv_heads * manifest.head_dim]))?);
        Ok(Self { graph, layers, shift: manifest.shift, no_pool })
    }

    /// The number of layers with keys and values.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// The position whose row holds the hidden state of `position`.
    pub fn source(&self, position: usize) -> usize {
        if self.shift { position.saturating_sub(1) } else { position }
    }

    /// The rows of the hidden states of all positions, for a packing of whole sequences of these lengths.
    pub fn sources_of(&self, lengths: impl IntoIterator<Item = usize>) -> Vec<i64> {
        let mut sources = Vec::new();
        let mut first = 0;
        for length in lengths {
            sources.extend((0..length).map(|position| (first + self.source(position)) as i64));
            first += length;
        }
        sources
    }

    /// Hidden states [R, D] of whole sequences.
    pub fn run(
        &self,
        packing: &Packing,
        sources: Vec<i64>,
        vocabulary: &Vocabulary,
    ) -> Result<DynValue, Error> {
        let inputs = self.inputs(packing, sources, vocabulary)?;
        self.graph.run(&self.with_pools(&inputs, &[]))
    }

    /// As [`run`](Self::run), into memory of the host.
    pub fn run_into(
        &self,
        packing: &Packing,
        sources: Vec<i64>,
        vocabulary: &Vocabulary,
        hidden: &mut Array2<f32>,
    ) -> Result<(), Error> {
        let inputs = self.inputs(packing, sources, vocabulary)?;
        self.graph.run_into(&self.with_pools(&inputs, &[]), hidden)
    }

    /// Hidden states [R, D] of rows whose other keys are in `pools`, and the rows' keys and values in each layer.
    pub fn run_cached(
        &self,
        packing: &Packing,
        sources: Vec<i64>,
        vocabulary: &Vocabulary,
        pools: &[Arc<DynValue>],
    ) -> Result<(DynValue, Vec<DynValue>), Error> {
        let inputs = self.inputs(packing, sources, vocabulary)?;
        let mut outputs = self.graph.run_all(&self.with_pools(&inputs, pools))?;
        let new = outputs.split_off(1);
        let hidden = outputs.pop().ok_or(Error::EmptyBatch)?;
        Ok((hidden, new))
    }

    fn inputs(
        &self,
        packing: &Packing,
        sources: Vec<i64>,
        vocabulary: &Vocabulary,
    ) -> Result<[DynValue; 8], Error> {
        let ids = self.graph.named(vector(packing.ids(vocabulary)?))?;
        let PackedTensors { positions, slots, lanes, key_positions, cached, computed } =
            self.graph.named(packing.tensors())?;
        let sources = self.graph.named(vector(sources))?;
        Ok([ids, positions, slots, lanes, key_positions, cached, computed, sources])
    }

    /// The inputs and the pools; with empty `pools`, those that no key comes from.
    fn with_pools<'a>(
        &'a self,
        inputs: &'a [DynValue; 8],
        pools: &'a [Arc<DynValue>],
    ) -> Vec<&'a DynValue> {
        let none = (pools.len()..2 * self.layers).map(|_| &self.no_pool);
        inputs.iter().chain(pools.iter().chain(none).map(|pool| &**pool)).collect()
    }
}
