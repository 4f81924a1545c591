//! Laws of the revisers, one module each, named as in `src/reviser`.

#[path = "../common/mod.rs"]
mod common;

mod edit;
mod hierarchical;
mod rcr;
mod saber;
mod wino;
