//! Top-K rows computed from the dense rows of a model or a sampler layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint_core::denoiser::{Answer, Form, Request};
use conjoint_core::top_k_rows::{Rows, TopKArrays, TopKRequest, TopKRows};
use conjoint_core::{
    Denoiser, DenseRows, Error as CoreError, SamplerLayer, State, TokenId, Vocabulary,
};
use ndarray::Array2;

/// A model, or a sampler layer, whose rows are reduced to their K most probable tokens.
///
/// The top-K rows are computed from the definition, in float64, as a top-K head has to compute them. A request for dense
/// rows gets dense rows.
///
/// ```
/// use conjoint_core::{Canvas, Generator};
/// use conjoint_testkit::{TopKModel, TabularDenoiser, TabularJoint, exact_law};
/// let joint = TabularJoint::random(2, 5, 1.0, 7)?;
/// let model = TopKModel::new(TabularDenoiser::new(joint.clone())?, 2);
/// let law = exact_law(&Generator::new(model), &Canvas::unconditional(2, joint.mask())?)?;
/// assert!(joint.total_variation(&law) < 1e-6);
/// # Ok::<(), conjoint_testkit::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopKModel<M> {
    inner: M,
    k: usize,
    fetched: Arc<AtomicUsize>,
}

impl<M> TopKModel<M> {
    /// Wraps a model or a layer. K is clamped to 2 … the size of the vocabulary.
    pub fn new(inner: M, k: usize) -> Self {
        Self { inner, k, fetched: Arc::default() }
    }

    /// The number of rows fetched in full so far, by this model and its clones.
    pub fn fetched(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    fn reduce(&self, rows: Rows, request: &Request<'_>) -> Result<Rows, CoreError> {
        let Some(top_k) = request.top_k() else { return Ok(rows) };
        let fetched = self.fetched.clone();
        top_k_rows(rows.into_dense()?, top_k, self.k, move |rows| {
            fetched.fetch_add(rows, Ordering::Relaxed);
        })
    }
}

/// Converts dense rows to the form of a request: top-K rows of `k` tokens if it accepts them.
pub(crate) fn to_top_k(
    dense: DenseRows,
    request: &Request<'_>,
    k: usize,
) -> Result<Rows, CoreError> {
    match request.top_k() {
        None => Ok(dense.into()),
        Some(top_k) => top_k_rows(dense, top_k, k, |_| {}),
    }
}

fn top_k_rows(
    dense: DenseRows,
    request: &TopKRequest,
    k: usize,
    fetched: impl Fn(usize) + Send + 'static,
) -> Result<Rows, CoreError> {
    if dense.rows() == 0 {
        return Ok(dense.into());
    }
    let vocabulary = dense.logits(0).len();
    let arrays = top_k_arrays(&dense, k.clamp(2, vocabulary), request);
    let source = move |rows: &[usize]| {
        fetched(rows.len());
        let logits = rows.iter().flat_map(|&row| dense.logits(row).to_vec()).collect();
        let logits = Array2::from_shape_vec((rows.len(), vocabulary), logits);
        logits.map(DenseRows::from_logits).map_err(CoreError::model)
    };
    TopKRows::new(arrays, request, vocabulary, source).map(Rows::from)
}

impl<D: Denoiser> Denoiser for TopKModel<D> {
    fn vocabulary(&self) -> &Vocabulary {
        self.inner.vocabulary()
    }

    fn max_length(&self) -> Option<usize> {
        self.inner.max_length()
    }

    fn attention_block(&self) -> Option<usize> {
        self.inner.attention_block()
    }

    fn passes(&self) -> usize {
        self.inner.passes()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, CoreError> {
        let dense = Request { form: Form::Dense, ..*request };
        let answer = self.inner.forward(&dense)?;
        Ok(Answer { rows: self.reduce(answer.rows, request)?, ..answer })
    }
}

impl<S: SamplerLayer> SamplerLayer for TopKModel<S> {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, CoreError> {
        let dense = Request { form: Form::Dense, ..*request };
        self.reduce(self.inner.pass(state, &dense)?, request)
    }
}

/// Computes the top-K arrays of dense rows from their definition, in float64.
///
/// They hold the K most probable tokens of each row, and the further values that `request` lists.
pub fn top_k_arrays(dense: &DenseRows, k: usize, request: &TopKRequest) -> TopKArrays {
    let n = dense.rows();
    let mut top = Array2::zeros((n, k));
    let mut ids = Array2::zeros((n, k));
    let measured = (request.temperatures().len(), n);
    let (mut mass, mut entropy) = (Array2::zeros(measured), Array2::zeros(measured));
    let requested = Array2::from_shape_fn((n, request.tokens().len()), |(row, column)| {
        dense.logits(row)[request.tokens()[column] as usize]
    });
    for row in 0..n {
        let logits = dense.logits(row);
        let mut sorted: Vec<usize> = (0..logits.len()).collect();
        sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        for (place, &token) in sorted.iter().take(k).enumerate() {
            top[(row, place)] = logits[token];
            ids[(row, place)] = token as TokenId;
        }
        let max = f64::from(logits[sorted[0]]);
        for (at, &temperature) in request.temperatures().iter().enumerate() {
            let z = logits.iter().map(|&l| (f64::from(l) - max) / f64::from(temperature));
            let sum: f64 = z.clone().map(f64::exp).sum();
            let weighted: f64 = z.filter(|&z| z > f64::NEG_INFINITY).map(|z| z * z.exp()).sum();
            mass[(at, row)] = sum as f32;
            entropy[(at, row)] = (sum.ln() - weighted / sum) as f32;
        }
    }
    TopKArrays { top, ids, requested, mass, entropy }
}
