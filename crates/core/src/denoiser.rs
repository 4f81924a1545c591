//! The frozen model and the sampler layer on top of it.

use std::any::Any;
use std::sync::Arc;

use crate::condensed::{Condense, Rows};
use crate::{Beliefs, Canvas, Error, RowId, Vocabulary};

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

    /// One full forward of `batch` (lengths may differ). Answers logits [N, V] for the `rows`
    /// wanted, in their order; every row must be what it would be if its sequence were alone.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime fails.
    fn denoise(&self, batch: &[&Canvas], rows: &[RowId]) -> Result<(Beliefs, State), Error>;

    /// As [`denoise`](Self::denoise), for a reader to whom [condensed rows](crate::condensed) will do that hold what is
    /// `wanted`. By default dense rows all the same.
    ///
    /// # Errors
    /// Those of [`denoise`](Self::denoise).
    fn denoise_condensed(
        &self,
        batch: &[&Canvas],
        rows: &[RowId],
        wanted: &Condense,
    ) -> Result<(Rows, State), Error> {
        let _ = wanted;
        let (beliefs, state) = self.denoise(batch, rows)?;
        Ok((beliefs.into(), state))
    }
}

/// One cheap pass over hidden states after some tokens have been revealed.
pub trait SamplerLayer: Send + Sync {
    /// Runs the layer on `batch`, the canvases that [`Denoiser::denoise`] was given (same
    /// sequences, same order) with the tokens revealed since. Only sequences that want a row take
    /// part: their state is advanced, the others' is left as it was.
    ///
    /// # Errors
    /// [`Error::ForeignState`] or [`Error::Model`].
    fn refine(
        &self,
        state: &mut State,
        batch: &[&Canvas],
        rows: &[RowId],
    ) -> Result<Beliefs, Error>;

    /// As [`refine`](Self::refine), for a reader to whom [condensed rows](crate::condensed) will do that hold what is
    /// `wanted`. By default dense rows all the same.
    ///
    /// # Errors
    /// Those of [`refine`](Self::refine).
    fn refine_condensed(
        &self,
        state: &mut State,
        batch: &[&Canvas],
        rows: &[RowId],
        wanted: &Condense,
    ) -> Result<Rows, Error> {
        let _ = wanted;
        self.refine(state, batch, rows).map(Rows::from)
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

    fn denoise(&self, batch: &[&Canvas], rows: &[RowId]) -> Result<(Beliefs, State), Error> {
        (**self).denoise(batch, rows)
    }

    fn denoise_condensed(
        &self,
        batch: &[&Canvas],
        rows: &[RowId],
        wanted: &Condense,
    ) -> Result<(Rows, State), Error> {
        (**self).denoise_condensed(batch, rows, wanted)
    }
}

impl<S: SamplerLayer + ?Sized> SamplerLayer for Arc<S> {
    fn refine(
        &self,
        state: &mut State,
        batch: &[&Canvas],
        rows: &[RowId],
    ) -> Result<Beliefs, Error> {
        (**self).refine(state, batch, rows)
    }

    fn refine_condensed(
        &self,
        state: &mut State,
        batch: &[&Canvas],
        rows: &[RowId],
        wanted: &Condense,
    ) -> Result<Rows, Error> {
        (**self).refine_condensed(state, batch, rows, wanted)
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
