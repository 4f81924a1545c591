//! How a program learns what a comparison or a benchmark is busy with.

use conjoint::prelude::*;

/// Shows work under way, such as by a progress bar. `()` shows nothing.
pub trait Progress {
    /// Texts are being generated, in which this many tokens are to be revealed. The observer sees the run, and is dropped
    /// when it ends.
    fn generating(&self, what: &str, tokens: u64) -> Box<dyn Observer + '_> {
        let _ = (what, tokens);
        Box::new(())
    }

    /// Work of unknown length is under way, until the answer is dropped.
    fn working(&self, what: &str) -> Box<dyn Observer + '_> {
        let _ = what;
        Box::new(())
    }

    /// Something that whoever reads the result should know: a sentence or two.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

impl Progress for () {}

/// The tokens to reveal on these canvases.
pub(crate) fn masked(canvases: &[Canvas]) -> u64 {
    canvases.iter().map(|canvas| canvas.masked().count() as u64).sum()
}
