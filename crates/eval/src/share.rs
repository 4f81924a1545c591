use serde::Serialize;

/// A proportion: `passed` out of `n`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The number that passed.
    pub passed: u64,
    /// The total number.
    pub n: u64,
}

impl Share {
    /// Counts one more item.
    pub fn count(&mut self, passed: bool) {
        self.passed += u64::from(passed);
        self.n += 1;
    }

    /// The proportion; 0 if nothing was counted.
    pub fn value(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.passed as f64 / self.n as f64 }
    }

    /// The 95 % Wilson score interval; (0, 1) if nothing was counted.
    ///
    ///
    /// Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    /// Journal of the American Statistical Association 22 (1927).
    #[doc(alias = "Wilson")]
    pub fn interval(&self) -> (f64, f64) {
        if self.n == 0 {
            return (0.0, 1.0);
        }
        const Z: f64 = 1.959_963_984_540_054;
        let (n, p) = (self.n as f64, self.value());
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
    }
}

impl std::ops::AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.n += other.n;
    }
}

impl std::fmt::Display for Share {
    /// Writes `0.712 [0.671, 0.750]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = self.interval();
        write!(f, "{:.3} [{low:.3}, {high:.3}]", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_match_known_values() {
        // Brown, Cai and DasGupta (2001) tabulate Wilson's interval; these are computed by hand.
        let half = Share { passed: 5, n: 10 };
        let (low, high) = half.interval();
        assert!((low - 0.236_6).abs() < 1e-4 && (high - 0.763_4).abs() < 1e-4, "{low} {high}");
        let none = Share { passed: 0, n: 10 };
        assert!(none.interval().0 < 1e-12 && (none.interval().1 - 0.277_5).abs() < 1e-4);
        assert_eq!(Share::default().interval(), (0.0, 1.0));
        assert_eq!(half.to_string(), "0.500 [0.237, 0.763]");
    }

    proptest! {
        #[test]
        fn the_interval_contains_the_value(n in 1u64..5000, share in 0.0f64..=1.0) {
            let share = Share { passed: (share * n as f64) as u64, n };
            let (low, high) = share.interval();
            prop_assert!(0.0 <= low && low <= share.value() + 1e-12);
            prop_assert!(share.value() <= high + 1e-12 && high <= 1.0);
        }
    }
}
