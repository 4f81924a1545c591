//! Recording the order in which a generator reveals positions.

use std::ops::Range;

use conjoint_core::observer::Reveal;
use conjoint_core::{Canvas, Generator, Observer, TokenId, Vocabulary};

use crate::error::Error;
use crate::trajectory::Trajectory;

/// Runs the canvas and the generator of each index, and records the order in which positions are revealed.
pub(super) fn record(
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

/// The order of reveals of each sequence.
struct Orders(Vec<Vec<u32>>);

impl Observer for Orders {
    fn on_reveal(&mut self, reveal: &Reveal) {
        if let Some(order) = self.0.get_mut(reveal.sequence) {
            order.push(reveal.position as u32);
        }
    }
}

/// Checks that the ids of a text with holes are in the vocabulary, and that at least two positions are holes.
pub(super) fn check_canvas(
    number: usize,
    canvas: &[TokenId],
    vocabulary: &Vocabulary,
) -> Result<(), Error> {
    let (size, mask) = (vocabulary.size(), vocabulary.mask());
    let holes = canvas.iter().filter(|&&id| id == mask).count();
    let reason = match canvas.iter().find(|&&id| id as usize >= size) {
        Some(id) => format!("id {id} is outside the vocabulary of {size} ids"),
        None if holes < 2 => format!("expected at least 2 holes, got {holes}"),
        None => return Ok(()),
    };
    Err(Error::Given { kind: "text with holes", number, reason })
}

/// Checks that tokens are in the vocabulary, that none is the mask, and that at least two positions remain to reveal.
pub(super) fn check(
    (kind, number): (&'static str, usize),
    (tokens, prompt_len): (&[TokenId], usize),
    length: usize,
    vocabulary: &Vocabulary,
) -> Result<(), Error> {
    let size = vocabulary.size();
    let reason = if let Some(id) = tokens.iter().find(|&&id| id as usize >= size) {
        format!("id {id} is outside the vocabulary of {size} ids")
    } else if tokens.contains(&vocabulary.mask()) {
        "it holds the mask id, which is not a token".to_owned()
    } else if tokens.len() > length {
        format!("it has {} tokens, more than the length of {length}", tokens.len())
    } else if prompt_len.saturating_add(2) > length {
        format!(
            "its prompt of {prompt_len} tokens leaves fewer than 2 of {length} positions to reveal"
        )
    } else {
        return Ok(());
    };
    Err(Error::Given { kind, number, reason })
}
