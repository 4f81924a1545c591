//! Builds the tokenizers of folders without a `tokenizer.json`, as transformers does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::added;
use super::error::{TextError, failed, unreadable};
use super::json::json;

/// How Qwen2 (and so Dream) splits text before byte-pair encoding. Source: `Qwen2Tokenizer` of
/// Hugging Face transformers.
const QWEN2_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen2's byte-level BPE, as Dream ships it.
pub(super) fn byte_level(
    folder: &Path,
    vocab: &Path,
    merges: &Path,
) -> Result<Tokenizer, TextError> {
    let words: BTreeMap<String, u32> =
        serde_json::from_str(&read(vocab)?).map_err(|error| unreadable(vocab, error))?;
    let words: Vocab = words.into_iter().collect();
    let pair = |(number, line): (usize, &str)| match line.split_once(' ') {
        Some((first, second)) if !second.contains(' ') => Ok((first.to_owned(), second.to_owned())),
        _ => Err(unreadable(merges, format!("line {}: expected two parts", number + 1))),
    };
    let text = read(merges)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with("#version"));
    let pairs = lines.map(pair).collect::<Result<_, _>>()?;
    let bpe = BPE::builder().vocab_and_merges(words, pairs).build();
    let bpe = bpe.map_err(|error| unreadable(vocab, error))?;
    let mut tokenizer = Tokenizer::new(bpe);
    let split = Split::new(
        SplitPattern::Regex(QWEN2_SPLIT.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    );
    tokenizer.with_normalizer(Some(NFC)).map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::Split(split.map_err(failed)?),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false)),
    ])));
    tokenizer.with_decoder(Some(ByteLevelDecoder::default()));
    add_tokens(&mut tokenizer, folder, vocab)?;
    Ok(tokenizer)
}

/// Reads a file with any path. The readers of `tokenizers` accept only paths in UTF-8.
fn read(file: &Path) -> Result<String, TextError> {
    fs::read_to_string(file).map_err(|error| unreadable(file, error))
}

/// BERT's WordPiece, whose vocabulary contains its special tokens.
pub(super) fn word_piece(folder: &Path, vocab: &Path) -> Result<Tokenizer, TextError> {
    let config = json(folder, "tokenizer_config.json")?.unwrap_or_default();
    let flag = |name: &str| config[name].as_bool();
    let token =
        |role: &str, usual: &'static str| added::content(&config[role]).unwrap_or(usual).to_owned();
    let words = WordPiece::read_bytes(read(vocab)?.as_bytes());
    let words = words.map_err(|error| unreadable(vocab, error))?;
    // Without a flag, transformers lower-cases every text, and words with capitals in the vocabulary would never match.
    let is_cased =
        words.keys().any(|word| !word.starts_with('[') && word.contains(char::is_uppercase));
    let model = WordPiece::builder().vocab(words);
    let model = model.unk_token(token("unk_token", "[UNK]")).build();
    let mut tokenizer = Tokenizer::new(model.map_err(|error| unreadable(vocab, error))?);
    let lower = flag("do_lower_case").unwrap_or(!is_cased);
    let chinese = flag("tokenize_chinese_chars").unwrap_or(true);
    let normalizer = BertNormalizer::new(true, chinese, flag("strip_accents"), lower);
    tokenizer.with_normalizer(Some(normalizer)).map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(WordPieceDecoder::default()));
    let (cls, sep) = (token("cls_token", "[CLS]"), token("sep_token", "[SEP]"));
    let roles = [("unk_token", "[UNK]"), ("pad_token", "[PAD]"), ("mask_token", "[MASK]")];
    let special = roles.map(|(role, usual)| token(role, usual)).into_iter();
    let special = special.chain([cls.clone(), sep.clone()]);
    let known: Vec<_> = special
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .map(|token| AddedToken::from(token, true))
        .collect();
    tokenizer.add_special_tokens(known).map_err(failed)?;
    add_tokens(&mut tokenizer, folder, vocab)?;
    if let (Some(first), Some(last)) = (tokenizer.token_to_id(&cls), tokenizer.token_to_id(&sep)) {
        let frame = TemplateProcessing::builder()
            .try_single(format!("{cls}:0 $A:0 {sep}:0"))
            .map_err(|reason| unreadable(vocab, reason))?
            .special_tokens(vec![(cls, first), (sep, last)])
            .build()
            .map_err(|error| unreadable(vocab, error))?;
        tokenizer.with_post_processor(Some(frame));
    }
    Ok(tokenizer)
}

/// Adds tokens in the order of their ids, because a tokenizer continues counting at the end of its vocabulary.
fn add_tokens(tokenizer: &mut Tokenizer, folder: &Path, vocab: &Path) -> Result<(), TextError> {
    for (id, token) in added::tokens(folder)? {
        let (content, special) = (token.content.clone(), token.special);
        match special {
            true => tokenizer.add_special_tokens([token]),
            false => tokenizer.add_tokens([token]),
        }
        .map_err(failed)?;
        let got = tokenizer.token_to_id(&content);
        if got != Some(id) {
            let got = got.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let reason = format!("token {content:?} should have id {id}, but would get {got}");
            return Err(unreadable(vocab, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Tokenizer;
    use crate::text::test_folder::folder;

    #[test]
    fn texts_are_composed_before_they_are_encoded() {
        let folder = folder(&[
            ("vocab.json", r#"{"Ã": 0, "©": 1, "Ã©": 2, "e": 3, "Ì": 4, "ģ": 5}"#),
            ("merges.txt", "#version: 0.2\nÃ ©\n"),
        ]);
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        assert_eq!(tokenizer.encode("é").unwrap(), [2]);
        assert_eq!(tokenizer.encode("e\u{301}").unwrap(), [2]);
    }

    #[test]
    fn added_tokens_have_the_flags_that_their_file_gives_them() {
        let folder = folder(&[
            ("vocab.json", r#"{"a": 0, "Ġ": 1}"#),
            ("merges.txt", "#version: 0.2\n"),
            (
                "tokenizer_config.json",
                r#"{"added_tokens_decoder": {
                    "2": {"content": "<l>", "lstrip": true, "special": true},
                    "3": {"content": "<r>", "rstrip": true, "special": true},
                    "4": {"content": "<w>", "single_word": true, "special": false, "normalized": false}}}"#,
            ),
        ]);
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        for (text, ids) in [
            ("a <l> a", vec![0, 2, 1, 0]),
            ("a <r> a", vec![0, 1, 3, 0]),
            ("a <w> a", vec![0, 1, 4, 1, 0]),
        ] {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text}");
        }
        assert!(tokenizer.is_special(2) && !tokenizer.is_special(4));
    }

    /// Only Linux allows such names.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_folders_name_need_not_be_utf_8() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let root = folder(&[]);
        let named = root.path().join(OsStr::from_bytes(b"a\xff"));
        std::fs::create_dir(&named).unwrap();
        std::fs::write(named.join("vocab.txt"), "[UNK]\na\n").unwrap();
        assert_eq!(Tokenizer::open(&named).unwrap().encode("a").unwrap(), [1]);
        std::fs::write(named.join("vocab.json"), r#"{"a": 0, "b": 1, "ab": 2}"#).unwrap();
        std::fs::write(named.join("merges.txt"), "#version: 0.2\na b\n").unwrap();
        assert_eq!(Tokenizer::open(&named).unwrap().encode("ab").unwrap(), [2]);
        std::fs::write(named.join("merges.txt"), "a b\na b c\n").unwrap();
        let message = Tokenizer::open(&named).unwrap_err().to_string();
        assert!(message.contains("merges.txt") && message.contains("line 2"), "{message}");
    }

    #[test]
    fn a_word_piece_tokenizer_is_read_from_its_vocabulary() {
        let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##known\ncafe\n!\n";
        let files = folder(&[("vocab.txt", vocab), ("tokenizer_config.json", "{}")]);
        let tokenizer = Tokenizer::open(files.path()).unwrap();
        assert_eq!(tokenizer.encode("Unknown CAFÉ! [MASK] x").unwrap(), [5, 6, 7, 8, 4, 1]);
        assert_eq!((tokenizer.before(), tokenizer.after()), ([2].as_slice(), [3].as_slice()));
        assert_eq!(tokenizer.decode(&[5, 6, 7]).unwrap(), "unknown cafe");
        for (config, expected) in [
            (r#"{"do_lower_case": false}"#, [3, 4, 0]),
            // A vocabulary with capitals is cased, unless a flag contradicts.
            ("{}", [3, 4, 0]),
            (r#"{"do_lower_case": true}"#, [0, 0, 0]),
        ] {
            let words = "[UNK]\n[CLS]\n[SEP]\nÉ\nA\n";
            let cased = folder(&[("vocab.txt", words), ("tokenizer_config.json", config)]);
            let tokenizer = Tokenizer::open(cased.path()).unwrap();
            assert_eq!(tokenizer.encode("É A a").unwrap(), expected, "{config}");
        }
    }
}
