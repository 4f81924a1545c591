//! Probability laws of finished sequences, and distances between them.

use std::collections::BTreeMap;

use conjoint_core::TokenId;

/// Probabilities of sequences; a sequence not listed has probability 0.
///
/// ```
/// use conjoint_testkit::Law;
/// let fair: Law = [(vec![0], 0.5), (vec![1], 0.5)].into_iter().collect();
/// let other: Law = [(vec![0], 0.8), (vec![2], 0.2)].into_iter().collect();
/// assert!((fair.total_variation(&other) - 0.5).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Law(BTreeMap<Vec<TokenId>, f64>);

impl Law {
    /// Adds probability to a sequence.
    pub fn add(&mut self, tokens: Vec<TokenId>, probability: f64) {
        *self.0.entry(tokens).or_insert(0.0) += probability;
    }

    /// The probability of a sequence.
    pub fn probability(&self, tokens: &[TokenId]) -> f64 {
        self.0.get(tokens).copied().unwrap_or(0.0)
    }

    /// The sequences listed, in ascending order, with their probabilities.
    pub fn iter(&self) -> impl Iterator<Item = (&[TokenId], f64)> {
        self.0.iter().map(|(tokens, &p)| (tokens.as_slice(), p))
    }

    /// Number of sequences listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no sequence is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of all probabilities. For a complete law it is 1 up to rounding.
    pub fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// Total variation ½ Σ |p(x) − q(x)|: 0 for equal laws, 1 for laws without a common sequence.
    pub fn total_variation(&self, other: &Law) -> f64 {
        let shared: f64 = self.iter().map(|(x, p)| (p - other.probability(x)).abs()).sum();
        let only_other: f64 =
            other.iter().filter(|(x, _)| !self.0.contains_key(*x)).map(|(_, q)| q.abs()).sum();
        0.5 * (shared + only_other)
    }

    /// Kullback–Leibler divergence KL(self ‖ other) = Σ p(x) ln(p(x) / q(x)) in nats. It is +∞ if
    /// `other` gives probability 0 to a possible sequence of `self`.
    pub fn kl(&self, other: &Law) -> f64 {
        let term = |(x, p): (&[TokenId], f64)| p * (p / other.probability(x)).ln();
        self.iter().filter(|&(_, p)| p > 0.0).map(term).sum()
    }

    /// The law of `f(x)` when x has this law.
    pub fn map(&self, mut f: impl FnMut(&[TokenId]) -> Vec<TokenId>) -> Law {
        self.iter().map(|(x, p)| (f(x), p)).collect()
    }
}

/// Adds the probabilities of a sequence listed twice.
impl FromIterator<(Vec<TokenId>, f64)> for Law {
    fn from_iter<I: IntoIterator<Item = (Vec<TokenId>, f64)>>(pairs: I) -> Self {
        let mut law = Law::default();
        pairs.into_iter().for_each(|(tokens, p)| law.add(tokens, p));
        law
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(p: &[f64]) -> Law {
        (0..).zip(p).map(|(token, &p)| (vec![token], p)).collect()
    }

    #[test]
    fn distances_of_known_laws() {
        let (p, q) = (law(&[0.5, 0.5]), law(&[0.25, 0.75]));
        assert_eq!(p.total_variation(&p), 0.0);
        assert_eq!(p.total_variation(&q), 0.25);
        assert!((p.kl(&q) - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-12);
        assert_eq!(p.kl(&p), 0.0);
    }

    #[test]
    fn distances_of_laws_without_a_common_sequence() {
        let (p, q) = (law(&[1.0]), law(&[0.0, 1.0]));
        assert_eq!(p.total_variation(&q), 1.0);
        assert_eq!(q.total_variation(&p), 1.0);
        assert_eq!(p.kl(&q), f64::INFINITY);
        assert_eq!(p.total_variation(&Law::default()), 0.5);
    }

    #[test]
    fn mapping_adds_the_probabilities_of_equal_images() {
        let mapped = law(&[0.5, 0.25, 0.25]).map(|x| vec![x[0] / 2]);
        assert_eq!(mapped, law(&[0.75, 0.25]));
        assert_eq!((mapped.len(), mapped.total()), (2, 1.0));
    }
}
