//! Parts of a sampler, written by somebody who knows only the public items of `conjoint`.
//!
//! KLASS, WINO and the learned joint sampler are built in as well: here they are written anew, from what their papers and
//! the documentation say. The tests of this crate compare both, token for token.

mod drafts;
mod joint;
mod klass;
mod outermost;
mod remembering;
mod wino;

pub use drafts::Drafts;
pub use joint::Joint;
pub use klass::{KlassRule, klass};
pub use outermost::Outermost;
pub use remembering::{Counts, Remembering};
pub use wino::{NarrowOut, WideIn, wino};
