//! Parts of a model that have both a fused operator and a composition of simpler ones, and the operators of an
//! encoder.

mod attention;
mod functions;
mod rotary;
mod set;

pub(crate) use attention::{Reach, SlotPositions};
pub(crate) use rotary::{Rope, Rotation};
pub(crate) use set::OperatorSet;
