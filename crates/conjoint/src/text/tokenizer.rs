use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use conjoint_core::TokenId;
use tokenizers::{Encoding, Token};

use super::error::{TextError, failed, unreadable};
use super::{added, legacy};

/// The tokenizer of a checkpoint. Clones share it.
///
/// Token ids equal those of Hugging Face transformers: added tokens are recognised in a text by their flags. A truncation or
/// padding that was saved with the tokenizer is ignored.
#[derive(Debug, Clone)]
pub struct Tokenizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokenizer: tokenizers::Tokenizer,
    /// The same tokenizer, but reading special tokens as text. Made when it is first used.
    literal: OnceLock<tokenizers::Tokenizer>,
    frame: Frame,
}

/// The tokens that the tokenizer's post-processor puts around a text.
#[derive(Debug, Default)]
struct Frame {
    before: Vec<TokenId>,
    after: Vec<TokenId>,
}

impl Tokenizer {
    /// Reads the tokenizer of a model's folder: `tokenizer.json`, Qwen2's `vocab.json` and `merges.txt` (as in Dream), or BERT's
    /// `vocab.txt`. The latter two take their special tokens from `tokenizer_config.json` or `added_tokens.json`.
    ///
    /// # Errors
    /// [`TextError::Absent`], [`TextError::SentencePiece`] or [`TextError::Unreadable`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, TextError> {
        let folder = folder.as_ref();
        let file = |name: &str| Some(folder.join(name)).filter(|file| file.is_file());
        let fast = file("tokenizer.json");
        let mut tokenizer = if let Some(fast) = &fast {
            tokenizers::Tokenizer::from_file(fast).map_err(|error| unreadable(fast, error))?
        } else if let (Some(vocab), Some(merges)) = (file("vocab.json"), file("merges.txt")) {
            legacy::byte_level(folder, &vocab, &merges)?
        } else if let Some(vocab) = file("vocab.txt") {
            legacy::word_piece(folder, &vocab)?
        } else {
            let pieces = ["spiece.model", "tokenizer.model", "sentencepiece.bpe.model"];
            return Err(match pieces.into_iter().find_map(file) {
                Some(file) => TextError::SentencePiece { file },
                None => TextError::Absent { folder: folder.to_owned() },
            });
        };
        let disabled = tokenizer.with_truncation(None).map(|tokenizer| {
            tokenizer.with_padding(None);
        });
        disabled.map_err(|error| unreadable(folder, error))?;
        let mut frame = Frame::of(&tokenizer)?;
        // Llama-type tokenizers build their post-processor from this flag.
        if frame.before.is_empty()
            && let Some(bos) = added::bos(folder)?
        {
            frame.before.extend(tokenizer.token_to_id(&bos));
        }
        Ok(Self(Arc::new(Inner { tokenizer, literal: OnceLock::new(), frame })))
    }

    /// The token ids of a text. Special tokens such as `<|im_start|>` are recognised in it; none are added.
    ///
    /// # Errors
    /// [`TextError::UnknownCharacter`] if a character would be lost, [`TextError::Failed`].
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        encode(&self.0.tokenizer, text)
    }

    /// The token ids of a text with special tokens as literal text. Use it for untrusted text.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    pub fn encode_literally(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let literal = self.0.literal.get_or_init(|| {
            let mut tokenizer = self.0.tokenizer.clone();
            tokenizer.set_encode_special_tokens(true);
            tokenizer
        });
        encode(literal, text)
    }

    /// The tokens that the checkpoint's tokenizer puts before every text, such as one that begins a sequence. Most tokenizers
    /// have none. Transformers adds them by default (`add_special_tokens`).
    pub fn before(&self) -> &[TokenId] {
        &self.0.frame.before
    }

    /// The tokens that the checkpoint's tokenizer puts after every text.
    pub fn after(&self) -> &[TokenId] {
        &self.0.frame.after
    }

    /// A prompt to continue: the tokens with those [before](Self::before) every text. These are not added twice.
    pub fn prompt(&self, tokens: Vec<TokenId>) -> Vec<TokenId> {
        match tokens.starts_with(self.before()) {
            true => tokens,
            false => [self.before(), &tokens].concat(),
        }
    }

    /// The text of token ids, special tokens included.
    ///
    /// # Errors
    /// [`TextError::Failed`].
    pub fn decode(&self, tokens: &[TokenId]) -> Result<String, TextError> {
        self.0.tokenizer.decode(tokens, false).map_err(failed)
    }

    /// The text of one token within a text, with its leading space. A token that is only a part of a character becomes U+FFFD.
    ///
    /// # Errors
    /// [`TextError::Failed`].
    pub fn piece(&self, token: TokenId) -> Result<String, TextError> {
        let once = self.decode(&[token])?;
        // Some decoders drop the leading space of a text, but not the one between two tokens.
        let twice = self.decode(&[token, token])?;
        Ok(twice.strip_prefix(&once).map_or(once.clone(), str::to_owned))
    }

    /// The id of a token, given as the tokenizer writes it.
    pub fn id(&self, token: &str) -> Option<TokenId> {
        self.0.tokenizer.token_to_id(token)
    }

    /// Whether an id belongs to a special token.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.0.tokenizer.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special)
    }
}

impl Frame {
    /// Frames a token that stands for a text. The vocabulary need not have it.
    fn of(tokenizer: &tokenizers::Tokenizer) -> Result<Self, TextError> {
        const TEXT: TokenId = TokenId::MAX;
        let text = Encoding::from_tokens(vec![Token::new(TEXT, "a".into(), (0, 1))], 0);
        let framed = tokenizer.post_process(text, None, true).map_err(failed)?;
        let mut parts = framed.get_ids().split(|&id| id == TEXT);
        Ok(match (parts.next(), parts.next()) {
            (Some(before), Some(after)) => Self { before: before.to_vec(), after: after.to_vec() },
            _ => Self::default(),
        })
    }
}

fn encode(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<TokenId>, TextError> {
    let encoding = tokenizer.encode_fast(text, false).map_err(failed)?;
    // A tokenizer without an unknown token drops what it cannot encode.
    match tokenizer.get_normalizer().is_none().then(|| unknown_character(tokenizer, text)).flatten()
    {
        Some(character) => Err(TextError::UnknownCharacter { character }),
        None => Ok(encoding.get_ids().to_vec()),
    }
}

/// The first character of a text without a token.
fn unknown_character(tokenizer: &tokenizers::Tokenizer, text: &str) -> Option<char> {
    let mut checked = HashSet::new();
    let added = tokenizer.get_added_tokens_decoder();
    // Added tokens may contain characters without a token of their own. Literally encoded, a special one is ordinary text.
    let is_token =
        |token: &&tokenizers::AddedToken| !(token.special && tokenizer.get_encode_special_tokens());
    let rest = added
        .values()
        .filter(is_token)
        .fold(text.to_owned(), |rest, token| rest.replace(&token.content, ""));
    rest.chars().filter(|&character| checked.insert(character)).find(|character| {
        let alone = tokenizer.encode_fast(character.to_string(), false);
        alone.is_ok_and(|encoding| encoding.get_ids().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::test_folder::folder;

    #[test]
    fn a_byte_level_tokenizer_is_read_from_its_files() {
        // Byte-level: Ġ stands for a space.
        let folder = folder(&[
            ("vocab.json", r#"{"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4}"#),
            ("merges.txt", "#version: 0.2\na b\nĠ ab\n"),
            ("added_tokens.json", r#"{"<|mask|>": 6, "<|im_end|>": 5}"#),
        ]);
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let ids = [3, 4, 6, 0, 5];
        assert_eq!(tokenizer.encode("ab ab<|mask|>a<|im_end|>").unwrap(), ids);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab ab<|mask|>a<|im_end|>");
        assert_eq!(tokenizer.id("<|mask|>"), Some(6));
        let pieces = ids.map(|id| tokenizer.piece(id).unwrap());
        assert_eq!(pieces, ["ab", " ab", "<|mask|>", "a", "<|im_end|>"]);
        assert_eq!((tokenizer.before(), tokenizer.after()), ([].as_slice(), [].as_slice()));
    }

    #[test]
    fn missing_and_broken_files_are_named() {
        let empty = folder(&[]);
        assert!(matches!(Tokenizer::open(empty.path()), Err(TextError::Absent { .. })));
        let pieces = folder(&[("spiece.model", "")]);
        let error = Tokenizer::open(pieces.path()).unwrap_err().to_string();
        assert!(error.contains("spiece.model") && error.contains("tokenizer.json"), "{error}");
        let broken = folder(&[("tokenizer.json", "{")]);
        let error = Tokenizer::open(broken.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
        let gap = folder(&[
            ("vocab.json", r#"{"a": 0}"#),
            ("merges.txt", "#version: 0.2\n"),
            ("added_tokens.json", r#"{"<|mask|>": 7}"#),
        ]);
        let error = Tokenizer::open(gap.path()).unwrap_err().to_string();
        assert!(error.contains("should have id 7"), "{error}");
    }

    /// A tokenizer of single characters whose post-processor frames a text.
    fn framed(more: &str) -> String {
        format!(
            r#"{{"version": "1.0", "added_tokens": [
                {{"id": 6, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}},
                {{"id": 7, "content": "</s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}}],
              "post_processor": {{"type": "TemplateProcessing",
                "single": [{{"SpecialToken": {{"id": "<s>", "type_id": 0}}}}, {{"Sequence": {{"id": "A", "type_id": 0}}}}, {{"SpecialToken": {{"id": "</s>", "type_id": 0}}}}],
                "pair": [{{"Sequence": {{"id": "A", "type_id": 0}}}}, {{"Sequence": {{"id": "B", "type_id": 0}}}}],
                "special_tokens": {{"<s>": {{"id": "<s>", "ids": [6], "tokens": ["<s>"]}}, "</s>": {{"id": "</s>", "ids": [7], "tokens": ["</s>"]}}}}}},
              "normalizer": null, "pre_tokenizer": null, "decoder": {{"type": "Fuse"}}{more},
              "model": {{"type": "BPE", "vocab": {{"a": 0, "b": 1, "<": 2, "s": 3, ">": 4, "/": 5}}, "merges": []}}}}"#
        )
    }

    #[test]
    fn the_tokens_around_a_text_are_found() {
        let files = folder(&[("tokenizer.json", &framed(""))]);
        let tokenizer = Tokenizer::open(files.path()).unwrap();
        assert_eq!((tokenizer.before(), tokenizer.after()), ([6].as_slice(), [7].as_slice()));
        let encoded = |text: &str| tokenizer.prompt(tokenizer.encode(text).unwrap());
        assert_eq!(encoded("ab"), [6, 0, 1]);
        assert_eq!(encoded("<s>ab"), [6, 0, 1], "once");
        assert_eq!(tokenizer.encode_literally("<s>ab").unwrap(), [2, 3, 4, 0, 1]);
        assert!(tokenizer.is_special(6) && !tokenizer.is_special(0));
    }

    /// As published for SMILES: words only, none of which is a letter.
    #[test]
    fn the_tokens_around_a_text_are_found_without_an_unknown_token() {
        let words = framed("").replace(
            r#"{"type": "BPE", "vocab": {"a": 0, "b": 1, "<": 2, "s": 3, ">": 4, "/": 5}, "merges": []}"#,
            r#"{"type": "WordLevel", "vocab": {"[nH]": 0}, "unk_token": "[UNK]"}"#,
        );
        let files = folder(&[("tokenizer.json", &words)]);
        let tokenizer = Tokenizer::open(files.path()).unwrap();
        assert_eq!((tokenizer.before(), tokenizer.after()), ([6].as_slice(), [7].as_slice()));
        assert_eq!(tokenizer.encode("[nH]").unwrap(), [0]);
    }

    #[test]
    fn a_saved_truncation_or_padding_is_ignored() {
        let truncation = r#", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}"#;
        let padding = r#", "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 1, "pad_type_id": 0, "pad_token": "b"}"#;
        for more in [truncation, padding] {
            let files = folder(&[("tokenizer.json", &framed(more))]);
            let tokenizer = Tokenizer::open(files.path()).unwrap();
            assert_eq!(tokenizer.encode("abba").unwrap(), [0, 1, 1, 0]);
            assert_eq!((tokenizer.before(), tokenizer.after()), ([6].as_slice(), [7].as_slice()));
        }
    }

    #[test]
    fn a_flag_adds_the_token_that_begins_a_sequence() {
        let bare = r#"{"version": "1.0", "added_tokens": [
            {"id": 1, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#;
        for (flag, before) in [("true", vec![1]), ("false", vec![])] {
            let config = format!(r#"{{"add_bos_token": {flag}, "bos_token": "<s>"}}"#);
            let files = folder(&[("tokenizer.json", bare), ("tokenizer_config.json", &config)]);
            assert_eq!(Tokenizer::open(files.path()).unwrap().before(), before);
        }
    }

    #[test]
    fn characters_without_a_token_are_named() {
        let files = folder(&[("tokenizer.json", &framed(""))]);
        let error = Tokenizer::open(files.path()).unwrap().encode("aéb").unwrap_err();
        assert!(matches!(error, TextError::UnknownCharacter { character: 'é' }), "{error}");
        // A special token has characters without a token. Literally encoded, it would lose them.
        let bare = r#"{"version": "1.0", "added_tokens": [
            {"id": 1, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#;
        let files = folder(&[("tokenizer.json", bare)]);
        let tokenizer = Tokenizer::open(files.path()).unwrap();
        assert_eq!(tokenizer.encode("a<s>").unwrap(), [0, 1]);
        let error = tokenizer.encode_literally("a<s>").unwrap_err();
        assert!(matches!(error, TextError::UnknownCharacter { character: '<' }), "{error}");
    }
}
