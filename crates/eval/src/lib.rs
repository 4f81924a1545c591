//! How good generated texts are, and how sure one can be of it.
//!
//! [`Validity`] runs the corpus' own checks over texts; [`Share`] is a proportion with its
//! confidence interval.

mod share;
mod validity;

pub use share::Share;
pub use validity::Validity;
