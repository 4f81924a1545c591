//! Any text as a chat template and any as what is said: it renders, or is refused, within bounds.
#![no_main]

use conjoint::{ChatTemplate, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (String, String, String)| {
    let (source, role, said) = texts;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
    let Ok(template) = ChatTemplate::open(folder.path()) else { return };
    let chat = [Message::new(&role, &said), Message::new("user", &said), Message::new("assistant", said)];
    for n in 0..=chat.len() {
        let _ = template.prompt(&chat[..n]);
    }
});
