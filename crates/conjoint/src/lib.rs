//! Sample several tokens per forward from a masked diffusion language model's joint distribution.
//!
//! A masked diffusion language model (Dream, LLaDA and their kin) unmasks tokens out of order. One
//! token per full forward samples its joint distribution, but slowly; several at once is fast and
//! wrong, because they are drawn independently. This library keeps the model frozen and puts a
//! one-layer *sampler* on top (arXiv 2509.22738): one full forward, then several cheap sampler
//! passes, several tokens.
//!
//! ```no_run
//! use conjoint::prelude::*;
//!
//! conjoint::runtime::ensure()?; // finds ONNX Runtime, or fetches it
//! let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
//! let sampler = model.sampler_layer()?; // the learned joint sampler
//! let tokenizer = Tokenizer::open("models/tiny")?;
//! let generator = Generator::new(model)
//!     .unmasker(LearnedJoint::new(sampler).order(Entropy)) // how tokens are revealed in a step
//!     .schedule(TokensPerStep::new(4)?) // how many
//!     .filter(Temperature::new(1.0)?.then(TopP::new(0.95)?)) // from what
//!     .seed(7);
//! let out = generator.generate(&tokenizer.encode("<story>the old")?, 32)?;
//! println!("{} ({} forwards)", tokenizer.decode(&out.tokens)?, out.denoiser_calls);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `onnx` | yes | `OnnxDenoiser`, `OnnxSamplerLayer` and `OnnxAutoregressive`, on ONNX Runtime |
//! | `cuda`, `tensorrt` | no | those execution providers |
//! | `text` | yes | `Tokenizer`, for the tokenizers of Hugging Face checkpoints |
//! | `chat` | yes | `ChatTemplate`, for their chat templates |
//! | `trace` | yes | the `trace` module: a page that replays a run |
//! | `export` | no | the `export` module: checkpoints to ONNX graphs |

pub use conjoint_core::*;
/// Arrays of this version stand in the interface: a model of one's own builds its [`DenseRows`] from one.
pub use ndarray;

#[cfg(feature = "export")]
pub use conjoint_export as export;
#[cfg(feature = "onnx")]
pub use conjoint_onnx::{
    Calls, Error as OnnxError, ExecutionProvider, HeadChoice, OnnxAutoregressive, OnnxDenoiser,
    OnnxOptions, OnnxSamplerLayer, RuntimeStats, available_memory, runtime,
};
#[cfg(feature = "chat")]
pub use text::{ChatTemplate, Message};
#[cfg(feature = "text")]
pub use text::{StopText, TextError, Tokenizer};

#[cfg(feature = "text")]
mod text;
#[cfg(feature = "trace")]
pub mod trace;

/// What most programs need, and what implementing the traits needs, for `use conjoint::prelude::*`.
///
/// Of types that share a name the more common one is here:
/// [`Confidence`](crate::unmasker::Confidence) is the unmasker, not the [order](crate::order::Confidence).
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
