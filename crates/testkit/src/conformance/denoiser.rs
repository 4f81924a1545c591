use std::collections::BTreeMap;

use conjoint_core::{Canvas, Denoiser, DenseRows, Error as CoreError, RowId};

use super::Violation;

/// Checks that every row of a denoiser's batch equals that row alone.
///
/// Pass canvases of several lengths, some of them partly revealed. The suite checks that the
/// denoiser returns the requested rows, with logits that are not NaN or +∞. It checks that each row
/// is the same, within `tolerance` on each logit, when the batch is run again, in reverse order, one
/// sequence at a time, and one row at a time.
///
/// Use a tolerance of 0 for a model that computes each sequence on its own. A runtime that selects
/// its kernels by the size of the batch needs more.
///
/// # Errors
/// The first [`Violation`] found.
pub fn denoiser(
    name: &str,
    model: &dyn Denoiser,
    canvases: &[Canvas],
    tolerance: f32,
) -> Result<(), Violation> {
    let run = |slots: &[usize], selects: &dyn Fn(usize, usize) -> bool| {
        let (batch, rows) = select(canvases, slots, selects);
        let answer = model.denoise(&batch, &rows).map(|(rows, _)| rows);
        named_rows(name, model, answer, slots, &rows)
    };
    let slots: Vec<usize> = (0..canvases.len()).collect();
    let whole = Reference { run: name, rows: run(&slots, &|_, _| true)?, tolerance };
    if whole.rows.is_empty() {
        return Err(Violation::failed(name, CoreError::NothingMasked("no canvas to test with")));
    }
    whole.compare("run again", run(&slots, &|_, _| true)?)?;
    let reversed: Vec<usize> = slots.iter().rev().copied().collect();
    whole.compare("in reverse order", run(&reversed, &|_, _| true)?)?;
    for &slot in &slots {
        whole.compare("alone", run(&[slot], &|_, _| true)?)?;
        for position in canvases[slot].masked() {
            whole.compare("as the only row", run(&[slot], &|_, p| p == position)?)?;
        }
    }
    Ok(())
}

/// Logits by the index of the canvas, and position.
pub(super) type Rows = BTreeMap<(usize, usize), Vec<f32>>;

/// The batch of the canvases in `slots`, and those of its masked rows that `selects` accepts, by
/// slot and position.
pub(super) fn select<'a>(
    canvases: &'a [Canvas],
    slots: &[usize],
    selects: &dyn Fn(usize, usize) -> bool,
) -> (Vec<&'a Canvas>, Vec<RowId>) {
    let mut rows = Vec::new();
    for (sequence, &slot) in slots.iter().enumerate() {
        let positions = canvases[slot].masked().filter(|&position| selects(slot, position));
        rows.extend(positions.map(|position| RowId { sequence, position }));
    }
    (slots.iter().map(|&slot| &canvases[slot]).collect(), rows)
}

/// Checks the rows of an answer and returns them by canvas and position.
pub(super) fn named_rows(
    run: &str,
    model: &dyn Denoiser,
    answer: Result<DenseRows, CoreError>,
    slots: &[usize],
    rows: &[RowId],
) -> Result<Rows, Violation> {
    let failed = |error| Violation::failed(run, error);
    let answer = answer.map_err(failed)?;
    answer.expect_shape(rows.len(), model.vocabulary().size()).map_err(failed)?;
    let mut named = Rows::new();
    for (n, &RowId { sequence, position }) in rows.iter().enumerate() {
        let (sequence, logits) = (slots[sequence], answer.logits(n).to_vec());
        let bad = |(_, l): &(usize, &f32)| l.is_nan() || **l == f32::INFINITY;
        if let Some((token, &value)) = logits.iter().enumerate().find(bad) {
            return Err(failed(CoreError::NonFinite { sequence, position, token, value }));
        }
        named.insert((sequence, position), logits);
    }
    Ok(named)
}

/// The rows of the whole batch, with which all others are compared.
pub(super) struct Reference<'a> {
    pub run: &'a str,
    pub rows: Rows,
    pub tolerance: f32,
}

impl Reference<'_> {
    pub fn compare(&self, how: &str, rows: Rows) -> Result<(), Violation> {
        for ((sequence, position), row) in rows {
            let reference = self.rows.get(&(sequence, position)).map_or(&[][..], Vec::as_slice);
            for (token, (&got, &expected)) in row.iter().zip(reference).enumerate() {
                // −∞ equals only itself.
                let difference = if got == expected { 0.0 } else { (got - expected).abs() };
                if difference > self.tolerance {
                    let (run, how, tolerance) = (self.run.into(), how.into(), self.tolerance);
                    return Err(Violation::RowChanged {
                        run,
                        sequence,
                        position,
                        how,
                        token,
                        got,
                        expected,
                        tolerance,
                    });
                }
            }
        }
        Ok(())
    }
}
