use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::strategy::Strategy;

use crate::Drafts;

/// KLASS (arXiv 2511.05664): reveals every position that is confident and stable.
///
/// Confident: the confidence is above τ. Stable: KL(pₜ ‖ pₜ₋₁) was below ε in each of the last n steps. If no
/// position is both, the most confident positions are revealed, as many as a schedule says.
#[derive(Clone)]
pub struct KlassRule {
    tau: f64,
    epsilon: f64,
    steps: usize,
    fallback: Arc<dyn Schedule>,
    tracked: HashMap<usize, Tracked>,
}

/// The recent distributions at one position.
#[derive(Clone)]
struct Tracked {
    last: Vec<f64>,
    /// KL(pₜ ‖ pₜ₋₁) of at most the last n steps, the latest at the back.
    divergences: VecDeque<f64>,
}

impl KlassRule {
    /// Uses τ, ε and n. `fallback` says how many positions are revealed if none is confident and stable.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ 1 and n is at least 1.
    pub fn new(
        tau: f64,
        epsilon: f64,
        steps: usize,
        fallback: impl Schedule + 'static,
    ) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&tau) {
            return Err(Error::parameter("tau", tau, "a number from 0 to 1"));
        }
        if steps == 0 {
            return Err(Error::parameter("steps", steps, "at least 1"));
        }
        let (fallback, tracked) = (Arc::new(fallback), HashMap::new());
        Ok(Self { tau, epsilon, steps, fallback, tracked })
    }

    /// Adds the distributions of this step, and drops positions that are not candidates any more.
    fn track(&mut self, rows: &mut Observation<'_>) -> Result<(), Error> {
        let mut before = std::mem::take(&mut self.tracked);
        for candidate in rows.rows() {
            let position = rows.row(candidate).position;
            let now = distribution(rows.filtered(candidate)?);
            let tracked = match before.remove(&position) {
                None => Tracked { last: now, divergences: VecDeque::new() },
                Some(Tracked { last, mut divergences }) => {
                    divergences.push_back(divergence(&now, &last));
                    if divergences.len() > self.steps {
                        divergences.pop_front();
                    }
                    Tracked { last: now, divergences }
                }
            };
            self.tracked.insert(position, tracked);
        }
        Ok(())
    }

    fn is_stable(&self, position: usize) -> bool {
        self.tracked.get(&position).is_some_and(|Tracked { divergences, .. }| {
            divergences.len() == self.steps && divergences.iter().all(|&kl| kl < self.epsilon)
        })
    }
}

impl Policy for KlassRule {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        request.skip_while(|progress| self.fallback.plan(progress) == 0);
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.track(rows)?;
        let is_settled = |&row: &Row| {
            let candidate = rows.row(row);
            candidate.confidence > self.tau && self.is_stable(candidate.position)
        };
        let settled: Vec<Row> = rows.rows().filter(is_settled).collect();
        if !settled.is_empty() {
            selection.all_of(settled);
            return Ok(());
        }
        let confidence = |row: &Row| rows.row(*row).confidence;
        let mut ranked: Vec<Row> = rows.rows().collect();
        ranked.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
        let in_order = Ranking::new(rows.candidates(), &ranked);
        let count = self.fallback.quota(rows.progress(), in_order);
        selection.all_of(ranked.into_iter().take(count.max(1)));
        Ok(())
    }

    fn steps(&self) -> Option<usize> {
        self.fallback.steps()
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

/// KLASS with drafted tokens.
pub fn klass(rule: KlassRule) -> Strategy {
    Strategy::new(Drafts::filtered()).policy(rule)
}

/// The softmax of logits. The largest must be finite.
fn distribution(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// KL(p ‖ q) in nats: infinite if p allows a token that q rules out.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
}
