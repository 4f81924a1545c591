//! A sampler layer whose passes compute rows: the candidates of a step and the tokens just revealed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conjoint_core::{Canvas, RowId, TokenId, Vocabulary};
use conjoint_export::{Manifest, SamplerRows};
use ort::value::{DynValue, Tensor};

use crate::Error;
use crate::batch::{Batch, distinct};
use crate::hidden::Hidden;
use crate::regroup::Regroup;
use crate::session::{Graph, Opener, Signature};

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
    /// Distinguishes its groups from those of another layer.
    id: u64,
    context: Graph,
    pass: Graph,
    heads: usize,
    kv_heads: usize,
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
    /// Its index along B. A sequence that no longer takes part keeps its place, which costs its share of attention.
    lane: usize,
    /// The positions that a pass may compute, each with its place in the hidden states.
    open: Vec<(usize, usize)>,
    /// Its tokens as the last pass saw them, or the forward.
    tokens: Vec<TokenId>,
}

/// What a pass takes from the one before.
#[derive(Clone)]
struct Tensors {
    /// B.
    lanes: usize,
    /// Hidden states of the last pass [A, 1, D], or of the forward [B, T, D].
    hidden: Arc<DynValue>,
    /// Keys and values of all positions, as the last pass left them.
    cache: Arc<[DynValue; 2]>,
    /// `bias`, `cos` and `sin` of the context.
    frame: Arc<[DynValue; 3]>,
}

/// The rows that a pass computes of one sequence, each with its place in the hidden states before.
struct Plan<'a> {
    canvas: &'a Canvas,
    lane: usize,
    /// Those asked for, which stay open.
    asked: Vec<(usize, usize)>,
    /// Those that no later pass computes.
    settling: Vec<(usize, usize)>,
}

/// The positions asked for of each sequence.
type Asked = BTreeMap<usize, Vec<usize>>;

/// What a pass gave: hidden states [A, 1, D], and where in them each row asked for is.
pub(crate) struct Passed {
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
        let (words, which, valid) = self.context.named(batch.into_distinct())?;
        let whole = sequences.iter().copied().eq(0..state.lengths.len());
        let hidden = match whole {
            true => Arc::clone(&state.value),
            false => Arc::new(regroup.select(&state.value, &sequences)?),
        };
        let context = self.context.run_all(&[&words, &which, &valid, &hidden])?;
        let [keys, values, frame @ ..]: [DynValue; 5] = exactly(context)?;
        let (cache, frame) = (Arc::new([keys, values]), Arc::new(frame));
        let tensors = Tensors { lanes: members.len(), hidden, cache, frame };
        Ok(Some(Group { layer: self.id, members, tensors }))
    }

    /// Runs the pass of a group and advances its tensors. The rows asked for come first, in the order of the plans.
    fn pass(&self, tensors: &mut Tensors, plans: &[Plan<'_>]) -> Result<(), Error> {
        let (heads, kv_heads, lanes) = (self.heads, self.kv_heads, tensors.lanes);
        let most = |count: fn(&Plan<'_>) -> usize| plans.iter().map(count).max().unwrap_or(0);
        let asked_slots = most(|plan| plan.asked.len());
        let width = asked_slots + most(|plan| plan.settling.len());
        let asked_rows: usize = plans.iter().map(|plan| plan.asked.len()).sum();
        let mut columns: [Vec<i64>; 5] = Default::default();
        let [tokens, positions, row_keys, answers, from] = &mut columns;
        let append = |to: &mut Vec<i64>, value: usize| to.push(value as i64);
        // Padding repeats the first row's query; its result is not read.
        let mut queries = vec![0_i64; lanes * heads * width];
        let asked = plans.iter().map(|plan| (plan, &plan.asked, 0));
        let settling = plans.iter().map(|plan| (plan, &plan.settling, asked_slots));
        for (plan, rows, first) in asked.chain(settling) {
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
                vector(vec![asked_rows as i64, asked_slots as i64])?,
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
        Self { canvas, lane: member.lane, asked, settling }
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
