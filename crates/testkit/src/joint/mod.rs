//! A joint distribution given as a table.

use conjoint_core::TokenId;

use crate::{Error, Law};

mod random;

/// The largest table V^T, and the longest sequence.
const MAX_CELLS: usize = 4096;

/// A probability p(x) for each of the V^T sequences x of T tokens over V symbols.
///
/// Its conditionals are the rows of an exact denoiser. Symbols are 0..V, and V is the mask: a
/// sequence with masked positions stands for the tokens revealed so far.
///
/// ```
/// use conjoint_testkit::TabularJoint;
/// // Two fair coins that always agree; 2 is the mask.
/// let joint = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0])?;
/// assert_eq!(joint.conditional(&[2, 2], 0)?, [0.5, 0.5]);
/// assert_eq!(joint.conditional(&[1, 2], 1)?, [0.0, 1.0]);
/// assert_eq!(joint.law().total_variation(&joint.product_of_marginals()), 0.5);
/// # Ok::<(), conjoint_testkit::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TabularJoint {
    length: usize,
    symbols: usize,
    /// p(x) at index Σ x_i V^(T − 1 − i): the last position varies fastest.
    probabilities: Vec<f64>,
}

impl TabularJoint {
    /// The joint with p(x) ∝ weight \[V^T\]. Sequences are in ascending order; the last position
    /// varies fastest.
    ///
    /// # Errors
    /// [`Error::TableSize`], [`Error::WeightCount`], [`Error::BadWeight`] or [`Error::WeightSum`].
    pub fn new(length: usize, symbols: usize, weights: &[f64]) -> Result<Self, Error> {
        let expected = cells(length, symbols)?;
        if weights.len() != expected {
            return Err(Error::WeightCount { got: weights.len(), expected });
        }
        let bad = |(_, w): &(usize, &f64)| !w.is_finite() || **w < 0.0;
        if let Some((index, &weight)) = weights.iter().enumerate().find(bad) {
            return Err(Error::BadWeight { index, weight });
        }
        let sum: f64 = weights.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return Err(Error::WeightSum(sum));
        }
        Ok(Self { length, symbols, probabilities: weights.iter().map(|w| w / sum).collect() })
    }

    /// Number of positions T.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of symbols V.
    pub fn symbols(&self) -> usize {
        self.symbols
    }

    /// The mask id, V.
    pub fn mask(&self) -> TokenId {
        self.symbols as TokenId
    }

    /// A sequence with all T positions masked.
    pub fn masked(&self) -> Vec<TokenId> {
        vec![self.mask(); self.length]
    }

    /// The V probabilities p(x_position = · | revealed tokens), summed from the table.
    ///
    /// If the revealed tokens have probability 0, the conditional law does not exist. The result is
    /// then uniform, so a sampler that reached such tokens can continue.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Symbol`] or [`Error::Position`].
    pub fn conditional(&self, tokens: &[TokenId], position: usize) -> Result<Vec<f64>, Error> {
        self.check(tokens)?;
        if position >= self.length {
            return Err(Error::Position { position, length: self.length });
        }
        Ok(self.row(tokens, position))
    }

    /// The V probabilities p(x_position = ·).
    ///
    /// # Errors
    /// [`Error::Position`].
    pub fn marginal(&self, position: usize) -> Result<Vec<f64>, Error> {
        self.conditional(&self.masked(), position)
    }

    /// The whole table, without sequences of probability 0.
    pub fn law(&self) -> Law {
        self.compatible(&self.masked()).map(|(cell, p)| (self.tokens(cell), p)).collect()
    }

    /// The law of the whole sequence given the revealed tokens.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Symbol`], or [`Error::Impossible`] if they have probability 0.
    pub fn given(&self, tokens: &[TokenId]) -> Result<Law, Error> {
        self.check(tokens)?;
        let total: f64 = self.compatible(tokens).map(|(_, p)| p).sum();
        if total == 0.0 {
            return Err(Error::Impossible(tokens.to_vec()));
        }
        Ok(self.compatible(tokens).map(|(cell, p)| (self.tokens(cell), p / total)).collect())
    }

    /// The law Π p(x_i) of independent draws at all positions.
    pub fn product_of_marginals(&self) -> Law {
        let marginals: Vec<Vec<f64>> =
            (0..self.length).map(|position| self.row(&self.masked(), position)).collect();
        let product = |cell: usize| -> f64 {
            (0..self.length)
                .map(|position| marginals[position][self.symbol(cell, position)])
                .product()
        };
        (0..self.probabilities.len())
            .map(|cell| (self.tokens(cell), product(cell)))
            .filter(|&(_, p)| p > 0.0)
            .collect()
    }

    /// [`Law::total_variation`] between this joint and `law`.
    pub fn total_variation(&self, law: &Law) -> f64 {
        self.law().total_variation(law)
    }

    /// [`Law::kl`] from this joint to `law`, in nats.
    pub fn kl(&self, law: &Law) -> f64 {
        self.law().kl(law)
    }

    fn check(&self, tokens: &[TokenId]) -> Result<(), Error> {
        if tokens.len() != self.length {
            return Err(Error::Length { got: tokens.len(), expected: vec![self.length] });
        }
        match tokens.iter().find(|&&token| token > self.mask()) {
            Some(&token) => Err(Error::Symbol { token, mask: self.mask() }),
            None => Ok(()),
        }
    }

    /// [`conditional`](Self::conditional) for checked tokens and a checked position.
    fn row(&self, tokens: &[TokenId], position: usize) -> Vec<f64> {
        let mut sums = vec![0.0; self.symbols];
        for (cell, p) in self.compatible(tokens) {
            sums[self.symbol(cell, position)] += p;
        }
        let total: f64 = sums.iter().sum();
        if total == 0.0 {
            return vec![1.0 / self.symbols as f64; self.symbols];
        }
        sums.into_iter().map(|sum| sum / total).collect()
    }

    /// The cells of positive probability that agree with the revealed tokens.
    fn compatible(&self, tokens: &[TokenId]) -> impl Iterator<Item = (usize, f64)> {
        let agrees = move |cell: usize| {
            tokens.iter().enumerate().all(|(position, &token)| {
                token == self.mask() || self.symbol(cell, position) == token as usize
            })
        };
        let cells = self.probabilities.iter().copied().enumerate();
        cells.filter(move |&(cell, p)| p > 0.0 && agrees(cell))
    }

    fn symbol(&self, cell: usize, position: usize) -> usize {
        cell / self.symbols.pow((self.length - 1 - position) as u32) % self.symbols
    }

    fn tokens(&self, cell: usize) -> Vec<TokenId> {
        (0..self.length).map(|position| self.symbol(cell, position) as TokenId).collect()
    }
}

fn cells(length: usize, symbols: usize) -> Result<usize, Error> {
    let cells = u32::try_from(length).ok().and_then(|length| symbols.checked_pow(length));
    match cells {
        Some(cells) if (1..=MAX_CELLS).contains(&cells) && (1..=MAX_CELLS).contains(&length) => {
            Ok(cells)
        }
        _ => Err(Error::TableSize { length, symbols, max: MAX_CELLS }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(got: &[f64], expected: &[f64]) {
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(got.iter().zip(expected).all(close), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn invalid_tables_are_rejected() {
        for (length, symbols) in [(0, 2), (2, 0), (13, 2), (5000, 1), (usize::MAX, 2)] {
            let error = TabularJoint::new(length, symbols, &[1.0]);
            assert!(matches!(error, Err(Error::TableSize { .. })), "{length} {symbols}");
        }
        let new = |weights: &[f64]| TabularJoint::new(1, 2, weights);
        assert!(matches!(new(&[1.0]), Err(Error::WeightCount { got: 1, expected: 2 })));
        assert!(matches!(new(&[1.0, -1.0]), Err(Error::BadWeight { index: 1, .. })));
        assert!(matches!(new(&[f64::NAN, 1.0]), Err(Error::BadWeight { index: 0, .. })));
        assert!(matches!(new(&[0.0, 0.0]), Err(Error::WeightSum(_))));
    }

    #[test]
    fn invalid_conditions_are_rejected() {
        let joint = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
        assert!(matches!(joint.conditional(&[0], 0), Err(Error::Length { .. })));
        assert!(matches!(joint.conditional(&[0, 3], 0), Err(Error::Symbol { token: 3, mask: 2 })));
        assert!(matches!(joint.conditional(&[0, 2], 2), Err(Error::Position { .. })));
        assert!(matches!(joint.given(&[0, 1]), Err(Error::Impossible(_))));
        assert_eq!(joint.conditional(&[0, 1], 0).unwrap(), [0.5, 0.5]);
    }

    #[test]
    fn the_last_position_varies_fastest() {
        let joint = TabularJoint::new(2, 3, &[0., 1., 2., 3., 4., 5., 6., 7., 8.]).unwrap();
        assert_eq!(joint.law().probability(&[2, 1]), 7.0 / 36.0);
        near(&joint.conditional(&[1, 3], 1).unwrap(), &[3.0 / 12.0, 4.0 / 12.0, 5.0 / 12.0]);
        near(&joint.marginal(0).unwrap(), &[3.0 / 36.0, 12.0 / 36.0, 21.0 / 36.0]);
        near(&[joint.given(&[3, 0]).unwrap().probability(&[2, 0])], &[6.0 / 9.0]);
    }

    proptest! {
        #[test]
        fn conditionals_chain_to_the_joint(
            length in 1usize..=5, symbols in 1usize..=5, alpha in 0.05f64..3.0, seed: u64,
        ) {
            let joint = TabularJoint::random(length, symbols, alpha, seed).unwrap();
            prop_assert!((joint.law().total() - 1.0).abs() < 1e-12);
            for (tokens, p) in joint.law().iter().step_by(7) {
                let mut seen = joint.masked();
                let mut chained = 1.0;
                for position in (0..length).rev() {
                    let row = joint.conditional(&seen, position).unwrap();
                    prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    chained *= row[tokens[position] as usize];
                    seen[position] = tokens[position];
                }
                prop_assert!((chained - p).abs() < 1e-12);
            }
        }
    }
}
