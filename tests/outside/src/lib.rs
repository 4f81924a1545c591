//! Parts of a sampler, written outside the workspace with public items of `conjoint` only.
//!
//! KLASS, WINO and the learned joint sampler are also built in. This crate implements them again from their
//! papers and the documentation. Its tests compare both implementations token for token.

mod cached_model;
mod drafts;
mod joint;
mod klass;
mod outermost;
mod wino;

pub use cached_model::{CachedModel, Counts};
pub use drafts::Drafts;
pub use joint::Joint;
pub use klass::{KlassRule, klass};
pub use outermost::Outermost;
pub use wino::{NarrowOut, WideIn, wino};
