//! `conjoint trajectories`: the same folder from one process, a killed one, shards and any batches.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{conjoint, export, stderr};
use conjoint_trajectory::{Store, Trajectory};

fn command(model: &Path, out: &Path, more: &str) -> Vec<String> {
    let (model, out) = (model.to_string_lossy(), out.to_string_lossy());
    let mut all: Vec<String> =
        ["trajectories", "--model", &model, "--out", &out].map(ToOwned::to_owned).into();
    all.extend(more.split_whitespace().map(ToOwned::to_owned));
    all
}

fn make(model: &Path, out: &Path, more: &str) -> Output {
    conjoint(&command(model, out, more))
}

/// Makes trajectories and returns the first `count` of the folder.
fn made(model: &Path, out: &Path, count: u64, more: &str) -> Vec<Trajectory> {
    let output = make(model, out, &format!("--num {count} {more}"));
    assert!(output.status.success(), "{}", stderr(&output));
    Store::open(out).unwrap().read(Some(count)).unwrap()
}

fn tiny() -> PathBuf {
    conjoint_models::tiny()
}

fn parquet_files(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    files.map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect()
}

#[test]
fn a_killed_run_resumes_without_repeating_or_losing_one() {
    let model = export("dream-tiny", None);
    let folder = tempfile::tempdir().unwrap();
    let (killed, whole) = (folder.path().join("killed"), folder.path().join("whole"));
    let line = "--length 12 --num 1000000 --per-file 4 --batch-size 3 --threads 1";
    let mut child = Command::new(env!("CARGO_BIN_EXE_conjoint"))
        .args(command(model.path(), &killed, line))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while parquet_files(&killed).len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(120), "no file yet");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = parquet_files(&killed);
    let rest = before.len() as u64 * 4 + 10;
    let resumed = made(model.path(), &killed, rest, "--length 12 --batch-size 16");
    let whole = made(model.path(), &whole, rest, "--length 12 --per-file 50 --batch-size 5");
    assert_eq!(resumed, whole);
    let after = parquet_files(&killed);
    assert!(before.iter().all(|file| after.contains(file)), "a file was made twice");
    assert!(after.len() > before.len());
    for trajectory in &whole {
        trajectory.validate(96).unwrap();
        assert!(!trajectory.tokens.contains(&94), "a mask is left");
    }
    assert!(whole.windows(2).any(|pair| pair[0].order != pair[1].order));
}

/// Texts with holes have lengths of their own. A layer is trained on them, each batch on one length.
#[test]
fn texts_with_holes_are_filled_and_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("holes.jsonl");
    let lines = [r#"{"infill": "<list>[MASK*6]<eos>"}"#, r#"{"infill": "<code>de[MASK*9]"}"#];
    std::fs::write(&prompts, lines.join("\n")).unwrap();
    let line = format!("--seed 5 --prompts {}", prompts.display());
    let out = folder.path().join("out");
    let rows = made(&tiny(), &out, 24, &line);
    for row in &rows {
        row.validate(1000).unwrap();
        let (length, prompt, holes) = [(8, 1, 6), (12, 3, 9)][row.index as usize % 2];
        assert_eq!((row.tokens.len(), row.prompt_len, row.order.len()), (length, prompt, holes));
    }
    assert_eq!(rows[0].tokens[7], rows[2].tokens[7]);
    for (more, parts) in [
        ("--length 20", ["--length", "have holes"]),
        ("--block-length 3", ["--out", "block length = none, but 3 is given"]),
    ] {
        let other = make(&tiny(), &out, &format!("{line} --num 24 {more}"));
        assert_eq!(other.status.code(), Some(2));
        let error = stderr(&other);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    // In blocks, the last of which has 2 positions or 1.
    let in_blocks = folder.path().join("blocks");
    for row in made(&tiny(), &in_blocks, 24, &format!("{line} --block-length 4")) {
        let block = |&position: &u32| (position as usize - row.prompt_len) / 4;
        assert!(row.order.iter().map(block).is_sorted(), "{row:?}");
    }
    for (trajectories, run) in [(&out, "layer"), (&in_blocks, "layer-in-blocks")] {
        let run = folder.path().join(run);
        let output = Command::new(env!("CARGO_BIN_EXE_conjoint"))
            .args(["train", "sampler", "--model"])
            .arg(tiny())
            .arg("--trajectories-dir")
            .arg(trajectories)
            .arg("--dir")
            .arg(&run)
            .args("--steps 3 --batch 4 --held-out 4 --random-share 0.5 --depth 2".split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(run.join("model.safetensors").exists());
    }
}

#[test]
fn shards_make_up_the_whole_and_prompts_differ_in_length() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts.txt");
    std::fs::write(&prompts, "<story>\n\n<list>sort: b\n<code>def f\n").unwrap();
    let line = format!("--length 20 --seed 5 --prompts {}", prompts.display());
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let expected = made(&tiny(), &whole, 13, &line);
    // At the same time, as on a cluster.
    let shards = ["1/3", "2/3", "3/3"].map(|shard| {
        let line = format!("{line} --num 13 --per-file 2 --batch-size 3 --shard {shard}");
        let mut shard = Command::new(env!("CARGO_BIN_EXE_conjoint"));
        shard.args(command(&tiny(), &parts, &line)).stdout(Stdio::null()).stderr(Stdio::piped());
        shard.spawn().unwrap()
    });
    for shard in shards {
        let output = shard.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(Store::open(&parts).unwrap().read(None).unwrap(), expected);
    assert_eq!(parquet_files(&parts).len(), 7);
    let lengths: Vec<usize> = expected[..3].iter().map(|row| row.prompt_len).collect();
    assert_eq!((lengths[0], expected[3].prompt_len), (1, 1));
    assert!(lengths[1] > lengths[0] && lengths[2] != lengths[0], "{lengths:?}");
    for row in &expected {
        row.validate(1000).unwrap();
        assert_eq!(row.prompt_len, lengths[row.index as usize % 3]);
    }
    let other = make(&tiny(), &parts, &format!("{line} --num 13 --top-p 0.9"));
    assert_eq!(other.status.code(), Some(2));
    for part in ["--out", "_settings.json", "top-p = none", "0.9", "another folder"] {
        assert!(stderr(&other).contains(part), "{}", stderr(&other));
    }

    // The next run names a damaged file.
    let (file, _) = parquet_files(&parts).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    let damaged = make(&tiny(), &parts, &format!("{line} --num 20"));
    assert_eq!(damaged.status.code(), Some(1));
    assert!(stderr(&damaged).contains(&file.display().to_string()), "{}", stderr(&damaged));
}

#[test]
fn a_sampler_layer_draws_as_in_generate() {
    let folder = tempfile::tempdir().unwrap();
    let rows = made(&tiny(), &folder.path().join("joint"), 4, "--prompt <list> --seed 3 --joint 8");
    let line = "--prompt <list> --gen-length 47 --num-samples 4 --seed 3 --schedule per-step:8";
    let generated = common::generate_json(&tiny(), &format!("{line} --unmasker joint"));
    let ids = |i: usize| -> Vec<u64> {
        let ids = generated["sequences"][i]["tokens"].as_array().unwrap();
        ids.iter().map(|id| id.as_u64().unwrap()).collect()
    };
    for row in &rows {
        let tokens: Vec<u64> = row.tokens.iter().map(|&id| id.into()).collect();
        assert_eq!(tokens, ids(row.index as usize));
    }
    // K is a setting, and so is the layer, but not the folder that it is in.
    let copy = export("dream-tiny", Some("adjust-dream-tiny"));
    let (bare, out) = (export("dream-tiny", None), folder.path().join("fixture"));
    let line = format!("--num 3 --length 8 --joint 3 --sampler {}", copy.path().display());
    let drawn = make(bare.path(), &out, &line);
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    let own = made(copy.path(), &out, 3, "--length 8 --joint 3");
    assert_eq!(own, made(copy.path(), &folder.path().join("own"), 3, "--length 8 --joint 3"));
    assert_ne!(own, made(bare.path(), &folder.path().join("exact"), 3, "--length 8"));
    let exact = make(copy.path(), &out, "--num 3 --length 8");
    common::rejected(&exact, &["--out", "sampler = sampler", "none is given"]);
    let other =
        make(&tiny(), &folder.path().join("joint"), "--num 4 --prompt <list> --seed 3 --joint 8,4");
    common::rejected(&other, &["--out", "tokens a step = [8]", "[8, 4]"]);
    for (line, parts) in [
        (
            "--num 2 --length 8 --joint 2",
            &["'2' for '--joint'", "without a sampler layer", "--sampler"][..],
        ),
        ("--num 2 --length 8 --joint 0", &["--joint"]),
        ("--num 2 --length 8 --sampler x", &["--joint"]),
        ("--num 2 --length 8 --joint 2 --sampler nowhere", &["--sampler", "no such folder"]),
        ("--texts nowhere --length 8 --joint 2", &["--texts"]),
    ] {
        common::rejected(&make(bare.path(), &folder.path().join("bare"), line), parts);
    }
}

#[test]
fn given_texts_are_revealed_in_the_models_order() {
    let folder = tempfile::tempdir().unwrap();
    let [texts, lines] = ["texts.jsonl", "lines.txt"].map(|name| folder.path().join(name));
    let objects =
        "{\"prompt\": \"<story>\", \"text\": \"the owl sat.\"}\n{\"text\": \"the owl\"}\n";
    std::fs::write(&texts, objects).unwrap();
    std::fs::write(&lines, "the owl\n").unwrap();
    let read = |file: &Path, name: &str| {
        let out = folder.path().join(name);
        let output = make(&tiny(), &out, &format!("--length 16 --texts {}", file.display()));
        assert!(output.status.success(), "{}", stderr(&output));
        Store::open(&out).unwrap().read(None).unwrap()
    };
    let (rows, plain) = (read(&texts, "a"), read(&lines, "b"));
    assert_eq!((rows.len(), rows[0].prompt_len, rows[1].prompt_len), (2, 1, 0));
    assert_eq!((&plain[0].tokens, &plain[0].order), (&rows[1].tokens, &rows[1].order));
    let end = rows[0].tokens[15];
    assert!(rows[0].tokens.starts_with(&rows[0].tokens[..13]) && rows[0].tokens[13..] == [end; 3]);
    assert!(!rows[0].tokens[..13].contains(&end));
    rows[0].validate(1000).unwrap();

    let long =
        make(&tiny(), &folder.path().join("c"), &format!("--length 9 --texts {}", texts.display()));
    assert_eq!(long.status.code(), Some(2));
    assert!(stderr(&long).contains("text number 1"), "{}", stderr(&long));
}

#[test]
fn invalid_values_name_their_flag() {
    let model = export("dream-tiny", None);
    let folder = tempfile::tempdir().unwrap();
    for (line, flag) in [
        ("--length 8", "--num"),
        ("--num 0 --length 8", "--num"),
        ("--num 4 --length 1", "--length"),
        ("--num 4 --length 8 --shard 3/2", "--shard"),
        ("--num 4 --length 8 --temperature 0", "--temperature"),
        ("--num 4 --length 8 --top-p 2", "--top-p"),
        ("--num 4 --length 8 --per-file 0", "--per-file"),
        ("--num 4 --length 8 --batch-size 0", "--batch-size"),
        ("--num 4 --length 8 --prompt hello", "--prompt"),
        ("--num 4 --length 8 --prompts nowhere", "--prompts"),
        ("--texts nowhere --top-p 0.5 --length 8", "--texts"),
    ] {
        let output = make(model.path(), folder.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}\n{}", stderr(&output));
        assert!(stderr(&output).contains(flag), "{line}\n{}", stderr(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
