//! Decoding strategies for masked diffusion language models, without a model runtime.
//!
//! A masked diffusion language model, such as LLaDA or Dream, maps a partly masked sequence to one
//! distribution for each masked position. Decoding is a loop around it: run the model, choose positions, draw
//! their tokens, repeat. This crate is that loop, with each decision behind a trait.
//!
//! # Should I use this crate?
//!
//! Use [`conjoint`](https://docs.rs/conjoint) to decode with exported checkpoints. It re-exports everything
//! here and adds ONNX Runtime, tokenizers and chat templates.
//!
//! Use `conjoint-core` alone if your model runs somewhere else (implement [`Denoiser`]), or if you publish a
//! strategy, a filter or a schedule of your own and need no runtime for it.
//!
//! # Example
//!
//! This model has three tokens and a mask id, and predicts the same distribution at every position. The
//! generator reveals two tokens in each step:
//!
//! ```
//! use conjoint_core::denoiser::{Answer, Request};
//! use conjoint_core::filter::TopP;
//! use conjoint_core::schedule::TokensPerStep;
//! use conjoint_core::unmasker::Marginal;
//! use conjoint_core::{Denoiser, DenseRows, Error, Generator, State, Vocabulary};
//! use ndarray::Array2;
//!
//! struct Unigram(Vocabulary);
//!
//! impl Denoiser for Unigram {
//!     fn vocabulary(&self) -> &Vocabulary {
//!         &self.0
//!     }
//!
//!     fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
//!         let logits = Array2::from_shape_fn((request.rows.len(), 4), |(_, token)| token as f32);
//!         Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
//!     }
//! }
//!
//! let model = Unigram(Vocabulary::new(4, 3)?); // 4 ids; the mask id is 3
//! let generator = Generator::new(model)
//!     .unmasker(Marginal::default())
//!     .schedule(TokensPerStep::new(2)?)
//!     .filter(TopP::new(0.9)?)
//!     .seed(7);
//! let output = generator.generate(&[0, 1], 6)?;
//! assert_eq!((output.tokens.len(), output.steps), (8, 3));
//! # Ok::<(), Error>(())
//! ```
//!
//! The [`presets`] configure published loops in one call. The glossary in the repository's `docs/glossary.md`
//! maps the terms of papers to the items of this crate, and the search box of these pages finds them too.
//!
//! # Roles
//!
//! | module | trait or type | what it decides or holds |
//! |---|---|---|
//! | [`canvas`] | [`Canvas`] | one sequence: known tokens, masked positions, the current block |
//! | [`denoiser`] | [`Denoiser`], [`Session`](denoiser::Session), [`SamplerLayer`] | the model: logits of the masked positions |
//! | [`cache`] | [`CachePolicy`](cache::CachePolicy) | which positions a model with a key-value cache computes again |
//! | [`policy`] | [`Policy`] | which positions to reveal in a step |
//! | [`order`] | [`Order`] | which position is revealed first |
//! | [`schedule`] | [`Schedule`] | how many tokens a step reveals |
//! | [`unmasker`] | [`Unmasker`] | which tokens these positions get |
//! | [`reviser`] | [`Reviser`] | which revealed tokens are remasked or replaced |
//! | [`strategy`] | [`Strategy`](strategy::Strategy) | an unmasker, a policy and a reviser together; published strategies by name |
//! | [`filter`] | [`Filter`] | which tokens may be drawn: temperature, top-p, bans, penalties |
//! | [`draw`] | [`Draw`], [`Stream`] | how a token is drawn; all randomness |
//! | [`stop`] | [`Stop`] | where a sequence ends before its last position |
//! | [`generator`] | [`Generator`], [`Run`] | the loop over a batch, step by step |
//! | [`observation`] | [`Observation`], [`StepRequest`] | what a strategy reads in a step, and what it requests before the forward |
//! | [`observer`] | [`Observer`] | events for a progress bar, a trace or a viewer |
//! | [`dense_rows`] | [`DenseRows`], [`RowStats`] | the model's logits, row by row |
//! | [`top_k_rows`] | [`TopKRows`](top_k_rows::TopKRows), [`Rows`](top_k_rows::Rows) | the K most probable tokens of each row; whole rows on demand |
//! | [`row_kernels`] | [`Backend`](row_kernels::Backend) | vectorised statistics of a row |
//! | [`autoregressive`] | [`Autoregressive`] | a second model that scores drafts from left to right |
//! | [`span_decoder`] | [`SpanDecoder`](span_decoder::SpanDecoder) | a small model that decodes a span from the marginals |
//! | [`influence`] | [`Influence`](influence::Influence) | how strongly masked positions depend on each other |
//! | [`guidance`] | [`ClassifierFree`](guidance::ClassifierFree) | classifier-free guidance |
//! | [`presets`] | [`llada`](presets::llada), [`dream`](presets::dream) … | the settings of published loops |
//! | [`range`] | [`probability`](range::probability) … | checks of numeric parameters |
//!
//! Entropies are in nats. Probabilities are those of a softmax over one row of logits. Names in square
//! brackets, such as \[N, V\], are shapes: N rows, V the size of the vocabulary, T the length of a sequence,
//! D the width of hidden states.
//!
//! # Features
//!
//! This crate has no Cargo features.
//!
//! Its only `unsafe` code is in [`row_kernels`]: calls of functions that are compiled for AVX2 and AVX-512.

pub mod autoregressive;
mod blocks;
pub mod cache;
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
pub mod range;
pub mod reviser;
pub mod row_kernels;
pub mod schedule;
pub mod span_decoder;
pub mod stop;
pub mod strategy;
mod token;
pub mod top_k_rows;
pub mod unmasker;
pub mod vocabulary;

/// Arrays of this version are part of the interface: a model builds its [`DenseRows`] from one.
pub use ndarray;

pub use autoregressive::Autoregressive;
pub use canvas::Canvas;
pub use denoiser::{Denoiser, SamplerLayer, State};
pub use dense_rows::{DenseRows, RowId};
pub use draw::{Draw, SeededStream, Stream};
pub use error::Error;
pub use filter::Filter;
pub use generator::{CancelToken, Event, FinishReason, Generator, Output, Run};
pub use observation::{Branch, Observation, Query, Row, StepRequest};
pub use observer::Observer;
pub use order::Order;
pub use policy::Policy;
pub use reviser::Reviser;
pub use row_kernels::RowStats;
pub use schedule::Schedule;
pub use stop::Stop;
pub use token::TokenId;
pub use unmasker::{Next, Unmasker, View};
pub use vocabulary::Vocabulary;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
