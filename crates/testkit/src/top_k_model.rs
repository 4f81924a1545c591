//! A model and a sampler layer that answer top-K rows, made of ones that answer dense rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint_core::denoiser::{Answer, Form, Request};
use conjoint_core::top_k_rows::{Rows, TopKArrays, TopKRequest, TopKRows};
use conjoint_core::{
    Denoiser, DenseRows, Error as CoreError, SamplerLayer, State, TokenId, Vocabulary,
};
use ndarray::Array2;

/// Answers the rows of a model, or of a sampler layer, condensed to their K most probable tokens, by the
/// definition and in float64: what a top-K head has to compute.
///
/// Whoever asks for dense rows is given those.
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
    /// Condenses to K tokens, at least 2 and at most the vocabulary.
    pub fn new(inner: M, k: usize) -> Self {
        Self { inner, k, fetched: Arc::default() }
    }

    /// How many rows have been fetched whole; clones count together.
    pub fn fetched(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    fn condensed(&self, rows: Rows, request: &Request<'_>) -> Result<Rows, CoreError> {
        let Some(wanted) = request.top_k() else { return Ok(rows) };
        let fetched = self.fetched.clone();
        top_k_rows(rows.into_dense()?, wanted, self.k, move |rows| {
            fetched.fetch_add(rows, Ordering::Relaxed);
        })
    }
}

/// Dense rows in the form of a request, condensed to `k` tokens if that will do.
pub(crate) fn to_top_k(
    beliefs: DenseRows,
    request: &Request<'_>,
    k: usize,
) -> Result<Rows, CoreError> {
    match request.top_k() {
        None => Ok(beliefs.into()),
        Some(wanted) => top_k_rows(beliefs, wanted, k, |_| {}),
    }
}

fn top_k_rows(
    beliefs: DenseRows,
    wanted: &TopKRequest,
    k: usize,
    fetched: impl Fn(usize) + Send + 'static,
) -> Result<Rows, CoreError> {
    if beliefs.rows() == 0 {
        return Ok(beliefs.into());
    }
    let vocabulary = beliefs.logits(0).len();
    let summary = summary(&beliefs, k.clamp(2, vocabulary), wanted);
    let source = move |rows: &[usize]| {
        fetched(rows.len());
        let logits = rows.iter().flat_map(|&row| beliefs.logits(row).to_vec()).collect();
        let logits = Array2::from_shape_vec((rows.len(), vocabulary), logits);
        logits.map(DenseRows::from_logits).map_err(CoreError::model)
    };
    TopKRows::new(summary, wanted, vocabulary, source).map(Rows::from)
}

impl<D: Denoiser> Denoiser for TopKModel<D> {
    fn vocabulary(&self) -> &Vocabulary {
        self.inner.vocabulary()
    }

    fn max_length(&self) -> Option<usize> {
        self.inner.max_length()
    }

    fn passes(&self) -> usize {
        self.inner.passes()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, CoreError> {
        let dense = Request { form: Form::Dense, ..*request };
        let answer = self.inner.forward(&dense)?;
        Ok(Answer { rows: self.condensed(answer.rows, request)?, ..answer })
    }
}

impl<S: SamplerLayer> SamplerLayer for TopKModel<S> {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, CoreError> {
        let dense = Request { form: Form::Dense, ..*request };
        self.condensed(self.inner.pass(state, &dense)?, request)
    }
}

/// The summary of dense rows by its definition, in float64: their K most probable tokens, and what is wanted beside.
pub fn summary(beliefs: &DenseRows, k: usize, wanted: &TopKRequest) -> TopKArrays {
    let n = beliefs.rows();
    let mut top = Array2::zeros((n, k));
    let mut ids = Array2::zeros((n, k));
    let measured = (wanted.temperatures().len(), n);
    let (mut mass, mut entropy) = (Array2::zeros(measured), Array2::zeros(measured));
    let asked = Array2::from_shape_fn((n, wanted.tokens().len()), |(row, column)| {
        beliefs.logits(row)[wanted.tokens()[column] as usize]
    });
    for row in 0..n {
        let logits = beliefs.logits(row);
        let mut sorted: Vec<usize> = (0..logits.len()).collect();
        sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        for (place, &token) in sorted.iter().take(k).enumerate() {
            top[(row, place)] = logits[token];
            ids[(row, place)] = token as TokenId;
        }
        let max = f64::from(logits[sorted[0]]);
        for (at, &temperature) in wanted.temperatures().iter().enumerate() {
            let z = logits.iter().map(|&l| (f64::from(l) - max) / f64::from(temperature));
            let sum: f64 = z.clone().map(f64::exp).sum();
            let weighted: f64 = z.filter(|&z| z > f64::NEG_INFINITY).map(|z| z * z.exp()).sum();
            mass[(at, row)] = sum as f32;
            entropy[(at, row)] = (sum.ln() - weighted / sum) as f32;
        }
    }
    TopKArrays { top, ids, asked, mass, entropy }
}
