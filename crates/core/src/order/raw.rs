use super::{Order, RowScore};
use crate::observation::Row;
use crate::{Error, Observation};

/// An order by the row as the model gave it, before temperature, truncation and bans.
///
/// `Raw(MaxProb)`, `Raw(Entropy)` and `Raw(Margin)` do not saturate at a low temperature, where the
/// filtered row is all but certain everywhere and its order degenerates to left to right. The mask
/// id counts as any other token.
///
/// Exact at one token per forward. Source: LLaDA, whose confidence is that of the untempered softmax.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw<S>(pub S);

impl<S: RowScore> Order for Raw<S> {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(rows.raw_stats(candidate).map_or(f64::NEG_INFINITY, |stats| self.0.of(&stats)))
    }
}
