use std::ops::Range;

use crate::TokenId;

/// A sequence that has come to an end, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// All tokens, given and generated. Positions that were never revealed hold the mask id; there are such only if the
    /// sequence [was ended](FinishReason::is_early) from outside.
    pub tokens: Vec<TokenId>,
    /// From the first to the last position that was generated.
    pub generated: Range<usize>,
    /// Just behind the token that ended the sequence early; behind the last position where none did. What follows is
    /// filling, but for what was given there.
    pub end: usize,
    /// How many positions were filled with drawn tokens: those given are not counted, nor, where the sequence
    /// [stops](crate::Generator::stop_at_eos) early, those behind its end.
    pub drawn: usize,
    /// Full forwards of the denoiser that this sequence cost: one for each of its canvases in a forward of the batch.
    pub denoiser_calls: usize,
    /// Passes of the sampler layer that this sequence took part in. A pass of a guided layer, which runs it twice,
    /// counts once.
    pub sampler_calls: usize,
    /// Denoising steps, skipped ones included. Each of the others took one forward of the batch.
    pub steps: usize,
    /// Why it ended.
    pub finish: FinishReason,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// Every position is filled.
    Length,
    /// It [stopped](crate::Generator::stop_at_eos) at an end-of-sequence id, or at [another](crate::Generator::stop_at_tokens)
    /// that ends it.
    EndOfSequence,
    /// It stopped at [a rule](crate::Generator::stop_at), such as a text.
    Stop,
    /// It was [cancelled](crate::Run::cancel), or the [token](crate::CancelToken) of its run was.
    Cancelled,
    /// The [deadline](crate::Run::deadline) of its run passed.
    Deadline,
}

impl FinishReason {
    /// Whether it was ended from outside, so that positions may still be masked.
    pub fn is_early(self) -> bool {
        matches!(self, Self::Cancelled | Self::Deadline)
    }
}

impl Output {
    /// The generated part of the tokens (given tokens between holes included).
    pub fn generated_tokens(&self) -> &[TokenId] {
        &self.tokens[self.generated.clone()]
    }

    /// The tokens up to the [end](Self::end).
    pub fn text_tokens(&self) -> &[TokenId] {
        &self.tokens[..self.end]
    }
}
