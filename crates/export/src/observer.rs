//! What a long export is doing.

/// Receives what an export does that takes long. Every method does nothing by default; `()` is one that ignores it all.
///
/// Most exports do nothing of the kind: graphs point into the checkpoint's own files.
pub trait ExportObserver {
    /// Weights of so many bytes are about to be copied, because the file system cannot link them into the output folder.
    fn on_copy(&mut self, _bytes: u64) {}

    /// Weights of so many bytes are about to be quantised.
    fn on_quantise(&mut self, _bytes: u64) {}

    /// So many bytes more have been read.
    fn on_read(&mut self, _bytes: u64) {}
}

impl ExportObserver for () {}
