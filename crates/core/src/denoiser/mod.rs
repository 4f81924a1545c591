//! The interface to the model and to the sampler layer on top of it.
//!
//! A model answers [`Request`]s: a batch of canvases, and the rows to compute. A model without state between
//! requests implements [`Denoiser::forward`] only. A model with a key-value cache, or other state, also opens
//! a [`Session`] for each run. The session recognises its sequences by their [`SequenceId`].

use std::any::Any;
use std::sync::Arc;

use crate::{Canvas, DenseRows, Error, RowId, Vocabulary};

mod request;
mod session;

pub use request::{Answer, Changed, Form, Request, SequenceId, SequenceInput};
pub use session::Session;

/// The state that a denoiser passes to its sampler layer: the hidden states of a batch.
///
/// The loop does not look inside, so hidden states can stay on a device.
pub struct State(Box<dyn Any + Send>);

impl State {
    /// Wraps a denoiser's own state.
    pub fn new<T: Any + Send>(state: T) -> Self {
        Self(Box::new(state))
    }

    /// Returns the state as the sampler layer's own type.
    ///
    /// # Errors
    /// [`Error::ForeignState`] if another kind of denoiser made it.
    pub fn downcast_mut<T: Any>(&mut self) -> Result<&mut T, Error> {
        self.0.downcast_mut().ok_or(Error::ForeignState { expected: std::any::type_name::<T>() })
    }
}

/// A frozen masked diffusion language model.
///
/// Maps a batch of partly masked sequences to one distribution for each requested position. It also returns
/// the hidden states from which a [`SamplerLayer`] continues.
#[doc(alias = "masked diffusion language model")]
#[doc(alias = "MDLM")]
#[doc(alias = "dLLM")]
#[doc(alias = "discrete diffusion")]
#[doc(alias = "mask predictor")]
pub trait Denoiser: Send + Sync {
    /// The model's vocabulary and special ids.
    fn vocabulary(&self) -> &Vocabulary;

    /// The longest sequence that the model accepts, if it has a limit.
    fn max_length(&self) -> Option<usize> {
        None
    }

    /// B, the length of the model's attention blocks, if its attention is block-causal. By default `None`: every
    /// position attends to all others.
    ///
    /// Blocks of B positions count from position 0 of a sequence. A position attends to all positions of its own
    /// block and of earlier blocks. A generator decodes such a model block by block, see
    /// [`Generator::block_length`](crate::Generator::block_length).
    #[doc(alias = "block_size")]
    #[doc(alias = "bd_size")]
    fn attention_block(&self) -> Option<usize> {
        None
    }

    /// The number of full forwards of the network that a call of [`forward`](Self::forward) runs for each canvas.
    /// By default 1; 2 under classifier-free guidance. [`Output::denoiser_calls`](crate::Output::denoiser_calls)
    /// counts with it.
    fn passes(&self) -> usize {
        1
    }

    /// Runs one full forward of the batch. The canvases may differ in length.
    ///
    /// The result depends on the request only. Each row must equal the row of its sequence run alone.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime fails, [`Error::NoHiddenStates`] if hidden states are requested and
    /// the model does not return them.
    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error>;

    /// Opens a session for one run, if the model keeps state between requests. By default `None`: the run
    /// then calls [`forward`](Self::forward) for each step.
    ///
    /// # Errors
    /// [`Error::Model`] if the session cannot be opened.
    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        Ok(None)
    }

    /// Returns dense logits [N, V] of the `rows` of a batch, and the state for a sampler layer.
    ///
    /// This is [`forward`](Self::forward) for callers outside of a run.
    ///
    /// # Errors
    /// Those of [`forward`](Self::forward).
    fn denoise(&self, batch: &[&Canvas], rows: &[RowId]) -> Result<(DenseRows, State), Error> {
        let inputs = SequenceInput::stateless_batch(batch);
        let answer = self.forward(&Request::new(&inputs, rows))?;
        Ok((answer.rows.into_dense()?, answer.state))
    }
}

/// A small layer that updates the hidden states after tokens were revealed, without a full forward.
///
/// The published one (arXiv 2509.22738) has one transformer layer and shares the model's output layer.
#[doc(alias = "drafter")]
#[doc(alias = "draft head")]
#[doc(alias = "joint sampler")]
pub trait SamplerLayer: Send + Sync {
    /// Runs the layer once.
    ///
    /// The request has the canvases of the last forward, in the same order, with the tokens revealed since.
    /// Only sequences with a row in the request take part: their state advances, and the state of the others
    /// does not change.
    ///
    /// # Errors
    /// [`Error::ForeignState`] or [`Error::Model`].
    fn pass(
        &self,
        state: &mut State,
        request: &Request<'_>,
    ) -> Result<crate::top_k_rows::Rows, Error>;

    /// Returns dense logits [N, V] of the `rows` of a batch: [`pass`](Self::pass) for callers outside of a
    /// run.
    ///
    /// # Errors
    /// Those of [`pass`](Self::pass).
    fn refine(
        &self,
        state: &mut State,
        batch: &[&Canvas],
        rows: &[RowId],
    ) -> Result<DenseRows, Error> {
        self.pass(state, &Request::new(&SequenceInput::stateless_batch(batch), rows))?.into_dense()
    }
}

impl<D: Denoiser + ?Sized> Denoiser for Arc<D> {
    fn vocabulary(&self) -> &Vocabulary {
        (**self).vocabulary()
    }

    fn max_length(&self) -> Option<usize> {
        (**self).max_length()
    }

    fn attention_block(&self) -> Option<usize> {
        (**self).attention_block()
    }

    fn passes(&self) -> usize {
        (**self).passes()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        (**self).forward(request)
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        Arc::clone(&*self).open_session()
    }
}

impl<S: SamplerLayer + ?Sized> SamplerLayer for Arc<S> {
    fn pass(
        &self,
        state: &mut State,
        request: &Request<'_>,
    ) -> Result<crate::top_k_rows::Rows, Error> {
        (**self).pass(state, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_state_is_an_error() {
        let mut state = State::new(7_u8);
        assert_eq!(*state.downcast_mut::<u8>().unwrap(), 7);
        let error = state.downcast_mut::<String>().unwrap_err();
        assert!(error.to_string().contains("String"), "{error}");
    }
}
