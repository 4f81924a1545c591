use std::sync::Arc;

use super::{Control, Drawn, Next, Unmasker, View};
use crate::autoregressive::Scores;
use crate::observation::Row;
use crate::{Autoregressive, Error, RowStats, range};

/// APD: drafts a window from left to right and keeps the prefix that an autoregressive model accepts.
///
/// Every masked position of the window draws its token from its own row p_D. The mixture is
/// p_T ∝ p_D^R · p_AR^(1−R), where p_AR is conditioned on the draft so far. The draft is kept up to the first
/// position where p_T would have picked another token *with the same Gumbel noise*. That position and all
/// after it stay masked. The first token is always kept. The two models determine how many tokens are
/// revealed, so a schedule is an error.
///
/// With Gumbel noise G the draft is argmax ln p_j + G_j. Both p and q pick i if G_i exceeds
/// G_j + ln max(p_j/p_i, q_j/q_i) for every j, which has probability 1 / Σ_j max(p_j/p_i, q_j/q_i);
/// given that p did, q does with probability 1 / Σ_j max(p_j, p_i q_j/q_i). This probability is
/// used instead of the noise.
///
/// **Law.** With a window of 1 it is the model's own joint, left to right, at temperature 1 without
/// truncation. With R = 1 it is [`Marginal`](super::Marginal) from left to right, a window at a time. In
/// between it is neither model's joint, even if both models are exact: an accepted token has the
/// law ∝ 1 / Σ_j max(p_j/p_i, q_j/q_i), neither p_D nor p_T, and a rejected one is drawn again from a better
/// row. Source: APD (arXiv 2506.00413). R = 0.7 and a look-ahead of 100 are the defaults of its code; the
/// window of 16 there is that of its cache. That code compares with the mixture's argmax at any temperature,
/// as [`greedy`](Self::greedy) does.
#[doc(alias = "APD")]
#[doc(alias = "Adaptive Parallel Decoding")]
#[derive(Clone)]
pub struct PrefixAcceptance {
    scorer: Arc<dyn Autoregressive>,
    mixture: f64,
    window: usize,
    greedy: bool,
}

impl PrefixAcceptance {
    /// Creates the unmasker with R = 0.7 and a window of 100 positions.
    pub fn new(scorer: impl Autoregressive + 'static) -> Self {
        Self { scorer: Arc::new(scorer), mixture: 0.7, window: 100, greedy: false }
    }

    /// Sets R, the weight of the denoiser. 1 accepts every token; 0 uses the autoregressive model only.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ R ≤ 1.
    pub fn mixture(self, r: f64) -> Result<Self, Error> {
        Ok(Self { mixture: range::probability("mixture weight", r)?, ..self })
    }

    /// Sets the largest number of positions drafted in a step.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    pub fn window(self, positions: usize) -> Result<Self, Error> {
        Ok(Self { window: range::at_least("window", positions, 1)?, ..self })
    }

    /// Accepts a draft token if it is the most probable token of the mixture. This is the limit of
    /// temperature 0, for [`Argmax`](crate::draw::Argmax) draws.
    pub fn greedy(self) -> Self {
        Self { greedy: true, ..self }
    }

    /// Whether the draft of a candidate is accepted. Row `n` of `ar` is that of its position.
    fn accepts(
        &self,
        view: &mut View<'_>,
        candidate: Row,
        draft: Drawn,
        (ar, n): (&Scores, usize),
    ) -> Result<bool, Error> {
        let row = view.filtered(candidate)?;
        let log_z = RowStats::of(row).map_or(0.0, |stats| stats.log_z);
        let log_p: Vec<f64> = row.iter().map(|&logit| f64::from(logit) - log_z).collect();
        let log_q = log_p.iter().enumerate().map(|(token, &log_p)| {
            let ar = ar.log_probability(n, token);
            mix(self.mixture, log_p, ar)
        });
        let log_q: Vec<f64> = log_q.collect();
        let token = draft.token as usize;
        if self.greedy {
            return Ok((0..log_q.len())
                .all(|j| log_q[j] <= log_q[token] && (j >= token || log_q[j] < log_q[token])));
        }
        Ok(view.stream().chance(agreement(&log_p, &log_q, token)))
    }
}

/// R ln p_D + (1 − R) ln p_AR. A factor with exponent 0 does not count, except that tokens ruled out by the
/// filters stay out.
fn mix(r: f64, log_p: f64, log_ar: f64) -> f64 {
    match r {
        _ if log_p == f64::NEG_INFINITY => log_p,
        1.0 => log_p,
        _ => r * log_p + (1.0 - r) * log_ar,
    }
}

/// The probability that q picks token i too, given that p did with the same Gumbel noise:
/// 1 / Σ_j max(p_j, p_i q_j/q_i). `log_p` is normalised, `log_q` need not be.
fn agreement(log_p: &[f64], log_q: &[f64], i: usize) -> f64 {
    if log_q[i] == f64::NEG_INFINITY {
        return 0.0;
    }
    let shift = log_p[i] - log_q[i];
    let larger = |(&p, &q): (&f64, &f64)| p.max(q + shift).exp();
    1.0 / log_p.iter().zip(log_q).map(larger).sum::<f64>()
}

impl Unmasker for PrefixAcceptance {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let drafted = view.candidates().len().min(self.window);
        let rows: Vec<Row> = view.rows().take(drafted).collect();
        let draft = rows.iter().map(|&row| view.draw(row));
        let draft = draft.collect::<Result<Vec<_>, _>>()?;
        view.reveal(rows[0], draft[0]);
        if drafted > 1 {
            let mut tokens = view.canvas().tokens().to_vec();
            let positions = rows.iter().map(|&row| view.row(row).position);
            let positions: Vec<usize> = positions.collect();
            positions.iter().zip(&draft).for_each(|(&p, drawn)| tokens[p] = drawn.token);
            let second = positions[1];
            let ar = Scores::of(&self.scorer, &tokens, second..positions[drafted - 1] + 1)?;
            for candidate in 1..drafted {
                let n = positions[candidate] - second;
                if !self.accepts(view, rows[candidate], draft[candidate], (&ar, n))? {
                    break;
                }
                view.reveal(rows[candidate], draft[candidate]);
            }
        }
        Ok(Next::EndStep)
    }

    fn control(&self) -> Control {
        Control::Alone
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoregressive::tests::NeverCalled;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn invalid_parameters_are_rejected() {
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(PrefixAcceptance::new(NeverCalled).mixture(bad).is_err(), "{bad}");
        }
        let error = PrefixAcceptance::new(NeverCalled).window(0).err().unwrap();
        assert!(error.to_string().contains("at least 1"), "{error}");
    }

    #[test]
    fn a_factor_with_exponent_0_does_not_count() {
        let out = f64::NEG_INFINITY;
        assert_eq!(mix(1.0, -1.0, out), -1.0);
        assert_eq!(mix(0.0, -1.0, -2.0), -2.0);
        assert_eq!(mix(0.0, out, -2.0), out);
        assert_eq!(mix(0.5, -1.0, -2.0), -1.5);
        assert_eq!(mix(0.5, -1.0, out), out);
    }

    fn ln(p: &[f64]) -> Vec<f64> {
        p.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn agreement_with_itself_is_certain_and_with_the_impossible_never() {
        let p = ln(&[0.2, 0.5, 0.3, 0.0]);
        assert!((0..3).all(|i| (agreement(&p, &p, i) - 1.0).abs() < 1e-12));
        // An unnormalised q gives the same result.
        let shifted: Vec<f64> = p.iter().map(|p| p + 3.0).collect();
        assert!((agreement(&p, &shifted, 1) - 1.0).abs() < 1e-12);
        assert_eq!(agreement(&p, &ln(&[1.0, 0.0, 0.0, 0.0]), 1), 0.0);
    }

    /// Compares the formula with Gumbel noise, 4 · 10⁵ draws for each of 8 pairs of laws: how often q picks i
    /// when p does. A right formula is off by more than 5 standard errors in one of the 32 cases with
    /// probability 2 · 10⁻⁵. Independent noise differs, and so does the acceptance rule of speculative
    /// decoding, except for the two tokens of least and greatest q_i/p_i, where the two rules agree.
    #[test]
    fn agreement_is_that_of_shared_gumbel_noise() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut independent, mut speculative) = (0, 0);
        for _ in 0..8 {
            let mut law = || {
                let weights: Vec<f64> = (0..4).map(|_| rng.random_range(0.02..1.0)).collect();
                let sum: f64 = weights.iter().sum();
                weights.iter().map(|w| w / sum).collect::<Vec<f64>>()
            };
            let (p, q) = (law(), law());
            let (log_p, log_q) = (ln(&p), ln(&q));
            let (mut drawn, mut agreed) = ([0u32; 4], [0u32; 4]);
            for _ in 0..400_000 {
                let noise: [f64; 4] =
                    std::array::from_fn(|_| -(-rng.random::<f64>().max(1e-300).ln()).ln());
                let pick = |log: &[f64]| {
                    (0..4).max_by(|&a, &b| (log[a] + noise[a]).total_cmp(&(log[b] + noise[b])))
                };
                let i = pick(&log_p).unwrap();
                drawn[i] += 1;
                agreed[i] += u32::from(pick(&log_q) == Some(i));
            }
            for i in 0..4 {
                let (n, seen) = (f64::from(drawn[i]), f64::from(agreed[i]) / f64::from(drawn[i]));
                let far = |claim: f64| {
                    let error = (claim * (1.0 - claim) / n).sqrt().max(1e-9);
                    (seen - claim).abs() > 5.0 * error
                };
                assert!(!far(agreement(&log_p, &log_q, i)), "{p:?} {q:?} {i}: {seen}");
                independent += u32::from(far(q[i]));
                speculative += u32::from(far((q[i] / p[i]).min(1.0)));
            }
        }
        assert!(independent > 28 && speculative > 12, "{independent} {speculative}");
    }
}
