//! Progress of a long export.

/// Receives the progress of an export's long operations. Every method does nothing by default, and `()` ignores
/// them all.
///
/// Most exports have no long operations, because their graphs point into the checkpoint's own files.
#[doc(alias = "progress")]
pub trait ExportObserver {
    /// Called before weights of `bytes` bytes are copied, because the file system cannot link them into the
    /// output folder.
    fn on_copy(&mut self, _bytes: u64) {}

    /// Called before weights of `bytes` bytes are quantised.
    fn on_quantise(&mut self, _bytes: u64) {}

    /// Called after another `bytes` bytes have been read.
    fn on_read(&mut self, _bytes: u64) {}
}

impl ExportObserver for () {}
