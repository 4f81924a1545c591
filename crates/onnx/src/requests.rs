//! Checking requests, and answering them.

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::top_k_rows::Rows;
use conjoint_core::{Canvas, RowId, State};

use crate::error::Error;
use crate::hidden::Hidden;
use crate::shared::Shared;

/// The answer to a request, with hidden states if they are requested.
pub(crate) fn answer(
    shared: &Shared,
    rows: Rows,
    hidden: Hidden,
    request: &Request<'_>,
) -> Result<Answer, Error> {
    let named = |error| Error::graph(&shared.folder, error);
    let each = match request.hidden {
        true => hidden.each_to_host(shared.manifest.hidden_size, named)?,
        false => Vec::new(),
    };
    Ok(Answer { rows, state: State::new(hidden), hidden: each })
}

/// Rejects rows that no canvas has.
pub(crate) fn check_rows(canvases: &[&Canvas], rows: &[RowId]) -> Result<(), Error> {
    let length = |row: &RowId| canvases.get(row.sequence).map(|canvas| canvas.len());
    let is_there = |row: &RowId| length(row).is_some_and(|length| row.position < length);
    match rows.iter().find(|row| !is_there(row)) {
        Some(row) => {
            let (sequence, position, sequences) = (row.sequence, row.position, canvases.len());
            Err(Error::NoSuchRow { sequence, position, sequences, length: length(row) })
        }
        None => Ok(()),
    }
}
