//! A base model is trained on a file of texts, exported and run.
#![cfg(feature = "train")]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::process::Output;

use common::{conjoint, generate_json, rejected, stderr};
use serde_json::json;

/// Texts of 2 to 9 letters, and their tokenizer: one token per letter.
fn data(folder: &Path) {
    let mut texts = String::new();
    for number in 0..200 {
        let _ = writeln!(texts, "{}", "abcd".repeat(3)[number % 4..].split_at(2 + number % 8).0);
    }
    std::fs::write(folder.join("texts.txt"), texts).unwrap();
    let tokens = ["[MASK]", "[EOS]", "a", "b", "c", "d"];
    let vocabulary: serde_json::Map<_, _> =
        tokens.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), json!(id))).collect();
    let special = |id: u32| {
        json!({"id": id, "content": tokens[id as usize], "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [special(0), special(1)],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// Trains in `folder/NAME`.
fn train(folder: &Path, name: &str, more: &str) -> Output {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut arguments = vec!["train".to_owned(), "base".into(), "--dir".into(), path(name)];
    arguments.extend(["--texts".into(), path("texts.txt")]);
    arguments.extend(["--tokenizer".into(), path("tokenizer.json")]);
    let line = format!("--hidden 16 --layers 1 --ffn 24 --batch 4 {more}");
    arguments.extend(line.split_whitespace().map(str::to_owned));
    conjoint(&arguments)
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

#[test]
fn a_model_of_a_file_is_a_checkpoint_that_every_command_reads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    data(folder);
    let trained = train(folder, "base", "--steps 20 --length 12 --given-end");
    succeeds(&trained);
    assert!(stderr(&trained).contains("texts.txt: 200 texts, 1,"), "{}", stderr(&trained));
    let resumed = train(folder, "base", "--steps 22 --length 12 --given-end --quiet");
    succeeds(&resumed);
    assert!(String::from_utf8_lossy(&resumed.stdout).starts_with("22 steps"));

    let base = folder.join("base");
    let given = std::fs::read(folder.join("tokenizer.json")).unwrap();
    assert_eq!(std::fs::read(base.join("tokenizer.json")).unwrap(), given);
    let (base_dir, layer, joint) =
        (base.to_str().unwrap(), folder.join("layer"), folder.join("joint"));
    succeeds(&conjoint(&["export", base_dir]));
    for length in [1, 4, 11] {
        let flags = format!("--num-samples 3 --infill [MASK*{length}][EOS]");
        let report = generate_json(&base, &flags);
        for sequence in report["sequences"].as_array().unwrap() {
            let tokens = sequence["tokens"].as_array().unwrap();
            assert_eq!(tokens.len(), length + 1, "{sequence}");
            assert_eq!(tokens[length], 1, "{sequence}");
        }
    }
    let more = "--batch 4 --workers 1 --depth 2 --quiet --steps 2 --trajectories 65 --length 8";
    let mut sampler =
        vec!["train", "sampler", "--model", base_dir, "--dir", layer.to_str().unwrap()];
    sampler.extend(more.split_whitespace());
    sampler.extend(["--prompt", ""]);
    succeeds(&conjoint(&sampler));
    let [layer, joint_dir] = [&layer, &joint].map(|path| path.to_str().unwrap());
    succeeds(&conjoint(&["export", base_dir, "--sampler", layer, "--out", joint_dir]));
    let report =
        generate_json(&joint, "--unmasker joint --schedule per-step:2 --infill [MASK*6][EOS]");
    assert_eq!(report["sequences"][0]["tokens"].as_array().unwrap().len(), 7);
}

#[test]
fn unusable_texts_name_the_flag_and_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    data(folder);
    let rejects = |more: &str, parts: &[&str]| {
        rejected(&train(folder, "run", &format!("--steps 1 --quiet {more}")), parts);
    };
    rejects("--length 6", &["--length", "texts.txt: line 5 has 6 tokens", "at least 10"]);
    rejects("--mask-id <m>", &["--mask-id", "<m> is not one of its tokens"]);
    rejects("--given-end --packed", &["--packed"]);
    rejects("--validation missing.txt", &["--validation", "missing.txt", "No such file"]);
    rejects("--domains math", &["--domains", "--texts"]);
    rejects("--held-out 5 --validation x", &["--held-out"]);
    rejects("--length 6 --prompt-length 6 --skip-long", &["--prompt-length", "below 6"]);
    succeeds(&train(folder, "short", "--steps 1 --length 6 --skip-long --packed"));
    let other = train(folder, "short", "--steps 2 --length 6 --skip-long");
    rejected(&other, &["--dir", "packed = true"]);
    std::fs::write(folder.join("texts.txt"), "ab\ncd\nd\n").unwrap();
    let other = train(folder, "short", "--steps 2 --length 6 --skip-long --packed");
    rejected(&other, &["--dir", "held_out = 10"]);
    std::fs::write(folder.join("texts.txt"), b"ab\nc\xff\n").unwrap();
    rejects("", &["--texts", "texts.txt", "line 2: byte 2"]);
    std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    rejects("", &["--tokenizer", "tokenizer.json", "not a tokenizer"]);
    let orphan = conjoint(&["train", "base", "--dir", "x", "--steps", "1", "--tokenizer", "x"]);
    rejected(&orphan, &["--texts"]);
}
