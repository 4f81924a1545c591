use thiserror::Error;

/// Why a corpus could not be set up, or a tagged text not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A corpus was asked for with no domain to draw from.
    #[error("a corpus needs at least one domain: name some of story, math, code, list")]
    NoDomain,
    /// A domain's name was not recognised.
    #[error("no domain is called {got:?}: use story, math, code or list")]
    UnknownDomain {
        /// The name given.
        got: String,
    },
    /// A text did not begin with a domain's tag.
    #[error("{got:?} begins with no tag: expected <story>, <math>, <code> or <list>")]
    NoTag {
        /// The text given.
        got: String,
    },
}
