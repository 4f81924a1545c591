//! Reading a [`Blueprint`] from a `config.json`.

use super::architecture::Architecture;
use super::encoder_kind::EncoderKind;
use super::structure::{Blueprint, Body, LayerNames, Overrides};
use super::{bert, keys, llada, modernbert, qwen, related};
use crate::config::Config;
use crate::error::FormatError;

impl Blueprint {
    /// Rejects a `config.json` that describes another kind of model or has an unknown key. Keys in `ignored`
    /// are accepted.
    pub fn check_keys(config: &Config, ignored: &[String]) -> Result<(), FormatError> {
        let architecture = Architecture::of(config);
        let honoured = architecture.as_ref().map_or(Vec::new(), Architecture::keys);
        keys::reject_other_kinds(config, &honoured)?;
        architecture?;
        keys::reject_unknown(config, &honoured, ignored)
    }

    /// Rejects a model whose class is a causal one, unless its files define a mask token.
    pub fn reject_causal(config: &Config, defines_mask: bool) -> Result<(), FormatError> {
        related::reject_causal(config, defines_mask)
    }

    /// Reads the structure of a model from its `config.json`.
    pub fn read(config: &Config, overrides: Overrides) -> Result<Self, FormatError> {
        let architecture = Architecture::of(config)?;
        if let (Architecture::Encoder(_), Some(got @ 1..)) =
            (&architecture, overrides.attention_block)
        {
            return Err(FormatError::AttentionBlockOfEncoder { path: config.path.clone(), got });
        }
        match architecture {
            Architecture::Llada => llada::read(config, overrides),
            Architecture::Qwen(variant) => qwen::read(config, variant, overrides),
            Architecture::Encoder(EncoderKind::Bert) => bert::read_bert(config, overrides),
            Architecture::Encoder(EncoderKind::Albert) => bert::read_albert(config, overrides),
            Architecture::Encoder(EncoderKind::ModernBert) => modernbert::read(config, overrides),
        }
    }

    /// Rejects sizes that no sampler layer has. Those of decoders are checked by [`read`](Self::read).
    pub fn check_sampler(&self, config: &Config) -> Result<(), FormatError> {
        if self.head_dim.is_multiple_of(2) {
            return Ok(());
        }
        let expected = "a number for which heads have an even width, as a sampler layer requires";
        Err(config.error("num_attention_heads", expected))
    }

    /// Every naming of a layer's tensors that sampler checkpoints use.
    ///
    /// The base model's naming comes first; for an encoder, the naming that the trainer writes.
    pub(crate) fn layer_namings(&self) -> [&'static LayerNames; 3] {
        let own = match &self.body {
            Body::Decoder(names) => names,
            Body::Encoder(_) => &qwen::NAMES,
        };
        [&own.layer, &qwen::NAMES.layer, &llada::NAMES.layer]
    }
}
