//! What is given of a sequence: a prompt to continue, a text with holes, or nothing.

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint_lab::Model;

use crate::flag::{BadFlag, PLAIN};

#[derive(Args)]
pub struct PromptArguments {
    #[command(flatten)]
    given: Given,
    /// How many tokens to generate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          required_unless_present_any = ["infill", "infill_ids"])]
    pub gen_length: Option<u32>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Given {
    /// The text to continue
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The token ids to continue, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    prompt_ids: Option<Vec<TokenId>>,
    /// Start from masks alone
    #[arg(long)]
    unconditional: bool,
    /// A text to fill in: each [MASK] is one token to generate, each [MASK*N] N of them
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "gen_length")]
    infill: Option<String>,
    /// Token ids to fill in, separated by commas: each id of the mask is a token to generate
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "gen_length")]
    infill_ids: Option<Vec<TokenId>>,
}

impl PromptArguments {
    /// The canvas to fill.
    pub fn canvas(&self, model: &Model) -> Result<Canvas> {
        let length = self.gen_length.unwrap_or(0) as usize;
        let given = &self.given;
        if let Some(text) = &given.prompt {
            return continued("--prompt", text, &encoded("prompt", text, model)?, length, model);
        }
        if let Some(ids) = &given.prompt_ids {
            return continued("--prompt-ids", &comma_separated(ids), ids, length, model);
        }
        if let Some(text) = &given.infill {
            return filled("--infill", text, holes(model, text)?, model);
        }
        if let Some(ids) = &given.infill_ids {
            return filled("--infill-ids", &comma_separated(ids), ids.clone(), model);
        }
        let longest = longest(model);
        if length > longest {
            let reason = format!("the model takes at most {longest} positions");
            return Err(BadFlag::new("--gen-length", length, reason).into());
        }
        Ok(Canvas::unconditional(length, model.denoiser.vocabulary().mask())?)
    }
}

/// The tokens of a text; without a tokenizer, the flag of ids will do instead.
fn encoded(name: &'static str, text: &str, model: &Model) -> Result<Vec<TokenId>> {
    if model.tokenizer.is_none() {
        let (flag, ids) = (format!("--{name}"), format!("--{name}-ids"));
        let reason = format!("the model's folder holds no tokenizer: give token ids with {ids}");
        return Err(BadFlag::new(&flag, text, reason).into());
    }
    model.encode(name, text).map_err(|error| PLAIN.name(error))
}

/// The most positions of a sequence, for models that set no limit one beyond any wish.
fn longest(model: &Model) -> usize {
    model.denoiser.max_length().unwrap_or(1 << 20)
}

fn continued(
    flag: &'static str,
    value: &str,
    prompt: &[TokenId],
    length: usize,
    model: &Model,
) -> Result<Canvas> {
    check_ids(flag, value, prompt, model)?;
    let (given, longest) = (prompt.len(), longest(model));
    if given >= longest {
        let reason =
            format!("{given} tokens leave none of the model's {longest} positions to generate");
        return Err(BadFlag::new(flag, value, reason).into());
    }
    if length > longest - given {
        let left = longest - given;
        let reason = format!(
            "after a prompt of {given} tokens the model has room for {left} of its {longest} positions"
        );
        return Err(BadFlag::new("--gen-length", length, reason).into());
    }
    let reason = |error: conjoint::Error| match error {
        conjoint::Error::EmptyPrompt => {
            "the prompt is empty: give at least one token, or use --unconditional".to_owned()
        }
        conjoint::Error::IllegalMove { position, .. } => format!(
            "token {position} of the prompt is the mask id, which stands for no token; \
             holes are filled with --infill or --infill-ids"
        ),
        error => error.to_string(),
    };
    let canvas = Canvas::new(prompt, length, model.denoiser.vocabulary().mask());
    Ok(canvas.map_err(|error| BadFlag::new(flag, value, reason(error)))?)
}

fn filled(flag: &'static str, value: &str, tokens: Vec<TokenId>, model: &Model) -> Result<Canvas> {
    check_ids(flag, value, &tokens, model)?;
    let (given, longest) = (tokens.len(), longest(model));
    if given > longest {
        let reason =
            format!("{given} tokens are more than the {longest} positions that the model takes");
        return Err(BadFlag::new(flag, value, reason).into());
    }
    let canvas = Canvas::infill(tokens, model.denoiser.vocabulary().mask());
    Ok(canvas.map_err(|error| BadFlag::new(flag, value, error))?)
}

fn check_ids(flag: &'static str, value: &str, ids: &[TokenId], model: &Model) -> Result<()> {
    let size = model.denoiser.vocabulary().size();
    match ids.iter().find(|id| **id as usize >= size) {
        Some(id) => {
            let reason = format!("id {id} is outside the vocabulary of {size} ids");
            Err(BadFlag::new(flag, value, reason).into())
        }
        None => Ok(()),
    }
}

/// The tokens of a text with holes, the mask id in each hole.
fn holes(model: &Model, text: &str) -> Result<Vec<TokenId>> {
    let (longest, mask) = (longest(model), model.denoiser.vocabulary().mask());
    let mut tokens = Vec::new();
    for piece in pieces(text) {
        match piece {
            Ok(words) => tokens.extend(encoded("infill", words, model)?),
            Err(hole) => {
                let count = hole.strip_prefix('*').map_or(Ok(1), str::parse::<usize>);
                let count = count.ok().filter(|count| (1..=longest).contains(count));
                let count = count.ok_or_else(|| {
                    let reason = format!("expected [MASK] or [MASK*N] with N from 1 to {longest}");
                    BadFlag::new("--infill", format!("[MASK{hole}]"), reason)
                })?;
                tokens.resize(tokens.len() + count, mask);
            }
        }
    }
    Ok(tokens)
}

/// Splits a text at its holes: `Ok` words, or what stands between `[MASK` and `]`.
fn pieces(text: &str) -> Vec<Result<&str, &str>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[MASK") {
        let Some((hole, next)) = after.split_once(']') else { break };
        pieces.extend((!before.is_empty()).then_some(Ok(before)));
        pieces.push(Err(hole));
        rest = next;
    }
    pieces.extend((!rest.is_empty()).then_some(Ok(rest)));
    pieces
}

/// Ids as the command line takes them.
pub fn comma_separated(ids: &[TokenId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_at_their_holes() {
        assert_eq!(pieces("a [MASK] b[MASK*3]"), [Ok("a "), Err(""), Ok(" b"), Err("*3")]);
        assert_eq!(pieces("[MASK*x]"), [Err("*x")]);
        assert_eq!(pieces("no [MASK"), [Ok("no [MASK")]);
        assert_eq!(pieces(""), []);
    }
}
