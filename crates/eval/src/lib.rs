//! How good generated texts are, what they cost, and how sure one can be of it.
//!
//! | question | instrument |
//! |---|---|
//! | how near is a set of texts to the model's own? | [`Mauve`] on the features of a [`Featuriser`] |
//! | how likely are texts? | [`nll`] under [`OwnPath`], the model's one-at-a-time path, under any other model by [`LeftToRight`], or any [`Scorer`] |
//! | what would a second, autoregressive model say? | [`NGram`], where there is no better one |
//! | do two tokens go together as they should? | [`CoOccurrence`] |
//! | how far is a law from the true joint? | [`divergence`], where the joint can be written down |
//! | what share of texts is right? | [`Validity`], [`Share`] |
//! | how different are the texts from each other? | [`distinct`], [`word_entropy`] |
//! | how accurate for how much work? | [`Cost`], [`Report::front`], [`Aup`] |
//! | how much of the damage does a strategy repair? | [`gap_closed`], [`Report::gaps`] |
//! | how sure is a figure? | [`Bootstrap`], [`Measured`] |
//! | what came out? | [`Point`], [`Report`], [`Plot`], kept in a [`Collection`] |
//!
//! Every figure is a [`Measured`]: a value with a 95 % interval, the number of texts and a seed.

mod aup;
mod bootstrap;
mod cooccurrence;
mod cost;
pub mod divergence;
mod diversity;
mod error;
mod featurise;
mod gap;
mod left_to_right;
mod likelihood;
mod mauve;
mod measured;
mod ngram;
mod plot;
mod report;
mod run;
mod share;
mod summary;
mod surprise;
mod validity;

pub use aup::Aup;
pub use bootstrap::{Bootstrap, Resampler};
pub use cooccurrence::CoOccurrence;
pub use cost::Cost;
pub use diversity::{distinct, word_entropy};
pub use error::Error;
pub use featurise::{Featuriser, Named};
pub use gap::gap_closed;
pub use left_to_right::LeftToRight;
pub use likelihood::{OwnPath, Sample, Scorer, nll};
pub use mauve::{Mauve, MauveScore};
pub use measured::Measured;
pub use ngram::NGram;
pub use plot::{Axis, Plot};
pub use report::{Point, Report};
pub use run::{Collection, Key, Settings};
pub use share::Share;
pub use summary::{Better, Gap};
pub use surprise::Surprise;
pub use validity::Validity;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
