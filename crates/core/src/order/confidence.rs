use super::Order;
use crate::observation::Row;
use crate::{Error, Observation};

/// By the candidate's confidence c: the probability of the drafted token under an unmasker that
/// [drafts](crate::Unmasker::draft), the largest probability p₁ of the filtered row under any other.
///
/// Biased at one token per forward under an unmasker that drafts and samples: *where* then depends on *what* was drawn.
/// Under any other unmasker it is [`MaxProb`](super::MaxProb), which is exact. Source: MaskGIT (arXiv 2202.04200).
#[derive(Debug, Clone, Copy, Default)]
pub struct Confidence;

impl Order for Confidence {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(rows.row(candidate).confidence)
    }
}
