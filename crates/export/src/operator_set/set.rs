//! The two sets of operators.

use conjoint_format::Operators;

/// The operators that graphs are built of: [`Operators`], with a method for each part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperatorSet {
    Fused,
    Portable,
}

impl From<Operators> for OperatorSet {
    fn from(operators: Operators) -> Self {
        match operators {
            Operators::Fused => Self::Fused,
            Operators::Portable => Self::Portable,
        }
    }
}

impl OperatorSet {
    /// The versions of ONNX's file format and of its operator set.
    pub(crate) fn versions(self) -> (i64, i64) {
        match self {
            Self::Fused => (11, 23),
            Self::Portable => (8, 18),
        }
    }
}
