//! The page of a trace in a real browser, at the size of a phone: keyboard, slider, taps, samples.
//!
//! It needs Chromium or Chrome on the PATH, and is ignored by default:
//!
//!     cargo test -p conjoint --test trace_page -- --ignored

use std::path::{Path, PathBuf};
use std::process::Command;

use conjoint::observer::Reveal;
use conjoint::trace::Trace;
use conjoint::{Canvas, Observer};
use serde_json::{Value, json};

const MASK: u32 = 9;
const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The texts of the tokens 0 to 5. One tries to inject a script.
const PIECES: [&str; 6] =
    ["!", "once", " a", "</script><script>document.title = 'broken'</script>", "cat", "\n"];

#[test]
#[ignore = "needs Chromium on the PATH"]
fn the_page_replays_a_trace_on_a_phone() {
    let folder = tempfile::tempdir().unwrap();
    let page = trace().html(|token| Some(PIECES[token as usize].to_owned()));
    let seen = drive(folder.path(), &page);

    let at = |moment: &str, key: &str| seen[moment][key].clone();
    // The beginning: the prompt and four masks.
    assert_eq!(at("beginning", "text"), "once▁▁▁▁");
    assert_eq!(at("beginning", "counts"), json!(["0 of 4", "0", "0", "0 of 4", "0"]));
    assert_eq!(at("beginning", "masked"), json!([1, 2, 3, 4]));
    // → is one call: the forward, then the sampler pass of the same step.
    assert_eq!(at("right", "moment"), "Step 1, forward: 1 revealed");
    assert_eq!(at("right", "text"), "once a▁▁▁");
    assert_eq!((at("right", "new"), at("right", "sure")), (json!([1]), json!([[1, "4"]])));
    assert_eq!(at("right right", "moment"), "Step 1, sampler pass 1: 1 revealed");
    assert_eq!(at("right right", "counts"), json!(["1 of 4", "1", "1", "2 of 4", "0"]));
    assert_eq!(at("right right", "text"), format!("once a{}▁▁", PIECES[3]));
    // A remasked token is struck out at its position, which is masked again.
    assert_eq!(at("revocation", "moment"), "Step 2, forward: 1 revealed, 1 remasked");
    assert_eq!(at("revocation", "text"), "once a▁\n▁");
    assert_eq!(
        (at("revocation", "masked"), at("revocation", "revoked")),
        (json!([2, 4]), json!([2]))
    );
    assert_eq!(at("revocation", "label"), "Position 3: masked, remasked now");
    assert_eq!(at("revocation", "struck"), PIECES[3].replace(' ', "·"));
    assert_eq!(at("revocation", "counts"), json!(["2 of 4", "2", "1", "2 of 4", "1"]));
    // An idle step keeps the mark of the step before.
    assert_eq!(at("idle", "moment"), "Step 3, no forward: nothing revealed");
    assert_eq!((at("idle", "revoked"), at("idle", "revoked_before")), (json!([]), json!([2])));
    assert_eq!(at("left", "text"), at("revocation", "text"));
    // The ends, and a whole step at once.
    assert_eq!(at("end", "text"), "once acat\n!");
    assert_eq!(
        at("end", "label"),
        "Position 3: \"cat\", revealed, p\u{a0}=\u{a0}0.250, new, remasked before"
    );
    assert_eq!(at("end", "counts"), json!(["4 of 4", "3", "1", "4 of 4", "1"]));
    assert_eq!((at("end", "masked"), at("end", "revoked_before")), (json!([]), json!([2])));
    assert_eq!(at("home", "text"), "once▁▁▁▁");
    assert_eq!(at("step", "text"), at("right right", "text"));
    // The slider leads and follows.
    assert_eq!(at("slider", "text"), at("revocation", "text"));
    assert_eq!((at("end", "slider"), at("home", "slider")), (json!("5"), json!("0")));
    // A tap opens the history of a token.
    let history = at("tap", "history");
    let expected = [
        "Step 1, sampler pass 1: revealed",
        "p\u{a0}=\u{a0}0.200",
        "Step 2, forward: remasked",
        "p\u{a0}=\u{a0}0.250",
    ];
    for said in expected {
        assert!(history.as_str().unwrap().contains(said), "{said} is missing in {history}");
    }
    // Space plays to the end, and again pauses.
    assert_eq!((at("playing", "button"), at("played", "button")), (json!("Pause"), json!("Play")));
    assert_eq!(at("played", "text"), at("end", "text"));
    assert_eq!((at("paused", "button"), at("paused", "slider")), (json!("Play"), json!("1")));
    assert_eq!(at("other sample", "text"), "once▁");
    assert_eq!(at("other sample", "counts"), json!(["0 of 0", "0", "0", "0 of 1", "0"]));
    // It fits a phone and a finger, and no text became code.
    assert_eq!(seen["width"], json!([390, 390]), "the page is wider than the window");
    assert!(seen["smallest button"].as_f64().unwrap() >= 40.0, "{seen}");
    assert_eq!(seen["title"], "conjoint trace");
    assert_eq!(seen["errors"], json!([]));
}

/// A sampler pass, a revocation, an idle step, and a second sample.
fn trace() -> Trace {
    let mut canvas = Canvas::new(&[1], 4, MASK).unwrap();
    let mut trace = Trace::new("made up");
    trace.on_begin(0, &canvas);
    trace.on_begin(1, &Canvas::new(&[1], 1, MASK).unwrap());
    let reveal = |step, round, position, token, probability| Reveal {
        sequence: 0,
        step,
        round,
        position,
        token,
        probability,
    };
    let reveals = [
        reveal(0, 0, 1, 2, 0.95),
        reveal(0, 1, 2, 3, 0.2),
        reveal(1, 0, 3, 5, 0.6),
        reveal(3, 0, 2, 4, 0.25),
        reveal(3, 0, 4, 0, 0.8),
    ];
    for step in 0..4 {
        if step != 2 {
            trace.on_forward(0, step, 1);
        }
        if step == 1 {
            trace.on_remask(0, step, 2);
            canvas.remask(2).unwrap();
        }
        for reveal in reveals.iter().filter(|reveal| reveal.step == step) {
            if reveal.round > 0 {
                trace.on_sampler_pass(0, step, reveal.round);
            }
            trace.on_reveal(reveal);
            canvas.reveal(reveal.position, reveal.token).unwrap();
        }
        trace.on_step(0, step, &canvas);
    }
    trace
}

/// Opens the page in a frame of 390 × 844 pixels, acts on it, and returns what was seen.
fn drive(folder: &Path, page: &str) -> Value {
    // Neither document may end the other.
    let page = Value::from(page).to_string().replace('<', "\\u003c");
    let driver = folder.join("driver.html");
    std::fs::write(&driver, include_str!("driver.html").replace("{{page}}", &page)).unwrap();
    let output = Command::new(browser())
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--hide-scrollbars",
        ])
        .args(["--virtual-time-budget=60000", "--window-size=1000,1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", driver.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let seen = dom.split_once("<pre id=\"seen\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((seen, _)) = seen else {
        panic!("no result in {dom}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    serde_json::from_str(seen).unwrap_or_else(|error| panic!("{error}: {seen}"))
}

fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = || std::env::split_paths(&path);
    let mut known = BROWSERS.iter().flat_map(|name| folders().map(move |folder| folder.join(name)));
    known.find(|file| file.is_file()).unwrap_or_else(|| panic!("none of {BROWSERS:?} on the PATH"))
}
