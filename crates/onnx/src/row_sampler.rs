//! A sampler layer whose passes compute rows: the candidates of a step and the tokens just revealed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conjoint_core::{Canvas, RowId, TokenId, Vocabulary};
use conjoint_export::SamplerRows;
use ort::value::{DynValue, Tensor};

use crate::Error;
use crate::batch::Batch;
use crate::hidden::Hidden;
use crate::regroup::Regroup;
use crate::session::{Graph, Opener, Signature};

const CONTEXT: Signature = Signature {
    inputs: &["input_ids", "key_mask", "hidden", "own"],
    outputs: &["values", "keys", "bias", "cos", "sin"],
};
const PASS: Signature = Signature {
    inputs: &[
        "tokens",
        "positions",
        "from",
        "unseen",
        "hidden",
        "values",
        "keys",
        "bias",
        "cos",
        "sin",
        "settled_keys",
        "settled_values",
        "settled_bias",
        "settling",
    ],
    outputs: &["hidden_next", "settled_keys_next", "settled_values_next", "settled_bias_next"],
};

/// Added to the score of a key that is not to be seen; the graphs use the same.
const UNSEEN: f32 = -1e30;

/// The two graphs of a layer over rows.
pub(crate) struct RowSampler {
    /// Tells its groups from those of another layer.
    id: u64,
    context: Graph,
    pass: Graph,
    /// d.
    head_dim: usize,
}

/// Sequences that have taken part in the same passes of a step.
pub(crate) struct Group {
    /// The layer whose passes they were.
    layer: u64,
    /// One a lane of the tensors.
    members: Vec<Member>,
    tensors: Tensors,
}

/// One sequence of a group.
struct Member {
    /// Its number in the batch of the forward.
    sequence: usize,
    /// The positions that a pass may compute, each with its place in the hidden states.
    open: Vec<(usize, usize)>,
    /// Its tokens as the last pass saw them, or the forward.
    tokens: Vec<TokenId>,
}

/// What a pass takes from the one before. All but `rope` are [B, ·, ·], with a lane a member.
struct Tensors {
    /// Hidden states [B, P, D] of the last pass, or of the forward.
    hidden: Arc<DynValue>,
    /// P.
    prior: usize,
    /// `values`, `keys` and `bias` of the context.
    context: [Arc<DynValue>; 3],
    /// `cos` and `sin`, the same for all sequences.
    rope: Arc<[DynValue; 2]>,
    /// Keys, values and bias of the rows that are settled.
    settled: [Arc<DynValue>; 3],
}

/// The rows that a pass computes of one sequence: those that settle, and those asked for, which stay open.
struct Plan<'a> {
    canvas: &'a Canvas,
    settling: Vec<(usize, usize)>,
    asked: Vec<(usize, usize)>,
}

/// S rows of each sequence, the first `settling` of which settle.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    settling: usize,
}

/// What a pass gave: hidden states [B, S, D], and where in the flattened B · S each row asked for is.
pub(crate) struct Passed {
    pub hidden: Arc<DynValue>,
    pub rows: Vec<i64>,
}

impl RowSampler {
    /// Opens the graphs of a folder; `head_dim` is d.
    ///
    /// # Errors
    /// Those of [`Opener::open`].
    pub fn open(
        opener: &Opener,
        folder: &Path,
        graphs: &SamplerRows,
        head_dim: usize,
    ) -> Result<Self, Error> {
        static LAYERS: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            id: LAYERS.fetch_add(1, Ordering::Relaxed),
            context: opener.open(folder.join(&graphs.context), &CONTEXT)?,
            pass: opener.open(folder.join(&graphs.pass), &PASS)?,
            head_dim,
        })
    }

    /// One pass for the sequences of `rows`, which are sorted by sequence.
    ///
    /// A sequence goes on from its last pass if all of its rows were open there and its tokens have changed nowhere else.
    /// Otherwise it begins again, with the hidden states of the forward: so does every sequence in the first pass of a step.
    ///
    /// # Errors
    /// [`Error::Graph`].
    pub fn run(
        &self,
        state: &mut Hidden,
        canvases: &[&Canvas],
        rows: &[RowId],
        words: &Vocabulary,
        regroup: &Regroup,
    ) -> Result<Passed, Error> {
        let asked: Vec<(usize, Vec<usize>)> = rows
            .chunk_by(|a, b| a.sequence == b.sequence)
            .map(|own| (own[0].sequence, own.iter().map(|row| row.position).collect()))
            .collect();
        let continuing = self.split(state, canvases, &asked, regroup)?;
        let fresh = self.begin(state, canvases, &asked, &continuing, (words, regroup))?;
        let mut groups: Vec<Group> = continuing.into_iter().chain(fresh).collect();

        let of = |sequence: usize| -> &[usize] {
            let found = asked.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
            found.map_or(&[], |place| asked[place].1.as_slice())
        };
        let plans: Vec<Vec<Plan<'_>>> = groups
            .iter()
            .map(|group| {
                let plan = |member: &Member| {
                    Plan::of(member, canvases[member.sequence], of(member.sequence))
                };
                group.members.iter().map(plan).collect()
            })
            .collect();
        let most = |count: fn(&Plan<'_>) -> usize| {
            plans.iter().flatten().map(count).max().unwrap_or_default()
        };
        let settling = most(|plan| plan.settling.len());
        let shape = Shape { rows: settling + most(|plan| plan.asked.len()), settling };

        let mut hidden: Option<Arc<DynValue>> = None;
        let (mut first, mut lanes) = (vec![0; canvases.len()], 0);
        for (group, plans) in groups.iter_mut().zip(&plans) {
            self.pass(&mut group.tensors, plans, shape)?;
            for (member, plan) in group.members.iter_mut().zip(plans) {
                first[member.sequence] = lanes * shape.rows + settling;
                lanes += 1;
                let open = plan.asked.iter().enumerate();
                member.open = open.map(|(i, &(position, _))| (position, settling + i)).collect();
                member.tokens = plan.canvas.tokens().to_vec();
            }
            let own = &group.tensors.hidden;
            hidden = Some(match hidden {
                None => Arc::clone(own),
                Some(before) => Arc::new(regroup.join(&before, own)?),
            });
        }
        state.groups.extend(groups);
        let flat = asked.iter().flat_map(|(sequence, positions)| {
            let first = first[*sequence];
            (0..positions.len()).map(move |i| (first + i) as i64)
        });
        let hidden = hidden.unwrap_or_else(|| Arc::clone(&state.value));
        Ok(Passed { hidden, rows: flat.collect() })
    }

    /// Takes the members that go on out of the state's groups, as groups of their own. Those that have to begin again are
    /// dropped.
    fn split(
        &self,
        state: &mut Hidden,
        canvases: &[&Canvas],
        asked: &[(usize, Vec<usize>)],
        regroup: &Regroup,
    ) -> Result<Vec<Group>, Error> {
        let of = |sequence: usize| {
            let found = asked.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
            found.ok().map(|place| asked[place].1.as_slice())
        };
        let (mut continuing, mut others) = (Vec::new(), Vec::new());
        for mut group in std::mem::take(&mut state.groups) {
            let (mut on, mut rest) = (Vec::new(), Vec::new());
            for (lane, member) in group.members.drain(..).enumerate() {
                let goes_on = |positions| {
                    group.layer == self.id && member.allows(canvases[member.sequence], positions)
                };
                match of(member.sequence).map(goes_on) {
                    None => rest.push((lane, member)),
                    Some(true) => on.push((lane, member)),
                    Some(false) => {}
                }
            }
            let lanes = on.len() + rest.len();
            for (part, into) in [(on, &mut continuing), (rest, &mut others)] {
                let whole = part.len() == lanes && part.iter().map(|(lane, _)| *lane).eq(0..lanes);
                let (part_lanes, members): (Vec<_>, Vec<_>) = part.into_iter().unzip();
                if members.is_empty() {
                    continue;
                }
                let tensors = match whole {
                    true => group.tensors.shared(),
                    false => group.tensors.select(&part_lanes, regroup)?,
                };
                into.push(Group { layer: group.layer, members, tensors });
            }
        }
        state.groups = others;
        Ok(continuing)
    }

    /// A group of the sequences asked for that are in none of `continuing`.
    fn begin(
        &self,
        state: &Hidden,
        canvases: &[&Canvas],
        asked: &[(usize, Vec<usize>)],
        continuing: &[Group],
        (words, regroup): (&Vocabulary, &Regroup),
    ) -> Result<Option<Group>, Error> {
        let goes_on = |sequence: usize| {
            let members = continuing.iter().flat_map(|group| &group.members);
            members.into_iter().any(|member| member.sequence == sequence)
        };
        let fresh: Vec<&(usize, Vec<usize>)> =
            asked.iter().filter(|(sequence, _)| !goes_on(*sequence)).collect();
        if fresh.is_empty() {
            return Ok(None);
        }
        let members = fresh.iter().map(|(sequence, positions)| {
            let tokens = state.tokens[*sequence].clone();
            let changed = changes(&tokens, canvases[*sequence]);
            let mut open: Vec<usize> = positions.iter().copied().chain(changed).collect();
            open.sort_unstable();
            open.dedup();
            let open = open.into_iter().map(|position| (position, position)).collect();
            Member { sequence: *sequence, open, tokens }
        });
        let members: Vec<Member> = members.collect();
        let sequences: Vec<usize> = members.iter().map(|member| member.sequence).collect();
        let own: Vec<&Canvas> = sequences.iter().map(|&sequence| canvases[sequence]).collect();
        let batch = Batch::new(&own, state.length, words)?;
        let places = members.iter().enumerate().flat_map(|(lane, member)| {
            member.open.iter().map(move |(position, _)| (lane * state.length + position) as i64)
        });
        let places = self.context.named(vector(places.collect()))?;
        let (ids, valid) = self.context.named(batch.into_tensors())?;
        let whole = sequences.iter().copied().eq(0..state.lengths.len());
        let hidden = match whole {
            true => Arc::clone(&state.value),
            false => Arc::new(regroup.select(&state.value, &sequences)?),
        };
        let outputs = self.context.run_all(&[&ids, &valid, &hidden, &places])?;
        let [values, keys, bias, cos, sin] = exactly(outputs)?;
        let settled = self.nothing_settled(&keys, members.len())?;
        let tensors = Tensors {
            hidden,
            prior: state.length,
            context: [values, keys, bias].map(Arc::new),
            rope: Arc::new([cos, sin]),
            settled: settled.map(Arc::new),
        };
        Ok(Some(Group { layer: self.id, members, tensors }))
    }

    /// One row that nothing attends to, so that no tensor is empty.
    fn nothing_settled(&self, keys: &DynValue, lanes: usize) -> Result<[DynValue; 3], Error> {
        let shape = keys.shape();
        let heads = shape.get(1).map_or(0, |&size| size as usize) / self.head_dim;
        let zeros = || {
            let zeros = vec![0.0_f32; lanes * heads * self.head_dim];
            Tensor::from_array(([lanes, heads, self.head_dim], zeros)).map(Tensor::into_dyn)
        };
        let bias =
            || Tensor::from_array(([lanes, 1, 1], vec![UNSEEN; lanes])).map(Tensor::into_dyn);
        self.pass.named((|| Ok([zeros()?, zeros()?, bias()?]))())
    }

    /// Runs the pass of a group and advances its tensors.
    fn pass(&self, tensors: &mut Tensors, plans: &[Plan<'_>], shape: Shape) -> Result<(), Error> {
        let Shape { rows, settling } = shape;
        let count = plans.len() * rows;
        let (mut tokens, mut positions) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut from, mut unseen) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (lane, plan) in plans.iter().enumerate() {
            for (own, slots) in [(&plan.settling, settling), (&plan.asked, rows - settling)] {
                // Padding repeats a row that there is.
                let padding = plan.asked.first().copied().unwrap_or_default();
                for slot in 0..slots {
                    let (position, place) = own.get(slot).copied().unwrap_or(padding);
                    tokens.push(i64::from(plan.canvas.tokens()[position]));
                    positions.push(position as i64);
                    from.push((lane * tensors.prior + place) as i64);
                    unseen.push(if slot < own.len() { 0.0 } else { UNSEEN });
                }
            }
        }
        let lanes = plans.len();
        let inputs = (|| {
            Ok([
                Tensor::from_array(([lanes, rows], tokens))?.into_dyn(),
                Tensor::from_array(([lanes, rows], positions))?.into_dyn(),
                vector(from)?,
                Tensor::from_array(([lanes, 1, rows], unseen))?.into_dyn(),
                vector(vec![settling as i64])?,
            ])
        })();
        let [tokens, positions, from, unseen, settling] = self.pass.named(inputs)?;
        let Tensors { hidden, context, rope, settled, .. } = &*tensors;
        let ([values, keys, bias], [cos, sin]) = (context, &**rope);
        let [settled_keys, settled_values, settled_bias] = settled;
        let outputs = self.pass.run_all(&[
            &tokens,
            &positions,
            &from,
            &unseen,
            hidden,
            values,
            keys,
            bias,
            cos,
            sin,
            settled_keys,
            settled_values,
            settled_bias,
            &settling,
        ])?;
        let [hidden, keys, values, bias] = exactly(outputs)?.map(Arc::new);
        (tensors.hidden, tensors.prior) = (hidden, rows);
        tensors.settled = [keys, values, bias];
        Ok(())
    }
}

impl Member {
    /// Whether a pass can go on from the last one: its rows were open there, and nothing else has changed since.
    fn allows(&self, canvas: &Canvas, positions: &[usize]) -> bool {
        let is_open = |position: &usize| self.open.iter().any(|(open, _)| open == position);
        positions.iter().all(is_open) && changes(&self.tokens, canvas).iter().all(is_open)
    }
}

impl<'a> Plan<'a> {
    /// The rows of `positions`, which are open.
    fn of(member: &Member, canvas: &'a Canvas, positions: &[usize]) -> Self {
        let is_asked = |(position, _): &&(usize, usize)| positions.contains(position);
        let settling = member.open.iter().filter(|row| !is_asked(row)).copied().collect();
        let open = |position| member.open.iter().find(|(open, _)| open == position).copied();
        Self { canvas, settling, asked: positions.iter().filter_map(open).collect() }
    }
}

impl Tensors {
    /// The same tensors.
    fn shared(&self) -> Self {
        Self {
            hidden: Arc::clone(&self.hidden),
            context: self.context.each_ref().map(Arc::clone),
            rope: Arc::clone(&self.rope),
            settled: self.settled.each_ref().map(Arc::clone),
            ..*self
        }
    }

    /// Those of some lanes.
    fn select(&self, lanes: &[usize], regroup: &Regroup) -> Result<Self, Error> {
        let select = |tensor: &Arc<DynValue>| regroup.select(tensor, lanes).map(Arc::new);
        let three = |of: &[Arc<DynValue>; 3]| -> Result<[Arc<DynValue>; 3], Error> {
            Ok([select(&of[0])?, select(&of[1])?, select(&of[2])?])
        };
        Ok(Self {
            hidden: select(&self.hidden)?,
            context: three(&self.context)?,
            settled: three(&self.settled)?,
            ..self.shared()
        })
    }
}

/// The positions whose tokens are no longer these.
fn changes(tokens: &[TokenId], canvas: &Canvas) -> Vec<usize> {
    let now = canvas.tokens().iter().zip(tokens);
    now.enumerate()
        .filter(|(_, (now, before))| now != before)
        .map(|(position, _)| position)
        .collect()
}

fn vector(values: Vec<i64>) -> ort::Result<DynValue> {
    Ok(Tensor::from_array(([values.len()], values))?.into_dyn())
}

/// The outputs of a graph, of which there must be N.
fn exactly<const N: usize>(outputs: Vec<DynValue>) -> Result<[DynValue; N], Error> {
    outputs.try_into().map_err(|outputs: Vec<_>| Error::Shape {
        what: "the sampler layer's outputs",
        got: vec![outputs.len()],
        expected: vec![N],
    })
}
