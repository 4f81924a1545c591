use super::Generator;
use super::sequence::Sequence;
use crate::unmasker::{Parts, Work};
use crate::{Canvas, Error, Next, Observer, Output, RowId, Unmasker};

/// Runs all canvases, at most a batch at a time; a finished sequence makes room for the next.
pub(super) fn run(
    generator: &Generator,
    canvases: Vec<Canvas>,
    observer: &mut dyn Observer,
) -> Result<Vec<Output>, Error> {
    let parts = generator.parts();
    let mut work = Work::default();
    let mut outputs: Vec<Option<Output>> = canvases.iter().map(|_| None).collect();
    let mut waiting = begin_all(generator, canvases)?.into_iter();
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
        for sequence in &mut active {
            sequence.skip_idle_steps(&parts.schedule, observer);
            sequence.check_end()?;
        }
        step(generator, &parts, &mut active, &mut work, observer)?;
        for sequence in active.extract_if(.., |sequence| sequence.is_done()) {
            let index = sequence.index;
            let output = sequence.finish();
            observer.on_finish(index, &output);
            outputs[index] = Some(output);
        }
    }
}

/// Checks every canvas before anything is run.
fn begin_all(generator: &Generator, canvases: Vec<Canvas>) -> Result<Vec<Sequence>, Error> {
    let vocabulary = generator.model.vocabulary();
    let begin = |(index, canvas): (usize, Canvas)| {
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
        Sequence::begin(
            index,
            canvas,
            generator.unmasker.clone(),
            (generator.streams)(index as u64),
            &generator.schedule,
            generator.block_length,
        )
    };
    canvases.into_iter().enumerate().map(begin).collect()
}

/// One denoising step of every active sequence: one forward, then one sampler pass an inner round
/// for all sequences that ask for it.
fn step(
    generator: &Generator,
    parts: &Parts,
    active: &mut [Sequence],
    work: &mut Work,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let columns = generator.model.vocabulary().size();
    let mut asking: Vec<usize> = (0..active.len()).collect();
    let mut rows = wanted_rows(active, &asking);
    let (mut beliefs, mut state) = generator.model.denoise(&canvases(active), &rows)?;
    active.iter_mut().for_each(|sequence| sequence.denoiser_calls += 1);
    for round in 0.. {
        beliefs.expect_shape(rows.len(), columns)?;
        let mut first_row = 0;
        let mut refining = Vec::new();
        for &slot in &asking {
            let sequence = &mut active[slot];
            let next_row = first_row + sequence.canvas.masked().count();
            let next = sequence.decide(round, &beliefs, first_row, parts, work, observer)?;
            if next == Next::Refine {
                refining.push(slot);
            }
            first_row = next_row;
        }
        asking = refining;
        let Some(&slot) = asking.first() else { break };
        rows = wanted_rows(active, &asking);
        // Every sequence holds a clone of one strategy, and so the same layer.
        let sampler = active[slot].unmasker.sampler_layer().ok_or(Error::NoSamplerLayer)?;
        beliefs = sampler.refine(&mut state, &canvases(active), &rows)?;
        asking.iter().for_each(|&slot| active[slot].sampler_calls += 1);
    }
    let stop = generator.stop_at_eos.then(|| generator.model.vocabulary());
    active.iter_mut().for_each(|sequence| sequence.end_step(stop, observer));
    Ok(())
}

fn canvases(active: &[Sequence]) -> Vec<&Canvas> {
    active.iter().map(|sequence| &sequence.canvas).collect()
}

/// The masked positions of the current blocks of the sequences in `slots`.
fn wanted_rows(active: &[Sequence], slots: &[usize]) -> Vec<RowId> {
    slots
        .iter()
        .flat_map(|&slot| {
            let masked = active[slot].canvas.masked();
            masked.map(move |position| RowId { sequence: slot, position })
        })
        .collect()
}
