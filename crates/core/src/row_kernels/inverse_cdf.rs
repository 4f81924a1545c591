use super::backend::Job;
use super::kernel::{BLOCK, PIECE, maximum, weight, weight_of};
use super::maximum::row_maximum;

/// Σ e^(logit − max) of a row, float32 within a piece and float64 across.
pub(super) struct Total<'a> {
    pub row: &'a [f32],
    pub max: f32,
}

impl Job for Total<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        let Self { row, max } = self;
        let (body, tail) = row.split_at(row.len() - row.len() % BLOCK);
        let mut sum = 0.0;
        // Loops, because iterator adapters may not be inlined into the back end.
        for piece in body.chunks(PIECE) {
            sum += piece_weight(piece, max);
        }
        for &logit in tail {
            sum += exact_weight(logit, max);
        }
        sum
    }
}

/// The token at a share of a row's mass, without a table of sums: skips whole pieces by their weight, then
/// walks through the piece in which the share ends. Without fused multiply-add, so that a number gives the
/// same token on every CPU.
pub(super) struct InverseCdf<'a> {
    pub row: &'a [f32],
    /// The share, from 0 to below 1.
    pub u: f64,
}

impl Job for InverseCdf<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> usize {
        let Self { row, u } = self;
        let max = row_maximum(row);
        let mut left = u * Total { row, max }.run::<FUSED>();
        let (body, tail) = row.split_at(row.len() - row.len() % BLOCK);
        let mut last = 0;
        for (piece, n) in body.chunks(PIECE).zip(0..) {
            let weight = piece_weight(piece, max);
            if weight > 0.0 {
                last = n * PIECE;
                if left < weight {
                    return last + walk(piece, left, |logit| weight_of(logit, max).into());
                }
                left -= weight;
            }
        }
        // Rounding may leave a little of the share. It goes to the last possible token.
        if tail.iter().all(|&logit| exact_weight(logit, max) == 0.0) && !body.is_empty() {
            let end = body.len().min(last + PIECE);
            return last + walk(&body[last..end], f64::INFINITY, |l| weight_of(l, max).into());
        }
        body.len() + walk(tail, left, |logit| exact_weight(logit, max))
    }
}

/// The index at which `left` is used up, otherwise the last one with a weight above 0.
#[inline(always)]
fn walk(logits: &[f32], mut left: f64, weight: impl Fn(f32) -> f64) -> usize {
    let mut last = 0;
    for (index, &logit) in logits.iter().enumerate() {
        let weight = weight(logit);
        if weight > 0.0 {
            left -= weight;
            last = index;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

/// The weight of whole blocks. Filtered rows have many blocks of weight 0, which the maximum detects.
#[inline(always)]
fn piece_weight(piece: &[f32], max: f32) -> f64 {
    match maximum(piece) - max < -90.0 {
        true => 0.0,
        false => weight(piece, max).into(),
    }
}

fn exact_weight(logit: f32, max: f32) -> f64 {
    (f64::from(logit) - f64::from(max)).exp()
}
