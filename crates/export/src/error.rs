//! Errors of exporting.

use std::path::PathBuf;

use conjoint_format::{FormatError, Quantisation};

/// An error of exporting a checkpoint.
///
/// Every variant names the file, what was found there and what was expected. All checks run before any file
/// gets its final name. A failed export therefore leaves the folder unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The checkpoint, or an earlier export, is invalid or unsupported.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// The operating system could not write a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted operation, as a verb: "create", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },

    /// The K of a top-K head is below 2.
    #[error("head top = {got} is out of range: expected at least 2 tokens of each row")]
    HeadTop {
        /// The given K.
        got: usize,
    },

    /// The output folder is read-only.
    #[error(
        "{} cannot be written to ({source}): export to another folder, given as `out`",
        path.display()
    )]
    ReadOnly {
        /// The folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },

    /// A `pytorch_model.bin` is damaged, or holds objects that cannot be converted.
    #[error(
        "{}: cannot be read as weights that PyTorch saved: {reason}. If `torch.load(…, weights_only=True)` reads it, save it as \
         model.safetensors from there",
        path.display()
    )]
    #[doc(alias = "pytorch_model.bin")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A weight is NaN or infinite, and cannot be quantised.
    #[error("{}: tensor {name} holds NaN or infinity, and cannot be quantised", path.display())]
    NotFinite {
        /// The `.safetensors` file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },

    /// Quantised weights and portable operators exclude each other.
    #[error(
        "quantised weights require ONNX Runtime's own operators, which portable graphs do not use: give one of the two"
    )]
    QuantisedPortable,

    /// The checkpoint's folder holds a quantised export without the weights that it was made from.
    #[error(
        "{} holds a quantised export ({quantised}) and no checkpoint: export the checkpoint that it was made from",
        path.display()
    )]
    QuantisedCheckpoint {
        /// The folder.
        path: PathBuf,
        /// How the export is quantised.
        quantised: Quantisation,
    },

    /// The output folder's file system has too little free space.
    #[error(
        "{}: {:.1} GB are to be written, and {:.1} GB are free: make room, or choose another folder",
        path.display(), *needed as f64 / 1e9, *free as f64 / 1e9
    )]
    NoSpace {
        /// The output folder.
        path: PathBuf,
        /// Bytes to be written.
        needed: u64,
        /// Free bytes.
        free: u64,
    },

    /// The output folder holds another file under a name that the export needs.
    ///
    /// No earlier export wrote the file, or it has changed since.
    #[error(
        "{} exists, is not the checkpoint's, and is not as an earlier export left it: remove it or choose another folder",
        path.display()
    )]
    Conflict {
        /// The existing file.
        path: PathBuf,
    },

    /// Weights are symbolic links that lead out of the folder, and cannot be hard-linked into it.
    ///
    /// ONNX Runtime rejects external data outside the model's folder.
    #[error(
        "{} leads out of its folder and cannot be hard-linked into it ({source}): export to \
         another folder, given as `out`: the weights are then copied where linking fails",
        path.display()
    )]
    #[doc(alias("symlink", "hard link"))]
    Unlinkable {
        /// The symbolic link.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl ExportError {
    /// For `map_err`: attaches the operation and the file.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
