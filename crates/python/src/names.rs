//! The library's parameters and the command's flags, as Python's arguments.

use std::borrow::Cow;

/// Parameters that the messages of the library quote, and their arguments.
const QUOTED: [(&str, &str); 10] = [
    (" (for 0, draw with `Argmax`)", ""),
    ("`attention block`", "`attention_block`"),
    ("`ignore memory`", "`ignore_memory`"),
    ("`ignored keys`", "`ignore_keys`"),
    ("`infill` or `infill ids`", "`infill=True`"),
    ("`infill ids`", "`infill=True`"),
    ("`open next block`", "`open_next_block`"),
    ("`unconditional`", "`None`"),
    ("with --sampler", "with `sampler`"),
    ("`unmasker`", "`strategy`"),
];

/// The argument of a parameter: `order temperature` is `order_temperature`.
pub fn argument(parameter: &str) -> Cow<'_, str> {
    match parameter {
        "unmasker" => "strategy".into(),
        "provider" => "device".into(),
        "model" => "path".into(),
        "ignored keys" => "ignore_keys".into(),
        "share of a block" => "open_next_block".into(),
        "prompt ids" | "infill ids" | "infill" | "chat" => "prompt".into(),
        parameter => parameter.replace(' ', "_").into(),
    }
}

/// A message of the library with Python's arguments and calls.
pub fn in_python(text: &str) -> String {
    let text =
        QUOTED.iter().fold(text.to_owned(), |text, (quoted, name)| text.replace(quoted, name));
    let (mut rest, mut whole) = (text.as_str(), String::new());
    while let Some((before, from)) = rest.split_once("`conjoint export") {
        let Some((arguments, after)) = from.split_once('`') else { break };
        whole.push_str(before);
        whole.push_str(&format!("`conjoint.export({})`", call(arguments)));
        rest = after;
    }
    whole + rest
}

/// The arguments of a call, from those of a command: ` DIR --head-top 64` is `"DIR", head_top=64`.
fn call(arguments: &str) -> String {
    let (given, flags) = match arguments.split_once("--") {
        None => (arguments, ""),
        Some((given, flags)) => (given, flags),
    };
    let given = match given.trim() {
        "" => "…".to_owned(),
        path => format!("{path:?}"),
    };
    let flag = |flag: &str| {
        let (name, value) = flag.trim().split_once(' ').unwrap_or((flag.trim(), "…"));
        format!(", {}={value}", name.replace('-', "_"))
    };
    let flags = flags.split("--").filter(|flag| !flag.trim().is_empty()).map(flag);
    given + &flags.collect::<String>()
}
