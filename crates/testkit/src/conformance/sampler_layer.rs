use conjoint_core::{Canvas, Denoiser, Error as CoreError, SamplerLayer, State, TokenId};

use super::Violation;
use super::denoiser::{Reference, Rows, named_rows, select};

/// Puts a sampler layer through the suite, on top of its denoiser.
///
/// In each canvas the first masked position is revealed after the forward; give it canvases with at
/// least two masked positions, of several lengths. Checked are: its rows are as many and as wide as
/// asked for, none of them NaN or +∞; each row is the same, within `tolerance` on each logit, when
/// its sequence is alone, and when only some sequences take part in a pass and the others in a
/// later one (their state must have been left as it was); the state of another denoiser is an
/// error.
///
/// # Errors
/// The first [`Violation`] found.
pub fn sampler_layer(
    name: &str,
    model: &dyn Denoiser,
    layer: &dyn SamplerLayer,
    canvases: &[Canvas],
    tolerance: f32,
) -> Result<(), Violation> {
    let bench = Bench::new(name, model, layer, canvases)?;
    let slots: Vec<usize> = (0..canvases.len()).collect();
    let rows = bench.pass(&mut bench.forward(&slots)?, &slots, &|_| true)?;
    if rows.is_empty() {
        return Err(Violation::failed(name, CoreError::NothingMasked("no canvas to test with")));
    }
    let whole = Reference { run: name, rows, tolerance };
    for &slot in &slots {
        let alone = bench.pass(&mut bench.forward(&[slot])?, &[slot], &|_| true)?;
        whole.compare("alone", alone)?;
    }
    let mut state = bench.forward(&slots)?;
    for part in [0, 1] {
        let rows = bench.pass(&mut state, &slots, &|slot| slot % 2 == part)?;
        whole.compare("when others take part in another pass", rows)?;
    }
    let (batch, rows) = select(&bench.revealed, &slots, &|_, _| true);
    match layer.refine(&mut State::new(Foreign), &batch, &rows) {
        Err(CoreError::ForeignState { .. }) => Ok(()),
        other => Err(Violation::MissedError {
            run: format!("{name}, given the state of another denoiser"),
            expected: "ForeignState".into(),
            got: other.map_or_else(|e| e.to_string(), |_| "rows".into()),
        }),
    }
}

/// A state that no sampler layer knows.
struct Foreign;

struct Bench<'a> {
    run: &'a str,
    model: &'a dyn Denoiser,
    layer: &'a dyn SamplerLayer,
    masked: &'a [Canvas],
    revealed: Vec<Canvas>,
}

impl<'a> Bench<'a> {
    fn new(
        run: &'a str,
        model: &'a dyn Denoiser,
        layer: &'a dyn SamplerLayer,
        masked: &'a [Canvas],
    ) -> Result<Self, Violation> {
        let mut revealed = masked.to_vec();
        for canvas in &mut revealed {
            let token = TokenId::from(canvas.mask() == 0);
            let first = canvas.masked().next();
            if let Some(first) = first {
                canvas.reveal(first, token).map_err(|e| Violation::failed(run, e))?;
            }
        }
        Ok(Self { run, model, layer, masked, revealed })
    }

    /// The state after a forward of the canvases in `slots`, nothing revealed yet.
    fn forward(&self, slots: &[usize]) -> Result<State, Violation> {
        let (batch, rows) = select(self.masked, slots, &|_, _| true);
        let answer = self.model.denoise(&batch, &rows);
        answer.map(|(_, state)| state).map_err(|e| Violation::failed(self.run, e))
    }

    /// The rows of one pass in which the wanted sequences take part.
    fn pass(
        &self,
        state: &mut State,
        slots: &[usize],
        wanted: &dyn Fn(usize) -> bool,
    ) -> Result<Rows, Violation> {
        let (batch, rows) = select(&self.revealed, slots, &|slot, _| wanted(slot));
        let answer = self.layer.refine(state, &batch, &rows);
        named_rows(self.run, self.model, answer, slots, &rows)
    }
}
