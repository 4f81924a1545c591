use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::layout::{Layout, emptied};
use super::sequence::Sequence;
use super::{Generator, Request};
use crate::condensed::{Condense, Rows};
use crate::unmasker::{Question, Work};
use crate::{Canvas, Error, Next, Observer, Output, State, Unmasker};

/// Runs all requests, at most a batch at a time; a finished sequence makes room for the next.
///
/// The shortest begin first: a batch costs its longest sequence, so neighbours should be of a length. Outputs
/// keep the order of the requests, and no result depends on who its neighbours were.
pub(super) fn run(
    generator: &Generator,
    requests: Vec<Request<'_>>,
    observer: &mut dyn Observer,
) -> Result<Vec<Output>, Error> {
    let mut memory = Memory::default();
    let mut outputs: Vec<Option<Output>> = requests.iter().map(|_| None).collect();
    let mut waiting = begin_all(generator, requests)?;
    waiting.sort_by_key(|sequence| sequence.canvas.len());
    let mut waiting = waiting.into_iter();
    let mut active: Vec<Sequence> = Vec::new();
    loop {
        while active.len() < generator.batch_size {
            let Some(sequence) = waiting.next() else { break };
            observer.on_begin(sequence.index, &sequence.canvas);
            active.push(sequence);
        }
        if active.is_empty() {
            return Ok(outputs.into_iter().flatten().collect());
        }
        step(generator, &mut active, &mut memory, observer)?;
        for sequence in active.extract_if(.., |sequence| sequence.is_done()) {
            let index = sequence.index;
            let output = sequence.finish();
            observer.on_finish(index, &output);
            outputs[index] = Some(output);
        }
    }
}

/// What is used again from step to step, so that a step of the loop itself allocates nothing.
#[derive(Default)]
struct Memory {
    work: Work,
    layout: Layout,
    /// What must be known of condensed rows.
    wanted: Condense,
    questions: Vec<Vec<Question>>,
    /// Holds nothing between calls of the model.
    batch: Vec<&'static Canvas>,
    /// Rows answered, each with the sequences they belong to: a range of `slots`.
    answers: Vec<(Range<usize>, Rows)>,
    slots: Vec<usize>,
    /// The slots of the sequences that ask for a sampler pass, and those of them still without one.
    asking: Vec<usize>,
    left: Vec<usize>,
}

/// Checks every request before anything is run.
pub(super) fn begin_all(
    generator: &Generator,
    requests: Vec<Request<'_>>,
) -> Result<Vec<Sequence>, Error> {
    let vocabulary = generator.model.vocabulary();
    let begin = |(index, request): (usize, Request<'_>)| {
        let Request { canvas, settings, parts } = request;
        if !Arc::ptr_eq(&generator.model, &settings.model) {
            return Err(Error::OtherModel { sequence: index });
        }
        let (got, expected) = (canvas.mask(), vocabulary.mask());
        if got != expected {
            return Err(Error::MaskMismatch { sequence: index, got, expected });
        }
        if let Some(max) = generator.model.max_length().filter(|&max| canvas.len() > max) {
            return Err(Error::TooLong { sequence: index, length: canvas.len(), max });
        }
        let size = vocabulary.size();
        if let Some((position, &token)) =
            canvas.tokens().iter().enumerate().find(|(_, token)| **token as usize >= size)
        {
            return Err(Error::UnknownToken { sequence: index, token, position, size });
        }
        let stream = (settings.streams)(index as u64);
        Sequence::begin(index, canvas, settings.unmasker.clone(), parts, stream)
    };
    requests.into_iter().enumerate().map(begin).collect()
}

/// One denoising step of every active sequence: one forward, then one sampler pass an inner round
/// for all sequences that ask for it.
fn step(
    generator: &Generator,
    active: &mut [Sequence],
    memory: &mut Memory,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let mut state = forward(generator, active, memory, observer)?;
    for round in 0.. {
        let Memory { work, layout, answers, slots, asking, .. } = &mut *memory;
        asking.clear();
        for (range, answer) in answers.iter() {
            for &slot in &slots[range.clone()] {
                let rows = &layout.shown[slot];
                if active[slot].decide(round, answer, rows, work, observer)? == Next::Refine {
                    asking.push(slot);
                }
            }
        }
        // Rows take much memory and have been read.
        answers.clear();
        if asking.is_empty() {
            break;
        }
        refine(&mut state, active, memory, generator.model.vocabulary().size())?;
        memory.asking.iter().for_each(|&slot| active[slot].refined(round + 1, observer));
    }
    active.iter_mut().for_each(|sequence| sequence.end_step(observer));
    Ok(())
}

/// The forward of a step for all sequences, with their questions answered.
fn forward(
    generator: &Generator,
    active: &mut [Sequence],
    memory: &mut Memory,
    observer: &mut dyn Observer,
) -> Result<State, Error> {
    let Memory { layout, wanted, questions, batch, answers, slots, .. } = memory;
    questions.clear();
    for sequence in active.iter_mut() {
        questions.push(sequence.prepare(observer)?);
    }
    let mut canvases = emptied(mem::take(batch));
    canvases.extend(active.iter().map(|sequence| &sequence.canvas));
    layout.lay_out(&canvases, questions);
    let canvases = layout.batch(canvases, active.iter().map(|sequence| &sequence.canvas));
    let (answer, state) = if wanted.unite(active.iter().map(Sequence::condense)) {
        generator.model.denoise_condensed(&canvases, &layout.rows, wanted)?
    } else {
        let (beliefs, state) = generator.model.denoise(&canvases, &layout.rows)?;
        (beliefs.into(), state)
    };
    *batch = emptied(canvases);
    answer.expect_shape(layout.rows.len(), generator.model.vocabulary().size())?;
    let passes = generator.model.passes();
    for (sequence, forwards) in active.iter_mut().zip(&layout.forwards) {
        sequence.forwarded(passes * forwards, observer);
    }
    slots.clear();
    slots.extend(0..active.len());
    answers.push((0..active.len(), answer));
    Ok(state)
}

/// One sampler pass for the sequences that ask: one for each layer there is among them.
fn refine(
    state: &mut State,
    active: &[Sequence],
    memory: &mut Memory,
    columns: usize,
) -> Result<(), Error> {
    let Memory { layout, wanted, batch, answers, slots, asking, left, .. } = memory;
    slots.clear();
    left.clone_from(asking);
    while let Some(&next) = left.first() {
        let layer = active[next].unmasker.sampler_layer().ok_or(Error::NoSamplerLayer)?;
        let (first, mut canvases) = (slots.len(), emptied(mem::take(batch)));
        layout.rows.clear();
        left.retain(|&slot| {
            let other = active[slot].unmasker.sampler_layer();
            let shares = slot == next || other.is_some_and(|other| Arc::ptr_eq(other, layer));
            if shares {
                layout.narrow(slot, &active[slot].canvas, &active[slot].window);
                slots.push(slot);
            }
            !shares
        });
        canvases = layout.batch(canvases, active.iter().map(|sequence| &sequence.canvas));
        let sharing = slots[first..].iter().map(|&slot| active[slot].condense());
        let answer = if wanted.unite(sharing) {
            layer.refine_condensed(state, &canvases, &layout.rows, wanted)?
        } else {
            layer.refine(state, &canvases, &layout.rows)?.into()
        };
        *batch = emptied(canvases);
        answer.expect_shape(layout.rows.len(), columns)?;
        answers.push((first..slots.len(), answer));
    }
    Ok(())
}
