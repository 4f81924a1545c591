//! The output layer, from hidden states to logits. A model shares it with its sampler layers.

use std::path::Path;

use conjoint_core::top_k_rows::{TopKArrays, TopKRequest};
use conjoint_format::Manifest;
use ndarray::Array2;
use ort::value::{DynTensorValueType, DynValue, PrimitiveTensorElementType, Tensor};

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::options::HeadChoice;
use crate::session::Opener;

const TOP_K_INPUTS: [&str; 5] = ["hidden", "rows", "temperatures", "tokens", "whole"];
const TOP_K_OUTPUTS: [&str; 6] = ["top", "ids", "asked", "mass", "entropy", "logits"];

/// `head.onnx`, or `head-top.onnx`, which also computes dense rows. Only one of them is opened, so there is one
/// copy of the V × D matrix in memory.
pub(crate) struct Head {
    graph: Graph,
    vocabulary: usize,
    /// K of a top-K head.
    k: Option<usize>,
}

impl Head {
    /// Opens the chosen output layer.
    ///
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
            Some(top) => (&top.graph, Signature::new(&TOP_K_INPUTS, &TOP_K_OUTPUTS)),
            None => (&manifest.graphs.head, Signature::new(&["hidden", "rows"], &["logits"])),
        };
        let graph = opener.open(folder.join(name), signature)?;
        Ok(Self { graph, vocabulary, k: top.map(|top| top.k) })
    }

    /// Whether it computes [top-K rows](Self::top_k).
    pub fn is_top_k(&self) -> bool {
        self.k.is_some()
    }

    /// Logits [N, V] of the given rows \[N\] of hidden states [P, D]. Other rows are not
    /// computed.
    pub fn logits(&self, hidden: &DynValue, rows: Vec<i64>) -> Result<Array2<f32>, Error> {
        let mut logits = Array2::zeros((rows.len(), self.vocabulary));
        if rows.is_empty() {
            return Ok(logits);
        }
        if self.is_top_k() {
            let (no_request, whole) = (TopKRequest::default(), (0..rows.len() as i64).collect());
            self.run_top_k(hidden, rows, &no_request, whole, Some(&mut logits))?;
        } else {
            let rows = self.vector(rows)?;
            self.graph.run_into(&[hidden, &rows], &mut logits)?;
        }
        Ok(logits)
    }

    /// The arrays of a top-K request for rows \[N\] of hidden states [P, D]. Requires a top-K head.
    pub fn top_k(
        &self,
        hidden: &DynValue,
        rows: Vec<i64>,
        request: &TopKRequest,
    ) -> Result<TopKArrays, Error> {
        let outputs = self.run_top_k(hidden, rows, request, Vec::new(), None)?;
        let [top, ids, requested, mass, entropy, _] = &outputs[..] else {
            let (got, expected) = (vec![outputs.len()], vec![TOP_K_OUTPUTS.len()]);
            return Err(Error::Shape { what: "the top-K head's outputs", got, expected });
        };
        Ok(TopKArrays {
            top: self.matrix(top)?,
            // Ids outside of the vocabulary are rejected with the arrays.
            ids: self.matrix(ids)?.mapv(|id: i64| u32::try_from(id).unwrap_or(u32::MAX)),
            requested: self.matrix(requested)?,
            mass: self.matrix(mass)?,
            entropy: self.matrix(entropy)?,
        })
    }

    fn run_top_k(
        &self,
        hidden: &DynValue,
        rows: Vec<i64>,
        request: &TopKRequest,
        whole: Vec<i64>,
        logits: Option<&mut Array2<f32>>,
    ) -> Result<Vec<DynValue>, Error> {
        let tokens = request.tokens().iter().map(|&token| token.into()).collect();
        let rows = self.vector::<i64>(rows)?;
        let temperatures = self.vector(request.temperatures().to_vec())?;
        let (tokens, whole) = (self.vector::<i64>(tokens)?, self.vector(whole)?);
        self.graph.run_to_host(&[hidden, &rows, &temperatures, &tokens, &whole], logits)
    }

    fn vector<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
        &self,
        values: Vec<T>,
    ) -> Result<DynValue, Error> {
        Ok(self.named(Tensor::from_array(([values.len()], values)))?.into_dyn())
    }

    /// Copies a small output [·, ·].
    fn matrix<T: PrimitiveTensorElementType + Clone>(
        &self,
        value: &DynValue,
    ) -> Result<Array2<T>, Error> {
        let value = self.named(value.view().downcast::<DynTensorValueType>())?;
        let (shape, values) = self.named(value.try_extract_tensor::<T>())?;
        let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
        let mismatch = || Error::Shape {
            what: "an output of the top-K head",
            got: shape.clone(),
            expected: vec![shape.first().copied().unwrap_or(0), 0],
        };
        let &[rows, columns] = &shape[..] else { return Err(mismatch()) };
        Array2::from_shape_vec((rows, columns), values.to_vec()).map_err(|_| mismatch())
    }

    /// Attaches the graph's name to an error.
    pub fn named<T>(&self, result: ort::Result<T>) -> Result<T, Error> {
        self.graph.named(result)
    }
}
