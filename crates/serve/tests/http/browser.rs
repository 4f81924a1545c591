//! A headless Chromium, driven by its DevTools protocol.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PATIENCE: Duration = Duration::from_secs(60);

/// A page of a browser that ends with it.
pub struct Page {
    browser: Child,
    socket: WebSocket<TcpStream>,
    commands: u64,
    errors: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Page {
    /// A page of 390 × 844 pixels, as on a phone.
    pub fn open() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let browser = Command::new(browser())
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The browser writes its port into its profile.
        let file = profile.path().join("DevToolsActivePort");
        let port: u16 = wait(|| std::fs::read_to_string(&file).ok()?.lines().next()?.parse().ok());
        let url = format!("http://127.0.0.1:{port}/json/new?about:blank");
        let made = ureq::put(&url).send_empty().unwrap().body_mut().read_to_string().unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) =
            tungstenite::client(made["webSocketDebuggerUrl"].as_str().unwrap(), stream).unwrap();
        let mut page = Self { browser, socket, commands: 0, errors: Vec::new(), _profile: profile };
        for domain in ["Runtime", "Log", "Page"] {
            page.command(&format!("{domain}.enable"), json!({}));
        }
        let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true});
        page.command("Emulation.setDeviceMetricsOverride", phone);
        page
    }

    /// Sends a command, and returns its result.
    pub fn command(&mut self, method: &str, params: Value) -> Value {
        self.commands += 1;
        let command = json!({"id": self.commands, "method": method, "params": params});
        self.socket.send(Message::text(command.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.commands {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            let is_error = answer["params"]["entry"]["level"] == "error";
            if answer["method"] == "Runtime.exceptionThrown" || is_error {
                self.errors.push(answer["params"].clone());
            }
        }
    }

    /// Opens an address.
    pub fn navigate(&mut self, url: &str) {
        self.command("Page.navigate", json!({"url": url}));
    }

    /// The value of an expression.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let made = self.command("Runtime.evaluate", params);
        assert!(made["exceptionDetails"].is_null(), "{expression}: {made}");
        made["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let began = Instant::now();
        // The document may not have its elements yet.
        let safe =
            format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        while self.value(&safe) != json!(true) {
            assert!(began.elapsed() < PATIENCE, "{expression} stays false");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses a key, with Ctrl or without.
    pub fn press(&mut self, key: &str, is_ctrl: bool) {
        for kind in ["rawKeyDown", "keyUp"] {
            let modifiers = if is_ctrl { 2 } else { 0 };
            self.command(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "modifiers": modifiers}),
            );
        }
    }

    /// Exceptions of scripts, and what the browser reported as an error, such as a violated security policy.
    pub fn errors(&self) -> &[Value] {
        &self.errors
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = || std::env::split_paths(&path);
    let mut known = NAMES.iter().flat_map(|name| folders().map(move |folder| folder.join(name)));
    known.find(|file| file.is_file()).unwrap_or_else(|| panic!("none of {NAMES:?} on the PATH"))
}

fn wait<T>(mut made: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(made) = made() {
            return made;
        }
        assert!(began.elapsed() < PATIENCE, "the browser did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}
