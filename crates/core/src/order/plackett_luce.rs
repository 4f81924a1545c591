use super::Order;
use crate::observation::Row;
use crate::{Error, Observation};

/// Another order's scores as the weights of a lottery.
///
/// Positions are drawn without replacement with probability softmax(score / τ) of those left: the
/// ranking has the Plackett–Luce law. The order itself is the limit of τ → 0, [`Random`](super::Random)
/// that of τ → ∞.
///
/// Exact at one token per forward if the order is. Source: Dream's `alg_temp`, no default (off).
#[derive(Debug, Clone, Copy)]
pub struct PlackettLuce<O> {
    order: O,
    temperature: f64,
}

impl<O: Order> PlackettLuce<O> {
    /// Of this order's scores, at temperature τ.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless τ is finite and above 0.
    pub fn new(order: O, temperature: f64) -> Result<Self, Error> {
        if temperature > 0.0 && temperature.is_finite() {
            return Ok(Self { order, temperature });
        }
        Err(Error::parameter("order temperature", temperature, "a finite number above 0"))
    }

    /// Fills `logits` with the scores of the candidates in `left` over τ, the best being 0.
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
    /// The score of the order within, by which the lottery is weighted.
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
            // Those left keep their order, so that equals stay in reading order.
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
        // Nothing but infinities, and scores that are none.
        order.logits(&[f64::NEG_INFINITY; 2], &[0, 1].map(Row::candidate), &mut logits);
        assert_eq!(logits, [0.0, 0.0]);
        order.logits(&[f64::INFINITY, f64::NAN, 0.0], &[0, 1, 2].map(Row::candidate), &mut logits);
        assert_eq!(logits, [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    }

    #[test]
    fn bounds() {
        for bad in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert!(PlackettLuce::new(Entropy, bad).is_err(), "{bad}");
        }
    }
}
