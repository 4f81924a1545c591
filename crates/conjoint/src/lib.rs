//! Samples text from masked diffusion language models, several tokens per forward.
//!
//! A masked diffusion language model (Dream, LLaDA and others) reveals tokens in any order. One token per forward samples its
//! joint distribution, but slowly. Several independent draws per forward are fast, but ignore how the tokens depend on each
//! other. This library keeps the model frozen and adds a small *sampler layer* (arXiv 2509.22738): each further token of a
//! step costs at most one cheap pass of that layer. The library also has the published schedules, policies and revisers.
//!
//! ```no_run
//! use conjoint::prelude::*;
//!
//! conjoint::runtime::ensure()?; // finds ONNX Runtime, or fetches it
//! let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
//! let sampler = model.sampler_layer()?;
//! let tokenizer = Tokenizer::open("models/tiny")?;
//! let generator = Generator::new(model)
//!     .unmasker(LearnedJoint::new(sampler).order(Entropy)) // how tokens are drawn, and where first
//!     .schedule(TokensPerStep::new(4)?) // how many a step
//!     .filter(Temperature::new(1.0)?.then(TopP::new(0.95)?))
//!     .seed(7);
//! let output = generator.generate(&tokenizer.encode("<story>the old")?, 32)?;
//! println!("{} ({} forwards)", tokenizer.decode(&output.tokens)?, output.denoiser_calls);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! | to … | use |
//! |---|---|
//! | generate text | [`Generator`]; [`presets`] has published loops and strategies for a budget |
//! | choose how tokens are drawn | [`unmasker`], [`schedule`], [`policy`], [`reviser`], [`order`], [`filter`] |
//! | use a published strategy by one function | [`strategy`] |
//! | run a model of your own | [`Denoiser`], [`SamplerLayer`] |
//! | write a strategy of your own | [`Unmasker`], [`Policy`], [`Schedule`], [`Order`], [`Reviser`], [`Filter`] |
//! | stream, step or cancel a run | [`Run`], [`Event`], [`CancelToken`] |
//! | observe a run | [`Observer`], and the `trace` module for a page that replays it |
//!
//! `docs/strategies.md` lists all strategies with their laws, defaults and sources.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `onnx` | yes | `OnnxDenoiser`, `OnnxSamplerLayer` and `OnnxAutoregressive`, on ONNX Runtime |
//! | `cuda`, `tensorrt` | no | these execution providers |
//! | `text` | yes | `Tokenizer`, for the tokenizers of Hugging Face checkpoints |
//! | `chat` | yes | `ChatTemplate`, for the chat templates of Hugging Face checkpoints |
//! | `trace` | yes | the `trace` module: a page that replays a run |
//! | `export` | no | the `export` module: converts checkpoints to ONNX graphs |
//!
//! With `onnx` or `export`, the `format` module reads and checks the files of a model.
//!
//! # Crates
//!
//! | crate | for |
//! |---|---|
//! | `conjoint` | generating text: this crate |
//! | `conjoint-core` | strategies and traits, without ONNX Runtime or a tokenizer |
//! | `conjoint-onnx` | running models and sampler layers on ONNX Runtime |
//! | `conjoint-export` | converting checkpoints to ONNX graphs |
//! | `conjoint-format` | reading and checking the files of a model |
//! | `conjoint-lab` | strategies by name, comparisons and benchmarks |
//! | `conjoint-eval` | metrics of generated texts |
//! | `conjoint-testkit` | testing a strategy or a model of your own |
//! | `conjoint-train` | training base models and sampler layers |
//! | `conjoint-trajectory` | generated texts with the order of their reveals, in Parquet files |
//! | `conjoint-corpus` | generating synthetic texts, and checking texts by program |
//! | `conjoint-models` | the bundled tiny model and test fixtures |
//! | `conjoint-cli` | the `conjoint` command |

pub use conjoint_core::*;
/// The version of `ndarray` in public signatures. A model of your own makes its [`DenseRows`] from an array.
pub use ndarray;

#[cfg(feature = "export")]
pub use conjoint_export as export;
#[cfg(any(feature = "export", feature = "onnx"))]
pub use conjoint_format as format;
#[cfg(feature = "onnx")]
pub use conjoint_onnx::{
    Calls, Error as OnnxError, ExecutionProvider, HeadChoice, OnnxAutoregressive, OnnxDenoiser,
    OnnxOptions, OnnxSamplerLayer, RuntimeStats, available_memory, product_rate, runtime,
};
#[cfg(feature = "chat")]
pub use text::{ChatTemplate, Message};
#[cfg(feature = "text")]
pub use text::{StopText, TextError, Tokenizer};

#[cfg(feature = "text")]
mod text;
#[cfg(feature = "trace")]
pub mod trace;

/// The types of most programs, and those needed to implement the traits: `use conjoint::prelude::*`.
///
/// If two types share a name, the prelude has the more common one: [`Confidence`](crate::unmasker::Confidence) is the unmasker,
/// not the [order](crate::order::Confidence). [`Error`] is the crate's error type.
pub mod prelude {
    pub use crate::denoiser::{
        Answer, Changed, Denoiser, Form, Request, SamplerLayer, SequenceId, SequenceInput, Session,
        State,
    };
    pub use crate::draw::{Argmax, Categorical, Draw, SeededStream, Stream};
    pub use crate::filter::{Ban, Filter, FilterRow, MinP, Temperature, TopK, TopP};
    pub use crate::observer::{History, Observer, Reveal};
    pub use crate::order::{Entropy, LeftToRight, Margin, MaxProb, Order, Random};
    pub use crate::policy::{
        Demask, Dilated, Klass, LocalLeap, Origin, Policy, Ranked, Selection, SlowFast,
    };
    pub use crate::reviser::{Rcr, Reviser, Revision, Wino};
    pub use crate::schedule::{
        Cosine, DreamLinear, EntropyBound, Factor, Linear, LladaEven, Progress, Ranking, Schedule,
        Threshold, TokensPerStep,
    };
    pub use crate::top_k_rows::Rows;
    pub use crate::unmasker::{
        Branch, Confidence, Control, Drawn, ExactSequential, LearnedJoint, Marginal, Next, Score,
        Unmasker, VerifiedJoint, View,
    };
    pub use crate::{
        CancelToken, Canvas, DenseRows, Error, Event, FinishReason, Generator, Observation, Output,
        Query, Row, RowId, Run, StepRequest, TokenId, Vocabulary, presets, strategy,
    };
    #[cfg(feature = "onnx")]
    pub use crate::{ExecutionProvider, OnnxDenoiser, OnnxSamplerLayer};
    #[cfg(feature = "text")]
    pub use crate::{StopText, TextError, Tokenizer};
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
