//! The given part of a sequence, from Python.

use conjoint::prelude::*;
use conjoint_lab::prompt::PromptInput;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error::{exception, invalid, unused};
use crate::kwargs::{is_bytes, is_integer, type_error};

/// All prompts: one, or an iterable of several.
pub fn several(value: &Bound<'_, PyAny>, infill: bool) -> PyResult<Vec<PromptInput>> {
    if value.is_none() || value.is_instance_of::<PyString>() {
        return Ok(vec![one(value, infill)?]);
    }
    let items = items(value)?;
    // An empty array is a prompt without tokens; an empty list is no prompt.
    if items.is_empty() && value.hasattr("dtype")? {
        return Err(exception(conjoint::Error::EmptyPrompt.into()));
    }
    match items.first() {
        Some(first) if is_part(first) => Ok(vec![of_parts(&items, infill)?]),
        _ => items.iter().map(|item| one(item, infill)).collect(),
    }
}

/// One prompt: a text, token ids, the messages of a chat, or nothing.
pub fn one(value: &Bound<'_, PyAny>, infill: bool) -> PyResult<PromptInput> {
    if value.is_none() {
        return match infill {
            false => Ok(PromptInput::Nothing),
            true => Err(unused("infill", "True", "a prompt of `None` has no holes")),
        };
    }
    if value.is_instance_of::<PyString>() {
        let text = value.extract()?;
        return Ok(if infill { PromptInput::Infill(text) } else { PromptInput::Prompt(text) });
    }
    of_parts(&items(value)?, infill)
}

/// Whether an item is a part of a prompt: a token id, or a message.
fn is_part(item: &Bound<'_, PyAny>) -> bool {
    is_integer(item) || item.is_instance_of::<PyDict>()
}

fn items<'py>(value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    // Their items are keys and bytes.
    if value.is_instance_of::<PyDict>() || is_bytes(value) {
        return Err(wrong(value));
    }
    value.try_iter().map_err(|_| wrong(value))?.collect()
}

fn of_parts(items: &[Bound<'_, PyAny>], infill: bool) -> PyResult<PromptInput> {
    if items.first().is_some_and(|first| first.is_instance_of::<PyDict>()) {
        if infill {
            return Err(unused("infill", "True", "a chat has no holes"));
        }
        let messages = json(items.to_vec().into_pyobject(items[0].py())?.as_any())?;
        let messages = serde_json::from_str(&messages).map_err(|error| {
            let reason = format!("expected dicts with role and content ({error})");
            invalid("prompt", &messages, &reason.replace('`', "'"))
        })?;
        return Ok(PromptInput::Chat(messages));
    }
    let ids = items.iter().map(|item| token("prompt", item)?.ok_or_else(|| wrong(item)));
    let ids = ids.collect::<PyResult<_>>()?;
    Ok(if infill { PromptInput::InfillIds(ids) } else { PromptInput::PromptIds(ids) })
}

/// A token id for the argument `name`; `None` for a value that is no number.
pub fn token(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<TokenId>> {
    let reason = "a token id is a whole number from 0 to 2^32 - 1";
    let extracted = || value.extract().map_err(|_| invalid(name, &value.to_string(), reason));
    is_integer(value).then(extracted).transpose()
}

/// Several token ids for the argument `name`.
pub fn tokens(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<TokenId>> {
    let wrong = || type_error(name, "token ids, an iterable or an array", value);
    let is_text = value.is_instance_of::<PyString>() || is_bytes(value);
    let items = value.try_iter().ok().filter(|_| !is_text).ok_or_else(wrong)?;
    items.map(|item| token(name, &item?)?.ok_or_else(wrong)).collect()
}

/// A value as JSON.
pub fn json(value: &Bound<'_, PyAny>) -> PyResult<String> {
    value.py().import("json")?.call_method1("dumps", (value,))?.extract()
}

fn wrong(value: &Bound<'_, PyAny>) -> PyErr {
    let expected = "a str, a list or an array of token ids, a list of messages, or None";
    type_error("prompt", expected, value)
}
