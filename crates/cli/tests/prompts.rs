//! Files of prompts, chats, and the ends of sequences.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{conjoint, rejected, stderr, tiny};
use serde_json::Value;

/// Requests of several kinds and lengths.
fn requests(n: usize) -> String {
    let line = |i: usize| {
        match i % 4 {
        0 => format!("{{\"prompt\": \"<story>the old owl {}\", \"gen_length\": {}}}\n", "sees ".repeat(i % 3), 6 + i % 5),
        1 => "{\"prompt\": \"<list>sort: \", \"id\": {\"row\": 7}, \"seed\": 5, \"temperature\": 0.7}\n".to_owned(),
        2 => "{\"infill\": \"<math>tom has 7 [MASK*3] and\"}\n".to_owned(),
        _ => "{\"prompt_ids\": [2, 9, 12], \"top_k\": 3}\n".to_owned(),
    }
    };
    (0..n).map(line).collect()
}

fn arguments(prompts: &Path, out: &Path, more: &str) -> Vec<String> {
    let (tiny, prompts, out) =
        (tiny(), prompts.to_str().unwrap().to_owned(), out.to_str().unwrap());
    let mut all: Vec<String> =
        ["generate", "--model", tiny.to_str().unwrap(), "--prompts", &prompts, "--out", out]
            .map(str::to_owned)
            .into();
    let fixed =
        "--gen-length 9 --batch-size 4 --unmasker marginal --schedule per-step:2 --threads 1";
    all.extend(fixed.split_whitespace().chain(more.split_whitespace()).map(str::to_owned));
    all
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prompts.jsonl"), content).unwrap();
        Self(folder)
    }

    fn prompts(&self) -> PathBuf {
        self.0.path().join("prompts.jsonl")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, out: &str, more: &str) -> std::process::Output {
        conjoint(&arguments(&self.prompts(), &self.file(out), more))
    }

    fn start(&self, out: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conjoint"));
        let command = command.args(arguments(&self.prompts(), &self.file(out), ""));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn replies(&self, name: &str) -> Vec<Value> {
        self.text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn replies_are_in_the_order_of_the_requests() {
    let folder = Folder::with(&requests(13));
    let output = folder.run("out.jsonl", "");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let replies = folder.replies("out.jsonl");
    let places: Vec<_> = replies.iter().map(|reply| reply["index"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..13).collect::<Vec<_>>());
    for (i, reply) in replies.iter().enumerate() {
        let generated = reply["tokens"].as_array().unwrap().len();
        let expected = [6 + i % 5, 9, 3, 9][i % 4];
        assert_eq!(
            (generated, &reply["finish_reason"]),
            (expected, &Value::from("length")),
            "{reply}"
        );
        assert!(reply["error"].is_null() && reply["completion"].is_string());
        assert_eq!(reply["id"].is_null(), i % 4 != 1);
        assert_eq!(reply["denoiser_calls"], generated.div_ceil(2));
    }
    assert!(replies[2]["text"].as_str().unwrap().starts_with("<math>tom has 7 "));
    assert_eq!(replies[3]["prompt_tokens"], 3);
    // A seed of its own makes a request independent of its place.
    assert_eq!(replies[1]["tokens"], replies[5]["tokens"]);
    assert_ne!(replies[3]["tokens"], replies[7]["tokens"]);
}

#[test]
fn a_reply_does_not_depend_on_the_other_requests() {
    let folder =
        Folder::with("{\"prompt\": \"<story>the old\", \"seed\": 3, \"gen_length\": 12}\n");
    assert!(folder.run("out.jsonl", "").status.success());
    let (tiny, line) =
        (tiny(), "--gen-length 12 --seed 3 --unmasker marginal --schedule per-step:2 --json");
    let mut alone =
        vec!["generate", "--model", tiny.to_str().unwrap(), "--prompt", "<story>the old"];
    alone.extend(line.split_whitespace());
    let alone: Value = serde_json::from_slice(&conjoint(&alone).stdout).unwrap();
    let (alone, reply) = (&alone["sequences"][0], &folder.replies("out.jsonl")[0]);
    for key in ["completion", "prompt_tokens", "finish_reason", "denoiser_calls"] {
        assert_eq!(alone[key], reply[key], "{key}");
    }
}

#[test]
fn a_killed_run_loses_and_repeats_nothing() {
    let folder = Folder::with(&requests(60));
    assert!(folder.run("whole.jsonl", "").status.success());
    let whole = folder.text("whole.jsonl");
    let (mut kills, deadline) = (0, Instant::now() + Duration::from_secs(120));
    loop {
        let before = folder.text("killed.jsonl").lines().count();
        let mut child = folder.start("killed.jsonl");
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            let lines = folder.text("killed.jsonl").lines().count();
            if kills < 5 && lines > before + 3 * kills {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        };
        match ended {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => kills += 1,
        }
        if kills == 2 {
            // As if killed in the middle of a line.
            let text = folder.text("killed.jsonl");
            std::fs::write(folder.file("killed.jsonl"), &text[..text.len().saturating_sub(9)])
                .unwrap();
        }
    }
    assert!(kills > 0);
    assert!(folder.text("killed.jsonl") == whole, "after {kills} kills");
    // Once more there is nothing to do.
    assert!(folder.run("killed.jsonl", "").status.success());
    assert!(folder.text("killed.jsonl") == whole);
    let left: BTreeSet<_> = std::fs::read_dir(folder.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    let expected =
        ["prompts.jsonl", "whole.jsonl", "whole.jsonl.run", "killed.jsonl", "killed.jsonl.run"];
    assert_eq!(left, expected.map(Into::into).into());
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_finished_replies() {
    let folder = Folder::with(&requests(400));
    let mut child = folder.start("out.jsonl");
    while folder.text("out.jsonl").lines().count() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("to resume"), "{}", stderr(&output));
    let lines = folder.replies("out.jsonl").len();
    assert!((3..400).contains(&lines));
    assert!(folder.run("out.jsonl", "").status.success());
    assert_eq!(folder.replies("out.jsonl").len(), 400);
}

#[test]
fn the_replies_of_all_shards_are_those_of_one_run() {
    let folder = Folder::with(&requests(19));
    assert!(folder.run("whole.jsonl", "--num-samples 2").status.success());
    let parts = [1, 2, 3].map(|i| {
        let name = format!("part-{i}.jsonl");
        let output = folder.run(&name, &format!("--num-samples 2 --shard {i}/3"));
        assert!(output.status.success(), "{}", stderr(&output));
        folder.text(&name)
    });
    assert!(parts.iter().all(|part| !part.is_empty()));
    assert!(parts.concat() == folder.text("whole.jsonl"));
    assert_eq!(folder.replies("whole.jsonl").len(), 38);
    rejected(&folder.run("x.jsonl", "--shard 4/3"), &["'4/3'", "--shard", "I/N"]);
}

#[test]
fn a_failed_request_does_not_stop_the_others() {
    let long = "the owl ".repeat(9);
    let bad = [
        format!("{{\"prompt\": \"{long}\"}}"),
        "{\"promt\": \"<story>\"}".into(),
        "{\"prompt\": \"<story>the <mask>\"}".into(),
        "{\"prompt\": \"<story>caf\u{e9}\"}".into(),
        "{\"prompt\": \"<story>\", \"infill\": \"[MASK]\"}".into(),
        "not json".into(),
        "{\"prompt\": \"<story>\", \"top_p\": 3}".into(),
        "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}".into(),
        "{\"prompt\": \"<story>\", \"gen_length\": 999}".into(),
    ];
    let good = "{\"prompt\": \"<story>the\"}";
    let lines: Vec<&str> = bad.iter().flat_map(|bad| [good, bad]).collect();
    let folder = Folder::with(&lines.join("\n"));
    let output = folder.run("out.jsonl", "");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("9 of 18 sequences failed"), "{}", stderr(&output));
    let replies = folder.replies("out.jsonl");
    let expected = [
        "72 tokens",
        "promt",
        "mask",
        "'é'",
        "expected one of",
        "object",
        "top p",
        "chat template",
        "999",
    ];
    for (i, reply) in replies.iter().enumerate() {
        assert_eq!(reply["index"], i);
        match i % 2 {
            0 => assert_eq!(reply["finish_reason"], "length"),
            _ => {
                let error = reply["error"].as_str().unwrap();
                let expected = expected[i / 2];
                assert!(
                    error.contains(expected) && error.contains(&format!("line {}", i + 1)),
                    "{error}: {expected}"
                );
                assert_eq!(reply["finish_reason"], "error");
            }
        }
    }
    assert_eq!(replies.len(), 18);
}

#[test]
fn a_file_resumes_only_with_the_same_settings() {
    let folder = Folder::with(&requests(4));
    assert!(folder.run("out.jsonl", "").status.success());
    for (more, setting) in
        [("--seed 1", "seed"), ("--temperature 0.5", "sampling"), ("--num-samples 2", "samples")]
    {
        rejected(&folder.run("out.jsonl", more), &["--out", "out.jsonl", setting, "same settings"]);
    }
    std::fs::write(folder.prompts(), requests(5)).unwrap();
    rejected(&folder.run("out.jsonl", ""), &["--out", "prompts"]);
    std::fs::write(folder.file("mine.jsonl"), "mine").unwrap();
    rejected(&folder.run("mine.jsonl", ""), &["mine.jsonl", "remove it"]);
    assert_eq!(folder.text("mine.jsonl"), "mine");
    rejected(&folder.run("nowhere/out.jsonl", ""), &["--out", "there is no folder"]);
}

#[test]
fn prompts_come_from_standard_input_and_replies_go_to_standard_output() {
    let tiny = tiny();
    let mut command = Command::new(env!("CARGO_BIN_EXE_conjoint"));
    command.args([
        "generate",
        "--model",
        tiny.to_str().unwrap(),
        "--prompts",
        "-",
        "--gen-length",
        "4",
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"<story>the\n<list>sort: \n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let replies: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|reply| reply["tokens"].as_array().unwrap().len() == 4));
}

/// The trained model with a chat template of its own.
fn chatting() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let template = "{% for m in messages %}<story>{{ m.content }}{% if m.role == 'assistant' or not loop.last %}<list>{% endif %}{% endfor %}{% if add_generation_prompt %}<math>{% endif %}";
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    folder
}

fn generate(model: &Path, arguments: &[&str]) -> std::process::Output {
    conjoint(&[&["generate", "--model", model.to_str().unwrap()], arguments].concat())
}

fn sequence(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["sequences"][0].clone()
}

#[test]
fn a_chat_uses_the_template_and_ends_with_the_turn() {
    let model = chatting();
    let tail = ["--gen-length", "6", "--json"];
    let run = |flags: &[&str]| sequence(&generate(model.path(), &[flags, &tail].concat()));
    let messages = model.path().join("messages.json");
    let chat = r#"[{"role": "system", "content": "be"}, {"role": "user", "content": "an owl"}]"#;
    std::fs::write(&messages, chat).unwrap();
    let expected = "<story>be<list><story>an owl<math>";
    for flags in [
        vec!["--chat", "an owl", "--system", "be"],
        vec!["--chat", "--prompt", "an owl", "--system", "be"],
        vec!["--message", "system:be", "--message", "user:an owl"],
        vec!["--system", "be", "--chat", "--message", "user:an owl"],
        vec!["--messages", messages.to_str().unwrap()],
    ] {
        let found = run(&flags);
        assert!(found["text"].as_str().unwrap().starts_with(expected), "{flags:?}: {found}");
    }
    let begun = run(&["--message", "user:an owl", "--message", "assistant:one"]);
    assert!(
        begun["text"].as_str().unwrap().starts_with("<story>an owl<list><story>one"),
        "{begun}"
    );
    // The end of the turn, <list>, ends the sequence: the model prefers it.
    let all = "0-4,6-52";
    let output = generate(
        model.path(),
        &["--chat", "an owl", "--gen-length", "6", "--json", "--ban", all, "--temperature", "0"],
    );
    let ended = sequence(&output);
    assert_eq!(ended["finish_reason"], "eos", "{ended}");
    let json = "--prompts needs none";
    let prompts = model.path().join("p.jsonl");
    std::fs::write(&prompts, format!("{{\"messages\": {chat}}}\n")).unwrap();
    let output =
        generate(model.path(), &["--prompts", prompts.to_str().unwrap(), "--gen-length", "6"]);
    assert!(output.status.success(), "{json}: {}", stderr(&output));
    let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        reply["prompt_tokens"],
        run(&["--chat", "an owl", "--system", "be"])["prompt_tokens"]
    );
}

#[test]
fn invalid_chats_are_rejected() {
    let (tiny, model) = (tiny(), chatting());
    let rejects = |model: &Path, flags: &[&str], parts: &[&str]| {
        rejected(&generate(model, &[flags, &["--gen-length", "4"]].concat()), parts);
    };
    rejects(&tiny, &["--chat", "hi"], &["--chat", "no chat template"]);
    rejects(model.path(), &["--chat"], &["--chat TEXT", "--message"]);
    rejects(model.path(), &["--system", "a", "--prompt", "b"], &["--system", "--chat"]);
    rejects(model.path(), &["--message", "hello"], &["ROLE:TEXT"]);
    rejects(model.path(), &["--messages", "/nowhere"], &["--messages", "/nowhere"]);
    rejects(
        model.path(),
        &["--chat", "a", "--template-arg", "x=y"],
        &["--template-arg", "expected JSON"],
    );
    rejects(model.path(), &[], &["--prompt", "--chat", "--prompts"]);
}

#[test]
fn a_sequence_stops_at_a_text_or_at_a_token() {
    let tiny = tiny();
    let run = |more: &[&str]| {
        let fixed =
            ["--prompt", "<story>the old owl", "--gen-length", "28", "--seed", "4", "--json"];
        sequence(&generate(&tiny, &[&fixed, more].concat()))
    };
    let free = run(&[]);
    let completion = free["completion"].as_str().unwrap();
    // Two characters in the middle, which are two tokens.
    let at = completion.char_indices().nth(6).unwrap().0;
    let stop = &completion[at..at + 2];
    let first = completion.find(stop).unwrap();
    let stopped = run(&["--stop", stop, "--order", "left-to-right", "--temperature", "0"]);
    let greedy = run(&["--order", "left-to-right", "--temperature", "0"]);
    let greedy = greedy["completion"].as_str().unwrap();
    match greedy.find(stop) {
        Some(at) => {
            assert_eq!(stopped["completion"], greedy[..at]);
            assert_eq!(stopped["finish_reason"], "stop");
        }
        None => assert_eq!(stopped["completion"], greedy),
    }
    assert!(first <= at);
    let stopped = run(&["--stop", " "]);
    assert_eq!(
        (&stopped["finish_reason"], stopped["completion"].as_str().unwrap().contains(' ')),
        (&"stop".into(), false)
    );
    let ended = run(&["--eos", "<eos>"]);
    let by_id = run(&["--eos", "1"]);
    assert_eq!(ended, by_id);
    rejected(
        &generate(&tiny, &["--prompt", "<story>", "--gen-length", "4", "--eos", "owl"]),
        &["'owl' for '--eos'"],
    );
    rejected(
        &generate(&tiny, &["--prompt", "<story>", "--gen-length", "4", "--stop", ""]),
        &["--stop"],
    );
}

#[test]
fn ids_without_a_token_are_never_drawn() {
    let tiny = tiny();
    let drawn = |more: &[&str]| {
        let fixed = [
            "--unconditional",
            "--gen-length",
            "48",
            "--num-samples",
            "8",
            "--temperature",
            "50",
            "--json",
        ];
        let output = generate(&tiny, &[&fixed, more].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let sequences = report["sequences"].as_array().unwrap().clone();
        let ids =
            sequences.iter().flat_map(|sequence| sequence["tokens"].as_array().unwrap().clone());
        ids.map(|id| id.as_u64().unwrap()).collect::<BTreeSet<_>>()
    };
    assert!(drawn(&[]).iter().all(|&id| id < 53));
    assert!(drawn(&["--ban", "5-9"]).iter().all(|&id| id < 53 && !(5..=9).contains(&id)));
    assert!(drawn(&["--no-ban"]).iter().any(|&id| id >= 53));
}

#[test]
fn a_hole_can_be_written_literally() {
    // Byte for byte the fixture's tokenizer has no brackets, so that the words themselves are named.
    let output = generate(&tiny(), &["--infill", r"<story>a \[MASK] b[MASK]"]);
    rejected(&output, &["--infill", "'['"]);
    let output = generate(&tiny(), &["--infill", "<story>a [MASKED] b[MASK]"]);
    rejected(&output, &["--infill", "'['"]);
}

#[test]
fn the_checkpoints_defaults_are_used_on_request_and_noted_otherwise() {
    let model = chatting();
    let file = model.path().join("generation_config.json");
    let run = |flags: &[&str]| {
        let output =
            generate(model.path(), &[&["--prompt", "<story>the old", "--json"], flags].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (report["sequences"][0].clone(), stderr(&output))
    };
    let config = r#"{"steps": 4, "alg": "topk_margin", "temperature": 0.2, "top_p": 0.95, "max_new_tokens": 12, "eos_token_id": [1]}"#;
    std::fs::write(&file, config).unwrap();
    let (taken, note) = run(&["--defaults", "model"]);
    let flags = "--temperature 0.2 --top-p 0.95 --stop-at-eos --gen-length 12 --unmasker marginal --schedule dream:4 --order margin";
    assert!(note.contains(flags), "{note}");
    assert_eq!(
        (taken["denoiser_calls"].as_u64().unwrap() <= 4, taken["tokens"].as_array().unwrap().len()),
        (true, 20)
    );
    let (by_flags, _) =
        run(&[&["--defaults", "none"][..], &flags.split(' ').collect::<Vec<_>>()].concat());
    assert_eq!(taken, by_flags);
    let (own, note) = run(&[
        "--defaults",
        "model",
        "--temperature",
        "1",
        "--unmasker",
        "exact",
        "--gen-length",
        "6",
    ]);
    assert!(
        !note.contains("--temperature")
            && !note.contains("--unmasker")
            && note.contains("--top-p 0.95"),
        "{note}"
    );
    assert_eq!(own["tokens"].as_array().unwrap().len(), 14);
    let (plain, note) = run(&["--gen-length", "6"]);
    assert!(note.contains("recommends") && note.contains("--defaults model"), "{note}");
    let (silent, note) = run(&["--gen-length", "6", "--defaults", "none"]);
    assert!(!note.contains("recommends"), "{note}");
    assert_eq!(plain, silent);
    std::fs::write(&file, "{").unwrap();
    assert_eq!(run(&["--gen-length", "6"]).0, plain);
    rejected(
        &generate(&tiny(), &["--prompt", "<story>", "--defaults", "model", "--gen-length", "4"]),
        &["--defaults", "generation_config.json"],
    );
}
