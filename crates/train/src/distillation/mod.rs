//! Distillation of the sampler layer: it learns to match the frozen model along trajectories.
//!
//! | file | content |
//! |---|---|
//! | `options` | [`SamplerOptions`] |
//! | `train` | [`train_sampler`]: checks, first weights, the run |
//! | `objective` | the loss of a step and the validation |
//! | `draw`, `states` | the chains of canvases that a step compares |
//! | `chain`, `frozen`, `candidates` | a chain, and the frozen model's distributions along it |
//! | `unroll`, `loss`, `divergence` | the layer's passes, and how far they are from the frozen model |
//! | `figures` | the validated figures, by depth |
//! | `teachers` | the frozen model as a [`Teacher`], and its caches |

mod blocks;
mod candidates;
mod chain;
mod divergence;
mod draw;
mod figures;
mod frozen;
mod lengths;
mod loss;
mod objective;
mod options;
mod states;
mod teachers;
#[cfg(test)]
mod testing;
mod train;
mod unroll;

pub use divergence::Divergence;
pub use loss::{Comparison, loss};
pub use options::{SamplerOptions, favour_shallow};
pub use teachers::{CachedTeacher, InMemory, OnnxTeacher, Teacher};
pub use train::{train_sampler, train_sampler_from_checkpoint};
pub use unroll::{Pass, Start, Target};
