//! A sampler layer whose passes compute only the candidates of a step and the tokens just revealed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use conjoint_core::{Canvas, RowId, Vocabulary};
use conjoint_format::{Manifest, SamplerRows};
use ort::value::DynValue;

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::hidden::Hidden;
use crate::layer_context::LayerContext;
use crate::layer_passes::{LayerPasses, Member, changed_positions};
use crate::packing::{Key, PackedTensors, Packing, vector};
use crate::row_ops::RowUpdate;
use crate::sequence_sampler::{PassPlan, next_id};
use crate::session::Opener;

const INPUTS: [&str; 11] = [
    "words",
    "row_words",
    "asked",
    "positions",
    "slots",
    "lanes",
    "key_positions",
    "cached",
    "computed",
    "hidden",
    "from",
];

/// The two graphs of a layer over rows.
pub(crate) struct RowSampler {
    id: u64,
    context: LayerContext,
    pass: Graph,
    hidden: RowUpdate,
    keys_values: RowUpdate,
}

/// The requested positions of each sequence.
type Requested = BTreeMap<usize, Vec<usize>>;

impl RowSampler {
    /// Opens the graphs of a folder with this manifest.
    ///
    /// # Errors
    /// Those of [`Opener::open`].
    pub fn open(
        opener: &Opener,
        folder: &Path,
        graphs: &SamplerRows,
        manifest: &Manifest,
    ) -> Result<Self, Error> {
        let id = next_id();
        let (pass, layers) = opener.open_layers(folder.join(&graphs.pass), |layers| {
            Signature::new(&INPUTS, &["hidden_next"]).with_pools(layers).with_new_keys(layers)
        })?;
        Ok(Self {
            id,
            context: LayerContext::open(opener, folder.join(&graphs.context), manifest, id)?,
            pass,
            hidden: RowUpdate::new(opener, 1)?,
            keys_values: RowUpdate::new(opener, 2 * layers)?,
        })
    }

    /// The rows of a pass for the sequences of `rows`, in any order.
    ///
    /// A sequence continues from its last pass if all of its rows were open there and no other token has changed.
    /// Otherwise, and in the first pass of a step, it starts from the hidden states of the forward pass.
    pub fn plan(&self, state: &mut Hidden, canvases: &[&Canvas], rows: &[RowId]) -> PassPlan {
        let mut requested: Requested = BTreeMap::new();
        for &RowId { sequence, position } in rows {
            let own = requested.entry(sequence).or_default();
            if !own.contains(&position) {
                own.push(position);
            }
        }
        let most = requested.values().map(Vec::len).max().unwrap_or(0);
        let mut packing = Packing::default();
        let mut from = Vec::new();
        let mut first = BTreeMap::new();
        let mut settling = Vec::new();
        for (&sequence, positions) in &requested {
            let keys =
                state.known(sequence).map(|(position, row)| Key { position, row: row as i64 });
            let lane = packing.lane(keys.collect());
            first.insert(sequence, packing.len());
            for (slot, &position) in positions.iter().enumerate() {
                packing.row([lane, slot], position, canvases[sequence].tokens()[position]);
                from.extend(state.states[sequence][position].map(|index| index as i64));
            }
            let open = self.open_positions(state, canvases[sequence], sequence, positions);
            let rest = open.into_iter().filter(|position| !positions.contains(position));
            settling.extend(
                rest.enumerate().map(|(slot, position)| (sequence, [lane, most + slot], position)),
            );
        }
        let count = packing.len();
        for (sequence, place, position) in settling {
            packing.row(place, position, canvases[sequence].tokens()[position]);
            from.extend(state.states[sequence][position].map(|index| index as i64));
        }
        let answer = |&RowId { sequence, position }: &RowId| {
            let number = requested[&sequence].iter().position(|&other| other == position);
            (first[&sequence] + number.unwrap_or_default()) as i64
        };
        let answers = rows.iter().map(answer).collect();
        PassPlan { packing, from, answers, requested: [count, most], sequences: requested }
    }

    /// The positions that a pass may compute.
    fn open_positions(
        &self,
        state: &Hidden,
        canvas: &Canvas,
        sequence: usize,
        requested: &[usize],
    ) -> Vec<usize> {
        let member = state.passes.get(&self.id).and_then(|passes| passes.members.get(&sequence));
        match member.filter(|member| member.can_continue(canvas, requested)) {
            Some(member) => member.open.clone(),
            None => {
                let changed = changed_positions(&state.tokens[sequence], canvas);
                let is_known = |&position: &usize| state.states[sequence][position].is_some();
                let mut open: Vec<usize> =
                    requested.iter().copied().chain(changed).filter(is_known).collect();
                open.sort_unstable();
                open.dedup();
                open
            }
        }
    }

    /// Runs the pass and returns the hidden states [A, D] of the requested rows.
    ///
    /// # Errors
    /// [`Error::Graph`].
    pub fn run(
        &self,
        state: &mut Hidden,
        canvases: &[&Canvas],
        plan: &PassPlan,
        vocabulary: &Vocabulary,
    ) -> Result<Arc<DynValue>, Error> {
        let mut passes = match state.passes.remove(&self.id) {
            Some(passes) => passes,
            None => LayerPasses::after_forward(&state.value),
        };
        let can_continue = |(sequence, positions): (&usize, &Vec<usize>)| {
            let member = passes.members.get(sequence);
            member.is_some_and(|member| member.can_continue(canvases[*sequence], positions))
        };
        let starting = plan.sequences.iter().filter(|&it| !can_continue(it));
        let starting: Vec<usize> = starting.map(|(&sequence, _)| sequence).collect();
        if !starting.is_empty() {
            self.context.start(state, &mut passes, canvases, &starting, vocabulary)?;
        }
        let hidden = self.pass(&mut passes, plan, vocabulary)?;
        for (&sequence, positions) in &plan.sequences {
            let tokens = canvases[sequence].tokens().to_vec();
            passes.members.insert(sequence, Member { open: positions.clone(), tokens });
        }
        state.passes.insert(self.id, passes);
        Ok(hidden)
    }

    fn pass(
        &self,
        passes: &mut LayerPasses,
        plan: &PassPlan,
        vocabulary: &Vocabulary,
    ) -> Result<Arc<DynValue>, Error> {
        let from = &plan.from;
        let (words, which) = plan.packing.words(vocabulary)?;
        let [count, most] = plan.requested;
        let vector = |values| self.pass.named(vector(values));
        let (words, which) = (vector(words)?, vector(which)?);
        let (requested, indices) =
            (vector(vec![count as i64, most as i64])?, vector(from.clone())?);
        let PackedTensors { positions, slots, lanes, key_positions, cached, computed } =
            self.pass.named(plan.packing.tensors())?;
        let mut inputs = vec![&words, &which, &requested, &positions, &slots, &lanes];
        inputs.extend([&key_positions, &cached, &computed, &*passes.hidden, &indices]);
        inputs.extend(passes.keys_values.iter().map(|pool| &**pool));
        let mut outputs = self.pass.run_all(&inputs)?;
        let new = outputs.split_off(1);
        let next = outputs.pop().ok_or(Error::EmptyBatch)?;
        self.hidden.run(std::slice::from_mut(&mut passes.hidden), &from[..count], &[&next])?;
        self.keys_values.run(&mut passes.keys_values, from, &new.iter().collect::<Vec<_>>())?;
        Ok(Arc::new(next))
    }
}
