//! Special ids: what a sampler must know of the vocabulary, from whichever of a checkpoint's files says it.

mod files;
mod token;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use token::TokenName;

use crate::config::Config;
use crate::error::ExportError;
use files::TokenizerFiles;

/// Ids that a sampler treats apart. Each lies below [`Manifest::vocab_size`](crate::Manifest::vocab_size).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialTokens {
    /// The mask: a position that is still to be revealed. Never a legal outcome.
    pub mask: u32,
    /// The ids that end a sequence, the model's own first.
    pub eos: Vec<u32>,
    /// Padding.
    pub pad: Option<u32>,
    /// Beginning of text.
    pub bos: Option<u32>,
    /// How many ids, counted from 0, have a token; absent where no tokenizer says so. Rows of the model's tables beyond them
    /// are padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<usize>,
}

/// Ids given by the user, which come before anything that a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenTokens {
    /// The mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<TokenName>,
    /// What ends a sequence, instead of what the files say; empty for what they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eos: Vec<TokenName>,
}

impl GivenTokens {
    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.mask.is_none() && self.eos.is_empty()
    }
}

impl SpecialTokens {
    /// Whether a mask is named, rightly or not, or some token looks like one.
    pub(crate) fn name_mask(config: &Config, given: &GivenTokens) -> bool {
        let found = Self::find(config, given, usize::MAX);
        !matches!(found, Err(ExportError::NoMask { candidates, .. }) if candidates.is_empty())
    }

    /// Finds the ids, and says in sentences what is odd about the files. Only the mask must exist.
    ///
    /// An id is looked for in `config.json`, then in `generation_config.json`; failing those, its token is looked for in
    /// `tokenizer_config.json`, then in `special_tokens_map.json`, and the token's id in the tokenizer's own files. Ids that
    /// end a sequence are those of the first two files together.
    pub(crate) fn find(
        config: &Config,
        given: &GivenTokens,
        vocab_size: usize,
    ) -> Result<(Self, Vec<String>), ExportError> {
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
            return Err(ExportError::MaskEnds { path: config.path.clone(), id: mask });
        }
        let one = |role| Ok::<_, ExportError>(search.ids(role)?.first().copied());
        let (pad, bos) = (one("pad")?, one("bos")?);
        let (named, mut notes) = search.named();
        notes.extend(search.tokenizer.unreadable());
        Ok((Self { mask, eos, pad, bos, named }, notes))
    }
}

/// Where ids are looked for.
struct Search<'a> {
    /// The files that give ids, the one that counts more first.
    files: Vec<&'a Config>,
    tokenizer: TokenizerFiles,
    vocab_size: usize,
}

impl Search<'_> {
    /// The ids in a role, such as `eos`.
    fn ids(&self, role: &str) -> Result<Vec<u32>, ExportError> {
        let key = format!("{role}_token_id");
        let mut ids = Vec::new();
        for file in &self.files {
            let values = match file.get(&key) {
                None => continue,
                Some(Value::Array(values)) => values.iter().collect(),
                // As Llama's tokenizers write "none".
                Some(value) if value.as_i64() == Some(-1) && role != "mask" => continue,
                Some(value) => vec![value],
            };
            for value in values {
                let id = value.as_u64().and_then(|id| self.checked(id));
                let wrong = || file.error(&key, &format!("an id below {}", self.vocab_size));
                let id = id.ok_or_else(wrong)?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            // Only ends may be several.
            if role != "eos" && !ids.is_empty() {
                break;
            }
        }
        if ids.is_empty()
            && let Some((file, name)) = self.tokenizer.named_in_role(role)
            && let Some(id) = self.tokenizer.id(name)
        {
            let wrong = || {
                let expected = format!("a token with an id below {}, not {id}", self.vocab_size);
                file.error(&format!("{role}_token"), &expected)
            };
            ids.push(self.checked(id).ok_or_else(wrong)?);
        }
        Ok(ids)
    }

    /// The id of a token that the user gave.
    fn given(&self, role: &'static str, name: &TokenName) -> Result<u32, ExportError> {
        let error =
            |expected: String| ExportError::GivenToken { role, got: name.to_string(), expected };
        let id = match name {
            TokenName::Id(id) => Some(u64::from(*id)),
            TokenName::Text(text) => self.tokenizer.id(text),
        };
        let id = id.ok_or_else(|| error("one token of the checkpoint's tokenizer".into()))?;
        self.checked(id).ok_or_else(|| error(format!("an id below {}", self.vocab_size)))
    }

    fn checked(&self, id: u64) -> Option<u32> {
        u32::try_from(id).ok().filter(|&id| (id as usize) < self.vocab_size)
    }

    fn no_mask(&self, config: &Config) -> ExportError {
        let candidates = self.tokenizer.like("mask").map(|(name, id)| format!("{name} ({id})"));
        ExportError::NoMask {
            path: config.folder().into(),
            candidates: candidates.collect(),
            unreadable: self.tokenizer.unreadable().collect(),
        }
    }

    /// How many ids have a token, and what is odd about that.
    fn named(&self) -> (Option<usize>, Vec<String>) {
        match self.tokenizer.size() {
            Some(size) if size > self.vocab_size => {
                let note = format!(
                    "the tokenizer has ids up to {}, the model only up to {}: texts with the others cannot be used",
                    size - 1,
                    self.vocab_size - 1
                );
                (Some(self.vocab_size), vec![note])
            }
            size => (size, Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    /// A folder with these files.
    fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in files {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn find_with(
        files: &[(&str, Value)],
        given: &GivenTokens,
    ) -> Result<(SpecialTokens, Vec<String>), String> {
        let folder = folder(files);
        let config = Config::read(folder.path().join("config.json"), "").unwrap();
        SpecialTokens::find(&config, given, 10).map_err(|error| error.to_string())
    }

    fn find(files: &[(&str, Value)]) -> Result<SpecialTokens, String> {
        find_with(files, &GivenTokens::default()).map(|(tokens, _)| tokens)
    }

    #[test]
    fn ids_of_the_configuration_come_first_and_all_ends_count() {
        let tokens = find(&[
            (
                "config.json",
                json!({"mask_token_id": 9, "eos_token_id": [7, 8], "pad_token_id": null}),
            ),
            (
                "generation_config.json",
                json!({"mask_token_id": 3, "eos_token_id": [8, 2], "pad_token_id": 5}),
            ),
        ]);
        let expected =
            SpecialTokens { mask: 9, eos: vec![7, 8, 2], pad: Some(5), bos: None, named: None };
        assert_eq!(tokens.unwrap(), expected);
    }

    #[test]
    fn a_mask_is_found_in_every_layout_that_names_one() {
        let config = ("config.json", json!({"mask_token_id": null}));
        let named = ("tokenizer_config.json", json!({"mask_token": "<m>"}));
        let added = json!([{"id": 4, "content": "<m>"}]);
        let model = json!({"vocab": {"a": 0, "b": 5}});
        for (files, named) in [
            (vec![("generation_config.json", json!({"mask_token_id": 4}))], None),
            (
                vec![(
                    "tokenizer_config.json",
                    json!({"mask_token": {"content": "<m>"}, "added_tokens_decoder": {"4": {"content": "<m>"}}}),
                )],
                Some(5),
            ),
            (vec![named.clone(), ("added_tokens.json", json!({"<m>": 4}))], Some(5)),
            (
                vec![
                    named.clone(),
                    ("tokenizer.json", json!({"added_tokens": added, "model": model})),
                ],
                Some(6),
            ),
            (
                vec![named.clone(), ("tokenizer.json", json!({"model": {"vocab": {"<m>": 4}}}))],
                Some(5),
            ),
            (
                vec![
                    named.clone(),
                    (
                        "tokenizer.json",
                        json!({"model": {"vocab": [["a", 0.0], ["b", 0.0], ["c", 0.0], ["d", 0.0], ["<m>", 0.0]]}}),
                    ),
                ],
                Some(5),
            ),
            (vec![named.clone(), ("vocab.txt", json!("a\nb\nc\nd\n<m>\ne\n"))], Some(6)),
            (vec![named.clone(), ("vocab.json", json!({"a": 0, "<m>": 4}))], Some(5)),
            (
                vec![
                    ("special_tokens_map.json", json!({"mask_token": {"content": "<m>"}})),
                    ("added_tokens.json", json!({"<m>": 4})),
                ],
                Some(5),
            ),
        ] {
            let files: Vec<_> = [config.clone()].into_iter().chain(files).collect();
            let found = find(&files).unwrap();
            assert_eq!((found.mask, found.named), (4, named), "{files:?}");
        }
    }

    #[test]
    fn a_word_piece_vocabulary_has_the_usual_tokens_where_none_is_named() {
        let words = ("vocab.txt", json!("[PAD]\na\n[MASK]\n<m>\n"));
        let bare = find(&[("config.json", json!({})), words.clone()]).unwrap();
        assert_eq!((bare.mask, bare.pad, bare.named), (2, Some(0), Some(4)));
        let named = ("tokenizer_config.json", json!({"mask_token": "<m>"}));
        assert_eq!(find(&[("config.json", json!({})), words, named]).unwrap().mask, 3);
    }

    #[test]
    fn an_id_outside_the_vocabulary_is_an_error() {
        for bad in [json!(10), json!(-1), json!("9"), json!([10])] {
            let message = find(&[("config.json", json!({"mask_token_id": bad}))]).unwrap_err();
            assert!(message.contains("mask_token_id") && message.contains("below 10"), "{message}");
        }
        let ids = json!({"mask_token_id": 1, "pad_token_id": -1});
        assert_eq!(find(&[("config.json", ids)]).unwrap().pad, None);
        let message = find(&[
            ("config.json", json!({"mask_token_id": 1})),
            ("tokenizer_config.json", json!({"pad_token": "<p>"})),
            ("added_tokens.json", json!({"<p>": 10})),
        ]);
        let message = message.unwrap_err();
        assert!(message.contains("pad_token") && message.contains("not 10"), "{message}");
    }

    #[test]
    fn a_model_without_a_mask_is_an_error_that_names_what_looks_like_one() {
        let message = find(&[
            ("config.json", json!({})),
            (
                "tokenizer.json",
                json!({"added_tokens": [{"id": 3, "content": "<|mdm_mask|>"}], "model": {"vocab": {"a": 0}}}),
            ),
        ]);
        let message = message.unwrap_err();
        assert!(
            message.contains("mask_token_id") && message.contains("<|mdm_mask|> (3)"),
            "{message}"
        );
    }

    #[test]
    fn ids_that_the_user_gives_come_before_the_files() {
        let files = [
            ("config.json", json!({"mask_token_id": 9, "eos_token_id": 8})),
            ("added_tokens.json", json!({"<end>": 2})),
        ];
        let name = |name: &str| name.parse::<TokenName>().unwrap();
        let given = GivenTokens { mask: Some(name("3")), eos: vec![name("<end>"), name("4")] };
        let (found, _) = find_with(&files, &given).unwrap();
        assert_eq!((found.mask, found.eos), (3, vec![2, 4]));
        for (mask, eos, expected) in [
            (Some("10"), vec![], "below 10"),
            (Some("<x>"), vec![], "<x>"),
            (None, vec!["9"], "9 stands for a masked position"),
        ] {
            let given =
                GivenTokens { mask: mask.map(name), eos: eos.into_iter().map(name).collect() };
            let message = find_with(&files, &given).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_tokenizer_that_cannot_be_read_is_noted_unless_it_is_needed() {
        for (name, text) in
            [("tokenizer.json", "{"), ("added_tokens.json", "[]"), ("vocab.json", "{\"a\": \"x\"}")]
        {
            let broken = (name, json!(text));
            let (found, notes) = find_with(
                &[("config.json", json!({"mask_token_id": 1})), broken.clone()],
                &GivenTokens::default(),
            )
            .unwrap();
            assert_eq!((found.mask, found.named), (1, None));
            assert!(notes.iter().any(|note| note.contains(name)), "{notes:?}");
            let message = find(&[("config.json", json!({})), broken]).unwrap_err();
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn more_tokens_than_rows_are_noted() {
        let files = [
            ("config.json", json!({"mask_token_id": 1})),
            ("added_tokens.json", json!({"<x>": 11})),
        ];
        let (found, notes) = find_with(&files, &GivenTokens::default()).unwrap();
        assert_eq!(found.named, Some(10));
        assert!(notes[0].contains("up to 11"), "{notes:?}");
    }
}
