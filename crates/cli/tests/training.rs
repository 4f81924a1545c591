//! Training from the command line: a run is resumed, and nothing is overwritten.
#![cfg(feature = "train")]

mod common;

use std::path::Path;
use std::process::Output;

use common::{conjoint, stderr};

/// A base model that trains in a second.
fn base(dir: &Path, more: &str) -> Output {
    let dir = dir.to_string_lossy();
    let line = format!("--hidden 16 --layers 1 --ffn 24 --batch 4 --quiet {more}");
    let mut arguments = vec!["train", "base", "--dir", &dir];
    arguments.extend(line.split_whitespace());
    conjoint(&arguments)
}

fn sampler(model: &Path, dir: &Path, more: &str) -> Output {
    let (model, dir) = (model.to_string_lossy(), dir.to_string_lossy());
    let line = format!("--batch 4 --workers 1 --depth 2 --quiet {more}");
    let mut arguments = vec!["train", "sampler", "--model", &model, "--dir", &dir];
    arguments.extend(line.split_whitespace());
    conjoint(&arguments)
}

#[test]
fn rows_and_averages_are_as_the_flags_say() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |name: &str, more: &str| {
        let run = folder.path().join(name);
        let output = base(&run, &format!("--steps 12 {more}"));
        assert!(output.status.success(), "{}", stderr(&output));
        std::fs::read(run.join("model.safetensors")).unwrap()
    };
    let plain = weights("plain", "");
    assert_eq!(plain, weights("same", "--average-decay 0.999 --progressive-share 0"));
    let progressive = weights("progressive", "--progressive-share 0.5");
    assert!(plain != progressive && plain != weights("last", "--average-decay 0"));
    assert_ne!(progressive, weights("turns", "--progressive-share 0.5 --progressive-turns 2"));
    let window = "--progressive-share 0.5 --window 2 --window-share 0.5";
    assert_ne!(progressive, weights("window", window));
    let rejects = |more: &str, parts: &[&str]| {
        let run = folder.path().join("rejects");
        common::rejected(&base(&run, &format!("--steps 1 {more}")), parts);
    };
    rejects("--average-decay 1", &["--average-decay", "below 1"]);
    rejects("--progressive-share 1.5", &["--progressive-share", "from 0 to 1"]);
    rejects("--window 2", &["--progressive-share"]);
    rejects("--progressive-turns 2", &["--progressive-share"]);
    rejects("--progressive-share 0.5 --progressive-turns 0", &["--progressive-turns"]);
}

#[test]
fn a_base_and_its_sampler_layer_are_trained_exported_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let [run, layer, model] = ["run", "layer", "model"].map(|name| folder.path().join(name));
    for steps in [2, 4] {
        let output = base(&run, &format!("--steps {steps} --half"));
        assert!(output.status.success(), "{}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with(&format!("{steps} steps")), "{text}");
    }
    let other = base(&run, "--steps 6 --seed 3");
    assert_eq!(other.status.code(), Some(2));
    for part in ["--dir", "seed = 0"] {
        assert!(stderr(&other).contains(part), "{}", stderr(&other));
    }

    let export = |more: &[&str]| {
        let run = run.to_string_lossy();
        let output = conjoint(&[&["export", &run][..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    };
    export(&[]);
    let trained = sampler(&run, &layer, "--steps 2 --trajectories 65");
    assert!(trained.status.success(), "{}", stderr(&trained));
    from_a_folder_or_texts(folder.path(), &run, &trained);
    let over = sampler(&run, &run, "--steps 2");
    assert_eq!(over.status.code(), Some(2));
    assert!(stderr(&over).contains("--dir"), "{}", stderr(&over));

    export(&["--sampler", &layer.to_string_lossy(), "--out", &model.to_string_lossy()]);
    let line = "--prompt <story> --gen-length 8 --unmasker joint --schedule per-step:4";
    let report = common::generate_json(&model, line);
    assert!(report["sequences"][0]["text"].as_str().unwrap().starts_with("<story>"));
    assert_eq!(report["sequences"][0]["sampler_calls"], 6);

    // A model without a checkpoint is never trained over.
    let over = base(&model, "--steps 2");
    assert_eq!(over.status.code(), Some(2));
    for part in ["--dir", "overwrite"] {
        assert!(stderr(&over).contains(part), "{}", stderr(&over));
    }
}

#[test]
fn a_packed_model_gets_a_layer_on_trajectories_in_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let [run, layer, model, out] =
        ["run", "layer", "model", "out"].map(|name| folder.path().join(name));
    let done = |output: Output| {
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    done(base(&run, "--steps 2 --length 65 --packed"));
    common::rejected(&base(&run, "--steps 4 --length 65"), &["--dir", "packed = true"]);
    let [run, layer_dir, joint, figures] =
        [&run, &layer, &model, &out].map(|path| path.to_string_lossy().into_owned());
    done(conjoint(&["export", &run]));
    let trained =
        done(sampler(Path::new(&run), &layer, "--steps 2 --trajectories 65 --block-length 16"));
    assert!(String::from_utf8_lossy(&trained.stdout).starts_with("2 steps"));
    let made = conjoint_trajectory::Store::open(layer.join("trajectories")).unwrap();
    assert_eq!(made.settings().get("block length"), Some("16"));
    for row in made.read(Some(65)).unwrap() {
        assert!(row.order.iter().map(|position| (position - 1) / 16).is_sorted());
        assert_eq!((row.prompt_len, row.tokens.len()), (1, 65));
    }
    done(conjoint(&["export", &run, "--sampler", &layer_dir, "--out", &joint]));
    let line = format!(
        "compare --model {joint} --strategies marginal,joint --k 8 --num-samples 3 --block-length 16 --packed \
         --metrics right,parses,nll --out {figures}"
    );
    done(conjoint(&line.split_whitespace().collect::<Vec<_>>()));
    let report = std::fs::read_to_string(out.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    for point in report["points"].as_array().unwrap() {
        // Rows are resampled, not the texts in them.
        assert_eq!(point["metrics"]["right"]["n"], 3, "{point}");
    }
    let stopped = conjoint(&format!("{line} --stop-at-eos").split_whitespace().collect::<Vec<_>>());
    common::rejected(&stopped, &["--packed", "end token"]);
}

/// From training to joint draws, in attention blocks of 8.
#[test]
fn a_block_causal_model_is_trained_and_gets_a_sampler_layer() {
    let folder = tempfile::tempdir().unwrap();
    let [run, layer, model] = ["run", "layer", "model"].map(|name| folder.path().join(name));
    let done = |output: Output| {
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    done(base(&run, "--steps 2 --attention-block 8"));
    let exported = done(conjoint(&["export", &run.to_string_lossy()]));
    let shown = String::from_utf8_lossy(&exported.stdout).into_owned();
    assert!(shown.contains("blocks of 8 positions"), "{shown}");
    // Without a prompt, blocks from position 0 are those from the end of the prompt.
    done(sampler(&run, &layer, "--steps 2 --trajectories 65 --block-length 8 --prompt="));
    let made = conjoint_trajectory::Store::open(layer.join("trajectories")).unwrap();
    for row in made.read(Some(65)).unwrap() {
        assert!(row.order.iter().map(|position| position / 8).is_sorted(), "{row:?}");
    }
    let (layer, model_dir) = (layer.to_string_lossy(), model.to_string_lossy());
    done(conjoint(&["export", &run.to_string_lossy(), "--sampler", &layer, "--out", &model_dir]));
    let line = "--prompt <story> --gen-length 39 --unmasker joint --schedule per-step:4";
    let report = common::generate_json(&model, line);
    let sequence = &report["sequences"][0];
    // 7 positions, then four blocks of 8.
    assert_eq!(sequence["denoiser_calls"], 2 + 4 * 2, "{sequence}");
    let other = base(&folder.path().join("other"), "--steps 2 --attention-block 8 --given-end");
    common::rejected(&other, &["--attention-block", "--given-end"]);
}

/// Its weights are pickled, and its head is a network.
#[test]
fn an_encoder_gets_a_sampler_layer() {
    let folder = tempfile::tempdir().unwrap();
    let [base, layer, model] = ["base", "layer", "model"].map(|name| folder.path().join(name));
    std::fs::create_dir(&base).unwrap();
    for name in ["config.json", "pytorch_model.bin"] {
        std::fs::copy(common::fixtures().join("bert-tiny").join(name), base.join(name)).unwrap();
    }
    let export = |more: &[&str]| {
        let base = base.to_string_lossy();
        let output = conjoint(&[&["export", &base][..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    };
    export(&[]);
    let trained = sampler(&base, &layer, "--steps 2 --trajectories 65 --length 12 --prompt=");
    assert!(trained.status.success(), "{}", stderr(&trained));
    export(&["--sampler", &layer.to_string_lossy(), "--out", &model.to_string_lossy()]);
    let line = "--unconditional --gen-length 8 --unmasker joint --schedule per-step:4";
    let report = common::generate_json(&model, line);
    assert_eq!(report["sequences"][0]["sampler_calls"], 6);
}

/// The run's own trajectories, given as a folder, train the same layer. Others do not resume it. A file of texts works as well.
fn from_a_folder_or_texts(folder: &Path, model: &Path, trained: &Output) {
    let [own, layer, texts] = ["layer/trajectories", "again", "texts.txt"].map(|n| folder.join(n));
    let again = sampler(model, &layer, &format!("--steps 2 --trajectories-dir {}", own.display()));
    assert!(again.status.success(), "{}", stderr(&again));
    let figures = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().skip(1).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(figures(&again), figures(trained));
    // A second folder makes another run, which does not train the same layer.
    let more = folder.join("more");
    let made = |length: &str| {
        let [model, out] = [model, &more].map(|path| path.to_string_lossy());
        let line = ["trajectories", "--model", &model, "--out", &out, "--num", "3", "--seed", "9"];
        let output = conjoint(&[&line[..], &["--prompt", "<list>", "--length", length]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    };
    made("48");
    let dirs = |other: &Path| {
        let [own, other] = [&own, other].map(|path| path.display());
        format!("--steps 2 --trajectories-dir {own} --trajectories-dir {other}")
    };
    common::rejected(&sampler(model, &layer, &dirs(&more)), &["--dir", "trajectories = "]);
    let both = sampler(model, &folder.join("both"), &dirs(&more));
    assert!(both.status.success() && figures(&both) != figures(trained), "{}", stderr(&both));
    let twice = sampler(model, &folder.join("twice"), &dirs(&own));
    common::rejected(&twice, &["--trajectories-dir", "twice"]);
    std::fs::remove_dir_all(&more).unwrap();
    // Folders may differ in the length of their texts.
    made("20");
    let short = sampler(model, &folder.join("short"), &dirs(&more));
    assert!(short.status.success() && figures(&short) != figures(trained), "{}", stderr(&short));
    let missing = format!("--steps 2 --trajectories 66 --trajectories-dir {}", own.display());
    let missing = sampler(model, &layer, &missing);
    assert_eq!(missing.status.code(), Some(2));
    let few = format!("--steps 2 --held-out 65 --trajectories-dir {}", own.display());
    common::rejected(&sampler(model, &folder.join("few"), &few), &["'65' for '--held-out'"]);
    // Without having made trajectories first.
    let none = folder.join("none");
    let shares = "--steps 2 --own-share 0.5 --random-share 0.6";
    common::rejected(&sampler(model, &none, shares), &["'0.6' for '--random-share'", "0.5"]);
    let few = "--steps 2 --trajectories 64";
    common::rejected(&sampler(model, &none, few), &["'64' for '--trajectories'", "--held-out"]);
    for (line, part) in [
        ("--early-power 0", "'0' for '--early-power"),
        ("--early-power 2 --random-share 1", "'--early-power 2' would have no effect"),
        ("--divergence l2", "'l2' for '--divergence"),
    ] {
        common::rejected(&sampler(model, &none, &format!("--steps 2 {line}")), &[part]);
    }
    for (flag, name) in
        [("--early-power 2", "early_power"), ("--divergence reverse-kl", "divergence")]
    {
        let line = format!("--steps 2 --trajectories-dir {} {flag}", own.display());
        common::rejected(&sampler(model, &layer, &line), &["--dir", name]);
    }
    if cfg!(not(feature = "train-wgpu")) {
        let gpu = sampler(model, &none, "--steps 2 --device wgpu");
        common::rejected(&gpu, &["'wgpu' for '--device'", "feature"]);
    }
    assert!(!none.exists());
    for part in ["'66' for '--trajectories'", "no trajectories 65 to 65"] {
        assert!(stderr(&missing).contains(part), "{}", stderr(&missing));
    }
    let tiny = conjoint_models::tiny();
    let other = sampler(&tiny, &layer, &format!("--steps 2 --trajectories-dir {}", own.display()));
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("another model"), "{}", stderr(&other));

    let lines: String = (0..66).map(|i| format!("<list>sort: {}\n", "ab ".repeat(i % 5))).collect();
    std::fs::write(&texts, lines).unwrap();
    let line = format!("--steps 3 --length 20 --texts {}", texts.display());
    let other = sampler(model, &layer, &line);
    assert!(stderr(&other).contains("trajectories = "), "{}", stderr(&other));
    let from_texts = sampler(model, &folder.join("texts"), &line);
    assert!(from_texts.status.success(), "{}", stderr(&from_texts));
}

/// The whole recipe at the size of a fixture, for both published architectures: trajectories, training with the published
/// choices, export, joint sampling and metrics.
#[test]
fn the_recipe_of_large_models_runs_on_both_architectures() {
    for name in ["dream-tiny", "llada-tiny"] {
        let base = common::export(name, None);
        let folder = tempfile::tempdir().unwrap();
        let [own, layer, model] = ["own", "layer", "model"].map(|name| folder.path().join(name));
        let run = |command: &str, paths: &[(&str, &Path)], more: &str| {
            let paths = paths.iter().map(|(flag, path)| format!("{flag} {}", path.display()));
            let line = [command.to_owned(), paths.collect::<Vec<_>>().join(" "), more.to_owned()];
            let line = line.join(" ");
            let output = conjoint(&line.split_whitespace().collect::<Vec<_>>());
            assert!(output.status.success(), "{name}: {line}\n{}", stderr(&output));
        };
        let frozen = ("--model", base.path());
        run("trajectories", &[frozen, ("--out", &own)], "--num 12 --length 10 --quiet");
        // The second run finds the frozen model's answers in the file; they change nothing.
        let again = folder.path().join("again");
        let answers = folder.path().join("answers");
        for dir in [&layer, &again] {
            run(
                "train sampler",
                &[frozen, ("--trajectories-dir", &own), ("--dir", dir), ("--answers", &answers)],
                "--layers 2 --steps 3 --batch 4 --micro-batch 1 --depth 3 --held-out 2 --workers 1 \
                 --window 4 --own-share 0.25 --random-share 0.5 --cache-mib 0 --quiet",
            );
        }
        let weights = |dir: &Path| std::fs::read(dir.join("model.safetensors")).unwrap();
        assert_eq!(weights(&layer), weights(&again), "{name}");
        run("export", &[("", base.path()), ("--sampler", &layer), ("--out", &model)], "");
        let line = "--prompt-ids 5,9,2 --gen-length 8 --unmasker joint --schedule per-step:4";
        let report = common::generate_json(&model, line);
        assert_eq!(report["sequences"][0]["denoiser_calls"], 2, "{name}");
        assert_eq!(report["sequences"][0]["sampler_calls"], 6, "{name}");
        let closeness = folder.path().join("closeness");
        run(
            "eval",
            &[("--model", &model), ("--out", &closeness)],
            "--unconditional --length 10 --k 2 --num-samples 20 --metrics nll,mauve,neighbours",
        );
        let report = std::fs::read(closeness.join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let points = report["points"].as_array().unwrap();
        let names: Vec<_> = points.iter().map(|p| p["strategy"].as_str().unwrap()).collect();
        assert_eq!(names, ["exact", "marginal", "joint"], "{name}");
        for point in points {
            for figure in ["NLL", "MAUVE", "neighbours"] {
                let value = point["metrics"][figure]["value"].as_f64().unwrap();
                assert!(value.is_finite() && value >= 0.0, "{name}: {figure} of {point}");
            }
            assert_eq!(point["tokens"], 200, "{name}: {point}");
        }
        let text = std::fs::read_to_string(closeness.join("report.md")).unwrap();
        assert!(text.contains("MAUVE is on the mean final hidden state"), "{text}");
    }
}

#[test]
fn invalid_values_name_their_flag_and_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for bad in [
        "--steps 0",
        "--minutes 0",
        "--minutes nan",
        "--steps 1 --muon -1",
        "--steps 1 --adamw inf",
        "--steps 1 --early-share 2",
        "--steps 1 --workers 0",
        "--steps 1 --heads 0",
        "--steps 1 --kv-heads 3 --heads 4",
        "--steps 1 --workers 5",
        "--steps 1 --early-limit 0",
        "--steps 1 --optimizer adamw --muon 0.1",
    ] {
        let output = base(folder.path(), bad);
        let flag = bad.split_whitespace().rev().nth(1).unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad}\n{}", stderr(&output));
        assert!(stderr(&output).contains(flag), "{bad}\n{}", stderr(&output));
        assert!(!stderr(&output).contains("multiple times"), "{bad}\n{}", stderr(&output));
    }
    let endless = stderr(&base(folder.path(), ""));
    assert!(endless.contains("<--minutes <M>|--steps <N>>"), "{endless}");
    let odd = base(folder.path(), "--steps 1 --heads 3");
    assert_eq!(odd.status.code(), Some(2));
    assert!(stderr(&odd).contains("'--heads 3' does not fit '--hidden 16'"), "{}", stderr(&odd));
}
