use super::backend::Job;
use super::kernel::{BLOCK, PIECE, larger, maximum};

/// The largest logit.
pub(super) struct Largest<'a>(pub &'a [f32]);

impl Job for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f32 {
        row_maximum(self.0)
    }
}

/// The lowest id among those of the largest logit. Searches the first piece that has it.
pub(super) struct Argmax<'a>(pub &'a [f32]);

impl Job for Argmax<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> usize {
        let (mut first, mut max) = (0, f32::NEG_INFINITY);
        for (piece, n) in self.0.chunks(PIECE).zip(0..) {
            let largest = row_maximum(piece);
            if largest > max {
                (first, max) = (n * PIECE, largest);
            }
        }
        first + self.0[first..].iter().position(|&logit| logit == max).unwrap_or(0)
    }
}

/// Copies a row and checks each piece while it is in the cache.
pub(super) struct CopyFinite<'a> {
    pub row: &'a [f32],
    pub copy: &'a mut Vec<f32>,
}

impl Job for CopyFinite<'_> {
    type Output = Result<(), usize>;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Self::Output {
        self.copy.clear();
        let mut bad = false;
        for piece in self.row.chunks(PIECE) {
            self.copy.extend_from_slice(piece);
            bad |= piece.iter().fold(false, |bad, &logit| bad | is_bad(logit));
        }
        match bad.then(|| first_non_finite(self.row)).flatten() {
            Some(token) => Err(token),
            None => Ok(()),
        }
    }
}

/// Whether a logit is NaN or +∞.
#[inline(always)]
fn is_bad(logit: f32) -> bool {
    logit.is_nan() | (logit == f32::INFINITY)
}

/// The first token whose logit is NaN or +∞.
pub(super) fn first_non_finite(row: &[f32]) -> Option<usize> {
    row.iter().position(|&logit| is_bad(logit))
}

/// The largest logit of a row of any length; NaN is ignored.
#[inline(always)]
pub(super) fn row_maximum(row: &[f32]) -> f32 {
    let (body, tail) = row.split_at(row.len() - row.len() % BLOCK);
    tail.iter().copied().fold(maximum(body), larger)
}
