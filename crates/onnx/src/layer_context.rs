//! Keys and values of a sampler layer over rows before the first pass of a step.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use conjoint_core::{Canvas, Vocabulary};
use conjoint_format::Manifest;
use ort::value::DynValue;

use crate::contexts::Context;
use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::hidden::Hidden;
use crate::layer_passes::LayerPasses;
use crate::packing::{Key, PackedTensors, Packing, vector};
use crate::row_ops::{RowOps, RowUpdate};
use crate::session::Opener;

/// The inputs of a sampler of one layer.
const INPUTS: [&str; 5] = ["words", "row_words", "positions", "hidden", "from"];
/// The inputs of a sampler of several layers, of which all but the last attend.
const ATTENTIVE: [&str; 8] =
    ["words", "row_words", "positions", "slots", "lanes", "key_positions", "hidden", "from"];

/// The graph that computes them, and the operations that put them in place.
pub(crate) struct LayerContext {
    /// The layer's id.
    id: u64,
    graph: Graph,
    layers: usize,
    /// kv_heads · d.
    width: usize,
    ops: RowOps,
    update: RowUpdate,
    hidden: RowUpdate,
}

/// Rows whose keys and values are computed, with their indices in the hidden states of the batch.
#[derive(Default)]
struct Rows {
    packing: Packing,
    indices: Vec<i64>,
}

impl LayerContext {
    pub fn open(
        opener: &Opener,
        path: PathBuf,
        manifest: &Manifest,
        id: u64,
    ) -> Result<Self, Error> {
        let (graph, layers) = opener.open_layers(path, |layers| {
            let inputs = if layers == 1 { &INPUTS[..] } else { &ATTENTIVE };
            Signature::new(inputs, &[]).with_new_keys(layers)
        })?;
        Ok(Self {
            id,
            graph,
            layers,
            width: manifest.kv_heads * manifest.head_dim,
            ops: RowOps::new(opener)?,
            update: RowUpdate::new(opener, 2 * layers)?,
            hidden: RowUpdate::new(opener, 1)?,
        })
    }

    /// Puts the hidden states, keys and values of these sequences back to those of the forward pass, with the
    /// tokens of now.
    pub fn start(
        &self,
        state: &Hidden,
        passes: &mut LayerPasses,
        canvases: &[&Canvas],
        starting: &[usize],
        vocabulary: &Vocabulary,
    ) -> Result<(), Error> {
        let again = starting.iter().filter(|sequence| passes.members.contains_key(sequence));
        let again: Vec<i64> =
            again.flat_map(|&s| state.known(s)).map(|(_, index)| index as i64).collect();
        if !again.is_empty() {
            let rows = self.ops.select(&state.value, again.clone())?;
            self.hidden.run(std::slice::from_mut(&mut passes.hidden), &again, &[&rows])?;
        }
        let is_first = passes.keys_values.is_empty();
        match &state.contexts {
            Some(contexts) if is_first && self.layers == 1 => {
                let mut contexts = contexts.lock().unwrap_or_else(PoisonError::into_inner);
                let contexts = &mut *contexts;
                let context = contexts.layers.entry(self.id).or_default();
                self.refresh(state, (context, &contexts.versions), canvases, starting, vocabulary)?;
                passes.keys_values.clone_from(&context.keys_values);
                return Ok(());
            }
            _ => {}
        }
        let mut rows = Rows::default();
        for &sequence in starting {
            rows.add(state, canvases[sequence], sequence, |_| true);
        }
        let new = self.compute(state, &rows, vocabulary)?;
        let is_whole = rows.indices.iter().copied().eq(0..state.count as i64);
        if is_first && is_whole {
            passes.keys_values = new.into_iter().map(Arc::new).collect();
            return Ok(());
        }
        if is_first {
            passes.keys_values = self.zeros(state.count)?;
        }
        let new: Vec<&DynValue> = new.iter().collect();
        self.update.run(&mut passes.keys_values, &rows.indices, &new)
    }

    /// Computes the keys and values of a session's rows that are not those of the present hidden states and tokens.
    fn refresh(
        &self,
        state: &Hidden,
        (context, versions): (&mut Context, &[u64]),
        canvases: &[&Canvas],
        starting: &[usize],
        vocabulary: &Vocabulary,
    ) -> Result<(), Error> {
        if context.keys_values.is_empty() {
            context.keys_values = self.zeros(state.count)?;
        } else if context.rows() < state.count {
            let more = state.count - context.rows();
            for pool in &mut context.keys_values {
                *pool = Arc::new(self.ops.extend(pool, more, self.width)?);
            }
        }
        context.resize(state.count);
        let mut rows = Rows::default();
        let mut stale = Vec::new();
        for &sequence in starting {
            let tokens = canvases[sequence].tokens();
            rows.add(state, canvases[sequence], sequence, |(position, row)| {
                let (version, token) = (versions[row], tokens[position]);
                let is_stale = context.is_stale(row, version, token);
                if is_stale {
                    stale.push((row, version, token));
                }
                is_stale
            });
        }
        if stale.is_empty() {
            return Ok(());
        }
        let new = self.compute(state, &rows, vocabulary)?;
        let new: Vec<&DynValue> = new.iter().collect();
        self.update.run(&mut context.keys_values, &rows.indices, &new)?;
        stale.into_iter().for_each(|(row, version, token)| context.record(row, version, token));
        Ok(())
    }

    /// The keys and values [N, kv_heads · d] of rows in each layer.
    fn compute(
        &self,
        state: &Hidden,
        rows: &Rows,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<DynValue>, Error> {
        let vector = |values| self.graph.named(vector(values));
        let (words, which) = rows.packing.words(vocabulary)?;
        let (words, which, from) = (vector(words)?, vector(which)?, vector(rows.indices.clone())?);
        let PackedTensors { positions, slots, lanes, key_positions, .. } =
            self.graph.named(rows.packing.tensors())?;
        let mut inputs = vec![&words, &which, &positions];
        if self.layers > 1 {
            inputs.extend([&slots, &lanes, &key_positions]);
        }
        inputs.extend([&*state.value, &from]);
        self.graph.run_all(&inputs)
    }

    fn zeros(&self, rows: usize) -> Result<Vec<Arc<DynValue>>, Error> {
        let zeros = |_| self.ops.zeros(rows, self.width).map(Arc::new);
        (0..2 * self.layers).map(zeros).collect()
    }
}

impl Rows {
    /// Adds a lane with the known rows of a sequence that are chosen by position and index.
    fn add(
        &mut self,
        state: &Hidden,
        canvas: &Canvas,
        sequence: usize,
        mut is_chosen: impl FnMut((usize, usize)) -> bool,
    ) {
        let chosen: Vec<_> = state.known(sequence).filter(|&row| is_chosen(row)).collect();
        let keys = chosen.iter().map(|&(position, _)| Key { position, row: 0 });
        let lane = self.packing.lane(keys.collect());
        for (slot, (position, index)) in chosen.into_iter().enumerate() {
            self.packing.row([lane, slot], position, canvas.tokens()[position]);
            self.indices.push(index as i64);
        }
    }
}
