//! The laws of scheduling policies: with an exact sampler layer every one of them is exact, and with independent draws each
//! is what its definition says.

mod common;

use std::collections::BTreeMap;

use common::{ZERO, cases, law, oracle, together};
use conjoint_core::filter::CreditDecoding;
use conjoint_core::influence::GiniBound;
use conjoint_core::order::{Entropy, Random};
use conjoint_core::policy::{
    BlockStates, Demask, Dilated, DynPolicy, EarlyCommit, Hierarchical, Klass, LocalLeap, Origin,
    Ranked, Saber, SlowFast,
};
use conjoint_core::schedule::{EntropyBound, Factor, Linear, Threshold, TokensPerStep};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{AdaptiveJoint, Bound, ClippedJoint, LearnedJoint, Marginal};
use conjoint_core::{Generator, TokenId, reviser};
use conjoint_testkit::{ExactRefiner, Law, StaleRefiner, TabularJoint};
use proptest::prelude::*;

/// Every policy, with bounds that a joint of few symbols meets now and then.
fn policies() -> Vec<(&'static str, Box<dyn DynPolicy>)> {
    let two = || TokensPerStep::new(2).unwrap();
    let commit = EarlyCommit::new(Ranked::new(Entropy, two()), 1..3).unwrap();
    vec![
        ("per-step", Ranked::new(Entropy, TokensPerStep::new(3).unwrap()).boxed()),
        ("random", Ranked::new(Random, two()).boxed()),
        ("linear", Ranked::new(Entropy, Linear::new(2).unwrap()).boxed()),
        ("threshold", Ranked::new(Entropy, Threshold::new(0.6).unwrap()).boxed()),
        ("factor", Ranked::new(Entropy, Factor::default()).boxed()),
        ("entropy-bound", Ranked::new(Entropy, EntropyBound::new(0.6).unwrap()).boxed()),
        ("klass", Klass::new(0.6, 0.5, 1).unwrap().otherwise(two()).boxed()),
        ("slow-fast", SlowFast::new(1, 0.5, 0.6).unwrap().boxed()),
        ("dilated", Dilated::default().boxed()),
        ("demask", Demask::new(GiniBound, 0.6).unwrap().boxed()),
        ("origin", Origin::new(2).unwrap().boxed()),
        ("local-leap", LocalLeap::new(0.7, 0.55, 2).unwrap().boxed()),
        ("hierarchical", Hierarchical::new(0.7, 0.5).unwrap().boxed()),
        ("saber", Saber::default().boxed()),
        ("early-commit", commit.gaps([0.5; 3]).unwrap().boxed()),
        ("block-states", BlockStates::new(0.6, 0.9).unwrap().boxed()),
    ]
}

fn generator(joint: &TabularJoint, strategy: impl Into<Strategy>) -> Generator {
    Generator::new(oracle(joint)).unmasker(strategy)
}

/// *Where* sees rows alone: whatever the policy, an exact layer makes the joint exact.
#[test]
fn with_an_exact_layer_every_policy_is_exact() {
    for seed in 0..3 {
        let joint = TabularJoint::random(4, 2, 0.4, seed).unwrap();
        for (name, policy) in policies() {
            let adaptive = AdaptiveJoint::new(ExactRefiner, Bound::Confidence(0.7)).unwrap();
            let strategies: [(&str, Strategy); 4] = [
                ("joint", LearnedJoint::new(ExactRefiner).into()),
                ("window", LearnedJoint::new(ExactRefiner).window(1).unwrap().into()),
                ("adaptive", adaptive.into()),
                ("clipped", ClippedJoint::new(ExactRefiner).into()),
            ];
            for (kind, strategy) in strategies {
                let law = law(&generator(&joint, strategy.policy(policy.clone())), &joint);
                let distance = law.total_variation(&joint.given(&joint.masked()).unwrap());
                assert!(distance < ZERO, "{kind} + {name}, seed {seed}: {distance}");
            }
        }
    }
}

/// A layer that learnt nothing draws what the forward said: independent draws, for every policy that fixes its selection.
#[test]
fn with_a_stale_layer_a_fixed_selection_is_drawn_independently() {
    let joint = TabularJoint::random(4, 2, 0.4, 3).unwrap();
    let mut apart = 0;
    for (name, policy) in policies().into_iter().skip(6) {
        // Its first third ranks, and leaves the passes open.
        if name == "early-commit" {
            continue;
        }
        let marginal = law(&generator(&joint, together(policy.clone())), &joint);
        let stale = Strategy::new(LearnedJoint::new(StaleRefiner)).policy(policy);
        let stale = law(&generator(&joint, stale), &joint);
        assert!(stale.total_variation(&marginal) < ZERO, "{name}");
        let truth = joint.given(&joint.masked()).unwrap();
        apart += usize::from(marginal.total_variation(&truth) > 0.01);
    }
    assert!(apart >= 6, "{apart}: the joint hardly tells them from it");
}

/// With bounds that only certainty clears, each policy reveals one uncertain position a step: exact, with independent draws.
#[test]
fn with_tight_bounds_independent_draws_are_exact() {
    let joint = TabularJoint::random(4, 2, 0.5, 5).unwrap();
    let tight: Vec<(&str, Box<dyn DynPolicy>)> = vec![
        ("klass", Klass::new(1.0, 0.01, 1).unwrap().boxed()),
        ("slow-fast", SlowFast::new(3, 0.3, 1.0).unwrap().boxed()),
        ("demask", Demask::new(GiniBound, 0.0).unwrap().boxed()),
        ("local-leap", LocalLeap::new(1.0, 1.0, 4).unwrap().boxed()),
        ("hierarchical", Hierarchical::new(1.0, 1.0).unwrap().boxed()),
        ("block-states", BlockStates::new(0.0, 1.0).unwrap().boxed()),
    ];
    for (name, policy) in tight {
        let law = law(&generator(&joint, together(policy)), &joint);
        let distance = law.total_variation(&joint.given(&joint.masked()).unwrap());
        assert!(distance < ZERO, "{name}: {distance}");
    }
}

// ---- Each rule against its definition, with independent draws ----

/// A masked position and its row.
type Row = (usize, Vec<f64>);

/// What a step does: the positions it reveals, those it masks again, and the state it leaves.
type Step<S> = (Vec<usize>, Vec<usize>, S);

/// The law of drawing independently where `step` says, from its rows: those of the masked positions, and at the revealed
/// ones what the model would say without them.
fn defined<S: Clone>(
    joint: &TabularJoint,
    state: S,
    step: impl Fn(&[Row], &[Row], S) -> Step<S>,
) -> Law {
    let mut law = Law::default();
    let mut open = vec![(joint.masked(), 1.0, state)];
    while let Some((tokens, weight, state)) = open.pop() {
        let row = |&p: &usize| {
            let mut seen: Vec<TokenId> = tokens.clone();
            seen[p] = joint.mask();
            (p, joint.conditional(&seen, p).unwrap())
        };
        let of = |masked: bool| {
            let positions = (0..tokens.len()).filter(|&p| (tokens[p] == joint.mask()) == masked);
            positions.collect::<Vec<_>>().iter().map(row).collect::<Vec<Row>>()
        };
        let (masked, known) = (of(true), of(false));
        if masked.is_empty() {
            law.add(tokens, weight);
            continue;
        }
        let (reveal, remask, state) = step(&masked, &known, state);
        let mut cleared = tokens;
        remask.iter().for_each(|&p| cleared[p] = joint.mask());
        let mut drawn = vec![(cleared, weight)];
        for (position, row) in masked.iter().filter(|(p, _)| reveal.contains(p)) {
            let extend = |(tokens, weight): (Vec<TokenId>, f64)| {
                let each = (0..).zip(row).map(move |(token, &p)| {
                    let mut tokens = tokens.clone();
                    tokens[*position] = token;
                    (tokens, weight * p)
                });
                each.filter(|(_, weight)| *weight > 0.0).collect::<Vec<_>>()
            };
            drawn = drawn.into_iter().flat_map(extend).collect();
        }
        open.extend(drawn.into_iter().map(|(tokens, weight)| (tokens, weight, state.clone())));
    }
    law
}

fn peak(row: &[f64]) -> f64 {
    row.iter().copied().fold(0.0, f64::max)
}

fn entropy(row: &[f64]) -> f64 {
    row.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

/// The leftmost of those with the highest score.
fn best(rows: &[Row], score: impl Fn(&[f64]) -> f64) -> usize {
    let mut best = 0;
    for i in 1..rows.len() {
        if score(&rows[i].1) > score(&rows[best].1) + 1e-9 {
            best = i;
        }
    }
    rows[best].0
}

fn local_leap(joint: &TabularJoint, anchor: f64, near: f64, reach: [usize; 2]) -> Law {
    let step = |masked: &[Row], _: &[Row], (): ()| {
        let anchors: Vec<usize> =
            masked.iter().filter(|(_, row)| peak(row) >= anchor).map(|(p, _)| *p).collect();
        let best = best(masked, peak);
        let joins = |(p, row): &&Row| {
            let is_near = |&a: &usize| {
                if *p >= a { p - a <= reach[1] } else { a - p <= reach[0] }
            };
            *p == best || peak(row) >= near && anchors.iter().any(is_near)
        };
        (masked.iter().filter(joins).map(|(p, _)| *p).collect(), vec![], ())
    };
    defined(joint, (), step)
}

fn hierarchical(joint: &TabularJoint, tau: f64, low: f64, runs: bool) -> Law {
    let step = |masked: &[Row], _: &[Row], (): ()| {
        let mut revealed = vec![best(masked, peak)];
        revealed.extend(masked.iter().filter(|(_, row)| peak(row) > tau).map(|(p, _)| *p));
        for run in masked.chunk_by(|a, b| a.0 + 1 == b.0).filter(|_| runs) {
            let place = best(run, peak);
            let row = &run.iter().find(|(p, _)| *p == place).unwrap().1;
            revealed.extend((peak(row) > low).then_some(place));
        }
        (revealed, vec![], ())
    };
    defined(joint, (), step)
}

/// Saber's threshold, and its backtracking if `remasks`; the state is what was accepted, and the last peaks.
fn saber(joint: &TabularJoint, least: usize, remasks: bool, grows: bool) -> Law {
    type State = (BTreeMap<usize, f64>, Vec<f64>);
    let start: State = (BTreeMap::new(), vec![0.0; joint.length()]);
    let step = |masked: &[Row], known: &[Row], (mut accepted, mut last): State| {
        let mean = accepted.values().sum::<f64>() / accepted.len() as f64;
        let tau = if accepted.is_empty() || !grows { 1.0 } else { mean };
        let mut ranked: Vec<(f64, usize)> = masked.iter().map(|(p, row)| (peak(row), *p)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let sure = ranked.iter().filter(|(c, _)| *c > tau).count();
        ranked.truncate(sure.max(least));
        accepted.extend(ranked.iter().map(|&(c, p)| (p, c)));
        let selected: Vec<usize> = ranked.iter().map(|&(_, p)| p).collect();
        let mut rises: Vec<(f64, usize)> = Vec::new();
        for (p, row) in masked.iter().chain(known) {
            let rise = peak(row) - std::mem::replace(&mut last[*p], peak(row));
            let is_known = known.iter().any(|(other, _)| other == p);
            if is_known || selected.contains(p) {
                rises.push((rise, *p));
            }
        }
        rises.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let k = selected.len();
        rises.truncate(if remasks { (least / 2).max(k.div_ceil(8)).min(k - 1) } else { 0 });
        let back: Vec<usize> = rises.into_iter().map(|(_, p)| p).collect();
        let reveal = selected.into_iter().filter(|p| !back.contains(p)).collect();
        let back = back.into_iter().filter(|p| known.iter().any(|(q, _)| q == p)).collect();
        (reveal, back, (accepted, last))
    };
    defined(joint, start, step)
}

fn block_states(joint: &TabularJoint, theta: f64) -> Law {
    let step = |masked: &[Row], _: &[Row], (): ()| {
        let mut reveal = vec![best(masked, |row| -entropy(row))];
        reveal.extend(masked.iter().filter(|(_, row)| entropy(row) <= theta).map(|(p, _)| *p));
        (reveal, vec![], ())
    };
    defined(joint, (), step)
}

/// One position a step by entropy, until the gap of the answer's two largest logits reaches a bound.
fn early_commit(joint: &TabularJoint, window: [usize; 2], gaps: [f64; 3]) -> Law {
    let step = |masked: &[Row], known: &[Row], (): ()| {
        let way = known.len() as f64 / joint.length() as f64;
        let gap = |p: usize| {
            let mut row = masked.iter().chain(known).find(|(q, _)| *q == p).unwrap().1.clone();
            row.sort_by(|a, b| b.total_cmp(a));
            row[0].ln() - row[1].ln()
        };
        let mean = (window[0]..window[1]).map(gap).sum::<f64>() / (window[1] - window[0]) as f64;
        let third = usize::from(way >= 0.33) + usize::from(way >= 0.67);
        if mean >= gaps[third] {
            return (masked.iter().map(|(p, _)| *p).collect(), vec![], ());
        }
        (vec![best(masked, |row| -entropy(row))], vec![], ())
    };
    defined(joint, (), step)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn rules_are_as_defined(alpha in 0.3f64..2.0, a in 0.5f64..0.95, b in 0.4f64..0.95, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let (low, high) = (a.min(b), a.max(b));
        let near = |policy: Box<dyn DynPolicy>, expected: Law| {
            law(&generator(&joint, together(policy)), &joint).total_variation(&expected)
        };
        let leap = near(LocalLeap::new(high, low, 1).unwrap().boxed(), local_leap(&joint, high, low, [1, 1]));
        prop_assert!(leap < ZERO, "LocalLeap: {leap}");
        let runs = near(Hierarchical::new(high, low).unwrap().boxed(), hierarchical(&joint, high, low, true));
        prop_assert!(runs < ZERO, "hierarchical: {runs}");
        for least in [1, 2] {
            let grows = near(Saber::new(least).unwrap().boxed(), saber(&joint, least, false, true));
            prop_assert!(grows < ZERO, "Saber, at least {least}: {grows}");
        }
        let states = near(BlockStates::new(low, 0.9).unwrap().boxed(), block_states(&joint, low));
        prop_assert!(states < ZERO, "block states: {states}");
        let one = Ranked::new(Entropy, TokensPerStep::ONE);
        let gaps = [2.0 * high, high, low];
        let commit = EarlyCommit::new(one, 1..3).unwrap().gaps(gaps).unwrap().boxed();
        let commit = near(commit, early_commit(&joint, [1, 3], gaps));
        prop_assert!(commit < ZERO, "early commit: {commit}");
    }

    #[test]
    fn saber_backtracks_as_defined(alpha in 0.3f64..2.0, least in 1usize..=3, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let strategy = together(Saber::new(least).unwrap()).reviser(reviser::Saber::new(least));
        let law = law(&generator(&joint, strategy), &joint);
        let distance = law.total_variation(&saber(&joint, least, true, true));
        prop_assert!(distance < ZERO, "at least {least}: {distance}");
    }

    /// Two positions a step, and those masked again of which nothing is sure: at least one more than these is revealed.
    #[test]
    fn hierarchical_remasking_is_as_defined(alpha in 0.3f64..2.0, rho in 0.4f64..1.0, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let step = |masked: &[Row], known: &[Row], (): ()| {
            let mut ranked: Vec<(f64, usize)> =
                masked.iter().map(|(p, row)| (entropy(row), *p)).collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut doubted: Vec<(f64, usize)> =
                known.iter().map(|(p, row)| (peak(row), *p)).filter(|(c, _)| *c < rho).collect();
            doubted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            doubted.truncate(masked.len() - 1);
            let count = 1.max(doubted.len() + 1).min(masked.len());
            let reveal = ranked[..count].iter().map(|&(_, p)| p).collect();
            (reveal, doubted.into_iter().map(|(_, p)| p).collect(), ())
        };
        let expected = defined(&joint, (), step);
        let strategy = Strategy::new(Marginal::default())
            .reviser(reviser::Hierarchical::new(rho).unwrap());
        let distance = law(&generator(&joint, strategy), &joint).total_variation(&expected);
        prop_assert!(distance < ZERO, "{distance}");
    }

    /// Credits of CreditDecoding from their definition, one position a step.
    #[test]
    fn credits_are_as_defined(alpha in 0.3f64..2.0, weight in 0.0f64..2.0, beta in 0.0f64..=1.0, seed: u64) {
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let filter = CreditDecoding::new(weight, beta, 0.2).unwrap();
        let generator = Generator::new(oracle(&joint)).filter(filter);
        let distance = law(&generator, &joint).total_variation(&credited(&joint, weight, beta));
        prop_assert!(distance < ZERO, "{distance}");
    }
}

/// The law of one position a step, by entropy, from credited rows.
fn credited(joint: &TabularJoint, alpha: f64, beta: f64) -> Law {
    let mut law = Law::default();
    let start = (joint.masked(), 1.0, vec![[0.0; 2]; joint.length()]);
    let mut open = vec![start];
    while let Some((tokens, weight, mut credits)) = open.pop() {
        let masked: Vec<usize> = (0..tokens.len()).filter(|&p| tokens[p] == joint.mask()).collect();
        if masked.is_empty() {
            law.add(tokens, weight);
            continue;
        }
        let mut rows = Vec::new();
        for &p in &masked {
            let row = joint.conditional(&tokens, p).unwrap();
            let top = if row[1] > row[0] + 1e-9 { 1 } else { 0 };
            credits[p].iter_mut().for_each(|credit| *credit *= beta);
            credits[p][top] += row[top].powf(0.2);
            let boost = |v: usize| row[v] * (1.0 + credits[p][v]).powf(alpha);
            let z = boost(0) + boost(1);
            rows.push((p, vec![boost(0) / z, boost(1) / z]));
        }
        let place = best(&rows, |row| -entropy(row));
        let row = rows.iter().find(|(p, _)| *p == place).unwrap().1.clone();
        for (token, p) in (0..).zip(row).filter(|(_, p)| *p > 0.0) {
            let mut tokens = tokens.clone();
            tokens[place] = token;
            open.push((tokens, weight * p, credits.clone()));
        }
    }
    law
}

/// Rules that are nearly right are told apart, on one of several joints at least.
#[test]
fn nearly_right_rules_are_caught() {
    let mut furthest: BTreeMap<&str, f64> = BTreeMap::new();
    for seed in 0..12 {
        let joint = TabularJoint::random(4, 2, 0.6, seed).unwrap();
        let of = |strategy: Strategy| law(&generator(&joint, strategy), &joint);
        let (anchor, near) = (0.75, 0.55);
        let leap = of(together(LocalLeap::new(anchor, near, 1).unwrap()));
        let runs = of(together(Hierarchical::new(0.9, 0.5).unwrap()));
        let grows = of(together(Saber::new(1).unwrap()));
        let back = of(together(Saber::new(2).unwrap()).reviser(reviser::Saber::new(2)));
        let credit = CreditDecoding::new(1.0, 0.5, 0.2).unwrap();
        let credit = law(&Generator::new(oracle(&joint)).filter(credit), &joint);
        for (twin, law, expected) in [
            ("leaps to the right", &leap, local_leap(&joint, anchor, near, [0, 1])),
            ("leaps to the left", &leap, local_leap(&joint, anchor, near, [1, 0])),
            ("leaps nowhere", &leap, local_leap(&joint, anchor, anchor, [1, 1])),
            ("knows no runs", &runs, hierarchical(&joint, 0.9, 0.5, false)),
            ("a fixed threshold", &grows, saber(&joint, 1, false, false)),
            ("no backtracking", &back, saber(&joint, 2, false, true)),
            ("credit without decay", &credit, credited(&joint, 1.0, 1.0)),
            ("credit without memory", &credit, credited(&joint, 1.0, 0.0)),
            ("no credit", &credit, credited(&joint, 0.0, 0.5)),
        ] {
            let distance = furthest.entry(twin).or_default();
            *distance = distance.max(law.total_variation(&expected));
        }
    }
    for (twin, distance) in furthest {
        assert!(distance > 0.003, "{twin}: {distance} at most");
    }
}
