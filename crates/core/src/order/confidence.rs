use super::Order;
use crate::observation::Row;
use crate::{Error, Observation};

/// Reveals the most confident position first.
///
/// The confidence c is the probability of the drafted token if the unmasker [drafts](crate::Unmasker::draft),
/// otherwise the largest probability p₁ of the filtered row.
///
/// Biased at one token per forward if the unmasker drafts and samples, because *where* then depends on *what*
/// was drawn. Otherwise it equals [`MaxProb`](super::MaxProb), which is exact. Source: MaskGIT (arXiv
/// 2202.04200).
#[derive(Debug, Clone, Copy, Default)]
pub struct Confidence;

impl Order for Confidence {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(rows.row(candidate).confidence)
    }
}
