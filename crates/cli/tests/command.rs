//! The interface of scripts: flags, the JSON object, exit codes, errors that name the flag.

mod common;

use common::{conjoint, export, generate, generate_json, stderr};

#[test]
fn json_has_one_entry_a_sample_and_repeats_for_a_seed() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let line = "--prompt-ids 5,9,2 --gen-length 8 --unmasker joint --schedule per-step:4 \
                --num-samples 3 --seed 11";
    let report = generate_json(model.path(), line);
    let sequences = report["sequences"].as_array().unwrap();
    assert_eq!(sequences.len(), 3);
    for sequence in sequences {
        assert_eq!(sequence["tokens"].as_array().unwrap().len(), 11);
        assert_eq!(sequence["denoiser_calls"], 2);
        assert_eq!(sequence["sampler_calls"], 6);
        assert_eq!(sequence["history"].as_array().unwrap().len(), 2);
        assert_eq!(sequence["history"][1], sequence["tokens"]);
        assert!(sequence["text"].is_null());
    }
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert_ne!(sequences[0]["tokens"], sequences[1]["tokens"]);
    let alone = generate_json(model.path(), &format!("{line} --batch-size 1 --threads 1"));
    assert_eq!(report["sequences"], alone["sequences"]);
}

#[test]
fn a_trace_has_every_call_of_the_run() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("trace.html");
    let line = format!(
        "--prompt-ids 5,9,2 --gen-length 8 --unmasker joint --schedule dream:3 --num-samples 2 \
         --trace {}",
        page.display()
    );
    let report = generate_json(model.path(), &line);
    let html = std::fs::read_to_string(&page).unwrap();
    let (_, trace) = html.split_once("id=\"trace\">").unwrap();
    let (trace, _) = trace.split_once("</script>").unwrap();
    let trace: serde_json::Value = serde_json::from_str(trace).unwrap();
    assert_eq!(trace["caption"], "joint, dream:3, order entropy, temperature 1, seed 0");
    assert_eq!(trace["pieces"], serde_json::json!({})); // there is no tokenizer
    for (traced, reported) in [0, 1].map(|i| (&trace["sequences"][i], &report["sequences"][i])) {
        let frames = traced["frames"].as_array().unwrap();
        let forwards: u64 = frames.iter().map(|frame| frame["forwards"].as_u64().unwrap()).sum();
        assert_eq!(reported["denoiser_calls"], forwards);
        let passes = frames.iter().filter(|frame| frame["round"] != 0).count();
        assert_eq!(reported["sampler_calls"], passes);
        let mut tokens = traced["start"].as_array().unwrap().clone();
        for event in frames.iter().flat_map(|frame| frame["events"].as_array().unwrap()) {
            tokens[event["reveal"][0].as_u64().unwrap() as usize] = event["reveal"][1].clone();
        }
        assert_eq!(reported["tokens"].as_array().unwrap(), &tokens);
    }
}

#[test]
fn one_token_per_step_makes_joint_exact() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    for seed in 0..4 {
        let line = format!("--unconditional --gen-length 10 --num-samples 4 --seed {seed}");
        let exact = generate_json(model.path(), &format!("{line} --unmasker exact"));
        let joint = generate_json(model.path(), &format!("{line} --unmasker joint"));
        assert_eq!(exact["sequences"], joint["sequences"]);
    }
}

#[test]
fn every_bad_value_names_its_flag_and_exits_with_2() {
    let model = export("dream-tiny", None);
    let base = "--prompt-ids 5,9 --gen-length 8";
    let cases = [
        ("--gen-length 8", "--prompt"),
        ("--prompt-ids 5,9", "--gen-length"),
        ("--prompt-ids 5,9 --gen-length 0", "--gen-length"),
        ("--prompt-ids= --gen-length 8", "--prompt-ids"),
        ("--prompt-ids x --gen-length 8", "--prompt-ids"),
        ("--prompt-ids 5,96 --gen-length 8", "--prompt-ids"),
        ("--prompt-ids 5,94 --gen-length 8", "--prompt-ids"),
        ("--prompt hello --gen-length 8", "--prompt"),
        ("--prompt-ids 5 --gen-length 500", "--gen-length"),
        (&format!("{base} --unmasker magic"), "--unmasker"),
        (&format!("{base} --order best"), "--order"),
        (&format!("{base} --schedule per-step:0"), "--schedule"),
        (&format!("{base} --schedule dream"), "--schedule"),
        (&format!("{base} --schedule exp:4"), "--schedule"),
        (&format!("{base} --schedule per-step:2"), "--schedule"), // exact takes one
        (&format!("{base} --unmasker marginal --schedule llada:1 --block-length 4"), "--schedule"),
        (&format!("{base} --block-length 0"), "--block-length"),
        (&format!("{base} --temperature -1"), "--temperature"),
        (&format!("{base} --temperature nan"), "--temperature"),
        (&format!("{base} --top-k 0"), "--top-k"),
        (&format!("{base} --top-p 1.5"), "--top-p"),
        (&format!("{base} --min-p 2"), "--min-p"),
        (&format!("{base} --ban mask,nothing"), "--ban"),
        (&format!("{base} --ban 96"), "--ban"),
        (&format!("{base} --num-samples 0"), "--num-samples"),
        (&format!("{base} --batch-size 0"), "--batch-size"),
        (&format!("{base} --seed -1"), "--seed"),
        (&format!("{base} --provider abacus"), "--provider"),
        (&format!("{base} --threads 0"), "--threads"),
        (&format!("{base} --trace nowhere/trace.html"), "--trace"),
    ];
    for (line, flag) in cases {
        let output = generate(model.path(), line);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}\n{message}");
        assert!(message.contains(flag), "{line}\n{message}");
    }
}

#[test]
fn a_folder_that_is_not_a_model_gets_advice() {
    let checkpoint = common::fixtures().join("llada-tiny");
    let output = generate(&checkpoint, "--prompt-ids 5 --gen-length 8");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("conjoint export"), "{}", stderr(&output));
    for (command, code) in [("info", 1), ("export", 2)] {
        let output = conjoint(&[command, "nowhere"]);
        assert_eq!(output.status.code(), Some(code));
        assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
    }
}

#[test]
fn joint_without_a_sampler_layer_is_an_error() {
    let model = export("dream-tiny", None);
    let output = generate(model.path(), "--prompt-ids 5 --gen-length 8 --unmasker joint");
    assert!(!output.status.success());
    assert!(stderr(&output).contains("sampler"), "{}", stderr(&output));
}

#[test]
fn the_sampler_layer_of_another_export_can_be_used() {
    let bare = export("dream-tiny", None);
    let whole = export("dream-tiny", Some("adjust-dream-tiny"));
    let line = "--prompt-ids 5 --gen-length 8 --unmasker joint --schedule per-step:4";
    let lent = format!("{line} --sampler {}", whole.path().display());
    let reports = [(bare.path(), &*lent), (whole.path(), line)];
    let [lent, own] = reports.map(|(model, line)| generate_json(model, line));
    assert_eq!(lent["sequences"], own["sequences"]);
}

#[test]
fn every_command_has_help() {
    for command in [
        "export",
        "generate",
        "trajectories",
        "train",
        "eval",
        "compare",
        "strategies",
        "corpus",
        "info",
    ] {
        let output = conjoint(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage"), "{command}");
    }
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let output = conjoint(&["info".as_ref(), model.path().as_os_str()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["Dream", "mask 94", "sampler.onnx", "2 layers"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

#[test]
fn info_has_a_line_for_each_problem() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let info = || conjoint(&["info".as_ref(), model.path().as_os_str()]);
    assert!(info().status.success() && stderr(&info()).is_empty(), "{}", stderr(&info()));
    std::fs::remove_file(model.path().join("sampler.onnx")).unwrap();
    let manifest = model.path().join("conjoint.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"layers\": 2", "\"layers\": 3")).unwrap();
    let broken = info();
    assert_eq!(broken.status.code(), Some(1));
    let lines: Vec<_> = stderr(&broken).lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("sampler.onnx is missing"), "{lines:?}");
    assert!(lines[1].contains("layers is 3, expected 2 as in config.json"), "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("error: ")), "{lines:?}");
    // The same is found when the model is opened.
    let run = generate(model.path(), "--prompt-ids 5 --gen-length 8");
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("layers is 3"), "{}", stderr(&run));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_conjoint"))
        .args(["corpus", "--num", "200000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap(); // and closes the pipe
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}
