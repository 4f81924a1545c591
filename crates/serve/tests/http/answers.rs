//! Whole answers.

use conjoint::prelude::*;
use conjoint::unmasker::TeacherForced;
use conjoint_serve::{Limits, Server};
use serde_json::{Value, json};

use crate::client::{TINY, expected, open, start, story, text, tiny, with};

#[test]
fn a_completion_is_that_of_the_library() {
    let server = tiny();
    for (unmasker, schedule) in
        [("exact", None), ("joint:window=3", Some("per-step:4")), ("wino", None)]
    {
        let mut extension = json!({"unmasker": unmasker});
        if let Some(schedule) = schedule {
            extension["schedule"] = json!(schedule);
        }
        let answer = server.complete(with(story(3), json!({"conjoint": extension})));
        assert_eq!(text(&answer), expected(3, unmasker, schedule), "{unmasker}");
        assert_eq!(answer["object"], "text_completion");
        assert_eq!(answer["model"], "tiny");
        assert_eq!(answer["conjoint"]["seed"], 3);
        let usage = &answer["usage"];
        assert_eq!(usage["prompt_tokens"], TINY.encode("prompt", "<story>the old").unwrap().len());
        assert!(
            ["length", "stop"].contains(&answer["choices"][0]["finish_reason"].as_str().unwrap())
        );
        let calls = answer["conjoint"]["denoiser_calls"].as_u64().unwrap();
        assert!(
            if unmasker == "exact" { calls == usage["completion_tokens"] } else { calls > 0 },
            "{answer}"
        );
    }
}

#[test]
fn a_result_does_not_depend_on_its_neighbours() {
    let server = tiny();
    let strategies = ["exact", "marginal", "joint", "wino"];
    let body = |seed: i64| {
        let unmasker = strategies[seed as usize % 4];
        let mut extension = json!({"unmasker": unmasker});
        if seed % 4 == 1 || seed % 4 == 2 {
            extension["schedule"] = json!("per-step:3");
        }
        with(story(seed), json!({"max_tokens": 16 + seed, "conjoint": extension}))
    };
    let alone: Vec<Value> = (0..12).map(|seed| server.complete(body(seed))).collect();
    let together: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|seed| {
                scope.spawn({
                    let (server, body) = (&server, body(seed));
                    move || server.complete(body)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(alone["choices"], together["choices"]);
        assert_eq!(alone["conjoint"], together["conjoint"]);
    }
}

#[test]
fn samples_prompts_and_seeds() {
    let server = tiny();
    let answer = server
        .complete(with(story(5), json!({"n": 2, "prompt": ["<story>the old", "<math>tom has "]})));
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(
        choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(choices[0]["text"], expected(5, "exact", None));
    assert_ne!(choices[0]["text"], choices[1]["text"]);
    let ids = TINY.encode("prompt", "<story>the old").unwrap();
    assert_eq!(text(&server.complete(with(story(5), json!({"prompt": ids})))), choices[0]["text"]);
    // Without a seed, the answer names the one that repeats it.
    let unseeded = server.complete(with(story(0), json!({"seed": null})));
    let seed = unseeded["conjoint"]["seed"].as_i64().unwrap();
    assert_eq!(text(&server.complete(story(seed))), text(&unseeded));
    // No prompt, and a negative seed.
    let nothing = server.complete(json!({"model": "tiny", "max_tokens": 20, "seed": -1}));
    assert_eq!(nothing["usage"]["prompt_tokens"], 0);
}

#[test]
fn holes_suffixes_stops_and_echo() {
    let server = tiny();
    let answer = server.complete(
        json!({"model": "tiny", "seed": 1, "conjoint": {"infill": "<math>tom has 7 [MASK*4] and"}}),
    );
    assert!(text(&answer).chars().count() >= 4, "{answer}");
    let answer = server.complete(json!({"model": "tiny", "prompt": "<math>tom has ", "suffix": " pens", "max_tokens": 3, "seed": 1}));
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    let whole = server.complete(story(2));
    let stop = text(&whole).chars().skip(5).take(2).collect::<String>();
    let stopped = server.complete(with(story(2), json!({"stop": [stop]})));
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert!(!text(&stopped).contains(&stop));
    let echoed = server.complete(with(story(2), json!({"echo": true})));
    assert_eq!(text(&echoed), format!("<story>the old{}", text(&whole)));
    let greedy = with(story(2), json!({"temperature": 0}));
    let other = with(story(9), json!({"temperature": 0}));
    assert_eq!(text(&server.complete(greedy)), text(&server.complete(other)));
}

/// The log-probabilities of a text from left to right, by the library.
fn left_to_right(tokens: &[TokenId], length: usize) -> Vec<f64> {
    struct Sum(Vec<f64>);
    impl conjoint::Observer for Sum {
        fn on_reveal(&mut self, reveal: &conjoint::observer::Reveal) {
            self.0.push(reveal.probability.ln());
        }
    }
    let generator = Generator::new(TINY.denoiser.clone());
    let mask = generator.vocabulary().mask();
    let mut canvas = vec![mask; length];
    canvas[0] = tokens[0];
    let mut all = tokens.to_vec();
    all.resize(length, generator.vocabulary().eos().unwrap());
    let forced = TeacherForced::new(all).order(LeftToRight);
    let mut sum = Sum(Vec::new());
    let canvas = Canvas::infill(canvas, mask).unwrap();
    let _ = generator.ban([mask]).unmasker(forced).run(vec![canvas], &mut sum).unwrap();
    sum.0.truncate(tokens.len() - 1);
    sum.0
}

#[test]
fn echoed_log_probabilities_are_those_of_the_path_from_left_to_right() {
    let server = tiny();
    let prompt = "<story>the old";
    let tokens = TINY.encode("prompt", prompt).unwrap();
    for (max_tokens, echoed) in [(1, 1), (0, 0)] {
        let body = json!({"model": "tiny", "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "logprobs": 2, "echo": true, "seed": 1});
        let answer = server.complete(body);
        let logprobs = &answer["choices"][0]["logprobs"];
        let values: Vec<Option<f64>> =
            serde_json::from_value(logprobs["token_logprobs"].clone()).unwrap();
        assert_eq!(values.len(), tokens.len() + echoed);
        assert_eq!(values[0], None);
        let expected = left_to_right(&tokens, tokens.len() + max_tokens);
        for (value, expected) in values[1..tokens.len()].iter().zip(&expected) {
            assert!((value.unwrap() - expected).abs() < 1e-4, "{values:?} {expected:?}");
        }
        // The keys are the most probable tokens and the token itself.
        for (i, top) in logprobs["top_logprobs"].as_array().unwrap().iter().enumerate().skip(1) {
            let token = logprobs["tokens"][i].as_str().unwrap();
            assert_eq!(top[token].as_f64(), values[i]);
            assert!((2..=3).contains(&top.as_object().unwrap().len()), "{top}");
        }
        let offsets: Vec<usize> = serde_json::from_value(logprobs["text_offset"].clone()).unwrap();
        assert_eq!((offsets[0], offsets[1]), (0, "<story>".len()));
    }
}

#[test]
fn log_probabilities_of_generated_tokens_are_those_of_their_rows() {
    let server = tiny();
    // Exact sampling from left to right draws from the rows of the path.
    let body = with(
        story(4),
        json!({"logprobs": 0, "conjoint": {"unmasker": "exact", "order": "left-to-right"}}),
    );
    let answer = server.complete(body);
    let logprobs = &answer["choices"][0]["logprobs"];
    let values: Vec<f64> = serde_json::from_value(logprobs["token_logprobs"].clone()).unwrap();
    let prompt = TINY.encode("prompt", "<story>the old").unwrap();
    let written: Vec<String> = serde_json::from_value(logprobs["tokens"].clone()).unwrap();
    let generated = TINY.encode("prompt", &written.concat()).unwrap();
    let all: Vec<TokenId> = prompt.iter().chain(&generated).copied().collect();
    let path = left_to_right(&all, prompt.len() + 32);
    for (value, expected) in values.iter().zip(&path[prompt.len() - 1..]) {
        assert!((value - expected).abs() < 1e-4, "{values:?} {path:?}");
    }
    assert!(logprobs["top_logprobs"][0].as_object().unwrap().is_empty());
}

#[test]
fn chats_use_the_template_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(conjoint_models::tiny()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let template =
        "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}";
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let server = start(Server::new(open(folder.path()), "tiny"));
    let body = json!({"model": "tiny", "seed": 3, "max_completion_tokens": 32, "logprobs": true, "top_logprobs": 1,
        "messages": [{"role": "story", "content": "the old"}]});
    let (status, answer) = server.post("/v1/chat/completions", &body);
    assert_eq!((status, &answer["object"]), (200, &json!("chat.completion")), "{answer}");
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["role"], "assistant");
    assert_eq!(message["content"], expected(3, "exact", None));
    let content = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content[0]["top_logprobs"].as_array().unwrap().len(), 1);
    assert!(content[0]["logprob"].as_f64().unwrap() <= 0.0);
    // Without a length, a chat has all the room that is left.
    let (status, answer) = server
        .post("/v1/chat/completions", &json!({"model": "tiny", "messages": body["messages"]}));
    assert_eq!(status, 200, "{answer}");
    // One with less room than its prompt says so.
    let mut short = Limits::default();
    short.length = 6;
    let server = start(Server::new(open(folder.path()), "tiny").limits(short));
    let (status, answer) = server
        .post("/v1/chat/completions", &json!({"model": "tiny", "messages": body["messages"]}));
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("messages")), "{answer}");
    // A model without a template says so.
    let (status, answer) = tiny().post("/v1/chat/completions", &body);
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("messages")), "{answer}");
}

#[test]
fn models_are_listed_and_presets_are_models() {
    let server = tiny();
    let (status, models) = server.get("/v1/models");
    let models: Value = serde_json::from_str(&models).unwrap();
    let names: Vec<&str> =
        models["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(
        (status, names.as_slice()),
        (200, ["tiny", "tiny:quality", "tiny:balanced", "tiny:fast"].as_slice())
    );
    assert_eq!(server.get("/v1/models/tiny:fast").0, 200);
    assert_eq!(server.get("/v1/models/huge").0, 404);
    let (status, error) = server.get("/v1/models/%ff");
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!((status, &error["error"]["param"]), (400, &json!("model")), "{error}");
    let fast = server.complete(with(story(3), json!({"model": "tiny:fast"})));
    assert_eq!(text(&fast), expected(3, "joint:window=3:bound=0.001", Some("per-step:12")));
    let default = TINY.clone();
    let line = conjoint_lab::Registry::builtin().line("fast").unwrap();
    let server = start(Server::new(default, "tiny").default_line(line));
    assert_eq!(text(&server.complete(story(3))), text(&fast));
}

#[test]
fn the_tokenizer_can_be_asked() {
    let server = tiny();
    let (status, made) =
        server.post("/tokenize", &json!({"prompt": "<story>the old", "add_special_tokens": false}));
    let ids = TINY.encode("prompt", "<story>the old").unwrap();
    assert_eq!((status, &made["tokens"]), (200, &json!(ids)), "{made}");
    assert_eq!((&made["count"], &made["max_model_len"]), (&json!(ids.len()), &json!(48)));
    assert_eq!(
        server.post("/detokenize", &json!({"tokens": ids})).1,
        json!({"prompt": "<story>the old"})
    );
    let info: Value = serde_json::from_str(&server.get("/tokenizer_info").1).unwrap();
    assert_eq!(info["eos_token"], "<eos>");
    for (path, body) in [
        ("/tokenize", json!({"text": "a"})),
        ("/tokenize", json!({"prompt": "日"})),
        ("/detokenize", json!({"tokens": [100_000]})),
    ] {
        assert_eq!(server.post(path, &body).0, 400, "{body}");
    }
    assert_eq!(server.post("/tokenize", &json!({"model": "huge", "prompt": "a"})).0, 404);
}

#[test]
fn replaced_tokens_have_no_score_of_another_token() {
    let server = tiny();
    for seed in 0..4 {
        let extension = json!({"unmasker": "edit:reveal=0.3:edit=0.05"});
        let body = with(story(seed), json!({"logprobs": 20, "conjoint": extension}));
        let answer = server.complete(body);
        let logprobs = &answer["choices"][0]["logprobs"];
        let values = logprobs["token_logprobs"].as_array().unwrap();
        for (i, value) in values.iter().enumerate() {
            let Some(value) = value.as_f64() else { continue };
            let token = logprobs["tokens"][i].as_str().unwrap();
            let top = logprobs["top_logprobs"][i].as_object().unwrap();
            assert_eq!(top[token].as_f64(), Some(value));
            let sum: f64 = top.values().map(|log_p| log_p.as_f64().unwrap().exp()).sum();
            assert!(sum < 1.0 + 1e-5, "{sum}");
        }
    }
}
