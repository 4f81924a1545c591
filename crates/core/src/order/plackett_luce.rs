use super::Order;
use crate::observation::Row;
use crate::{Error, Observation, range};

/// Draws the ranking at random, with another order's scores as logits.
///
/// Positions are drawn without replacement, each with probability softmax(score / τ) over those left. The
/// ranking then has the Plackett–Luce distribution. τ → 0 gives the inner order, τ → ∞ gives
/// [`Random`](super::Random).
///
/// Exact at one token per forward if the inner order is. Source: Dream's `alg_temp`, no default (off).
#[doc(alias = "Plackett-Luce")]
#[doc(alias = "alg_temp")]
#[doc(alias = "Gumbel top-k")]
#[derive(Debug, Clone, Copy)]
pub struct PlackettLuce<O> {
    order: O,
    temperature: f64,
}

impl<O: Order> PlackettLuce<O> {
    /// Creates the order from the scores of `order`, at temperature τ.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless τ is finite and above 0.
    pub fn new(order: O, temperature: f64) -> Result<Self, Error> {
        Ok(Self { order, temperature: range::positive("order temperature", temperature)? })
    }

    /// Fills `logits` with score / τ of the candidates in `left`, shifted so that the best is 0.
    fn logits(&self, scores: &[f64], left: &[Row], logits: &mut Vec<f32>) {
        let best = left.iter().map(|row| scores[row.index()]).fold(f64::NEG_INFINITY, f64::max);
        let logit = |row: &Row| {
            let score = scores[row.index()];
            // Equal infinities would differ by NaN.
            let below = if score == best { 0.0 } else { score - best };
            (below / self.temperature) as f32
        };
        logits.clear();
        logits
            .extend(left.iter().map(logit).map(|l| if l.is_nan() { f32::NEG_INFINITY } else { l }));
    }
}

impl<O: Order> Order for PlackettLuce<O> {
    /// The score of the inner order.
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        self.order.score(rows, candidate)
    }

    fn rank(&self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        let n = rows.candidates().len();
        let scores = rows.rows().map(|candidate| self.score(rows, candidate));
        let scores: Vec<f64> = scores.collect::<Result<_, _>>()?;
        let mut logits = Vec::with_capacity(n);
        ranked.clear();
        ranked.extend(rows.rows());
        for done in 0..n.saturating_sub(1) {
            self.logits(&scores, &ranked[done..], &mut logits);
            let drawn = done + rows.stream().categorical(&logits);
            // The rest keeps its order, so that ties go to the leftmost.
            ranked[done..=drawn].rotate_right(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Entropy;

    #[test]
    fn scores_become_logits() {
        let order = PlackettLuce::new(Entropy, 0.5).unwrap();
        let mut logits = vec![9.0];
        order.logits(
            &[-1.0, -3.0, f64::NEG_INFINITY, -1.5],
            &[1, 3, 2].map(Row::candidate),
            &mut logits,
        );
        assert_eq!(logits, [-3.0, 0.0, f32::NEG_INFINITY]);
        // Only infinities, then a NaN.
        order.logits(&[f64::NEG_INFINITY; 2], &[0, 1].map(Row::candidate), &mut logits);
        assert_eq!(logits, [0.0, 0.0]);
        order.logits(&[f64::INFINITY, f64::NAN, 0.0], &[0, 1, 2].map(Row::candidate), &mut logits);
        assert_eq!(logits, [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    }

    #[test]
    fn parameters_are_checked() {
        for bad in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert!(PlackettLuce::new(Entropy, bad).is_err(), "{bad}");
        }
    }
}
