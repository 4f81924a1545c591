use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::strategy::Strategy;

use crate::Drafts;

/// KLASS (arXiv 2511.05664): reveals every position that is sure and whose distribution has come to rest.
///
/// Sure is a confidence above τ. At rest is a distribution that moved by less than ε in each of the last n steps, in
/// KL(pₜ ‖ pₜ₋₁). Where no position is both, the most confident are revealed, as many as a schedule says.
#[derive(Clone)]
pub struct KlassRule {
    tau: f64,
    epsilon: f64,
    steps: usize,
    otherwise: Arc<dyn Schedule>,
    followed: HashMap<usize, Followed>,
}

/// What is known of the distribution at one position.
#[derive(Clone)]
struct Followed {
    last: Vec<f64>,
    /// How far it moved in each step, the latest behind; n at most.
    moves: VecDeque<f64>,
}

impl KlassRule {
    /// With τ, ε and n; `otherwise` says how many are revealed where none is sure and at rest.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ 1 and n is at least 1.
    pub fn new(
        tau: f64,
        epsilon: f64,
        steps: usize,
        otherwise: impl Schedule + 'static,
    ) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&tau) {
            return Err(Error::parameter("tau", tau, "a number from 0 to 1"));
        }
        if steps == 0 {
            return Err(Error::parameter("steps", steps, "at least 1"));
        }
        let (otherwise, followed) = (Arc::new(otherwise), HashMap::new());
        Ok(Self { tau, epsilon, steps, otherwise, followed })
    }

    /// Takes in this step's distributions, and forgets positions that are no candidates any more.
    fn follow(&mut self, rows: &mut Observation<'_>) -> Result<(), Error> {
        let mut before = std::mem::take(&mut self.followed);
        for candidate in rows.rows() {
            let position = rows.row(candidate).position;
            let now = distribution(rows.filtered(candidate)?);
            let followed = match before.remove(&position) {
                None => Followed { last: now, moves: VecDeque::new() },
                Some(Followed { last, mut moves }) => {
                    moves.push_back(divergence(&now, &last));
                    if moves.len() > self.steps {
                        moves.pop_front();
                    }
                    Followed { last: now, moves }
                }
            };
            self.followed.insert(position, followed);
        }
        Ok(())
    }

    fn is_at_rest(&self, position: usize) -> bool {
        self.followed.get(&position).is_some_and(|followed| {
            followed.moves.len() == self.steps && followed.moves.iter().all(|&kl| kl < self.epsilon)
        })
    }
}

impl Policy for KlassRule {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        request.skip_while(|progress| self.otherwise.plan(progress) == 0);
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.follow(rows)?;
        let settled = |&row: &Row| {
            let candidate = rows.row(row);
            candidate.confidence > self.tau && self.is_at_rest(candidate.position)
        };
        let settled: Vec<Row> = rows.rows().filter(settled).collect();
        if !settled.is_empty() {
            selection.all_of(settled);
            return Ok(());
        }
        let confidence = |row: &Row| rows.row(*row).confidence;
        let mut ranked: Vec<Row> = rows.rows().collect();
        ranked.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
        let in_order = Ranking::new(rows.candidates(), &ranked);
        let wanted = self.otherwise.quota(rows.progress(), in_order);
        selection.all_of(ranked.into_iter().take(wanted.max(1)));
        Ok(())
    }

    fn steps(&self) -> Option<usize> {
        self.otherwise.steps()
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

/// KLASS over drafted tokens.
pub fn klass(rule: KlassRule) -> Strategy {
    Strategy::new(Drafts::filtered()).policy(rule)
}

/// The softmax of logits, the largest of which is finite.
fn distribution(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// KL(p ‖ q) in nats: infinite where something became possible that was not.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
}
