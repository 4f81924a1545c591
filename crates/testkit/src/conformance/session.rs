use std::sync::Arc;

use conjoint_core::denoiser::{Changed, Request, SequenceId, SequenceInput, Session};
use conjoint_core::{Canvas, Denoiser, Error as CoreError, RowId, TokenId};

use super::Violation;
use super::denoiser::{Reference, named_rows};

/// Steps in which each sequence is changed.
const STEPS: usize = 12;

/// Checks a model's [session](Denoiser::open_session).
///
/// Pass canvases of several lengths with at least three masked positions each. During 12 steps tokens are revealed and
/// remasked, and sequences pause, change places in the batch and end. The suite checks that a row is the same, within
/// `tolerance` on each logit, when its sequence has its own session. It must also equal that of a full forward, unless the
/// session [declares](Session::is_exact) that it approximates.
///
/// # Errors
/// The first [`Violation`] found; a model that opens no session fails.
pub fn session(
    name: &str,
    model: &Arc<dyn Denoiser>,
    canvases: &[Canvas],
    tolerance: f32,
) -> Result<(), Violation> {
    let mut shared = open(name, model)?;
    let test_sequence = |(index, canvas): (usize, &Canvas)| {
        let (alone, canvas) = (open(name, model)?, canvas.clone());
        let id = SequenceId(index as u64);
        Ok(TestSequence { id, canvas, changed: Changed::All, alone })
    };
    let sequences = canvases.iter().enumerate().map(test_sequence);
    let mut sequences = sequences.collect::<Result<Vec<_>, Violation>>()?;
    let mut compared = 0;
    for step in 0..STEPS {
        let places = sequences.len().max(1);
        sequences.rotate_left(1 % places);
        // Each sequence pauses every fourth step.
        let takes_part = |sequence: &TestSequence| (step as u64 + sequence.id.0) % 4 != 3;
        let (mut part, rest): (Vec<_>, Vec<_>) = sequences.into_iter().partition(takes_part);
        if !part.is_empty() {
            compared += compare(name, model, &mut *shared, &mut part, tolerance)?;
        }
        for sequence in &mut part {
            sequence.change(step).map_err(|error| Violation::failed(name, error))?;
        }
        sequences = part.into_iter().chain(rest).collect();
        for done in sequences.extract_if(.., |sequence| sequence.canvas.is_done()) {
            shared.end(done.id);
        }
    }
    match compared {
        0 => Err(Violation::failed(name, CoreError::NothingMasked("no canvas to test with"))),
        _ => Ok(()),
    }
}

fn open(name: &str, model: &Arc<dyn Denoiser>) -> Result<Box<dyn Session>, Violation> {
    let failed = |error| Violation::failed(name, error);
    let session = Arc::clone(model).open_session().map_err(failed)?;
    session.ok_or_else(|| failed(CoreError::model("the model opens no session")))
}

/// A sequence, and a session for it alone.
struct TestSequence {
    id: SequenceId,
    canvas: Canvas,
    changed: Changed,
    alone: Box<dyn Session>,
}

impl TestSequence {
    fn input(&self) -> SequenceInput<'_> {
        SequenceInput { id: Some(self.id), canvas: &self.canvas, changed: &self.changed }
    }

    /// Reveals a token, and in every third step remasks one.
    fn change(&mut self, step: usize) -> Result<(), CoreError> {
        let mut changed = Vec::new();
        let masked: Vec<usize> = self.canvas.masked().collect();
        let revealed: Vec<usize> = self.canvas.revealed().collect();
        let token = (step % 2) as TokenId + TokenId::from(self.canvas.mask() <= (step % 2) as u32);
        if let Some(&position) = masked.get(step % masked.len().max(1)) {
            self.canvas.reveal(position, token)?;
            changed.push(position);
        }
        if let Some(&position) = revealed.first().filter(|_| step % 3 == 1) {
            self.canvas.remask(position)?;
            changed.push(position);
        }
        changed.sort_unstable();
        self.changed = Changed::Positions(changed);
        Ok(())
    }
}

/// Requests all masked rows of the sequences; returns the number of rows compared.
fn compare(
    name: &str,
    model: &Arc<dyn Denoiser>,
    shared: &mut dyn Session,
    sequences: &mut [TestSequence],
    tolerance: f32,
) -> Result<usize, Violation> {
    let rows_of = |sequence: usize, canvas: &Canvas| {
        let rows = canvas.masked().map(move |position| RowId { sequence, position });
        rows.collect::<Vec<_>>()
    };
    let rows = sequences.iter().enumerate().flat_map(|(n, s)| rows_of(n, &s.canvas));
    let rows: Vec<RowId> = rows.collect();
    let slots: Vec<usize> = (0..sequences.len()).collect();
    let batch: Vec<SequenceInput<'_>> = sequences.iter().map(TestSequence::input).collect();
    let answer = shared.forward(&Request::new(&batch, &rows));
    let answer = answer.and_then(|answer| answer.rows.into_dense());
    let answered = named_rows(name, &**model, answer, &slots, &rows)?;
    let is_exact = shared.is_exact();
    let reference = Reference { run: name, rows: answered, tolerance };
    for (slot, sequence) in sequences.iter_mut().enumerate() {
        let rows = rows_of(0, &sequence.canvas);
        let input = [SequenceInput {
            id: Some(sequence.id),
            canvas: &sequence.canvas,
            changed: &sequence.changed,
        }];
        let request = Request::new(&input, &rows);
        let alone = sequence.alone.forward(&request).and_then(|answer| answer.rows.into_dense());
        reference.compare(
            "in a session of its own",
            named_rows(name, &**model, alone, &[slot], &rows)?,
        )?;
        if is_exact {
            let full = model.forward(&request).and_then(|answer| answer.rows.into_dense());
            reference
                .compare("without memory", named_rows(name, &**model, full, &[slot], &rows)?)?;
        }
    }
    Ok(rows.len())
}
