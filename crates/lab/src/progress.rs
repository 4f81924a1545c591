//! Progress of comparisons and benchmarks.

use conjoint::prelude::*;

/// Shows progress, such as with a progress bar. `()` shows nothing.
pub trait Progress {
    /// Starts the generation of texts that reveal this many tokens. The observer observes the run, and is dropped when it
    /// ends.
    fn generating(&self, what: &str, tokens: u64) -> Box<dyn Observer + '_> {
        let _ = (what, tokens);
        Box::new(())
    }

    /// Starts work of unknown length. The observer is dropped when it ends.
    fn working(&self, what: &str) -> Box<dyn Observer + '_> {
        let _ = what;
        Box::new(())
    }

    /// Shows a note about the result: a sentence or two.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

impl Progress for () {}

/// The number of tokens to reveal on these canvases.
pub(crate) fn masked(canvases: &[Canvas]) -> u64 {
    canvases.iter().map(|canvas| canvas.masked().count() as u64).sum()
}
