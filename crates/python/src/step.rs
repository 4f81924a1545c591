//! One denoising step, as arrays.

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use crate::result::token_array;
use crate::watch::{RawRows, RawStep};

/// One denoising step of a sequence.
///
/// The i-th revealed token is `tokens[i]` at `positions[i]`. It was drawn after the call `rounds[i]`, with the probability
/// `probabilities[i]` in its filtered row. A replaced token is in `remasked` and in `positions`.
#[pyclass(module = "conjoint", frozen, get_all)]
pub struct Step {
    /// Number of the step, from 0.
    number: usize,
    /// All tokens after the step, int64 [T]. Masked positions hold the mask id.
    canvas: Py<PyArray1<i64>>,
    /// Positions that were revealed, in their order, int64 [r].
    positions: Py<PyArray1<i64>>,
    /// Their tokens, int64 [r].
    tokens: Py<PyArray1<i64>>,
    /// Probabilities of these tokens in their filtered rows, float64 [r].
    probabilities: Py<PyArray1<f64>>,
    /// Which call they followed, int64 [r]: 0 is the forward, j the j-th pass of the sampler layer.
    rounds: Py<PyArray1<i64>>,
    /// Positions that were masked again, int64 [m].
    remasked: Py<PyArray1<i64>>,
    /// The rows of each call, in order; empty with rows=False, and in a step without a forward.
    rows: Vec<Py<Rows>>,
    /// Number of full forwards in the step.
    denoiser_calls: usize,
    /// Number of passes of the sampler layer in the step.
    sampler_calls: usize,
}

#[pymethods]
impl Step {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (positions, tokens) =
            (self.positions.bind(py).to_vec()?, self.tokens.bind(py).to_vec()?);
        let number = self.number;
        Ok(format!("Step(number={number}, positions={positions:?}, tokens={tokens:?})"))
    }
}

/// The rows of one call of a model: one distribution for each masked position.
#[pyclass(module = "conjoint", frozen, get_all)]
pub struct Rows {
    /// 0 for the forward, j for the j-th pass of the sampler layer.
    round: usize,
    /// Their positions, from left to right, int64 [n].
    positions: Py<PyArray1<i64>>,
    /// ln p of each token, in nats, before bans, temperature and filters, float32 [n, V]. The mask id has -inf.
    log_probs: Py<PyArray2<f32>>,
}

#[pymethods]
impl Rows {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (round, positions) = (self.round, self.positions.bind(py).to_vec()?);
        Ok(format!("Rows(round={round}, positions={positions:?})"))
    }
}

impl Step {
    /// The step as arrays.
    pub fn new(py: Python<'_>, step: RawStep) -> PyResult<Self> {
        let indices = |values: Vec<usize>| index_array(py, values);
        let rows = step.rows.into_iter().map(|rows| Py::new(py, Rows::new(py, rows)?));
        Ok(Self {
            number: step.number,
            canvas: token_array(py, &step.canvas),
            positions: indices(step.reveals.iter().map(|reveal| reveal.position).collect()),
            tokens: indices(step.reveals.iter().map(|reveal| reveal.token as usize).collect()),
            probabilities: {
                let probabilities = step.reveals.iter().map(|reveal| reveal.probability).collect();
                PyArray1::from_vec(py, probabilities).unbind()
            },
            rounds: indices(step.reveals.iter().map(|reveal| reveal.round).collect()),
            remasked: indices(step.remasked),
            rows: rows.collect::<PyResult<_>>()?,
            denoiser_calls: step.denoiser_calls,
            sampler_calls: step.sampler_calls,
        })
    }
}

impl Rows {
    fn new(py: Python<'_>, rows: RawRows) -> PyResult<Self> {
        let RawRows { round, positions, log_probs, vocabulary } = rows;
        let shape = [positions.len(), vocabulary];
        let log_probs = PyArray1::from_vec(py, log_probs).reshape(shape)?;
        Ok(Self { round, positions: index_array(py, positions), log_probs: log_probs.unbind() })
    }
}

fn index_array(py: Python<'_>, values: Vec<usize>) -> Py<PyArray1<i64>> {
    PyArray1::from_vec(py, values.into_iter().map(|value| value as i64).collect()).unbind()
}
