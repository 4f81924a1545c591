use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Error, Measured};

/// The bootstrap, which estimates the 95 % confidence interval of any statistic.
///
/// The statistic is computed on B resamples, each of n items drawn with replacement from the sample of n. The interval is
/// that of the 2.5 % and 97.5 % quantiles of the B replicates. Several samples are resampled independently. Equal seeds
/// give equal intervals on every machine.
///
/// Sampling noise biases a *plug-in* statistic of histograms, such as MAUVE or a divergence. A replicate has that noise
/// twice, so that the percentile interval may not contain the value. [`recentred`](Self::recentred) shifts the interval by
/// the difference of the value and the replicates' median. It is then an interval of the statistic's expectation *at this
/// n*, which can be compared with other measurements at the same n.
///
/// Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7
/// (1979).
#[doc(alias = "confidence interval")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    seed: u64,
    resamples: usize,
    recentred: bool,
}

impl Bootstrap {
    /// A bootstrap with B = 1000 resamples.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, resamples: 1000, recentred: false }
    }

    /// Sets B, the number of resamples.
    ///
    /// # Errors
    /// [`Error::Parameter`] below 100, which is too few for the outer 2.5 %.
    pub fn resamples(mut self, resamples: usize) -> Result<Self, Error> {
        if resamples < 100 {
            return Err(Error::parameter("resamples", resamples, "at least 100"));
        }
        self.resamples = resamples;
        Ok(self)
    }

    /// Shifts the interval so that the replicates' median equals the value.
    #[must_use]
    pub fn recentred(mut self) -> Self {
        self.recentred = true;
        self
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Measures a statistic of one sample.
    ///
    /// # Errors
    /// [`Error::Empty`] and [`Error::NotANumber`].
    pub fn one<T: Clone>(
        &self,
        sample: &[T],
        statistic: impl Fn(&[T]) -> f64,
    ) -> Result<Measured, Error> {
        self.replicates(sample.len(), statistic(sample), |draw| statistic(&draw.sample(sample)))
    }

    /// Measures a statistic of two independent samples. `n` of the result is the size of the first one.
    ///
    /// # Errors
    /// [`Error::Empty`] and [`Error::NotANumber`].
    pub fn two<A: Clone, B: Clone>(
        &self,
        a: &[A],
        b: &[B],
        statistic: impl Fn(&[A], &[B]) -> f64,
    ) -> Result<Measured, Error> {
        if b.is_empty() {
            return Err(Error::Empty("the second sample"));
        }
        self.replicates(a.len(), statistic(a, b), |draw| {
            let (a, b) = (draw.sample(a), draw.sample(b));
            statistic(&a, &b)
        })
    }

    /// Measures any statistic, given its value and a function that computes it on resampled data.
    ///
    /// # Errors
    /// [`Error::Empty`] if n is 0, and [`Error::NotANumber`].
    pub fn replicates(
        &self,
        n: usize,
        value: f64,
        mut replicate: impl FnMut(&mut Resampler) -> f64,
    ) -> Result<Measured, Error> {
        if n == 0 {
            return Err(Error::Empty("the sample"));
        }
        let mut draw = Resampler(ChaCha8Rng::seed_from_u64(self.seed));
        let mut replicates: Vec<f64> = (0..self.resamples).map(|_| replicate(&mut draw)).collect();
        if value.is_nan() {
            return Err(Error::NotANumber("the sample"));
        }
        if replicates.iter().any(|replicate| replicate.is_nan()) {
            return Err(Error::NotANumber("a resample"));
        }
        replicates.sort_unstable_by(f64::total_cmp);
        let [low, median, high] = [0.025, 0.5, 0.975].map(|share| quantile(&replicates, share));
        let shift = value - median;
        let shift = if self.recentred && shift.is_finite() { shift } else { 0.0 };
        Ok(Measured { value, low: low + shift, high: high + shift, n, seed: self.seed })
    }
}

/// The source of resampled data.
pub struct Resampler(ChaCha8Rng);

impl Resampler {
    /// Draws as many items as the sample has, with replacement.
    pub fn sample<T: Clone>(&mut self, sample: &[T]) -> Vec<T> {
        sample.iter().map(|_| sample[self.below(sample.len())].clone()).collect()
    }

    /// Draws an index uniformly from 0..n. `n` must be at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n.max(1) as u64) as usize
    }

    /// Draws the number of successes in `n` trials of probability `p`.
    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        (0..n).map(|_| u64::from(self.0.random::<f64>() < p)).sum()
    }
}

/// A quantile of ascending numbers, interpolated linearly.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    if below == above { below } else { below + (at - at.floor()) * (above - below) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn mean(sample: &[f64]) -> f64 {
        sample.iter().sum::<f64>() / sample.len() as f64
    }

    #[test]
    fn quantiles_match_known_values() {
        let numbers = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&numbers, 0.5), 2.0);
        assert!((quantile(&numbers, 0.025) - 0.1).abs() < 1e-12);
        assert_eq!(quantile(&[7.0], 0.975), 7.0);
        assert_eq!(quantile(&[1.0, f64::INFINITY, f64::INFINITY], 0.975), f64::INFINITY);
    }

    /// The mean of n numbers of variance σ² has the interval ±1.96 σ / √n.
    #[test]
    fn the_interval_of_a_mean_matches_theory() {
        let sample: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let expected = 1.96 * (399.0_f64 / 12.0).sqrt() / 400.0_f64.sqrt();
        let bootstrap = Bootstrap::new(3).resamples(4000).unwrap();
        let measured = bootstrap.one(&sample, mean).unwrap();
        assert_eq!((measured.value, measured.n, measured.seed), (9.5, 400, 3));
        for side in [measured.value - measured.low, measured.high - measured.value] {
            assert!((side / expected - 1.0).abs() < 0.06, "{side} {expected}");
        }
        assert_eq!(measured, bootstrap.one(&sample, mean).unwrap());
        assert_ne!(measured.low, Bootstrap::new(4).one(&sample, mean).unwrap().low);
    }

    #[test]
    fn two_samples_add_their_variances() {
        let (a, b): (Vec<f64>, Vec<f64>) = (
            (0..300).map(|i| f64::from(i % 2)).collect(),
            (0..75).map(|i| f64::from(i % 3)).collect(),
        );
        let bootstrap = Bootstrap::new(0).resamples(4000).unwrap();
        let measured = bootstrap.two(&a, &b, |a, b| mean(a) - mean(b)).unwrap();
        let expected = 1.96 * (0.25 / 300.0 + (2.0 / 3.0) / 75.0_f64).sqrt();
        let half = (measured.high - measured.low) / 2.0;
        assert!((half / expected - 1.0).abs() < 0.06, "{half} {expected}");
    }

    /// Samples of a biased coin: the interval contains the truth in about 95 of 100 cases, and one of half its width does
    /// not. The false-alarm rate is below 10⁻³ for each bound; seeds are fixed.
    #[test]
    fn intervals_have_their_nominal_coverage() {
        let (truth, runs) = (0.3, 400);
        let mut coins = Resampler(ChaCha8Rng::seed_from_u64(11));
        let (mut covered, mut halved) = (0, 0);
        for run in 0..runs {
            let coin = |_| if coins.binomial(1, truth) == 1 { 1.0 } else { 0.0 };
            let sample: Vec<f64> = (0..200).map(coin).collect();
            let bootstrap = Bootstrap::new(run).resamples(400).unwrap();
            let Measured { value, low, high, .. } = bootstrap.one(&sample, mean).unwrap();
            covered += usize::from(low <= truth && truth <= high);
            let near = |end: f64| value + (end - value) / 2.0;
            halved += usize::from(near(low) <= truth && truth <= near(high));
        }
        let share = |count: usize| count as f64 / runs as f64;
        assert!((0.90..=0.985).contains(&share(covered)), "{covered}");
        assert!(share(halved) < 0.80, "{halved}");
    }

    #[test]
    fn recentring_removes_the_shift_of_a_biased_statistic() {
        // A resample has fewer distinct values, so the plain interval is below the value.
        let sample: Vec<u32> = (0..50).collect();
        let distinct = |sample: &[u32]| sample.iter().collect::<BTreeSet<_>>().len() as f64;
        let plain = Bootstrap::new(1).one(&sample, distinct).unwrap();
        assert!(plain.high < plain.value, "{plain}");
        let moved = Bootstrap::new(1).recentred().one(&sample, distinct).unwrap();
        assert!(moved.low < moved.value && moved.value < moved.high, "{moved}");
        assert!((moved.high - moved.low - (plain.high - plain.low)).abs() < 1e-12);
    }

    #[test]
    fn unusable_samples_and_statistics_are_errors() {
        let none: [f64; 0] = [];
        assert!(matches!(Bootstrap::new(0).one(&none, mean), Err(Error::Empty(_))));
        assert!(matches!(Bootstrap::new(0).two(&[1.0], &none, |_, _| 0.0), Err(Error::Empty(_))));
        let nan = Bootstrap::new(0).one(&[1.0], |_| f64::NAN);
        assert!(matches!(nan, Err(Error::NotANumber(_))));
        assert!(Bootstrap::new(0).resamples(99).is_err());
        let infinite = Bootstrap::new(0).recentred().one(&[1.0], |_| f64::INFINITY).unwrap();
        assert_eq!((infinite.low, infinite.high), (f64::INFINITY, f64::INFINITY));
    }

    proptest! {
        #[test]
        fn intervals_are_ordered_and_within_the_data(
            sample in prop::collection::vec(-5.0f64..5.0, 1..40), seed in any::<u64>(),
        ) {
            let measured = Bootstrap::new(seed).resamples(100).unwrap().one(&sample, mean).unwrap();
            let least = sample.iter().copied().fold(f64::INFINITY, f64::min);
            let most = sample.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(measured.low <= measured.high);
            prop_assert!(least - 1e-9 <= measured.low && measured.high <= most + 1e-9);
        }
    }
}
