//! Kinds of model.

use serde::{Deserialize, Serialize};

/// Kinds of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// Dream and its relatives: a Qwen2 decoder with bidirectional attention and shifted logits.
    Dream,
    /// LLaDA: a Llama-style decoder trained from scratch on masked diffusion.
    Llada,
    /// Another masked diffusion model on a Qwen2 or Qwen3 decoder.
    Qwen,
    /// BERT: an encoder for masked language modelling, with learned positions.
    Bert,
    /// ALBERT: a BERT whose layers share their tensors.
    Albert,
    /// ModernBERT: an encoder with rotary positions and local attention.
    ModernBert,
}
