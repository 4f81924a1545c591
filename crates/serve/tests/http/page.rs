//! The page at `/` in a real browser, at the size of a phone.
//!
//! It needs Chromium or Chrome on the PATH, and is ignored by default:
//!
//!     cargo test -p conjoint-serve --test http page -- --ignored

use conjoint_serve::Server;
use serde_json::{Value, json};

use crate::browser::Page;
use crate::client::{Running, TINY, limited, start, story, text, tiny, with};

/// The texts of the panes that are visible, white space included.
const TEXTS: &str = r#"[...document.querySelectorAll(".pane:not([hidden]) .text")].map((text) =>
    [...text.children].map((cell) => cell.textContent).join("").replaceAll("·", " ").replaceAll("⏎", "\n"))"#;
/// The last lines of the panes.
const ENDS: &str =
    r#"[...document.querySelectorAll(".pane:not([hidden]) .end")].map((end) => end.textContent)"#;

fn open(server: &Running, query: &str) -> Page {
    let mut page = Page::open();
    page.navigate(&format!("http://{}/?{query}", server.address));
    page.wait_for(r#"document.getElementById("model").textContent === "tiny""#);
    page
}

fn finished(page: &mut Page) {
    page.wait_for(&format!("{ENDS}.every((end) => end.startsWith(\"finished\"))"));
}

/// The counter of a pane.
fn count(page: &mut Page, pane: usize, name: &str) -> Value {
    page.value(&format!("Number(document.querySelectorAll(\".pane .{name}\")[{pane}].textContent)"))
}

#[test]
#[ignore = "needs Chromium on the PATH"]
fn two_strategies_run_side_by_side() {
    let server = tiny();
    let query =
        "prompt=%3Cstory%3Ethe%20old&tokens=32&seed=3&pace=0&k=4&left=marginal&right=wino&run";
    let mut page = open(&server, query);
    finished(&mut page);
    let texts = page.value(TEXTS);
    for (pane, extension) in
        [json!({"unmasker": "marginal", "schedule": "per-step:4"}), json!({"unmasker": "wino"})]
            .into_iter()
            .enumerate()
    {
        let answer = server.complete(with(story(3), json!({"conjoint": extension})));
        let shown = texts[pane].as_str().unwrap();
        assert!(
            shown.starts_with(&format!("<story>the old{}", text(&answer))),
            "{shown}\n{answer}"
        );
        let cost = &answer["conjoint"];
        assert_eq!(count(&mut page, pane, "forwards"), cost["denoiser_calls"]);
        assert_eq!(count(&mut page, pane, "passes"), cost["sampler_calls"]);
    }
    // WINO masks tokens again, which is counted and marked.
    assert!(count(&mut page, 1, "remasked").as_u64() > Some(0));
    assert_eq!(page.value("document.querySelectorAll('[data-revised]').length > 0"), json!(true));
    // Every revealed token has the colour of its probability.
    let coloured = "[...document.querySelectorAll('.token[data-state=revealed]')].every((cell) => cell.dataset.sure && cell.title.startsWith('p = '))";
    assert_eq!(page.value(coloured), json!(true));
    assert_eq!(page.errors(), [] as [Value; 0]);
}

#[test]
#[ignore = "needs Chromium on the PATH"]
fn keys_settings_and_small_screens() {
    let server = limited(|limits| limits.batch = 2);
    let mut page = open(&server, "seed=5&pace=300");
    // One strategy, its slider, and the keyboard.
    page.value("document.getElementById('both').click()");
    page.value("document.getElementById('prompt').value = '<story>the old'");
    page.value("(() => { const k = document.querySelector('.k'); k.value = 8; k.dispatchEvent(new Event('input')) })()");
    assert_eq!(page.value("document.querySelector('output').textContent"), json!("8"));
    page.press("Enter", true);
    page.wait_for("document.querySelectorAll('.token[data-state=revealed]').length >= 8");
    // Esc stops the run.
    page.press("Escape", false);
    page.wait_for(&format!("{ENDS}[0] === \"stopped\""));
    page.value("document.getElementById('pace').value = '0'");
    page.value("document.getElementById('run').click()");
    finished(&mut page);
    let answer = server.complete(with(
        story(5),
        json!({"conjoint": {"unmasker": "marginal", "schedule": "per-step:8"}}),
    ));
    assert!(
        page.value(TEXTS)[0]
            .as_str()
            .unwrap()
            .starts_with(&format!("<story>the old{}", text(&answer)))
    );
    // Holes, and an error of the server.
    page.value("document.getElementById('prompt').value = '<math>tom has [MASK*2]pens'");
    page.press("Enter", true);
    page.wait_for(&format!(
        "{TEXTS}[0].startsWith('<math>tom has ') && {TEXTS}[0].endsWith('pens')"
    ));
    finished(&mut page);
    page.value(
        "(() => { document.getElementById('prompt').value = '<story>'; tokens.value = 500 })()",
    );
    page.press("Enter", true);
    page.wait_for(&format!("{ENDS}[0].includes('invalid value `500` for `max_tokens`')"));
    // Nothing is wider than the phone, and every control has a name and room for a finger.
    assert_eq!(page.value("document.documentElement.scrollWidth"), json!(390));
    let named = "[...document.querySelectorAll('input, select, textarea, button')].filter((c) => c.offsetParent && !(c.labels?.length || c.textContent.trim())).length";
    assert_eq!(page.value(named), json!(0));
    let least = "Math.min(...[...document.querySelectorAll('button, select, input:not([type=range]):not([type=checkbox])')].filter((c) => c.offsetParent).map((c) => c.offsetHeight))";
    assert!(page.value(least).as_f64().unwrap() >= 36.0);
    // In the dark, the paper is dark.
    let paper = "getComputedStyle(document.body).backgroundColor";
    let light = page.value(paper);
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    page.command("Emulation.setEmulatedMedia", dark);
    assert_ne!(page.value(paper), light);
    let only_expected =
        |error: &Value| error["entry"]["text"].as_str().is_some_and(|text| text.contains("400"));
    assert!(page.errors().iter().all(only_expected), "{:?}", page.errors());
}

#[test]
#[ignore = "needs Chromium on the PATH"]
fn the_page_asks_for_the_key() {
    let server = start(Server::new(TINY.clone(), "tiny").key("secret"));
    let mut page = Page::open();
    page.navigate(&format!("http://{}/", server.address));
    page.wait_for("!document.getElementById('lock').hidden");
    page.value("(() => { key.value = 'secret'; key.dispatchEvent(new Event('change')) })()");
    page.wait_for("document.getElementById('model').textContent === 'tiny'");
}
