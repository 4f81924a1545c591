//! Special tokens, from the files of a checkpoint that define them.

mod files;
mod name;
mod search;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use name::TokenName;

use crate::config::Config;
use crate::error::FormatError;
use files::TokenizerFiles;
use search::Search;

/// The ids of special tokens. Each is below [`Manifest::vocab_size`](crate::Manifest::vocab_size).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpecialTokens {
    /// The mask token, which marks a position that is not revealed yet. It is never sampled.
    #[doc(alias("[MASK]", "mask_token_id"))]
    pub mask: u32,
    /// The ids that end a sequence, the model's own first.
    #[doc(alias("eos_token_id", "stop token"))]
    pub eos: Vec<u32>,
    /// Padding.
    #[doc(alias = "pad_token_id")]
    pub pad: Option<u32>,
    /// Beginning of text.
    #[doc(alias = "bos_token_id")]
    pub bos: Option<u32>,
    /// How many ids, counted from 0, have a token; `None` without a readable tokenizer. The model's rows beyond
    /// them are padding.
    #[serde(rename = "named", default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<usize>,
}

/// Special tokens given by the user. They override those of the checkpoint's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenTokens {
    /// The mask token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<TokenName>,
    /// The tokens that end a sequence. If empty, those of the files are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eos: Vec<TokenName>,
}

impl GivenTokens {
    /// Whether no token is given.
    pub fn is_empty(&self) -> bool {
        self.mask.is_none() && self.eos.is_empty()
    }
}

impl SpecialTokens {
    /// Whether the files define a mask token, validly or not, or hold a token that looks like one.
    #[doc(hidden)]
    pub fn defines_mask(config: &Config, given: &GivenTokens) -> bool {
        let found = Self::find(config, given, usize::MAX);
        !matches!(found, Err(FormatError::NoMask { candidates, .. }) if candidates.is_empty())
    }

    /// Finds the ids, and returns notes on problems in the files. Only the mask token is required.
    ///
    /// Ids come from `config.json`, then from `generation_config.json`. If neither has one,
    /// `tokenizer_config.json` and then `special_tokens_map.json` name the token, and the tokenizer's own files
    /// give its id. The mask token of Fast-dLLM v2 is recognised by its text, `|<MASK>|`. The ids that end a sequence are those of the first two files together.
    #[doc(hidden)]
    pub fn find(
        config: &Config,
        given: &GivenTokens,
        vocab_size: usize,
    ) -> Result<(Self, Vec<String>), FormatError> {
        let mut tokenizer = TokenizerFiles::read(config.folder())?;
        let generation = tokenizer.config(config.folder(), "generation_config.json")?;
        let files = [Some(config), generation.as_ref()].into_iter().flatten().collect();
        let search = Search { files, tokenizer, vocab_size };
        let mask = match &given.mask {
            Some(name) => search.given("mask", name)?,
            None => search.ids("mask")?.first().copied().ok_or_else(|| search.no_mask(config))?,
        };
        let eos = match given.eos.as_slice() {
            [] => search.ids("eos")?,
            names => {
                let eos = names.iter().map(|name| search.given("eos", name));
                eos.collect::<Result<_, _>>()?
            }
        };
        if eos.contains(&mask) {
            return Err(FormatError::MaskEnds { path: config.path.clone(), id: mask });
        }
        let one = |role| Ok::<_, FormatError>(search.ids(role)?.first().copied());
        let (pad, bos) = (one("pad")?, one("bos")?);
        let (assigned, mut notes) = search.assigned();
        notes.extend(search.tokenizer.unreadable());
        Ok((Self { mask, eos, pad, bos, assigned }, notes))
    }
}
