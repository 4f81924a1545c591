//! A value that cannot work ends with 2, and the error names its flag, itself and what would do.

mod common;

use common::{conjoint, export, fixtures, refused, tiny};

/// Runs a line, in which `{}` are these folders in turn.
fn run(line: &str, folders: &[&std::path::Path]) -> std::process::Output {
    let mut folders = folders.iter();
    let word = |word: &str| match word {
        "{}" => folders.next().unwrap().as_os_str().to_owned(),
        word => word.replace('_', " ").into(),
    };
    conjoint(&line.split_whitespace().map(word).collect::<Vec<_>>())
}

#[test]
fn lengths_are_those_of_what_was_given() {
    let tiny = tiny();
    let long = "the_owl_and_the_owl_and_the_owl_and_the_owl_and_the_owl";
    for (line, parts) in [
        (format!("--infill {long}[MASK*4]"), ["'--infill'", "59 tokens", "48 positions"]),
        (format!("--prompt {long} --gen-length 4"), ["'--prompt'", "55 tokens", "48 positions"]),
        ("--prompt the_owl --gen-length 44".into(), ["'44' for '--gen-length'", "7 tokens", "41"]),
        ("--unconditional --gen-length 49".into(), ["'49' for '--gen-length'", "at most", "48"]),
        ("--infill-ids 2,0,56".into(), ["'2,0,56' for '--infill-ids'", "id 56", "of 56 ids"]),
    ] {
        refused(&run(&format!("generate --model {{}} {line}"), &[&tiny]), &parts);
    }
    for (line, parts) in [
        ("--prompt-length 48 --gen-length 1", ["'48' for '--prompt-length'", "48 positions"]),
        ("--prompt-length 8 --gen-length 41", ["'41' for '--gen-length'", "room for 40"]),
    ] {
        refused(&run(&format!("bench --model {{}} {line}"), &[&tiny]), &parts);
    }
    let out = tempfile::tempdir().unwrap();
    for command in ["compare", "eval", "trajectories --num 4"] {
        let line = format!("{command} --model {{}} --out {{}} --length 49");
        refused(&run(&line, &[&tiny, out.path()]), &["'49' for '--length'", "at most 48"]);
    }
    let prompts = out.path().join("prompts.txt");
    std::fs::write(&prompts, "the owl sees the owl\n").unwrap();
    let line = "compare --model {} --out {} --num-samples 2 --length 9 --prompts {}";
    let output = run(line, &[&tiny, out.path(), &prompts]);
    refused(&output, &["'9' for '--length'", "a prompt of 20 tokens fills it"]);
}

#[test]
fn a_missing_part_names_the_flag_that_gives_it() {
    let bare = export("dream-tiny", None);
    let line = "generate --model {} --prompt-ids 5 --gen-length 8 --unmasker";
    let output = run(&format!("{line} joint"), &[bare.path()]);
    refused(&output, &["'joint' for '--unmasker'", "--sampler", "conjoint train sampler"]);
    let output = run(&format!("{line} copula"), &[bare.path()]);
    refused(&output, &["'copula' for '--unmasker'", "--scorer", "ngram:3:FILE"]);
    let output = run(&format!("{line} joint --sampler {{}}"), &[bare.path(), &tiny()]);
    refused(&output, &["'--sampler'", "hidden size", "another model"]);
    let output = run(&format!("{line} joint --sampler {{}}"), &[bare.path(), bare.path()]);
    refused(&output, &["'--sampler'", "no sampler layer"]);
    let output = run(&format!("{line} copula --scorer onnx:nowhere"), &[bare.path()]);
    refused(&output, &["'onnx:nowhere' for '--scorer'", "no such file"]);
}

#[test]
fn what_a_run_refuses_names_its_flag() {
    let tiny = tiny();
    let everything: Vec<String> = (0..56).map(|id| id.to_string()).collect();
    for (line, parts) in [
        (format!("--ban {}", everything.join(",")), ["'--ban'", "no token is left"]),
        ("--block-length 3".into(), ["'3' for '--block-length'", "does not divide the 8"]),
        (
            "--unmasker marginal --schedule linear:3 --block-length 4".into(),
            ["'linear:3' for '--schedule'", "a multiple of 2"],
        ),
        (
            "--unmasker marginal --schedule linear:4 --block-length 4 --open-next-block 0.1".into(),
            ["'0.1' for '--open-next-block'", "without a total number of steps"],
        ),
    ] {
        let line = format!("generate --model {{}} --unconditional --gen-length 8 {line}");
        refused(&run(&line, &[&tiny]), &parts);
    }
    let out = tempfile::tempdir().unwrap();
    let free = out.path().join("out");
    let line = "compare --model {} --out {} --num-samples 2 --strategies exact,p2 --steps 16";
    for (more, parts) in [
        ("--block-length 23", ["'23' for '--block-length'", "the 47 positions"]),
        ("--block-length 1", ["'p2 linear:3' for '--strategies'", "a multiple of 47"]),
    ] {
        refused(&run(&format!("{line} {more}"), &[&tiny, &free]), &parts);
    }
    assert!(!free.exists());
    let bench = "bench --model {} --prompt-length 8 --gen-length 8 --block-length 3";
    refused(&run(bench, &[&tiny]), &["'3' for '--block-length'", "the 8 positions"]);
}

#[test]
fn files_and_folders_that_cannot_be_written_or_read_are_found_first() {
    let (tiny, folder) = (tiny(), tempfile::tempdir().unwrap());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let bench = "bench --model {} --prompt-length 8 --gen-length 8 --json {}";
    let output = run(bench, &[&tiny, &folder.path().join("none/a.json")]);
    refused(&output, &["'--json'", "there is no folder"]);
    refused(&run(bench, &[&tiny, folder.path()]), &["'--json'", "name of a file"]);
    let line = "trajectories --model {} --num 4 --length 8 --out {}";
    refused(&run(line, &[&tiny, &file]), &["'--out'", "expected a folder"]);
    let checkpoint = fixtures().join("llada-tiny");
    refused(&run("export {} --out {}", &[&checkpoint, &file]), &["'--out'", "expected a folder"]);
    refused(&run("export {}", &[&file]), &["'CHECKPOINT_DIR'", "this is a file"]);
    let none = folder.path().join("none");
    let line = "export {} --out {} --sampler {}";
    let output = run(line, &[&checkpoint, &none, &file]);
    refused(&output, &["'--sampler'", "this is a file"]);
    let output = run(line, &[&checkpoint, &none, &fixtures().join("dream-tiny")]);
    refused(&output, &["'--sampler'", "drafter.norm_embed", "no sampler layer"]);
    assert!(!none.exists());
    refused(
        &run("export {} --out {} --head-top 1", &[&checkpoint, &none]),
        &["'1' for '--head-top'"],
    );
    let line = "generate --model {} --unconditional --gen-length 8 --head condensed";
    refused(&run(line, &[&tiny]), &["'condensed' for '--head'", "conjoint export --head-top"]);
    let line = "train base --dir {} --steps 1 --init {}";
    let output = run(line, &[&none, &tiny.join("config.json")]);
    refused(&output, &["'--init'", "a checkpoint's model.safetensors"]);
    assert!(!none.exists());
    if !cfg!(feature = "cuda") {
        let line = "generate --model {} --unconditional --gen-length 8 --provider cuda";
        refused(&run(line, &[&tiny]), &["'--provider'", "feature `cuda`"]);
    }
}
