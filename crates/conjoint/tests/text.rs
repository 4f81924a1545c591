//! Token ids, decoded texts and chats equal those of transformers. `text/make.py` writes the expected values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conjoint::{ChatTemplate, Message, Tokenizer};
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/text")
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join(name)).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Cases {
    layouts: BTreeMap<String, Vec<Case>>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    framed: Vec<u32>,
    decoded: String,
}

#[test]
fn every_layout_encodes_every_text_as_transformers_does() {
    let Cases { layouts } = read("cases.json");
    assert_eq!(layouts.len(), 5);
    for (layout, cases) in layouts {
        let tokenizer = Tokenizer::open(fixtures().join(&layout)).unwrap();
        assert_eq!(cases.len(), 220);
        for Case { text, ids, framed, decoded } in cases {
            let got = tokenizer.encode(&text).unwrap();
            assert_eq!(got, ids, "{layout}: {text:?}");
            let around = [tokenizer.before(), &got, tokenizer.after()].concat();
            assert_eq!(around, framed, "{layout}: {text:?}");
            assert_eq!(tokenizer.decode(&got).unwrap(), decoded, "{layout}: {text:?}");
        }
    }
}

#[derive(Deserialize)]
struct Chats {
    templates: BTreeMap<String, String>,
    bos_token: String,
    eos_token: String,
    cases: Vec<Chat>,
}

#[derive(Deserialize)]
struct Chat {
    template: String,
    messages: Vec<Message>,
    /// As JSON.
    arguments: BTreeMap<String, String>,
    begin_answer: bool,
    text: Option<String>,
    rejected: Option<String>,
}

#[test]
fn every_template_writes_what_transformers_writes() {
    let chats: Chats = read("chats.json");
    assert!(chats.cases.len() > 40);
    for case in chats.cases {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "chat_template": chats.templates[&case.template],
            "bos_token": chats.bos_token,
            "eos_token": chats.eos_token,
        });
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let mut template = ChatTemplate::open(folder.path()).unwrap();
        for (name, value) in case.arguments {
            template = template.with_argument(name, &value).unwrap();
        }
        let about = (&case.template, &case.messages, case.begin_answer);
        match template.render(&case.messages, case.begin_answer) {
            Ok(text) => assert_eq!(Some(text), case.text, "{about:?}"),
            Err(error) => {
                let reason = case.rejected.unwrap_or_else(|| panic!("{about:?}: {error}"));
                assert!(error.to_string().contains(&reason), "{error} is not {reason}");
            }
        }
    }
}
