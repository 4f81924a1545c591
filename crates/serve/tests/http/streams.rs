//! Streams of events.

use serde_json::{Value, json};

use crate::client::{story, text, tiny, with};

/// The texts of the events, joined.
fn joined(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect()
}

#[test]
fn the_parts_of_a_stream_are_the_whole_text() {
    let server = tiny();
    for extension in [
        json!({"unmasker": "exact"}),
        json!({"unmasker": "exact", "order": "left-to-right"}),
        json!({"unmasker": "joint", "schedule": "per-step:4"}),
        json!({"unmasker": "wino"}),
        json!({"unmasker": "marginal", "schedule": "linear:16", "revise": "remdm"}),
    ] {
        let body = with(story(6), json!({"conjoint": extension}));
        let whole = server.complete(body.clone());
        let events = server.events(&with(
            body,
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        ));
        assert_eq!(joined(&events), text(&whole), "{extension}");
        let (usage, parts) = events.split_last().unwrap();
        assert_eq!(usage["usage"], whole["usage"]);
        assert_eq!(usage["conjoint"], whole["conjoint"]);
        assert_eq!(usage["choices"], json!([]));
        let reasons: Vec<&Value> =
            parts.iter().map(|event| &event["choices"][0]["finish_reason"]).collect();
        assert_eq!(*reasons.last().unwrap(), &whole["choices"][0]["finish_reason"]);
        assert!(reasons[..reasons.len() - 1].iter().all(|reason| reason.is_null()));
        assert!(parts.iter().all(|event| event["id"] == parts[0]["id"]));
    }
    // From left to right, each token is an event.
    let body = with(
        story(6),
        json!({"stream": true, "conjoint": {"order": "left-to-right", "unmasker": "exact"}}),
    );
    assert!(server.events(&body).len() > 8);
}

#[test]
fn texts_with_holes_are_streamed_up_to_the_last_hole() {
    let server = tiny();
    for body in [
        json!({"model": "tiny", "seed": 4, "prompt": "<story>the old", "suffix": " and then", "max_tokens": 10}),
        json!({"model": "tiny", "seed": 4, "conjoint": {"infill": "<story>the [MASK*4] and [MASK*3] ran"}}),
    ] {
        let body = with(body, json!({"logprobs": 0}));
        let whole = server.complete(body.clone());
        let events = server.events(&with(body, json!({"stream": true})));
        assert_eq!(joined(&events), text(&whole));
        let tokens =
            events.iter().filter_map(|event| event["choices"][0]["logprobs"]["tokens"].as_array());
        let tokens: Vec<Value> = tokens.flatten().cloned().collect();
        assert_eq!(Value::Array(tokens), whole["choices"][0]["logprobs"]["tokens"]);
    }
}

#[test]
fn a_stop_text_is_never_sent() {
    let server = tiny();
    let whole = server.complete(story(2));
    let stop = text(&whole).chars().skip(6).take(3).collect::<String>();
    for order in ["left-to-right", "entropy"] {
        let body = with(
            story(2),
            json!({"stream": true, "stop": stop, "conjoint": {"unmasker": "exact", "order": order}}),
        );
        let streamed = joined(&server.events(&body));
        assert_eq!(streamed, text(&server.complete(with(body, json!({"stream": false})))));
        assert!(!streamed.contains(&stop));
    }
}

#[test]
fn the_events_of_steps_rebuild_the_text() {
    let server = tiny();
    for unmasker in ["joint", "wino"] {
        let mut extension = json!({"unmasker": unmasker, "events": true});
        if unmasker == "joint" {
            extension["schedule"] = json!("per-step:4");
        }
        let events =
            server.events(&with(story(8), json!({"stream": true, "n": 2, "conjoint": extension})));
        for choice in 0..2 {
            let of = |event: &&Value| event["conjoint"]["choice"] == choice;
            let own: Vec<&Value> =
                events.iter().filter(of).map(|event| &event["conjoint"]).collect();
            let (last, steps) = own.split_last().unwrap();
            let mut tokens: Vec<Value> = steps[0]["canvas"].as_array().unwrap().clone();
            let (mut forwards, mut passes, mut remasks) = (0, 0, 0);
            for (number, step) in steps.iter().enumerate() {
                assert_eq!(step["step"], number);
                forwards += step["forwards"].as_u64().unwrap();
                passes += step["sampler_passes"].as_u64().unwrap();
                for change in step["changes"].as_array().unwrap() {
                    let position = change["position"].as_u64().unwrap() as usize;
                    remasks += u64::from(change["token"].is_null());
                    tokens[position] = change["text"].clone();
                    if !change["token"].is_null() {
                        assert!((0.0..=1.0).contains(&change["probability"].as_f64().unwrap()));
                    }
                }
                let masked = tokens.iter().filter(|token| token.is_null()).count();
                assert_eq!(step["masked"], masked);
            }
            assert_eq!(
                (&last["denoiser_calls"], &last["sampler_calls"]),
                (&json!(forwards), &json!(passes))
            );
            for (token, end) in tokens.iter().zip(last["tokens"].as_array().unwrap()) {
                assert!(token.is_null() || token == end);
            }
            assert_eq!(remasks > 0, unmasker == "wino");
        }
    }
}

#[test]
fn log_probabilities_come_with_their_tokens() {
    let server = tiny();
    let body = with(
        story(4),
        json!({"logprobs": 1, "conjoint": {"unmasker": "joint", "schedule": "per-step:4"}}),
    );
    let whole = server.complete(body.clone());
    let events = server.events(&with(body, json!({"stream": true})));
    for key in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let parts =
            events.iter().filter_map(|event| event["choices"][0]["logprobs"][key].as_array());
        let parts: Vec<Value> = parts.flatten().cloned().collect();
        assert_eq!(Value::Array(parts), whole["choices"][0]["logprobs"][key], "{key}");
    }
}
