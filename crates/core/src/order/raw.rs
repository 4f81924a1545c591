use super::{Order, RowScore};
use crate::observation::Row;
use crate::{Error, Observation};

/// Scores the model's row before any filter, instead of the filtered one.
///
/// At a low temperature the filtered rows are nearly certain everywhere, and their order degenerates to left
/// to right. `Raw(MaxProb)`, `Raw(Entropy)` and `Raw(Margin)` avoid that. The mask id counts as any other
/// token.
///
/// Exact at one token per forward. Source: LLaDA, which takes confidence before temperature.
#[doc(alias = "untempered confidence")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw<S>(pub S);

impl<S: RowScore> Order for Raw<S> {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(rows.raw_stats(candidate).map_or(f64::NEG_INFINITY, |stats| self.0.of(&stats)))
    }
}
