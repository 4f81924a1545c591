//! What can go wrong between a checkpoint folder and its graphs.

use std::path::PathBuf;

use crate::quantise::Quantisation;

/// Why a checkpoint could not be exported, or an export not be read.
///
/// Every variant names the file concerned, what was found and what would have been right.
/// All checks run before any file gets its final name, so a folder that fails one stays as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The operating system refused to read or write a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "create", "rename".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },

    /// A top-K head that would give too few tokens of a row.
    #[error("head top = {got} is out of range: expected at least 2 tokens of each row")]
    HeadTop {
        /// What was given.
        got: usize,
    },

    /// A file that must be there is not.
    #[error("{} is missing: {hint}", path.display())]
    MissingFile {
        /// The file looked for.
        path: PathBuf,
        /// What it is for, and how to get it.
        hint: &'static str,
    },

    /// A path leads to something else than a checkpoint's folder, or a file in it is only named there: what it is was recognised
    /// before anything was read in detail.
    #[error("{}: {reason}", path.display())]
    NotACheckpoint {
        /// The path that was given, or a file below it.
        path: PathBuf,
        /// What it is, and what to do about it.
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
    Quantised {
        /// The folder, or the `.safetensors` file.
        path: PathBuf,
        /// The file or tensor that says so.
        found: String,
    },

    /// A folder is not exported yet, and an export into it is under way.
    #[error("an export into {} is under way: wait until that has ended", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },

    /// The folder to write to cannot be written to.
    #[error(
        "{} cannot be written to ({source}): export to another folder, given as `out`",
        path.display()
    )]
    ReadOnly {
        /// The folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },

    /// A JSON file does not parse, or has another structure than expected.
    #[error("{} is not what was expected: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },

    /// `config.json` describes a model that no graph is built for.
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

    /// `config.json` describes another kind of model than those that graphs are built for.
    #[error("{}: {key} is {got}: this is {kind}, and cannot be exported", path.display())]
    OtherKind {
        /// The `config.json`.
        path: PathBuf,
        /// The key that says so.
        key: String,
        /// Its value, as JSON.
        got: String,
        /// What kind of model it is.
        kind: &'static str,
    },

    /// An adapter lies beside the weights.
    #[error(
        "{} belongs to an adapter (LoRA and the like), which an export would leave out: merge it into the weights first \
         (`merge_and_unload` of PEFT), or move it elsewhere",
        path.display()
    )]
    Adapter {
        /// The adapter's configuration.
        path: PathBuf,
    },

    /// Keys of `config.json` are not known, so that they may change what the model computes.
    #[error(
        "{}: it is not known whether these keys change what the model computes: {}. If its code does not read them, or they \
         change nothing there, list them as `ignored keys`",
        path.display(),
        keys.join(", ")
    )]
    UnknownKeys {
        /// The `config.json`.
        path: PathBuf,
        /// The keys, each with its value as JSON.
        keys: Vec<String>,
    },

    /// A key to be ignored is known already, or not in `config.json`.
    #[error("{}: {key} need not be ignored: it is absent, null, or known", path.display())]
    IgnoredKey {
        /// The `config.json`.
        path: PathBuf,
        /// The key.
        key: String,
    },

    /// Nothing in the checkpoint says which id stands for a masked position.
    #[error(
        "{}: no file says which id stands for a masked position: mask_token_id is absent from config.json and \
         generation_config.json, and no mask_token with an id is in the tokenizer's files{}{}",
        path.display(),
        shown("; tokens that look like one", candidates),
        shown("", unreadable)
    )]
    NoMask {
        /// The checkpoint folder.
        path: PathBuf,
        /// Tokens that look like a mask, with their ids.
        candidates: Vec<String>,
        /// Files of the tokenizer that could not be read, a sentence each.
        unreadable: Vec<String>,
    },

    /// A special token that was given is none of the model's.
    #[error("{role} token {got}: expected {expected}")]
    GivenToken {
        /// Its role.
        role: &'static str,
        /// What was given.
        got: String,
        /// What would have been right.
        expected: String,
    },

    /// The mask's id is also one that ends a sequence.
    #[error("{}: id {id} stands for a masked position, so it cannot end a sequence too", path.display())]
    MaskEnds {
        /// The `config.json`.
        path: PathBuf,
        /// The id.
        id: u32,
    },

    /// The checkpoint holds two output layers where the model has one.
    #[error(
        "{}: {key} is true, so that the output layer is the embedding table, but the checkpoint holds another one, {tensor}: \
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

    /// A key of a configuration file has a value that the graph does not implement or cannot use.
    #[error("{}: {key} is {got}, expected {expected}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What this crate can work with.
        expected: String,
        /// The value found, as JSON, or "absent".
        got: String,
    },

    /// Nothing in the checkpoint tells whether row i predicts position i or position i + 1.
    #[error(
        "{}: model_type {model_type} is trained both ways, with row i of the logits predicting \
         position i and with it predicting position i + 1: say which as `shift`",
        path.display()
    )]
    ShiftUnknown {
        /// The `config.json`.
        path: PathBuf,
        /// Its `model_type`, as JSON.
        model_type: String,
    },

    /// A `.safetensors` file is shorter or longer than its own header says.
    #[error(
        "{}: {got} bytes long, but its header describes {expected} bytes: the file is incomplete \
         or damaged, fetch it again",
        path.display()
    )]
    FileLength {
        /// The `.safetensors` file.
        path: PathBuf,
        /// Length that the header implies.
        expected: u64,
        /// Length on disk.
        got: u64,
    },

    /// A weight file is not the one that was exported.
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
    #[error("{}: invalid safetensors header: {reason}", path.display())]
    Header {
        /// The `.safetensors` file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A `pytorch_model.bin` is damaged, is none, or holds what cannot be represented.
    #[error(
        "{}: cannot be read as weights that PyTorch saved: {reason}. If `torch.load(…, weights_only=True)` reads it, save it as \
         model.safetensors from there",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// An index names a shard that is not in the folder, or that does not hold what the index says.
    #[error("{}: {reason}", path.display())]
    Shard {
        /// The `model.safetensors.index.json`.
        path: PathBuf,
        /// Which shard, and what is wrong with it.
        reason: String,
    },

    /// The configuration calls for a tensor that the checkpoint does not hold.
    #[error(
        "{}: tensor {name} {expected:?} is missing{}",
        path.display(),
        prefixed.as_ref().map_or_else(String::new, |other| format!(
            ", but there is {other}: what saved the weights put a prefix before all names, which has to be taken off"
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

    /// A tensor has another shape than the configuration implies.
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

    /// A tensor has an element type that the graph cannot take as a weight.
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

    /// The checkpoint holds a tensor that the graph would ignore, so the graph is not this model.
    #[error(
        "{}: tensor {name} has no place in this architecture; a graph without it would compute \
         something else than the model",
        path.display()
    )]
    UnexpectedTensor {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },

    /// A weight is NaN or infinite, so that it has no quantised form.
    #[error("{}: tensor {name} holds NaN or infinity, and cannot be quantised", path.display())]
    NotFinite {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },

    /// Quantised products exist as fused operators only.
    #[error(
        "quantised weights need ONNX Runtime's own operators, which portable graphs leave out: give one of the two"
    )]
    QuantisedPortable,

    /// The checkpoint is a quantised export itself, without the weights that it was made from.
    #[error(
        "{} holds a quantised export ({quantised}) and no checkpoint: export the checkpoint that it was made from",
        path.display()
    )]
    QuantisedCheckpoint {
        /// The folder.
        path: PathBuf,
        /// How it is quantised.
        quantised: Quantisation,
    },

    /// The output folder's file system has too little room.
    #[error(
        "{}: {:.1} GB are to be written, and {:.1} GB are free: make room, or choose another folder",
        path.display(), *needed as f64 / 1e9, *free as f64 / 1e9
    )]
    NoSpace {
        /// The output folder.
        path: PathBuf,
        /// Bytes to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },

    /// The output folder holds another file under a name that the export needs, which no earlier export put there as it is.
    #[error(
        "{} exists, is not the checkpoint's, and is not as an earlier export left it: remove it or choose another folder",
        path.display()
    )]
    Conflict {
        /// The file in the way.
        path: PathBuf,
    },

    /// Weights are symbolic links that lead out of the folder, and no hard link to them can be made.
    ///
    /// ONNX Runtime refuses external data outside the model's folder.
    #[error(
        "{} leads out of its folder and cannot be hard-linked into it ({source}): export to \
         another folder, given as `out`: the weights are then copied where linking fails",
        path.display()
    )]
    Unlinkable {
        /// The symbolic link.
        path: PathBuf,
        /// Why linking failed.
        source: std::io::Error,
    },

    /// A graph is none, or does not go with the files beside it.
    #[error("{}: {reason}: export the checkpoint again", path.display())]
    Graph {
        /// The graph's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A `conjoint.json` was written by another version of the format.
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

/// A list behind its heading, empty where there is nothing to list.
fn shown(heading: &str, list: &[String]) -> String {
    match (list, heading) {
        ([], _) => String::new(),
        (list, "") => format!("; {}", list.join("; ")),
        (list, heading) => format!("{heading}: {}", list.join(", ")),
    }
}

impl ExportError {
    /// For `map_err`: attaches what was tried on which file.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err`: attaches the JSON file's name.
    pub(crate) fn json(path: impl Into<PathBuf>) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.into();
        move |source| Self::Json { path, source }
    }
}
