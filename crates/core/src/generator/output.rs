use std::ops::Range;

use crate::TokenId;

/// A finished sequence, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// All tokens, given and generated.
    pub tokens: Vec<TokenId>,
    /// From the first to the last position that was generated.
    pub generated: Range<usize>,
    /// How many positions were filled with drawn tokens: those given are not counted, nor, where the sequence
    /// [stops](crate::Generator::stop_at_eos) at its end-of-sequence id, those behind it.
    pub drawn: usize,
    /// Full forwards of the denoiser that this sequence took part in.
    pub denoiser_calls: usize,
    /// Passes of the sampler layer that this sequence took part in; one of a guided layer, which runs it twice, is
    /// one.
    pub sampler_calls: usize,
    /// Denoising steps, idle ones included.
    pub steps: usize,
}

impl Output {
    /// The generated part of the tokens (given tokens between holes included).
    pub fn generated_tokens(&self) -> &[TokenId] {
        &self.tokens[self.generated.clone()]
    }
}
