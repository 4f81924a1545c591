//! What the output layer makes of hidden states for the loop, and what of it reaches the host.

use std::sync::Arc;

use conjoint_core::Beliefs;
use conjoint_core::condensed::{Condense, Condensed, Rows};
use ort::value::DynValue;

use crate::Error;
use crate::denoiser::Shared;

/// Bytes of this many numbers of a type.
fn bytes<T>(count: usize) -> u64 {
    (count * size_of::<T>()) as u64
}

/// Dense rows [N, V], and their size in bytes.
pub(crate) fn dense(
    shared: &Shared,
    hidden: &DynValue,
    rows: Vec<i64>,
) -> Result<(Beliefs, u64), Error> {
    let logits = shared.head.logits(hidden, rows)?;
    let size = bytes::<f32>(logits.len());
    Ok((Beliefs::from_logits(logits), size))
}

/// Rows that hold what is wanted, condensed if the head can, and their size in bytes. Hidden states are kept as
/// long as the rows, so that any can be had whole.
pub(crate) fn condensed(
    shared: &Arc<Shared>,
    hidden: &Arc<DynValue>,
    rows: Vec<i64>,
    wanted: &Condense,
) -> Result<(Rows, u64), Error> {
    if rows.is_empty() || !shared.head.condenses() {
        let (beliefs, size) = dense(shared, hidden, rows)?;
        return Ok((beliefs.into(), size));
    }
    let summary = shared.head.summary(hidden, rows.clone(), wanted)?;
    let floats = [&summary.top, &summary.asked, &summary.mass, &summary.entropy];
    let floats = floats.iter().map(|array| array.len()).sum();
    let size = bytes::<f32>(floats) + bytes::<i64>(summary.ids.len());
    let source = {
        let (shared, hidden) = (Arc::clone(shared), Arc::clone(hidden));
        move |numbers: &[usize]| {
            let rows = numbers.iter().filter_map(|&n| rows.get(n).copied()).collect();
            let fetch = |&(): &()| dense(&shared, &hidden, rows);
            let ((), beliefs) = shared.fetches.call(|| Ok(()), fetch)?;
            Ok(beliefs)
        }
    };
    let rows = Condensed::new(summary, wanted, shared.vocabulary.size(), source);
    Ok((rows.map_err(Error::Summary)?.into(), size))
}
