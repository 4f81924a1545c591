//! Messages about invalid paths and values say what they are, and what to do.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{conjoint, export, fixtures, rejected, stderr, tiny};

fn export_of(path: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["export".as_ref(), path.as_os_str()];
    arguments.extend(more.iter().map(|part| std::ffi::OsStr::new(*part)));
    conjoint(&arguments)
}

/// A message has no names of Rust, and no values in Rust's debug format.
#[track_caller]
fn in_plain_words(output: &Output) {
    let message = stderr(output);
    for part in ["::", "Some(", "None", "ExportOptions", "Tokenizer", "{ ", "Error"] {
        assert!(!message.contains(part), "{part} is in\n{message}");
    }
}

#[test]
fn a_name_of_the_hub_gets_the_download_command() {
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conjoint"));
        let empty = tempfile::tempdir().unwrap();
        command.args(arguments).env("HF_HUB_CACHE", empty.path()).output().unwrap()
    };
    let fetched = "hf download Dream-org/Dream-v0-Base-7B --local-dir Dream-v0-Base-7B";
    let output = command(&["export", "Dream-org/Dream-v0-Base-7B"]);
    rejected(&output, &["'Dream-org/Dream-v0-Base-7B' for 'CHECKPOINT_DIR'", fetched]);
    let line =
        ["generate", "--model", "Dream-org/Dream-v0-Base-7B", "--prompt", "a", "--gen-length", "1"];
    let output = command(&line);
    rejected(&output, &["'Dream-org/Dream-v0-Base-7B' for '--model'", fetched]);
    let output = command(&["info", "Dream-org/Dream-v0-Base-7B"]);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains(fetched),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_model_in_the_cache_is_named_by_its_snapshot() {
    let cache = tempfile::tempdir().unwrap();
    let model = cache.path().join("models--org--name");
    fs::create_dir_all(model.join("snapshots/abc")).unwrap();
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), "abc").unwrap();
    let snapshot = model.join("snapshots/abc").display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_conjoint"))
        .args(["export", "org/name"])
        .env("HF_HUB_CACHE", cache.path())
        .output()
        .unwrap();
    rejected(&output, &["'org/name' for 'CHECKPOINT_DIR'", &snapshot]);
    for path in [cache.path(), &model] {
        rejected(&export_of(path, &[]), &["CHECKPOINT_DIR", &snapshot]);
    }
    let output = common::generate(&model, "--prompt a --gen-length 1");
    rejected(&output, &["'--model'", &snapshot]);
}

#[test]
fn folders_with_other_content_are_named_with_their_flag() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("config.json");
    fs::write(&file, "{}").unwrap();
    rejected(&export_of(&file, &[]), &["CHECKPOINT_DIR", "this is a file: give its folder"]);
    let (dream, adjust) = (fixtures().join("dream-tiny"), fixtures().join("adjust-dream-tiny"));
    rejected(&export_of(&adjust, &[]), &["CHECKPOINT_DIR", "sampler layer by itself", "--sampler"]);
    let out = root.path().join("out").display().to_string();
    let of = |sampler: &Path| {
        export_of(&dream, &["--out", &out, "--sampler", &sampler.display().to_string()])
    };
    rejected(&of(&file), &["for '--sampler'", "this is a file"]);
    rejected(&of(&dream), &["for '--sampler'", "no sampler layer"]);
    rejected(&of(&root.path().join("nothing")), &["for '--sampler'", "there is no such folder"]);
}

#[test]
fn messages_name_flags_and_no_rust_items() {
    let model = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures().join("dream-tiny")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, model.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = model.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let with = |more: &str| {
        fs::write(&config, text.replacen('{', &format!("{{{more},"), 1)).unwrap();
        let output = export_of(model.path(), &[]);
        in_plain_words(&output);
        output
    };
    rejected(
        &with(r#""gravity": 9.8"#),
        &["'--ignore-key' is missing", "gravity = 9.8", "list them as --ignore-key"],
    );
    let long = "x".repeat(100_000);
    let output = with(&format!(r#""gravity": "{long}""#));
    assert!(stderr(&output).len() < 1000, "a long value is cut");
    let output = with(r#""block_size": 32"#);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("block-causal"),
        "{}",
        stderr(&output)
    );
    let causal = text.replace("\"Dream\"", "\"qwen2\"").replace("DreamModel", "Qwen2ForCausalLM");
    fs::write(&config, causal).unwrap();
    let output = export_of(model.path(), &[]);
    in_plain_words(&output);
    rejected(&output, &["'--shift' is missing", "Give --shift to choose"]);
    let blocks = text.replace("\"Dream\"", "\"sdar\"").replace("DreamModel", "SDARForCausalLM");
    fs::write(&config, blocks).unwrap();
    let output = export_of(model.path(), &[]);
    in_plain_words(&output);
    rejected(&output, &["'--attention-block' is missing", "Give --attention-block"]);
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_names_the_out_flag() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("read-only");
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixtures().join("dream-tiny").join(name), folder.join(name)).unwrap();
    }
    let set = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    // Root can write anywhere.
    if fs::write(folder.join("probe"), "").is_err() {
        rejected(&export_of(&folder, &[]), &["'--out' is missing", "cannot be written to"]);
        let out = root.path().join("out").display().to_string();
        assert!(export_of(&folder, &["--out", &out]).status.success());
        let inside = folder.join("out").display().to_string();
        rejected(&export_of(&folder, &["--out", &inside]), &[&format!("'{inside}' for '--out'")]);
    }
    set(0o755);
}

#[test]
fn long_values_are_cut() {
    let model = export("dream-tiny", None);
    let long = "x".repeat(100_000);
    for line in [
        vec!["--prompt", &long],
        vec!["--prompt-ids", &long],
        vec!["--infill", &long],
        vec!["--prompt-ids", "5", "--schedule", &long],
        vec!["--prompt-ids", "5", "--unmasker", &long],
        vec!["--prompt-ids", "5", "--order", &long],
        vec!["--prompt-ids", "5", "--revise", &long],
        vec!["--prompt-ids", "5", "--ban", &long],
        vec!["--prompt-ids", "5", "--provider", &long],
        vec!["--prompt-ids", "5", "--head", &long],
        vec!["--prompt-ids", "5", &long],
    ] {
        let folder = model.path().to_string_lossy();
        let mut all = vec!["generate", "--model", &folder];
        all.extend((line[0] != "--infill").then_some(["--gen-length", "2"]).into_iter().flatten());
        all.extend(&line);
        let output = conjoint(&all);
        let message = stderr(&output);
        let flag = line[line.len() - 2];
        assert_eq!(output.status.code(), Some(2), "{flag}");
        assert!(message.len() < 2000, "{flag}: {} bytes", message.len());
        assert!(message.contains("xxx… (100000 characters)"), "{flag}: {message}");
    }
}

#[test]
fn checks_of_the_corpus_are_left_out_for_other_texts() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts.txt");
    let compare = |name: &str, prompt: &str, metrics: &str| {
        fs::write(&prompts, format!("{prompt}\n")).unwrap();
        let line = format!(
            "compare --model {} --out {} --num-samples 4 --strategies marginal --k 8 --metrics {metrics} --prompts {}",
            tiny().display(),
            folder.path().join(name).display(),
            prompts.display()
        );
        conjoint(&line.split_whitespace().collect::<Vec<_>>())
    };
    let table = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let own = compare("own", "the old", "right,parses,nll");
    assert!(own.status.success(), "{}", stderr(&own));
    assert!(!table(&own).contains("right") && table(&own).contains("NLL"), "{}", table(&own));
    assert!(
        stderr(&own).contains("Left out: right,parses, checks of texts of the built-in corpus"),
        "{}",
        stderr(&own)
    );
    let tagged = compare("tagged", "<story>the old", "right,parses,nll");
    assert!(
        table(&tagged).contains("| right |") && stderr(&tagged).is_empty(),
        "{}",
        stderr(&tagged)
    );
    let none = compare("none", "the old", "right");
    rejected(&none, &["'right' for '--metrics'", "no prompt has one of its tags, such as <story>"]);
}

/// Other models have no tokens for the corpus' tags.
#[test]
fn checks_of_the_corpus_are_left_out_for_other_models() {
    let (model, out) = (export("dream-tiny", None), tempfile::tempdir().unwrap());
    let line = format!(
        "eval --model {} --out {} --unconditional --length 8 --num-samples 4 --unmaskers exact,marginal --k 2",
        model.path().display(),
        out.path().display()
    );
    let output = conjoint(&line.split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("on which this model was not trained"), "{}", stderr(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !table.contains("right") && !table.contains("parses") && table.contains("MAUVE"),
        "{table}"
    );
}

/// A folder always has one complete export, and a model opened meanwhile is that of one export.
#[test]
fn exports_and_runs_can_be_concurrent() {
    let model = export("dream-tiny", None);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let folder = model.path();
            scope.spawn(move || {
                for _ in 0..4 {
                    let output = match number {
                        0 => export_of(folder, &["--head-top", "8"]),
                        1 => export_of(folder, &[]),
                        _ => common::generate(folder, "--prompt-ids 5 --gen-length 2"),
                    };
                    assert!(output.status.success(), "{}", stderr(&output));
                }
            });
        }
    });
    let info = conjoint(&["info".as_ref(), model.path().as_os_str()]);
    assert!(info.status.success(), "{}", stderr(&info));
}
