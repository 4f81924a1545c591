//! Errors, limits, clients that misbehave, and the end of a server.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use conjoint_serve::Server;
use serde_json::json;

use crate::client::{TINY, http, limited, start, story, text, tiny, with};

#[test]
fn invalid_requests_name_the_parameter() {
    let server = tiny();
    for (more, part) in [
        (json!({"temperatures": 1}), "`temperatures`"),
        (json!({"temperature": -1}), "`temperature`"),
        (json!({"top_p": 2}), "`top_p`"),
        (json!({"max_tokens": 0}), "`max_tokens`"),
        (json!({"max_tokens": 100_000}), "`max_tokens`"),
        (json!({"max_tokens": 41}), "`max_tokens`"),
        (json!({"n": 0}), "`n`"),
        (json!({"n": 100_000}), "places of this server"),
        (json!({"prompt": vec![[1]; 100_000]}), "100000 sequences"),
        (json!({"suffix": "a", "max_tokens": 0, "echo": true}), "`suffix`"),
        (json!({"stop": ["x".repeat(5000)]}), "4096"),
        (json!({"conjoint": {"order": "pc-sampler:/dev/zero"}}), "pc-sampler"),
        (json!({"prompt": [100_000]}), "100000"),
        (json!({"prompt": "日"}), "日"),
        (json!({"logprobs": 30}), "`logprobs`"),
        (json!({"best_of": 3}), "`best_of`"),
        (json!({"presence_penalty": 0.5}), "`presence_penalty`"),
        (json!({"logit_bias": {"5": 1}}), "`logit_bias`"),
        (json!({"stream_options": {"include_usage": true}}), "`stream: true`"),
        (json!({"stream": true, "echo": true}), "`echo`"),
        (json!({"stop": [""]}), "stop"),
        (json!({"conjoint": {"events": true}}), "conjoint.events"),
        (json!({"conjoint": {"unmasker": "jiont"}}), "jiont"),
        (json!({"conjoint": {"unmasker": "exact", "schedule": "per-step:4"}}), "schedule"),
        (json!({"conjoint": {"schedule": "per-step:0", "unmasker": "marginal"}}), "per-step"),
        (json!({"conjoint": {"block_length": 0}}), "block"),
        (json!({"conjoint": {"infill": "a[MASK]b"}}), "conjoint.infill"),
        (json!({"conjoint": {"timeout": 0}}), "conjoint.timeout"),
        (json!({"model": "tiny:fast", "conjoint": {"unmasker": "exact"}}), "strategy of its own"),
    ] {
        let message = server.error(with(story(1), more.clone()), 400);
        assert!(message.contains(part), "{more}: {message}");
    }
    assert!(server.error(json!({"prompt": "a"}), 400).contains("`model` is missing"));
    assert!(server.error(with(story(1), json!({"model": "huge"})), 404).contains("tiny:balanced"));
    // The server goes on.
    assert_eq!(server.post("/v1/completions", &story(1)).0, 200);
}

#[test]
fn paths_methods_and_bodies_are_checked() {
    let server = limited(|limits| {
        limits.body = 2000;
        limits.read_timeout = Duration::from_millis(300);
    });
    let status = |answer: &str| answer.split(' ').nth(1).map(str::to_owned);
    let body = story(1).to_string();
    assert_eq!(server.get("/v2").0, 404);
    assert_eq!(server.get("/v1/completions").0, 405);
    let long = "x".repeat(3000);
    assert_eq!(server.post("/v1/completions", &with(story(1), json!({"prompt": long}))).0, 413);
    let plain = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(status(&server.raw(plain.as_bytes())).unwrap(), "415");
    for wrong in ["{", "[]", "null", "{\"model\": \"tiny\", \"prompt\": \"\\ud800\"}", "\u{0}", ""]
    {
        let answer = server.raw(&http("/v1/completions", wrong));
        assert_eq!(status(&answer).unwrap(), "400", "{wrong}: {answer}");
        assert!(answer.contains("invalid_request_error"), "{answer}");
    }
    // Another name of this machine may be that of a page of another site.
    for (host, expected) in
        [("evil.example", "421"), ("localhost:1", "200"), ("[::1]:80", "200"), ("127.0.0.1", "200")]
    {
        let answer = server.raw(
            format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        assert_eq!(status(&answer).unwrap(), expected, "{host}");
    }
    // Not HTTP, a broken header, a body that is shorter than announced, and nothing at all.
    assert!(server.raw(b"hello\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(
        server
            .raw(b"POST /v1/completions HTTP/1.1\r\nContent-Length: x\r\n\r\n")
            .starts_with("HTTP/1.1 400")
    );
    let began = Instant::now();
    let announced = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"mo";
    let slow = server.raw(announced);
    assert_eq!(status(&slow).unwrap(), "408", "{slow}");
    assert!(server.raw(b"POST /v1/completions HT").is_empty());
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(server.post("/v1/completions", &story(1)).0, 200);
}

#[test]
fn requests_need_the_key() {
    let server = start(Server::new(TINY.clone(), "tiny").key("secret"));
    let send = |headers: &[(&str, &str)]| server.send("/v1/completions", Some(&story(1)), headers);
    let (status, headers, body) = send(&[]);
    assert_eq!((status, headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    assert!(!body.contains("secret"));
    for wrong in ["Bearer", "Bearer secre", "Bearer secrets", "secret", "Basic secret"] {
        assert_eq!(send(&[("Authorization", wrong)]).0, 401, "{wrong}");
    }
    assert_eq!(send(&[("Authorization", "Bearer secret")]).0, 200);
    assert_eq!(send(&[("Authorization", "bearer secret"), ("Host", "models.example")]).0, 200);
    assert_eq!(
        (server.get("/v1/models").0, server.get("/health").0, server.get("/").0),
        (401, 200, 200)
    );
}

#[test]
fn a_full_queue_answers_429() {
    let server = limited(|limits| (limits.batch, limits.queue) = (1, 1));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|seed| {
                scope.spawn({
                    let server = &server;
                    move || server.send("/v1/completions", Some(&story(seed)), &[])
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let full: Vec<_> = answers.iter().filter(|(status, ..)| *status == 429).collect();
    assert!(!full.is_empty());
    for (_, headers, body) in &full {
        let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(seconds >= 1 && body.contains("queue_full"), "{body}");
    }
    let good = answers.iter().filter(|(status, ..)| *status == 200).count();
    assert!(good >= 2 && good + full.len() == 16, "{good}");
    let (status, body) = server.post("/v1/completions", &with(story(1), json!({"n": 3})));
    assert_eq!((status, &body["error"]["param"]), (400, &json!("n")));
    assert_eq!(
        server.metric("conjoint_requests_total{path=\"/v1/completions\",status=\"429\"}"),
        full.len() as f64
    );
}

#[test]
fn a_client_that_goes_away_frees_its_place() {
    let server = limited(|limits| limits.batch = 1);
    let cancelled = "conjoint_sequences_total{reason=\"cancelled\"}";
    let body = with(story(1), json!({"stream": true, "conjoint": {"events": true}}));
    for gone in 1..=3 {
        drop(server.begin(&body));
        server.wait_for(cancelled, f64::from(gone));
    }
    // Also before an answer has begun.
    let mut stream = server.connect();
    let whole = with(story(1), json!({"n": 64}));
    stream.write_all(&http("/v1/completions", &whole.to_string())).unwrap();
    server.wait_for("conjoint_waiting_sequences", 32.0);
    drop(stream);
    server.wait_for(cancelled, 4.0);
    assert_eq!(server.post("/v1/completions", &story(1)).0, 200);
    assert_eq!(server.metric("conjoint_waiting_sequences"), 0.0);
    assert_eq!(server.metric("conjoint_running_sequences"), 0.0);
}

#[test]
fn a_deadline_returns_what_is_final() {
    let server = limited(|limits| limits.batch = 1);
    let body = with(
        story(1),
        json!({"n": 40, "conjoint": {"unmasker": "exact", "order": "left-to-right", "timeout": 0.5}}),
    );
    let answer = server.complete(body);
    let whole = server.complete(with(
        story(1),
        json!({"n": 40, "conjoint": {"unmasker": "exact", "order": "left-to-right"}}),
    ));
    let choices = answer["choices"].as_array().unwrap();
    let late = choices.iter().filter(|choice| choice["finish_reason"] == "deadline").count();
    assert!(late > 0, "{answer}");
    for (part, whole) in choices.iter().zip(whole["choices"].as_array().unwrap()) {
        let [part, whole] = [part, whole].map(|choice| choice["text"].as_str().unwrap());
        assert!(whole.starts_with(part), "{part} {whole}");
    }
    assert!(choices.last().unwrap()["text"] == "");
    // Of a sequence that never began, no token counts.
    let body = with(story(1), json!({"conjoint": {"timeout": 1e-9}}));
    let answer = server.complete(body);
    assert_eq!((text(&answer), &answer["usage"]["completion_tokens"]), ("", &json!(0)), "{answer}");
    // A part of the scores of a prompt is no answer.
    let body = json!({"model": "tiny", "prompt": "<story>the old", "echo": true, "logprobs": 1, "max_tokens": 0, "conjoint": {"timeout": 1e-9}});
    let (status, answer) = server.post("/v1/completions", &body);
    assert_eq!((status, &answer["error"]["code"]), (504, &json!("deadline")), "{answer}");
}

#[test]
fn a_stop_lets_running_sequences_finish() {
    let mut server = limited(|limits| limits.batch = 4);
    let body = with(story(3), json!({"stream": true, "conjoint": {"events": true}}));
    let mut stream = server.begin(&body);
    server.begin_stop();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("\"finish_reason\":\"length\"")
            || rest.contains("\"finish_reason\":\"stop\""),
        "{rest}"
    );
    assert!(rest.contains("[DONE]"));
    server.end();
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn a_stop_without_grace_returns_what_is_final() {
    let mut server = limited(|limits| (limits.batch, limits.grace) = (1, Duration::ZERO));
    let body = with(story(3), json!({"stream": true, "n": 8, "conjoint": {"events": true}}));
    let mut stream = server.begin(&body);
    server.begin_stop();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("\"finish_reason\":\"cancelled\"") && rest.contains("stopping"),
        "{rest}"
    );
    server.end();
}

#[test]
fn health_metrics_and_the_page() {
    let server = tiny();
    let _ = text(&server.complete(story(1)));
    assert!(server.get("/health").1.contains("ok"));
    assert_eq!(
        server.metric("conjoint_sequences_total{reason=\"length\"}")
            + server.metric("conjoint_sequences_total{reason=\"stop\"}"),
        1.0
    );
    assert!(server.metric("conjoint_forwards_total") >= 1.0);
    assert_eq!(server.metric("conjoint_request_seconds_count"), 1.0);
    for (path, kind) in
        [("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")]
    {
        let (status, headers, body) = server.send(path, None, &[]);
        assert_eq!(status, 200);
        assert!(headers["content-type"].to_str().unwrap().starts_with(kind));
        assert!(
            headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'")
        );
        assert!(
            !body.contains("http://") && !body.contains("https://"),
            "{path} names another site"
        );
    }
}
