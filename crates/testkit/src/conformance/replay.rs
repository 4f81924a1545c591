use std::collections::BTreeMap;

use conjoint_core::observer::Reveal;
use conjoint_core::{Canvas, Observer, Output, TokenId};

use super::Violation;

/// Replays the events of each sequence on its own canvas, and records the reveals.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// End-of-sequence ids. Positions behind them are filled without an event.
    eos: Vec<TokenId>,
    sequences: BTreeMap<usize, Trace>,
}

#[derive(Debug)]
struct Trace {
    start: Canvas,
    canvas: Canvas,
    reveals: Vec<Reveal>,
    steps: usize,
    /// Reported forwards and sampler passes.
    calls: (usize, usize),
    /// The forwards that the output counts.
    denoiser_calls: Option<usize>,
    mismatch: Option<&'static str>,
}

impl Trace {
    /// Copies the tokens that were filled in behind a generated end-of-sequence id.
    fn fill_behind(&mut self, eos: &[TokenId], canvas: &Canvas) {
        let is_end = |&p: &usize| eos.contains(&canvas.tokens()[p]) && !canvas.is_given(p);
        let Some(end) = (0..canvas.len()).find(is_end).filter(|_| canvas.is_done()) else { return };
        for position in end + 1..canvas.len() {
            // Fails where a token was revealed before. Such tokens are compared later.
            let _ = self.canvas.reveal(position, canvas.tokens()[position]);
        }
    }

    fn expect(&mut self, holds: bool, what: &'static str) {
        if !holds {
            self.mismatch.get_or_insert(what);
        }
    }

    /// The number of steps with a reveal.
    fn forwards(&self) -> usize {
        let mut steps: Vec<usize> = self.reveals.iter().map(|reveal| reveal.step).collect();
        steps.dedup();
        steps.len()
    }
}

impl Observer for Replay {
    fn on_begin(&mut self, sequence: usize, canvas: &Canvas) {
        let (start, canvas) = (canvas.clone(), canvas.clone());
        let trace = Trace {
            start,
            canvas,
            reveals: Vec::new(),
            steps: 0,
            calls: (0, 0),
            denoiser_calls: None,
            mismatch: None,
        };
        self.sequences.insert(sequence, trace);
    }

    fn on_forward(&mut self, sequence: usize, step: usize, calls: usize) {
        if let Some(trace) = self.sequences.get_mut(&sequence) {
            trace.expect(step == trace.steps, "the step of a forward");
            trace.calls.0 += calls;
        }
    }

    fn on_sampler_pass(&mut self, sequence: usize, step: usize, round: usize) {
        if let Some(trace) = self.sequences.get_mut(&sequence) {
            trace.expect(step == trace.steps && round > 0, "the step of a sampler pass");
            trace.calls.1 += 1;
        }
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        if let Some(trace) = self.sequences.get_mut(&reveal.sequence) {
            let allowed = trace.canvas.reveal(reveal.position, reveal.token).is_ok();
            trace.expect(allowed, "a reveal of a position that is not masked");
            trace.expect(
                (0.0..=1.0 + 1e-9).contains(&reveal.probability),
                "a reveal with a probability outside 0..=1",
            );
            trace.reveals.push(*reveal);
        }
    }

    fn on_remask(&mut self, sequence: usize, _: usize, position: usize) {
        if let Some(trace) = self.sequences.get_mut(&sequence) {
            let allowed = trace.canvas.remask(position).is_ok();
            trace.expect(allowed, "a remask of a position that was not revealed");
        }
    }

    fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
        if let Some(trace) = self.sequences.get_mut(&sequence) {
            trace.expect(step == trace.steps, "a step is missing or reported twice");
            trace.fill_behind(&self.eos, canvas);
            trace.expect(trace.canvas.tokens() == canvas.tokens(), "the canvas after a step");
            trace.steps += 1;
        }
    }

    fn on_finish(&mut self, sequence: usize, output: &Output) {
        if let Some(trace) = self.sequences.get_mut(&sequence) {
            trace.expect(trace.canvas.tokens() == output.tokens, "the tokens");
            trace.expect(trace.steps == output.steps, "the number of steps");
            let counted = (output.denoiser_calls, output.sampler_calls);
            trace.expect(trace.calls == counted, "the forwards and sampler passes");
            trace.denoiser_calls = Some(output.denoiser_calls);
        }
    }
}

impl Replay {
    /// A replay of runs that may stop at these ids.
    pub fn new(eos: &[TokenId]) -> Self {
        Self { eos: eos.to_vec(), sequences: BTreeMap::new() }
    }

    /// Checks the events and the output of one sequence.
    ///
    /// `extra_forwards` allows more forwards than steps that reveal. `is_allowed` accepts the ids that may be drawn.
    pub fn check(
        &self,
        run: &str,
        sequence: usize,
        output: &Output,
        extra_forwards: bool,
        is_allowed: impl Fn(TokenId) -> bool,
    ) -> Result<(), Violation> {
        let run = || run.to_owned();
        let Some(trace) = self.sequences.get(&sequence) else {
            return Err(Violation::EventsDisagree {
                run: run(),
                sequence,
                what: "no event was reported",
            });
        };
        if let Some(reveal) = trace.reveals.iter().find(|reveal| !is_allowed(reveal.token)) {
            let &Reveal { position, token, .. } = reveal;
            return Err(Violation::ForbiddenToken { run: run(), sequence, position, token });
        }
        for (position, &given) in trace.start.tokens().iter().enumerate() {
            let got = output.tokens.get(position).copied();
            if trace.start.is_given(position) && got != Some(given) {
                return Err(Violation::PromptChanged {
                    run: run(),
                    sequence,
                    position,
                    given,
                    got,
                });
            }
        }
        let (counted, needed) = (trace.denoiser_calls.unwrap_or(0), trace.forwards());
        if counted < needed || (counted > needed && !extra_forwards) {
            let what = "expected one forward for each step that reveals";
            return Err(Violation::EventsDisagree { run: run(), sequence, what });
        }
        match trace.mismatch {
            Some(what) => Err(Violation::EventsDisagree { run: run(), sequence, what }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: TokenId = 9;

    fn output(tokens: &[TokenId]) -> Output {
        let mut output = Output::new(tokens.into(), 1..tokens.len());
        (output.denoiser_calls, output.steps) = (1, 1);
        output
    }

    /// The verdict on an output after a reported reveal of `token` at position 1, behind the prompt 5.
    fn verdict(token: TokenId, output: &Output) -> Result<(), Violation> {
        let mut canvas = Canvas::new(&[5], 1, MASK).unwrap();
        let mut replay = Replay::default();
        replay.on_begin(0, &canvas);
        let reveal =
            Reveal { sequence: 0, step: 0, round: 0, position: 1, token, probability: 0.5 };
        replay.on_forward(0, 0, 1);
        replay.on_reveal(&reveal);
        canvas.reveal(1, token).unwrap();
        replay.on_step(0, 0, &canvas);
        replay.on_finish(0, output);
        replay.check("test", 0, output, false, |token| token < 7)
    }

    #[test]
    fn a_right_run_passes() {
        assert!(verdict(3, &output(&[5, 3])).is_ok());
    }

    #[test]
    fn every_wrong_run_is_detected() {
        let forbidden = verdict(7, &output(&[5, 7]));
        assert!(matches!(forbidden, Err(Violation::ForbiddenToken { position: 1, token: 7, .. })));
        let changed = verdict(3, &output(&[4, 3]));
        assert!(matches!(changed, Err(Violation::PromptChanged { given: 5, got: Some(4), .. })));
        let missing_tokens = verdict(3, &output(&[]));
        assert!(matches!(missing_tokens, Err(Violation::PromptChanged { got: None, .. })));
        let other = verdict(3, &output(&[5, 2]));
        assert!(matches!(other, Err(Violation::EventsDisagree { what: "the tokens", .. })));
        let with = |change: fn(&mut Output)| {
            let mut output = output(&[5, 3]);
            change(&mut output);
            output
        };
        let extra = verdict(3, &with(|output| output.denoiser_calls = 2));
        assert!(matches!(extra, Err(Violation::EventsDisagree { .. })));
        let unreported = verdict(3, &with(|output| output.sampler_calls = 1));
        let expected = "the forwards and sampler passes";
        assert!(
            matches!(unreported, Err(Violation::EventsDisagree { what, .. }) if what == expected)
        );
        let missing = Replay::default().check("test", 0, &output(&[5, 3]), false, |_| true);
        assert!(matches!(missing, Err(Violation::EventsDisagree { .. })));
    }
}
