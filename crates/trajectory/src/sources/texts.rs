use std::ops::Range;
use std::sync::Arc;

use conjoint_core::unmasker::TeacherForced;
use conjoint_core::{Canvas, Denoiser, Generator, Observer, TokenId, Vocabulary};

use super::blocks::{block_length, in_blocks};
use super::record::{check, record};
use super::source::Source;
use crate::error::Error;
use crate::settings::{FolderSettings, digest};
use crate::trajectory::Trajectory;

/// A given text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenText {
    /// The tokens, the prompt first.
    pub tokens: Vec<TokenId>,
    /// The number of prompt tokens.
    pub prompt_len: usize,
}

/// Given texts, in the order in which the frozen model would reveal them: [`TeacherForced`] reveals one token per forward
/// pass, at the masked position of lowest entropy. Nothing is drawn.
///
/// Texts are padded with end-of-sequence ids to one length, as the model's own texts are.
#[derive(Clone)]
pub struct Texts {
    texts: Vec<GivenText>,
    length: usize,
    block_length: Option<usize>,
}

impl Texts {
    /// These texts, padded to `length` tokens each.
    ///
    /// # Errors
    /// [`Error::Given`] names a text that is too long, that is too short for a model without an end-of-sequence id, or that
    /// holds an invalid token id; [`Error::Parameter`] if there is no text.
    pub fn new(
        mut texts: Vec<GivenText>,
        length: usize,
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        if texts.is_empty() {
            return Err(Error::parameter("texts", "none", "at least one"));
        }
        for (text, number) in texts.iter_mut().zip(1..) {
            let prompt_len = text.prompt_len.min(text.tokens.len());
            check(("text", number), (&text.tokens, prompt_len), length, vocabulary)?;
            match vocabulary.eos() {
                Some(eos) => text.tokens.resize(length, eos),
                None if text.tokens.len() == length => {}
                None => {
                    let got = text.tokens.len();
                    let reason = format!(
                        "it has {got} tokens, expected {length}: \
                         the model has no end-of-sequence id to pad it with"
                    );
                    return Err(Error::Given { kind: "text", number, reason });
                }
            }
            text.prompt_len = prompt_len;
        }
        Ok(Self { texts, length, block_length: None })
    }

    /// Reveals in blocks of this length, from left to right. The order of entropy holds within a block.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `block` is 0.
    pub fn block_length(mut self, block: usize) -> Result<Self, Error> {
        self.block_length = Some(block_length(block)?);
        Ok(self)
    }

    fn text(&self, index: u64) -> Option<&GivenText> {
        self.texts.get(index as usize)
    }
}

impl Source for Texts {
    fn settings(&self) -> FolderSettings {
        let starts: Vec<TokenId> = self.texts.iter().map(|text| text.prompt_len as u32).collect();
        let texts = self.texts.iter().map(|text| &text.tokens[..]);
        let settings = FolderSettings::default()
            .with("source", "texts")
            .with("texts", format!("{} ({})", self.texts.len(), digest(texts)))
            .with("prompts", digest([&starts[..]]))
            .with("length", self.length)
            .with("order", "entropy");
        settings.with_block_length(self.block_length)
    }

    fn len(&self) -> Option<u64> {
        Some(self.texts.len() as u64)
    }

    fn reveals(&self, index: u64) -> usize {
        self.text(index).map_or(0, |text| self.length - text.prompt_len)
    }

    fn make(
        &self,
        model: &Arc<dyn Denoiser>,
        indices: Range<u64>,
        batch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Trajectory>, Error> {
        let mask = model.vocabulary().mask();
        let generator = in_blocks(Generator::new(model.clone()), self.block_length)?;
        let range = indices.start as usize..indices.end as usize;
        let texts = self.texts.get(range).ok_or_else(|| {
            let expected = format!("numbers below {}", self.texts.len());
            Error::parameter("trajectories", format!("{indices:?}"), expected)
        })?;
        let first = indices.start;
        let request = |index| {
            let text = &texts[(index - first) as usize];
            let canvas = Canvas::of_length(&text.tokens[..text.prompt_len], self.length, mask)?;
            Ok((canvas, generator.clone().unmasker(TeacherForced::new(&text.tokens[..]))))
        };
        record(&generator, indices, batch, request, observer)
    }
}
