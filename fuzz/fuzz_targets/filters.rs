//! Any row of floats through any chain of filters: a filter never revives a token at −∞ or makes a NaN, and a
//! token can be drawn from every row that has statistics.
#![no_main]

use arbitrary::Arbitrary;
use conjoint_core::draw::{Argmax, Categorical};
use conjoint_core::filter::{Memory, Ban, Filter, FilterRow, MinP, Temperature, TopK, TopP};
use conjoint_core::{Canvas, Draw, RowStats, SeededStream};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step {
    Temperature(f64),
    TopK(usize),
    TopP(f64),
    MinP(f64),
    Ban(Vec<u32>),
}

impl Step {
    fn filter(self) -> Option<Box<dyn Filter>> {
        Some(match self {
            Self::Temperature(t) => Box::new(Temperature::new(t).ok()?),
            Self::TopK(k) => Box::new(TopK::new(k).ok()?),
            Self::TopP(p) => Box::new(TopP::new(p).ok()?),
            Self::MinP(m) => Box::new(MinP::new(m).ok()?),
            Self::Ban(tokens) => Box::new(Ban::new(tokens)),
        })
    }
}

fuzz_target!(|input: (Vec<f32>, Vec<Step>)| {
    let (mut logits, steps) = input;
    // The generator rejects these values before it filters.
    logits.retain(|logit| !logit.is_nan() && *logit != f32::INFINITY);
    let canvas = Canvas::unconditional(1, 0).unwrap();
    let (mut scratch, mut memory) = (Vec::new(), Memory::default());
    for filter in steps.into_iter().filter_map(Step::filter) {
        let before = logits.clone();
        filter.apply(&mut FilterRow::new(&mut logits, 0, &canvas, &mut scratch, &mut memory));
        for (after, before) in logits.iter().zip(&before) {
            assert!(!after.is_nan() && *after != f32::INFINITY);
            assert!(*before > f32::NEG_INFINITY || *after == f32::NEG_INFINITY);
        }
    }
    if let Some(stats) = RowStats::of(&logits) {
        assert!(stats.entropy >= 0.0 && stats.p1 > 0.0 && stats.p1 <= 1.0 && stats.p2 <= stats.p1);
        let mut stream = SeededStream::new(0, 0);
        for token in [Argmax.draw(&logits, &mut stream), Categorical.draw(&logits, &mut stream)] {
            assert!(logits[token] > f32::NEG_INFINITY);
        }
    } else {
        assert!(logits.iter().all(|&logit| logit == f32::NEG_INFINITY));
    }
});
