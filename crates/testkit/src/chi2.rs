//! Pearson's χ² test of samples against a law.

use std::collections::BTreeMap;

use conjoint_core::TokenId;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::{Error, Law};

/// The least expected count of a cell for which the statistic is near its limiting law.
const LEAST_EXPECTED: f64 = 5.0;

/// The result of a χ² test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GoodnessOfFit {
    /// χ² = Σ (observed − expected)² / expected over the cells; +∞ if an impossible outcome was
    /// observed.
    pub statistic: f64,
    /// The number of cells after pooling, minus one.
    pub degrees_of_freedom: usize,
    /// The probability of a statistic at least this large if the samples come from the law.
    pub p_value: f64,
    /// The false-alarm rate α of the test.
    pub alpha: f64,
}

impl GoodnessOfFit {
    /// Tests independent `samples` against `law`. A right sampler is rejected with probability
    /// `alpha`, the false-alarm rate.
    ///
    /// Outcomes with an expected count below 5 are pooled into one cell. If that cell still expects
    /// fewer than 5, it joins the least probable of the other cells. A sample to which the law gives
    /// probability 0 rejects at once. Source: Pearson 1900; Cochran 1954 for the pooling.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < `alpha` < 1; [`Error::TooFewCells`] if fewer than two cells
    /// remain.
    pub fn test<S: AsRef<[TokenId]>>(
        samples: impl IntoIterator<Item = S>,
        law: &Law,
        alpha: f64,
    ) -> Result<Self, Error> {
        if !(alpha > 0.0 && alpha < 1.0) {
            let expected = "a number between 0 and 1";
            return Err(Error::Parameter { name: "alpha", value: alpha, expected });
        }
        let mut counts: BTreeMap<&[TokenId], u64> =
            law.iter().filter(|&(_, p)| p > 0.0).map(|(tokens, _)| (tokens, 0)).collect();
        let (mut sample_count, mut impossible) = (0, false);
        for sample in samples {
            sample_count += 1;
            match counts.get_mut(sample.as_ref()) {
                Some(count) => *count += 1,
                None => impossible = true,
            }
        }
        let n = sample_count as f64;
        let expected = |tokens: &[TokenId]| n * law.probability(tokens) / law.total();
        let cells = counts.iter().map(|(tokens, &count)| (count as f64, expected(tokens)));
        let cells = pool(cells.collect());
        if cells.len() < 2 {
            return Err(Error::TooFewCells { cells: cells.len(), samples: sample_count });
        }
        let pearson: f64 =
            cells.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
        let statistic = if impossible { f64::INFINITY } else { pearson };
        let degrees_of_freedom = cells.len() - 1;
        let p_value = survival(statistic, degrees_of_freedom);
        Ok(Self { statistic, degrees_of_freedom, p_value, alpha })
    }

    /// Whether the samples contradict the law at the false-alarm rate α.
    pub fn rejects(&self) -> bool {
        self.p_value < self.alpha
    }
}

/// Joins (observed, expected) cells until each has a sufficient expected count.
fn pool(mut cells: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    cells.sort_by(|a, b| b.1.total_cmp(&a.1));
    let kept = cells.partition_point(|cell| cell.1 >= LEAST_EXPECTED);
    let rare = cells.split_off(kept);
    if !rare.is_empty() {
        let rare = rare.iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        match cells.last_mut() {
            Some(last) if rare.1 < LEAST_EXPECTED => *last = (last.0 + rare.0, last.1 + rare.1),
            _ => cells.push(rare),
        }
    }
    cells
}

/// P(χ²_d ≥ statistic).
fn survival(statistic: f64, degrees_of_freedom: usize) -> f64 {
    if statistic == f64::INFINITY {
        return 0.0;
    }
    ChiSquared::new(degrees_of_freedom as f64).map_or(f64::NAN, |law| law.sf(statistic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_core::{SeededStream, Stream};

    /// `counts[i]` samples of outcome i.
    fn samples(counts: &[usize]) -> Vec<Vec<TokenId>> {
        let repeat = |(outcome, &n)| std::iter::repeat_n(vec![outcome], n);
        (0..).zip(counts).flat_map(repeat).collect()
    }

    fn law(p: &[f64]) -> Law {
        (0..).zip(p).map(|(outcome, &p)| (vec![outcome], p)).collect()
    }

    #[test]
    fn the_statistic_of_a_textbook_die() {
        // 60 throws: χ² = (25 + 4 + 1 + 4 + 0 + 100) / 10 = 13.4 on 5 degrees of freedom.
        let die = samples(&[5, 8, 9, 8, 10, 20]);
        let fit = GoodnessOfFit::test(die, &law(&[1.0 / 6.0; 6]), 0.05).unwrap();
        assert!((fit.statistic - 13.4).abs() < 1e-9, "{fit:?}");
        assert_eq!(fit.degrees_of_freedom, 5);
        assert!((fit.p_value - 0.01990).abs() < 1e-4, "{fit:?}");
        assert!(fit.rejects());
    }

    #[test]
    fn rare_outcomes_are_pooled() {
        // Expected 50, 44, 3, 2, 1: the last three pool into a cell of 6.
        let rare = law(&[0.50, 0.44, 0.03, 0.02, 0.01]);
        let fit = GoodnessOfFit::test(samples(&[50, 44, 0, 0, 6]), &rare, 0.05).unwrap();
        assert_eq!((fit.statistic, fit.degrees_of_freedom), (0.0, 2));
        // Expected 50, 46, 4: the rare outcome joins the least probable other cell.
        let fit = GoodnessOfFit::test(samples(&[50, 50]), &law(&[0.5, 0.46, 0.04]), 0.05).unwrap();
        assert_eq!((fit.statistic, fit.degrees_of_freedom), (0.0, 1));
    }

    #[test]
    fn an_impossible_outcome_rejects_at_once() {
        for impossible in [law(&[0.5, 0.5]), law(&[0.5, 0.5, 0.0])] {
            let fit = GoodnessOfFit::test(samples(&[500, 500, 1]), &impossible, 1e-9).unwrap();
            assert!(fit.rejects() && fit.p_value == 0.0);
        }
    }

    #[test]
    fn fewer_than_two_cells_are_an_error() {
        let one = GoodnessOfFit::test(samples(&[100]), &law(&[1.0]), 0.05);
        assert!(matches!(one, Err(Error::TooFewCells { cells: 1, samples: 100 })));
        let few = GoodnessOfFit::test(samples(&[4, 4]), &law(&[0.5, 0.5]), 0.05);
        assert!(matches!(few, Err(Error::TooFewCells { .. })));
        for alpha in [0.0, 1.0, f64::NAN] {
            assert!(GoodnessOfFit::test(samples(&[9, 9]), &law(&[0.5, 0.5]), alpha).is_err());
        }
    }

    /// At α = 0.1, 200 of 2000 tests of a right sampler are rejected, within four standard
    /// deviations of 13.4 each. Tests against another law are rejected nearly always.
    #[test]
    fn false_alarms_come_at_the_stated_rate() {
        let logits = [0.0, 0.5, 1.0, -1.0];
        let weights = logits.map(|l: f32| f64::from(l).exp());
        let right = law(&weights.map(|w| w / weights.iter().sum::<f64>()));
        let other = law(&[0.25; 4]);
        let (mut alarms, mut detected) = (0, 0);
        for sequence in 0..2000 {
            let mut stream = SeededStream::new(11, sequence);
            let drawn: Vec<_> =
                (0..400).map(|_| [stream.categorical(&logits) as TokenId]).collect();
            alarms += usize::from(GoodnessOfFit::test(&drawn, &right, 0.1).unwrap().rejects());
            detected += usize::from(GoodnessOfFit::test(&drawn, &other, 0.1).unwrap().rejects());
        }
        assert!((146..=254).contains(&alarms), "{alarms}");
        assert!(detected > 1990, "{detected}");
    }
}
