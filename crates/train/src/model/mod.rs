//! The networks: the Dream architecture, the sampler layer, and the parts of a frozen model that training needs.

pub mod checkpoint;
mod config;
mod decoder;
mod dream;
mod head;
mod init;
#[cfg(test)]
mod reference;
mod row_passes;
mod sampler;
mod tables;
mod tensors;
#[cfg(test)]
pub(crate) mod testing;

pub use config::DreamConfig;
pub(crate) use decoder::UNSEEN;
pub use decoder::{Attention, DecoderLayer, KeysValues, Mlp, Rotary};
pub use dream::{DreamModule, shift};
pub use head::Head;
pub use init::init;
pub use row_passes::{RowPasses, Slots};
pub use sampler::SamplerModule;
pub(crate) use tables::Tables;
pub use tensors::Precision;
#[cfg(test)]
pub(crate) use tensors::{Stored, export};
