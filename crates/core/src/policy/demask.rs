use std::sync::Arc;

use ndarray::Array2;

use super::{Policy, Row, Selection};
use crate::influence::Influence;
use crate::order::MaxProb;
use crate::{Error, Observation, Order, StepRequest, range};

/// DEMASK, dependency-guided unmasking: selects positions together that hardly depend on each other.
///
/// Selects the best position. Then it goes down the order and adds each position j that keeps the sum of the
/// pairwise influences D_ij, i added before j, below τ.
///
/// **Law.** τ = 0 is one token a step: exact for any influences. Otherwise, with independent draws at
/// temperature 1 without truncation, the law of a step's tokens is within τ, in total variation, of the
/// model's joint of them. By the chain rule the distance is at most the sum over the tokens of the influence
/// of all earlier ones together, and
/// - with [`GiniBound`](crate::influence::GiniBound) that sum is always below τ;
/// - with the true D it is below τ if influences are sub-additive: a set influences j by at most the sum of
///   its members' influences. Counterexample: the parity of two fair coins, on which a single coin has no
///   influence.
///
/// The distance of a whole sequence is at most τ times its number of steps with more than one token, plus the
/// error of an estimated D.
///
/// Source: arXiv 2604.02560, whose D is estimated by a small attention layer, trained on the final hidden
/// states of Dream-7B. Such a predictor is an [`Influence`] that [needs hidden
/// states](Influence::needs_hidden). The definition of D, the greedy choice and the theorem are taken from
/// reports of the paper. Not confirmed: that a position that does not fit is skipped instead of ending the
/// choice, that the sum stays strictly below τ, and the values used.
#[doc(alias = "dependency-guided unmasking")]
#[derive(Clone)]
pub struct Demask {
    influence: Arc<dyn Influence>,
    order: Arc<dyn Order>,
    bound: f64,
}

impl Demask {
    /// Creates the policy with these influences and τ = `bound`, most confident position first.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless τ is finite and at least 0.
    pub fn new(influence: impl Influence + 'static, bound: f64) -> Result<Self, Error> {
        let bound = range::non_negative("influence bound", bound)?;
        Ok(Self { influence: Arc::new(influence), order: Arc::new(MaxProb), bound })
    }

    /// Sets the order in which positions are added.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Arc::new(order), ..self }
    }

    /// Computes the influences of a step and checks them.
    fn influences(&self, rows: &mut Observation<'_>) -> Result<Array2<f64>, Error> {
        let influences = self.influence.influences(rows)?;
        let (n, got) = (rows.candidates().len(), influences.dim());
        if got != (n, n) {
            return Err(Error::model(format!("influences are {got:?}: expected {:?}", (n, n))));
        }
        match influences.indexed_iter().find(|((i, j), d)| i != j && (d.is_nan() || **d < 0.0)) {
            Some(((i, j), d)) => {
                let position = |n| rows.row(Row::candidate(n)).position;
                let (i, j) = (position(i), position(j));
                Err(Error::model(format!("influence of {i} on {j} is {d}: expected at least 0")))
            }
            None => Ok(influences),
        }
    }
}

/// The best candidate, and further ones while the influences sum to less than the bound.
fn choose(influences: &Array2<f64>, ranked: &[Row], bound: f64) -> Vec<Row> {
    let mut chosen: Vec<Row> = Vec::new();
    let mut sum = 0.0;
    for &next in ranked {
        let added: f64 =
            chosen.iter().map(|before| influences[[before.index(), next.index()]]).sum();
        if chosen.is_empty() || sum + added < bound {
            chosen.push(next);
            sum += added;
        }
    }
    chosen
}

impl Policy for Demask {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        if self.bound > 0.0 && self.influence.needs_hidden() {
            request.request_hidden();
        }
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.order.rank(rows, &mut selection.ranked)?;
        let chosen = match self.bound {
            0.0 => selection.ranked.iter().take(1).copied().collect(),
            bound => choose(&self.influences(rows)?, &selection.ranked, bound),
        };
        selection.all_of(chosen);
        Ok(())
    }

    fn rank(&mut self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        self.order.rank(rows, ranked)
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::GiniBound;

    #[test]
    fn the_sum_counts_every_pair_of_the_chosen_once() {
        let mut influences = Array2::from_elem((4, 4), 0.1);
        influences[[2, 1]] = f64::INFINITY;
        let ranked = [2, 0, 1, 3].map(Row::candidate);
        let indices = |rows: Vec<Row>| rows.into_iter().map(Row::index).collect::<Vec<_>>();
        let chosen = |bound| indices(choose(&influences, &ranked, bound));
        assert_eq!(chosen(0.1), [2]);
        assert_eq!(chosen(0.11), [2, 0]);
        // 1 does not fit and is skipped; 3 adds two more pairs.
        assert_eq!(chosen(0.29), [2, 0]);
        assert_eq!(chosen(0.31), [2, 0, 3]);
    }

    #[test]
    fn bounds_are_finite_and_not_negative() {
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            let error = Demask::new(GiniBound, bad).err().unwrap().to_string();
            assert!(error.contains("influence bound") && error.contains("at least 0"), "{error}");
        }
        assert!(Demask::new(GiniBound, 0.0).is_ok());
    }
}
