//! Every strategy with an end: the rows requested, the events and the output.

use std::sync::Arc;

use super::{EOS, PAD, end_of, model, padded};
use crate::common::function_model::FunctionModel;
use crate::common::{blank, cases, oracle, over, scheduled, together};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::observer::Reveal;
use conjoint_core::order::{Entropy, LeftToRight};
use conjoint_core::policy::{Dilated, Klass, Origin, SlowFast};
use conjoint_core::reviser::Edit;
use conjoint_core::schedule::{Linear, TokensPerStep};
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::unmasker::{
    AdaptiveJoint, Bound, Confidence, Copula, EnergyResampling, ExactSequential, LearnedJoint,
    LocalAutoregression, Marginal, PathPlanning, PrefixAcceptance, ReMdm, Score, VerifiedJoint,
};
use conjoint_core::{
    Canvas, Denoiser, Error, Generator, Observer, Output, Schedule, TokenId, Vocabulary, strategy,
};
use conjoint_testkit::{
    ExactRefiner, NoisyRefiner, TabularAutoregressive, TabularDenoiser, TabularJoint,
};
use proptest::prelude::*;

/// A strategy by its name, and a schedule that it goes with.
type Named = (&'static str, Unmasking, Arc<dyn Schedule>);

/// Every strategy.
fn strategies(joint: &TabularJoint) -> Vec<Named> {
    let two: Arc<dyn Schedule> = Arc::new(TokensPerStep::new(2).unwrap());
    let six: Arc<dyn Schedule> = Arc::new(Linear::new(6).unwrap());
    let ar = || TabularAutoregressive::new(joint.clone());
    let adaptive = AdaptiveJoint::new(ExactRefiner, Bound::Confidence(0.4)).unwrap();
    let verified = VerifiedJoint::new(NoisyRefiner::new(1.0, 1).unwrap(), 3).unwrap();
    let edit = |reveal, edit| strategy::edit_threshold(reveal, Edit::new(edit).unwrap()).unwrap();
    let all: Vec<(_, Unmasking, _)> = vec![
        ("exact", ExactSequential::default().into(), &two),
        ("marginal", Marginal::new(Entropy).into(), &two),
        ("marginal, in steps", Marginal::default().into(), &six),
        ("confidence", Confidence::new(Score::Raw).into(), &two),
        ("joint", LearnedJoint::new(ExactRefiner).into(), &two),
        ("joint, window", LearnedJoint::new(ExactRefiner).window(1).unwrap().into(), &two),
        ("adaptive joint", adaptive.into(), &two),
        ("verified joint", verified.clone().into(), &two),
        ("verified joint, any order", verified.any_order().into(), &two),
        ("energy", EnergyResampling::new(ar()).into(), &two),
        ("copula", Copula::new(ar()).into(), &two),
        ("prefix acceptance", PrefixAcceptance::new(ar()).into(), &two),
        ("local autoregression", LocalAutoregression::new(ar(), 3).unwrap().into(), &two),
        ("origin", together(Origin::new(6).unwrap()), &six),
        ("KLASS", strategy::klass(Klass::new(0.3, 0.5, 1).unwrap()), &two),
        ("SlowFast", strategy::slow_fast(SlowFast::new(1, 0.3, 0.5).unwrap()), &two),
        ("dilated", together(Dilated::default()), &two),
        ("WINO", strategy::wino(0.6, 0.9).unwrap(), &two),
        ("bold WINO", strategy::wino(0.2, 1.0).unwrap(), &two),
        ("RCR", strategy::rcr(Score::Filtered), &six),
        ("P2", PathPlanning::new(0.5).unwrap().into(), &six),
        ("ReMDM", ReMdm::cap(0.4).unwrap().into(), &six),
        ("ReMDM-conf", ReMdm::conf().into(), &six),
        ("LLaDA2.1", edit(0.7, 0.1), &two),
        ("LLaDA2.1, bold", edit(0.1, 0.3), &two),
    ];
    all.into_iter().map(|(name, strategy, schedule)| (name, strategy, schedule.clone())).collect()
}

/// If the model's padding is its mask, the end is used as padding.
#[test]
fn padding_is_never_masked_again() {
    let joint = TabularJoint::random(6, 3, 1.0, 7).unwrap();
    let canvas = Canvas::unconditional(6, joint.mask()).unwrap();
    for (name, strategy, schedule) in strategies(&joint) {
        let model = oracle(&joint).with_eos(EOS).unwrap().with_pad(joint.mask()).unwrap();
        let generator = scheduled(&Generator::new(model).unmasker(strategy), schedule);
        let mut cut = 0;
        for output in generator.stop_at_eos(true).run(vec![canvas.clone(); 20], &mut ()).unwrap() {
            let end = end_of(&output.tokens, |_| false).unwrap_or(5);
            assert!(output.tokens[end + 1..].iter().all(|&token| token == EOS), "{name}");
            assert!(!output.tokens.contains(&joint.mask()), "{name}");
            assert_eq!(output.drawn, end + 1, "{name}");
            cut += usize::from(end < 5);
        }
        assert!(cut > 0, "{name}");
    }
}

/// Given tokens are not counted as drawn, wherever they are.
#[test]
fn given_tokens_are_not_drawn() {
    let joint = TabularJoint::random(6, 3, 1.0, 7).unwrap();
    let tokens = vec![3, 2, 3, EOS, 3, 3];
    let canvas = Canvas::infill(tokens, 3).unwrap();
    let drawn = |stop| {
        let generator = Generator::new(model(&joint)).ban([EOS]).stop_at_eos(stop);
        generator.run(vec![canvas.clone()], &mut ()).unwrap()[0].drawn
    };
    assert_eq!((drawn(false), drawn(true)), (4, 4));
}

/// Rejects every row behind the end of its canvas, and every canvas that has reached its end.
struct RejectsRowsBehindTheEnd(TabularDenoiser);

impl Denoiser for RejectsRowsBehindTheEnd {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let end = |canvas: &Canvas| end_of(canvas.tokens(), |i| canvas.is_given(i));
        for canvas in batch {
            let reached = |end| (0..end).all(|i| !canvas.is_masked(i));
            if end(canvas).is_some_and(reached) {
                return Err(Error::model(format!("{:?} is finished", canvas.tokens())));
            }
        }
        for id in rows {
            let canvas = batch[id.sequence];
            if end(canvas).is_some_and(|end| id.position > end) {
                return Err(Error::model(format!("{} of {:?}", id.position, canvas.tokens())));
            }
        }
        self.0.forward(request)
    }
}

/// Replays the moves, and the padding once a sequence has reached its end.
struct Replay {
    start: Canvas,
    canvas: Canvas,
    /// The end at the last forward or pass.
    end: Option<usize>,
}

impl Replay {
    fn new(canvas: Canvas) -> Self {
        Self { start: canvas.clone(), canvas, end: None }
    }

    fn end(&self) -> Option<usize> {
        end_of(self.canvas.tokens(), |i| self.start.is_given(i))
    }

    fn has_reached_its_end(&self) -> bool {
        self.end().is_some_and(|end| (0..end).all(|i| !self.canvas.is_masked(i)))
    }
}

impl Observer for Replay {
    fn on_forward(&mut self, _: usize, _: usize, _: usize) {
        self.end = self.end();
    }

    fn on_sampler_pass(&mut self, _: usize, _: usize, _: usize) {
        assert!(!self.has_reached_its_end(), "{:?} is refined", self.canvas.tokens());
        self.end = self.end();
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        assert!(self.end.is_none_or(|end| reveal.position <= end), "revealed behind the end");
        self.canvas.reveal(reveal.position, reveal.token).unwrap();
    }

    fn on_remask(&mut self, _: usize, _: usize, position: usize) {
        let is_cleared = self.has_reached_its_end() && self.end().is_some_and(|e| position > e);
        let is_revoked = self.end.is_none_or(|end| position <= end);
        assert!(is_cleared || is_revoked, "{position} of {:?} is revoked", self.canvas.tokens());
        self.canvas.remask(position).unwrap();
    }

    fn on_step(&mut self, _: usize, _: usize, canvas: &Canvas) {
        self.end = self.end();
        if !self.has_reached_its_end() {
            assert_eq!(self.canvas.tokens(), canvas.tokens(), "filled before the end was reached");
        }
    }

    fn on_finish(&mut self, _: usize, output: &Output) {
        assert!(self.has_reached_its_end() || self.end().is_none(), "finished too early");
        let expected = padded(self.canvas.tokens(), |i| self.start.is_given(i));
        assert_eq!(output.tokens, expected);
        assert!(!output.tokens.contains(&self.canvas.mask()));
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn nothing_is_requested_reported_or_drawn_behind_the_end(
        seed: u64,
        alpha in 0.3f64..3.0,
        given in prop::collection::vec(prop_oneof![3 => Just(3u32), 1 => 0u32..3], 4),
        block in prop_oneof![Just(6usize), Just(2), Just(3)],
        open_next in prop_oneof![Just(1.0), Just(0.5)],
    ) {
        let joint = TabularJoint::random(6, 3, alpha, seed).unwrap();
        let tokens = [vec![3], given, vec![3]].concat();
        for (name, strategy, schedule) in strategies(&joint) {
            let is_finite = schedule.steps().is_some();
            let generator = Generator::new(RejectsRowsBehindTheEnd(model(&joint))).unmasker(strategy);
            let generator = scheduled(&generator, schedule).seed(seed).stop_at_eos(true);
            let mut generator = generator.block_length(block).unwrap();
            if !is_finite {
                generator = generator.open_next_block_at(open_next).unwrap();
            }
            for tokens in [&tokens, &joint.masked()] {
                let canvas = Canvas::infill(tokens.clone(), 3).unwrap();
                let outcome = generator.run(vec![canvas.clone()], &mut Replay::new(canvas));
                prop_assert!(outcome.is_ok(), "{}: {:?}", name, outcome);
            }
        }
    }
}

#[test]
fn stopping_saves_the_forwards_behind_the_end() {
    let joint = TabularJoint::random(5, 3, 1.0, 4).unwrap();
    let generator = over(model(&joint), 1, ExactSequential::new(LeftToRight)).stop_at_eos(true);
    let outputs = generator.run(vec![blank(&joint); 100], &mut ()).unwrap();
    let full = generator.stop_at_eos(false).run(vec![blank(&joint); 100], &mut ()).unwrap();
    let mut stopped = 0;
    for (output, full) in outputs.iter().zip(&full) {
        let kept = full.tokens.iter().position(|&token| token == EOS).map_or(5, |end| end + 1);
        assert_eq!(output.denoiser_calls, kept);
        assert_eq!(output.tokens, padded(&full.tokens, |_| false));
        stopped += usize::from(kept < 5);
    }
    assert!(stopped > 20, "{stopped}");
}

/// One text: "2 2 0" and then 2s. The first step reveals all but one position, the end included. After that only the two
/// tokens before the end can be revoked, not the three behind it.
#[test]
fn wino_revokes_nothing_behind_the_end() {
    let text = [2, 2, EOS, 2, 2, 2];
    let mut weights = vec![0.0; 3usize.pow(6)];
    let place = |text: &[TokenId]| text.iter().fold(0, |place, &token| 3 * place + token as usize);
    // Only the first token is uncertain.
    (weights[place(&text)], weights[place(&[1, 2, EOS, 2, 2, 2])]) = (0.5, 0.5);
    let joint = TabularJoint::new(6, 3, &weights).unwrap();
    let run = |stop: bool| {
        let generator = over(model(&joint), 1, strategy::wino(0.6, 0.9).unwrap()).stop_at_eos(stop);
        generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0)
    };
    let (stopped, full) = (run(true), run(false));
    // One forward, then one more and a canvas for each queried token.
    assert_eq!((stopped.steps, stopped.denoiser_calls), (2, 1 + 1 + 2));
    assert_eq!((full.steps, full.denoiser_calls), (2, 1 + 1 + 5));
    assert_eq!(stopped.tokens[1..], [2, EOS, PAD, PAD, PAD]);
}

/// A full block is edited further, but not once the end is reached. The model would replace EOS by 2.
#[test]
fn an_open_block_keeps_an_end_that_was_reached() {
    // EOS where the position is masked, and 2 where it is revealed.
    let rows = |canvas: &Canvas, position: usize| match canvas.is_masked(position) {
        true => [0.0, -9.0, -9.0],
        false => [-9.0, -9.0, 0.0],
    };
    let run = |stop: bool| {
        let generator = Generator::new(FunctionModel::new(rows).with_eos(EOS))
            .unmasker(strategy::edit_threshold(0.7, Edit::default()).unwrap());
        let generator = generator.draw(Argmax).stop_at_eos(stop);
        let canvas = Canvas::unconditional(3, 3).unwrap();
        generator.run(vec![canvas], &mut ()).unwrap().remove(0)
    };
    assert_eq!((run(true).tokens, run(true).denoiser_calls), (vec![EOS; 3], 1));
    assert_eq!(run(false).tokens, [2, 2, 2]);
}
