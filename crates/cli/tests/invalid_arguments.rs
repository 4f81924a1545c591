//! An invalid value exits with 2. The error names the flag, the value and the valid values.

mod common;

use common::{conjoint, export, fixtures, rejected, tiny};

/// Runs a line, with each `{}` replaced by one of these folders.
fn run(line: &str, folders: &[&std::path::Path]) -> std::process::Output {
    let mut folders = folders.iter();
    let word = |word: &str| match word {
        "{}" => folders.next().unwrap().as_os_str().to_owned(),
        word => word.replace('_', " ").into(),
    };
    conjoint(&line.split_whitespace().map(word).collect::<Vec<_>>())
}

#[test]
fn errors_of_lengths_name_the_input() {
    let tiny = tiny();
    let long = "the_owl_and_the_owl_and_the_owl_and_the_owl_and_the_owl";
    for (line, parts) in [
        (format!("--infill {long}[MASK*4]"), ["'--infill'", "59 tokens", "48 positions"]),
        (format!("--prompt {long} --gen-length 4"), ["'--prompt'", "55 tokens", "48 positions"]),
        ("--prompt the_owl --gen-length 44".into(), ["'44' for '--gen-length'", "7 tokens", "41"]),
        ("--unconditional --gen-length 49".into(), ["'49' for '--gen-length'", "at most", "48"]),
        ("--infill-ids 2,0,56".into(), ["'2,0,56' for '--infill-ids'", "id 56", "of 56 ids"]),
    ] {
        rejected(&run(&format!("generate --model {{}} {line}"), &[&tiny]), &parts);
    }
    for (line, parts) in [
        ("--prompt-length 48 --gen-length 1", ["'48' for '--prompt-length'", "48 positions"]),
        ("--prompt-length 8 --gen-length 41", ["'41' for '--gen-length'", "room for 40"]),
    ] {
        rejected(&run(&format!("bench --model {{}} {line}"), &[&tiny]), &parts);
    }
    let out = tempfile::tempdir().unwrap();
    for command in ["compare", "eval", "trajectories --num 4"] {
        let line = format!("{command} --model {{}} --out {{}} --length 49");
        rejected(&run(&line, &[&tiny, out.path()]), &["'49' for '--length'", "at most 48"]);
    }
    let prompts = out.path().join("prompts.txt");
    std::fs::write(&prompts, "the owl sees the owl\n").unwrap();
    let line = "compare --model {} --out {} --num-samples 2 --length 9 --prompts {}";
    let output = run(line, &[&tiny, out.path(), &prompts]);
    rejected(&output, &["'9' for '--length'", "a prompt of 20 tokens fills it"]);
}

#[test]
fn a_missing_part_names_its_flag() {
    let bare = export("dream-tiny", None);
    let line = "generate --model {} --prompt-ids 5 --gen-length 8 --unmasker";
    let output = run(&format!("{line} joint"), &[bare.path()]);
    rejected(&output, &["'joint' for '--unmasker'", "--sampler", "conjoint train sampler"]);
    let output = run(&format!("{line} copula"), &[bare.path()]);
    rejected(&output, &["'copula' for '--unmasker'", "--scorer", "ngram:3:FILE"]);
    let output = run(&format!("{line} joint --sampler {{}}"), &[bare.path(), &tiny()]);
    rejected(&output, &["'--sampler'", "hidden size", "another model"]);
    let output = run(&format!("{line} joint --sampler {{}}"), &[bare.path(), bare.path()]);
    rejected(&output, &["'--sampler'", "no sampler layer"]);
    let output = run(&format!("{line} copula --scorer onnx:nowhere"), &[bare.path()]);
    rejected(&output, &["'onnx:nowhere' for '--scorer'", "no such file"]);
}

#[test]
fn errors_of_a_run_name_their_flag() {
    let tiny = tiny();
    let everything: Vec<String> = (0..56).map(|id| id.to_string()).collect();
    for (line, parts) in [
        (format!("--ban {}", everything.join(",")), ["'--ban'", "no token is left"]),
        (
            "--unmasker marginal --schedule linear:2 --block-length 3".into(),
            ["'linear:2' for '--schedule'", "fewer than the 3 blocks"],
        ),
        (
            "--unmasker marginal --schedule linear:4 --block-length 4 --open-next-block 0.1".into(),
            ["'0.1' for '--open-next-block'", "without a total number of steps"],
        ),
    ] {
        let line = format!("generate --model {{}} --unconditional --gen-length 8 {line}");
        rejected(&run(&line, &[&tiny]), &parts);
    }
    let out = tempfile::tempdir().unwrap();
    let free = out.path().join("out");
    let line = "compare --model {} --out {} --num-samples 2 --strategies exact,p2 --steps 16";
    let parts = ["'p2 linear:3' for '--strategies'", "fewer than the 47 blocks"];
    rejected(&run(&format!("{line} --block-length 1"), &[&tiny, &free]), &parts);
    assert!(!free.exists());
}

#[test]
fn unreadable_and_unwritable_paths_are_found_first() {
    let (tiny, folder) = (tiny(), tempfile::tempdir().unwrap());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let bench = "bench --model {} --prompt-length 8 --gen-length 8 --json {}";
    let output = run(bench, &[&tiny, &folder.path().join("none/a.json")]);
    rejected(&output, &["'--json'", "there is no folder"]);
    rejected(&run(bench, &[&tiny, folder.path()]), &["'--json'", "name of a file"]);
    let line = "trajectories --model {} --num 4 --length 8 --out {}";
    rejected(&run(line, &[&tiny, &file]), &["'--out'", "expected a folder"]);
    let checkpoint = fixtures().join("llada-tiny");
    rejected(&run("export {} --out {}", &[&checkpoint, &file]), &["'--out'", "expected a folder"]);
    rejected(&run("export {}", &[&file]), &["'CHECKPOINT_DIR'", "this is a file"]);
    let none = folder.path().join("none");
    let line = "export {} --out {} --sampler {}";
    let output = run(line, &[&checkpoint, &none, &file]);
    rejected(&output, &["'--sampler'", "this is a file"]);
    let output = run(line, &[&checkpoint, &none, &fixtures().join("dream-tiny")]);
    rejected(&output, &["'--sampler'", "drafter.norm_embed", "no sampler layer"]);
    assert!(!none.exists());
    rejected(
        &run("export {} --out {} --head-top 1", &[&checkpoint, &none]),
        &["'1' for '--head-top'", "at least 2, or 0"],
    );
    let line = "generate --model {} --unconditional --gen-length 8 --head condensed";
    rejected(&run(line, &[&tiny]), &["'condensed' for '--head'", "conjoint export --head-top"]);
    let line = "train base --dir {} --steps 1 --init {}";
    let output = run(line, &[&none, &tiny.join("config.json")]);
    rejected(&output, &["'--init'", "a checkpoint's model.safetensors"]);
    assert!(!none.exists());
    if !cfg!(feature = "cuda") {
        let line = "generate --model {} --unconditional --gen-length 8 --provider cuda";
        rejected(&run(line, &[&tiny]), &["'cuda' for '--provider'", "--features cuda"]);
    }
}
