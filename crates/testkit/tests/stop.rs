//! Sequences that end at their first end-of-sequence id: what is asked of the model, what is told, what
//! comes out, and by which law.

mod common;
mod process;

use std::sync::Arc;

use common::{ZERO, blank, cases, oracle, orders, over, scheduled, together};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::observer::Reveal;
use conjoint_core::order::{Entropy, LeftToRight};
use conjoint_core::policy::{Dilated, Klass, Origin, SlowFast};
use conjoint_core::reviser::Edit;
use conjoint_core::schedule::{Linear, TokensPerStep};
use conjoint_core::strategy::{self, Strategy as Unmasking};
use conjoint_core::unmasker::{
    AdaptiveJoint, Bound, Confidence, Copula, EnergyResampling, ExactSequential, LearnedJoint,
    LocalAutoregression, Marginal, PathPlanning, PrefixAcceptance, ReMdm, Score, VerifiedJoint,
};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, FinishReason, Generator, Observer, Output, RowId, Schedule,
    State, Stop, TokenId, Vocabulary,
};
use conjoint_testkit::{
    ExactRefiner, Law, NoisyRefiner, TabularAutoregressive, TabularDenoiser, TabularJoint,
    exact_law,
};
use process::{Draw, State as Process, bold, draws, evolve, shadow};
use proptest::prelude::*;

/// The symbol that ends a sequence, and the one that pads it.
const EOS: TokenId = 0;
const PAD: TokenId = 1;

fn model(joint: &TabularJoint) -> TabularDenoiser {
    oracle(joint).with_eos(EOS).unwrap().with_pad(PAD).unwrap()
}

/// The first end that was generated.
fn end_of(tokens: &[TokenId], is_given: impl Fn(usize) -> bool) -> Option<usize> {
    (0..tokens.len()).find(|&i| tokens[i] == EOS && !is_given(i))
}

/// The sequence with all that follows its first generated end replaced, but for what was given.
fn padded(tokens: &[TokenId], is_given: impl Fn(usize) -> bool) -> Vec<TokenId> {
    let end = end_of(tokens, &is_given).unwrap_or(tokens.len());
    (0..tokens.len()).map(|i| if i > end && !is_given(i) { PAD } else { tokens[i] }).collect()
}

// ---- What is asked, told and answered, whatever the strategy ----

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

/// A model that pads with its mask is filled up with the end.
#[test]
fn what_is_filled_up_is_never_masked_again() {
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

/// What was given is not counted as drawn, wherever it stands.
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

/// Refuses every row behind the end of its canvas, and every canvas that has reached its end.
struct Thrifty(TabularDenoiser);

impl Denoiser for Thrifty {
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

/// Plays the moves back, and the padding once a sequence has reached its end.
struct Witness {
    begun: Canvas,
    canvas: Canvas,
    /// The end as it stood when the model was last asked.
    end: Option<usize>,
}

impl Witness {
    fn new(canvas: Canvas) -> Self {
        Self { begun: canvas.clone(), canvas, end: None }
    }

    fn end(&self) -> Option<usize> {
        end_of(self.canvas.tokens(), |i| self.begun.is_given(i))
    }

    fn has_reached_its_end(&self) -> bool {
        self.end().is_some_and(|end| (0..end).all(|i| !self.canvas.is_masked(i)))
    }
}

impl Observer for Witness {
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
        let expected = padded(self.canvas.tokens(), |i| self.begun.is_given(i));
        assert_eq!(output.tokens, expected);
        assert!(!output.tokens.contains(&self.canvas.mask()));
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn nothing_is_asked_told_or_drawn_behind_the_end(
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
            let generator = Generator::new(Thrifty(model(&joint))).unmasker(strategy);
            let generator = scheduled(&generator, schedule).seed(seed).stop_at_eos(true);
            let mut generator = generator.block_length(block).unwrap();
            if !is_finite {
                generator = generator.open_next_block_at(open_next).unwrap();
            }
            for tokens in [&tokens, &joint.masked()] {
                let canvas = Canvas::infill(tokens.clone(), 3).unwrap();
                let outcome = generator.run(vec![canvas.clone()], &mut Witness::new(canvas));
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

/// One text: "2 2 0" and then 2s. The first step reveals all but one of them, the end among these; only the
/// two tokens before the end can be doubted after that, not the three behind it.
#[test]
fn wino_doubts_nothing_behind_the_end() {
    let text = [2, 2, EOS, 2, 2, 2];
    let mut weights = vec![0.0; 3usize.pow(6)];
    let place = |text: &[TokenId]| text.iter().fold(0, |place, &token| 3 * place + token as usize);
    // Only the first token is unsure.
    (weights[place(&text)], weights[place(&[1, 2, EOS, 2, 2, 2])]) = (0.5, 0.5);
    let joint = TabularJoint::new(6, 3, &weights).unwrap();
    let run = |stop: bool| {
        let generator = over(model(&joint), 1, strategy::wino(0.6, 0.9).unwrap()).stop_at_eos(stop);
        generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0)
    };
    let (stopped, full) = (run(true), run(false));
    // One forward, then one more and a canvas for each doubted token.
    assert_eq!((stopped.steps, stopped.denoiser_calls), (2, 1 + 1 + 2));
    assert_eq!((full.steps, full.denoiser_calls), (2, 1 + 1 + 5));
    assert_eq!(stopped.tokens[1..], [2, EOS, PAD, PAD, PAD]);
}

/// Edits of a full block go on, but not once the end is reached: "0" would give way to "2".
#[test]
fn a_held_block_cannot_lose_an_end_that_was_reached() {
    /// Answers EOS while the position is masked, and 2 for what stands.
    struct Fickle(Vocabulary);
    impl Denoiser for Fickle {
        fn vocabulary(&self) -> &Vocabulary {
            &self.0
        }
        fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
            let batch = &request.canvases()[..];
            let rows = request.rows;
            let row = |id: &RowId| {
                let likely = if batch[id.sequence].is_masked(id.position) { EOS } else { 2 };
                (0..4).map(move |token| if token == likely { 0.0 } else { -9.0 })
            };
            let logits: Vec<f32> = rows.iter().flat_map(row).collect();
            let logits = ndarray::Array2::from_shape_vec((rows.len(), 4), logits);
            Ok(Answer::new(DenseRows::from_logits(logits.map_err(Error::model)?), State::new(())))
        }
    }
    let run = |stop: bool| {
        let vocabulary = Vocabulary::new(4, 3).unwrap().with_eos(EOS).unwrap();
        let generator = Generator::new(Fickle(vocabulary))
            .unmasker(strategy::edit_threshold(0.7, Edit::default()).unwrap());
        let generator = generator.draw(conjoint_core::draw::Argmax).stop_at_eos(stop);
        let canvas = Canvas::unconditional(3, 3).unwrap();
        generator.run(vec![canvas], &mut ()).unwrap().remove(0)
    };
    assert_eq!((run(true).tokens, run(true).denoiser_calls), (vec![EOS; 3], 1));
    assert_eq!(run(false).tokens, [2, 2, 2]);
}

// ---- The law ----

/// In whatever order: the joint with everything behind the end replaced by padding. An end that is
/// given, not generated, stops nothing, and stays.
#[test]
fn the_law_of_stopped_sequences() {
    let joint = TabularJoint::random(4, 3, 0.5, 5).unwrap();
    for tokens in [[3, 3, 3, 3], [3, EOS, 3, 3], [EOS, 3, 1, 3], [3, 3, 2, 3]] {
        let given = |i: usize| tokens[i] != joint.mask();
        let whole = joint.given(&tokens).unwrap();
        let expected = whole.map(|x| padded(x, given));
        assert!(expected.total_variation(&whole) > 0.05, "{tokens:?}");
        let canvas = Canvas::infill(tokens.into(), joint.mask()).unwrap();
        for (name, order) in orders() {
            let exact: Unmasking = ExactSequential::new(order.clone()).into();
            let refined: Unmasking = LearnedJoint::new(ExactRefiner).order(order).into();
            for (k, strategy) in [(1, exact), (3, refined)] {
                let generator = over(model(&joint), k, strategy).stop_at_eos(true);
                let law = exact_law(&generator, &canvas).unwrap();
                let distance = law.total_variation(&expected);
                assert!(distance < ZERO, "{name}, K = {k}, {tokens:?}: {distance}");
            }
        }
    }
}

/// The masked and the known positions up to the end.
fn split(joint: &TabularJoint, tokens: &[TokenId]) -> (Vec<usize>, Vec<usize>) {
    let end = end_of(tokens, |_| false).map_or(tokens.len(), |end| end + 1);
    (0..end).partition(|&position| tokens[position] == joint.mask())
}

/// The law of a process that stops: `step` is asked only while something before the end is masked.
fn stopped_law(
    joint: &TabularJoint,
    step: impl Fn(&Process, Vec<usize>, Vec<usize>) -> Vec<(Process, f64)>,
) -> Law {
    let step = |_: usize, state: &Process| {
        let (masked, known) = split(joint, &state.tokens);
        if masked.is_empty() {
            let mut padded_state = state.clone();
            padded_state.tokens = padded(&state.tokens, |_| false);
            return vec![(padded_state, 1.0)];
        }
        step(state, masked, known)
    };
    evolve(joint, 40, &step)
}

/// WINO; the step before revealed `recall(0)` tokens.
fn wino_law(joint: &TabularJoint, reveal: f64, keep: f64) -> Law {
    stopped_law(joint, |state, masked, known| {
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let revealed = bold(&drawn, reveal);
            let doubt = |&position: &usize| (shadow(joint, &state.tokens, position), position);
            let mut doubted: Vec<_> = known.iter().map(doubt).filter(|d| d.0 < keep).collect();
            doubted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let most = (state.recall(0) as usize).saturating_sub(1);
            let most = if revealed.len() > 1 { most } else { 0 };
            doubted.iter().take(most).for_each(|&(_, i)| next.tokens[i] = joint.mask());
            revealed.iter().for_each(|draw| next.tokens[draw.position] = draw.token);
            next.remember(0, revealed.len() as f64);
            (next, p)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    })
}

/// LLaDA2.1's edits while something is masked.
fn edit_law(joint: &TabularJoint, reveal: f64, edit: f64) -> Law {
    stopped_law(joint, |state, masked, known| {
        let all = [&masked[..], &known].concat();
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let (new, again) = drawn.split_at(masked.len());
            bold(new, reveal).iter().for_each(|draw| next.tokens[draw.position] = draw.token);
            again.iter().filter(|draw| draw.p > edit).for_each(|draw| {
                next.tokens[draw.position] = draw.token;
            });
            (next, p)
        };
        draws(joint, &state.tokens, &all).into_iter().map(after).collect()
    })
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn revocable_strategies_stop_as_defined(
        reveal in 0.1f64..0.8, second in 0.1f64..=1.0, alpha in 0.3f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let law = |strategy: Unmasking| {
            let generator = over(model(&joint), 1, strategy).stop_at_eos(true);
            exact_law(&generator, &blank(&joint)).unwrap()
        };
        let wino = law(strategy::wino(reveal, second).unwrap());
        let distance = wino.total_variation(&wino_law(&joint, reveal, second));
        prop_assert!(distance < ZERO, "WINO: {distance}");
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let law = |strategy: Unmasking| {
            let generator = over(model(&joint), 1, strategy).stop_at_eos(true);
            exact_law(&generator, &blank(&joint)).unwrap()
        };
        let edit = law(strategy::edit_threshold(reveal, Edit::new(second).unwrap().post_steps(0)).unwrap());
        let distance = edit.total_variation(&edit_law(&joint, reveal, second));
        prop_assert!(distance < ZERO, "LLaDA2.1: {distance}");
    }
}

// ---- Ends of other kinds ----

/// Ends a sequence at these neighbours.
struct AtPair(TokenId, TokenId);

impl Stop for AtPair {
    fn end(&self, tokens: &[TokenId]) -> Option<usize> {
        tokens.windows(2).position(|pair| pair == [self.0, self.1]).map(|at| at + 2)
    }
}

/// The whole sequence, or its beginning up to the first end, with the padding behind it.
fn cut(tokens: &[TokenId], end: impl Fn(&[TokenId]) -> bool) -> Vec<TokenId> {
    let end = (1..=tokens.len()).find(|&n| end(&tokens[..n])).unwrap_or(tokens.len());
    (0..tokens.len()).map(|i| if i < end { tokens[i] } else { PAD }).collect()
}

proptest! {
    #![proptest_config(cases(8))]

    /// The joint with all that follows the first end replaced, whichever rule found it and in whatever order tokens are
    /// revealed: a text that a later token completes further left counts, and one broken by what was given does not.
    #[test]
    fn the_first_of_several_ends_counts(alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(4, 3, alpha, seed).unwrap();
        let two_ends = oracle(&joint).with_eos(EOS).unwrap().with_eos(2).unwrap().with_pad(PAD).unwrap();
        type End = fn(&[TokenId]) -> bool;
        let rules: [(Generator, End); 4] = [
            (Generator::new(two_ends).stop_at_eos(true), |t| t.ends_with(&[EOS]) || t.ends_with(&[2])),
            (Generator::new(model(&joint)).stop_at_tokens([2]), |t| t.ends_with(&[2])),
            (Generator::new(model(&joint)).stop_at(AtPair(2, 1)), |t| t.ends_with(&[2, 1])),
            (
                Generator::new(model(&joint)).stop_at_eos(true).stop_at(AtPair(1, 1)).stop_at(AtPair(2, 1)),
                |t| t.ends_with(&[EOS]) || t.ends_with(&[1, 1]) || t.ends_with(&[2, 1]),
            ),
        ];
        for (generator, end) in rules {
            let expected = joint.law().map(|tokens| cut(tokens, end));
            for (name, order) in orders() {
                let generator = generator.clone().unmasker(ExactSequential::new(order));
                let law = exact_law(&generator, &blank(&joint)).unwrap();
                let distance = law.total_variation(&expected);
                prop_assert!(distance < ZERO, "{name}: {distance}");
            }
        }
    }
}

/// Reveals the sequence "1 2 1 0" and says why and where it ended.
fn ended(with: impl FnOnce(Generator) -> Generator) -> (FinishReason, usize, Vec<TokenId>) {
    let weights: Vec<f64> =
        (0..81).map(|index| if index == 27 + 2 * 9 + 3 { 1.0 } else { 0.0 }).collect();
    let joint = TabularJoint::new(4, 3, &weights).unwrap();
    let output =
        with(Generator::new(model(&joint))).run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
    (output.finish, output.end, output.tokens)
}

#[test]
fn an_output_says_where_it_ended_and_why() {
    assert_eq!(ended(|g| g), (FinishReason::Length, 4, vec![1, 2, 1, 0]));
    assert_eq!(ended(|g| g.stop_at_eos(true)), (FinishReason::EndOfSequence, 4, vec![1, 2, 1, 0]));
    let at_two = (FinishReason::EndOfSequence, 2, vec![1, 2, PAD, PAD]);
    assert_eq!(ended(|g| g.stop_at_tokens([2])), at_two);
    let at_text = (FinishReason::Stop, 3, vec![1, 2, 1, PAD]);
    assert_eq!(ended(|g| g.stop_at(AtPair(2, 1))), at_text);
    assert_eq!(ended(|g| g.stop_at_eos(true).stop_at(AtPair(2, 1))), at_text);
    assert_eq!(ended(|g| g.stop_at_tokens([2]).stop_at(AtPair(1, 2))), at_two, "a tie is an id's");
}

#[test]
fn what_was_given_ends_nothing() {
    let joint = TabularJoint::random(5, 3, 1.0, 3).unwrap();
    let mask = joint.mask();
    // Whatever is drawn between the given tokens, no two drawn neighbours are a 2 and a 1.
    let canvas = Canvas::infill(vec![2, 1, mask, 1, mask], mask).unwrap();
    let generator = Generator::new(model(&joint)).stop_at(AtPair(2, 1)).stop_at(AtPair(1, 1));
    for output in generator.run(vec![canvas; 50], &mut ()).unwrap() {
        assert_eq!((output.finish, output.end), (FinishReason::Length, 5));
    }
}

#[test]
fn stops_that_cannot_be_are_refused() {
    let joint = TabularJoint::random(3, 3, 1.0, 3).unwrap();
    let bare = || Generator::new(oracle(&joint));
    let error = bare().stop_at(AtPair(0, 1)).check(&[]).unwrap_err().to_string();
    assert!(error.contains("padding"), "{error}");
    let error = bare().stop_at_tokens([joint.mask()]).check(&[]).unwrap_err().to_string();
    assert!(error.contains("mask"), "{error}");
    bare().stop_at_tokens([1]).stop_at(AtPair(0, 1)).check(&[]).unwrap();
}
