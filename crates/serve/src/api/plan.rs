//! From a request to the sequences that answer it.

use std::sync::Arc;
use std::time::Duration;

use conjoint::prelude::*;
use conjoint::unmasker::{DynUnmasker, TeacherForced};
use conjoint::{SeededStream, Stop, StopText};
use conjoint_lab::prompt::{PromptInput, PromptReader};
use conjoint_lab::registry::ScheduleSpec;
use conjoint_lab::{Error, Sampling};

use super::error::ApiError;
use super::request::{Chat, Completion, Prompts};
use super::settings::{Form, Settings};
use crate::engine::{Base, Scores};
use crate::served::Served;

/// Strategies that may mask or replace tokens which they have revealed.
pub(super) const REVISING: [&str; 10] = [
    "edit",
    "hierarchical",
    "origin",
    "p2",
    "rcr",
    "remdm",
    "remdm-loop",
    "saber",
    "slow-fast",
    "wino",
];

/// A request, checked and ready to run.
pub struct Plan {
    /// The name of the model, as in the request.
    pub model: String,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// The sequences of all prompts: those of the first prompt come first.
    pub choices: Vec<Choice>,
    /// How the answer is sent.
    pub form: Form,
    /// The seed of all sequences.
    pub seed: i64,
    /// The longest time of the request.
    pub timeout: Option<Duration>,
    /// Whether revealed tokens may change, so that no part of a text is final before the end.
    pub revises: bool,
    /// The tokens that end a sequence.
    pub ends: Vec<TokenId>,
    sampling: Sampling,
    schedule: ScheduleSpec,
}

/// A prompt of a request.
pub struct Prompt {
    /// Its tokens, up to the first masked position.
    pub tokens: Vec<TokenId>,
    /// The number of given tokens, those after holes included.
    pub given: usize,
    /// Computes the log-probabilities of its tokens.
    pub scored: Option<Scored>,
}

/// A sequence that reveals the tokens of a prompt from left to right, one per forward, and keeps their scores.
pub struct Scored {
    pub base: Base,
    pub generator: Generator,
    pub canvas: Canvas,
    pub scores: Scores,
}

/// A sequence to generate.
pub struct Choice {
    /// The index of its prompt.
    pub prompt: usize,
    pub base: Base,
    pub generator: Generator,
    /// `None` if nothing is generated.
    pub canvas: Option<Canvas>,
    pub stops: Vec<StopText>,
    pub scores: Option<Scores>,
}

impl Plan {
    /// Plans a request of `/v1/completions`.
    ///
    /// # Errors
    /// 400 or 404, with the parameter.
    pub fn completion(served: &Served, request: Completion) -> Result<Self, ApiError> {
        let Completion { common, prompt, suffix, max_tokens, echo, logprobs, best_of, .. } =
            request;
        let settings = Settings::of(served, common)?;
        if best_of.is_some_and(|best_of| best_of != settings.n) {
            let message = "`best_of` is not supported: expected the value of `n`";
            return Err(ApiError::param("best_of", message));
        }
        let infill = settings.extension.infill.clone();
        let echo = echo.unwrap_or(false);
        let form = settings.form(echo, logprobs)?;
        if form.stream && echo {
            return Err(ApiError::param("echo", "`echo` does not fit `stream`"));
        }
        let model = &served.model;
        let tokens = max_tokens.unwrap_or(16);
        // Before anything is made of the prompts: a body has room for a million.
        check_count(served, prompt.as_ref().map_or(1, Prompts::len), settings.n)?;
        if suffix.is_some() && tokens == 0 {
            return Err(ApiError::param(
                "suffix",
                "`suffix` would have no effect: `max_tokens` is 0",
            ));
        }
        let texts = |texts: Vec<String>| -> Result<Vec<_>, ApiError> {
            let encoded = texts.iter().map(|text| model.prompt("prompt", text));
            encoded.map(|ids| ids.map_err(|error| ApiError::of(&error))).collect()
        };
        let prompts = match prompt {
            None if infill.is_some() => Vec::new(),
            None => texts(vec![String::new()])?,
            Some(_) if infill.is_some() => {
                let message = "`conjoint.infill` has the whole text: it does not fit `prompt`";
                return Err(ApiError::param("conjoint.infill", message));
            }
            Some(Prompts::Text(text)) => texts(vec![text])?,
            Some(Prompts::Texts(many)) => texts(many)?,
            Some(Prompts::Ids(ids)) => vec![ids],
            Some(Prompts::IdLists(many)) => many,
        };
        let reader = PromptReader::new(model);
        let canvas = |input: &PromptInput| {
            let canvas = reader.canvas(input, Some(tokens));
            canvas.map_err(|error| ApiError::of(&error))
        };
        let mut given = Vec::new();
        if let Some(text) = infill {
            let without = |name: &str, is_given: bool| match is_given {
                true => {
                    let message =
                        format!("`conjoint.infill` has the whole text: it does not fit `{name}`");
                    Err(ApiError::param(name, message))
                }
                false => Ok(()),
            };
            without("suffix", suffix.is_some())?;
            without("max_tokens", max_tokens.is_some())?;
            let canvas = canvas(&PromptInput::Infill(text))?;
            let before = canvas.tokens()[..canvas.free_span().start].to_vec();
            given.push((before, Some(canvas)));
        } else {
            check_tokens(served, tokens, echo)?;
        }
        let after = suffix.map(|text| model.encode("suffix", &text)).transpose();
        let after = after.map_err(|error| ApiError::of(&error))?.unwrap_or_default();
        for ids in prompts {
            if tokens == 0 {
                if ids.is_empty() {
                    return Err(ApiError::param(
                        "prompt",
                        "the prompt is empty, and `max_tokens` is 0",
                    ));
                }
                check_ids(served, &ids)?;
                given.push((ids, None));
                continue;
            }
            let input = match (ids.is_empty(), after.is_empty()) {
                (true, true) => PromptInput::Nothing,
                (false, true) => PromptInput::PromptIds(ids.clone()),
                (_, false) => {
                    let mask = model.denoiser.vocabulary().mask();
                    let masks = std::iter::repeat_n(mask, tokens as usize);
                    PromptInput::InfillIds(
                        ids.iter().copied().chain(masks).chain(after.clone()).collect(),
                    )
                }
            };
            given.push((ids, Some(canvas(&input)?)));
        }
        Self::of(served, settings, form, given)
    }

    /// Plans a request of `/v1/chat/completions`.
    ///
    /// # Errors
    /// 400 or 404, with the parameter.
    pub fn chat(served: &Served, request: Chat) -> Result<Self, ApiError> {
        let messages = request.messages()?;
        let Chat {
            common,
            max_tokens,
            max_completion_tokens,
            logprobs,
            top_logprobs,
            response_format,
            ..
        } = request;
        let mut settings = Settings::of(served, common)?;
        if settings.extension.infill.is_some() {
            let message = "`conjoint.infill` is for /v1/completions";
            return Err(ApiError::param("conjoint.infill", message));
        }
        let is_text =
            |format: &serde_json::Value| format.get("type").is_some_and(|kind| kind == "text");
        if response_format.is_some_and(|format| !is_text(&format)) {
            let message = "only {\"type\": \"text\"} is supported";
            return Err(ApiError::param(
                "response_format",
                format!("`response_format`: {message}"),
            ));
        }
        let logprobs = match (logprobs.unwrap_or(false), top_logprobs) {
            (true, top) => Some(top.unwrap_or(0)),
            (false, None | Some(0)) => None,
            (false, Some(_)) => {
                let message = "`top_logprobs` needs `logprobs: true`";
                return Err(ApiError::param("top_logprobs", message));
            }
        };
        let form = settings.form(false, logprobs)?;
        let named = |error: Error| ApiError::of(&error);
        let reader = PromptReader::new(&served.model);
        let canvas = |tokens| reader.canvas(&PromptInput::Chat(messages.clone()), Some(tokens));
        if max_tokens.is_some()
            && max_completion_tokens.is_some()
            && max_tokens != max_completion_tokens
        {
            let message = "`max_tokens` and `max_completion_tokens` differ: give one of them";
            return Err(ApiError::param("max_tokens", message));
        }
        let tokens = match max_completion_tokens.or(max_tokens) {
            Some(tokens) => tokens,
            None => {
                // All the room that is left, as in OpenAI's API.
                let longest = served.model.denoiser.max_length().unwrap_or(served.limits.length);
                let prompt = canvas(1).map_err(named)?.free_span().start;
                let room = longest.min(served.limits.length).saturating_sub(prompt);
                if room == 0 {
                    let message =
                        format!("the chat has {prompt} tokens, which leaves no room for an answer");
                    return Err(ApiError::param("messages", message));
                }
                room as u32
            }
        };
        check_tokens(served, tokens, false)?;
        let canvas = canvas(tokens).map_err(named)?;
        settings.sampling.stops.tokens.extend(reader.turn_end().map_err(named)?);
        let before = canvas.tokens()[..canvas.free_span().start].to_vec();
        Self::of(served, settings, form, vec![(before, Some(canvas))])
    }

    /// Plans n sequences for each prompt.
    fn of(
        served: &Served,
        settings: Settings,
        form: Form,
        given: Vec<(Vec<TokenId>, Option<Canvas>)>,
    ) -> Result<Self, ApiError> {
        let named = |error: Error| ApiError::of(&error);
        let Settings { model: name, n, seed, extension, sampling, strategy, .. } = settings;
        let (model, limits) = (&served.model, &served.limits);
        check_count(served, given.len(), n)?;
        let (unmasker, schedule, reviser) = &strategy;
        let base = served.base(&sampling).map_err(named)?;
        let set = sampling.set((*base).clone(), model).map_err(named)?;
        let generator = |scores: Option<&Scores>| {
            let parts = (unmasker, schedule, reviser.as_ref());
            let top = form.logprobs.unwrap_or(0);
            sampling.on(set.clone(), model, parts, |strategy| match scores {
                None => strategy,
                Some(scores) => strategy.map_unmasker(|inner| scores.of(inner, top)),
            })
        };
        let common = generator(None).map_err(named)?;
        let stops = sampling.stops.texts(model).map_err(named)?;
        let (mut prompts, mut choices) = (Vec::new(), Vec::new());
        for (index, (tokens, canvas)) in given.into_iter().enumerate() {
            if let Some(canvas) = &canvas {
                if canvas.len() > limits.length {
                    let message = format!(
                        "the sequence has {} positions: this server takes at most {}",
                        canvas.len(),
                        limits.length
                    );
                    return Err(ApiError::param("prompt", message));
                }
                let checked = common.check(std::slice::from_ref(canvas));
                let explain = |error| sampling.explain(("schedule", schedule), error);
                checked.map_err(|error| named(explain(error)))?;
            }
            let length = canvas.as_ref().map_or(tokens.len(), Canvas::len);
            let scored = match form.logprobs {
                Some(top) if form.echo => scored(&base, &tokens, length, top)?,
                _ => None,
            };
            for _ in 0..n {
                let stream = choices.len() as u64;
                let scores = form.logprobs.map(|_| Scores::default());
                let generator = match &scores {
                    None => common.clone(),
                    Some(scores) => generator(Some(scores)).map_err(named)?,
                };
                let generator =
                    generator.streams(move |_| Box::new(SeededStream::new(seed as u64, stream)));
                let (base, canvas, stops) = (base.clone(), canvas.clone(), stops.clone());
                choices.push(Choice { prompt: index, base, generator, canvas, stops, scores });
            }
            let masked = canvas.as_ref().map_or(0, |canvas| {
                canvas.tokens().iter().filter(|&&token| token == canvas.mask()).count()
            });
            prompts.push(Prompt { tokens, given: length - masked, scored });
        }
        let asked = extension.timeout.map(Duration::from_secs_f64);
        let timeout = asked.into_iter().chain(limits.timeout).min();
        let name_of = |text: &str| text.split(':').next().unwrap_or(text).to_owned();
        let revising = |text: String| REVISING.contains(&name_of(&text).as_str());
        let revises =
            reviser.is_some() || revising(unmasker.to_string()) || revising(schedule.to_string());
        let ends = if sampling.stops.at_eos {
            let eos = model.denoiser.vocabulary().eos_ids().iter();
            eos.chain(&sampling.stops.tokens).copied().collect()
        } else {
            sampling.stops.tokens.clone()
        };
        let schedule = schedule.clone();
        Ok(Self {
            model: name,
            prompts,
            choices,
            form,
            seed,
            timeout,
            revises,
            ends,
            sampling,
            schedule,
        })
    }

    /// The number of sequences to run.
    pub fn jobs(&self) -> usize {
        let generated = self.choices.iter().filter(|choice| choice.canvas.is_some()).count();
        generated + self.prompts.iter().filter(|prompt| prompt.scored.is_some()).count()
    }

    /// The error of a sequence that failed.
    pub fn failed(&self, error: conjoint::Error) -> ApiError {
        ApiError::of(&self.sampling.explain(("schedule", &self.schedule), error))
    }
}

/// Rejects a number of sequences for which there are not enough places.
fn check_count(served: &Served, prompts: usize, n: u32) -> Result<(), ApiError> {
    let most = usize::from(served.limits.batch) + served.limits.queue;
    let count = prompts.saturating_mul(n as usize);
    if (1..=most).contains(&count) {
        return Ok(());
    }
    let message = format!(
        "the request has {count} sequences: expected from 1 to {most}, the places of this server"
    );
    Err(ApiError::param(if n > 1 { "n" } else { "prompt" }, message))
}

/// Rejects a number of tokens that cannot be generated.
fn check_tokens(served: &Served, tokens: u32, echo: bool) -> Result<(), ApiError> {
    let invalid = |reason: String| {
        let message = format!("invalid value `{tokens}` for `max_tokens`: {reason}");
        Err(ApiError::param("max_tokens", message))
    };
    if tokens == 0 && !echo {
        return invalid("expected at least 1, or `echo` with 0".into());
    }
    if tokens as usize > served.limits.length {
        return invalid(format!(
            "this server takes sequences of at most {} positions",
            served.limits.length
        ));
    }
    Ok(())
}

/// Rejects prompts that are scored only, if the model cannot take them.
fn check_ids(served: &Served, ids: &[TokenId]) -> Result<(), ApiError> {
    let size = served.model.denoiser.vocabulary().size();
    if let Some(id) = ids.iter().find(|&&id| id as usize >= size) {
        let message = format!("id {id} is outside the vocabulary of {size} ids");
        return Err(ApiError::param("prompt", message));
    }
    let longest =
        served.model.denoiser.max_length().unwrap_or(usize::MAX).min(served.limits.length);
    if ids.len() > longest {
        let message = format!("the prompt has {} tokens: expected at most {longest}", ids.len());
        return Err(ApiError::param("prompt", message));
    }
    Ok(())
}

/// The sequence that scores a prompt of a canvas of `length` positions. The first token is given: it has no score.
fn scored(
    base: &Base,
    tokens: &[TokenId],
    length: usize,
    top: usize,
) -> Result<Option<Scored>, ApiError> {
    if tokens.len() < 2 {
        return Ok(None);
    }
    let mask = base.vocabulary().mask();
    let mut masked = vec![mask; length];
    masked[0] = tokens[0];
    let invalid = |error: conjoint::Error| ApiError::param("prompt", error.to_string());
    let canvas = Canvas::infill(masked, mask).map_err(invalid)?;
    let scores = Scores::default();
    let forced = TeacherForced::new(tokens).order(LeftToRight);
    let forced: Box<dyn DynUnmasker> = Box::new(forced);
    let generator = (**base).clone().ban([mask]).unmasker(scores.of(forced, top));
    let generator = generator.stop_at(EndAfter(tokens.len() - 1));
    generator.check(std::slice::from_ref(&canvas)).map_err(invalid)?;
    Ok(Some(Scored { base: Arc::clone(base), generator, canvas, scores }))
}

/// Ends a sequence after this many generated tokens.
struct EndAfter(usize);

impl Stop for EndAfter {
    fn end(&self, tokens: &[TokenId]) -> Option<usize> {
        (tokens.len() >= self.0).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint::{Canvas, Observer};
    use conjoint_lab::registry::Part;
    use conjoint_lab::{Model, Registry, ScorerSpec};

    /// Whether a run masked or replaced a token that it had revealed.
    struct Watch(bool);

    impl Observer for Watch {
        fn on_remask(&mut self, _: usize, _: usize, _: usize) {
            self.0 = true;
        }
    }

    #[test]
    fn strategies_that_revise_are_known() {
        conjoint::runtime::ensure().unwrap();
        let model = Model::open(conjoint_models::tiny()).unwrap();
        let registry = Registry::builtin();
        let revises = |unmasker: &str, schedule: Option<&str>, scorer: bool| {
            let folder = tempfile::tempdir().unwrap();
            let texts = folder.path().join("texts.txt");
            std::fs::write(&texts, "<story>the old\n").unwrap();
            let scorer: Option<ScorerSpec> =
                scorer.then(|| format!("ngram:2:{}", texts.display()).parse().unwrap());
            let sampling = Sampling { scorer, ..Sampling::default() };
            let unmasker = registry.unmasker(unmasker).unwrap();
            let schedule = schedule.map(|schedule| registry.schedule(schedule).unwrap());
            let parts =
                sampling.strategy(&registry, (Some(&unmasker), schedule.as_ref(), None)).unwrap();
            let generator = sampling.generator(&model, &parts.0, &parts.1, None).unwrap().seed(1);
            let prompt = model.encode("prompt", "<story>the old").unwrap();
            let canvas = Canvas::new(&prompt, 32, generator.vocabulary().mask()).unwrap();
            let mut watch = Watch(false);
            generator.run(vec![canvas; 4], &mut watch).unwrap();
            watch.0
        };
        let mut found = Vec::new();
        for entry in registry.unmaskers() {
            let spec = registry.unmasker(entry.name());
            // Some need a parameter.
            let text =
                if spec.is_ok() { entry.name().to_owned() } else { format!("{}:4", entry.name()) };
            let spec = registry.unmasker(&text).unwrap();
            let schedule = spec.takes(Part::Schedule).then_some("linear:8");
            if revises(&text, schedule, spec.takes(Part::Scorer)) {
                found.push(entry.name());
            }
        }
        assert!(found.contains(&"wino") && found.contains(&"p2"), "{found:?}");
        let unknown: Vec<_> = found.iter().filter(|name| !REVISING.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?} revise too");
        let unmaskers: Vec<_> = registry.unmaskers().map(|entry| entry.name()).collect();
        let schedules: Vec<_> = registry.schedules().map(|entry| entry.name()).collect();
        let revisers: Vec<_> = registry.revisers().map(|entry| entry.name()).collect();
        for name in REVISING {
            let known =
                [&unmaskers, &schedules, &revisers].iter().any(|names| names.contains(&name));
            assert!(known, "{name} is no strategy");
        }
    }
}
