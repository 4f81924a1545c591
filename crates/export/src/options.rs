//! Options of an export.

use std::path::PathBuf;

use conjoint_format::{GivenTokens, Operators, Quantisation, SamplerForm};

/// The checkpoint to export, the output folder, and the form of the graphs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Folder of the checkpoint: `config.json`, and `model.safetensors`, shards with their index, or a
    /// `pytorch_model.bin`.
    pub checkpoint: PathBuf,
    /// Folder of a sampler layer's tensors (`drafter.*`). It needs no `config.json`.
    pub sampler: Option<PathBuf>,
    /// Which rows a pass of the sampler layer computes. By default, the form in which the layer was trained;
    /// whole sequences if its weights do not record the form.
    pub passes: Option<SamplerForm>,
    /// Output folder; by default the checkpoint's own.
    ///
    /// Weights get there as hard links, or as copies where linking fails.
    pub out: Option<PathBuf>,
    /// Which ONNX operators to use.
    #[doc(alias = "opset")]
    pub operators: Operators,
    /// Whether row i of the model's logits predicts position i + 1. Overrides the default of the model's kind,
    /// and is required for kinds without one.
    pub shift: Option<bool>,
    /// The length of the attention blocks of a block-causal model (SDAR, Fast-dLLM v2, bd3lm); 0 for full attention.
    /// Overrides the configuration's, and is required for block-causal models whose configuration has none.
    #[doc(alias("block_size", "bd_size", "block diffusion"))]
    pub attention_block: Option<usize>,
    /// Unknown keys of `config.json` to ignore. Each must not change what the model computes.
    pub ignored_keys: Vec<String>,
    /// Special tokens, to override those of the checkpoint's files.
    pub given_tokens: GivenTokens,
    /// K, the number of most probable tokens that the top-K head returns for each row. At least 2; values above
    /// the vocabulary's size are reduced to it. `None` exports no top-K head.
    #[doc(alias = "top-k")]
    pub head_top: Option<usize>,
    /// Stores the matrices in fewer bits, in a file beside the graphs. The graphs then do not use the
    /// checkpoint's weights. `None` points into the checkpoint's weights.
    #[doc(alias("quantization", "int8", "int4"))]
    pub quantisation: Option<Quantisation>,
}

impl ExportOptions {
    /// Exports a checkpoint into its own folder, without a sampler layer and a top-K head.
    #[must_use]
    pub fn new(checkpoint: impl Into<PathBuf>) -> Self {
        Self {
            checkpoint: checkpoint.into(),
            sampler: None,
            passes: None,
            out: None,
            operators: Operators::default(),
            shift: None,
            attention_block: None,
            ignored_keys: Vec::new(),
            given_tokens: GivenTokens::default(),
            head_top: None,
            quantisation: None,
        }
    }
}
