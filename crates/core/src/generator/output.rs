use std::ops::Range;

use crate::TokenId;

/// A finished sequence and its cost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Output {
    /// All tokens, given and generated. Positions that were never revealed hold the mask id; this happens
    /// only if the run of the sequence was [interrupted](FinishReason::is_early).
    pub tokens: Vec<TokenId>,
    /// The range from the first to the last position that was not given.
    pub generated: Range<usize>,
    /// One past the end-of-sequence id, stop token or stop text at which the sequence ended; the length if it has
    /// none. Positions from here on are filling, except for given tokens.
    pub end: usize,
    /// The number of positions with drawn tokens. Given positions do not count, nor do those after the
    /// [end](Self::end).
    pub drawn: usize,
    /// Full forwards of the denoiser for this sequence (NFE): one for each of its canvases in a forward of
    /// the batch.
    #[doc(alias = "NFE")]
    #[doc(alias = "number of function evaluations")]
    pub denoiser_calls: usize,
    /// Passes of the sampler layer for this sequence. A pass of a guided layer counts once, although it runs
    /// the layer twice.
    pub sampler_calls: usize,
    /// Denoising steps, including those that skipped the forward.
    #[doc(alias = "denoising steps")]
    #[doc(alias = "diffusion steps")]
    pub steps: usize,
    /// Why the sequence ended.
    pub finish: FinishReason,
}

/// Why a sequence ended.
#[doc(alias = "stop_reason")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// Every position is filled.
    Length,
    /// It [stopped](crate::Generator::stop_at_eos) at an end-of-sequence id or at a
    /// [stop token](crate::Generator::stop_at_tokens).
    EndOfSequence,
    /// It stopped at a [rule](crate::Generator::stop_at), such as a stop text.
    Stop,
    /// It was [cancelled](crate::Run::cancel), or the [token](crate::CancelToken) of its run was.
    Cancelled,
    /// The [deadline](crate::Run::deadline) of its run passed.
    Deadline,
}

impl FinishReason {
    /// Whether the run of the sequence was interrupted: cancelled, or stopped by its deadline. Positions may then
    /// still be masked. False if the sequence ended at a stop.
    pub fn is_early(self) -> bool {
        matches!(self, Self::Cancelled | Self::Deadline)
    }
}

impl Output {
    /// Creates the output of a sequence that filled the range `generated`, with a cost of 0. Set the other
    /// fields afterwards; this is for tests and for generators of your own.
    pub fn new(tokens: Vec<TokenId>, generated: Range<usize>) -> Self {
        let (end, drawn) = (tokens.len(), generated.len());
        let (denoiser_calls, sampler_calls, steps) = (0, 0, 0);
        let finish = FinishReason::Length;
        Self { tokens, generated, end, drawn, denoiser_calls, sampler_calls, steps, finish }
    }

    /// The generated part of the tokens, given tokens between holes included.
    pub fn generated_tokens(&self) -> &[TokenId] {
        &self.tokens[self.generated.clone()]
    }

    /// The tokens up to the [end](Self::end).
    pub fn text_tokens(&self) -> &[TokenId] {
        &self.tokens[..self.end]
    }
}
