//! A sampler layer whose passes compute rows: the candidates of a step and the tokens just revealed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conjoint_core::{Canvas, RowId, TokenId, Vocabulary};
use conjoint_export::SamplerRows;
use ort::value::{DynValue, Tensor};

use crate::Error;
use crate::batch::{Batch, distinct};
use crate::hidden::Hidden;
use crate::regroup::Regroup;
use crate::session::{Graph, Opener, Signature};

const CONTEXT: Signature = Signature {
    inputs: &["words", "input_words", "key_mask", "hidden", "own"],
    outputs: &["values", "keys", "bias", "cos", "sin"],
};
const PASS: Signature = Signature {
    inputs: &[
        "words",
        "row_words",
        "positions",
        "from",
        "slots",
        "back",
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
    members: Vec<Member>,
    tensors: Tensors,
}

/// One sequence of a group.
struct Member {
    /// Its number in the batch of the forward.
    sequence: usize,
    /// Its row in the tensors. Rows of sequences that no longer take part stay, and cost little.
    lane: usize,
    /// The positions that a pass may compute, each with its place in the hidden states.
    open: Vec<(usize, usize)>,
    /// Its tokens as the last pass saw them, or the forward.
    tokens: Vec<TokenId>,
}

/// What a pass takes from the one before.
#[derive(Clone)]
struct Tensors {
    /// B: lanes of `context` and `settled`.
    lanes: usize,
    /// Hidden states of the last pass [N, 1, D], or of the forward [B, T, D].
    hidden: Arc<DynValue>,
    /// `values`, `keys`, `bias`, `cos` and `sin` of the context.
    context: Arc<[DynValue; 5]>,
    /// Keys, values and bias of the rows that are settled.
    settled: Arc<[DynValue; 3]>,
}

/// The rows that a pass computes of one sequence, each with its place in the hidden states before: those that settle, and
/// those asked for, which stay open.
struct Plan<'a> {
    canvas: &'a Canvas,
    lane: usize,
    settling: Vec<(usize, usize)>,
    asked: Vec<(usize, usize)>,
}

/// The positions asked for of each sequence.
type Asked = BTreeMap<usize, Vec<usize>>;

/// What a pass gave: hidden states [N, 1, D], and where in them each row asked for is.
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

    /// One pass for the sequences of `rows`, in any order.
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
        let mut asked: Asked = BTreeMap::new();
        for &RowId { sequence, position } in rows {
            let own = asked.entry(sequence).or_default();
            if !own.contains(&position) {
                own.push(position);
            }
        }
        let mut groups = self.continuing(state, canvases, &asked);
        groups.extend(self.begin(state, canvases, &asked, &groups, (words, regroup))?);
        let mut places = vec![0; canvases.len()];
        let mut hidden: Option<Arc<DynValue>> = None;
        let mut before = 0;
        for group in &mut groups {
            let plan = |member: &Member| {
                Plan::of(member, canvases[member.sequence], &asked[&member.sequence])
            };
            let plans: Vec<Plan<'_>> = group.members.iter().map(plan).collect();
            self.pass(&mut group.tensors, &plans)?;
            let mut first = 0;
            for (member, plan) in group.members.iter_mut().zip(&plans) {
                first += plan.settling.len();
                places[member.sequence] = before + first;
                let open = plan.asked.iter().enumerate();
                member.open = open.map(|(i, &(position, _))| (position, first + i)).collect();
                member.tokens = plan.canvas.tokens().to_vec();
                first += plan.asked.len();
            }
            before += first;
            let own = &group.tensors.hidden;
            hidden = Some(match hidden {
                None => Arc::clone(own),
                Some(others) => Arc::new(regroup.join(&others, own)?),
            });
        }
        state.groups.extend(groups);
        let place = |&RowId { sequence, position }: &RowId| {
            let number = asked[&sequence].iter().position(|&other| other == position);
            (places[sequence] + number.unwrap_or_default()) as i64
        };
        let rows = rows.iter().map(place);
        let hidden = hidden.unwrap_or_else(|| Arc::clone(&state.value));
        Ok(Passed { hidden, rows: rows.collect() })
    }

    /// Takes the members that go on out of the state's groups, as groups of their own. Those that have to begin again are
    /// dropped.
    fn continuing(&self, state: &mut Hidden, canvases: &[&Canvas], asked: &Asked) -> Vec<Group> {
        let mut continuing = Vec::new();
        for mut group in std::mem::take(&mut state.groups) {
            let (mut on, mut rest) = (Vec::new(), Vec::new());
            for member in group.members.drain(..) {
                match asked.get(&member.sequence) {
                    None => rest.push(member),
                    Some(positions) => {
                        let canvas = canvases[member.sequence];
                        if group.layer == self.id && member.allows(canvas, positions) {
                            on.push(member);
                        }
                    }
                }
            }
            let Group { layer, tensors, .. } = group;
            if !rest.is_empty() {
                state.groups.push(Group { layer, members: rest, tensors: tensors.clone() });
            }
            if !on.is_empty() {
                continuing.push(Group { layer, members: on, tensors });
            }
        }
        continuing
    }

    /// A group of the sequences asked for that are in none of `continuing`.
    fn begin(
        &self,
        state: &Hidden,
        canvases: &[&Canvas],
        asked: &Asked,
        continuing: &[Group],
        (words, regroup): (&Vocabulary, &Regroup),
    ) -> Result<Option<Group>, Error> {
        let going = continuing.iter().flat_map(|group| &group.members);
        let going: Vec<usize> = going.map(|member| member.sequence).collect();
        let fresh = asked.iter().filter(|(sequence, _)| !going.contains(sequence));
        let member = |(lane, (sequence, positions)): (usize, (&usize, &Vec<usize>))| {
            let tokens = state.tokens[*sequence].clone();
            let changed = changes(&tokens, canvases[*sequence]);
            let mut open: Vec<usize> = positions.iter().copied().chain(changed).collect();
            open.sort_unstable();
            open.dedup();
            let place = |position| (position, lane * state.length + position);
            Member {
                sequence: *sequence,
                lane,
                open: open.into_iter().map(place).collect(),
                tokens,
            }
        };
        let members: Vec<Member> = fresh.enumerate().map(member).collect();
        if members.is_empty() {
            return Ok(None);
        }
        let sequences: Vec<usize> = members.iter().map(|member| member.sequence).collect();
        let own: Vec<&Canvas> = sequences.iter().map(|&sequence| canvases[sequence]).collect();
        let batch = Batch::new(&own, state.length, words)?;
        let places = members.iter().flat_map(|member| &member.open);
        let places = places.map(|&(_, place)| place as i64).collect();
        let places = self.context.named(vector(places))?;
        let (words, which, valid) = self.context.named(batch.into_distinct())?;
        let whole = sequences.iter().copied().eq(0..state.lengths.len());
        let hidden = match whole {
            true => Arc::clone(&state.value),
            false => Arc::new(regroup.select(&state.value, &sequences)?),
        };
        let context = self.context.run_all(&[&words, &which, &valid, &hidden, &places])?;
        let context: [DynValue; 5] = exactly(context)?;
        let lanes = members.len();
        let settled = Arc::new(self.nothing_settled(&context[1], lanes)?);
        let tensors = Tensors { lanes, hidden, context: Arc::new(context), settled };
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

    /// Runs the pass of a group and advances its tensors. The rows of the plans follow each other, those first that settle.
    fn pass(&self, tensors: &mut Tensors, plans: &[Plan<'_>]) -> Result<(), Error> {
        let most = |count: fn(&Plan<'_>) -> usize| plans.iter().map(count).max().unwrap_or(0);
        let settling = most(|plan| plan.settling.len());
        let width = settling + most(|plan| plan.asked.len());
        let mut columns: [Vec<i64>; 4] = Default::default();
        let [tokens, positions, from, back] = &mut columns;
        let append = |to: &mut Vec<i64>, value: usize| to.push(value as i64);
        // Padding is row 0, which nothing attends to.
        let mut slots = vec![0_i64; tensors.lanes * width];
        let mut unseen = vec![UNSEEN; slots.len()];
        for plan in plans {
            for (own, first) in [(&plan.settling, 0), (&plan.asked, settling)] {
                for (i, &(position, place)) in own.iter().enumerate() {
                    let slot = plan.lane * width + first + i;
                    (slots[slot], unseen[slot]) = (back.len() as i64, 0.0);
                    append(back, slot);
                    append(tokens, plan.canvas.tokens()[position] as usize);
                    append(positions, position);
                    append(from, place);
                }
            }
        }
        let (rows, lanes) = (back.len(), tensors.lanes);
        let [tokens, positions, from, back] = columns;
        let (words, which) = distinct(tokens);
        let inputs = (|| {
            Ok([
                vector(words)?,
                Tensor::from_array(([rows, 1], which))?.into_dyn(),
                Tensor::from_array(([rows, 1], positions))?.into_dyn(),
                vector(from)?,
                Tensor::from_array(([lanes, width], slots))?.into_dyn(),
                vector(back)?,
                Tensor::from_array(([lanes, 1, width], unseen))?.into_dyn(),
                vector(vec![settling as i64])?,
            ])
        })();
        let [inputs @ .., settling] = &self.pass.named(inputs)?;
        let mut all: Vec<&DynValue> = inputs.iter().collect();
        all.push(&tensors.hidden);
        all.extend(tensors.context.iter().chain(tensors.settled.iter()));
        all.push(settling);
        let [hidden, keys, values, bias] = exactly(self.pass.run_all(&all)?)?;
        tensors.hidden = Arc::new(hidden);
        tensors.settled = Arc::new([keys, values, bias]);
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
        let asked = positions.iter().filter_map(open).collect();
        Self { canvas, lane: member.lane, settling, asked }
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
