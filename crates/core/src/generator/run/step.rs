//! One denoising step of a batch: one forward, then one sampler pass in each inner round.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::denoiser::{Answer, Form, Request, SequenceInput, Session, State};
use crate::generator::Generator;
use crate::generator::layout::{Layout, reused};
use crate::generator::sequence::{RoundRows, Sequence};
use crate::observation::{RowQuery, Scratch};
use crate::top_k_rows::{Rows, TopKRequest};
use crate::unmasker::Next;
use crate::{Canvas, Error, Observer};

/// Buffers that are reused from step to step, so that the loop itself does not allocate.
#[derive(Default)]
pub(super) struct Memory {
    scratch: Scratch,
    layout: Layout,
    /// The required content of top-K rows.
    top_k: TopKRequest,
    queries: Vec<Vec<RowQuery>>,
    /// The branches of each sequence.
    branches: Vec<Vec<Canvas>>,
    /// Empty between calls of the model.
    batch: Vec<SequenceInput<'static>>,
    /// The rows of each call, with the sequences they belong to: a range of `slots`.
    answers: Vec<(Range<usize>, Rows)>,
    /// The hidden states of each sequence after the forward, if any sequence requested them.
    hidden: Vec<Array2<f32>>,
    /// Which sequences requested hidden states.
    request_hidden: Vec<bool>,
    slots: Vec<usize>,
    /// Sequences that failed before the forward.
    failed: Vec<Sequence>,
    /// The slots of the sequences that requested a sampler pass, and those that still wait for one.
    refining: Vec<usize>,
    pending: Vec<usize>,
}

impl Memory {
    /// The sequences that failed before the forward of the last step.
    pub fn take_failed(&mut self) -> Vec<Sequence> {
        mem::take(&mut self.failed)
    }
}

/// Runs the step. A sequence that fails takes no further part in it.
pub(super) fn step(
    generator: &Generator,
    session: &mut Option<Box<dyn Session>>,
    active: &mut Vec<Sequence>,
    memory: &mut Memory,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    memory.answers.clear();
    let Some(mut state) = forward(generator, session, active, memory, observer)? else {
        return Ok(());
    };
    for round in 0.. {
        let Memory { scratch, layout, answers, hidden, request_hidden, slots, refining, .. } =
            &mut *memory;
        refining.clear();
        for (range, rows) in answers.iter() {
            for &slot in &slots[range.clone()] {
                let sequence = &mut active[slot];
                if sequence.failed.is_some() {
                    continue;
                }
                let mut own = &layout.row_refs[slot];
                loop {
                    // A sequence must not see hidden states that only another one requested.
                    let hidden = hidden.get(sequence.place(slot)).filter(|_| request_hidden[slot]);
                    let hidden = hidden.map(|h| h.view());
                    let round_rows = RoundRows { rows, hidden, own, round };
                    match sequence.decide(&round_rows, scratch, observer) {
                        Ok(Next::Refine) => refining.push(slot),
                        Ok(Next::Follow(branch)) if round == 0 => {
                            if let Some((branch, canvas)) = layout.branch(slot, branch)
                                && sequence.follow(canvas, branch.place)
                            {
                                own = &branch.rows;
                                continue;
                            }
                        }
                        Ok(Next::EndStep | Next::Follow(_)) => {}
                        Err(error) => sequence.failed = Some(error),
                    }
                    break;
                }
            }
        }
        // Rows take much memory and are no longer needed.
        answers.clear();
        if refining.is_empty() {
            break;
        }
        refine(&mut state, active, memory, generator.vocabulary().size())?;
        for (range, _) in &memory.answers {
            let refined = &memory.slots[range.clone()];
            refined.iter().for_each(|&slot| active[slot].refined(round + 1, observer));
        }
    }
    memory.hidden.clear();
    let running = active.iter_mut().filter(|sequence| sequence.failed.is_none());
    running.for_each(|sequence| sequence.end_step(observer));
    Ok(())
}

/// Runs the forward of a step for all sequences. `None` if all failed before it.
fn forward(
    generator: &Generator,
    session: &mut Option<Box<dyn Session>>,
    active: &mut Vec<Sequence>,
    memory: &mut Memory,
    observer: &mut dyn Observer,
) -> Result<Option<State>, Error> {
    let Memory { layout, top_k, queries, branches, batch, answers, hidden, .. } = memory;
    let Memory { request_hidden, slots, failed, .. } = memory;
    queries.clear();
    branches.clear();
    request_hidden.clear();
    let mut slot = 0;
    while slot < active.len() {
        match active[slot].plan(observer) {
            Ok(plan) => {
                queries.push(plan.queries);
                branches.push(plan.branches);
                request_hidden.push(plan.hidden);
                slot += 1;
            }
            Err(error) => {
                active[slot].failed = Some(error);
                failed.push(active.remove(slot));
            }
        }
    }
    slots.clear();
    slots.extend(0..active.len());
    if slots.is_empty() {
        return Ok(None);
    }
    let needs_hidden = request_hidden.contains(&true);
    let mut inputs = reused(mem::take(batch));
    inputs.extend(active.iter().map(Sequence::input));
    layout.lay_out(&inputs, queries, branches);
    inputs.extend(layout.extra());
    let form = match top_k.unite(active.iter().map(Sequence::top_k)) {
        true => Form::TopK(top_k),
        false => Form::Dense,
    };
    let request = Request { batch: &inputs, rows: &layout.rows, form, hidden: needs_hidden };
    let answer = match session {
        Some(session) => session.forward(&request)?,
        None => generator.model.forward(&request)?,
    };
    let canvases = inputs.len();
    *batch = reused(inputs);
    let Answer { rows, state, hidden: states } = answer;
    rows.expect_shape(layout.rows.len(), generator.vocabulary().size())?;
    *hidden = states;
    if hidden.len() == canvases {
        for (sequence, states) in active.iter().zip(hidden.iter()) {
            let (got, expected) = (states.nrows(), sequence.canvas.len());
            if needs_hidden && got != expected {
                return Err(Error::model(format!("{got} hidden states: expected {expected}")));
            }
        }
    } else if needs_hidden {
        hidden.clear();
        let requesting = active.iter_mut().zip(request_hidden.iter()).filter(|(_, it)| **it);
        requesting.for_each(|(sequence, _)| sequence.failed = Some(Error::NoHiddenStates));
    }
    let passes = generator.model.passes();
    for (sequence, forwards) in active.iter_mut().zip(&layout.forwards) {
        sequence.forwarded(passes * forwards, observer);
    }
    answers.push((0..slots.len(), rows));
    Ok(Some(state))
}

/// Runs one sampler pass for each layer among the sequences that requested one. A sequence without a layer
/// fails.
fn refine(
    state: &mut State,
    active: &mut [Sequence],
    memory: &mut Memory,
    columns: usize,
) -> Result<(), Error> {
    let Memory { layout, top_k, batch, answers, slots, refining, pending, .. } = memory;
    slots.clear();
    pending.clear();
    for &slot in refining.iter() {
        match active[slot].sampler_layer() {
            Some(_) => pending.push(slot),
            None => active[slot].failed = Some(Error::NoSamplerLayer),
        }
    }
    let active = &*active;
    let place = |slot: usize| active[slot].place(slot);
    // Requests list rows in the order of the batch.
    pending.sort_unstable_by_key(|&slot| place(slot));
    while let Some(layer) = pending.first().and_then(|&next| active[next].sampler_layer()) {
        let first = slots.len();
        layout.rows.clear();
        pending.retain(|&slot| {
            let other = active[slot].sampler_layer();
            let shares = other.is_some_and(|other| Arc::ptr_eq(other, layer));
            if shares {
                let sequence = &active[slot];
                layout.narrow(slot, place(slot), sequence.pass_canvas(), &sequence.window);
                slots.push(slot);
            }
            !shares
        });
        let mut inputs = reused(mem::take(batch));
        inputs.extend(active.iter().map(Sequence::input));
        inputs.extend(layout.extra());
        for &slot in &slots[first..] {
            inputs[place(slot)] = active[slot].layer_input();
        }
        let form = match top_k.unite(slots[first..].iter().map(|&slot| active[slot].top_k())) {
            true => Form::TopK(top_k),
            false => Form::Dense,
        };
        let request = Request { batch: &inputs, rows: &layout.rows, form, hidden: false };
        let rows = layer.pass(state, &request)?;
        *batch = reused(inputs);
        rows.expect_shape(layout.rows.len(), columns)?;
        answers.push((first..slots.len(), rows));
    }
    Ok(())
}
