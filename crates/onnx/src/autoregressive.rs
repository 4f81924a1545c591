//! A causal language model in ONNX, as a scorer.

use std::ops::Range;
use std::path::Path;

use conjoint_core::{Autoregressive, DenseRows, TokenId};
use ndarray::{Array2, Axis};
use ort::value::{DynTensorValueType, DynValue, Tensor};

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::options::OnnxOptions;
use crate::session::Opener;

/// The accepted inputs.
const INPUTS: [&[&str]; 3] = [
    &["input_ids"],
    &["input_ids", "attention_mask"],
    &["input_ids", "attention_mask", "position_ids"],
];

/// A causal language model on ONNX Runtime, as a scorer of texts.
///
/// The graph maps `input_ids` i64 [1, T] to `logits` f32 [1, T, V]. Row t is the distribution of token t + 1.
/// The graph may also have the inputs `attention_mask` and `position_ids`, both i64 [1, T]. Common exporters
/// write such graphs for text generation without past keys and values. A sequence is scored in one run.
///
/// ```no_run
/// use conjoint_core::Autoregressive;
/// use conjoint_onnx::{ExecutionProvider, OnnxAutoregressive};
/// let model = OnnxAutoregressive::open("gpt2/model.onnx", ExecutionProvider::Cpu)?.start(50256);
/// let nats = -model.log_likelihood(&[464, 3290, 318], 0..3)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("perplexity", "causal language model", "GPT", "verifier"))]
pub struct OnnxAutoregressive {
    graph: Graph,
    start: Option<TokenId>,
}

impl OnnxAutoregressive {
    /// Opens a graph file.
    ///
    /// # Errors
    /// [`Error::MissingGraph`], [`Error::Graph`], [`Error::GraphSignature`] if it has other inputs or outputs,
    /// and those of [`runtime::init`](crate::runtime::init).
    pub fn open(path: impl AsRef<Path>, options: impl Into<OnnxOptions>) -> Result<Self, Error> {
        let opener = Opener::new(options.into())?;
        let signatures = INPUTS.map(|inputs| Signature::new(inputs, &["logits"]));
        let graph = opener.open_any(path.as_ref().to_owned(), &signatures)?;
        Ok(Self { graph, start: None })
    }

    /// Puts this token before every sequence. It conditions the distribution of the first token, which is
    /// uniform without it.
    #[must_use]
    pub fn start(self, token: TokenId) -> Self {
        Self { start: Some(token), ..self }
    }

    /// Logits [T, V] after each of T ids.
    fn run(&self, ids: Vec<i64>) -> Result<Array2<f32>, Error> {
        let length = ids.len();
        let shaped = |values: Vec<i64>| -> Result<DynValue, Error> {
            Ok(self.graph.named(Tensor::from_array(([1, length], values)))?.into_dyn())
        };
        let inputs = [ids, vec![1; length], (0..length as i64).collect()];
        let inputs = inputs.into_iter().take(self.graph.input_count()).map(shaped);
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let logits = self.graph.run(&inputs.iter().collect::<Vec<_>>())?;
        let copied = logits.downcast::<DynTensorValueType>().and_then(|value| {
            let value = value.to(ort::memory::AllocationDevice::CPU, 0)?;
            let (shape, values) = value.try_extract_tensor::<f32>()?;
            Ok((shape.iter().map(|&size| size as usize).collect::<Vec<_>>(), values.to_vec()))
        });
        let (shape, values) = self.graph.named(copied)?;
        let vocabulary = shape.last().copied().unwrap_or(0);
        let mismatch = || Error::Shape {
            what: "the logits",
            got: shape.clone(),
            expected: vec![1, length, vocabulary],
        };
        if shape != [1, length, vocabulary] || vocabulary == 0 {
            return Err(mismatch());
        }
        Array2::from_shape_vec((length, vocabulary), values).map_err(|_| mismatch())
    }
}

impl Autoregressive for OnnxAutoregressive {
    fn rows(
        &self,
        tokens: &[TokenId],
        positions: Range<usize>,
    ) -> Result<DenseRows, conjoint_core::Error> {
        // The tokens up to the last one that a row depends on. The graph needs at least one, for the width.
        let context = &tokens[..positions.end.saturating_sub(1).min(tokens.len())];
        let start = self.start.into_iter().chain(context.iter().copied());
        let mut ids: Vec<i64> = start.map(i64::from).collect();
        if ids.is_empty() {
            ids.push(tokens.first().map_or(0, |&token| i64::from(token)));
        }
        let after = self.run(ids)?;
        let mut rows = Array2::zeros((positions.len(), after.ncols()));
        for (mut row, position) in rows.axis_iter_mut(Axis(0)).zip(positions) {
            // Row t of the graph predicts token t + 1, and the start comes before token 0.
            let from = (position + usize::from(self.start.is_some())).checked_sub(1);
            if let Some(from) = from {
                row.assign(&after.row(from));
            }
        }
        Ok(DenseRows::from_logits(rows))
    }
}
