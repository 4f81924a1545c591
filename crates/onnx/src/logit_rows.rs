//! Rows of logits for a request, computed by the output layer and copied to the host.

use std::sync::Arc;

use conjoint_core::DenseRows;
use conjoint_core::denoiser::Form;
use conjoint_core::top_k_rows::{Rows, TopKRequest, TopKRows};
use ort::value::DynValue;

use crate::error::Error;
use crate::shared::Shared;

/// Bytes of `count` numbers of a type.
fn bytes<T>(count: usize) -> u64 {
    (count * size_of::<T>()) as u64
}

/// The rows in the requested form, and their size in bytes.
pub(crate) fn compute(
    shared: &Arc<Shared>,
    hidden: &Arc<DynValue>,
    rows: Vec<i64>,
    form: Form<'_>,
) -> Result<(Rows, u64), Error> {
    match form {
        Form::TopK(request) if shared.head.is_top_k() && !rows.is_empty() => {
            top_k(shared, hidden, rows, request)
        }
        _ => dense(shared, hidden, rows).map(|(rows, size)| (rows.into(), size)),
    }
}

/// Dense rows [N, V], and their size in bytes.
fn dense(shared: &Shared, hidden: &DynValue, rows: Vec<i64>) -> Result<(DenseRows, u64), Error> {
    let logits = shared.head.logits(hidden, rows)?;
    let size = bytes::<f32>(logits.len());
    Ok((DenseRows::from_logits(logits), size))
}

/// Top-K rows from a top-K head, and their size in bytes. The rows keep the hidden states alive, to fetch whole
/// rows later.
fn top_k(
    shared: &Arc<Shared>,
    hidden: &Arc<DynValue>,
    rows: Vec<i64>,
    request: &TopKRequest,
) -> Result<(Rows, u64), Error> {
    let arrays = shared.head.top_k(hidden, rows.clone(), request)?;
    let floats = [&arrays.top, &arrays.requested, &arrays.mass, &arrays.entropy];
    let floats = floats.iter().map(|array| array.len()).sum();
    let size = bytes::<f32>(floats) + bytes::<i64>(arrays.ids.len());
    let source = {
        let (shared, hidden) = (Arc::clone(shared), Arc::clone(hidden));
        move |numbers: &[usize]| {
            let rows: Vec<i64> = numbers.iter().filter_map(|&n| rows.get(n).copied()).collect();
            let count = rows.len();
            let fetch = |&(): &()| dense(&shared, &hidden, rows);
            let ((), rows) = shared.fetches.call(count, || Ok(()), fetch)?;
            Ok(rows)
        }
    };
    let rows = TopKRows::new(arrays, request, shared.vocabulary.size(), source);
    Ok((rows.map_err(Error::TopKArrays)?.into(), size))
}
