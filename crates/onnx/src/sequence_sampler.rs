//! A sampler layer whose passes compute all rows of the sequences that take part.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conjoint_core::{Canvas, RowId, Vocabulary};
use ort::value::DynValue;

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::hidden::Hidden;
use crate::layer_passes::LayerPasses;
use crate::packing::{Key, PackedTensors, Packing, vector};
use crate::row_ops::RowUpdate;
use crate::session::Opener;

const INPUTS: [&str; 7] =
    ["input_ids", "positions", "slots", "lanes", "key_positions", "hidden", "from"];

/// The graph of a layer over whole sequences.
pub(crate) struct SequenceSampler {
    id: u64,
    graph: Graph,
    update: RowUpdate,
}

/// The rows of a pass.
pub(crate) struct PassPlan {
    pub packing: Packing,
    /// The index of each row in the hidden states of the batch.
    pub from: Vec<i64>,
    /// The row of each requested row.
    pub answers: Vec<i64>,
    /// The number of requested rows, and most of them in a lane. In a pass over rows, they come first.
    pub requested: [usize; 2],
    /// The requested positions of each sequence, by its index in the batch.
    pub sequences: BTreeMap<usize, Vec<usize>>,
}

/// A number for a layer that no other layer has.
pub(crate) fn next_id() -> u64 {
    static LAYERS: AtomicU64 = AtomicU64::new(0);
    LAYERS.fetch_add(1, Ordering::Relaxed)
}

impl SequenceSampler {
    pub fn open(opener: &Opener, folder: &Path, name: &str) -> Result<Self, Error> {
        let signature = Signature::new(&INPUTS, &["hidden_next"]);
        let graph = opener.open(folder.join(name), signature)?;
        Ok(Self { id: next_id(), graph, update: RowUpdate::new(opener, 1)? })
    }

    /// All known rows of the sequences with a requested row.
    pub fn plan(&self, state: &Hidden, canvases: &[&Canvas], rows: &[RowId]) -> PassPlan {
        let mut sequences: Vec<usize> = rows.iter().map(|row| row.sequence).collect();
        sequences.sort_unstable();
        sequences.dedup();
        let (mut packing, mut from) = (Packing::default(), Vec::new());
        let mut number = vec![Vec::new(); canvases.len()];
        for sequence in sequences {
            let keys = state.known(sequence).map(|(position, _)| Key { position, row: 0 });
            let lane = packing.lane(keys.collect());
            number[sequence] = vec![0; canvases[sequence].len()];
            for (slot, (position, index)) in state.known(sequence).enumerate() {
                number[sequence][position] = packing.len() as i64;
                packing.row([lane, slot], position, canvases[sequence].tokens()[position]);
                from.push(index as i64);
            }
        }
        let answers = rows.iter().map(|row| number[row.sequence][row.position]).collect();
        PassPlan { packing, from, answers, requested: [0, 0], sequences: BTreeMap::new() }
    }

    /// Runs the pass and returns the hidden states [N, D] of its rows.
    pub fn run(
        &self,
        state: &mut Hidden,
        plan: &PassPlan,
        words: &Vocabulary,
    ) -> Result<Arc<DynValue>, Error> {
        let PassPlan { packing, from, .. } = plan;
        let passes = state.passes.entry(self.id);
        let passes = passes.or_insert_with(|| LayerPasses::after_forward(&state.value));
        let ids = self.graph.named(vector(packing.ids(words)?))?;
        let indices = self.graph.named(vector(from.clone()))?;
        let PackedTensors { positions, slots, lanes, key_positions, .. } =
            self.graph.named(packing.tensors())?;
        let hidden = &*passes.hidden;
        let inputs = [&ids, &positions, &slots, &lanes, &key_positions, hidden, &indices];
        let next = Arc::new(self.graph.run(&inputs)?);
        state.latest = None;
        if from.iter().copied().eq(0..state.count as i64) {
            passes.hidden = Arc::clone(&next);
        } else {
            self.update.run(std::slice::from_mut(&mut passes.hidden), from, &[&next])?;
        }
        state.latest = Some(Arc::clone(&passes.hidden));
        Ok(next)
    }
}
