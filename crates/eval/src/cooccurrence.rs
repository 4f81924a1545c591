use std::collections::BTreeMap;

use conjoint_core::TokenId;
use serde::{Deserialize, Serialize};

use crate::{Bootstrap, Error, Measured};

/// The divergence between the pair frequencies of two sets of texts, at a distance d between the tokens of a pair.
///
/// P_d(a, b) is the share of pairs (x_i, x_{i+d}) that equal (a, b), over all texts and positions i; d = 1 are neighbours.
/// The divergence of two sets is that of Jensen and Shannon, in nats, from 0 to ln 2:
///
/// JS(P, Q) = ½ KL(P ‖ M) + ½ KL(Q ‖ M), M = ½ (P + Q).
///
/// Finite samples of one distribution differ, too, by about (cells − 1) / 4n. Both figures have the same bias, since all
/// tables come from h = ⌊min(reference, samples) / 2⌋ texts:
///
/// - the divergence is the mean of JS(first h of the reference, first h samples) and JS(second h of the reference, second
///   h samples);
/// - the floor is JS(first h, second h of the reference). Only a divergence above the floor is evidence of a difference.
///
/// The [recentred](Bootstrap::recentred) intervals resample the texts of each half. `n` is 2h for both figures.
///
/// Truncate texts at their end first: pairs of padding carry no information.
#[doc(alias = "Jensen-Shannon")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CoOccurrence {
    /// d, the distance between the two tokens.
    pub distance: usize,
    /// The divergence between the samples and the reference.
    pub divergence: Measured,
    /// The divergence between two halves of the reference.
    pub floor: Measured,
}

impl CoOccurrence {
    /// Compares two sets of texts at distance d.
    ///
    /// # Errors
    /// [`Error::Parameter`] if d is 0, [`Error::Empty`] if a set has fewer than two texts or no text of a half is longer
    /// than d, and [`Error::NotANumber`] if a resample has no such text.
    pub fn between<S: AsRef<[TokenId]>>(
        reference: &[S],
        samples: &[S],
        distance: usize,
        bootstrap: &Bootstrap,
    ) -> Result<Self, Error> {
        if distance == 0 {
            return Err(Error::parameter("distance", distance, "at least 1"));
        }
        let half = reference.len().min(samples.len()) / 2;
        if half == 0 {
            return Err(Error::Empty("half of a set of texts"));
        }
        let mut cells = Cells::default();
        let mut halves = |texts: &[S]| {
            let mut of = |texts: &[S]| -> Vec<Vec<usize>> {
                texts.iter().map(|text| cells.pairs(text.as_ref(), distance)).collect()
            };
            [of(&texts[..half]), of(&texts[half..2 * half])]
        };
        let (reference, samples) = (halves(reference), halves(samples));
        let no_pair = |half: &Vec<Vec<usize>>| half.iter().all(Vec::is_empty);
        if reference.iter().chain(&samples).any(no_pair) {
            return Err(Error::Empty("the list of pairs at this distance"));
        }
        let cells = cells.0.len();
        let measure = |pairs: &[[&[Vec<usize>]; 2]]| {
            let mean = |of: &mut dyn FnMut(&[Vec<usize>]) -> Vec<f64>| {
                let js = pairs.iter().map(|pair| jensen_shannon(&of(pair[0]), &of(pair[1])));
                js.sum::<f64>() / pairs.len() as f64
            };
            let value = mean(&mut |texts| shares(texts.iter(), cells));
            bootstrap.recentred().replicates(2 * half, value, |draw| {
                mean(&mut |texts| shares((0..half).map(|_| &texts[draw.below(half)]), cells))
            })
        };
        let [first, second] = [0, 1].map(|i| [&reference[i][..], &samples[i][..]]);
        let most = std::f64::consts::LN_2;
        Ok(Self {
            distance,
            divergence: measure(&[first, second])?.clamped(0.0, most),
            floor: measure(&[[&reference[0], &reference[1]]])?.clamped(0.0, most),
        })
    }
}

/// Pairs of tokens, numbered in the order of their first occurrence.
#[derive(Default)]
struct Cells(BTreeMap<(TokenId, TokenId), usize>);

impl Cells {
    /// The pairs at a distance in a text.
    fn pairs(&mut self, text: &[TokenId], distance: usize) -> Vec<usize> {
        let pairs = text.iter().zip(text.iter().skip(distance));
        let number = |(&a, &b): (&TokenId, &TokenId)| {
            let next = self.0.len();
            *self.0.entry((a, b)).or_insert(next)
        };
        pairs.map(number).collect()
    }
}

/// The share of each cell; NaN if there are no pairs.
fn shares<'a>(texts: impl Iterator<Item = &'a Vec<usize>>, cells: usize) -> Vec<f64> {
    let (mut counts, mut total) = (vec![0.0; cells], 0.0);
    for &cell in texts.flatten() {
        counts[cell] += 1.0;
        total += 1.0;
    }
    counts.iter().map(|count| count / total).collect()
}

/// JS(P, Q) in nats.
fn jensen_shannon(p: &[f64], q: &[f64]) -> f64 {
    let half = |p: f64, m: f64| if p == 0.0 { 0.0 } else { 0.5 * p * (p / m).ln() };
    let term = |(&p, &q): (&f64, &f64)| half(p, 0.5 * (p + q)) + half(q, 0.5 * (p + q));
    p.iter().zip(q).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_divergence_matches_values_computed_by_hand() {
        assert_eq!(jensen_shannon(&[0.5, 0.5], &[0.5, 0.5]), 0.0);
        assert!((jensen_shannon(&[1.0, 0.0], &[0.0, 1.0]) - 2.0_f64.ln()).abs() < 1e-12);
        // M = (3/4, 1/4): ½ ln(4/3) + ½ (½ ln(2/3) + ½ ln 2).
        let expected =
            0.5 * (4.0_f64 / 3.0).ln() + 0.25 * (2.0_f64 / 3.0).ln() + 0.25 * 2.0_f64.ln();
        assert!((jensen_shannon(&[1.0, 0.0], &[0.5, 0.5]) - expected).abs() < 1e-12);
    }

    #[test]
    fn pairs_are_counted_at_their_distance() {
        let mut cells = Cells::default();
        assert_eq!(cells.pairs(&[7, 8, 7, 8], 1), [0, 1, 0]);
        assert_eq!(cells.pairs(&[7, 8, 7, 8], 2), [2, 3]);
        assert_eq!(cells.pairs(&[7], 1), [0; 0]);
        assert_eq!(shares([vec![0, 1, 0], vec![2]].iter(), 3), [0.5, 0.25, 0.25]);
    }

    /// Texts of 8 symbols out of 4: the symbol at i + 2 repeats the one at i with probability
    /// `copies`.
    fn texts(n: usize, copies: f64, seed: u64) -> Vec<Vec<TokenId>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut text = || {
            let mut text: Vec<TokenId> = Vec::new();
            for i in 0..8 {
                let copied = i >= 2 && rng.random::<f64>() < copies;
                text.push(if copied { text[i - 2] } else { rng.random_range(0..4) });
            }
            text
        };
        (0..n).map(|_| text()).collect()
    }

    #[test]
    fn a_lost_dependence_shows_at_its_distance_only() {
        let (reference, independent) = (texts(800, 0.9, 1), texts(800, 0.0, 2));
        let at = |samples: &[Vec<TokenId>], distance| {
            CoOccurrence::between(&reference, samples, distance, &Bootstrap::new(3)).unwrap()
        };
        let (near, far) = (at(&independent, 1), at(&independent, 2));
        assert!(far.divergence.low > 10.0 * far.floor.high, "{far:?}");
        assert!(near.divergence.value < 0.05 * far.divergence.value, "{near:?}");
        let same = at(&texts(800, 0.9, 4), 2);
        assert!(same.divergence.low < same.floor.high, "{same:?}");
        assert_eq!((same.divergence.n, same.distance), (800, 2));
    }

    /// Halves of 400 texts with 7 pairs each over 16 equally likely cells: about 15 / (4 · 2800)
    /// nats.
    #[test]
    fn the_floor_matches_theory() {
        let divergence = |seed| {
            let (reference, samples) = (texts(800, 0.0, seed), texts(800, 0.0, 100 + seed));
            let bootstrap = Bootstrap::new(1).resamples(100).unwrap();
            let measured = CoOccurrence::between(&reference, &samples, 1, &bootstrap).unwrap();
            [measured.divergence.value, measured.floor.value]
        };
        let all: Vec<f64> = (0..20).flat_map(divergence).collect();
        let (mean, theory) = (all.iter().sum::<f64>() / 40.0, 15.0 / (4.0 * 2800.0));
        assert!((mean / theory - 1.0).abs() < 0.2, "{mean} {theory}");
    }

    #[test]
    fn unusable_sets_are_rejected() {
        let bootstrap = Bootstrap::new(0);
        let texts = texts(4, 0.0, 0);
        assert!(CoOccurrence::between(&texts, &texts, 0, &bootstrap).is_err());
        let none = CoOccurrence::between(&texts, &texts[..1], 1, &bootstrap);
        assert!(matches!(none, Err(Error::Empty(_))));
        let short = CoOccurrence::between(&texts, &texts, 8, &bootstrap);
        assert!(matches!(short, Err(Error::Empty(_))));
        // One half of the samples has no pair.
        let mut samples = texts.clone();
        samples[2..].iter_mut().for_each(|text| text.truncate(1));
        let short = CoOccurrence::between(&texts, &samples, 1, &bootstrap);
        assert!(matches!(short, Err(Error::Empty(_))));
    }

    proptest! {
        #[test]
        fn symmetric_and_bounded(counts in prop::collection::vec((0u32..9, 0u32..9), 2..9)) {
            let (p, q): (Vec<f64>, Vec<f64>) =
                counts.iter().map(|&(p, q)| (f64::from(p), f64::from(q))).unzip();
            prop_assume!(p.iter().sum::<f64>() > 0.0 && q.iter().sum::<f64>() > 0.0);
            let normal = |x: &[f64]| -> Vec<f64> {
                x.iter().map(|v| v / x.iter().sum::<f64>()).collect()
            };
            let (p, q) = (normal(&p), normal(&q));
            let js = jensen_shannon(&p, &q);
            prop_assert!((js - jensen_shannon(&q, &p)).abs() < 1e-12);
            prop_assert!((-1e-12..=2.0_f64.ln() + 1e-12).contains(&js));
        }
    }
}
