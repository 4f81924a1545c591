//! Errors of loading ONNX Runtime, and of opening and running models.

use std::path::{Path, PathBuf};

use crate::memory::human_readable;
use crate::provider::ExecutionProvider;

/// The reason of an error of ONNX Runtime. Its type is opaque.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// ONNX Runtime was not found.
    #[error(
        "ONNX Runtime was not found. Searched:\n{}Install it with `{install}`, or point \
         ORT_DYLIB_PATH at its library.",
        lines(.tried)
    )]
    RuntimeNotFound {
        /// Each searched place and what was found there, in order.
        tried: Vec<String>,
        /// A command that installs it in one of them.
        install: String,
    },

    /// A library given by an argument or an environment variable does not exist.
    #[error("{named_by} names {}, where there is no ONNX Runtime library", path.display())]
    RuntimeMissing {
        /// The source of the path: an argument or an environment variable.
        named_by: &'static str,
        /// The given path.
        path: PathBuf,
    },

    /// A library is not ONNX Runtime, or not for this machine.
    #[error(
        "{} cannot be loaded as ONNX Runtime: {reason}. Give the library of an ONNX Runtime for this machine, \
         or unset ORT_DYLIB_PATH to search for one",
        path.display()
    )]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// The loader's reason.
        reason: String,
    },

    /// A library is an ONNX Runtime that is older than the oldest supported one.
    #[error(
        "{} is ONNX Runtime {got}, expected {oldest} or later: `{install}`",
        path.display()
    )]
    RuntimeTooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        got: String,
        /// The oldest supported version.
        oldest: String,
        /// A command that installs a supported version.
        install: String,
    },

    /// Another ONNX Runtime is already loaded. A process can load only one.
    #[error(
        "ONNX Runtime is already loaded from {}, and a process cannot load {} as well: use one library for all \
         models. Give its path each time, or unset ORT_DYLIB_PATH and give none",
        loaded.display(),
        requested.display()
    )]
    RuntimeConflict {
        /// The library in use.
        loaded: PathBuf,
        /// The requested library.
        requested: PathBuf,
    },

    /// ONNX Runtime was loaded but did not start.
    #[error("ONNX Runtime at {} did not start: {source}", path.display())]
    RuntimeStart {
        /// The library.
        path: PathBuf,
        /// ONNX Runtime's reason.
        source: Source,
    },

    /// No package of ONNX Runtime is pinned for this kind of machine.
    #[error(
        "no ONNX Runtime package is known for {platform}: install one, for example with \
         `{install}`, and point ORT_DYLIB_PATH at its library"
    )]
    NoPackage {
        /// Operating system and processor.
        platform: String,
        /// A command that may install it.
        install: String,
    },

    /// A command failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command line.
        command: String,
        /// Its error output, or the reason why it did not start.
        reason: String,
    },

    /// A fetched package differs from the pinned one. It was not unpacked.
    #[error(
        "{file} has SHA-256 {got}, expected {expected}: the download was altered or truncated, and was deleted. \
         Run again, or install ONNX Runtime yourself and point ORT_DYLIB_PATH at its library"
    )]
    Checksum {
        /// The package's file name.
        file: String,
        /// The pinned digest.
        expected: &'static str,
        /// The digest of the file.
        got: String,
    },

    /// The operating system could not read or write a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted operation, as a verb: "read", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },

    /// An unknown name of an execution provider.
    #[error("expected the execution provider cpu, cuda or tensorrt, got {0:?}")]
    UnknownProvider(String),

    /// An unknown name of an output layer.
    #[error("expected the head auto, dense or condensed, got {0:?}")]
    UnknownHead(String),

    /// The requested execution provider is not compiled in.
    #[error(
        "execution provider {provider} is not compiled in: build conjoint with feature `{feature}`"
    )]
    ProviderNotCompiled {
        /// The provider.
        provider: ExecutionProvider,
        /// The cargo feature that compiles it in.
        feature: &'static str,
    },

    /// The loaded ONNX Runtime lacks the requested execution provider or cannot start it.
    #[error(
        "execution provider {provider} is not available in the ONNX Runtime at {}: {reason}. \
         Install one that has it (`pip install onnxruntime-gpu`) with its libraries and driver, \
         and point ORT_DYLIB_PATH at it",
        runtime.display()
    )]
    ProviderAbsent {
        /// The provider.
        provider: ExecutionProvider,
        /// The library in use.
        runtime: PathBuf,
        /// ONNX Runtime's reason.
        reason: String,
    },

    /// None of the requested execution providers is available.
    #[error("none of the requested execution providers is available:\n{}", lines(.reasons))]
    NoProvider {
        /// The reason for each one.
        reasons: Vec<String>,
    },

    /// A model needs more memory than is available.
    #[error(
        "{} needs about {} of memory, and {} are available: free some{}, or give `ignore memory` to load it anyway",
        folder.display(), human_readable(*needed), human_readable(*available),
        if *quantised { "" } else { ", export it in fewer bits (`conjoint export --quantize`)" }
    )]
    Memory {
        /// The model's folder.
        folder: PathBuf,
        /// Needed bytes.
        needed: u64,
        /// Available bytes.
        available: u64,
        /// Whether it is already exported in fewer bits.
        quantised: bool,
    },

    /// A forward pass needs more memory than is available.
    #[error(
        "a forward pass of {batch} {} of {length} positions needs about {} of memory beside the weights, and {} are available: \
         give shorter sequences, fewer at once, or `ignore memory` to try it anyway", if *batch == 1 { "sequence" } else { "sequences" },
        human_readable(*needed), human_readable(*available)
    )]
    ForwardMemory {
        /// Number of sequences.
        batch: usize,
        /// Positions of the longest sequence.
        length: usize,
        /// Needed bytes.
        needed: u64,
        /// Available bytes.
        available: u64,
    },

    /// The cache of a session needs more memory than is available.
    #[error(
        "the cache of keys and values needs {}, and {} are available: give shorter sequences, fewer at once, or \
         `ignore memory` to try it anyway", human_readable(*needed), human_readable(*available)
    )]
    CacheMemory {
        /// Needed bytes.
        needed: u64,
        /// Available bytes.
        available: u64,
    },

    /// The folder is not a valid exported model.
    #[error(transparent)]
    Manifest(#[from] conjoint_format::FormatError),

    /// The manifest's special tokens are invalid.
    #[error("{}: {source}", path.display())]
    Vocabulary {
        /// The model's folder.
        path: PathBuf,
        /// The invalid value.
        source: conjoint_core::Error,
    },

    /// A graph is missing.
    #[error("{} is missing: export the checkpoint again", path.display())]
    MissingGraph {
        /// The graph's file.
        path: PathBuf,
    },

    /// The options request a top-K head, and the export has none.
    #[error(
        "{} holds no top-K head (head-top.onnx): export it again with `conjoint export --head-top 64`, or \
         open it with another head",
        folder.display()
    )]
    NoTopKHead {
        /// The model's folder.
        folder: PathBuf,
    },

    /// The outputs of a top-K head do not match the request.
    #[error("{0}")]
    TopKArrays(#[source] conjoint_core::Error),

    /// ONNX Runtime could not load or run a graph.
    #[error("{}: {source}", path.display())]
    Graph {
        /// The graph's file.
        path: PathBuf,
        /// ONNX Runtime's reason.
        source: Source,
    },

    /// A graph has other inputs or outputs than expected.
    #[error("{}: expected {expected}, got {got}: export the checkpoint again", path.display())]
    GraphSignature {
        /// The graph's file.
        path: PathBuf,
        /// The expected inputs and outputs.
        expected: String,
        /// The graph's inputs and outputs.
        got: String,
    },

    /// The export has no sampler layer.
    #[error(
        "{} has no sampler layer: export the checkpoint again with `conjoint export --sampler DIR`",
        folder.display()
    )]
    NoSampler {
        /// The model's folder.
        folder: PathBuf,
    },

    /// The sampler layer belongs to another model.
    #[error(
        "the sampler layer in {} has {what} {got}, but the model has {what} {expected}: it belongs to another model; \
         give one that was trained on this model",
        folder.display()
    )]
    SamplerMismatch {
        /// The sampler layer's folder.
        folder: PathBuf,
        /// The size that differs.
        what: &'static str,
        /// The sampler layer's size.
        got: usize,
        /// The model's size.
        expected: usize,
    },

    /// The batch has no sequence, or an empty one.
    #[error("the batch is empty: give at least one sequence of at least one token")]
    EmptyBatch,

    /// The batch has no such row.
    #[error(
        "sequence {sequence}, position {position}: no such row: {}",
        match *length {
            None => format!("the batch has {sequences} sequences"),
            Some(length) => format!("the sequence has {length} positions"),
        }
    )]
    NoSuchRow {
        /// Index of the sequence in the batch.
        sequence: usize,
        /// The position in it.
        position: usize,
        /// The number of sequences in the batch.
        sequences: usize,
        /// The length of the sequence; `None` if the batch does not have it.
        length: Option<usize>,
    },

    /// A token id is outside the vocabulary.
    #[error("token id {token} is outside the vocabulary of {size} ids")]
    UnknownToken {
        /// The id.
        token: i64,
        /// The number of ids.
        size: usize,
    },

    /// The shape of an array does not match the other arguments.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The array.
        what: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
}

impl Error {
    /// For `map_err`: attaches the operation and the file.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The error of a graph.
    pub(crate) fn graph(path: &Path, source: ort::Error) -> Self {
        Self::Graph { path: path.to_owned(), source: source.into() }
    }
}

impl From<Error> for conjoint_core::Error {
    fn from(error: Error) -> Self {
        Self::model(error)
    }
}

/// One line for each item.
fn lines(items: &[String]) -> String {
    items.iter().map(|item| format!("  {item}\n")).collect()
}
