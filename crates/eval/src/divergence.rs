//! Divergences between two distributions over whole sequences, for models that are small enough to enumerate.

use std::collections::BTreeMap;

use conjoint_core::TokenId;

use crate::{Bootstrap, Error, Measured};

/// A distribution over sequences. Sequences that are not listed have probability 0.
pub type Law = BTreeMap<Vec<TokenId>, f64>;

/// The empirical distribution of samples.
pub fn empirical<S: AsRef<[TokenId]>>(samples: &[S]) -> Law {
    let mut law = Law::new();
    for sample in samples {
        *law.entry(sample.as_ref().to_vec()).or_insert(0.0) += 1.0 / samples.len() as f64;
    }
    law
}

/// Total variation ½ Σ |p(x) − q(x)|: 0 for equal distributions, 1 for disjoint ones.
#[doc(alias = "TV")]
pub fn total_variation(p: &Law, q: &Law) -> f64 {
    let of = |law: &Law, x: &Vec<TokenId>| law.get(x).copied().unwrap_or(0.0);
    let here: f64 = p.iter().map(|(x, p)| (p - of(q, x)).abs()).sum();
    let only_there: f64 = q.iter().filter(|(x, _)| !p.contains_key(*x)).map(|(_, q)| q).sum();
    0.5 * (here + only_there)
}

/// Kullback–Leibler divergence KL(p ‖ q) = Σ p(x) ln(p(x) / q(x)) in nats; +∞ if q is 0 where p is not.
#[doc(alias = "KL")]
#[doc(alias = "relative entropy")]
pub fn kl(p: &Law, q: &Law) -> f64 {
    let term = |(x, &p): (&Vec<TokenId>, &f64)| p * (p / q.get(x).copied().unwrap_or(0.0)).ln();
    p.iter().filter(|(_, p)| **p > 0.0).map(term).sum()
}

/// Total variation between samples and an exact distribution, with its [recentred](Bootstrap::recentred) interval.
///
/// Samples of the distribution itself have a total variation of about √(cells / n). Compare with as many of those. If a
/// strategy's exact distribution can be enumerated, use [`total_variation`], which has no such floor.
///
/// # Errors
/// [`Error::Empty`].
pub fn sampled_total_variation<S: AsRef<[TokenId]> + Clone>(
    samples: &[S],
    exact: &Law,
    bootstrap: &Bootstrap,
) -> Result<Measured, Error> {
    let statistic = |samples: &[S]| total_variation(&empirical(samples), exact);
    Ok(bootstrap.recentred().one(samples, statistic)?.clamped(0.0, 1.0))
}

/// KL divergence of samples' empirical distribution from an exact one, in nats, with its
/// [recentred](Bootstrap::recentred) interval. The floor is about (cells − 1) / 2n.
///
/// # Errors
/// [`Error::Empty`].
pub fn sampled_kl<S: AsRef<[TokenId]> + Clone>(
    samples: &[S],
    exact: &Law,
    bootstrap: &Bootstrap,
) -> Result<Measured, Error> {
    let statistic = |samples: &[S]| kl(&empirical(samples), exact);
    Ok(bootstrap.recentred().one(samples, statistic)?.clamped(0.0, f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_testkit::TabularJoint;
    use proptest::prelude::*;

    fn law(p: &[f64]) -> Law {
        (0..).zip(p).map(|(token, &p)| (vec![token], p)).collect()
    }

    #[test]
    fn divergences_match_values_computed_by_hand() {
        let (p, q) = (law(&[0.5, 0.5]), law(&[0.25, 0.75]));
        assert_eq!(total_variation(&p, &q), 0.25);
        assert!((kl(&p, &q) - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-12);
        let (left, right) = (law(&[1.0]), Law::from([(vec![1], 1.0)]));
        assert_eq!(total_variation(&left, &right), 1.0);
        assert_eq!(kl(&left, &right), f64::INFINITY);
        assert_eq!(kl(&law(&[1.0, 0.0]), &left), 0.0);
    }

    #[test]
    fn the_empirical_distribution_counts_samples() {
        let samples = [[1, 2], [1, 2], [0, 0], [1, 2]];
        assert_eq!(empirical(&samples), Law::from([(vec![0, 0], 0.25), (vec![1, 2], 0.75)]));
    }

    /// Independent draws of two coins that always agree: the total variation is ½, and the KL is ln 2.
    #[test]
    fn independent_draws_of_dependent_coins() {
        let coins = TabularJoint::new(2, 2, &[0.5, 0.0, 0.0, 0.5]).unwrap();
        let of = |law: conjoint_testkit::Law| -> Law {
            law.iter().map(|(x, p)| (x.to_vec(), p)).collect()
        };
        let (joint, independent) = (of(coins.law()), of(coins.product_of_marginals()));
        assert!((total_variation(&joint, &independent) - 0.5).abs() < 1e-12);
        assert!((kl(&joint, &independent) - 2.0_f64.ln()).abs() < 1e-12);

        let agreeing: Vec<[u32; 2]> = (0..400).map(|i| [i % 2; 2]).collect();
        let thrown: Vec<[u32; 2]> = (0..400).map(|i| [i % 2, (i / 2) % 2]).collect();
        let tv = |samples: &[[u32; 2]]| {
            sampled_total_variation(samples, &joint, &Bootstrap::new(1)).unwrap()
        };
        let (right, wrong) = (tv(&agreeing), tv(&thrown));
        assert!(right.value < 1e-12 && right.high < 0.06, "{right}");
        assert!((wrong.value - 0.5).abs() < 1e-12, "{wrong}");
        assert!(wrong.low > 0.4 && wrong.high < 0.6, "{wrong}");
        let far = sampled_kl(&thrown, &joint, &Bootstrap::new(1)).unwrap();
        assert_eq!(far.value, f64::INFINITY);
        let near = sampled_kl(&agreeing, &independent, &Bootstrap::new(1)).unwrap();
        assert!((near.value - 2.0_f64.ln()).abs() < 1e-12 && near.n == 400, "{near}");
    }

    fn any_law() -> impl Strategy<Value = Law> {
        prop::collection::btree_map(prop::collection::vec(0u32..3, 1..3), 0.01f64..1.0, 1..8)
            .prop_map(|weights| {
                let total: f64 = weights.values().sum();
                weights.into_iter().map(|(x, weight)| (x, weight / total)).collect()
            })
    }

    proptest! {
        #[test]
        fn pinsker(p in any_law(), q in any_law()) {
            let (tv, kl) = (total_variation(&p, &q), kl(&p, &q));
            prop_assert!((tv - total_variation(&q, &p)).abs() < 1e-12);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&tv));
            prop_assert!(kl >= 2.0 * tv * tv - 1e-12);
            prop_assert!(total_variation(&p, &p) == 0.0);
        }
    }
}
