use super::{Policy, Ranked, Row, Selection};
use crate::order::Confidence;
use crate::schedule::TokensPerStep;
use crate::{Error, Observation, RowStats, Schedule, StepRequest, range};

/// The history of one masked position.
#[derive(Debug, Clone, Default)]
struct Memory {
    position: usize,
    /// ln p of the last step's filtered row \[V\], at least [`FLOOR`].
    row: Vec<f32>,
    /// The number of consecutive steps with KL(pₜ ‖ pₜ₋₁) < ε.
    stable: usize,
}

/// ln 1e-12, in place of ln 0.
const FLOOR: f32 = -27.631_021;

impl Memory {
    /// Adds the filtered row of a step.
    fn update(&mut self, logits: &[f32], epsilon: f64) {
        let log_z = RowStats::of(logits).map_or(0.0, |stats| stats.log_z);
        let is_new = self.row.is_empty();
        self.row.resize(logits.len(), FLOOR);
        let mut kl = 0.0;
        for (&logit, before) in logits.iter().zip(&mut self.row) {
            let ln_p = f64::from(logit) - log_z;
            let now = (ln_p as f32).max(FLOOR);
            kl += ln_p.exp() * f64::from(now - *before);
            *before = now;
        }
        self.stable = if !is_new && kl < epsilon { self.stable + 1 } else { 0 };
    }
}

/// KLASS: selects positions that are confident and stable.
///
/// Selects all positions with confidence c > τ whose distribution has hardly changed: KL(pₜ ‖ pₜ₋₁) < ε in
/// each of the last n steps. If there is none, it selects the most confident ones, as many as the [fallback
/// schedule](Self::fallback) sets.
///
/// p is the filtered row. c is the probability of the drafted token if the unmasker
/// [drafts](crate::Unmasker::draft), otherwise the largest probability of the row. The previous row of each
/// masked position of the block is kept: 4 V bytes each, 19 MB for a block of 32 and V = 152 K.
///
/// Exact only while it selects one position a step; otherwise the law is the unmasker's. With τ = 1 it is the
/// fallback schedule by confidence. Source: KLASS (arXiv 2511.05664), τ = 0.9, ε = 0.01, n = 2; tuned values
/// are 0.6, 0.015 for LLaDA and 0.9, 0.001 for Dream. Its code reveals the most probable token of the row,
/// which equals this policy with [`Argmax`](crate::draw::Argmax) draws. There the history of a position
/// begins with the first step, here with the first step of its block, because its row is not computed
/// earlier.
#[doc(alias = "KL-adaptive stability sampling")]
#[derive(Clone)]
pub struct Klass {
    tau: f64,
    epsilon: f64,
    steps: usize,
    fallback: Ranked,
    /// The masked positions of the block, ascending.
    memory: Vec<Memory>,
}

impl Klass {
    /// Creates the policy with τ, ε in nats and n = `steps`. The fallback is one position a step.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ 1, ε is finite and at least 0, and n is at least 1.
    pub fn new(tau: f64, epsilon: f64, steps: usize) -> Result<Self, Error> {
        Ok(Self {
            tau: range::probability("tau", tau)?,
            epsilon: range::non_negative("epsilon", epsilon)?,
            steps: range::at_least("stable steps", steps, 1)?,
            ..Self::default()
        })
    }

    /// Sets the schedule of steps in which no position is stable. It selects the most confident positions
    /// first.
    pub fn fallback(self, schedule: impl Schedule + 'static) -> Self {
        Self { fallback: Ranked::new(Confidence, schedule), ..self }
    }

    /// Compares every row with that of the previous step, and keeps it for the next.
    fn update_history(&mut self, rows: &mut Observation<'_>) -> Result<(), Error> {
        let mut before = std::mem::take(&mut self.memory);
        for candidate in rows.rows() {
            let position = rows.row(candidate).position;
            let known = before.iter_mut().find(|memory| memory.position == position);
            let new = || Memory { position, ..Memory::default() };
            let mut memory = known.map_or_else(new, std::mem::take);
            memory.update(rows.filtered(candidate)?, self.epsilon);
            self.memory.push(memory);
        }
        Ok(())
    }
}

impl Default for Klass {
    /// τ = 0.9, ε = 0.01, n = 2.
    fn default() -> Self {
        let fallback = Ranked::new(Confidence, TokensPerStep::ONE);
        Self { tau: 0.9, epsilon: 0.01, steps: 2, fallback, memory: Vec::new() }
    }
}

impl Policy for Klass {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.fallback.plan(request)
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.update_history(rows)?;
        let stable = |(row, memory): (Row, &Memory)| {
            (rows.row(row).confidence > self.tau && memory.stable >= self.steps).then_some(row)
        };
        selection.all_of(rows.rows().zip(&self.memory).filter_map(stable));
        if selection.count == 0 {
            self.fallback.select(rows, selection)?;
            selection.ranked.truncate(selection.count);
        }
        Ok(())
    }

    fn steps(&self) -> Option<usize> {
        self.fallback.steps()
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_steps_are_counted_from_the_second_row_on() {
        let mut memory = Memory::default();
        let even = [0.0, 0.0, f32::NEG_INFINITY];
        let mut stable = |row: &[f32]| {
            memory.update(row, 0.01);
            memory.stable
        };
        assert_eq!([stable(&even), stable(&even), stable(&even)], [0, 1, 2]);
        // KL([.6, .4] ‖ [.5, .5]) = .0201; KL([.55, .45] ‖ [.6, .4]) = .0051.
        assert_eq!(stable(&[0.6f32.ln(), 0.4f32.ln(), f32::NEG_INFINITY]), 0);
        assert_eq!(stable(&[0.55f32.ln(), 0.45f32.ln(), f32::NEG_INFINITY]), 1);
        // A token that was impossible: .1 · ln(.1 / 1e-12) = 2.5.
        assert_eq!(stable(&[0.5f32.ln(), 0.4f32.ln(), 0.1f32.ln()]), 0);
    }

    #[test]
    fn parameters_are_checked() {
        for (tau, epsilon, steps) in
            [(-0.1, 0.1, 1), (1.1, 0.1, 1), (f64::NAN, 0.1, 1), (0.5, -0.1, 1), (0.5, 0.1, 0)]
        {
            assert!(Klass::new(tau, epsilon, steps).is_err(), "{tau} {epsilon} {steps}");
        }
        assert!(Klass::new(1.0, f64::INFINITY, 1).is_err());
        assert!(Klass::new(1.0, 0.0, 1).is_ok());
    }
}
