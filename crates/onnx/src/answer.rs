//! What the output layer makes of hidden states for the loop, and what of it reaches the host.

use std::sync::Arc;

use conjoint_core::Beliefs;
use conjoint_core::condensed::{Condensed, Rows, TopKRequest};
use conjoint_core::denoiser::Form;
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
        Form::TopK(wanted) if shared.head.condenses() && !rows.is_empty() => {
            condensed(shared, hidden, rows, wanted)
        }
        _ => dense(shared, hidden, rows).map(|(beliefs, size)| (beliefs.into(), size)),
    }
}

/// Dense rows [N, V], and their size in bytes.
fn dense(shared: &Shared, hidden: &DynValue, rows: Vec<i64>) -> Result<(Beliefs, u64), Error> {
    let logits = shared.head.logits(hidden, rows)?;
    let size = bytes::<f32>(logits.len());
    Ok((Beliefs::from_logits(logits), size))
}

/// Condensed rows that hold what is wanted, from a head that condenses, and their size in bytes. Hidden states are
/// kept as long as the rows, so that any can be had whole.
fn condensed(
    shared: &Arc<Shared>,
    hidden: &Arc<DynValue>,
    rows: Vec<i64>,
    wanted: &TopKRequest,
) -> Result<(Rows, u64), Error> {
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
    Ok((rows.map_err(Error::TopKRows)?.into(), size))
}
