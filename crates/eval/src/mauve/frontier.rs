//! The divergence frontier and the area under it.

/// Points (exp(−c KL(q ‖ r)), exp(−c KL(p ‖ r))) for the mixtures r = w p + (1 − w) q, w from
/// nearly 0 to nearly 1, between the end points (1, 0) and (0, 1).
pub(super) fn frontier(p: &[f64], q: &[f64], points: usize, scale: f64) -> Vec<(f64, f64)> {
    const EDGE: f64 = 1e-6;
    let step = (1.0 - 2.0 * EDGE) / points.saturating_sub(1).max(1) as f64;
    let inner = (0..points).map(|i| {
        let w = EDGE + step * i as f64;
        let r: Vec<f64> = p.iter().zip(q).map(|(p, q)| w * p + (1.0 - w) * q).collect();
        ((-scale * kl(q, &r)).exp(), (-scale * kl(p, &r)).exp())
    });
    std::iter::once((1.0, 0.0)).chain(inner).chain([(0.0, 1.0)]).collect()
}

/// The area under the frontier, by the trapezoidal rule. Along the frontier x decreases and y increases, so that the areas
/// over x and over y are equal. The reference takes their mean.
pub(super) fn area(frontier: &[(f64, f64)]) -> f64 {
    frontier.windows(2).map(|pair| 0.5 * (pair[0].0 - pair[1].0) * (pair[0].1 + pair[1].1)).sum()
}

/// KL(p ‖ r) = Σ p ln(p / r) in nats, at least 0 in spite of rounding.
fn kl(p: &[f64], r: &[f64]) -> f64 {
    let terms = p.iter().zip(r).filter(|(p, _)| **p > 0.0).map(|(p, r)| p * (p / r).ln());
    terms.sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mauve(p: &[f64], q: &[f64]) -> f64 {
        area(&frontier(p, q, 25, 5.0))
    }

    #[test]
    fn equal_histograms_have_area_one() {
        for p in [vec![1.0], vec![0.25, 0.75], vec![0.1, 0.2, 0.3, 0.4]] {
            assert!((mauve(&p, &p) - 1.0).abs() < 1e-9);
        }
    }

    /// Disjoint histograms: r is positive everywhere, KL(q ‖ r) = −ln(1 − w) and KL(p ‖ r) = −ln w,
    /// so the frontier is ((1 − w)⁵, w⁵), whose area is 5 ∫ w⁵ (1 − w)⁴ dw = 5 B(6, 5) = 1/252.
    #[test]
    fn disjoint_histograms_have_a_known_area() {
        let area = area(&frontier(&[1.0, 0.0], &[0.0, 1.0], 20_001, 5.0));
        assert!((area - 1.0 / 252.0).abs() < 1e-7, "{area}");
        assert!(mauve(&[0.5, 0.5, 0.0], &[0.0, 0.0, 1.0]) < 0.01);
    }

    #[test]
    fn the_divergence_matches_values_computed_by_hand() {
        assert!((kl(&[0.5, 0.5], &[0.25, 0.75]) - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-12);
        assert_eq!(kl(&[1.0, 0.0], &[0.0, 1.0]), f64::INFINITY);
    }

    fn law() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(0u32..20, 6)
            .prop_filter("not all zero", |counts| counts.iter().sum::<u32>() > 0)
            .prop_map(|counts| {
                let total = f64::from(counts.iter().sum::<u32>());
                counts.iter().map(|&count| f64::from(count) / total).collect()
            })
    }

    proptest! {
        #[test]
        fn the_area_is_symmetric_and_a_share(p in law(), q in law()) {
            let (there, back) = (mauve(&p, &q), mauve(&q, &p));
            prop_assert!((there - back).abs() < 1e-9);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&there));
            let apart = p.iter().zip(&q).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max);
            prop_assert!(apart > 1e-12 || there > 1.0 - 1e-9);
            // The smallest losses are those of two cells around one half: 1.04e-4 at a difference of 0.05, 1.6e-3 at 0.1.
            prop_assert!(apart < 0.05 || there < 1.0 - 1e-4);
            prop_assert!(apart < 0.1 || there < 1.0 - 1e-3);
        }

        /// Over x and over y, each sorted, as the reference computes it.
        #[test]
        fn both_areas_are_equal(p in law(), q in law()) {
            let curve = frontier(&p, &q, 25, 5.0);
            let mut over_y: Vec<(f64, f64)> = curve.iter().map(|&(x, y)| (y, x)).collect();
            over_y.reverse();
            prop_assert!((area(&curve) - area(&over_y)).abs() < 1e-12);
            prop_assert!(curve.windows(2).all(|pair| pair[0].0 >= pair[1].0 - 1e-9));
            prop_assert!(curve.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 1e-9));
        }
    }
}
