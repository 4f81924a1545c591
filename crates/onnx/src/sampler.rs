//! An exported sampler layer.

use std::path::Path;
use std::sync::Arc;

use conjoint_core::denoiser::Request;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::{Canvas, RowId, SamplerLayer, State};
use conjoint_export::Manifest;
use ort::value::DynValue;

use crate::answer;
use crate::batch::Batch;
use crate::denoiser::Shared;
use crate::hidden::Hidden;
use crate::regroup::Regroup;
use crate::row_sampler::{Passed, RowSampler};
use crate::session::{Graph, Signature};
use crate::{Error, OnnxDenoiser};

const SAMPLER: Signature =
    Signature { inputs: &["input_ids", "key_mask", "hidden"], outputs: &["hidden_next"] };

/// The learned sampler layer of a model, on the model's device and with its output layer.
#[doc(alias = "drafter")]
pub struct OnnxSamplerLayer {
    passes: Passes,
    regroup: Regroup,
    shared: Arc<Shared>,
}

/// What a pass computes.
enum Passes {
    /// All rows of the sequences that take part.
    Sequence(Graph),
    /// The rows asked for, and those of the tokens just revealed.
    Rows(RowSampler),
}

impl OnnxSamplerLayer {
    /// Opens the sampler layer of an exported folder, to go with `model`.
    ///
    /// The folder may be another one than the model's, so that one model can be used with several
    /// layers; only the sampler layer's own graph is taken from it.
    ///
    /// # Errors
    /// [`Error::NoSampler`] if the folder holds none, [`Error::SamplerMismatch`] if it was made
    /// for a model of other sizes, and those of [`OnnxDenoiser::open`].
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
        opener.demand_footprint(folder, &manifest, |footprint| footprint.sampler)?;
        let passes = match (&manifest.graphs.sampler, &manifest.graphs.sampler_rows) {
            (Some(name), _) => Passes::Sequence(opener.open(folder.join(name), &SAMPLER)?),
            (None, Some(graphs)) => {
                Passes::Rows(RowSampler::open(opener, folder, graphs, &manifest)?)
            }
            (None, None) => return Err(Error::NoSampler { folder: folder.to_owned() }),
        };
        Ok(Self { passes, regroup: Regroup::new(&shared.opener)?, shared: Arc::clone(shared) })
    }

    fn run(&self, state: &mut Hidden, request: &Request<'_>) -> Result<Rows, Error> {
        let canvases = request.canvases();
        let lengths: Vec<usize> = canvases.iter().map(|canvas| canvas.len()).collect();
        if lengths != state.lengths {
            let (got, expected) = (lengths, state.lengths.clone());
            return Err(Error::Shape { what: "the batch", got, expected });
        }
        if request.rows.is_empty() {
            let (nothing, _) = self.head(&state.value, Vec::new(), request)?;
            return Ok(nothing);
        }
        check(&canvases, request.rows)?;
        match &self.passes {
            Passes::Sequence(graph) => self.run_sequences(graph, state, &canvases, request),
            Passes::Rows(layer) => {
                let (words, regroup) = (&self.shared.vocabulary, &self.regroup);
                let pass = || layer.run(state, &canvases, request.rows, words, regroup);
                let head =
                    |passed: &Passed| self.head(&passed.hidden, passed.rows.clone(), request);
                self.shared.passes.call(pass, head).map(|(_, rows)| rows)
            }
        }
    }

    fn head(
        &self,
        hidden: &Arc<DynValue>,
        rows: Vec<i64>,
        request: &Request<'_>,
    ) -> Result<(Rows, u64), Error> {
        answer::rows(&self.shared, hidden, rows, request.form)
    }

    /// All sequences with a row asked for go through the layer as one batch. If they are not the whole
    /// batch, they are taken out of it for that and put back after, so the others cost nothing.
    fn run_sequences(
        &self,
        graph: &Graph,
        state: &mut Hidden,
        all: &[&Canvas],
        request: &Request<'_>,
    ) -> Result<Rows, Error> {
        let (taking_part, rows) = part(request.rows);
        let canvases: Vec<&Canvas> = taking_part.iter().map(|&sequence| all[sequence]).collect();
        let batch = Batch::new(&canvases, state.length, &self.shared.vocabulary)?;
        let rows = batch.flat(&rows)?;
        let (ids, valid) = graph.named(batch.into_tensors())?;
        let whole = taking_part.len() == all.len();
        let taken = match whole {
            true => None,
            false => Some(self.regroup.select(&state.value, &taking_part)?),
        };
        let hidden = taken.as_ref().unwrap_or(&state.value);
        let layer = || graph.run(&[&ids, &valid, hidden]).map(Arc::new);
        let head = |next: &_| self.head(next, rows, request);
        let (next, answer) = self.shared.passes.call(layer, head)?;
        state.value = match whole {
            true => next,
            false => Arc::new(self.regroup.replace(&state.value, &taking_part, &next)?),
        };
        Ok(answer)
    }
}

/// Rejects rows that no canvas has.
fn check(canvases: &[&Canvas], rows: &[RowId]) -> Result<(), Error> {
    let is_there =
        |row: &&RowId| canvases.get(row.sequence).is_some_and(|canvas| row.position < canvas.len());
    match rows.iter().find(|row| !is_there(row)) {
        Some(&RowId { sequence, position }) => Err(Error::NoSuchRow { sequence, position }),
        None => Ok(()),
    }
}

impl SamplerLayer for OnnxSamplerLayer {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, conjoint_core::Error> {
        Ok(self.run(state.downcast_mut()?, request)?)
    }
}

/// The sequences that rows belong to, each once, in order; and the rows as they are numbered among them.
fn part(rows: &[RowId]) -> (Vec<usize>, Vec<RowId>) {
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
    fn a_part_of_a_batch_keeps_its_order() {
        let (sequences, rows) = part(&[(2, 1), (0, 0), (2, 2)].map(row));
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
            let named = matches!(error, Error::NoSuchRow { sequence: s, position: p }
                if (s, p) == (sequence, position));
            assert!(named, "{error}");
        }
    }
}
