//! Any text as a chat template, and any texts as messages: rendering succeeds or fails within bounded time.
#![no_main]

use conjoint::{ChatTemplate, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (String, String, String)| {
    let (source, role, content) = texts;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
    let Ok(template) = ChatTemplate::open(folder.path()) else { return };
    let chat = [
        Message::new(&role, &content),
        Message::new("user", &content),
        Message::new("assistant", content),
    ];
    for n in 0..=chat.len() {
        let _ = template.prompt(&chat[..n]);
    }
});
