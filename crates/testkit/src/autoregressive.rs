//! Autoregressive models of a tabular joint: the exact one, and one that ignores its context.

use std::ops::Range;

use conjoint_core::span_decoder::{Span, SpanDecoder};
use conjoint_core::{Autoregressive, DenseRows, Error as CoreError, TokenId};

use crate::TabularJoint;
use crate::oracle::dense_rows;

/// The exact autoregressive model of a [`TabularJoint`].
///
/// Row i is ln p(x_i = · | x_<i) by the chain rule \[N, V + 1\]. The mask's logit is −∞. Masked
/// positions to the left of i count as unknown.
///
/// As a [`SpanDecoder`] it also reads the known tokens on both sides of the span.
#[derive(Debug, Clone)]
pub struct TabularAutoregressive(TabularJoint);

impl TabularAutoregressive {
    /// The chain rule of one joint.
    pub fn new(joint: TabularJoint) -> Self {
        Self(joint)
    }
}

impl Autoregressive for TabularAutoregressive {
    fn rows(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<DenseRows, CoreError> {
        rows(&self.0, positions, |i| {
            let mut seen = tokens.to_vec();
            seen[i..].fill(self.0.mask());
            seen
        })
    }
}

impl SpanDecoder for TabularAutoregressive {
    fn row(&self, span: &Span<'_>, before: &[TokenId]) -> Result<Vec<f32>, CoreError> {
        let mut seen = span.canvas.tokens().to_vec();
        let start = span.positions.start;
        seen[start..start + before.len()].copy_from_slice(before);
        row(&self.0, &seen, start + before.len())
    }
}

/// An autoregressive model that ignores its context: row i is ln p(x_i = ·).
///
/// Use it to show that a test detects a wrong second model. As a [`SpanDecoder`] it ignores the
/// tokens of the span, and returns the marginals that it is given.
#[derive(Debug, Clone)]
pub struct MarginalAutoregressive(TabularJoint);

impl MarginalAutoregressive {
    /// The marginals of one joint.
    pub fn new(joint: TabularJoint) -> Self {
        Self(joint)
    }
}

impl Autoregressive for MarginalAutoregressive {
    fn rows(&self, _: &[TokenId], positions: Range<usize>) -> Result<DenseRows, CoreError> {
        rows(&self.0, positions, |_| self.0.masked())
    }
}

impl SpanDecoder for MarginalAutoregressive {
    fn row(&self, span: &Span<'_>, before: &[TokenId]) -> Result<Vec<f32>, CoreError> {
        Ok(span.marginals.row(before.len()).iter().map(|p| p.ln()).collect())
    }
}

fn rows(
    joint: &TabularJoint,
    positions: Range<usize>,
    seen: impl Fn(usize) -> Vec<TokenId>,
) -> Result<DenseRows, CoreError> {
    let rows = positions.map(|i| row(joint, &seen(i), i)).collect::<Result<Vec<_>, _>>()?;
    dense_rows(&rows, joint.symbols() + 1)
}

fn row(joint: &TabularJoint, seen: &[TokenId], position: usize) -> Result<Vec<f32>, CoreError> {
    let row = joint.conditional(seen, position).map_err(CoreError::model)?;
    Ok(row.into_iter().chain([0.0]).map(|p| p.ln() as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_are_those_of_the_joint_and_of_the_product() {
        let joint = TabularJoint::random(3, 3, 0.5, 1).unwrap();
        let product = joint.product_of_marginals();
        let (exact, marginal) =
            (TabularAutoregressive::new(joint.clone()), MarginalAutoregressive::new(joint.clone()));
        for (tokens, p) in joint.law().iter() {
            let log_p = |scorer: &dyn Autoregressive| scorer.log_likelihood(tokens, 0..3).unwrap();
            assert!((log_p(&exact) - p.ln()).abs() < 1e-5);
            assert!((log_p(&marginal) - product.probability(tokens).ln()).abs() < 1e-5);
        }
    }

    #[test]
    fn tokens_on_the_right_are_ignored() {
        let scorer = TabularAutoregressive::new(TabularJoint::random(3, 2, 0.5, 2).unwrap());
        let rows = |tokens: [TokenId; 3]| scorer.rows(&tokens, 1..2).unwrap();
        assert_eq!(rows([0, 0, 1]), rows([0, 1, 0]));
        assert_ne!(rows([0, 0, 1]), rows([1, 0, 1]));
        assert!(scorer.rows(&[0, 1], 0..1).is_err());
    }
}
