//! Where trajectories come from: sampled by the frozen model or by a sampler layer, or read along given texts.

use std::ops::Range;
use std::sync::Arc;

use conjoint_core::observer::Reveal;
use conjoint_core::{Canvas, Denoiser, Generator, Observer, TokenId, Vocabulary};

use crate::{Error, FolderSettings, Trajectory};

mod sampled;
mod texts;

pub use sampled::Sampled;
pub use texts::{GivenText, Texts};

/// A numbered series of trajectories, each a function of the model, the settings and its number alone.
pub trait Source {
    /// All that the trajectories depend on but for the model.
    fn settings(&self) -> FolderSettings;

    /// How many there are; `None` if there is no end to them.
    fn len(&self) -> Option<u64>;

    /// Whether there are none at all.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// How many positions trajectory `index` reveals, as many forwards where each reveals one.
    fn reveals(&self, index: u64) -> usize;

    /// Makes the trajectories of these indices with forwards of up to `batch` sequences, telling `observer`
    /// every event; sequence 0 is the first of them.
    ///
    /// # Errors
    /// [`Error::Generation`] if the model fails, and [`Error::Parameter`] if `batch` is 0.
    fn make(
        &self,
        model: &Arc<dyn Denoiser>,
        indices: Range<u64>,
        batch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Trajectory>, Error>;
}

/// Runs the canvas and the generator of each index and notes in which order positions are revealed.
fn record(
    generator: &Generator,
    indices: Range<u64>,
    batch: usize,
    request: impl Fn(u64) -> Result<(Canvas, Generator), conjoint_core::Error>,
    observer: &mut dyn Observer,
) -> Result<Vec<Trajectory>, Error> {
    let failed = |source| Error::Generation { indices: indices.clone(), source };
    let generator = generator
        .clone()
        .batch_size(batch)
        .map_err(|_| Error::parameter("batch", batch, "at least 1"))?;
    let requests = indices.clone().map(request).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let prompts: Vec<usize> = requests.iter().map(|(canvas, _)| canvas.free_span().start).collect();
    let mut orders = (Orders(vec![Vec::new(); requests.len()]), observer);
    let outputs = generator.run_each(requests, &mut orders).map_err(failed)?;
    let (Orders(orders), _) = orders;
    let rows = indices.zip(prompts).zip(outputs.into_iter().zip(orders));
    let row = |((index, prompt_len), (output, order)): (_, (conjoint_core::Output, _))| {
        Trajectory { index, prompt_len, tokens: output.tokens, order }
    };
    Ok(rows.map(row).collect())
}

/// The order of the reveals of each sequence.
struct Orders(Vec<Vec<u32>>);

impl Observer for Orders {
    fn on_reveal(&mut self, reveal: &Reveal) {
        if let Some(order) = self.0.get_mut(reveal.sequence) {
            order.push(reveal.position as u32);
        }
    }
}

/// Checks that tokens are in the vocabulary and none is the mask, and that at least two positions are
/// left to reveal.
fn check(
    (kind, number): (&'static str, usize),
    (tokens, prompt_len): (&[TokenId], usize),
    length: usize,
    vocabulary: &Vocabulary,
) -> Result<(), Error> {
    let size = vocabulary.size();
    let reason = if let Some(id) = tokens.iter().find(|&&id| id as usize >= size) {
        format!("id {id} is outside the vocabulary of {size} ids")
    } else if tokens.contains(&vocabulary.mask()) {
        "it holds the mask id, which stands for no token".to_owned()
    } else if tokens.len() > length {
        format!("it has {} tokens, which is more than the length of {length}", tokens.len())
    } else if prompt_len.saturating_add(2) > length {
        format!(
            "its prompt of {prompt_len} tokens leaves less than 2 of {length} positions to reveal"
        )
    } else {
        return Ok(());
    };
    Err(Error::Given { kind, number, reason })
}
