//! One denoising step of a batch: one forward, then one sampler pass an inner round for all sequences that ask.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::denoiser::{Answer, Form, Request, SequenceInput, Session, State};
use crate::generator::Generator;
use crate::generator::layout::{Layout, emptied};
use crate::generator::sequence::{Answered, Sequence};
use crate::observation::{Asked, Scratch};
use crate::top_k_rows::{Rows, TopKRequest};
use crate::unmasker::Next;
use crate::{Canvas, Error, Observer};

/// What is used again from step to step, so that a step of the loop itself allocates nothing.
#[derive(Default)]
pub(super) struct Memory {
    scratch: Scratch,
    layout: Layout,
    /// What must be known of top-K rows.
    top_k: TopKRequest,
    queries: Vec<Vec<Asked>>,
    /// The branches of each sequence.
    ahead: Vec<Vec<Canvas>>,
    /// Holds nothing between calls of the model.
    batch: Vec<SequenceInput<'static>>,
    /// Rows answered, each with the sequences they belong to: a range of `slots`.
    answers: Vec<(Range<usize>, Rows)>,
    /// Hidden states of the forward: those of each sequence, if any asked for them.
    hidden: Vec<Array2<f32>>,
    /// Which sequences asked for hidden states.
    request_hidden: Vec<bool>,
    slots: Vec<usize>,
    /// Sequences that failed before the forward.
    failed: Vec<Sequence>,
    /// The slots of the sequences that ask for a sampler pass, and those of them still without one.
    asking: Vec<usize>,
    left: Vec<usize>,
}

impl Memory {
    /// The sequences that failed before the forward of the last step.
    pub fn take_failed(&mut self) -> Vec<Sequence> {
        mem::take(&mut self.failed)
    }
}

/// Takes the step. A sequence that fails takes no further part in it.
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
        let Memory { scratch, layout, answers, hidden, request_hidden, slots, asking, .. } =
            &mut *memory;
        asking.clear();
        for (range, rows) in answers.iter() {
            for &slot in &slots[range.clone()] {
                let sequence = &mut active[slot];
                if sequence.failed.is_some() {
                    continue;
                }
                let mut own = &layout.shown[slot];
                loop {
                    // What a neighbour asked for is not this one's to see.
                    let hidden = hidden.get(sequence.place(slot)).filter(|_| request_hidden[slot]);
                    let hidden = hidden.map(|h| h.view());
                    let answered = Answered { rows, hidden, own, round };
                    match sequence.decide(&answered, scratch, observer) {
                        Ok(Next::Refine) => asking.push(slot),
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
        // Rows take much memory and have been read.
        answers.clear();
        if asking.is_empty() {
            break;
        }
        refine(&mut state, active, memory, generator.vocabulary().size())?;
        for (range, _) in &memory.answers {
            let refined = &memory.slots[range.clone()];
            refined.iter().for_each(|&slot| active[slot].refined(round + 1, observer));
        }
    }
    memory.hidden.clear();
    let going = active.iter_mut().filter(|sequence| sequence.failed.is_none());
    going.for_each(|sequence| sequence.end_step(observer));
    Ok(())
}

/// The forward of a step for all sequences, with their queries answered. `None` if all have failed before it.
fn forward(
    generator: &Generator,
    session: &mut Option<Box<dyn Session>>,
    active: &mut Vec<Sequence>,
    memory: &mut Memory,
    observer: &mut dyn Observer,
) -> Result<Option<State>, Error> {
    let Memory { layout, top_k, queries, ahead, batch, answers, hidden, .. } = memory;
    let Memory { request_hidden, slots, failed, .. } = memory;
    queries.clear();
    ahead.clear();
    request_hidden.clear();
    let mut slot = 0;
    while slot < active.len() {
        match active[slot].plan(observer) {
            Ok(plan) => {
                queries.push(plan.asked);
                ahead.push(plan.ahead);
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
    let asks_hidden = request_hidden.contains(&true);
    let mut shown = emptied(mem::take(batch));
    shown.extend(active.iter().map(Sequence::shown));
    layout.lay_out(&shown, queries, ahead);
    shown.extend(layout.extra());
    let form = match top_k.unite(active.iter().map(Sequence::top_k)) {
        true => Form::TopK(top_k),
        false => Form::Dense,
    };
    let request = Request { batch: &shown, rows: &layout.rows, form, hidden: asks_hidden };
    let answer = match session {
        Some(session) => session.forward(&request)?,
        None => generator.model.forward(&request)?,
    };
    let canvases = shown.len();
    *batch = emptied(shown);
    let Answer { rows, state, hidden: states } = answer;
    rows.expect_shape(layout.rows.len(), generator.vocabulary().size())?;
    *hidden = states;
    if hidden.len() == canvases {
        for (sequence, states) in active.iter().zip(hidden.iter()) {
            let (got, expected) = (states.nrows(), sequence.canvas.len());
            if asks_hidden && got != expected {
                return Err(Error::model(format!("{got} hidden states: expected {expected}")));
            }
        }
    } else if asks_hidden {
        hidden.clear();
        let asked = active.iter_mut().zip(request_hidden.iter()).filter(|(_, asked)| **asked);
        asked.for_each(|(sequence, _)| sequence.failed = Some(Error::NoHiddenStates));
    }
    let passes = generator.model.passes();
    for (sequence, forwards) in active.iter_mut().zip(&layout.forwards) {
        sequence.forwarded(passes * forwards, observer);
    }
    answers.push((0..slots.len(), rows));
    Ok(Some(state))
}

/// One sampler pass for the sequences that ask: one for each layer there is among them. A sequence without a layer fails.
fn refine(
    state: &mut State,
    active: &mut [Sequence],
    memory: &mut Memory,
    columns: usize,
) -> Result<(), Error> {
    let Memory { layout, top_k, batch, answers, slots, asking, left, .. } = memory;
    slots.clear();
    left.clear();
    for &slot in asking.iter() {
        match active[slot].sampler_layer() {
            Some(_) => left.push(slot),
            None => active[slot].failed = Some(Error::NoSamplerLayer),
        }
    }
    let active = &*active;
    let place = |slot: usize| active[slot].place(slot);
    // Rows are asked for in the order of the batch.
    left.sort_unstable_by_key(|&slot| place(slot));
    while let Some(layer) = left.first().and_then(|&next| active[next].sampler_layer()) {
        let first = slots.len();
        layout.rows.clear();
        left.retain(|&slot| {
            let other = active[slot].sampler_layer();
            let shares = other.is_some_and(|other| Arc::ptr_eq(other, layer));
            if shares {
                let sequence = &active[slot];
                layout.narrow(slot, place(slot), sequence.pass_canvas(), &sequence.window);
                slots.push(slot);
            }
            !shares
        });
        let mut shown = emptied(mem::take(batch));
        shown.extend(active.iter().map(Sequence::shown));
        shown.extend(layout.extra());
        for &slot in &slots[first..] {
            shown[place(slot)] = active[slot].shown_to_layer();
        }
        let form = match top_k.unite(slots[first..].iter().map(|&slot| active[slot].top_k())) {
            true => Form::TopK(top_k),
            false => Form::Dense,
        };
        let request = Request { batch: &shown, rows: &layout.rows, form, hidden: false };
        let rows = layer.pass(state, &request)?;
        *batch = emptied(shown);
        rows.expect_shape(layout.rows.len(), columns)?;
        answers.push((first..slots.len(), rows));
    }
    Ok(())
}
