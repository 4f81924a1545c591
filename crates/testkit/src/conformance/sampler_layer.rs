use conjoint_core::{Canvas, Denoiser, Error as CoreError, SamplerLayer, State, TokenId};

use super::Violation;
use super::denoiser::{Reference, Rows, named_rows, select};

/// Checks a sampler layer together with its denoiser.
///
/// Pass canvases of several lengths, each with at least two masked positions. The suite reveals the
/// first of them after the forward. It checks that the layer returns the requested rows, with logits
/// that are not NaN or +∞. Each row must be the same, within `tolerance` on each logit, when its
/// sequence is alone, and when the sequences take part in different passes. A pass must leave the
/// state of the other sequences unchanged. The state of another denoiser must be an error.
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
    let setup = Setup::new(name, model, layer, canvases)?;
    let slots: Vec<usize> = (0..canvases.len()).collect();
    let rows = setup.pass(&mut setup.forward(&slots)?, &slots, &|_| true)?;
    if rows.is_empty() {
        return Err(Violation::failed(name, CoreError::NothingMasked("no canvas to test with")));
    }
    let whole = Reference { run: name, rows, tolerance };
    for &slot in &slots {
        let alone = setup.pass(&mut setup.forward(&[slot])?, &[slot], &|_| true)?;
        whole.compare("alone", alone)?;
    }
    let mut state = setup.forward(&slots)?;
    for part in [0, 1] {
        let rows = setup.pass(&mut state, &slots, &|slot| slot % 2 == part)?;
        whole.compare("when others take part in another pass", rows)?;
    }
    let (batch, rows) = select(&setup.revealed, &slots, &|_, _| true);
    match layer.refine(&mut State::new(Foreign), &batch, &rows) {
        Err(CoreError::ForeignState { .. }) => Ok(()),
        other => Err(Violation::MissedError {
            run: format!("{name}, given the state of another denoiser"),
            expected: "ForeignState".into(),
            got: other.map_or_else(|e| e.to_string(), |_| "rows".into()),
        }),
    }
}

/// A state of an unknown denoiser.
struct Foreign;

struct Setup<'a> {
    run: &'a str,
    model: &'a dyn Denoiser,
    layer: &'a dyn SamplerLayer,
    masked: &'a [Canvas],
    revealed: Vec<Canvas>,
}

impl<'a> Setup<'a> {
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

    /// The state after a forward of the canvases in `slots`, before the reveals.
    fn forward(&self, slots: &[usize]) -> Result<State, Violation> {
        let (batch, rows) = select(self.masked, slots, &|_, _| true);
        let answer = self.model.denoise(&batch, &rows);
        answer.map(|(_, state)| state).map_err(|e| Violation::failed(self.run, e))
    }

    /// The rows of one pass of the sequences that `selects` accepts.
    fn pass(
        &self,
        state: &mut State,
        slots: &[usize],
        selects: &dyn Fn(usize) -> bool,
    ) -> Result<Rows, Violation> {
        let (batch, rows) = select(&self.revealed, slots, &|slot, _| selects(slot));
        let answer = self.layer.refine(state, &batch, &rows);
        named_rows(self.run, self.model, answer, slots, &rows)
    }
}
