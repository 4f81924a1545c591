//! Strategies that take back what they revealed: they pass the suite, they end, and their laws are
//! those of the processes that their docs define.

mod common;
mod process;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use common::{EvenChance, ZERO, generator, law, oracle};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::reviser::Edit;
use conjoint_core::schedule::{LladaEven, TokensPerStep};
use conjoint_core::strategy::{self, Strategy as Revocable};
use conjoint_core::unmasker::{Confidence, Marginal, PathPlanning, ReMdm, Score};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, State as ModelState, TokenId, Vocabulary,
};
use conjoint_testkit::conformance::Suite;
use conjoint_testkit::{Law, TabularJoint};
use process::{Draw, State, bold, draws, evolve, row, shadow, split};
use proptest::prelude::*;

#[test]
fn wino_passes() {
    let suite = Suite::default().extra_forwards();
    suite.strategy("WINO", || strategy::wino(0.6, 0.9).unwrap()).unwrap();
    suite.strategy("timid WINO", || strategy::wino(0.2, 1.0).unwrap()).unwrap();
}

#[test]
fn remdm_passes() {
    let suite = Suite::default().moves_per_position(4).extra_forwards();
    for (name, strategy) in remdm() {
        suite.strategy(name, || strategy.clone()).unwrap();
    }
}

#[test]
fn rcr_passes() {
    for score in [Score::Raw, Score::Filtered] {
        Suite::default().strategy("RCR", || strategy::rcr(score)).unwrap();
    }
}

#[test]
fn path_planning_passes() {
    let suite = Suite::default().moves_per_position(4).extra_forwards();
    for eta in [0.0, 1.0, 4.0] {
        suite.strategy("P2", || PathPlanning::new(eta).unwrap()).unwrap();
    }
}

#[test]
fn edit_threshold_passes() {
    for edit in [0.0, 0.5, 1.0] {
        let bounds = Edit::new(edit).unwrap();
        // A full block of one position is looked at 16 times more.
        let suite = Suite::default().extra_forwards().moves_per_position(17);
        let edit = |edit| strategy::edit_threshold(0.3, edit).unwrap();
        suite.strategy("LLaDA2.1", || edit(bounds.clone())).unwrap();
        let none_after = || edit(bounds.clone().post_steps(0));
        Suite::default().strategy("LLaDA2.1, no steps after", none_after).unwrap();
    }
}

#[test]
fn a_schedule_without_steps_is_refused() {
    let joint = TabularJoint::random(2, 2, 1.0, 0).unwrap();
    let strategies: [Revocable; 2] = [ReMdm::default().into(), PathPlanning::default().into()];
    for strategy in strategies {
        let outcome = Generator::new(oracle(&joint)).unmasker(strategy).run(blank(2, 2), &mut ());
        assert!(matches!(outcome, Err(Error::NeedsSteps { .. })));
    }
}

fn blank(length: usize, mask: TokenId) -> Vec<Canvas> {
    vec![Canvas::unconditional(length, mask).unwrap()]
}

/// The law of a strategy over S even steps.
fn law_in(joint: &TabularJoint, steps: usize, strategy: impl Into<Revocable>) -> Law {
    let schedule = LladaEven::new(steps).unwrap();
    law(&common::scheduled(&Generator::new(oracle(joint)).unmasker(strategy), schedule), joint)
}

// ---- WINO ----

/// WINO from its definition; the step before revealed `recall(0)` tokens.
fn wino_law(joint: &TabularJoint, reveal: f64, keep: f64) -> Law {
    let step = |_: usize, state: &State| {
        let (masked, known) = split(joint, &state.tokens);
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let revealed = bold(&drawn, reveal);
            let doubt = |&position: &usize| (shadow(joint, &state.tokens, position), position);
            let mut doubted: Vec<_> =
                known.iter().map(doubt).filter(|&(shadow, _)| shadow < keep).collect();
            doubted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let most = state.recall(0) as usize;
            if revealed.len() > 1 {
                for &(_, position) in doubted.iter().take(most.saturating_sub(1)) {
                    next.tokens[position] = joint.mask();
                }
            }
            revealed.iter().for_each(|draw| next.tokens[draw.position] = draw.token);
            next.remember(0, revealed.len() as f64);
            (next, p)
        };
        match masked.is_empty() {
            true => vec![(state.clone(), 1.0)],
            false => draws(joint, &state.tokens, &masked).into_iter().map(after).collect(),
        }
    };
    evolve(joint, joint.length(), &step)
}

/// The threshold sampler over drawn tokens, which revokes nothing.
fn threshold_law(joint: &TabularJoint, threshold: f64) -> Law {
    wino_law(joint, threshold, 0.0)
}

proptest! {
    #![proptest_config(common::cases(24))]

    #[test]
    fn wino_is_as_defined(
        reveal in 0.0f64..1.0, keep in 0.0f64..=1.0, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, strategy::wino(reveal, keep).unwrap()), &joint);
        prop_assert!(law.total_variation(&wino_law(&joint, reveal, keep)) < ZERO);
    }

    #[test]
    fn wino_that_keeps_all_is_the_threshold_sampler(
        reveal in 0.0f64..1.0, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let wino = law(&generator(&joint, 1, strategy::wino(reveal, 0.0).unwrap()), &joint);
        let edit = law(&generator(&joint, 1, strategy::edit_threshold(reveal, Edit::new(1.0).unwrap()).unwrap()), &joint);
        let threshold = threshold_law(&joint, reveal);
        prop_assert!(wino.total_variation(&threshold) < ZERO);
        prop_assert!(edit.total_variation(&threshold) < ZERO);
    }

    #[test]
    fn with_a_reveal_threshold_of_one_both_are_confidence(keep in 0.0f64..=1.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, 0.5, seed).unwrap();
        let confidence = law(&generator(&joint, 1, Confidence::new(Score::Raw)), &joint);
        let wino = law(&generator(&joint, 1, strategy::wino(1.0, keep).unwrap()), &joint);
        let edit = law(&generator(&joint, 1, strategy::edit_threshold(1.0, Edit::new(1.0).unwrap()).unwrap()), &joint);
        prop_assert!(wino.total_variation(&confidence) < ZERO);
        prop_assert!(edit.total_variation(&confidence) < ZERO);
    }
}

/// Exactly one of three bits is 1, as good as always, and all three draw their likelier 0 at once in 8
/// of 27 cases. Two more bits, which the three decide, are known only in the second step, and then both
/// at once.
fn one_of_three() -> TabularJoint {
    let mut weights = vec![0.0; 32];
    for (sequence, weight) in
        [(0b10011, 2.0), (0b01000, 2.0), (0b00100, 1.0), (0b00111, 1.0), (0b00000, 0.06)]
    {
        weights[sequence] = weight;
    }
    TabularJoint::new(5, 2, &weights).unwrap()
}

/// Seen without itself each of the three 0s is improbable: two are masked again, and repaired.
#[test]
fn wino_repairs_what_independent_draws_broke() {
    let joint = one_of_three();
    let broken = |keep: f64| -> f64 {
        let law = law(&generator(&joint, 1, strategy::wino(0.6, keep).unwrap()), &joint);
        law.iter().filter(|(x, _)| x[..3] == [0, 0, 0]).map(|(_, p)| p).sum()
    };
    assert!(broken(0.0) > 0.25 && broken(0.9) < 0.05, "{} {}", broken(0.0), broken(0.9));
}

#[test]
fn a_wino_with_other_thresholds_is_told_apart() {
    let joint = one_of_three();
    let right = wino_law(&joint, 0.6, 0.9);
    for (reveal, keep) in [(0.6, 0.0), (0.6, 0.01), (0.3, 0.9)] {
        let wrong = law(&generator(&joint, 1, strategy::wino(reveal, keep).unwrap()), &joint);
        let distance = wrong.total_variation(&right);
        assert!(distance > 0.01, "{reveal} {keep}: {distance}");
    }
}

// ---- ReMDM ----

fn remdm() -> Vec<(&'static str, ReMdm)> {
    vec![
        ("ancestral", ReMdm::cap(0.0).unwrap()),
        ("ReMDM-cap", ReMdm::cap(0.3).unwrap()),
        ("ReMDM-rescale", ReMdm::rescale(0.6).unwrap()),
        ("ReMDM-conf", ReMdm::conf()),
        ("ReMDM-loop", ReMdm::looping(0.3, 0.75, 0.5, 0.6).unwrap()),
    ]
}

/// α_t, σ of a revealed and σ of a masked position, given σ_max, t, ψ of the position and the sum of all
/// e^(−ψ).
struct Rule {
    alpha: fn(f64) -> f64,
    revealed: fn(f64, f64, f64, f64) -> f64,
    masked: fn(f64, f64) -> f64,
}

/// Both ends are times of a process in four steps.
fn in_loop(t: f64) -> bool {
    t > 0.5 && t <= 0.75
}

/// Those of [`remdm`].
fn rules() -> Vec<Rule> {
    let linear: fn(f64) -> f64 = |t| 1.0 - t;
    let cap: fn(f64, f64) -> f64 = |most, _| most.min(0.3);
    let looping: fn(f64, f64) -> f64 = |most, t| if in_loop(t) { most.min(0.3) } else { 0.0 };
    // From 0 at t = 1 to 0.6 at 0.75, flat to 0.5, to 1 at 0.
    let bent: fn(f64) -> f64 = |t| match t {
        t if t > 0.75 => 0.6 * (1.0 - t) / 0.25,
        t if t > 0.5 => 0.6,
        t => 0.6 + 0.4 * (0.5 - t) / 0.5,
    };
    vec![
        Rule { alpha: linear, revealed: |_, _, _, _| 0.0, masked: |_, _| 0.0 },
        Rule { alpha: linear, revealed: |most, _, _, _| most.min(0.3), masked: cap },
        Rule { alpha: linear, revealed: |most, _, _, _| 0.6 * most, masked: |most, _| 0.6 * most },
        Rule {
            alpha: linear,
            revealed: |most, _, psi, total| most * (-psi).exp() / total,
            masked: |_, _| 0.0,
        },
        Rule {
            alpha: bent,
            revealed: |most, t, _, _| if in_loop(t) { most.min(0.3) } else { 0.0 },
            masked: looping,
        },
    ]
}

/// ReMDM from its definition, which goes on when nothing is masked. With `full_is_done` it does not.
fn remdm_law(joint: &TabularJoint, steps: usize, rule: &Rule, full_is_done: bool) -> Law {
    let step = |i: usize, state: &State| {
        let (masked, known) = split(joint, &state.tokens);
        if masked.is_empty() && full_is_done {
            return vec![(state.clone(), 1.0)];
        }
        let time = |i: usize| 1.0 - i as f64 / steps as f64;
        let (t, alpha_t, alpha_s) = (time(i), (rule.alpha)(time(i)), (rule.alpha)(time(i + 1)));
        let most = if i == 0 { 1.0 } else { ((1.0 - alpha_s) / alpha_t).min(1.0) };
        let total: f64 = known.iter().map(|&position| (-state.recall(position)).exp()).sum();
        let sigma = (rule.masked)(most, t);
        let reveal = (alpha_s - (1.0 - sigma) * alpha_t) / (1.0 - alpha_t);
        let mut states = vec![(state.clone(), 1.0)];
        for position in 0..joint.length() {
            let mut outcomes = Vec::new();
            if known.contains(&position) {
                let psi = state.recall(position);
                let sigma = (rule.revealed)(most, t, psi, total);
                outcomes.push((state.tokens[position], psi, 1.0 - sigma));
                outcomes.push((joint.mask(), 0.0, sigma));
            } else {
                outcomes.push((joint.mask(), 0.0, 1.0 - reveal));
                let row = row(joint, &state.tokens, position);
                outcomes.extend((0..).zip(row).map(|(token, p)| (token, p, reveal * p)));
            }
            let branch = |(state, reached): &(State, f64)| {
                let one = |&(token, psi, p): &(TokenId, f64, f64)| {
                    let mut next = state.clone();
                    next.tokens[position] = token;
                    next.remember(position, psi);
                    (next, reached * p)
                };
                outcomes.iter().filter(|&&(_, _, p)| p > 0.0).map(one).collect::<Vec<_>>()
            };
            states = states.iter().flat_map(branch).collect();
        }
        states
    };
    evolve(joint, steps, &step)
}

proptest! {
    #![proptest_config(common::cases(8))]

    #[test]
    fn remdm_is_as_defined(steps in 1usize..=4, alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(2, 2, alpha, seed).unwrap();
        for ((name, strategy), rule) in remdm().into_iter().zip(rules()) {
            let distance =
                law_in(&joint, steps, strategy).total_variation(&remdm_law(&joint, steps, &rule, false));
            prop_assert!(distance < ZERO, "{}, {} steps: {}", name, steps, distance);
        }
    }

    /// Two positions fall into one step with probability 1/S, and are independent then.
    #[test]
    fn ancestral_sampling_of_two(steps in 1usize..=12, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(2, 3, alpha, seed).unwrap();
        prop_assert!(law_in(&joint, steps, ReMdm::cap(0.0).unwrap())
            .total_variation(&ancestral_of_two(&joint, steps)) < ZERO);
    }
}

/// (1 − 1/S) joint + (1/S) product of marginals.
fn ancestral_of_two(joint: &TabularJoint, steps: usize) -> Law {
    let together = 1.0 / steps as f64;
    let apart = joint.law();
    let apart = apart.iter().map(|(x, p)| (x.to_vec(), (1.0 - together) * p));
    let product = joint.product_of_marginals();
    apart.chain(product.iter().map(|(x, p)| (x.to_vec(), together * p))).collect()
}

#[test]
fn ancestral_sampling_nears_the_joint_as_steps_grow() {
    let joint = TabularJoint::random(3, 2, 0.3, 5).unwrap();
    let mut before = f64::INFINITY;
    for steps in [1, 2, 4, 8] {
        let law = law_in(&joint, steps, ReMdm::cap(0.0).unwrap());
        let distance = joint.total_variation(&law);
        // Where no two of the three share a step it is exact.
        let s = steps as f64;
        let shared = 1.0 - (1.0 - 1.0 / s) * (1.0 - 2.0 / s).max(0.0);
        assert!(distance < before && distance < shared, "{steps} steps: {distance}");
        before = distance;
    }
}

#[test]
fn broken_remdm_is_told_apart() {
    // Two coins that agree.
    let joint = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let even = law_in(&joint, 4, EvenChance::default());
    let distance = even.total_variation(&ancestral_of_two(&joint, 4));
    assert!(distance > 0.01, "{distance}");
    for ((name, strategy), rule) in remdm().into_iter().zip(rules()).skip(1) {
        let law = law_in(&joint, 4, strategy);
        // Neither the ancestral law, nor that of a process that ends once nothing is masked.
        for (what, wrong) in [
            ("ancestral", remdm_law(&joint, 4, &rules()[0], false)),
            ("ends when full", remdm_law(&joint, 4, &rule, true)),
        ] {
            let distance = law.total_variation(&wrong);
            assert!(distance > 1e-3, "{name}, {what}: {distance}");
        }
    }
}

// ---- RCR and P2 ----

/// Fills all masked positions, then masks the lowest: `score(p, known)` of what was drawn or stands with
/// probability p, `masked(i)` of them.
fn keep_best_law(
    joint: &TabularJoint,
    steps: usize,
    masked_after: impl Fn(usize) -> usize,
    known_score: impl Fn(&State, usize) -> f64,
) -> Law {
    let step = |i: usize, state: &State| {
        let (masked, known) = split(joint, &state.tokens);
        if masked.is_empty() {
            return vec![(state.clone(), 1.0)];
        }
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            // (score, new, position)
            let mut all: Vec<(f64, bool, usize)> = known
                .iter()
                .map(|&position| (known_score(state, position), false, position))
                .collect();
            for draw in &drawn {
                next.tokens[draw.position] = draw.token;
                next.remember(draw.position, draw.p);
                all.push((draw.p.ln(), true, draw.position));
            }
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
            for &(_, _, position) in all.iter().rev().take(masked_after(i).min(masked.len())) {
                next.tokens[position] = joint.mask();
                next.remember(position, 0.0);
            }
            (next, p)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    };
    evolve(joint, steps, &step)
}

/// One token a step.
fn rcr_law(joint: &TabularJoint) -> Law {
    let n = joint.length();
    keep_best_law(joint, n, |i| n - i - 1, |state, position| state.recall(position).ln())
}

fn p2_law(joint: &TabularJoint, steps: usize, eta: f64) -> Law {
    let n = joint.length();
    let score = |state: &State, position: usize| match eta {
        0.0 => 0.0,
        eta => eta * shadow(joint, &state.tokens, position).ln(),
    };
    keep_best_law(joint, steps, |i| n * (steps - i - 1) / steps, score)
}

proptest! {
    #![proptest_config(common::cases(16))]

    #[test]
    fn rcr_is_as_defined(symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, strategy::rcr(Score::Filtered)), &joint);
        prop_assert!(law.total_variation(&rcr_law(&joint)) < ZERO);
    }

    #[test]
    fn p2_is_as_defined(
        steps in 1usize..=4, eta in prop_oneof![Just(0.0), 0.2f64..4.0], alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let law = law_in(&joint, steps, PathPlanning::new(eta).unwrap());
        prop_assert!(law.total_variation(&p2_law(&joint, steps, eta)) < ZERO);
    }

    #[test]
    fn p2_that_never_revokes_is_confidence(seed: u64) {
        let joint = TabularJoint::random(4, 2, 0.5, seed).unwrap();
        for steps in [1, 2, 4] {
            let p2 = law_in(&joint, steps, PathPlanning::new(0.0).unwrap());
            let confidence = law_in(&joint, steps, Confidence::new(Score::Filtered));
            prop_assert!(p2.total_variation(&confidence) < ZERO, "{} steps", steps);
        }
    }

    #[test]
    fn all_at_once_is_the_product_of_marginals(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let product = joint.product_of_marginals();
        for strategy in [
            strategy::rcr(Score::Filtered),
            PathPlanning::default().into(),
            ReMdm::default().into(),
            strategy::wino(0.0, 1.0).unwrap(),
            strategy::edit_threshold(0.0, Edit::new(0.0).unwrap().post_steps(0)).unwrap(),
        ] {
            prop_assert!(law_in(&joint, 1, strategy).total_variation(&product) < ZERO);
        }
    }
}

#[test]
fn what_never_revokes_is_told_apart() {
    let joint = TabularJoint::random(3, 3, 0.3, 11).unwrap();
    let confidence = law_in(&joint, 3, Confidence::new(Score::Filtered));
    for (name, right) in [("RCR", rcr_law(&joint)), ("P2", p2_law(&joint, 3, 1.0))] {
        let distance = confidence.total_variation(&right);
        assert!(distance > 0.01, "{name}: {distance}");
    }
    let weaker = law_in(&joint, 3, PathPlanning::new(0.3).unwrap());
    assert!(weaker.total_variation(&p2_law(&joint, 3, 1.0)) > 0.01);
}

// ---- LLaDA2.1 ----

/// From its definition: `recall(0)` steps began with nothing masked, and `recall(1)` says it is done.
fn edit_law(joint: &TabularJoint, reveal: f64, edit: f64, post_steps: usize) -> Law {
    let step = |_: usize, state: &State| {
        let (masked, _) = split(joint, &state.tokens);
        let is_full = masked.is_empty();
        if is_full && (state.recall(1) > 0.0 || state.recall(0) as usize == post_steps) {
            return vec![(state.clone(), 1.0)];
        }
        let everywhere: Vec<usize> = (0..joint.length()).collect();
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let (new, old): (Vec<Draw>, Vec<Draw>) =
                drawn.iter().partition(|draw| masked.contains(&draw.position));
            let edits = old.into_iter().filter(|draw| draw.p > edit);
            for draw in bold(&new, reveal).into_iter().chain(edits) {
                next.tokens[draw.position] = draw.token;
            }
            if is_full {
                next.remember(0, state.recall(0) + 1.0);
                next.remember(1, f64::from(next.tokens == state.tokens));
            }
            (next, p)
        };
        draws(joint, &state.tokens, &everywhere).into_iter().map(after).collect()
    };
    evolve(joint, joint.length() + post_steps, &step)
}

proptest! {
    #![proptest_config(common::cases(24))]

    #[test]
    fn edits_are_as_defined(
        reveal in 0.0f64..=1.0, edit in 0.0f64..1.0, alpha in 0.2f64..2.0, seed: u64,
    ) {
        for (length, post_steps) in [(3, 0), (3, 1), (2, 3)] {
            let joint = TabularJoint::random(length, 2, alpha, seed).unwrap();
            let strategy = strategy::edit_threshold(reveal, Edit::new(edit).unwrap().post_steps(post_steps)).unwrap();
            let law = law(&generator(&joint, 1, strategy), &joint);
            prop_assert!(law.total_variation(&edit_law(&joint, reveal, edit, post_steps)) < ZERO);
        }
    }
}

#[test]
fn a_sampler_that_edits_nothing_is_told_apart() {
    let joint = TabularJoint::random(3, 3, 0.3, 2).unwrap();
    let blind = law(
        &generator(&joint, 1, strategy::edit_threshold(0.3, Edit::new(1.0).unwrap()).unwrap()),
        &joint,
    );
    let distance = blind.total_variation(&edit_law(&joint, 0.3, 0.2, 0));
    assert!(distance > 0.01, "{distance}");
    let bits = TabularJoint::random(2, 2, 0.3, 2).unwrap();
    let distance = edit_law(&bits, 0.3, 0.2, 0).total_variation(&edit_law(&bits, 0.3, 0.2, 1));
    assert!(distance > 0.01, "steps after: {distance}");
}

// ---- Every strategy on rows as bad as they come ----

/// Few distinct logits, so that many are tied, and many −∞; token 0 is banned where there is another.
struct Patchy {
    vocabulary: Vocabulary,
    seed: u64,
    /// A position with nothing to draw.
    empty: Option<usize>,
}

impl Patchy {
    fn new(symbols: usize, seed: u64, empty: Option<usize>) -> Self {
        let vocabulary = Vocabulary::new(symbols + 1, symbols as TokenId).unwrap();
        Self { vocabulary, seed, empty }
    }

    fn banned(&self) -> Vec<TokenId> {
        let mask = self.vocabulary.mask();
        if mask > 1 { vec![mask, 0] } else { vec![mask] }
    }

    fn row(&self, tokens: &[TokenId], position: usize) -> Vec<f32> {
        let mut hash = DefaultHasher::new();
        (self.seed, tokens, position).hash(&mut hash);
        let bits = hash.finish();
        let size = self.vocabulary.size();
        let logit = |token: usize| match bits >> (4 * token) & 7 {
            0..=2 => f32::NEG_INFINITY,
            3 | 4 => 1.0,
            5 => -3.0,
            _ => 2.0,
        };
        let mut row: Vec<f32> = (0..size).map(logit).collect();
        // The last symbol is never banned.
        row[size - 2] = row[size - 2].max(-3.0);
        row[size - 1] = 9.0;
        if self.empty == Some(position) {
            row[..size - 1].fill(f32::NEG_INFINITY);
        }
        row
    }
}

impl Denoiser for Patchy {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let (batch, rows) = (request.canvases(), request.rows);
        let logits: Vec<f32> =
            rows.iter().flat_map(|id| self.row(batch[id.sequence].tokens(), id.position)).collect();
        let shape = (rows.len(), self.vocabulary.size());
        let logits = ndarray::Array2::from_shape_vec(shape, logits).map_err(Error::model)?;
        Ok(Answer::new(DenseRows::from_logits(logits), ModelState::new(())))
    }
}

/// How many steps a strategy may take.
#[derive(Clone, Copy)]
enum Steps {
    /// Those of the schedule.
    Schedule,
    /// One a position, or those of the schedule, and so many more a block.
    Positions(usize),
}

/// Every strategy and its steps.
fn everyone(a: f64, b: f64) -> Vec<(Revocable, Steps)> {
    let edit =
        |steps| strategy::edit_threshold(a, Edit::new(b).unwrap().post_steps(steps)).unwrap();
    vec![
        (strategy::wino(a, b).unwrap(), Steps::Positions(0)),
        (strategy::rcr(Score::Raw), Steps::Positions(0)),
        (strategy::rcr(Score::Filtered), Steps::Positions(0)),
        (edit(16), Steps::Positions(16)),
        (edit(0), Steps::Positions(0)),
        (PathPlanning::new(4.0 * b).unwrap().into(), Steps::Schedule),
        (ReMdm::cap(a).unwrap().into(), Steps::Schedule),
        (ReMdm::rescale(b).unwrap().into(), Steps::Schedule),
        (ReMdm::looping(b, 0.7, 0.3, 0.5).unwrap().into(), Steps::Schedule),
        (ReMdm::conf().into(), Steps::Schedule),
    ]
}

proptest! {
    #![proptest_config(common::cases(128))]

    #[test]
    fn nobody_runs_on_or_touches_the_prompt_or_draws_what_is_banned(
        symbols in 1usize..=4, holes in prop::collection::vec(any::<bool>(), 1..9),
        a in 0.0f64..=1.0, b in 0.0f64..=1.0, per_block in 1usize..6, cut in any::<bool>(), seed: u64,
    ) {
        let last = symbols as TokenId - 1;
        let mask = symbols as TokenId;
        let mut tokens: Vec<TokenId> = holes.iter().map(|&h| if h { mask } else { last }).collect();
        tokens[0] = mask;
        let canvas = Canvas::infill(tokens.clone(), mask).unwrap();
        let span = canvas.free_span().len();
        let blocks = if cut { span } else { 1 };
        let free = tokens.iter().filter(|&&token| token == mask).count();
        for (strategy, steps) in everyone(a, b) {
            let patchy = Patchy::new(symbols, seed, None);
            let banned = patchy.banned();
            let generator = Generator::new(patchy).ban(banned.clone()).unmasker(strategy);
            let even = LladaEven::new(per_block * blocks).unwrap();
            let generator = common::scheduled(&generator, even)
                .block_length(span / blocks).unwrap()
                .seed(seed);
            let output = generator.run(vec![canvas.clone()], &mut ()).unwrap().remove(0);
            let most = match steps {
                Steps::Schedule => per_block * blocks,
                Steps::Positions(more) => free.max(per_block * blocks) + more * blocks,
            };
            prop_assert!(output.steps <= most, "{} steps", output.steps);
            for (position, &token) in output.tokens.iter().enumerate() {
                if canvas.is_given(position) {
                    prop_assert_eq!(token, tokens[position]);
                } else {
                    prop_assert!(!banned.contains(&token));
                }
            }
        }
    }

    #[test]
    fn a_position_with_nothing_to_draw_is_named(
        symbols in 1usize..=4, length in 1usize..7, place: prop::sample::Index, seed: u64,
    ) {
        let position = place.index(length);
        for (strategy, _) in everyone(0.6, 0.5) {
            let patchy = Patchy::new(symbols, seed, Some(position));
            let banned = patchy.banned();
            let generator = Generator::new(patchy).ban(banned).unmasker(strategy);
            let generator = common::scheduled(&generator, LladaEven::new(3).unwrap()).seed(seed);
            let outcome = generator.run(blank(length, symbols as TokenId), &mut ());
            let named = matches!(
                outcome, Err(Error::EmptyRow { sequence: 0, position: p }) if p == position
            );
            prop_assert!(named, "{:?}", outcome);
        }
    }
}

/// Deterministic where nothing is random: with argmax draws and certain rows nobody revokes.
#[test]
fn agreement_needs_no_revision() {
    let certain = TabularJoint::new(3, 2, &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
    for (strategy, _) in everyone(0.6, 0.9) {
        let law = law_in(&certain, 3, strategy);
        assert_eq!(law.iter().map(|(x, _)| x.to_vec()).collect::<Vec<_>>(), [[1, 0, 1]]);
    }
    let k = TokensPerStep::new(3).unwrap();
    let marginal = Generator::new(oracle(&certain)).unmasker(Marginal::default()).schedule(k);
    assert_eq!(law(&marginal, &certain).len(), 1);
}
