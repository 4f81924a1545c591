use super::{Control, Drawn, Next, Unmasker, View};
use crate::observation::Row;
use crate::reviser::remdm_rule::Rule;
use crate::{Error, StepRequest};

/// Remasking diffusion (ReMDM): ancestral sampling in which revealed tokens can be remasked.
///
/// Step i of S goes from time t = 1 − i/S to s = 1 − (i + 1)/S, with α_t = 1 − t the share of tokens
/// known. Independently,
/// - a revealed position is remasked with probability σ;
/// - a masked one is revealed with probability (α_s − (1 − σ) α_t)/(1 − α_t), with a token drawn from
///   its row.
///
/// σ is at most σ_max = min(1, (1 − α_s)/α_t), which is 0 in the last step. The last step reveals all
/// positions.
///
/// | rule | σ | η of the source (S = 1024) |
/// |---|---|---|
/// | [`cap`](Self::cap) | min(η, σ_max) | 0.008 |
/// | [`rescale`](Self::rescale) | η σ_max | 0.015 |
/// | [`conf`](Self::conf) | σ_max softmax(−ψ), ψ the token's probability when revealed; 0 where masked | – |
/// | [`looping`](Self::looping) | min(η, σ_max) while t_off < t ≤ t_on, else 0 | 0.02 |
///
/// In the loop α rises to α_on at t_on, stays constant until t_off, and rises to 1. That is a draft, then
/// revision at a constant share of known tokens, then the rest.
///
/// Requires a schedule with a total number of steps and uses only that number. The positions are drawn before
/// the forward, so a step that reveals nothing skips it. If a block is full with steps left, these are taken
/// at once, up to the step that remasks a token, because they need no rows.
///
/// **Law.** *Where* does not depend on *what*, except in `conf`. So with σ = 0 and at most one reveal a step
/// it is exactly the joint; tokens of one step are independent. Two positions share a step with probability
/// 1/S, so their law is (1 − 1/S) joint + (1/S) product of marginals. For any number of positions it tends to
/// the joint as S → ∞. With σ > 0 no closed law is claimed.
///
/// Source: arXiv 2503.00307 and its code. The code runs one more argmax forward at the end. In the two steps
/// of the loop that contain t_on and t_off it extrapolates α linearly; here α is evaluated exactly.
#[doc(alias = "remasking diffusion")]
#[derive(Debug, Clone)]
pub struct ReMdm {
    rule: Rule,
    /// The next step of the process in this block. It is ahead of the generator's after steps of a full block
    /// were taken at once.
    step: usize,
    /// ψ by position.
    confidences: Vec<f64>,
    /// Positions to reveal and to remask in this step, ascending.
    reveals: Vec<usize>,
    remasks: Vec<usize>,
}

impl ReMdm {
    fn with(rule: Rule) -> Self {
        Self { rule, step: 0, confidences: vec![], reveals: vec![], remasks: vec![] }
    }

    /// σ = min(η, σ_max).
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ η ≤ 1.
    pub fn cap(eta: f64) -> Result<Self, Error> {
        Ok(Self::with(Rule::cap(eta)?))
    }

    /// σ = η σ_max.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ η ≤ 1.
    pub fn rescale(eta: f64) -> Result<Self, Error> {
        Ok(Self::with(Rule::rescale(eta)?))
    }

    /// σ = σ_max softmax(−ψ) over the revealed positions of the block.
    pub fn conf() -> Self {
        Self::with(Rule::Conf)
    }

    /// σ = min(η, σ_max) while t_off < t ≤ t_on, with α at `alpha`; the source's values are 0.02, 0.55,
    /// 0.05 and 0.9.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ η ≤ 1, 0 < t_off < t_on < 1 and 0 < α < 1.
    pub fn looping(eta: f64, t_on: f64, t_off: f64, alpha: f64) -> Result<Self, Error> {
        Ok(Self::with(Rule::looping(eta, t_on, t_off, alpha)?))
    }
}

impl Default for ReMdm {
    /// [`cap`](Self::cap) with η = 0.008.
    fn default() -> Self {
        Self::with(Rule::Cap(0.008))
    }
}

impl Unmasker for ReMdm {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let steps = request.progress().total("ReMDM")?;
        let canvas = request.canvas();
        if request.progress().step == 0 {
            self.step = 0;
        }
        self.confidences.resize(canvas.len(), 1.0);
        let (sigma, reveal) = self.rule.odds(self.step, steps);
        let revealed: Vec<usize> = canvas.revealed().collect();
        let psi = &self.confidences;
        self.remasks = self.rule.draw(&revealed, sigma, psi, request.stream());
        self.reveals = canvas.masked().filter(|_| request.stream().chance(reveal)).collect();
        self.step += 1;
        if self.reveals.is_empty() {
            self.remasks.iter().for_each(|&position| request.remask(position));
            request.skip_forward(1);
        }
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let (steps, canvas) = (view.progress().steps, view.canvas());
        let mut drawn: Vec<(Row, Drawn)> = Vec::with_capacity(self.reveals.len());
        for candidate in view.rows() {
            let position = view.row(candidate).position;
            if self.reveals.binary_search(&position).is_ok() {
                let draw = view.draw(candidate)?;
                self.confidences[position] = draw.probability;
                drawn.push((candidate, draw));
            }
        }
        if drawn.len() == view.candidates().len() {
            // The block would be full, and the next one would begin.
            let all: Vec<usize> =
                canvas.open_positions().filter(|&p| !canvas.is_given(p)).collect();
            while self.remasks.is_empty() && self.step < steps {
                let sigma = self.rule.odds(self.step, steps).0;
                self.remasks = self.rule.draw(&all, sigma, &self.confidences, view.stream());
                self.step += 1;
            }
        }
        for &position in self.remasks.iter().filter(|&&position| !canvas.is_masked(position)) {
            view.remask(position);
        }
        // A token that is drawn and remasked in the same step is not revealed.
        drawn.retain(|(candidate, _)| {
            self.remasks.binary_search(&view.row(*candidate).position).is_err()
        });
        drawn.iter().for_each(|&(candidate, draw)| view.reveal(candidate, draw));
        Ok(Next::EndStep)
    }

    fn control(&self) -> Control {
        Control::Steps
    }
}
