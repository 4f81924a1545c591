//! The heart of `conjoint`: how tokens are unmasked, apart from any model runtime.
//!
//! A masked diffusion language model maps a partly masked sequence to one distribution per masked
//! position. Sampling is a loop around it, and each part of that loop is one role here:
//!
//! | role | trait or type | question it answers |
//! |---|---|---|
//! | [`canvas`] | [`Canvas`] | what is known so far, and what is still masked |
//! | [`denoiser`] | [`Denoiser`], [`Session`](denoiser::Session), [`SamplerLayer`] | what the model says of the masked positions |
//! | [`policy`] | [`Policy`] | where to reveal, and how many positions in a step |
//! | [`unmasker`] | [`Unmasker`] | how these positions get their tokens |
//! | [`reviser`] | [`Reviser`] | what is taken back |
//! | [`strategy`] | [`Strategy`](strategy::Strategy) | the three together, and the published ones by name |
//! | [`order`] | [`Order`] | which position comes first |
//! | [`schedule`] | [`Schedule`] | how many tokens a step reveals |
//! | [`filter`] | [`Filter`] | what may be drawn |
//! | [`draw`] | [`Draw`], [`Stream`] | which token; all randomness |
//! | [`stop`] | [`Stop`] | where a sequence ends before its last position |
//! | [`generator`] | [`Generator`], [`Run`] | the loop: batches in lockstep, step by step |
//! | [`observation`] | [`Observation`], [`StepRequest`] | what is seen of a step, and asked before it |
//! | [`observer`] | [`Observer`] | what is reported to a progress bar, a trace or a viewer |
//! | [`dense_rows`] | [`DenseRows`], [`RowStats`] | the model's distributions, row by row |
//! | [`top_k_rows`] | [`TopKRows`](top_k_rows::TopKRows), [`Rows`](top_k_rows::Rows) | the same, of which only the top has been fetched |
//! | [`row_kernels`] | [`Backend`](row_kernels::Backend) | statistics of a row, on the CPU's vectors |
//! | [`autoregressive`] | [`Autoregressive`] | how a second model, reading left to right, scores a draft |
//! | [`span_decoder`] | [`SpanDecoder`](span_decoder::SpanDecoder) | how the tokens of a span go together, given the rows |
//! | [`influence`] | [`Influence`](influence::Influence) | how strongly masked positions depend on each other |
//! | [`guidance`] | [`ClassifierFree`](guidance::ClassifierFree) | classifier-free guidance |
//! | [`presets`] | [`llada`](presets::llada) … | the settings of the published loops |
//!
//! All entropies are in nats and all probabilities are those of a softmax over one row of logits.

pub mod autoregressive;
pub mod canvas;
pub mod denoiser;
pub mod dense_rows;
pub mod draw;
pub mod error;
pub mod filter;
pub mod generator;
pub mod guidance;
pub mod influence;
mod name;
pub mod observation;
pub mod observer;
pub mod order;
pub mod policy;
pub mod presets;
pub mod reviser;
pub mod row_kernels;
pub mod schedule;
pub mod span_decoder;
pub mod stop;
pub mod strategy;
pub mod top_k_rows;
pub mod unmasker;
pub mod vocabulary;

/// Arrays of this version are part of the interface: a model builds its [`DenseRows`] from one.
pub use ndarray;

pub use autoregressive::Autoregressive;
pub use canvas::{Canvas, TokenId};
pub use denoiser::{Denoiser, SamplerLayer, State};
pub use dense_rows::{DenseRows, RowId, RowStats};
pub use draw::{Draw, SeededStream, Stream};
pub use error::Error;
pub use filter::Filter;
pub use generator::{CancelToken, Event, FinishReason, Generator, Output, Run};
pub use observation::{Branch, Observation, Query, Row, StepRequest};
pub use observer::Observer;
pub use order::Order;
pub use policy::Policy;
pub use reviser::Reviser;
pub use schedule::Schedule;
pub use stop::Stop;
pub use unmasker::{Next, Unmasker, View};
pub use vocabulary::Vocabulary;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
