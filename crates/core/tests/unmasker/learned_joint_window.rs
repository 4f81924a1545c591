//! The candidate window and the bound of `LearnedJoint`: the rows that a sampler pass requests, and their effect on the law.

use std::sync::{Arc, Mutex};

use crate::common::{ZERO, blank, distance, generator, oracle, over, parity};
use conjoint_core::denoiser::Request;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::unmasker::{LearnedJoint, Marginal};
use conjoint_core::{Error, Generator, Next, Row, SamplerLayer, State, TokenId, Unmasker, View};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, TabularJoint};

/// A layer that counts the rows of each pass.
#[derive(Clone)]
struct Counting<L>(L, Arc<Mutex<Vec<usize>>>);

impl<L: SamplerLayer> SamplerLayer for Counting<L> {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        self.1.lock().unwrap().push(rows.len());
        Ok(self.0.refine(state, batch, rows)?.into())
    }
}

fn tokens(generator: &Generator, joint: &TabularJoint, n: usize) -> Vec<Vec<TokenId>> {
    let outputs = generator.run(vec![blank(joint); n], &mut ()).unwrap();
    outputs.into_iter().map(|output| output.tokens).collect()
}

/// Six positions and K = 3: after the forward five are masked, then four. The window is chosen anew after each pass.
#[test]
fn a_pass_requests_the_masked_rows_of_the_window() {
    let joint = TabularJoint::random(6, 2, 0.5, 3).unwrap();
    for (window, expected) in
        [(None, [5, 4, 2, 1]), (Some(1), [2, 1, 2, 1]), (Some(2), [5, 3, 2, 1])]
    {
        let counts = Arc::default();
        let layer = Counting(ExactRefiner, Arc::clone(&counts));
        let strategy = LearnedJoint::new(layer);
        let strategy = window.map_or(Ok(strategy.clone()), |w| strategy.window(w)).unwrap();
        tokens(&generator(&joint, 3, strategy), &joint, 1);
        assert_eq!(*counts.lock().unwrap(), expected, "{window:?}");
    }
}

#[test]
fn a_window_of_all_positions_changes_nothing() {
    let joint = TabularJoint::random(6, 3, 0.4, 5).unwrap();
    let plain = || LearnedJoint::new(NoisyRefiner::new(1.0, 2).unwrap());
    let of = |strategy| tokens(&generator(&joint, 3, strategy), &joint, 300);
    let whole = of(plain());
    // Before the last token of a step of three, four positions are masked.
    assert_eq!(whole, of(plain().window(4).unwrap()));
    assert_eq!(whole, of(plain().window(usize::MAX).unwrap()));
    assert_ne!(whole, of(plain().window(1).unwrap()));
    assert!(LearnedJoint::new(ExactRefiner).window(0).is_err());
}

/// With an exact layer a window changes only the order.
#[test]
fn a_window_keeps_the_joint() {
    let random = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    for joint in [&random, &parity()] {
        for (k, w) in [(3, 2), (4, 2)] {
            let strategy = LearnedJoint::new(ExactRefiner).window(w).unwrap();
            let distance = distance(&generator(joint, k, strategy), joint, &joint.masked());
            assert!(distance < ZERO, "K = {k}, window {w}: {distance}");
        }
    }
}

/// With an exact layer a bound of 0 keeps the joint: beside one token only certain ones are drawn. A bound that is never
/// reached draws all tokens from the forward. Without a bound each token is drawn from its own pass.
#[test]
fn a_bound_spans_from_the_joint_to_independent_draws() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    let bound = |gamma| LearnedJoint::new(ExactRefiner).bound(gamma).unwrap();
    for joint in [&joint, &parity()] {
        for k in [2, 4] {
            assert!(
                distance(&generator(joint, k, bound(0.0)), joint, &joint.masked()) < ZERO,
                "K = {k}"
            );
        }
    }
    let marginal = tokens(&generator(&joint, 3, Marginal::default()), &joint, 300);
    assert_eq!(tokens(&generator(&joint, 3, bound(100.0)), &joint, 300), marginal);
    let distances = [0.0, 0.1, 100.0]
        .map(|gamma| distance(&generator(&joint, 4, bound(gamma)), &joint, &joint.masked()));
    assert!(distances.is_sorted() && distances[2] > 0.05, "{distances:?}");
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(LearnedJoint::new(ExactRefiner).bound(bad).is_err());
    }
}

/// In the parity joint any two bits are independent. Their entropies of ln 2 fit a bound of 1.
#[test]
fn tokens_within_the_bound_share_a_pass() {
    let joint = parity();
    let passes = |strategy: LearnedJoint| {
        let generator = generator(&joint, joint.length(), strategy);
        generator.run(vec![blank(&joint)], &mut ()).unwrap()[0].sampler_calls
    };
    let all = joint.length() - 1;
    assert_eq!(passes(LearnedJoint::new(ExactRefiner)), all);
    assert_eq!(passes(LearnedJoint::new(ExactRefiner).bound(0.0).unwrap()), all);
    assert_eq!(passes(LearnedJoint::new(ExactRefiner).bound(1.0).unwrap()), all - 1);
}

/// Refines without end in a window of two, the first and the last masked position.
#[derive(Clone)]
struct RefinesForEver(Arc<dyn SamplerLayer>);

impl Unmasker for RefinesForEver {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        if view.round() == 0 {
            let mut rows = view.rows();
            view.narrow_to(rows.next().into_iter().chain(rows.next_back()));
        }
        let drawn = view.draw(Row::candidate(0))?;
        view.reveal(Row::candidate(0), drawn);
        Ok(Next::Refine)
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.0)
    }
}

#[test]
fn a_step_ends_with_its_window_and_the_next_one_has_all_candidates() {
    let joint = TabularJoint::random(6, 2, 0.5, 4).unwrap();
    let counts = Arc::default();
    let layer: Arc<dyn SamplerLayer> = Arc::new(Counting(ExactRefiner, Arc::clone(&counts)));
    let generator = over(oracle(&joint), 6, RefinesForEver(layer));
    let output = generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
    assert!(output.tokens.iter().all(|&token| token != joint.mask()));
    assert_eq!((output.steps, output.denoiser_calls), (3, 3));
    assert_eq!(*counts.lock().unwrap(), [1, 1, 1]);
}
