//! The frozen model and the sampler layer on top of it.
//!
//! A model answers [`Request`]s: a batch of canvases, and the rows to compute. A model that keeps nothing
//! between requests implements [`Denoiser::forward`] and is done. One that does, such as a key-value cache,
//! opens a [`Session`] for each run, which follows its sequences by their [`SequenceId`].

use std::any::Any;
use std::sync::Arc;

use crate::{Canvas, DenseRows, Error, RowId, Vocabulary};

mod request;
mod session;

pub use request::{Answer, Changed, Form, Request, SequenceId, SequenceInput};
pub use session::Session;

/// What a denoiser hands to its sampler layer: the hidden states of a batch, wherever they live.
///
/// Nothing between the two looks inside, so that hidden states never have to leave a device.
pub struct State(Box<dyn Any + Send>);

impl State {
    /// Wraps a denoiser's own state.
    pub fn new<T: Any + Send>(state: T) -> Self {
        Self(Box::new(state))
    }

    /// The state as the sampler layer's own type.
    ///
    /// # Errors
    /// [`Error::ForeignState`] if another kind of denoiser made it.
    pub fn downcast_mut<T: Any>(&mut self) -> Result<&mut T, Error> {
        self.0.downcast_mut().ok_or(Error::ForeignState { expected: std::any::type_name::<T>() })
    }
}

/// A frozen masked diffusion language model.
///
/// Maps a batch of partly masked sequences to a distribution per masked position, and keeps the
/// hidden states for a [`SamplerLayer`] to continue from.
pub trait Denoiser: Send + Sync {
    /// Its vocabulary \[V\] and special ids.
    fn vocabulary(&self) -> &Vocabulary;

    /// The longest sequence it accepts, if it has a limit.
    fn max_length(&self) -> Option<usize> {
        None
    }

    /// Full forwards of the frozen model that one canvas of a batch costs: 2 under classifier-free
    /// guidance.
    fn passes(&self) -> usize {
        1
    }

    /// One full forward of the batch, whose lengths may differ, from nothing but the request. Every row must be what
    /// it would be if its sequence were alone.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime fails, [`Error::NoHiddenStates`] if the request asks for hidden states
    /// and the model does not give them out.
    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error>;

    /// Opens a session for one run, if the model remembers anything between requests. The default, `None`, makes the
    /// run call [`forward`](Self::forward) each time.
    ///
    /// # Errors
    /// [`Error::Model`] if the session cannot be opened.
    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        Ok(None)
    }

    /// Dense logits [N, V] of the `rows` of a batch, and the state for a sampler layer: [`forward`](Self::forward)
    /// for callers outside of a run.
    ///
    /// # Errors
    /// Those of [`forward`](Self::forward).
    fn denoise(&self, batch: &[&Canvas], rows: &[RowId]) -> Result<(DenseRows, State), Error> {
        let shown = SequenceInput::stateless_batch(batch);
        let answer = self.forward(&Request::new(&shown, rows))?;
        Ok((answer.rows.into_dense()?, answer.state))
    }
}

/// One cheap pass over hidden states after some tokens have been revealed.
pub trait SamplerLayer: Send + Sync {
    /// Runs the layer on the request's canvases: those that the denoiser was shown (same sequences, same order), with
    /// the tokens revealed since. Only sequences that have a row in the request take part. Their state is advanced,
    /// the others' stays as it was.
    ///
    /// # Errors
    /// [`Error::ForeignState`] or [`Error::Model`].
    fn pass(
        &self,
        state: &mut State,
        request: &Request<'_>,
    ) -> Result<crate::top_k_rows::Rows, Error>;

    /// Dense logits [N, V] of the `rows` of a batch: [`pass`](Self::pass) for callers outside of a run.
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
