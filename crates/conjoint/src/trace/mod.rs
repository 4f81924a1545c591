//! Records a run call by call, and writes an HTML page that replays it.
//!
//! ```no_run
//! use conjoint::prelude::*;
//! use conjoint::trace::Trace;
//!
//! let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
//! let tokenizer = Tokenizer::open("models/tiny")?;
//! let canvas = Canvas::new(&tokenizer.encode("<story>the old")?, 32, model.vocabulary().mask())?;
//! let mut trace = Trace::new("entropy order, one token a step");
//! Generator::new(model).run(vec![canvas], &mut trace)?;
//! trace.write("trace.html", |token| tokenizer.piece(token).ok())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use conjoint_core::observer::Reveal;
use conjoint_core::{Canvas, Observer, TokenId};
use serde::Serialize;

mod page;

pub use page::Page;

/// An observer that records every event of a run, for a page that replays it.
///
/// A run is a list of *frames*, one for each call of a model. Round 0 of a step is the denoiser's forward, and round j its j-th
/// sampler pass. An idle step is one frame without a call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    caption: String,
    /// By index, because the events of a batch's sequences alternate.
    sequences: BTreeMap<usize, Sequence>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Sequence {
    /// The tokens at the beginning, `None` where masked.
    start: Vec<Option<TokenId>>,
    frames: Vec<Frame>,
    /// The tokens after the last frame.
    #[serde(skip)]
    now: Vec<Option<TokenId>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Frame {
    step: usize,
    round: usize,
    /// Forwards of the denoiser: 0 in an idle step and in a sampler pass.
    forwards: usize,
    events: Vec<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Event {
    /// Position, token, and its probability in the row it was drawn from.
    Reveal(usize, TokenId, f32),
    /// A remasked position.
    Remask(usize),
    /// A padding token after the end of the sequence.
    Fill(usize, TokenId),
}

#[derive(Serialize)]
struct Document<'a> {
    caption: &'a str,
    /// The text of every token that occurs, if it is known.
    pieces: BTreeMap<TokenId, String>,
    sequences: Vec<&'a Sequence>,
}

impl Trace {
    /// An empty trace. The page shows the caption.
    pub fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), sequences: BTreeMap::new() }
    }

    /// The trace as JSON. `piece` returns the text of a token. The page shows the ids of tokens without a text.
    ///
    /// `{caption, pieces: {id: text}, sequences: [{start: [id | null], frames: [{step, round, forwards,
    /// events}]}]}`, where an event is one of `{reveal: [position, id, probability]}`,
    /// `{remask: position}`, and `{fill: [position, id]}` for padding after the end of a sequence. Steps and rounds count
    /// from 0.
    pub fn json(&self, piece: impl Fn(TokenId) -> Option<String>) -> String {
        let mut pieces = BTreeMap::new();
        for token in self.sequences.values().flat_map(Sequence::tokens) {
            if !pieces.contains_key(&token)
                && let Some(text) = piece(token)
            {
                pieces.insert(token, text);
            }
        }
        let sequences = self.sequences.values().collect();
        let document = Document { caption: &self.caption, pieces, sequences };
        // A structure of strings and numbers always serialises.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// The page as one HTML document that loads no other file. `piece` is that of [`json`](Self::json).
    pub fn html(&self, piece: impl Fn(TokenId) -> Option<String>) -> String {
        page::html(&self.json(piece))
    }

    /// Writes the [page](Self::html) atomically.
    ///
    /// # Errors
    /// Those of [`Page::create`] and [`Page::write`].
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        piece: impl Fn(TokenId) -> Option<String>,
    ) -> io::Result<()> {
        Page::create(path)?.write(&self.html(piece))
    }

    fn frame(&mut self, sequence: usize, step: usize, round: usize) -> &mut Frame {
        self.sequences.entry(sequence).or_default().frame(step, round)
    }
}

impl Sequence {
    /// Every token of the sequence, with repetitions.
    fn tokens(&self) -> impl Iterator<Item = TokenId> + '_ {
        let events = self.frames.iter().flat_map(|frame| &frame.events);
        let drawn = events.filter_map(|event| match *event {
            Event::Reveal(_, token, _) | Event::Fill(_, token) => Some(token),
            Event::Remask(_) => None,
        });
        self.start.iter().flatten().copied().chain(drawn)
    }

    /// The last frame, or a new one if the step or the round has changed.
    fn frame(&mut self, step: usize, round: usize) -> &mut Frame {
        let is_last = |frame: &Frame| (frame.step, frame.round) == (step, round);
        if !self.frames.last().is_some_and(is_last) {
            self.frames.push(Frame { step, round, forwards: 0, events: Vec::new() });
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// The current round of a step.
    fn round(&self, step: usize) -> usize {
        self.frames.last().filter(|frame| frame.step == step).map_or(0, |frame| frame.round)
    }

    fn set(&mut self, position: usize, token: Option<TokenId>) {
        if let Some(now) = self.now.get_mut(position) {
            *now = token;
        }
    }
}

/// The tokens of a canvas, `None` where masked.
fn known(canvas: &Canvas) -> Vec<Option<TokenId>> {
    canvas.tokens().iter().map(|&token| (token != canvas.mask()).then_some(token)).collect()
}

impl Observer for Trace {
    fn on_begin(&mut self, sequence: usize, canvas: &Canvas) {
        let start = known(canvas);
        let sequence_start = Sequence { now: start.clone(), start, frames: Vec::new() };
        self.sequences.insert(sequence, sequence_start);
    }

    fn on_forward(&mut self, sequence: usize, step: usize, calls: usize) {
        self.frame(sequence, step, 0).forwards += calls;
    }

    fn on_sampler_pass(&mut self, sequence: usize, step: usize, round: usize) {
        self.frame(sequence, step, round);
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        let &Reveal { sequence, step, round, position, token, probability } = reveal;
        let event = Event::Reveal(position, token, probability as f32);
        self.frame(sequence, step, round).events.push(event);
        self.sequences.entry(sequence).or_default().set(position, Some(token));
    }

    fn on_remask(&mut self, sequence: usize, step: usize, position: usize) {
        let sequence = self.sequences.entry(sequence).or_default();
        let round = sequence.round(step);
        sequence.frame(step, round).events.push(Event::Remask(position));
        sequence.set(position, None);
    }

    fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
        let sequence = self.sequences.entry(sequence).or_default();
        let (before, after) = (std::mem::take(&mut sequence.now), known(canvas));
        let round = sequence.round(step);
        let frame = sequence.frame(step, round);
        for (position, (before, after)) in before.iter().zip(&after).enumerate() {
            if let (None, &Some(token)) = (before, after) {
                frame.events.push(Event::Fill(position, token));
            }
        }
        sequence.now = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const MASK: TokenId = 9;

    fn reveal(sequence: usize, step: usize, round: usize, position: usize) -> Reveal {
        Reveal { sequence, step, round, position, token: 3, probability: 0.5 }
    }

    fn parsed(trace: &Trace) -> Value {
        serde_json::from_str(&trace.json(|_| None)).unwrap()
    }

    /// The frames of the first sequence, as (step, round, forwards) and events.
    fn frames(trace: &Trace) -> Vec<(Value, Value)> {
        let trace = parsed(trace);
        let frames = trace["sequences"][0]["frames"].as_array().unwrap();
        let frame =
            |f: &Value| (json!([f["step"], f["round"], f["forwards"]]), f["events"].clone());
        frames.iter().map(frame).collect()
    }

    #[test]
    fn every_call_is_a_frame_with_its_remasks() {
        let mut canvas = Canvas::new(&[1], 3, MASK).unwrap();
        let mut trace = Trace::default();
        trace.on_begin(0, &canvas);
        trace.on_forward(0, 0, 2);
        trace.on_reveal(&reveal(0, 0, 0, 2));
        trace.on_sampler_pass(0, 0, 1);
        trace.on_remask(0, 0, 2); // replaced
        trace.on_reveal(&reveal(0, 0, 1, 2));
        trace.on_reveal(&reveal(0, 0, 1, 1));
        canvas.reveal(1, 3).unwrap();
        canvas.reveal(2, 3).unwrap();
        trace.on_step(0, 0, &canvas);
        let expected = [
            (json!([0, 0, 2]), json!([{"reveal": [2, 3, 0.5]}])),
            (
                json!([0, 1, 0]),
                json!([{"remask": 2}, {"reveal": [2, 3, 0.5]}, {"reveal": [1, 3, 0.5]}]),
            ),
        ];
        assert_eq!(frames(&trace), expected);
        assert_eq!(parsed(&trace)["sequences"][0]["start"], json!([1, null, null, null]));
    }

    #[test]
    fn idle_steps_are_frames_without_a_call() {
        let mut canvas = Canvas::new(&[1], 2, MASK).unwrap();
        let mut trace = Trace::default();
        trace.on_begin(0, &canvas);
        trace.on_step(0, 0, &canvas);
        trace.on_forward(0, 1, 1);
        trace.on_reveal(&reveal(0, 1, 0, 1));
        canvas.reveal(1, 3).unwrap();
        trace.on_step(0, 1, &canvas);
        trace.on_remask(0, 2, 1); // an idle step may remask
        canvas.remask(1).unwrap();
        trace.on_step(0, 2, &canvas);
        let expected = [
            (json!([0, 0, 0]), json!([])),
            (json!([1, 0, 1]), json!([{"reveal": [1, 3, 0.5]}])),
            (json!([2, 0, 0]), json!([{"remask": 1}])),
        ];
        assert_eq!(frames(&trace), expected);
    }

    #[test]
    fn padding_after_the_end_is_filled_not_drawn() {
        let mut canvas = Canvas::new(&[1], 3, MASK).unwrap();
        let mut trace = Trace::default();
        trace.on_begin(0, &canvas);
        trace.on_forward(0, 0, 1);
        trace.on_reveal(&reveal(0, 0, 0, 1));
        for (position, token) in [(1, 3), (2, 0), (3, 0)] {
            canvas.reveal(position, token).unwrap();
        }
        trace.on_step(0, 0, &canvas);
        let events = json!([{"reveal": [1, 3, 0.5]}, {"fill": [2, 0]}, {"fill": [3, 0]}]);
        assert_eq!(frames(&trace), [(json!([0, 0, 1]), events)]);
    }

    #[test]
    fn sequences_of_a_batch_are_separate_and_in_order() {
        let canvases = [1, 2].map(|token| Canvas::new(&[token], 1, MASK).unwrap());
        let mut trace = Trace::new("two");
        for sequence in [1, 0] {
            trace.on_begin(sequence, &canvases[sequence]);
            trace.on_forward(sequence, 0, 1);
        }
        for sequence in [0, 1] {
            trace.on_reveal(&reveal(sequence, 0, 0, 1));
        }
        let trace = trace.json(|token| (token == 3).then(|| "three".to_owned()));
        let trace: Value = serde_json::from_str(&trace).unwrap();
        assert_eq!(trace["caption"], "two");
        assert_eq!(trace["pieces"], json!({"3": "three"}));
        for (sequence, prompt) in [1, 2].into_iter().enumerate() {
            let sequence = &trace["sequences"][sequence];
            assert_eq!(sequence["start"], json!([prompt, null]));
            assert_eq!(sequence["frames"][0]["events"], json!([{"reveal": [1, 3, 0.5]}]));
        }
    }
}
