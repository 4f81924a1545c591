//! Every parameter of a strategy can be set, and a flag without effect is rejected.

mod common;

use common::{conjoint, export, generate, generate_json, rejected, stderr, tiny};

#[test]
fn a_flag_that_the_strategy_does_not_take_is_rejected() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let sampler = format!("--sampler {}", model.path().display());
    for (line, parts) in [
        ("--schedule per-step:4", ["--schedule per-step:4", "'exact'", "marginal, confidence"]),
        ("--unmasker wino --schedule per-step:4", ["--schedule per-step:4", "'wino'", "klass"]),
        ("--unmasker wino:0.5 --order margin", ["--order margin", "'wino:0.5'", "exact, marginal"]),
        ("--unmasker p2 --schedule linear:4 --order margin", ["--order", "'p2'", "demask"]),
        ("--unmasker origin --order-temperature 1", ["--order-temperature 1", "'origin'", "joint"]),
        (&format!("--unmasker marginal {sampler}"), ["--sampler", "'marginal'", "clipped-joint"]),
        ("--scorer ngram:2:x", ["--scorer ngram:2:x", "'exact'", "energy, copula"]),
        ("--external ngram:2:x", ["--external", "unexpected", "Usage"]),
    ] {
        let output = generate(model.path(), &format!("--prompt-ids 5 --gen-length 8 {line}"));
        rejected(&output, &parts);
    }
}

#[test]
fn a_comparison_takes_the_flags_that_one_of_its_strategies_takes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let run = |command: &str, line: &str| {
        let (tiny, out) = (tiny(), out.display());
        let tiny = tiny.display();
        let line = match command {
            "bench" => format!("bench --model {tiny} {line}"),
            _ => format!("{command} --model {tiny} --out {out} --num-samples 2 --length 12 {line}"),
        };
        conjoint(&line.split_whitespace().collect::<Vec<_>>())
    };
    for (command, line, parts) in [
        ("bench", "--strategies exact --k 4", ["--k 4", "'exact'", "marginal"]),
        ("bench", "--strategies exact,wino --k 2,4", ["--k 2,4", "'exact', 'wino' do not", "p2"]),
        ("bench", "--strategies wino --order margin", ["--order margin", "'wino'", "joint"]),
        ("eval", "--unmaskers exact --k 4", ["--k 4", "'exact'", "marginal"]),
        ("compare", "--strategies wino --steps 4", ["--k 4", "'wino'", "marginal"]),
        ("compare", "--strategies marginal+threshold --k 4", ["--k", "'marginal'", "rcr"]),
        ("compare", "--strategies marginal,wino --sampler x", ["--sampler", "'wino'", "joint"]),
        ("compare", "--strategies wino --metrics right --order margin", ["--order", "'wino'", ""]),
        ("compare", "--external ngram:2:x", ["--external", "external-nll", "--metrics"]),
        ("compare", "--strategies wino+per-step:4", ["--strategies", "'wino'", "marginal"]),
        ("compare", "--strategies p2+threshold", ["--strategies", "p2", "linear:STEPS"]),
    ] {
        rejected(&run(command, line), &parts);
    }
    assert!(!out.exists());
    // The likelihood is that of `exact` in this order.
    let measured = run("compare", "--strategies wino --metrics nll --order margin");
    assert!(measured.status.success(), "{}", stderr(&measured));
}

#[test]
fn every_parameter_can_be_set() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let tokens = |line: &str| {
        let line = format!("--unconditional --gen-length 12 --seed 3 --num-samples 4 {line}");
        generate_json(model.path(), &line)["sequences"].clone()
    };
    let per_step = "--schedule per-step:4 --unmasker";
    let steps = "--schedule linear:6 --unmasker";
    // The defaults are those of the source.
    for (flags, short, long) in [
        ("--unmasker", "slow-fast", "slow-fast:6:0.3:0.9"),
        (per_step, "adaptive-joint", "adaptive-joint:entropy=1"),
        (per_step, "joint", "joint:window=12"), // never fewer than there are rows
        ("--unmasker", "verified", "verified:k=4:positions=exact"),
        (steps, "remdm", "remdm:cap:0.008"),
        (steps, "remdm:rescale", "remdm:rule=rescale:eta=0.015"),
        (steps, "origin", "origin:epsilon=0.001"),
        ("--unmasker marginal --schedule", "dream:6", "dream:6:epsilon=0.001"),
    ] {
        let [short, long] = [short, long].map(|name| tokens(&format!("{flags} {name}")));
        assert_eq!(short, long, "{flags}");
    }
    // A given value has an effect.
    for (flags, one, other) in [
        ("--unmasker", "slow-fast", "slow-fast:fill=0"),
        (per_step, "adaptive-joint:confidence=0", "adaptive-joint:confidence=1"),
        (per_step, "adaptive-joint:entropy=0", "adaptive-joint:entropy=9"),
        ("--unmasker", "verified:k=2", "verified:k=4"),
        (steps, "remdm", "remdm:rule=cap:eta=0.9"),
        (steps, "remdm:rescale:0", "remdm:rescale:1"),
        ("--unmasker marginal --schedule", "dream:6", "dream:6:epsilon=0.9"),
    ] {
        let [one, other] = [one, other].map(|name| tokens(&format!("{flags} {name}")));
        assert_ne!(one, other, "{flags}");
    }
    // Random weights never make a stable span.
    let slow_fast = |parameters: &str| {
        let line = "--prompt <list> --gen-length 30 --seed 3 --num-samples 8 --unmasker slow-fast";
        generate_json(&tiny(), &format!("{line}:{parameters}"))["sequences"].clone()
    };
    assert_ne!(slow_fast("6:0.3:0.5"), slow_fast("1:0.3:0.5"));
    assert_ne!(slow_fast("1:0:0.5"), slow_fast("1:1:0.5"));
    assert_eq!(
        tokens(&format!("{per_step} adaptive-joint:confidence=0")),
        tokens(&format!("{per_step} joint"))
    );
}

#[test]
fn invalid_parameters_are_named_with_the_valid_values() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let linear = "--schedule linear:4";
    for (line, parts) in [
        (
            "--unmasker joint:window=2:window=3",
            ["window=3", "second time", "joint[:window=WINDOW]"],
        ),
        ("--unmasker klass:0.5:tau=0.6", ["tau=0.6", "second time", "stable=2"]),
        ("--unmasker joint:window=0", ["--unmasker", "`window` is `0`", "at least 1"]),
        ("--unmasker joint:window=", ["--unmasker", "`window` is ``", "whole number"]),
        ("--unmasker slow-fast:steps=0", ["--unmasker", "`steps` is `0`", "at least 1"]),
        ("--unmasker slow-fast:span=2", ["--unmasker", "`span` is `2`", "0 to 1"]),
        ("--unmasker wino:keep=2", ["--unmasker", "`keep` is `2`", "0 to 1"]),
        ("--unmasker klass:stable=0", ["--unmasker", "`stable` is `0`", "at least 1"]),
        ("--unmasker verified:k=0", ["--unmasker", "`k` is `0`", "at least 1"]),
        ("--unmasker adaptive-joint:1:0.9", ["--unmasker", "`confidence` is `0.9`", "not both"]),
        ("--unmasker adaptive-joint:entropy=-1", ["--unmasker", "`entropy` is `-1`", "at least 0"]),
        (
            &format!("--unmasker remdm:conf:0.1 {linear}"),
            ["--unmasker", "`eta` is `0.1`", "no eta"],
        ),
        (&format!("--unmasker remdm:rescale:2 {linear}"), ["--unmasker", "eta` is `2`", "0 to 1"]),
        (
            &format!("--unmasker remdm:half {linear}"),
            ["--unmasker", "`rule` is `half`", "cap, rescale"],
        ),
        ("--unmasker marginal --schedule per-step:0", ["--schedule", "`k` is `0`", "at least 1"]),
        ("--unmasker marginal --schedule dream:4:0", ["--schedule", "`epsilon` is `0`", "above 0"]),
    ] {
        let output = generate(model.path(), &format!("--prompt-ids 5 --gen-length 8 {line}"));
        rejected(&output, &parts);
    }
}
