use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::top_k_rows;
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error as CoreError, SamplerLayer, State, TokenId, Vocabulary,
};
use ndarray::Array2;
use rand::RngExt;

use crate::noise::canvas_rng;
use crate::top_k_model::to_top_k;

/// The kinds of rows that every strategy must handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Random logits.
    Plain,
    /// All logits equal.
    Tied,
    /// Most logits −∞.
    Sparse,
    /// The mask has by far the highest logit, then token 0, which is banned.
    ForbiddenFirst,
    /// A vocabulary of the mask and one token.
    OneToken,
}

impl Rows {
    pub const ALL: [Rows; 5] =
        [Rows::Plain, Rows::Tied, Rows::Sparse, Rows::ForbiddenFirst, Rows::OneToken];
}

/// A flaw of one row, or of all rows of the sampler layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Flaw {
    /// One logit of the row has this value.
    Logit(f32),
    /// Every logit of the row is −∞.
    Empty,
    /// Every logit of the row except the mask's is −∞.
    OnlyMask,
    /// Every row of the sampler layer holds NaN. The rows of the denoiser do not.
    LayerNan,
}

impl Flaw {
    pub const ALL: [Flaw; 5] = [
        Flaw::Logit(f32::NAN),
        Flaw::Logit(f32::INFINITY),
        Flaw::Empty,
        Flaw::OnlyMask,
        Flaw::LayerNan,
    ];

    /// Whether the row has no possible token. The other flaws are logits of NaN or +∞.
    pub fn is_empty(self) -> bool {
        matches!(self, Flaw::Empty | Flaw::OnlyMask)
    }
}

/// A flaw of the row of one position, in canvases of one length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub length: usize,
    pub position: usize,
    pub flaw: Flaw,
}

/// A denoiser whose logits are random, but a function of the canvas and the position.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    rows: Rows,
    vocabulary: Vocabulary,
    fault: Option<Fault>,
    /// Whether it returns top-K rows if the request accepts them.
    top_k: bool,
}

impl Probe {
    pub fn new(rows: Rows) -> Result<Self, CoreError> {
        // The mask is between the other ids, so a strategy cannot assume that it is the last.
        let (size, mask) = if rows == Rows::OneToken { (2, 0) } else { (7, 3) };
        let vocabulary = Vocabulary::new(size, mask)?.with_eos(1)?;
        Ok(Self { rows, vocabulary, fault: None, top_k: false })
    }

    /// Returns top-K rows of two tokens.
    pub fn top_k(self) -> Self {
        Self { top_k: true, ..self }
    }

    pub fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// Canvases of different lengths, each with an even number of positions to generate: without
    /// given tokens, with a short and a long prompt, and with holes between given tokens.
    pub fn canvases(&self) -> Result<Vec<Canvas>, CoreError> {
        let mask = self.vocabulary.mask();
        let known: Vec<TokenId> =
            (0..self.vocabulary.size() as TokenId).filter(|&token| token != mask).collect();
        let prompt: Vec<TokenId> = known.iter().copied().cycle().take(5).collect();
        let (a, z) = (prompt[0], prompt[4]);
        Ok(vec![
            Canvas::unconditional(8, mask)?,
            Canvas::new(&prompt[..1], 4, mask)?,
            Canvas::new(&prompt, 2, mask)?,
            Canvas::infill(vec![a, mask, z, mask, mask, a], mask)?,
            Canvas::unconditional(2, mask)?,
        ])
    }

    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// The ids to ban.
    pub fn banned(&self) -> Vec<TokenId> {
        if self.rows == Rows::ForbiddenFirst { vec![0] } else { Vec::new() }
    }

    fn logits(&self, seed: u64, canvas: &Canvas, position: usize) -> Vec<f32> {
        let (size, mask) = (self.vocabulary.size(), self.vocabulary.mask() as usize);
        let mut rng = canvas_rng(seed, canvas, position);
        let mut row: Vec<f32> = (0..size).map(|_| rng.random_range(-3.0..3.0)).collect();
        match self.rows {
            Rows::Plain | Rows::OneToken => {}
            Rows::Tied => row.fill(1.0),
            Rows::Sparse => {
                let kept = (mask + rng.random_range(1..size)) % size;
                for (token, logit) in row.iter_mut().enumerate() {
                    if token != kept && rng.random_bool(0.7) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
            Rows::ForbiddenFirst => {
                row[mask] = 20.0;
                row[0] = 10.0;
            }
        }
        row
    }

    /// Applies the flaw if it concerns this row.
    fn apply_fault(&self, row: &mut [f32], seed: u64, canvas: &Canvas, position: usize) {
        let Some(fault) = self.fault.filter(|fault| fault.length == canvas.len()) else { return };
        let here = position == fault.position;
        match fault.flaw {
            Flaw::Logit(value) if here => row[0] = value,
            Flaw::Empty if here => row.fill(f32::NEG_INFINITY),
            Flaw::OnlyMask if here => {
                row.fill(f32::NEG_INFINITY);
                row[self.vocabulary.mask() as usize] = 0.0;
            }
            Flaw::LayerNan if seed == ProbeLayer::SEED => row[0] = f32::NAN,
            _ => {}
        }
    }

    fn answer(&self, seed: u64, request: &Request<'_>) -> Result<top_k_rows::Rows, CoreError> {
        let rows = request.rows;
        let mut logits = Vec::with_capacity(rows.len() * self.vocabulary.size());
        for id in rows {
            let canvas = request.batch[id.sequence].canvas;
            let mut row = self.logits(seed, canvas, id.position);
            self.apply_fault(&mut row, seed, canvas, id.position);
            logits.extend(row);
        }
        let shape = (rows.len(), self.vocabulary.size());
        let logits = Array2::from_shape_vec(shape, logits).map_err(CoreError::model)?;
        let dense = DenseRows::from_logits(logits);
        if self.top_k { to_top_k(dense, request, 2) } else { Ok(dense.into()) }
    }
}

impl Denoiser for Probe {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, CoreError> {
        Ok(Answer::new(self.answer(0, request)?, State::new(self.clone())))
    }
}

/// The sampler layer of the suite, for strategies that refine.
///
/// Its rows are random, but always the same for the same tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProbeLayer;

impl ProbeLayer {
    const SEED: u64 = 1;
}

impl SamplerLayer for ProbeLayer {
    fn pass(
        &self,
        state: &mut State,
        request: &Request<'_>,
    ) -> Result<top_k_rows::Rows, CoreError> {
        state.downcast_mut::<Probe>()?.answer(Self::SEED, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_rows_is_as_documented() {
        for rows in Rows::ALL {
            let probe = Probe::new(rows).unwrap();
            for canvas in probe.canvases().unwrap() {
                for position in canvas.masked() {
                    let row = probe.logits(0, &canvas, position);
                    let possible = (0..row.len()).filter(|&t| row[t] > f32::NEG_INFINITY).count();
                    let spread = row.iter().fold(0.0f32, |most, l| most.max((l - row[0]).abs()));
                    match rows {
                        Rows::Plain => assert_eq!(possible, 7),
                        Rows::Tied => assert_eq!(spread, 0.0),
                        Rows::Sparse => assert!((1..=7).contains(&possible)),
                        Rows::ForbiddenFirst => assert_eq!((row[3], row[0]), (20.0, 10.0)),
                        Rows::OneToken => assert_eq!(row.len(), 2),
                    }
                }
            }
        }
    }
}
