//! What can go wrong between a folder of graphs and the logits they answer.

use std::path::PathBuf;

use crate::ExecutionProvider;
use crate::memory::shown;

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// ONNX Runtime is in none of the places where it may be.
    #[error(
        "ONNX Runtime was not found. Looked in:\n{}Install it with `{install}`, or point \
         ORT_DYLIB_PATH at its library.",
        lines(.tried)
    )]
    RuntimeNotFound {
        /// Each place and what was there, in the order of the search.
        tried: Vec<String>,
        /// The command that puts it into one of them.
        install: String,
    },

    /// A library that was named outright does not exist.
    #[error("{named_by} names {}, where there is no ONNX Runtime library", path.display())]
    RuntimeMissing {
        /// Who named it: an argument or an environment variable.
        named_by: &'static str,
        /// The path given.
        path: PathBuf,
    },

    /// A library is not ONNX Runtime, or not for this machine.
    #[error("{} cannot be loaded as ONNX Runtime: {reason}", path.display())]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },

    /// A library is an ONNX Runtime from before what this crate needs.
    #[error(
        "{} is ONNX Runtime {got}, expected {oldest} or later: `{install}`",
        path.display()
    )]
    RuntimeTooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        got: String,
        /// The oldest version that serves.
        oldest: String,
        /// The command that installs one that serves.
        install: String,
    },

    /// Another ONNX Runtime is already loaded; a process holds one.
    #[error(
        "ONNX Runtime is already loaded from {}, and a process cannot load {} as well",
        loaded.display(),
        asked.display()
    )]
    RuntimeConflict {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },

    /// ONNX Runtime was loaded but would not start.
    #[error("ONNX Runtime at {} did not start: {source}", path.display())]
    RuntimeStart {
        /// The library.
        path: PathBuf,
        /// Its own reason.
        source: ort::Error,
    },

    /// No package of ONNX Runtime is pinned for this kind of machine.
    #[error(
        "no ONNX Runtime package is known for {platform}: install one, for example with \
         `{install}`, and point ORT_DYLIB_PATH at its library"
    )]
    NoPackage {
        /// Operating system and processor.
        platform: String,
        /// A command that may work.
        install: String,
    },

    /// A helper program failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command line.
        command: String,
        /// Its last words, or why it did not start.
        reason: String,
    },

    /// A fetched package is not the one that was pinned. Nothing of it has been unpacked.
    #[error("{file} has SHA-256 {got}, expected {expected}: it was altered or cut short")]
    Checksum {
        /// The package's file name.
        file: String,
        /// The pinned digest.
        expected: &'static str,
        /// The digest found.
        got: String,
    },

    /// The operating system refused to read or write a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },

    /// A word that names no execution provider.
    #[error("unknown execution provider {0:?}: expected cpu, cuda or tensorrt")]
    UnknownProvider(String),

    /// A word that names no output layer.
    #[error("unknown head {0:?}: expected auto, dense or condensed")]
    UnknownHead(String),

    /// An execution provider was asked for that this build leaves out.
    #[error(
        "execution provider {provider} is not compiled in: build conjoint with feature `{feature}`"
    )]
    ProviderNotCompiled {
        /// The provider.
        provider: ExecutionProvider,
        /// The feature that compiles it in.
        feature: &'static str,
    },

    /// An execution provider was asked for that the loaded ONNX Runtime lacks or cannot start.
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
        /// What the runtime said.
        reason: String,
    },

    /// None of the execution providers of a list is available.
    #[error("none of the execution providers asked for is available:\n{}", lines(.reasons))]
    NoProvider {
        /// Why each one is not.
        reasons: Vec<String>,
    },

    /// A model takes more memory than is available.
    #[error(
        "{} takes about {} of memory, and {} are available: free some{}, or give `ignore memory` to load it all the same",
        folder.display(), shown(*needed), shown(*available),
        if *quantised { "" } else { ", export it in fewer bits (`conjoint export --quantize`)" }
    )]
    Memory {
        /// The model's folder.
        folder: PathBuf,
        /// Bytes that it would take.
        needed: u64,
        /// Bytes that are available.
        available: u64,
        /// Whether it has been exported in fewer bits already.
        quantised: bool,
    },

    /// A forward takes more memory than is available.
    #[error(
        "a forward of {batch} {} of {length} positions takes about {} of memory beside the weights, and {} are available: \
         give shorter sequences, fewer at once, or `ignore memory` to try it all the same", if *batch == 1 { "sequence" } else { "sequences" },
        shown(*needed), shown(*available)
    )]
    ForwardMemory {
        /// Sequences.
        batch: usize,
        /// Positions of the longest.
        length: usize,
        /// Bytes that it would take.
        needed: u64,
        /// Bytes that are available.
        available: u64,
    },

    /// The folder holds no readable `conjoint.json`.
    #[error(transparent)]
    Manifest(#[from] conjoint_export::ExportError),

    /// The manifest holds values that no model can have.
    #[error("{}: {source}", path.display())]
    Vocabulary {
        /// The model's folder.
        path: PathBuf,
        /// The offending value.
        source: conjoint_core::Error,
    },

    /// A graph that the manifest names is not there.
    #[error("{} is missing: export the checkpoint again", path.display())]
    MissingGraph {
        /// The graph's file.
        path: PathBuf,
    },

    /// A top-K head was asked for, and the export has none.
    #[error(
        "{} holds no top-K head (head-top.onnx): export it anew with `conjoint export --head-top 64`, or \
         open it with another head",
        folder.display()
    )]
    NoTopKHead {
        /// The model's folder.
        folder: PathBuf,
    },

    /// A top-K head that does not answer what it was asked.
    #[error("{0}")]
    TopKArrays(#[source] conjoint_core::Error),

    /// ONNX Runtime refused to load a graph or to run it.
    #[error("{}: {source}", path.display())]
    Graph {
        /// The graph's file.
        path: PathBuf,
        /// ONNX Runtime's own reason.
        source: ort::Error,
    },

    /// A graph is not the one it should be.
    #[error("{}: expected {expected}, got {got}: export the checkpoint again", path.display())]
    GraphSignature {
        /// The graph's file.
        path: PathBuf,
        /// Inputs and outputs that it should have.
        expected: String,
        /// Inputs and outputs that it has.
        got: String,
    },

    /// A model folder without a sampler layer.
    #[error("{} has no sampler layer: export it with a sampler checkpoint", folder.display())]
    NoSampler {
        /// The model's folder.
        folder: PathBuf,
    },

    /// A sampler layer that belongs to another model.
    #[error(
        "the sampler layer in {} has {what} {got}, the model has {expected}: it was made for \
         another model",
        folder.display()
    )]
    SamplerMismatch {
        /// The sampler layer's folder.
        folder: PathBuf,
        /// Which size differs.
        what: &'static str,
        /// The sampler layer's.
        got: usize,
        /// The model's.
        expected: usize,
    },

    /// A batch without sequences.
    #[error("the batch is empty: give at least one sequence of at least one token")]
    EmptyBatch,

    /// A row was asked for that the batch does not have.
    #[error("sequence {sequence}, position {position}: there is no such row in the batch")]
    NoSuchRow {
        /// Index of the sequence in the batch.
        sequence: usize,
        /// The position in it.
        position: usize,
    },

    /// A token id outside the vocabulary.
    #[error("token id {token} is outside the vocabulary of {size} ids")]
    UnknownToken {
        /// The id.
        token: i64,
        /// The number of ids.
        size: usize,
    },

    /// An array does not have the shape that goes with the other arguments.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The array.
        what: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape that would fit.
        expected: Vec<usize>,
    },
}

impl Error {
    /// For `map_err`: attaches what was tried on which file.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<Error> for conjoint_core::Error {
    fn from(error: Error) -> Self {
        Self::model(error)
    }
}

/// Each item on a line of its own.
fn lines(items: &[String]) -> String {
    items.iter().map(|item| format!("  {item}\n")).collect()
}
