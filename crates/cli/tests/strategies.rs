//! Every strategy by its name, infilling, and resumable comparisons.

mod common;

use common::{conjoint, export, generate, generate_json, rejected, stderr, tiny};
use conjoint::prelude::*;
use conjoint_lab::Registry;
use conjoint_lab::registry::{
    Conformance, OrderEntry, Part, ReviserEntry, ScheduleEntry, UnmaskerEntry,
};

/// The names under one heading of `conjoint strategies`.
fn names(flag: &str) -> Vec<String> {
    let output = conjoint(&["strategies"]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, list) = text.split_once(&format!("{flag}: ")).unwrap();
    let lines = list.lines().skip(1).take_while(|line| !line.is_empty());
    // Further lines of an entry are indented more.
    let lines = lines.filter(|line| !line.starts_with("   "));
    lines.map(|line| line.trim().split([':', ' ', '[']).next().unwrap().to_owned()).collect()
}

#[test]
fn every_strategy_runs_by_its_name() {
    let (model, registry) = (export("dream-tiny", Some("adjust-dream-tiny")), Registry::builtin());
    let registered: Vec<_> = registry.unmaskers().map(UnmaskerEntry::name).collect();
    assert_eq!(names("--unmasker"), registered);
    for entry in registry.unmaskers() {
        let unmasker = entry.name();
        let takes_schedule = entry.is_made_of(Part::Schedule);
        let schedule = if takes_schedule { "--schedule linear:4" } else { "" };
        let line = format!(
            "--prompt-ids 5,9 --gen-length 8 --unmasker {unmasker} {schedule} --num-samples 2"
        );
        if entry.is_made_of(Part::Scorer) {
            rejected(&generate(model.path(), &line), &["--unmasker", "--scorer"]);
            continue;
        }
        for sequence in generate_json(model.path(), &line)["sequences"].as_array().unwrap() {
            let tokens = sequence["tokens"].as_array().unwrap();
            assert_eq!((tokens.len(), &tokens[0], &tokens[1]), (10, &5.into(), &9.into()));
            assert!(!tokens.contains(&94.into()), "{unmasker} left a mask: {tokens:?}");
        }
    }
}

#[test]
fn every_schedule_reviser_and_order_runs_by_its_name() {
    let (model, registry) = (export("dream-tiny", None), Registry::builtin());
    let registered: Vec<_> = registry.schedules().map(ScheduleEntry::name).collect();
    assert_eq!(names("--schedule"), registered);
    let first = |name: &'static str, tested: Conformance| tested.specs.first().map_or(name, |s| *s);
    let line = "--prompt-ids 5,9 --gen-length 8 --unmasker marginal";
    for entry in registry.schedules() {
        let schedule = first(entry.name(), entry.conformance());
        generate_json(model.path(), &format!("{line} --schedule {schedule}"));
    }
    let registered: Vec<_> = registry.revisers().map(ReviserEntry::name).collect();
    assert_eq!(names("--revise"), registered);
    for reviser in registered {
        let needs_steps = registry.reviser(reviser).unwrap().reviser().needs_steps();
        let schedule = if needs_steps { "--schedule linear:4" } else { "" };
        generate_json(model.path(), &format!("{line} --revise {reviser} {schedule}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let counts = folder.path().join("counts.json");
    std::fs::write(&counts, "[3, 1, 4, 1, 5]").unwrap();
    let registered: Vec<_> = registry.orders().map(OrderEntry::name).collect();
    assert_eq!(names("--order"), registered);
    for entry in registry.orders() {
        let order = first(entry.name(), entry.conformance());
        let order = order.replace("{FILE}", &counts.display().to_string());
        generate_json(model.path(), &format!("{line} --order {order} --order-temperature 0.5"));
    }
}

/// Each preset draws what the library's function of its name draws.
#[test]
fn presets_equal_those_of_the_library() {
    let model = std::sync::Arc::new(OnnxDenoiser::open(tiny(), ExecutionProvider::Cpu).unwrap());
    let layer = || model.sampler_layer().unwrap();
    let library = [
        ("quality", presets::quality(model.clone(), layer())),
        ("balanced", presets::balanced(model.clone(), layer())),
        ("fast", presets::fast(model.clone(), layer())),
    ];
    assert_eq!(names("--preset"), library.each_ref().map(|(name, _)| name.to_string()));
    for (name, generator) in library {
        let own = generator.unwrap().seed(3).generate(&[3, 9, 20], 40).unwrap();
        let line = "--prompt-ids 3,9,20 --gen-length 40 --seed 3 --preset";
        let json = generate_json(&tiny(), &format!("{line} {name}"));
        let drawn: Vec<TokenId> =
            serde_json::from_value(json["sequences"][0]["tokens"].clone()).unwrap();
        assert_eq!(drawn, own.tokens, "{name}");
        assert!(own.sampler_calls > own.denoiser_calls / 2, "{name}");
    }
    let both = generate(&tiny(), "--prompt-ids 3 --gen-length 9 --preset fast --unmasker joint");
    rejected(&both, &["--preset", "--unmasker", "cannot be used"]);
    let model = export("dream-tiny", None);
    let without = generate(model.path(), "--prompt-ids 3 --gen-length 9 --preset fast");
    rejected(&without, &["sampler"]);
}

/// Policies and revisers work with the sampler layer.
#[test]
fn policies_unmaskers_and_revisers_combine() {
    let model = export("dream-tiny", Some("adjust-dream-tiny"));
    let line = "--prompt-ids 5,9 --gen-length 8 --unmasker joint";
    let mut passes = 0;
    for policy in
        ["klass:0.01:9:1", "demask:3", "slow-fast:1:0.01:0.01", "dilated", "local-leap:0.01:0.01"]
    {
        let json =
            generate_json(model.path(), &format!("{line} --schedule {policy} --revise wino:0.5"));
        passes += json["sequences"][0]["sampler_calls"].as_u64().unwrap();
    }
    assert!(passes > 10, "{passes} sampler passes: the policies hardly select anything together");
    for (line, flag, expected) in [
        (
            "--unmasker joint --schedule klass --order margin",
            "--unmasker",
            "the policy 'klass' decides",
        ),
        ("--unmasker exact --schedule klass", "--schedule", "'exact' does not take it"),
        ("--unmasker wino --revise rcr", "--unmasker", "'wino' already has a reviser"),
        ("--unmasker p2 --schedule linear:4 --revise rcr", "--unmasker", "leave the reviser out"),
        ("--unmasker klass --schedule klass", "--unmasker", "or use the unmasker 'confidence'"),
        ("--unmasker adaptive-joint --revise rcr", "--unmasker", "use marginal or joint"),
        ("--unmasker marginal --revise remdm", "--schedule", "total number of steps"),
        ("--unmasker marginal --revise wino:2", "--revise", "from 0 to 1"),
        ("--unmasker marginal --revise nothing", "--revise", "expected one of wino, edit"),
        ("--unmasker marginal --schedule klass:2", "--schedule", "from 0 to 1"),
    ] {
        let output = generate(model.path(), &format!("--prompt-ids 5,9 --gen-length 8 {line}"));
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert!(message.contains(flag) && message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn errors_of_parameters_name_their_flag() {
    let model = export("dream-tiny", None);
    let base = "--prompt-ids 5,9 --gen-length 8";
    for (line, flag, expected) in [
        ("--unmasker wino:keep=2", "--unmasker", "from 0 to 1"),
        ("--unmasker wino:kept=1", "--unmasker", "wino:reveal=0.6:keep=0.9"),
        ("--unmasker p2", "--schedule", "total number of steps"),
        ("--unmasker marginal --schedule threshold:1.5", "--schedule", "at most 1"),
        ("--unmasker marginal --order margin:best", "--order", "filtered, raw"),
        ("--order-temperature 0", "--order-temperature", "above 0"),
        ("--cfg-scale -1", "--cfg-scale", "0 or above"),
        ("--repetition-penalty 0.5", "--repetition-penalty", "at least 1"),
        ("--scorer ngram:0:x", "--scorer", "ngram:N:FILE"),
        ("--open-next-block 0.1", "--block-length", "required"),
        ("--block-length 4 --open-next-block 2", "--open-next-block", "from 0 to 1"),
    ] {
        let output = generate(model.path(), &format!("{base} {line}"));
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}\n{message}");
        assert!(message.contains(flag) && message.contains(expected), "{line}\n{message}");
    }
}

#[test]
fn holes_are_filled_and_given_tokens_stay() {
    let model = export("dream-tiny", None);
    let report = generate_json(model.path(), "--infill-ids 5,94,9,94,94,7 --num-samples 3");
    for sequence in report["sequences"].as_array().unwrap() {
        let tokens: Vec<u64> =
            sequence["tokens"].as_array().unwrap().iter().map(|t| t.as_u64().unwrap()).collect();
        assert_eq!((tokens.len(), tokens[0], tokens[2], tokens[5]), (6, 5, 9, 7));
        assert!(!tokens.contains(&94));
        assert_eq!(sequence["denoiser_calls"], 3);
    }
    let whole = generate(model.path(), "--infill-ids 5,9");
    assert_eq!(whole.status.code(), Some(2));
    assert!(stderr(&whole).contains("--infill-ids"), "{}", stderr(&whole));

    let tiny = tiny();
    let infill = |text: &str| {
        let arguments = ["generate", "--model", tiny.to_str().unwrap(), "--infill", text];
        conjoint(&arguments)
    };
    let output = infill("<story>the [MASK*3] sees it[MASK]");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = text.trim_end();
    assert!(text.starts_with("<story>the ") && text.contains(" sees it"), "{text}");
    let bad = infill("<story>the [MASK*0]");
    assert_eq!(bad.status.code(), Some(2));
    assert!(stderr(&bad).contains("[MASK*N]"), "{}", stderr(&bad));
}

#[test]
fn a_scorer_is_counted_from_the_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let texts = conjoint(&["corpus", "--num", "40", "--seed", "7"]);
    assert_eq!(String::from_utf8_lossy(&texts.stdout).lines().count(), 40);
    let file = folder.path().join("texts.txt");
    std::fs::write(&file, texts.stdout).unwrap();
    for unmasker in ["energy", "copula", "prefix-acceptance"] {
        let schedule = if unmasker == "prefix-acceptance" { "" } else { "--schedule per-step:3" };
        let line = format!(
            "--prompt <story> --gen-length 12 --unmasker {unmasker} {schedule} --scorer ngram:3:{}",
            file.display()
        );
        let report = generate_json(&tiny(), &line);
        assert_eq!(report["sequences"][0]["tokens"].as_array().unwrap().len(), 13);
    }
    let missing = generate(
        &tiny(),
        "--prompt <story> --gen-length 4 --unmasker copula --scorer ngram:3:nowhere.txt",
    );
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("--scorer"), "{}", stderr(&missing));
}

#[test]
fn a_comparison_resumes_only_with_the_same_settings() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let compare = |strategies: &str, texts: &str| {
        let (tiny, out) = (tiny(), out.to_string_lossy().into_owned());
        conjoint(&[
            "compare",
            "--model",
            tiny.to_str().unwrap(),
            "--strategies",
            strategies,
            "--steps",
            "8",
            "--num-samples",
            texts,
            "--out",
            &out,
        ])
    };
    let first = compare("exact,joint", "4");
    assert!(first.status.success(), "{}", stderr(&first));
    let points = || {
        let files = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap());
        let points = files.filter(|file| file.file_name().to_string_lossy().starts_with("point-"));
        let mut points: Vec<_> = points
            .map(|file| (file.file_name(), file.metadata().unwrap().modified().unwrap()))
            .collect();
        points.sort();
        points
    };
    let before = points();
    assert_eq!(before.len(), 2);
    for file in ["report.json", "report.md", "nll-cost.svg", "right-tokens-per-forward.svg"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let more = compare("exact,joint,marginal", "4");
    assert!(more.status.success(), "{}", stderr(&more));
    let after = points();
    assert_eq!(after.len(), 3);
    assert!(before.iter().all(|point| after.contains(point)), "a point was measured again");
    let report = read_report(&out);
    let strategies: Vec<_> =
        report["points"].as_array().unwrap().iter().map(|point| &point["strategy"]).collect();
    assert_eq!(strategies, ["exact", "joint", "marginal"]);
    let gaps = report["gaps"].as_array().unwrap();
    let likelihood = gaps.iter().find(|gap| gap["metric"] == "NLL").unwrap();
    assert_eq!((&likelihood["strategy"], &likelihood["closed"]["n"]), (&"joint".into(), &4.into()));

    let cost = |i: usize| report["points"][i]["cost"]["sampler_cost"].as_f64().unwrap();
    assert!(cost(0) == 0.0 && cost(1) > 0.0 && cost(2) == 0.0, "{report}");
    let table = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(table.contains(&format!("| {:.3} |", cost(1))), "{table}");

    let other = compare("exact,marginal", "5");
    assert_eq!(other.status.code(), Some(2));
    let message = stderr(&other);
    assert!(message.contains("--out") && message.contains("texts"), "{message}");
}

#[test]
fn texts_with_holes_are_compared_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let requests = folder.path().join("requests.jsonl");
    let compare = |name: &str, lines: &[&str], more: &str| {
        std::fs::write(&requests, lines.join("\n")).unwrap();
        let line = format!(
            "compare --model {} --out {} --num-samples 5 --strategies exact,marginal --k 3 --metrics nll --prompts {} {more}",
            tiny().display(),
            folder.path().join(name).display(),
            requests.display()
        );
        conjoint(&line.split_whitespace().collect::<Vec<_>>())
    };
    let holes = [
        r#"{"infill": "<story>the o[MASK*5]n the[MASK*2]", "id": 7, "seed": 3}"#,
        r#"{"infill": "<list>[MASK*9]1"}"#,
    ];
    let output = compare("holes", &holes, "");
    assert!(output.status.success(), "{}", stderr(&output));
    let report = read_report(&folder.path().join("holes"));
    let texts = |strategy: &str, setting: &str| -> Vec<serde_json::Value> {
        let file = format!("holes/texts-{strategy}-{setting}-0.jsonl");
        let lines = std::fs::read_to_string(folder.path().join(file)).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for (point, (strategy, setting, calls)) in
        [("exact", "K%20%3d%201", [7, 9]), ("marginal", "K%20%3d%203", [3, 3])]
            .into_iter()
            .enumerate()
    {
        // Three texts of 7 drawn tokens, and two of 9.
        assert_eq!(report["points"][point]["tokens"], 3 * 7 + 2 * 9);
        let texts = texts(strategy, setting);
        assert_eq!(texts.len(), 5);
        for (index, text) in texts.iter().enumerate() {
            let (begin, end, length) = [("<story>the o", "", 18), ("<list>", "1", 11)][index % 2];
            let whole = text["text"].as_str().unwrap();
            assert!(whole.starts_with(begin) && whole.ends_with(end), "{whole}");
            assert!(
                !whole.contains("[MASK]") && (index % 2 == 1 || whole.contains("n the")),
                "{whole}"
            );
            assert_eq!(text["tokens"].as_array().unwrap().len(), length, "{whole}");
            assert_eq!(text["index"], index);
            assert_eq!(text["denoiser_calls"], calls[index % 2]);
        }
    }
    let long = compare("long", &holes, "--length 20");
    rejected(&long, &["--length 20", "have holes, and lengths of their own"]);
    let mixed = compare("mixed", &[holes[0], r#"{"prompt": "<story>the"}"#], "");
    rejected(&mixed, &["--prompts", "line 2: expected infill or infill_ids"]);
}

#[test]
fn every_seed_has_its_own_tasks() {
    let out = tempfile::tempdir().unwrap();
    let line = format!(
        "eval --model {} --out {} --tasks --unmaskers marginal --k 16 --num-samples 13 --seeds 0,1,2 --metrics right",
        tiny().display(),
        out.path().display()
    );
    let output = conjoint(&line.split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{}", stderr(&output));
    let report = read_report(out.path());
    let tasks = |seed: usize| {
        let figures = &report["points"][seed]["metrics"];
        ["right math", "right code", "right list"].map(|name| figures[name]["n"].as_u64())
    };
    let all = [tasks(0), tasks(1), tasks(2)];
    assert!(all.iter().all(|counts| counts.iter().flatten().sum::<u64>() == 13));
    assert!(all.iter().any(|counts| *counts != all[0]), "{all:?}");
}

#[test]
fn changed_inputs_do_not_resume_a_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let compare = |out: &str, more: &str| {
        let (tiny, out) = (tiny(), path(out));
        let line = format!(
            "compare --model {} --num-samples 2 --length 12 --steps 6 --metrics nll --out {} {more}",
            tiny.display(),
            out.display()
        );
        conjoint(&line.split_whitespace().collect::<Vec<_>>())
    };
    let rejected = |output, part: &str| common::rejected(&output, &[part]);
    // The scorer's file is another one under the same name.
    let texts = path("texts.txt");
    let scored = format!("--strategies copula --scorer ngram:2:{}", texts.display());
    std::fs::write(&texts, "<story>one hen.\n").unwrap();
    let first = compare("scored", &scored);
    assert!(first.status.success(), "{}", stderr(&first));
    std::fs::write(&texts, "<math>ann has 7 figs.\n").unwrap();
    rejected(compare("scored", &scored), "scorers' files");
    std::fs::write(&texts, "\n").unwrap();
    rejected(compare("empty", &scored), "has no text");
    // The same prompts, one of them more often.
    let prompts = path("prompts.txt");
    let prompted = format!("--strategies marginal --prompts {}", prompts.display());
    std::fs::write(&prompts, "<list>\n<math>\n").unwrap();
    assert!(compare("prompted", &prompted).status.success());
    std::fs::write(&prompts, "<list>\n<math>\n<math>\n").unwrap();
    rejected(compare("prompted", &prompted), "prompts");
    // Other counts under the same name.
    let counts = path("counts.json");
    let ordered = format!("--strategies marginal --order pc-sampler:{}", counts.display());
    std::fs::write(&counts, format!("{:?}", vec![1; 56])).unwrap();
    assert!(compare("ordered", &ordered).status.success());
    std::fs::write(&counts, format!("{:?}", vec![2; 56])).unwrap();
    rejected(compare("ordered", &ordered), "order's file");
    // A strategy that cannot work is found before anything is measured, and the folder stays free.
    rejected(compare("late", "--strategies marginal,wino:2"), "wino:2");
    assert!(!path("late").join("settings.json").exists());
    assert!(compare("late", "--strategies marginal").status.success());
}

/// The report in a comparison's folder.
fn read_report(out: &std::path::Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap()
}

/// The points of a comparison of models/tiny.
fn points(out: &std::path::Path, more: &str) -> Vec<serde_json::Value> {
    let line = format!("compare --model {} --out {} {more}", tiny().display(), out.display());
    let output = conjoint(&line.split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{}", stderr(&output));
    read_report(out)["points"].as_array().unwrap().clone()
}

#[test]
fn an_end_token_in_the_prompt_does_not_end_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts.txt");
    let parsing = |name: &str, prompt: &str| {
        std::fs::write(&prompts, format!("{prompt}\n")).unwrap();
        let more = format!(
            "--num-samples 24 --strategies exact --metrics parses,mauve,neighbours --prompts {}",
            prompts.display()
        );
        points(&folder.path().join(name), &more)[0]["metrics"]["parses"]["value"].as_f64().unwrap()
    };
    assert!(parsing("plain", "<story>the old") > 0.5);
    assert!(parsing("led", "<eos><story>the old") > 0.2);
}

#[test]
fn texts_that_end_at_once_leave_metrics_out() {
    let folder = tempfile::tempdir().unwrap();
    let texts = folder.path().join("texts.txt");
    std::fs::write(&texts, "a\n").unwrap();
    let more = format!(
        "--num-samples 4 --prompts {} --scorer ngram:1:{} --external ngram:1:{} --stop-at-eos \
         --strategies copula,exact --steps 4,4 --seeds 3,3 --metrics right,mauve,neighbours,external-nll",
        texts.display(),
        texts.display(),
        texts.display()
    );
    let points = points(&folder.path().join("out"), &more);
    // A point that was named twice is measured once.
    assert_eq!(points.len(), 2);
    for point in &points {
        assert!(point["metrics"]["MAUVE"]["value"].is_number(), "{point}");
        // At one token a forward no more tokens than forwards are drawn.
        let (tokens, cost) = (point["tokens"].as_f64().unwrap(), &point["cost"]);
        let forwards = cost["denoiser_calls"].as_f64().unwrap();
        assert!(point["strategy"] != "exact" || tokens <= forwards, "{point}");
    }
}

#[test]
fn a_total_of_steps_is_that_of_each_text() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts.txt");
    std::fs::write(&prompts, "<story>\n<story>the old hen likes one red map. it\n").unwrap();
    let more = format!(
        "--num-samples 4 --strategies p2:eta=0,confidence:filtered --steps 4 --metrics right --prompts {}",
        prompts.display()
    );
    let points = points(&folder.path().join("out"), &more);
    let calls = |i: usize| points[i]["cost"]["denoiser_calls"].as_f64().unwrap();
    assert_eq!(calls(0), calls(1));
}

#[test]
fn completions_have_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let texts = folder.path().join("texts.txt");
    std::fs::write(&texts, "<story>one hen.\n").unwrap();
    let energy = format!(
        "--prompt <story> --gen-length 4 --scorer ngram:2:{} --unmasker energy:completions={}",
        texts.display(),
        u64::MAX
    );
    let many = generate(&tiny(), &energy);
    assert_eq!(many.status.code(), Some(2));
    assert!(stderr(&many).contains("from 1 to 65536"), "{}", stderr(&many));
}
