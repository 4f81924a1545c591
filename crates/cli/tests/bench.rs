//! `conjoint bench`: its counts, the parts of a step, and its random models.

mod common;

use std::path::Path;

use common::{conjoint, export, stderr};
use serde_json::Value;

const SIZES: &str = "16,2,24,4,2,50";

fn make(folder: &Path, sizes: &str, more: &[&str]) -> std::process::Output {
    let folder = folder.to_string_lossy();
    conjoint(&[&["bench", "--make-model", sizes, &folder], more].concat())
}

/// Runs `conjoint bench` with these arguments, given as one line; returns its report.
fn bench(model: &Path, arguments: &str) -> Value {
    let json = tempfile::tempdir().unwrap();
    let file = json.path().join("report.json");
    let (model, file_name) = (model.to_string_lossy(), file.to_string_lossy());
    let mut all = vec!["bench", "--model", &model, "--json", &file_name, "--threads", "1"];
    all.extend(arguments.split_whitespace());
    let output = conjoint(&all);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    // A line a run, under a heading of two.
    assert_eq!(table.lines().count(), 2 + report["runs"].as_array().unwrap().len(), "{table}");
    report
}

#[test]
fn calls_are_counted_and_the_parts_of_a_step_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("random");
    assert!(make(&model, SIZES, &[]).status.success());
    let report = bench(
        &model,
        "--prompt-length 3 --gen-length 8 --k 4 --num-samples 3 --batch-size 2 --repeats 3 \
         --strategies exact,marginal,joint,marginal+llada:2",
    );
    let runs = report["runs"].as_array().unwrap();
    // Two batches: of two sequences, and of one.
    let expected = [
        ("exact", "K = 1", 16, 0),
        ("marginal", "K = 4", 4, 0),
        ("joint", "K = 4", 4, 12),
        ("marginal+llada", "llada:2", 4, 0),
    ];
    assert_eq!(runs.len(), expected.len());
    for (run, (strategy, setting, forwards, passes)) in runs.iter().zip(expected) {
        assert_eq!((&run["strategy"], &run["setting"]), (&strategy.into(), &setting.into()));
        assert_eq!((&run["forwards"], &run["sampler_passes"]), (&forwards.into(), &passes.into()));
        assert_eq!(run["tokens"], 24);
        assert_eq!(run["all_seconds"].as_array().unwrap().len(), 3);
        let step = run["step"].as_object().unwrap();
        let parts: f64 = step.values().map(|part| part.as_f64().unwrap()).sum();
        let whole = 1e3 * run["seconds"].as_f64().unwrap() / f64::from(forwards);
        assert!((parts - whole).abs() < 1e-6 * whole, "{run}");
        for (part, ms) in step {
            let absent = part.starts_with("sampler") && passes == 0;
            assert_eq!(ms.as_f64().unwrap() == 0.0, absent, "{part} of {run}");
        }
        assert_eq!(run["pass_per_forward"].is_null(), passes == 0);
        let outside = run["outside"].as_f64().unwrap();
        assert!(outside > 0.0 && outside < 1.0, "{run}");
        let sequences = run["sequences"].as_array().unwrap();
        for (sequence, prompt) in sequences.iter().zip(report["prompts"].as_array().unwrap()) {
            let sequence = sequence.as_array().unwrap();
            assert_eq!(sequence.len(), 11);
            assert_eq!(&sequence[..3], &prompt.as_array().unwrap()[..]);
            assert!(!sequence.contains(&49.into()), "the mask is never drawn");
        }
        assert_eq!(sequences.len(), 3);
    }
}

#[test]
fn measuring_changes_no_token() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let report = bench(
        model.path(),
        "--prompt-length 2 --gen-length 6 --k 3 --strategies joint --repeats 1 --seed 5",
    );
    let prompt: Vec<String> =
        report["prompts"][0].as_array().unwrap().iter().map(ToString::to_string).collect();
    let generated = common::generate_json(
        model.path(),
        &format!(
            "--prompt-ids {} --gen-length 6 --unmasker joint --schedule per-step:3 --seed 5",
            prompt.join(",")
        ),
    );
    assert_eq!(report["runs"][0]["sequences"][0], generated["sequences"][0]["tokens"]);
}

#[test]
fn a_random_model_is_decided_by_its_seed_and_has_varied_rows() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |name: &str, more: &[&str]| {
        let model = folder.path().join(name);
        let output = make(&model, SIZES, more);
        assert!(output.status.success(), "{}", stderr(&output));
        std::fs::read(model.join("model.safetensors")).unwrap()
    };
    let (first, again) = (weights("first", &[]), weights("again", &[]));
    assert_eq!(first, again);
    assert_ne!(first, weights("other", &["--seed", "1"]));
    // Half the bytes a number, and the same sizes but for the header.
    let short = weights("short", &["--dtype", "bfloat16"]).len();
    assert!(short > first.len() / 2 - 4096 && short < first.len() / 2 + 4096);

    // Each is a model: greedy texts of different ones differ, and are no repetition of one token.
    let greedy = |name: &str| {
        let arguments = "--prompt-length 4 --gen-length 12 --strategies exact --repeats 1 \
                         --temperature 0";
        bench(&folder.path().join(name), arguments)["runs"][0]["sequences"][0].clone()
    };
    let texts = ["first", "other", "short"].map(greedy);
    assert_eq!(texts[0], greedy("again"));
    assert_ne!(texts[0], texts[1]);
    for text in texts {
        let mut kinds: Vec<u64> =
            text.as_array().unwrap()[4..].iter().map(|token| token.as_u64().unwrap()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert!(kinds.len() >= 4, "{kinds:?}");
    }
}

#[test]
fn invalid_values_name_their_flag_and_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    for (name, sizes, expected) in [
        ("taken", SIZES, "already exists"),
        ("new", "16,2,24,3,2,50", "expected HEADS that divide D"),
        ("new", "16,2", "six numbers"),
    ] {
        let output = make(&folder.path().join(name), sizes, &[]);
        assert_eq!(output.status.code(), Some(2));
        let error = stderr(&output);
        assert!(error.contains("--make-model") && error.contains(expected), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(taken).unwrap().count(), 0);
    for (arguments, flag) in [
        (&["bench"][..], "--model"),
        (&["bench", "--model", "a", "--make-model", SIZES, "b"], "--make-model"),
        (&["bench", "--model", "a", "--dtype", "bfloat16"], "--dtype"),
        (&["bench", "--model", "a", "--repeats", "0"], "--repeats"),
        (&["bench", "--model", "a", "--strategies", "magic"], "--strategies"),
    ] {
        let output = conjoint(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(flag), "{}", stderr(&output));
    }
}
