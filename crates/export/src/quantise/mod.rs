//! Weights in 8 or 4 bits, in files of their own.
//!
//! | form | codes | scale | product |
//! |---|---|---|---|
//! | 8 bits | −127 to 127 | one for each row of the matrix | of integers: activations get 8 bits too, with one scale for each row |
//! | 4 bits | −8 to 7 | one for each block of 128 weights of a row | the runtime's kernel for blocks, activations in 8 bits |
//!
//! Tables, which are the embedding and the output layer, have 8 bits in both forms.

mod codes;
mod plan;
mod store;

pub(crate) use codes::BLOCK;
pub(crate) use plan::Plan;
pub(crate) use store::QuantisedStore;
