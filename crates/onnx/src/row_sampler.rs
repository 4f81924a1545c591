//! A sampler layer whose passes compute only the candidates of a step and the tokens just revealed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conjoint_core::{Canvas, RowId, Vocabulary};
use conjoint_format::{Manifest, SamplerRows};
use ort::value::{DynValue, Tensor};

use crate::batch::{Batch, distinct};
use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::hidden::Hidden;
use crate::row_group::{Group, Member, Tensors, changed_positions};
use crate::sequence_ops::SequenceOps;
use crate::session::Opener;

const CONTEXT: Signature = Signature {
    inputs: &["words", "input_words", "key_mask", "hidden"],
    outputs: &["keys", "values", "bias", "cos", "sin"],
};
const PASS: Signature = Signature {
    inputs: &[
        "words",
        "row_words",
        "asked",
        "positions",
        "row_keys",
        "queries",
        "answers",
        "from",
        "hidden",
        "keys",
        "values",
        "bias",
        "cos",
        "sin",
    ],
    outputs: &["hidden_next", "keys_next", "values_next"],
};

/// The two graphs of a layer over rows.
pub(crate) struct RowSampler {
    /// Distinguishes this layer's groups from those of another layer.
    id: u64,
    context: Graph,
    pass: Graph,
    heads: usize,
    kv_heads: usize,
}

/// The rows of one sequence that a pass computes: position, and index in the previous hidden states.
struct Plan<'a> {
    canvas: &'a Canvas,
    lane: usize,
    /// The requested rows, which stay open.
    requested: Vec<(usize, usize)>,
    /// The rows that no later pass computes.
    settling: Vec<(usize, usize)>,
}

/// The requested positions of each sequence.
type Requested = BTreeMap<usize, Vec<usize>>;

/// The result of a pass: hidden states [A, 1, D], and the index of each requested row.
pub(crate) struct PassOutput {
    pub hidden: Arc<DynValue>,
    pub rows: Vec<i64>,
}

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
        static LAYERS: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            id: LAYERS.fetch_add(1, Ordering::Relaxed),
            context: opener.open(folder.join(&graphs.context), &CONTEXT)?,
            pass: opener.open(folder.join(&graphs.pass), &PASS)?,
            heads: manifest.heads,
            kv_heads: manifest.kv_heads,
        })
    }

    /// One pass for the sequences of `rows`, in any order.
    ///
    /// A sequence continues from its last pass if all of its rows were open there and no other token has
    /// changed. Otherwise, and in the first pass of a step, it starts from the hidden states of the forward
    /// pass.
    ///
    /// # Errors
    /// [`Error::Graph`].
    pub fn run(
        &self,
        state: &mut Hidden,
        canvases: &[&Canvas],
        rows: &[RowId],
        words: &Vocabulary,
        ops: &SequenceOps,
    ) -> Result<PassOutput, Error> {
        let mut requested: Requested = BTreeMap::new();
        for &RowId { sequence, position } in rows {
            let own = requested.entry(sequence).or_default();
            if !own.contains(&position) {
                own.push(position);
            }
        }
        let mut groups = self.take_continuing(state, canvases, &requested);
        groups.extend(self.start(state, canvases, &requested, &groups, (words, ops))?);
        let mut offsets = vec![0; canvases.len()];
        let mut hidden: Option<Arc<DynValue>> = None;
        let mut before = 0;
        for group in &mut groups {
            let plan = |member: &Member| {
                Plan::of(member, canvases[member.sequence], &requested[&member.sequence])
            };
            let plans: Vec<Plan<'_>> = group.members.iter().map(plan).collect();
            self.pass(&mut group.tensors, &plans)?;
            let mut first = 0;
            for (member, plan) in group.members.iter_mut().zip(&plans) {
                offsets[member.sequence] = before + first;
                let open = plan.requested.iter().enumerate();
                member.open = open.map(|(i, &(position, _))| (position, first + i)).collect();
                member.tokens = plan.canvas.tokens().to_vec();
                first += plan.requested.len();
            }
            before += first;
            let own = &group.tensors.hidden;
            hidden = Some(match hidden {
                None => Arc::clone(own),
                Some(others) => Arc::new(ops.join(&others, own)?),
            });
        }
        state.groups.extend(groups);
        let index = |&RowId { sequence, position }: &RowId| {
            let number = requested[&sequence].iter().position(|&other| other == position);
            (offsets[sequence] + number.unwrap_or_default()) as i64
        };
        let rows = rows.iter().map(index);
        let hidden = hidden.unwrap_or_else(|| Arc::clone(&state.value));
        Ok(PassOutput { hidden, rows: rows.collect() })
    }

    /// Removes the members that continue from the state's groups, and returns them as new groups. Drops those
    /// that start again.
    fn take_continuing(
        &self,
        state: &mut Hidden,
        canvases: &[&Canvas],
        requested: &Requested,
    ) -> Vec<Group> {
        let mut continuing = Vec::new();
        for mut group in std::mem::take(&mut state.groups) {
            let (mut continued, mut rest) = (Vec::new(), Vec::new());
            for member in group.members.drain(..) {
                match requested.get(&member.sequence) {
                    None => rest.push(member),
                    Some(positions) => {
                        let canvas = canvases[member.sequence];
                        if group.layer == self.id && member.can_continue(canvas, positions) {
                            continued.push(member);
                        }
                    }
                }
            }
            let Group { layer, tensors, .. } = group;
            if !rest.is_empty() {
                state.groups.push(Group { layer, members: rest, tensors: tensors.clone() });
            }
            if !continued.is_empty() {
                continuing.push(Group { layer, members: continued, tensors });
            }
        }
        continuing
    }

    /// A group of the requested sequences that are in none of `continuing`.
    fn start(
        &self,
        state: &Hidden,
        canvases: &[&Canvas],
        requested: &Requested,
        continuing: &[Group],
        (words, ops): (&Vocabulary, &SequenceOps),
    ) -> Result<Option<Group>, Error> {
        let continued = continuing.iter().flat_map(|group| &group.members);
        let continued: Vec<usize> = continued.map(|member| member.sequence).collect();
        let new = requested.iter().filter(|(sequence, _)| !continued.contains(sequence));
        let member = |(lane, (sequence, positions)): (usize, (&usize, &Vec<usize>))| {
            let tokens = state.tokens[*sequence].clone();
            let changed = changed_positions(&tokens, canvases[*sequence]);
            let mut open: Vec<usize> = positions.iter().copied().chain(changed).collect();
            open.sort_unstable();
            open.dedup();
            let with_index = |position| (position, lane * state.length + position);
            Member {
                sequence: *sequence,
                lane,
                open: open.into_iter().map(with_index).collect(),
                tokens,
            }
        };
        let members: Vec<Member> = new.enumerate().map(member).collect();
        if members.is_empty() {
            return Ok(None);
        }
        let sequences: Vec<usize> = members.iter().map(|member| member.sequence).collect();
        let own: Vec<&Canvas> = sequences.iter().map(|&sequence| canvases[sequence]).collect();
        let batch = Batch::new(&own, state.length, words)?;
        let (words, which, valid) = self.context.named(batch.into_distinct())?;
        let whole = sequences.iter().copied().eq(0..state.lengths.len());
        let hidden = match whole {
            true => Arc::clone(&state.value),
            false => Arc::new(ops.select(&state.value, &sequences)?),
        };
        let context = self.context.run_all(&[&words, &which, &valid, &hidden])?;
        let [keys, values, frame @ ..]: [DynValue; 5] = exactly(context)?;
        let (cache, frame) = (Arc::new([keys, values]), Arc::new(frame));
        let tensors = Tensors { lanes: members.len(), hidden, cache, frame };
        Ok(Some(Group { layer: self.id, members, tensors }))
    }

    /// Runs the pass of a group and updates its tensors. The requested rows come first, in the order of the
    /// plans.
    fn pass(&self, tensors: &mut Tensors, plans: &[Plan<'_>]) -> Result<(), Error> {
        let (heads, kv_heads, lanes) = (self.heads, self.kv_heads, tensors.lanes);
        let max = |count: fn(&Plan<'_>) -> usize| plans.iter().map(count).max().unwrap_or(0);
        let requested_slots = max(|plan| plan.requested.len());
        let width = requested_slots + max(|plan| plan.settling.len());
        let requested_rows: usize = plans.iter().map(|plan| plan.requested.len()).sum();
        let mut columns: [Vec<i64>; 5] = Default::default();
        let [tokens, positions, row_keys, answers, from] = &mut columns;
        let append = |to: &mut Vec<i64>, value: usize| to.push(value as i64);
        // Padding repeats the first row's query. Its result is not read.
        let mut queries = vec![0_i64; lanes * heads * width];
        let requested = plans.iter().map(|plan| (plan, &plan.requested, 0));
        let settling = plans.iter().map(|plan| (plan, &plan.settling, requested_slots));
        for (plan, rows, first) in requested.chain(settling) {
            for (slot, &(position, before)) in (first..).zip(rows) {
                let row = from.len();
                append(tokens, plan.canvas.tokens()[position] as usize);
                append(positions, position);
                append(from, before);
                for head in 0..kv_heads {
                    row_keys.extend([plan.lane, head, position].map(|index| index as i64));
                }
                for head in 0..heads {
                    let query = row * heads + head;
                    queries[(plan.lane * heads + head) * width + slot] = query as i64;
                    answers.extend([plan.lane, head, slot].map(|index| index as i64));
                }
            }
        }
        let rows = from.len();
        let [tokens, positions, row_keys, answers, from] = columns;
        let (words, which) = distinct(tokens);
        let inputs: ort::Result<[DynValue; 8]> = (|| {
            Ok([
                vector(words)?,
                Tensor::from_array(([rows, 1], which))?.into_dyn(),
                vector(vec![requested_rows as i64, requested_slots as i64])?,
                Tensor::from_array(([rows, 1], positions))?.into_dyn(),
                Tensor::from_array(([rows, kv_heads, 3], row_keys))?.into_dyn(),
                Tensor::from_array(([lanes, heads, width], queries))?.into_dyn(),
                Tensor::from_array(([rows, heads, 3], answers))?.into_dyn(),
                vector(from)?,
            ])
        })();
        let inputs = self.pass.named(inputs)?;
        let mut all: Vec<&DynValue> = inputs.iter().collect();
        all.push(&tensors.hidden);
        all.extend(tensors.cache.iter().chain(tensors.frame.iter()));
        let [hidden, keys, values] = exactly(self.pass.run_all(&all)?)?;
        tensors.hidden = Arc::new(hidden);
        tensors.cache = Arc::new([keys, values]);
        Ok(())
    }
}

impl<'a> Plan<'a> {
    /// The plan of a pass with these requested positions, which are open.
    fn of(member: &Member, canvas: &'a Canvas, positions: &[usize]) -> Self {
        let is_requested = |(position, _): &&(usize, usize)| positions.contains(position);
        let settling = member.open.iter().filter(|row| !is_requested(row)).copied().collect();
        let open = |position| member.open.iter().find(|(open, _)| open == position).copied();
        let requested = positions.iter().filter_map(open).collect();
        Self { canvas, lane: member.lane, requested, settling }
    }
}

fn vector(values: Vec<i64>) -> ort::Result<DynValue> {
    Ok(Tensor::from_array(([values.len()], values))?.into_dyn())
}

/// The N outputs of a graph.
///
/// # Errors
/// [`Error::Shape`] for another number of outputs.
fn exactly<const N: usize>(outputs: Vec<DynValue>) -> Result<[DynValue; N], Error> {
    outputs.try_into().map_err(|outputs: Vec<_>| Error::Shape {
        what: "the sampler layer's outputs",
        got: vec![outputs.len()],
        expected: vec![N],
    })
}
