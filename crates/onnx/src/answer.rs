//! What the output layer makes of hidden states for the loop, and what of it reaches the host.

use std::sync::Arc;

use conjoint_core::DenseRows;
use conjoint_core::denoiser::Form;
use conjoint_core::top_k_rows::{Rows, TopKRequest, TopKRows};
use ort::value::DynValue;

use crate::Error;
use crate::denoiser::Shared;

/// Bytes of this many numbers of a type.
fn bytes<T>(count: usize) -> u64 {
    (count * size_of::<T>()) as u64
}

/// The rows as they are asked for, and their size in bytes.
pub(crate) fn rows(
    shared: &Arc<Shared>,
    hidden: &Arc<DynValue>,
    rows: Vec<i64>,
    form: Form<'_>,
) -> Result<(Rows, u64), Error> {
    match form {
        Form::TopK(wanted) if shared.head.is_top_k() && !rows.is_empty() => {
            condensed(shared, hidden, rows, wanted)
        }
        _ => dense(shared, hidden, rows).map(|(beliefs, size)| (beliefs.into(), size)),
    }
}

/// Dense rows [N, V], and their size in bytes.
fn dense(shared: &Shared, hidden: &DynValue, rows: Vec<i64>) -> Result<(DenseRows, u64), Error> {
    let logits = shared.head.logits(hidden, rows)?;
    let size = bytes::<f32>(logits.len());
    Ok((DenseRows::from_logits(logits), size))
}

/// Top-K rows that hold what is wanted, from a head that is_top_k, and their size in bytes. Hidden states are
/// kept as long as the rows, so that any can be had whole.
fn condensed(
    shared: &Arc<Shared>,
    hidden: &Arc<DynValue>,
    rows: Vec<i64>,
    wanted: &TopKRequest,
) -> Result<(Rows, u64), Error> {
    let summary = shared.head.top_k(hidden, rows.clone(), wanted)?;
    let floats = [&summary.top, &summary.requested, &summary.mass, &summary.entropy];
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
    let rows = TopKRows::new(summary, wanted, shared.vocabulary.size(), source);
    Ok((rows.map_err(Error::TopKArrays)?.into(), size))
}
