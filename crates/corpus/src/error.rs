use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The list of domains is empty.
    #[error("a corpus needs at least one domain of story, math, code and list")]
    NoDomain,
    /// A name is not that of a domain.
    #[error("unknown domain {got:?}: expected story, math, code or list")]
    UnknownDomain {
        /// The given name.
        got: String,
    },
    /// A text does not begin with a domain's tag.
    #[error("{got:?} does not begin with a tag: expected <story>, <math>, <code> or <list>")]
    NoTag {
        /// The given text.
        got: String,
    },
}
