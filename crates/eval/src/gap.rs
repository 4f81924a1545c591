use crate::Measured;

/// The share of the gap between a floor and a ceiling that a figure closes: (x − floor) / (ceiling − floor).
///
/// The floor is usually independent sampling, and the ceiling one-at-a-time sampling. A share of 0 closes nothing, and 1
/// the whole gap. Lower figures may be better, too.
///
/// The interval propagates those of the three figures to first order, as if they were independent. Returns `None` if the
/// gap is not larger than the combined half-widths of the floor's and the ceiling's intervals.
///
/// ```
/// use conjoint_eval::{Measured, gap_closed};
/// let figure = |value| Measured { value, low: value - 0.01, high: value + 0.01, n: 500, seed: 1 };
/// let closed = gap_closed(&figure(0.9), &figure(0.5), &figure(1.0)).unwrap();
/// assert!((closed.value - 0.8).abs() < 1e-12);
/// assert!(gap_closed(&figure(0.9), &figure(0.99), &figure(1.0)).is_none());
/// ```
pub fn gap_closed(figure: &Measured, floor: &Measured, ceiling: &Measured) -> Option<Measured> {
    let side = |of: &Measured| 0.5 * (of.high - of.low);
    let gap = ceiling.value - floor.value;
    let unsure = side(floor).hypot(side(ceiling));
    if !(gap.is_finite() && gap.abs() > unsure && figure.value.is_finite()) {
        return None;
    }
    let value = (figure.value - floor.value) / gap;
    let slopes = [(figure, 1.0), (floor, value - 1.0), (ceiling, value)];
    let square: f64 = slopes.iter().map(|(of, slope)| (slope * side(of) / gap).powi(2)).sum();
    let side = square.sqrt();
    let n = figure.n.min(floor.n).min(ceiling.n);
    Some(Measured { value, low: value - side, high: value + side, n, seed: figure.seed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bootstrap;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn exactly(value: f64) -> Measured {
        Measured { value, low: value, high: value, n: 10, seed: 1 }
    }

    #[test]
    fn shares_match_those_computed_by_hand() {
        let closed = |x, floor, ceiling| {
            gap_closed(&exactly(x), &exactly(floor), &exactly(ceiling)).map(|share| share.value)
        };
        assert_eq!(closed(0.75, 0.5, 1.0), Some(0.5));
        // Lower is better.
        assert_eq!(closed(1.0, 3.0, 1.0), Some(1.0));
        assert_eq!(closed(3.5, 3.0, 1.0), Some(-0.25));
        assert_eq!(closed(0.5, 1.0, 1.0), None);
        assert_eq!(closed(f64::INFINITY, 1.0, 2.0), None);
        assert_eq!(closed(1.0, f64::INFINITY, 2.0), None);
    }

    /// The interval covers the truth in about 95 % of repeated measurements.
    #[test]
    fn the_interval_has_its_nominal_coverage() {
        let (means, n) = ([0.8, 0.4, 1.0], 400);
        let once = |seed: u64| {
            let figure = |i: usize| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed * 3 + i as u64);
                let values: Vec<f64> =
                    (0..n).map(|_| means[i] + rng.random::<f64>() - 0.5).collect();
                let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
                Bootstrap::new(seed).one(&values, mean).unwrap()
            };
            gap_closed(&figure(0), &figure(1), &figure(2)).unwrap()
        };
        let all: Vec<Measured> = (0..200).map(once).collect();
        let covered = all.iter().filter(|m| m.low <= 2.0 / 3.0 && 2.0 / 3.0 <= m.high).count();
        // 190 expected, standard deviation 3.1.
        assert!((178..=200).contains(&covered), "{covered}");
    }
}
