//! Evaluation of generated texts: quality, cost, and confidence intervals.
//!
//! | question | item |
//! |---|---|
//! | How close is a set of texts to the model's own texts? | [`Mauve`] on the features of a [`Featuriser`] |
//! | How likely are texts? | [`nll`] under [`OwnPath`] (the model's one-at-a-time path), [`LeftToRight`] (an autoregressive model), or any [`Scorer`] |
//! | Which scorer needs no neural model? | [`NGram`], an autoregressive n-gram model |
//! | Do pairs of tokens occur together as often as they should? | [`CoOccurrence`] |
//! | How far is a distribution over sequences from the true joint? | [`divergence`], for joints that can be enumerated |
//! | What share of texts is right? | [`Validity`], [`Share`] |
//! | How diverse are the texts? | [`distinct`], [`word_entropy`] |
//! | What accuracy does a strategy reach at what cost? | [`Cost`], [`Report::front`], [`Aup`] |
//! | What share of the gap between independent and exact sampling does a strategy close? | [`gap_closed`], [`Report::gaps`] |
//! | How uncertain is a figure? | [`Bootstrap`], [`Measured`] |
//! | How are results stored and shown? | [`Point`], [`Report`], [`Plot`], [`Collection`] |
//!
//! Sampled figures are [`Measured`]: a value with a 95 % interval, the number of texts and a seed.

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
mod markdown;
mod mauve;
mod measured;
mod ngram;
mod plot;
mod report;
mod run;
mod seeds;
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
