//! Sources of trajectories: sampled by the frozen model or by a sampler layer, or read along given texts.

mod blocks;
mod record;
mod sampled;
mod source;
mod texts;

pub use sampled::Sampled;
pub use source::Source;
pub use texts::{GivenText, Texts};
