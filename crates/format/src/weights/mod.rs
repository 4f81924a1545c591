//! The tensors of a model by their role. All shapes and types have been checked.

mod base;
mod decoder;
mod embedding;
mod encoder;
mod head;
mod linear;
mod sampler;
mod sampler_names;

pub use base::{BaseWeights, BodyWeights};
pub use decoder::DecoderLayer;
pub(crate) use decoder::OptionalTensors;
pub use embedding::Embedding;
pub use encoder::{EncoderLayer, EncoderWeights, Ffn, Norm, Transform};
pub use head::Head;
pub use linear::Linear;
pub(crate) use linear::weight;
pub use sampler::SamplerWeights;
pub use sampler_names::find_sampler;
pub(crate) use sampler_names::is_sampler_mark;
