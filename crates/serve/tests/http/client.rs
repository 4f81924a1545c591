//! A server on a free port, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use conjoint_lab::{Model, Registry};
use conjoint_serve::{Limits, Server};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// `models/tiny`, opened once.
pub static TINY: LazyLock<Arc<Model>> = LazyLock::new(|| open(&conjoint_models::tiny()));

/// Opens a model.
pub fn open(folder: &Path) -> Arc<Model> {
    conjoint::runtime::ensure().unwrap();
    Model::open(folder).unwrap()
}

/// A running server. It stops when it is dropped.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a server of `models/tiny`.
pub fn tiny() -> Running {
    start(Server::new(TINY.clone(), "tiny"))
}

/// Starts a server of `models/tiny` with these limits.
pub fn limited(limit: impl FnOnce(&mut Limits)) -> Running {
    let mut limits = Limits::default();
    limit(&mut limits);
    start(Server::new(TINY.clone(), "tiny").limits(limits))
}

/// Starts a server.
pub fn start(server: Server) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(async {
            let bound = server.bind("127.0.0.1:0").await.unwrap();
            send.send(bound.address()).unwrap();
            bound.run(async { drop(stopped.await) }).await;
        });
    });
    let address = receive.recv().unwrap();
    Running { address, stop: Some(stop), thread: Some(thread) }
}

impl Running {
    /// Begins to stop.
    pub fn begin_stop(&mut self) {
        self.stop.take();
    }

    /// Waits for the end after a stop.
    pub fn end(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }

    /// Posts JSON; the status and the body.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.send(path, Some(body), &[]);
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}")))
    }

    /// Posts to `/v1/completions`; the body of a good answer.
    pub fn complete(&self, body: Value) -> Value {
        let (status, answer) = self.post("/v1/completions", &body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The message of an answer of this status.
    pub fn error(&self, body: Value, status: u16) -> String {
        let (got, answer) = self.post("/v1/completions", &body);
        assert_eq!(got, status, "{answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    }

    /// Gets a path; the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.send(path, None, &[]);
        (status, body)
    }

    /// A request with headers; the status, the headers and the body.
    pub fn send(
        &self,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> (u16, ureq::http::HeaderMap, String) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let agent = ureq::Agent::new_with_config(config);
        let url = format!("http://{}{path}", self.address);
        let mut response = match body {
            None => headers
                .iter()
                .fold(agent.get(&url), |request, (name, value)| request.header(*name, *value))
                .call(),
            Some(body) => {
                let request = headers
                    .iter()
                    .fold(agent.post(&url), |request, (name, value)| request.header(*name, *value));
                request.send_json(body)
            }
        }
        .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), response.headers().clone(), text)
    }

    /// The data of the events of a stream.
    pub fn events(&self, body: &Value) -> Vec<Value> {
        let (status, headers, text) = self.send("/v1/completions", Some(body), &[]);
        assert_eq!(status, 200, "{text}");
        assert_eq!(headers["content-type"], "text/event-stream");
        let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let (last, events) = data.split_last().unwrap();
        assert_eq!(*last, "[DONE]");
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// Sends bytes as they are; all that the server answers until it closes the connection.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Begins a stream of events, and reads until the first one.
    pub fn begin(&self, body: &Value) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&http("/v1/completions", &body.to_string())).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while !line.starts_with("data: ") {
            line.clear();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "no event");
        }
        stream
    }

    /// The value of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Waits until a metric has at least this value.
    pub fn wait_for(&self, name: &str, least: f64) {
        let began = Instant::now();
        while self.metric(name) < least {
            assert!(began.elapsed() < Duration::from_secs(30), "{name} is {}", self.metric(name));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// The bytes of a request with a JSON body, after which the connection closes.
pub fn http(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// A request for a text of `models/tiny`.
pub fn story(seed: i64) -> Value {
    json!({"model": "tiny", "prompt": "<story>the old", "max_tokens": 32, "seed": seed})
}

/// `body` with these keys.
pub fn with(mut body: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// The text that the library generates for [`story`] with this strategy.
pub fn expected(seed: u64, unmasker: &str, schedule: Option<&str>) -> String {
    let registry = Registry::builtin();
    let mut sampling = conjoint_lab::Sampling::default();
    sampling.stops.at_eos = true;
    let unmasker = registry.unmasker(unmasker).unwrap();
    let schedule = schedule.map(|schedule| registry.schedule(schedule).unwrap());
    let parts = sampling.strategy(&registry, (Some(&unmasker), schedule.as_ref(), None)).unwrap();
    let generator = sampling.generator(&TINY, &parts.0, &parts.1, None).unwrap().seed(seed);
    let prompt = TINY.encode("prompt", "<story>the old").unwrap();
    let output = generator.generate(&prompt, 32).unwrap();
    conjoint_lab::requests::completion(&output, &TINY, &[]).unwrap().unwrap()
}

/// The text of the first choice.
pub fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap()
}
