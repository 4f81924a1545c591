//! Parts of a model that have both a fused operator and a composition of simpler ones, and the operators of an
//! encoder.

mod attention;
mod functions;
mod rotary;
mod set;

pub(crate) use attention::{AXIS_0, Frame, MASKED_SCORE};
pub(crate) use rotary::{Rope, RowPositions, range};
pub(crate) use set::OperatorSet;
