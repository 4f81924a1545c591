use crate::{Bootstrap, Error, Measured, Share};

/// AUP, accuracy under parallelism: summarises a strategy's accuracies y (%) at increasing tokens per denoiser-equivalent
/// forward, ρ.
///
/// ρ₁ y₁ + Σ ½ (ρᵢ − ρᵢ₋₁) (yᵢ W(yᵢ) + yᵢ₋₁ W(yᵢ₋₁)) with W(y) = min(exp(−α (1 − y / y_max)), 1), over the points by
/// increasing ρ. α = 3. y_max is the best accuracy of *all* compared strategies. Points more than 5 percentage points below
/// y₁, the accuracy at the lowest ρ, are omitted.
///
/// Source: d3LLM, arXiv 2601.07568, and its code. That code rejects a strategy whose *last* point is omitted; this one
/// omits it like any other.
///
/// ```
/// use conjoint_eval::Aup;
/// let aup = Aup::new(80.0)?.of(&[(1.0, 80.0), (4.0, 76.0), (8.0, 40.0)])?;
/// assert!((aup - (80.0 + 0.5 * 3.0 * (80.0 + 76.0 * (-0.15_f64).exp()))).abs() < 1e-9);
/// # Ok::<(), conjoint_eval::Error>(())
/// ```
#[doc(alias = "accuracy under parallelism")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aup {
    best: f64,
    alpha: f64,
    slack: f64,
}

impl Aup {
    /// AUP with the given y_max, in percent.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `best` is above 0 and at most 100.
    pub fn new(best: f64) -> Result<Self, Error> {
        if !(best > 0.0 && best <= 100.0) {
            return Err(Error::parameter("y_max", best, "above 0 and at most 100"));
        }
        Ok(Self { best, alpha: 3.0, slack: 5.0 })
    }

    /// Sets α, the sharpness of the weight.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `alpha` is finite and above 0.
    pub fn alpha(mut self, alpha: f64) -> Result<Self, Error> {
        self.alpha = crate::error::positive("alpha", alpha)?;
        Ok(self)
    }

    /// AUP of points (ρ, y %), in any order.
    ///
    /// # Errors
    /// [`Error::Empty`], and [`Error::Parameter`] unless every ρ is finite and above 0 and every y
    /// between 0 and 100.
    pub fn of(&self, points: &[(f64, f64)]) -> Result<f64, Error> {
        for &(rho, y) in points {
            crate::error::positive("tokens per forward", rho)?;
            if !(0.0..=100.0).contains(&y) {
                return Err(Error::parameter("accuracy", y, "a percentage, 0 to 100"));
            }
        }
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let &(rho, y) = points.first().ok_or(Error::Empty("the list of points"))?;
        points.retain(|&(_, other)| other >= y - self.slack);
        let weighted = |y: f64| y * (-self.alpha * (1.0 - y / self.best)).exp().min(1.0);
        let trapezium = |pair: &[(f64, f64)]| {
            0.5 * (pair[1].0 - pair[0].0) * (weighted(pair[1].1) + weighted(pair[0].1))
        };
        Ok(rho * y + points.windows(2).map(trapezium).sum::<f64>())
    }

    /// AUP of points (ρ, tasks passed). The interval resamples the tasks of each point, and treats y_max as exact. `n` is the
    /// smallest number of tasks.
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn measure(
        &self,
        points: &[(f64, Share)],
        bootstrap: &Bootstrap,
    ) -> Result<Measured, Error> {
        let percent = |share: Share| 100.0 * share.value();
        let all: Vec<_> = points.iter().map(|&(rho, share)| (rho, percent(share))).collect();
        let value = self.of(&all)?;
        let n = points.iter().map(|(_, share)| share.n).min().unwrap_or(0) as usize;
        bootstrap.replicates(n, value, |draw| {
            let anew = |&(rho, share): &(f64, Share)| {
                let passed = draw.binomial(share.n, share.value());
                (rho, percent(Share { passed, n: share.n }))
            };
            let points: Vec<_> = points.iter().map(anew).collect();
            // The points were checked above.
            self.of(&points).unwrap_or(f64::NAN)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The expected value was computed with the reference's `get_aup`.
    #[test]
    fn agrees_with_the_reference() {
        let points = [(1.0, 72.6), (2.77, 70.0), (5.14, 66.4), (9.11, 69.2)];
        let aup = Aup::new(74.2).unwrap().of(&points).unwrap();
        assert!((aup - 551.5588258933727).abs() < 1e-9, "{aup}");
    }

    #[test]
    fn values_match_those_computed_by_hand() {
        let aup = Aup::new(50.0).unwrap();
        assert_eq!(aup.of(&[(1.0, 50.0)]).unwrap(), 50.0);
        assert_eq!(aup.of(&[(3.0, 50.0), (1.0, 50.0)]).unwrap(), 150.0);
        // 44 is more than 5 below 50, 45 is not.
        assert_eq!(aup.of(&[(1.0, 50.0), (3.0, 44.0)]).unwrap(), 50.0);
        let kept = 50.0 + 0.5 * 2.0 * (50.0 + 45.0 * (-0.3_f64).exp());
        assert!((aup.of(&[(1.0, 50.0), (3.0, 45.0)]).unwrap() - kept).abs() < 1e-9);
        // A point above y_max has weight 1.
        assert_eq!(aup.of(&[(1.0, 50.0), (2.0, 60.0)]).unwrap(), 105.0);
    }

    #[test]
    fn unusable_points_are_rejected() {
        let aup = Aup::new(50.0).unwrap();
        assert!(matches!(aup.of(&[]), Err(Error::Empty(_))));
        for bad in [(0.0, 50.0), (f64::NAN, 50.0), (1.0, 101.0), (1.0, f64::NAN)] {
            assert!(matches!(aup.of(&[bad]), Err(Error::Parameter { .. })));
        }
        assert!(Aup::new(0.0).is_err() && Aup::new(101.0).is_err());
        assert!(aup.alpha(0.0).is_err());
    }

    #[test]
    fn the_interval_narrows_with_more_tasks() {
        let aup = Aup::new(90.0).unwrap();
        let width = |n: u64| {
            let share = |passed| Share { passed: passed * n / 100, n };
            let points = [(1.0, share(90)), (2.0, share(88)), (4.0, share(88))];
            let measured = aup.measure(&points, &Bootstrap::new(1)).unwrap();
            assert!(measured.low < measured.value && measured.value < measured.high);
            assert_eq!(measured.n as u64, n);
            measured.high - measured.low
        };
        assert!(width(6400) < 0.5 * width(400));
    }

    proptest! {
        #[test]
        fn higher_accuracies_do_not_lower_the_score(
            rho in prop::collection::vec(0.1f64..10.0, 2..6),
            y in 20.0f64..90.0,
            more in 0.0f64..5.0,
        ) {
            let aup = Aup::new(95.0).unwrap();
            let of = |y: f64| aup.of(&rho.iter().map(|&rho| (rho, y)).collect::<Vec<_>>()).unwrap();
            prop_assert!(of(y + more) >= of(y) - 1e-9);
        }
    }
}
