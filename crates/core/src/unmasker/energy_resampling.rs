use std::sync::Arc;

use super::{Drawn, Next, Unmasker, View};
use crate::observation::Row;
use crate::{Autoregressive, Error, Order, Query, StepRequest, range};

/// EDLM's energy-based resampling: draws k whole completions, keeps one by its autoregressive likelihood, and
/// reveals K of its tokens.
///
/// Each completion draws every masked position of the canvas independently, also those of later blocks:
/// q(x) = Π q(x_i). One is kept with probability
///
/// w ∝ exp(−E) = p_AR(x) / q(x), E = −ln p_AR(x) + Σ ln q(x_i),
///
/// where p_AR runs from the first masked position to the end of the canvas, so known tokens between and after
/// holes count. If the model rules out all k, the first is kept. A step costs one forward and k passes of the
/// autoregressive model, or none for k = 1.
///
/// **Law.** Self-normalised importance resampling: a completion x is kept with probability k q(x)
/// E\[w(x) / (w(x) + Σ w(x'))\] over k − 1 others. With k = 1 it is [`Marginal`](super::Marginal), and as k
/// grows it tends to p_AR given the known tokens, for any rows of the denoiser. At any finite k it is in
/// between, biased even at K = 1 with two exact models. Source: EDLM (arXiv 2410.21357), k = 2. The published
/// code has the opposite sign of the energy and resamples only for t in [0.4, 0.6]; this is the paper's
/// weight, at every step.
#[doc(alias = "EDLM")]
#[doc(alias = "energy-based resampling")]
#[doc(alias = "importance resampling")]
#[derive(Clone)]
pub struct EnergyResampling {
    scorer: Arc<dyn Autoregressive>,
    completions: usize,
    order: Option<Arc<dyn Order>>,
    /// Masked positions beyond the current block, before the end.
    beyond: Vec<Query>,
}

/// The limit of k. Each completion costs a draw of every row, so a larger number is probably a mistake.
const MAX_COMPLETIONS: usize = 1 << 16;

impl EnergyResampling {
    /// Creates the unmasker with k = 2, lowest entropy first.
    pub fn new(scorer: impl Autoregressive + 'static) -> Self {
        Self { scorer: Arc::new(scorer), completions: 2, order: None, beyond: Vec::new() }
    }

    /// Sets k, the number of completions.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 1 ≤ k ≤ 65,536.
    pub fn completions(self, k: usize) -> Result<Self, Error> {
        Ok(Self { completions: range::between("completions", k, 1..=MAX_COMPLETIONS)?, ..self })
    }

    /// Sets the order.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }

    /// ln w of a completion.
    fn log_weight(
        &self,
        view: &View<'_>,
        rows: &[Row],
        completion: &[Drawn],
    ) -> Result<f64, Error> {
        let canvas = view.canvas();
        let mut tokens = canvas.tokens().to_vec();
        for (&row, drawn) in rows.iter().zip(completion) {
            tokens[view.row(row).position] = drawn.token;
        }
        let first = view.row(rows[0]).position;
        // A drawn token is possible, even if its probability rounds to 0.
        let log_q = |drawn: &Drawn| drawn.probability.max(f64::MIN_POSITIVE).ln();
        let log_q: f64 = completion.iter().map(log_q).sum();
        Ok(self.scorer.log_likelihood(&tokens, first..canvas.end())? - log_q)
    }
}

impl Unmasker for EnergyResampling {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let canvas = request.canvas();
        let beyond = (canvas.block().end..canvas.end()).filter(|&p| canvas.is_masked(p));
        self.beyond.clear();
        self.beyond.extend(beyond.map(|position| request.query(position)));
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let beyond = self.beyond.iter().map(|&query| view.query_row(query));
        let rows: Vec<Row> = view.rows().chain(beyond).collect();
        let mut completions = Vec::new();
        for _ in 0..self.completions {
            let mut completion = Vec::with_capacity(rows.len());
            view.draw_all(rows.iter().copied(), &mut completion)?;
            completions.push(completion);
        }
        let mut kept = 0;
        if self.completions > 1 {
            let log_weights =
                completions.iter().map(|completion| self.log_weight(view, &rows, completion));
            let log_weights = log_weights.collect::<Result<Vec<_>, _>>()?;
            let most = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if most > f64::NEG_INFINITY {
                let relative: Vec<f32> = log_weights.iter().map(|w| (w - most) as f32).collect();
                kept = view.stream().categorical(&relative);
            }
        }
        for rank in 0..view.quota() {
            let candidate = view.ranked(rank);
            view.reveal(candidate, completions[kept][candidate.index()]);
        }
        Ok(Next::EndStep)
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoregressive::tests::NeverCalled;

    #[test]
    fn the_number_of_completions_is_limited() {
        for bad in [0, 65_537, usize::MAX] {
            let error = EnergyResampling::new(NeverCalled).completions(bad).err().unwrap();
            assert!(error.to_string().contains("from 1 to 65536"), "{error}");
        }
        assert_eq!(EnergyResampling::new(NeverCalled).completions(3).unwrap().completions, 3);
    }
}
