//! A remote model against a server of the protocol, and against servers that fail.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use conjoint_core::denoiser::{Answer, Request, State};
use conjoint_core::order::Entropy;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Denoiser, DenseRows, Error, Generator, Output, TokenId, Vocabulary};
use conjoint_remote::{RemoteDenoiser, RemoteError, RemoteOptions};
use ndarray::Array2;
use serde_json::{Value, json};
use tokio::sync::oneshot;

const SIZE: usize = 12;
const MASK: TokenId = 11;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(SIZE, MASK).unwrap()
}

/// The logits of a position: a function of all tokens and the position.
fn logits(tokens: &[i64], position: usize) -> Vec<f32> {
    let seed = tokens.iter().fold(position as u64 + 1, |state, &token| {
        (state ^ (token as u64 + 3)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
    });
    let logit = |token: u64| {
        let bits =
            (seed ^ token.wrapping_mul(0xbf58_476d_1ce4_e5b9)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 40) as f32 / (1 << 22) as f32
    };
    (0..SIZE as u64).map(logit).collect()
}

/// The same model in this process.
struct Here {
    vocabulary: Vocabulary,
    shift: bool,
}

impl Denoiser for Here {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let row = |id: &conjoint_core::RowId| {
            let tokens = request.batch[id.sequence].canvas.tokens();
            let tokens: Vec<i64> = tokens.iter().map(|&token| token.into()).collect();
            let position = if self.shift { id.position.saturating_sub(1) } else { id.position };
            logits(&tokens, position)
        };
        let values: Vec<f32> = request.rows.iter().flat_map(row).collect();
        let rows = Array2::from_shape_vec((request.rows.len(), SIZE), values).unwrap();
        Ok(Answer::new(DenseRows::from_logits(rows), State::new(())))
    }
}

/// A server of the protocol. It stops when it is dropped.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<[usize; 2]>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shape {
    requests: Arc<Mutex<Vec<[usize; 2]>>>,
    /// How many requests are answered with 503 first.
    busy: Arc<AtomicUsize>,
    columns: usize,
}

fn start(address: &str, busy: usize, columns: usize) -> Server {
    let requests: Arc<Mutex<Vec<[usize; 2]>>> = Arc::default();
    let shape = Shape { requests: requests.clone(), busy: Arc::new(busy.into()), columns };
    let (stop, stopped) = oneshot::channel::<()>();
    let (send, receive) = std::sync::mpsc::channel();
    let address = address.to_owned();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            let router = Router::new()
                .route(
                    "/v2",
                    get(async || r#"{"name": "test", "extensions": ["binary_tensor_data"]}"#),
                )
                .route("/v2/models/toy", get(metadata))
                .route("/v2/models/toy/ready", get(async || "{}"))
                .route("/v2/models/toy/infer", post(infer))
                .with_state(shape);
            tokio::select! {
                served = async { axum::serve(listener, router).await } => served.unwrap(),
                _ = stopped => {}
            }
        });
    });
    let address = receive.recv().unwrap();
    Server { address, requests, stop: Some(stop), thread: Some(thread) }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        let _ = self.thread.take().unwrap().join();
    }
}

async fn metadata(Shared(shape): Shared<Shape>) -> Response {
    let tensor = |name: &str, datatype: &str, shape: Value| json!({"name": name, "datatype": datatype, "shape": shape});
    axum::Json(json!({
        "name": "toy", "platform": "test",
        "inputs": [tensor("input_ids", "INT64", json!([-1, -1]))],
        "outputs": [tensor("logits", "FP32", json!([-1, -1, shape.columns]))],
    }))
    .into_response()
}

/// Answers as bytes if asked for them.
async fn infer(Shared(shape): Shared<Shape>, headers: HeaderMap, body: Bytes) -> Response {
    // So that a server can stop in the middle of a run.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let left =
        shape.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if left.is_ok() {
        return (StatusCode::SERVICE_UNAVAILABLE, "{\"error\": \"loading\"}").into_response();
    }
    let length = headers
        .get("Inference-Header-Content-Length")
        .map(|value| value.to_str().unwrap().parse().unwrap());
    let (text, bytes) = body.split_at(length.unwrap_or(body.len()));
    let request: Value = serde_json::from_slice(text).unwrap();
    let input = &request["inputs"][0];
    let [batch, positions]: [usize; 2] = serde_json::from_value(input["shape"].clone()).unwrap();
    let tokens: Vec<i64> = match input["data"].as_array() {
        Some(data) => data.iter().map(|id| id.as_i64().unwrap()).collect(),
        None => bytes.as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
    };
    shape.requests.lock().unwrap().push([batch, positions]);
    if tokens.contains(&7) && batch > 100 {
        return (StatusCode::BAD_REQUEST, "{\"error\": \"too many\"}").into_response();
    }
    let rows = tokens
        .chunks(positions)
        .flat_map(|tokens| (0..positions).flat_map(move |position| logits(tokens, position)));
    let values: Vec<f32> = rows.collect();
    let shape = json!([batch, positions, SIZE]);
    let mut output = json!({"name": "logits", "datatype": "FP32", "shape": shape});
    if request["outputs"][0]["parameters"]["binary_data"] == true {
        output["parameters"] = json!({"binary_data_size": 4 * values.len()});
        let mut body = json!({"outputs": [output]}).to_string().into_bytes();
        let length = body.len().to_string();
        body.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        return ([("Inference-Header-Content-Length", length)], body).into_response();
    }
    output["data"] = json!(values);
    axum::Json(json!({"outputs": [output]})).into_response()
}

fn options(server: &Server) -> RemoteOptions {
    let mut options = RemoteOptions::new(format!("http://{}/", server.address), "toy");
    options.timeout = Duration::from_secs(20);
    options
}

fn connect(options: RemoteOptions) -> RemoteDenoiser {
    RemoteDenoiser::connect(options, vocabulary()).unwrap()
}

/// Twelve sequences of three lengths, some with a prompt.
fn run(model: impl Denoiser + 'static) -> Result<Vec<Output>, Error> {
    let canvas = |i: usize| Canvas::of_length(&[1, 2][..i % 3], 6 + i % 3 * 2, MASK).unwrap();
    let generator = Generator::new(model).unmasker(Marginal::new(Entropy));
    generator.schedule(TokensPerStep::new(2)?).seed(3).run((0..12).map(canvas).collect(), &mut ())
}

#[test]
fn tokens_are_those_of_the_model_in_this_process() {
    let server = start("127.0.0.1:0", 0, SIZE);
    for shift in [false, true] {
        let expected = run(Here { vocabulary: vocabulary(), shift }).unwrap();
        for (binary, batch) in [(None, 64), (Some(true), 64), (Some(false), 64), (None, 3)] {
            let mut options = options(&server);
            (options.shift, options.binary, options.batch) = (shift, binary, batch);
            assert_eq!(run(connect(options)).unwrap(), expected);
            let sent = std::mem::take(&mut *server.requests.lock().unwrap());
            assert!(sent.iter().all(|[sequences, _]| *sequences <= batch.min(4)), "{sent:?}");
        }
    }
}

#[test]
fn it_conforms() {
    let server = start("127.0.0.1:0", 0, SIZE);
    let canvas = |i: usize| {
        let mut canvas = Canvas::of_length(&[1, 2][..i % 3], 6 + i % 3 * 2, MASK).unwrap();
        canvas.reveal(3, 4).unwrap();
        canvas
    };
    let canvases: Vec<Canvas> = (0..6).map(canvas).collect();
    conjoint_testkit::conformance::denoiser("remote", &connect(options(&server)), &canvases, 0.0)
        .unwrap();
}

#[test]
fn a_run_survives_a_restart_and_a_busy_server() {
    let expected = run(Here { vocabulary: vocabulary(), shift: false }).unwrap();
    let server = start("127.0.0.1:0", 0, SIZE);
    let (address, requests) = (server.address.to_string(), server.requests.clone());
    let model = connect(options(&server));
    let running = std::thread::spawn(move || run(model).unwrap());
    while requests.lock().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    drop(server);
    std::thread::sleep(Duration::from_millis(300));
    // It comes back busy.
    let again = start(&address, 3, SIZE);
    assert_eq!(running.join().unwrap(), expected);
    assert!(!again.requests.lock().unwrap().is_empty());
}

#[test]
fn errors_name_the_server_and_what_is_wrong() {
    let server = start("127.0.0.1:0", 0, SIZE);
    let connect_error = |options: RemoteOptions, vocabulary: Vocabulary| {
        RemoteDenoiser::connect(options, vocabulary).err().unwrap()
    };
    let mut other = options(&server);
    other.model = "absent".to_owned();
    let error = connect_error(other, vocabulary());
    assert!(matches!(error, RemoteError::Rejected { status: 404, .. }), "{error}");
    let error = connect_error(options(&server), Vocabulary::new(20, 19).unwrap()).to_string();
    assert!(error.contains("12 columns") && error.contains("20 ids"), "{error}");
    let mut other = options(&server);
    other.ids = "tokens".to_owned();
    assert!(connect_error(other, vocabulary()).to_string().contains("expected one of input_ids"));
    let mut other = options(&server);
    other.logits = "scores".to_owned();
    assert!(connect_error(other, vocabulary()).to_string().contains("expected one of logits"));
    // Nobody listens there.
    let mut nobody = options(&server);
    nobody.patience = Duration::from_millis(200);
    drop(server);
    let began = Instant::now();
    let error = connect_error(nobody, vocabulary());
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
    // A model whose metadata do not say how many columns it has.
    let server = start("127.0.0.1:0", 0, SIZE + 1);
    let error = connect_error(options(&server), vocabulary()).to_string();
    assert!(error.contains("13 columns"), "{error}");
}

#[test]
fn a_server_that_stays_away_ends_the_run() {
    let server = start("127.0.0.1:0", 0, SIZE);
    let mut options = options(&server);
    options.patience = Duration::from_millis(200);
    let model = connect(options);
    drop(server);
    let error = run(model).unwrap_err();
    let Error::Model(cause) = &error else { panic!("{error}") };
    assert!(
        matches!(cause.downcast_ref::<RemoteError>(), Some(RemoteError::Unreachable { .. })),
        "{error}"
    );
}
