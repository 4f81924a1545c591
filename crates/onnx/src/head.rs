//! From hidden states to rows: the output layer, which a model shares with its sampler layers.

use std::path::Path;

use conjoint_core::top_k_rows::{TopKArrays, TopKRequest};
use conjoint_export::Manifest;
use ndarray::Array2;

use ort::value::{DynTensorValueType, DynValue, PrimitiveTensorElementType, Tensor};

use crate::session::{Graph, Opener, Signature};
use crate::{Error, HeadChoice};

const DENSE: Signature = Signature { inputs: &["hidden", "rows"], outputs: &["logits"] };
const CONDENSED: Signature = Signature {
    inputs: &["hidden", "rows", "temperatures", "tokens", "whole"],
    outputs: &["top", "ids", "asked", "mass", "entropy", "logits"],
};

/// `head.onnx`, or `head-top.onnx`, which can do what it does: the one graph then holds the only copy of the
/// V × D matrix.
pub(crate) struct Head {
    graph: Graph,
    vocabulary: usize,
    /// K of a top-K head.
    k: Option<usize>,
}

impl Head {
    /// # Errors
    /// [`Error::NoTopKHead`], and those of [`Opener::open`].
    pub fn open(opener: &Opener, folder: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let vocabulary = manifest.vocab_size;
        let top = manifest.graphs.head_top.as_ref();
        let top = match opener.head() {
            HeadChoice::Dense => None,
            HeadChoice::Auto => top.filter(|_| opener.is_device()),
            HeadChoice::TopK => {
                Some(top.ok_or_else(|| Error::NoTopKHead { folder: folder.to_owned() })?)
            }
        };
        let (name, signature) = match top {
            Some(top) => (&top.graph, &CONDENSED),
            None => (&manifest.graphs.head, &DENSE),
        };
        let graph = opener.open(folder.join(name), signature)?;
        Ok(Self { graph, vocabulary, k: top.map(|top| top.k) })
    }

    /// Whether it can give [summaries](Self::summary).
    pub fn is_top_k(&self) -> bool {
        self.k.is_some()
    }

    /// Logits [N, V] of rows \[N\] of the flattened hidden states [B · T, D]. Only they are computed, and
    /// they are written once, where they stay.
    pub fn logits(&self, hidden: &DynValue, rows: Vec<i64>) -> Result<Array2<f32>, Error> {
        let mut logits = Array2::zeros((rows.len(), self.vocabulary));
        if rows.is_empty() {
            return Ok(logits);
        }
        if self.is_top_k() {
            let (nothing, whole) = (TopKRequest::default(), (0..rows.len() as i64).collect());
            self.run_condensed(hidden, rows, &nothing, whole, Some(&mut logits))?;
        } else {
            let rows = self.vector(rows)?;
            self.graph.run_into(&[hidden, &rows], &mut logits)?;
        }
        Ok(logits)
    }

    /// What is wanted of rows \[N\] of the flattened hidden states, from a head that is_top_k.
    pub fn top_k(
        &self,
        hidden: &DynValue,
        rows: Vec<i64>,
        wanted: &TopKRequest,
    ) -> Result<TopKArrays, Error> {
        let outputs = self.run_condensed(hidden, rows, wanted, Vec::new(), None)?;
        let [top, ids, requested, mass, entropy, _] = &outputs[..] else {
            let (got, expected) = (vec![outputs.len()], vec![CONDENSED.outputs.len()]);
            return Err(Error::Shape { what: "the top-K head's outputs", got, expected });
        };
        Ok(TopKArrays {
            top: self.matrix(top)?,
            // Those outside of the vocabulary are refused with the summary.
            ids: self.matrix(ids)?.mapv(|id: i64| u32::try_from(id).unwrap_or(u32::MAX)),
            requested: self.matrix(requested)?,
            mass: self.matrix(mass)?,
            entropy: self.matrix(entropy)?,
        })
    }

    fn run_condensed(
        &self,
        hidden: &DynValue,
        rows: Vec<i64>,
        wanted: &TopKRequest,
        whole: Vec<i64>,
        logits: Option<&mut Array2<f32>>,
    ) -> Result<Vec<DynValue>, Error> {
        let tokens = wanted.tokens().iter().map(|&token| token.into()).collect();
        let rows = self.vector::<i64>(rows)?;
        let temperatures = self.vector(wanted.temperatures().to_vec())?;
        let (tokens, whole) = (self.vector::<i64>(tokens)?, self.vector(whole)?);
        self.graph.run_to_host(&[hidden, &rows, &temperatures, &tokens, &whole], logits)
    }

    fn vector<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
        &self,
        values: Vec<T>,
    ) -> Result<DynValue, Error> {
        Ok(self.named(Tensor::from_array(([values.len()], values)))?.into_dyn())
    }

    /// A small output [·, ·].
    fn matrix<T: PrimitiveTensorElementType + Clone>(
        &self,
        value: &DynValue,
    ) -> Result<Array2<T>, Error> {
        let value = self.named(value.view().downcast::<DynTensorValueType>())?;
        let (shape, values) = self.named(value.try_extract_tensor::<T>())?;
        let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
        let wrong = || Error::Shape {
            what: "an output of the top-K head",
            got: shape.clone(),
            expected: vec![shape.first().copied().unwrap_or(0), 0],
        };
        let &[rows, columns] = &shape[..] else { return Err(wrong()) };
        Array2::from_shape_vec((rows, columns), values.to_vec()).map_err(|_| wrong())
    }

    /// Attaches the graph's name to an error.
    pub fn named<T>(&self, result: ort::Result<T>) -> Result<T, Error> {
        self.graph.named(result)
    }
}
