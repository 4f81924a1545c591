//! The heart of `conjoint`: how tokens are unmasked, apart from any model runtime.
//!
//! A masked diffusion language model maps a partly masked sequence to one distribution per masked
//! position. Sampling is a loop around it, and each part of that loop is one role here:
//!
//! | role | trait or type | question it answers |
//! |---|---|---|
//! | [`canvas`] | [`Canvas`] | what is known so far, and what is still masked |
//! | [`denoiser`] | [`Denoiser`], [`SamplerLayer`] | what the model believes of the masked positions |
//! | [`beliefs`] | [`Beliefs`], [`RowStats`] | those distributions, row by row |
//! | [`condensed`] | [`Condensed`](condensed::Condensed), [`Rows`](condensed::Rows) | the same, of which only the top has been fetched |
//! | [`sweep`] | [`Backend`](sweep::Backend) | what is read off a row, on the CPU's vectors |
//! | [`filter`] | [`Filter`] | what may be drawn |
//! | [`order`] | [`Order`] | where to reveal |
//! | [`schedule`] | [`Schedule`] | how many to reveal |
//! | [`draw`] | [`Draw`], [`Stream`] | which token; all randomness |
//! | [`unmasker`] | [`Unmasker`] | one sequence's strategy, made of the above |
//! | [`generator`] | [`Generator`] | the loop: batches in lockstep, calls, results |
//! | [`autoregressive`] | [`Autoregressive`] | what a second model, reading left to right, says of a draft |
//! | [`span_decoder`] | [`SpanDecoder`](span_decoder::SpanDecoder) | how the tokens of a span go together, given what is believed of each |
//! | [`influence`] | [`Influence`](influence::Influence) | how strongly masked positions depend on each other |
//! | [`guidance`] | [`ClassifierFree`](guidance::ClassifierFree) | what the prompt changes, made stronger |
//! | [`presets`] | [`llada`](presets::llada) … | the settings of the published loops |
//! | [`observer`] | [`Observer`] | what a progress bar, a trace or a viewer is told |
//!
//! All entropies are in nats and all probabilities are those of a softmax over one row of logits.

pub mod autoregressive;
pub mod beliefs;
pub mod canvas;
pub mod condensed;
pub mod denoiser;
pub mod draw;
pub mod error;
pub mod filter;
pub mod generator;
pub mod guidance;
pub mod influence;
pub mod observer;
pub mod order;
pub mod presets;
pub mod schedule;
pub mod span_decoder;
pub mod sweep;
pub mod unmasker;
pub mod vocabulary;

pub use autoregressive::Autoregressive;
pub use beliefs::{Beliefs, RowId, RowStats};
pub use canvas::{Canvas, TokenId};
pub use denoiser::{Denoiser, SamplerLayer, State};
pub use draw::{Draw, SeededStream, Stream};
pub use error::Error;
pub use filter::Filter;
pub use generator::{Generator, Output};
pub use observer::Observer;
pub use order::Order;
pub use schedule::Schedule;
pub use unmasker::{Before, Next, Turn, Unmasker, View};
pub use vocabulary::Vocabulary;
