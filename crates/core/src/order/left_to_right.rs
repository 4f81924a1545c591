use super::Order;
use crate::observation::Row;
use crate::{Error, Observation};

/// Reveals the leftmost masked position first: autoregressive order. Exact at one token per forward.
#[doc(alias = "left-to-right")]
#[doc(alias = "autoregressive order")]
#[derive(Debug, Clone, Copy, Default)]
pub struct LeftToRight;

impl Order for LeftToRight {
    fn score(&self, _: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(-(candidate.index() as f64))
    }
}
