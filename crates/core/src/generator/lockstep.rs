use std::sync::Arc;

use super::layout::Layout;
use super::sequence::Sequence;
use super::{Generator, Request};
use crate::unmasker::{Question, Work};
use crate::{Beliefs, Canvas, Error, Next, Observer, Output, SamplerLayer, State, Unmasker};

/// Runs all requests, at most a batch at a time; a finished sequence makes room for the next.
pub(super) fn run(
    generator: &Generator,
    requests: Vec<Request<'_>>,
    observer: &mut dyn Observer,
) -> Result<Vec<Output>, Error> {
    let mut work = Work::default();
    let mut outputs: Vec<Option<Output>> = requests.iter().map(|_| None).collect();
    let mut waiting = begin_all(generator, requests)?.into_iter();
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
        let questions: Vec<_> =
            active.iter_mut().map(|s| s.prepare(observer)).collect::<Result<_, _>>()?;
        step(generator, &questions, &mut active, &mut work, observer)?;
        for sequence in active.extract_if(.., |sequence| sequence.is_done()) {
            let index = sequence.index;
            let output = sequence.finish();
            observer.on_finish(index, &output);
            outputs[index] = Some(output);
        }
    }
}

/// Checks every request before anything is run.
fn begin_all(generator: &Generator, requests: Vec<Request<'_>>) -> Result<Vec<Sequence>, Error> {
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
    questions: &[Vec<Question>],
    active: &mut [Sequence],
    work: &mut Work,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let columns = generator.model.vocabulary().size();
    let canvases: Vec<&Canvas> = active.iter().map(|sequence| &sequence.canvas).collect();
    let mut layout = Layout::new(&canvases, questions);
    let (beliefs, mut state) =
        generator.model.denoise(&layout.batch(canvases.into_iter()), &layout.rows)?;
    beliefs.expect_shape(layout.rows.len(), columns)?;
    let passes = generator.model.passes();
    for (sequence, forwards) in active.iter_mut().zip(&layout.forwards) {
        sequence.forwarded(passes * forwards, observer);
    }
    let mut answers = vec![((0..active.len()).collect::<Vec<_>>(), beliefs)];
    for round in 0.. {
        let mut asking = Vec::new();
        for (slots, beliefs) in &answers {
            for &slot in slots {
                let rows = &layout.shown[slot];
                if active[slot].decide(round, beliefs, rows, work, observer)? == Next::Refine {
                    asking.push(slot);
                }
            }
        }
        if asking.is_empty() {
            break;
        }
        answers = refine(&mut layout, &mut state, &asking, active, columns)?;
        asking.iter().for_each(|&slot| active[slot].refined(round + 1, observer));
    }
    active.iter_mut().for_each(|sequence| sequence.end_step(observer));
    Ok(())
}

/// One sampler pass for the sequences in the slots `asking`: one for each layer there is among them.
/// Returns slots and their rows.
fn refine(
    layout: &mut Layout,
    state: &mut State,
    asking: &[usize],
    active: &[Sequence],
    columns: usize,
) -> Result<Vec<(Vec<usize>, Beliefs)>, Error> {
    let mut layers: Vec<(Arc<dyn SamplerLayer>, Vec<usize>)> = Vec::new();
    for &slot in asking {
        let layer = active[slot].unmasker.sampler_layer().ok_or(Error::NoSamplerLayer)?;
        match layers.iter_mut().find(|(known, _)| Arc::ptr_eq(known, layer)) {
            Some((_, slots)) => slots.push(slot),
            None => layers.push((layer.clone(), vec![slot])),
        }
    }
    let mut answers = Vec::with_capacity(layers.len());
    for (layer, slots) in layers {
        let rows = layout.narrow(&slots, |slot| &active[slot].canvas);
        let batch = layout.batch(active.iter().map(|sequence| &sequence.canvas));
        let beliefs = layer.refine(state, &batch, &rows)?;
        beliefs.expect_shape(rows.len(), columns)?;
        answers.push((slots, beliefs));
    }
    Ok(answers)
}
