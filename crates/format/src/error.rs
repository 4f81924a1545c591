//! Errors of reading checkpoints and exports.

use std::path::PathBuf;

/// An error of reading or checking a checkpoint or an export.
///
/// Every variant names the file, what was found there and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The operating system could not read a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted operation, as a verb: "read", "open".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },

    /// A required file is missing.
    #[error("{} is missing: {hint}", path.display())]
    MissingFile {
        /// The expected file.
        path: PathBuf,
        /// What the file is for, and how to get it.
        hint: &'static str,
    },

    /// A path does not lead to a checkpoint's folder, or a file in the folder is a placeholder.
    ///
    /// Detected before any file is read in detail.
    #[error("{}: {reason}", path.display())]
    NotACheckpoint {
        /// The given path, or a file below it.
        path: PathBuf,
        /// What the path leads to, and what to do about it.
        reason: String,
    },

    /// A checkpoint holds no sampler layer, or several.
    #[error("{}: {reason}", path.display())]
    SamplerLayer {
        /// The folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },

    /// The weights are quantised.
    #[error(
        "{}: {found} belongs to a quantised model: export the original one, in 16 or 32 bits",
        path.display()
    )]
    #[doc(alias("GPTQ", "AWQ", "bitsandbytes"))]
    Quantised {
        /// The folder, or the `.safetensors` file.
        path: PathBuf,
        /// The file or tensor by which this was detected.
        found: String,
    },

    /// A folder has no manifest yet, and an export into it is running.
    #[error("an export into {} is running: wait until it has ended", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },

    /// A JSON file does not parse, or has an unexpected structure.
    #[error("cannot parse {}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },

    /// `config.json` describes an unsupported architecture.
    #[error(
        "{}: unknown architecture: model_type {model_type}, architectures {architectures}; \
         supported are Dream (model_type \"Dream\"), LLaDA (model_type \"llada\"), masked \
         diffusion models on Qwen2 or Qwen3, and BERT, ALBERT and ModernBERT (model_type \"bert\", \
         \"albert\", \"modernbert\") with a head for masked language modelling",
        path.display()
    )]
    UnknownArchitecture {
        /// The `config.json`.
        path: PathBuf,
        /// Its `model_type`, as JSON.
        model_type: String,
        /// Its `architectures`, as JSON.
        architectures: String,
    },

    /// `config.json` describes a kind of model that is known and unsupported.
    #[error(
        "{}: {key} is {got}: this is {kind}, and cannot be exported; docs/checkpoints.md lists the models that can",
        path.display()
    )]
    OtherKind {
        /// The `config.json`.
        path: PathBuf,
        /// The key by which this was detected.
        key: String,
        /// Its value, as JSON.
        got: String,
        /// The kind of model.
        kind: &'static str,
    },

    /// An adapter lies beside the weights.
    #[error(
        "{} belongs to an adapter (such as LoRA), which an export would leave out: merge it into the weights first \
         (`merge_and_unload` of PEFT), or move it elsewhere",
        path.display()
    )]
    #[doc(alias("LoRA", "PEFT"))]
    Adapter {
        /// The adapter's configuration.
        path: PathBuf,
    },

    /// `config.json` has unknown keys, which may change what the model computes.
    #[error(
        "{}: unknown keys: {}. They may change what the model computes. If the model's code does not read them, or their \
         values have no effect, list them as `ignored keys`",
        path.display(),
        keys.join(", ")
    )]
    UnknownKeys {
        /// The `config.json`.
        path: PathBuf,
        /// The keys, each with its value as JSON.
        keys: Vec<String>,
    },

    /// A key listed as ignored is known already, or absent from `config.json`.
    #[error(
        "{}: {key} is not an unknown key with a value: leave it out of `ignored keys`",
        path.display()
    )]
    IgnoredKey {
        /// The `config.json`.
        path: PathBuf,
        /// The key.
        key: String,
    },

    /// No file of the checkpoint defines the mask token.
    #[error(
        "{}: no file defines the mask token: mask_token_id is absent from config.json and generation_config.json, and no \
         mask_token with an id is in the tokenizer's files{}{}",
        path.display(),
        list("; tokens that look like one", candidates),
        list("", unreadable)
    )]
    NoMask {
        /// The checkpoint folder.
        path: PathBuf,
        /// Tokens that look like a mask, with their ids.
        candidates: Vec<String>,
        /// Files of the tokenizer that could not be read, a sentence each.
        unreadable: Vec<String>,
    },

    /// A special token given by the user is not one of the model's tokens.
    #[error("{role} token {got}: expected {expected}")]
    GivenToken {
        /// Its role.
        role: &'static str,
        /// The given token.
        got: String,
        /// What was expected.
        expected: String,
    },

    /// The mask token's id also ends a sequence.
    #[error("{}: id {id} is the mask token, so it cannot also end a sequence", path.display())]
    MaskEnds {
        /// The `config.json`.
        path: PathBuf,
        /// The id.
        id: u32,
    },

    /// The configuration ties the output layer to the embedding table, and the checkpoint holds another output
    /// layer.
    #[error(
        "{}: {key} is true, so the output layer is the embedding table, but the checkpoint holds another one, {tensor}: \
         set the key to false to use it, or remove the tensor",
        path.display()
    )]
    TwoHeads {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The key of `config.json`.
        key: &'static str,
        /// The tensor's name.
        tensor: String,
    },

    /// A key of a configuration file has an invalid or unsupported value.
    #[error("{}: {key} is {got}, expected {expected}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The supported values.
        expected: String,
        /// The value found, as JSON, or "absent".
        got: String,
    },

    /// No file says whether row i predicts position i or position i + 1.
    #[error(
        "{}: models of model_type {model_type} are trained in two ways: row i of the logits predicts \
         position i, or position i + 1. Give `shift` to choose",
        path.display()
    )]
    ShiftUnknown {
        /// The `config.json`.
        path: PathBuf,
        /// Its `model_type`, as JSON.
        model_type: String,
    },

    /// The model attends block by block, and no file says how long a block is.
    #[error(
        "{}: models of model_type {model_type} attend block by block, and the file has neither block_size nor bd_size. \
         Give `attention block`, the length in positions: 4 for SDAR and TraDo (or the number in a name such as -b16), \
         32 for bd3lm models, DreamReasoner and Fast-dLLM v2",
        path.display()
    )]
    #[doc(alias("block diffusion", "bd3lm", "SDAR"))]
    AttentionBlockUnknown {
        /// The `config.json`.
        path: PathBuf,
        /// Its `model_type`, as JSON.
        model_type: String,
    },

    /// An attention block was given for an encoder.
    #[error(
        "{}: attention block {got}: expected 0, because an encoder attends to all positions",
        path.display()
    )]
    AttentionBlockOfEncoder {
        /// The `config.json`.
        path: PathBuf,
        /// The given length.
        got: usize,
    },

    /// The length of a `.safetensors` file differs from the one that its header implies.
    #[error(
        "{}: the file has {got} bytes, but its header describes {expected} bytes: the file is incomplete \
         or damaged, fetch it again",
        path.display()
    )]
    FileLength {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The length that the header implies, in bytes.
        expected: u64,
        /// The length of the file, in bytes.
        got: u64,
    },

    /// A weight file has changed since the export.
    #[error(
        "{} has changed since the model was exported: export it again (`conjoint export`, with \
         --sampler if it had a sampler layer)",
        path.display()
    )]
    WeightsChanged {
        /// The weight file.
        path: PathBuf,
    },

    /// The header of a `.safetensors` file is invalid.
    #[error(
        "{}: invalid safetensors header: {reason}; the file is damaged: download or save it again",
        path.display()
    )]
    Header {
        /// The `.safetensors` file.
        path: PathBuf,
        /// What is invalid.
        reason: String,
    },

    /// An index names a shard that is missing, or that lacks a tensor listed for it.
    #[error("{}: {reason}: download the index and the shards again", path.display())]
    Shard {
        /// The `model.safetensors.index.json`.
        path: PathBuf,
        /// The shard, and what is wrong with it.
        reason: String,
    },

    /// The checkpoint lacks a tensor that the configuration requires.
    #[error(
        "{}: tensor {name} of shape {expected:?} is missing{}",
        path.display(),
        prefixed.as_ref().map_or_else(String::new, |other| format!(
            ", but there is {other}: remove the prefix from the names of all tensors"
        ))
    )]
    MissingTensor {
        /// The checkpoint folder.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
        /// A tensor of this name behind a prefix.
        prefixed: Option<String>,
    },

    /// A tensor's shape differs from the one that the configuration implies.
    #[error("{}: tensor {name} has shape {got:?}, the configuration implies {expected:?}", path.display())]
    TensorShape {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
        /// The shape found.
        got: Vec<usize>,
    },

    /// A tensor's element type is unsupported.
    #[error(
        "{}: tensor {name} is {got}, expected F32, F16 or BF16: quantised weights cannot be exported",
        path.display()
    )]
    TensorType {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The element type found.
        got: String,
    },

    /// The checkpoint holds a tensor that the architecture does not use.
    #[error(
        "{}: tensor {name} has no place in this architecture; a graph without it would not compute this model",
        path.display()
    )]
    UnexpectedTensor {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },

    /// An ONNX graph is invalid, or does not match the files beside it.
    #[error("{}: {reason}: export the checkpoint again", path.display())]
    Graph {
        /// The graph's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Another version of the format wrote a `conjoint.json`.
    #[error(
        "{}: format {got}, this version reads format {expected}: export the checkpoint again",
        path.display()
    )]
    ManifestFormat {
        /// The `conjoint.json`.
        path: PathBuf,
        /// The format that this version reads.
        expected: u32,
        /// The format found.
        got: u32,
    },
}

/// A list behind its heading; empty if the list is.
fn list(heading: &str, items: &[String]) -> String {
    match (items, heading) {
        ([], _) => String::new(),
        (items, "") => format!("; {}", items.join("; ")),
        (items, heading) => format!("{heading}: {}", items.join(", ")),
    }
}

impl FormatError {
    /// For `map_err`: attaches the operation and the file.
    #[doc(hidden)]
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err`: attaches the JSON file's name.
    #[doc(hidden)]
    pub fn json(path: impl Into<PathBuf>) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.into();
        move |source| Self::Json { path, source }
    }
}
