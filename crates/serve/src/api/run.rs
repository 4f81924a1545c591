//! Runs a planned request, and sends its answer whole or as a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use conjoint::FinishReason;
use conjoint::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, unbounded_channel};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::answer::{Counts, Finished, Head, delta_logprobs, finished, scored};
use super::plan::Plan;
use super::settings::Form;
use super::text::Growing;
use super::{ApiError, App};
use crate::engine::{Base, Change, End, Job, Step, Steps, Update};

/// Reports of the sequences of a request, merged. A sequence is numbered: first the choices, then the scored prompts.
type Updates = UnboundedReceiver<(usize, Update)>;

/// Queues the sequences of a plan.
fn submit(app: &App, plan: &Plan, arrived: Instant) -> Result<Updates, ApiError> {
    let mut places = app.reserve(plan)?;
    let deadline = plan.timeout.map(|timeout| arrived + timeout);
    let (sender, updates) = unbounded_channel();
    let steps = match (plan.form.stream, plan.form.events) {
        (false, _) => Steps::None,
        (true, false) => Steps::Changes,
        (true, true) => Steps::All,
    };
    let mut submit = |number: usize, base: &Base, generator: &Generator, canvas: &Canvas| {
        let (base, generator, canvas) = (base.clone(), generator.clone(), canvas.clone());
        let updates = sender.clone();
        // There is one for each job of the plan.
        let Some(place) = places.pop() else { return };
        app.engine.submit(Job {
            base,
            generator,
            canvas,
            deadline,
            submitted: arrived,
            steps,
            place,
            number,
            updates,
        });
    };
    for (number, choice) in plan.choices.iter().enumerate() {
        if let Some(canvas) = &choice.canvas {
            submit(number, &choice.base, &choice.generator, canvas);
        }
    }
    for (number, prompt) in (plan.choices.len()..).zip(&plan.prompts) {
        if let Some(scored) = &prompt.scored {
            submit(number, &scored.base, &scored.generator, &scored.canvas);
        }
    }
    Ok(updates)
}

/// The output of a sequence, or the error of its request.
fn outcome(plan: &Plan, end: End) -> Result<Output, ApiError> {
    match end {
        End::Output(output) => Ok(output),
        End::Failed(error) => Err(plan.failed(error)),
        End::ModelFailed(message) => {
            Err(ApiError::internal(format!("the model failed: {message}")))
        }
    }
}

/// Runs a request and answers it.
pub async fn answer(
    app: Arc<App>,
    head: Head,
    plan: Plan,
    arrived: Instant,
) -> Result<Response, ApiError> {
    let updates = submit(&app, &plan, arrived)?;
    if plan.form.stream {
        return Ok(stream(app, head, plan, updates, arrived));
    }
    whole(&app, &head, plan, updates).await
}

/// Collects all sequences, then answers.
async fn whole(
    app: &App,
    head: &Head,
    plan: Plan,
    mut updates: Updates,
) -> Result<Response, ApiError> {
    let served = &app.served;
    let mut outputs: Vec<Option<Output>> = vec![None; plan.choices.len() + plan.prompts.len()];
    for _ in 0..plan.jobs() {
        match updates.recv().await {
            Some((number, Update::End(end))) => outputs[number] = Some(outcome(&plan, end)?),
            // Without a stream there are no steps.
            Some((_, Update::Step(_))) => {}
            None => return Err(app.gone()),
        }
    }
    let mut counts = Counts::default();
    let mut choices = Vec::with_capacity(plan.choices.len());
    for output in outputs[plan.choices.len()..].iter().flatten() {
        // A part of the scores would read as all of them.
        match output.finish {
            FinishReason::Deadline => return Err(ApiError::deadline()),
            finish if finish.is_early() => return Err(ApiError::stopping()),
            _ => {}
        }
        let cost = Counts {
            denoiser_calls: output.denoiser_calls,
            steps: output.steps,
            ..Counts::default()
        };
        counts.add(cost);
    }
    for (index, choice) in plan.choices.iter().enumerate() {
        let prompt = &plan.prompts[choice.prompt];
        let made = match outputs[index].take() {
            Some(output) => finished(served, &plan, choice, output)?,
            // Only the prompt is scored.
            None => Finished {
                text: String::new(),
                reason: "length",
                positions: prompt.tokens.len()..prompt.tokens.len(),
                tokens: prompt.tokens.clone(),
                counts: Counts::default(),
            },
        };
        counts.add(made.counts);
        let Form { echo, logprobs, .. } = plan.form;
        let mut text = made.text;
        let before = match echo {
            false => String::new(),
            true => {
                let decoded = served.tokenizer().decode(&prompt.tokens);
                decoded.map_err(|error| ApiError::internal(error.to_string()))?
            }
        };
        let logprobs = logprobs.map_or(Value::Null, |_| {
            let mut all = Vec::new();
            if echo {
                let scores = prompt.scored.as_ref().map(|scored| &scored.scores);
                all.extend(scored(&prompt.tokens, 0..prompt.tokens.len(), scores));
            }
            all.extend(scored(&made.tokens, made.positions.clone(), choice.scores.as_ref()));
            head.logprobs(served, &all, 0)
        });
        text.insert_str(0, &before);
        choices.push(head.choice(index, &text, &logprobs, made.reason));
    }
    let mut body = head.with(false, choices);
    body.extend(counts.fields(&plan));
    Ok(axum::Json(Value::Object(body)).into_response())
}

/// Answers with events. The task ends, and with it the sequences, when the client goes away.
fn stream(app: Arc<App>, head: Head, plan: Plan, updates: Updates, arrived: Instant) -> Response {
    let (events, receiver) = mpsc::channel::<String>(64);
    tokio::spawn(async move {
        let sender = events.clone();
        tokio::select! {
            () = sender.closed() => {}
            () = send(&app, &head, &plan, updates, &events) => {
                app.metrics.request_seconds(arrived.elapsed());
            }
        }
    });
    let events =
        ReceiverStream::new(receiver).map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// Sends the events of a request, and an error as its last event.
async fn send(
    app: &App,
    head: &Head,
    plan: &Plan,
    updates: Updates,
    events: &mpsc::Sender<String>,
) {
    let last = match send_all(app, head, plan, updates, events).await {
        Ok(()) => "[DONE]".to_owned(),
        Err(Some(error)) => error.body().to_string(),
        // The client has gone.
        Err(None) => return,
    };
    let _ = emit(events, app, last).await;
}

/// Sends an event. The error is `None` if the client has gone, or does not read.
async fn emit(
    events: &mpsc::Sender<String>,
    app: &App,
    event: String,
) -> Result<(), Option<ApiError>> {
    let patience = app.served.limits.read_timeout;
    match tokio::time::timeout(patience, events.send(event)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(None),
    }
}

/// One text of a stream.
struct Text {
    growing: Growing,
    is_first: bool,
    characters: usize,
}

/// The error is `None` if the client has gone.
async fn send_all(
    app: &App,
    head: &Head,
    plan: &Plan,
    mut updates: Updates,
    events: &mpsc::Sender<String>,
) -> Result<(), Option<ApiError>> {
    let served = &app.served;
    let tokenizer = served.tokenizer();
    let internal = |error: conjoint_lab::Error| Some(ApiError::internal(error.to_string()));
    let mut texts: Vec<Text> = plan
        .choices
        .iter()
        .filter_map(|choice| {
            let stops = choice.stops.iter().map(|stop| stop.text().to_owned()).collect();
            let growing = Growing::new(choice.canvas.as_ref()?, &plan.ends, stops);
            Some(Text { growing, is_first: true, characters: 0 })
        })
        .collect();
    let mut counts = Counts::default();
    let mut running = plan.jobs();
    while running > 0 {
        let (index, update) = updates.recv().await.ok_or_else(|| Some(app.gone()))?;
        let (choice, text) = (&plan.choices[index], &mut texts[index]);
        match update {
            Update::Step(step) => {
                for change in &step.changes {
                    match *change {
                        Change::Reveal { position, token, .. } => {
                            text.growing.set(position, Some(token))
                        }
                        Change::Remask(position) => text.growing.set(position, None),
                    }
                }
                let delta = match plan.revises {
                    true => None,
                    false => text.growing.advance(tokenizer).map_err(internal)?,
                };
                let events_of = plan.form.events.then(|| step_event(app, plan, index, text, &step));
                if delta.is_none() && events_of.is_none() {
                    continue;
                }
                let more = delta.as_ref().map_or("", |delta| delta.text.as_str());
                let logprobs = delta.as_ref().map_or(Value::Null, |delta| {
                    delta_logprobs(
                        served,
                        head,
                        choice,
                        text.growing.tokens(),
                        delta,
                        text.characters,
                    )
                });
                let made = head.delta(index, more, text.is_first, &logprobs, None);
                text.is_first = false;
                text.characters += delta.map_or(0, |delta| {
                    let sent = &text.growing.tokens()[delta.positions];
                    sent.iter().map(|&token| app.piece(token).chars().count()).sum()
                });
                let mut body = head.with(true, vec![made]);
                body.extend(events_of.map(|event| ("conjoint".to_owned(), event)));
                emit(events, app, Value::Object(body).to_string()).await?;
            }
            Update::End(end) => {
                running -= 1;
                let output = outcome(plan, end).map_err(Some)?;
                let made = finished(served, plan, choice, output).map_err(Some)?;
                counts.add(made.counts);
                let delta = text.growing.finish(&made.text, made.positions.end);
                let logprobs =
                    delta_logprobs(served, head, choice, &made.tokens, &delta, text.characters);
                let choice =
                    head.delta(index, &delta.text, text.is_first, &logprobs, Some(made.reason));
                let mut body = head.with(true, vec![choice]);
                if plan.form.events {
                    let piece = |&token: &TokenId| (token != app.mask()).then(|| app.piece(token));
                    let tokens: Vec<_> = made.tokens.iter().map(piece).collect();
                    let Counts { denoiser_calls, sampler_calls, steps, .. } = made.counts;
                    let event = json!({"choice": index, "tokens": tokens, "denoiser_calls": denoiser_calls,
                        "sampler_calls": sampler_calls, "steps": steps, "seed": plan.seed});
                    body.insert("conjoint".to_owned(), event);
                }
                emit(events, app, Value::Object(body).to_string()).await?;
            }
        }
    }
    if plan.form.usage {
        let mut body = head.with(true, Vec::new());
        body.extend(counts.fields(plan));
        emit(events, app, Value::Object(body).to_string()).await?;
    }
    Ok(())
}

/// A step as an event.
fn step_event(app: &App, plan: &Plan, index: usize, text: &Text, step: &Step) -> Value {
    let changes = step.changes.iter().map(|change| match *change {
        Change::Reveal { position, token, probability } => {
            json!({"position": position, "token": token, "text": app.piece(token), "probability": probability})
        }
        Change::Remask(position) => json!({"position": position, "token": null}),
    });
    let mut event = json!({
        "choice": index,
        "step": step.number,
        "forwards": step.forwards,
        "sampler_passes": step.passes,
        "changes": changes.collect::<Vec<_>>(),
        "masked": text.growing.masked(),
    });
    if text.is_first
        && let Some(canvas) = &plan.choices[index].canvas
    {
        // The first event has the whole canvas, null where it is masked.
        let piece = |&token: &TokenId| (token != canvas.mask()).then(|| app.piece(token));
        event["canvas"] = canvas.tokens().iter().map(piece).collect();
    }
    event
}
