use serde::{Deserialize, Serialize};

use crate::Share;

/// A figure with its 95 % confidence interval, the number of sequences and the seed.
///
/// Displays as `0.871 [0.858, 0.884]`. A figure may be infinite, as some divergences are; JSON then holds a string, since
/// it has no infinite numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The figure.
    #[serde(with = "number")]
    pub value: f64,
    /// The lower end of the interval.
    #[serde(with = "number")]
    pub low: f64,
    /// The upper end of the interval.
    #[serde(with = "number")]
    pub high: f64,
    /// The number of sequences, or other units, that were resampled for the interval.
    pub n: usize,
    /// The seed of the draws.
    pub seed: u64,
}

impl Measured {
    /// A proportion with its Wilson interval. `seed` is the seed of the texts.
    pub fn share(share: Share, seed: u64) -> Self {
        let (low, high) = share.interval();
        Self { value: share.value(), low, high, n: share.n as usize, seed }
    }

    /// Clamps the figure and its interval to a range.
    #[must_use]
    pub fn clamped(self, least: f64, most: f64) -> Self {
        let within = |x: f64| x.max(least).min(most);
        Self { low: within(self.low), high: within(self.high), value: within(self.value), ..self }
    }

    /// The mean of m independent measurements of one quantity, such as runs with several seeds; `None` if m is 0.
    ///
    /// Each side of the interval is √(Σ side²) / m over the sides of the measurements. n is their sum, and the seed that of
    /// the first one.
    pub fn mean(of: &[Measured]) -> Option<Self> {
        let (first, m) = (of.first()?, of.len() as f64);
        let value = of.iter().map(|one| one.value).sum::<f64>() / m;
        let side = |end: fn(&Measured) -> f64| {
            of.iter().map(|one| (one.value - end(one)).powi(2)).sum::<f64>().sqrt() / m
        };
        let (below, above) = (side(|one| one.low), side(|one| one.high));
        let n = of.iter().map(|one| one.n).sum();
        Some(Self { value, low: value - below, high: value + above, n, seed: first.seed })
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(3);
        write!(f, "{:.digits$} [{:.digits$}, {:.digits$}]", self.value, self.low, self.high)
    }
}

/// Serialises finite numbers as JSON numbers, and infinities as strings.
mod number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f64),
        Word(String),
    }

    pub fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        match number.is_finite() {
            true => to.serialize_f64(*number),
            false => to.serialize_str(&number.to_string()),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
        match Number::deserialize(from)? {
            Number::Finite(number) => Ok(number),
            Number::Word(word) => {
                word.parse().map_err(|_| D::Error::custom(format!("{word:?} is not a number")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Measured = Measured { value: 0.8712, low: 0.858, high: 0.8839, n: 400, seed: 7 };

    #[test]
    fn prints_value_and_interval() {
        assert_eq!(ONE.to_string(), "0.871 [0.858, 0.884]");
        assert_eq!(format!("{ONE:.1}"), "0.9 [0.9, 0.9]");
    }

    #[test]
    fn json_round_trips_infinite_figures() {
        let far = Measured { value: f64::INFINITY, high: f64::INFINITY, ..ONE };
        for measured in [ONE, far] {
            let json = serde_json::to_string(&measured).unwrap();
            assert_eq!(serde_json::from_str::<Measured>(&json).unwrap(), measured, "{json}");
        }
        let json = serde_json::to_string(&ONE).unwrap().replace("0.858", "\"low\"");
        assert!(serde_json::from_str::<Measured>(&json).is_err());
    }

    #[test]
    fn the_mean_of_independent_runs_has_a_narrower_interval() {
        let two = Measured::mean(&[ONE, Measured { value: 0.8, low: 0.79, high: 0.82, ..ONE }]);
        let two = two.unwrap();
        assert!((two.value - 0.8356).abs() < 1e-12);
        let below = (0.0132_f64.powi(2) + 0.01_f64.powi(2)).sqrt() / 2.0;
        let above = (0.0127_f64.powi(2) + 0.02_f64.powi(2)).sqrt() / 2.0;
        assert!((two.value - two.low - below).abs() < 1e-12);
        assert!((two.high - two.value - above).abs() < 1e-12);
        assert_eq!((two.n, two.seed), (800, 7));
        assert_eq!(Measured::mean(&[ONE]).unwrap().n, 400);
        assert_eq!(Measured::mean(&[]), None);
    }

    #[test]
    fn a_share_has_its_wilson_interval() {
        let share = Share { passed: 5, n: 10 };
        let measured = Measured::share(share, 3);
        assert_eq!((measured.value, measured.n, measured.seed), (0.5, 10, 3));
        assert_eq!((measured.low, measured.high), share.interval());
    }

    #[test]
    fn clamping_changes_only_values_outside_the_range() {
        let wide = Measured { value: 0.98, low: 0.9, high: 1.1, n: 1, seed: 0 };
        assert_eq!(wide.clamped(0.0, 1.0), Measured { high: 1.0, ..wide });
    }
}
