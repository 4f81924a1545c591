//! An exported sampler layer.

use std::path::Path;
use std::sync::Arc;

use conjoint_core::denoiser::Request;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::{Canvas, RowId, SamplerLayer, State};
use conjoint_format::Manifest;
use ort::value::DynValue;

use crate::batch::Batch;
use crate::denoiser::OnnxDenoiser;
use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::hidden::Hidden;
use crate::logit_rows;
use crate::row_sampler::{PassOutput, RowSampler};
use crate::sequence_ops::SequenceOps;
use crate::shared::Shared;

const SAMPLER: Signature =
    Signature { inputs: &["input_ids", "key_mask", "hidden"], outputs: &["hidden_next"] };

/// The learned sampler layer of a model. It runs on the model's device and uses its output layer.
#[doc(alias = "drafter")]
pub struct OnnxSamplerLayer {
    passes: Passes,
    ops: SequenceOps,
    shared: Arc<Shared>,
}

/// The form of passes.
enum Passes {
    /// All rows of the sequences that take part.
    Sequence(Graph),
    /// The requested rows, and those of the tokens just revealed.
    Rows(RowSampler),
}

impl OnnxDenoiser {
    /// Opens the sampler layer that was exported with the model.
    ///
    /// # Errors
    /// [`Error::NoSampler`] if there is none, and those of [`open`](Self::open).
    pub fn sampler_layer(&self) -> Result<OnnxSamplerLayer, Error> {
        OnnxSamplerLayer::open(&self.folder, self)
    }
}

impl OnnxSamplerLayer {
    /// Opens the sampler layer of an exported folder, for `model`.
    ///
    /// The folder may differ from the model's, to use one model with several layers. Only the sampler layer's
    /// own graphs are read from it.
    ///
    /// # Errors
    /// [`Error::NoSampler`] if the folder holds none, [`Error::SamplerMismatch`] if the layer belongs to a
    /// model of other sizes, and those of [`OnnxDenoiser::open`].
    pub fn open(folder: impl AsRef<Path>, model: &OnnxDenoiser) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let shared = model.shared();
        let manifest = Manifest::read(folder)?;
        manifest.check_weights(folder)?;
        for (what, got, expected) in [
            ("hidden size", manifest.hidden_size, shared.manifest.hidden_size),
            ("vocabulary size", manifest.vocab_size, shared.manifest.vocab_size),
        ] {
            if got != expected {
                let folder = folder.to_owned();
                return Err(Error::SamplerMismatch { folder, what, got, expected });
            }
        }
        let opener = &shared.opener;
        opener.check_footprint(folder, &manifest, |footprint| footprint.sampler)?;
        let passes = match (&manifest.graphs.sampler, &manifest.graphs.sampler_rows) {
            (Some(name), _) => Passes::Sequence(opener.open(folder.join(name), &SAMPLER)?),
            (None, Some(graphs)) => {
                Passes::Rows(RowSampler::open(opener, folder, graphs, &manifest)?)
            }
            (None, None) => return Err(Error::NoSampler { folder: folder.to_owned() }),
        };
        Ok(Self { passes, ops: SequenceOps::new(&shared.opener)?, shared: Arc::clone(shared) })
    }

    fn run(&self, state: &mut Hidden, request: &Request<'_>) -> Result<Rows, Error> {
        let canvases = request.canvases();
        let lengths: Vec<usize> = canvases.iter().map(|canvas| canvas.len()).collect();
        if lengths != state.lengths {
            let (got, expected) = (lengths, state.lengths.clone());
            return Err(Error::Shape { what: "the batch", got, expected });
        }
        if request.rows.is_empty() {
            let (no_rows, _) = self.head(&state.value, Vec::new(), request)?;
            return Ok(no_rows);
        }
        check(&canvases, request.rows)?;
        match &self.passes {
            Passes::Sequence(graph) => self.run_sequences(graph, state, &canvases, request),
            Passes::Rows(layer) => {
                let (words, ops) = (&self.shared.vocabulary, &self.ops);
                let pass = || layer.run(state, &canvases, request.rows, words, ops);
                let head =
                    |output: &PassOutput| self.head(&output.hidden, output.rows.clone(), request);
                self.shared.passes.call(pass, head).map(|(_, rows)| rows)
            }
        }
    }

    /// Computes rows of the output layer.
    fn head(
        &self,
        hidden: &Arc<DynValue>,
        rows: Vec<i64>,
        request: &Request<'_>,
    ) -> Result<(Rows, u64), Error> {
        logit_rows::compute(&self.shared, hidden, rows, request.form)
    }

    /// Runs the layer on one batch of all sequences with a requested row. If these are not the whole batch,
    /// they are selected first and replaced afterwards, so the others cost no time.
    fn run_sequences(
        &self,
        graph: &Graph,
        state: &mut Hidden,
        all: &[&Canvas],
        request: &Request<'_>,
    ) -> Result<Rows, Error> {
        let (selected, rows) = select(request.rows);
        let canvases: Vec<&Canvas> = selected.iter().map(|&sequence| all[sequence]).collect();
        let batch = Batch::new(&canvases, state.length, &self.shared.vocabulary)?;
        let rows = batch.flat(&rows)?;
        let (ids, valid) = graph.named(batch.into_tensors())?;
        let whole = selected.len() == all.len();
        let states = match whole {
            true => None,
            false => Some(self.ops.select(&state.value, &selected)?),
        };
        let hidden = states.as_ref().unwrap_or(&state.value);
        let layer = || graph.run(&[&ids, &valid, hidden]).map(Arc::new);
        let head = |next: &_| self.head(next, rows, request);
        let (next, rows) = self.shared.passes.call(layer, head)?;
        state.value = match whole {
            true => next,
            false => Arc::new(self.ops.replace(&state.value, &selected, &next)?),
        };
        Ok(rows)
    }
}

/// Rejects rows that no canvas has.
fn check(canvases: &[&Canvas], rows: &[RowId]) -> Result<(), Error> {
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

impl SamplerLayer for OnnxSamplerLayer {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, conjoint_core::Error> {
        Ok(self.run(state.downcast_mut()?, request)?)
    }
}

/// The sorted sequences of these rows, and the rows with indices among these sequences.
fn select(rows: &[RowId]) -> (Vec<usize>, Vec<RowId>) {
    let mut sequences: Vec<usize> = rows.iter().map(|row| row.sequence).collect();
    sequences.sort_unstable();
    sequences.dedup();
    let number = |row: &RowId| sequences.partition_point(|&sequence| sequence < row.sequence);
    let rows = rows.iter().map(|row| RowId { sequence: number(row), ..*row }).collect();
    (sequences, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row((sequence, position): (usize, usize)) -> RowId {
        RowId { sequence, position }
    }

    #[test]
    fn selected_sequences_are_sorted_and_rows_keep_their_order() {
        let (sequences, rows) = select(&[(2, 1), (0, 0), (2, 2)].map(row));
        assert_eq!(sequences, [0, 2]);
        assert_eq!(rows, [(1, 1), (0, 0), (1, 2)].map(row));
    }

    #[test]
    fn rows_that_no_canvas_has_are_rejected() {
        let canvases: Vec<_> =
            (1..4).map(|length| Canvas::unconditional(length, 9).unwrap()).collect();
        let all: Vec<_> = canvases.iter().collect();
        check(&all, &[(0, 0), (2, 2)].map(row)).unwrap();
        for (sequence, position) in [(3, 0), (2, 3)] {
            let error = check(&all, &[(0, 0), (sequence, position)].map(row)).unwrap_err();
            let named = matches!(error, Error::NoSuchRow { sequence: s, position: p, .. }
                if (s, p) == (sequence, position));
            assert!(named, "{error}");
        }
    }
}
