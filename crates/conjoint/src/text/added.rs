//! Tokens that were added to a vocabulary, from the files beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use conjoint_core::TokenId;
use serde_json::Value;
use tokenizers::AddedToken;

use super::error::TextError;
use super::json::json;

/// The added tokens by id, with their flags, as in transformers: from `tokenizer_config.json`, or else from
/// `added_tokens.json`, where tokens with a role are special.
pub(super) fn tokens(folder: &Path) -> Result<BTreeMap<TokenId, AddedToken>, TextError> {
    let config = json(folder, "tokenizer_config.json")?.unwrap_or_default();
    if let Some(decoder) = config["added_tokens_decoder"].as_object().filter(|map| !map.is_empty())
    {
        let token = |(id, token): (&String, &Value)| Some((id.parse().ok()?, described(token)?));
        return Ok(decoder.iter().filter_map(token).collect());
    }
    let Some(Value::Object(added)) = json(folder, "added_tokens.json")? else {
        return Ok(BTreeMap::new());
    };
    let map = json(folder, "special_tokens_map.json")?.unwrap_or_default();
    let roles: BTreeSet<&str> = [&config, &map].into_iter().flat_map(in_roles).collect();
    let token = |(content, id): (&String, &Value)| {
        // Without roles all are special.
        let special = roles.is_empty() || roles.contains(content.as_str());
        let token = AddedToken::from(content.clone(), special).normalized(!special);
        Some((TokenId::try_from(id.as_u64()?).ok()?, token))
    };
    Ok(added.iter().filter_map(token).collect())
}

/// The token that begins a sequence, if `tokenizer_config.json` adds it to every text.
pub(super) fn bos(folder: &Path) -> Result<Option<String>, TextError> {
    let config = json(folder, "tokenizer_config.json")?.unwrap_or_default();
    let is_added = config["add_bos_token"].as_bool().unwrap_or(false);
    Ok(content(&config["bos_token"]).filter(|_| is_added).map(str::to_owned))
}

/// A token with its flags.
fn described(token: &Value) -> Option<AddedToken> {
    let flag = |name: &str| token[name].as_bool();
    let special = flag("special").unwrap_or(false);
    let added = AddedToken::from(content(token)?.to_owned(), special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false));
    Some(added.normalized(flag("normalized").unwrap_or(!special)))
}

/// The tokens that a file gives a role, such as `eos_token`.
fn in_roles(file: &Value) -> impl Iterator<Item = &str> {
    let entries = file.as_object().into_iter().flatten();
    let in_role = |(key, value): (&String, &'_ Value)| match key.as_str() {
        "additional_special_tokens" => true,
        key => key.ends_with("_token") && !value.is_boolean(),
    };
    entries
        .filter(move |&(key, value)| in_role((key, value)))
        .flat_map(|(_, value)| match value {
            Value::Array(tokens) => tokens.iter().collect(),
            token => vec![token],
        })
        .filter_map(content)
}

/// A token's text, from a string or from an object with its properties.
pub(super) fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}
