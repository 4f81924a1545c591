//! Tests of finding special tokens in a checkpoint's files.

use std::fs;

use serde_json::{Value, json};

use super::{GivenTokens, SpecialTokens, TokenName};
use crate::config::Config;

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
fn config_json_comes_first_and_all_ends_are_collected() {
    let tokens = find(&[
        ("config.json", json!({"mask_token_id": 9, "eos_token_id": [7, 8], "pad_token_id": null})),
        (
            "generation_config.json",
            json!({"mask_token_id": 3, "eos_token_id": [8, 2], "pad_token_id": 5}),
        ),
    ]);
    let expected =
        SpecialTokens { mask: 9, eos: vec![7, 8, 2], pad: Some(5), bos: None, assigned: None };
    assert_eq!(tokens.unwrap(), expected);
}

#[test]
fn a_mask_is_found_in_every_layout_of_a_tokenizer() {
    let config = ("config.json", json!({"mask_token_id": null}));
    let role = ("tokenizer_config.json", json!({"mask_token": "<m>"}));
    let added = json!([{"id": 4, "content": "<m>"}]);
    let model = json!({"vocab": {"a": 0, "b": 5}});
    for (files, assigned) in [
        (vec![("generation_config.json", json!({"mask_token_id": 4}))], None),
        (
            vec![(
                "tokenizer_config.json",
                json!({"mask_token": {"content": "<m>"}, "added_tokens_decoder": {"4": {"content": "<m>"}}}),
            )],
            Some(5),
        ),
        (vec![role.clone(), ("added_tokens.json", json!({"<m>": 4}))], Some(5)),
        (
            vec![role.clone(), ("tokenizer.json", json!({"added_tokens": added, "model": model}))],
            Some(6),
        ),
        (vec![role.clone(), ("tokenizer.json", json!({"model": {"vocab": {"<m>": 4}}}))], Some(5)),
        (
            vec![
                role.clone(),
                (
                    "tokenizer.json",
                    json!({"model": {"vocab": [["a", 0.0], ["b", 0.0], ["c", 0.0], ["d", 0.0], ["<m>", 0.0]]}}),
                ),
            ],
            Some(5),
        ),
        (vec![role.clone(), ("vocab.txt", json!("a\nb\nc\nd\n<m>\ne\n"))], Some(6)),
        (vec![role.clone(), ("vocab.json", json!({"a": 0, "<m>": 4}))], Some(5)),
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
        assert_eq!((found.mask, found.assigned), (4, assigned), "{files:?}");
    }
}

#[test]
fn a_word_piece_vocabulary_has_default_special_tokens() {
    let words = ("vocab.txt", json!("[PAD]\na\n[MASK]\n<m>\n"));
    let bare = find(&[("config.json", json!({})), words.clone()]).unwrap();
    assert_eq!((bare.mask, bare.pad, bare.assigned), (2, Some(0), Some(4)));
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
fn a_model_without_a_mask_is_an_error_that_lists_candidates() {
    let message = find(&[
        ("config.json", json!({})),
        (
            "tokenizer.json",
            json!({"added_tokens": [{"id": 3, "content": "<|mdm_mask|>"}], "model": {"vocab": {"a": 0}}}),
        ),
    ]);
    let message = message.unwrap_err();
    assert!(message.contains("mask_token_id") && message.contains("<|mdm_mask|> (3)"), "{message}");
}

/// Fast_dLLM_v2_7B: the tokenizer holds the mask token, and no file names it.
#[test]
fn the_mask_of_fast_dllm_is_recognised_by_its_text() {
    let added = ("added_tokens.json", json!({"|<MASK>|": 5, "<|im_end|>": 4}));
    let config = ("config.json", json!({"eos_token_id": 4}));
    assert_eq!(find(&[config.clone(), added.clone()]).unwrap().mask, 5);
    let named = ("tokenizer_config.json", json!({"mask_token": "<|im_end|>"}));
    let config = ("config.json", json!({"eos_token_id": 3}));
    assert_eq!(find(&[config, added, named]).unwrap().mask, 4);
}

#[test]
fn given_ids_override_the_files() {
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
        (None, vec!["9"], "9 is the mask token"),
    ] {
        let given = GivenTokens { mask: mask.map(name), eos: eos.into_iter().map(name).collect() };
        let message = find_with(&files, &given).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn an_unreadable_tokenizer_is_noted_unless_it_is_needed() {
    for (name, text) in
        [("tokenizer.json", "{"), ("added_tokens.json", "[]"), ("vocab.json", "{\"a\": \"x\"}")]
    {
        let broken = (name, json!(text));
        let (found, notes) = find_with(
            &[("config.json", json!({"mask_token_id": 1})), broken.clone()],
            &GivenTokens::default(),
        )
        .unwrap();
        assert_eq!((found.mask, found.assigned), (1, None));
        assert!(notes.iter().any(|note| note.contains(name)), "{notes:?}");
        let message = find(&[("config.json", json!({})), broken]).unwrap_err();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn more_tokens_than_rows_are_noted() {
    let files =
        [("config.json", json!({"mask_token_id": 1})), ("added_tokens.json", json!({"<x>": 11}))];
    let (found, notes) = find_with(&files, &GivenTokens::default()).unwrap();
    assert_eq!(found.assigned, Some(10));
    assert!(notes[0].contains("up to 11"), "{notes:?}");
}
