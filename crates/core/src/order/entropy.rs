use super::RowScore;
use crate::RowStats;

/// Reveals the position of lowest entropy first. The score is −H of the filtered row, in nats.
///
/// Exact at one token per forward. Source: Dream's `entropy`; the order of arXiv 2509.22738.
#[doc(alias = "lowest entropy first")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Entropy;

impl RowScore for Entropy {
    fn of(&self, row: &RowStats) -> f64 {
        -row.entropy
    }
}
