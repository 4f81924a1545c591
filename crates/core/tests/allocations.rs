//! Once warm, the loop allocates nothing: neither the generator, nor the strategies, filters, orders and
//! draws below. Counted with an allocator that counts, over a model that made all its answers beforehand.
#![allow(unsafe_code)] // an allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::{Filter, MinP, Penalty, RepetitionPenalty, Temperature, TopK, TopP};
use conjoint_core::order::{LeftToRight, Margin, MaxProb, Random, Raw};
use conjoint_core::schedule::{EntropyBound, Factor, Threshold, TokensPerStep};
use conjoint_core::top_k_rows::Rows;
use conjoint_core::unmasker::{Confidence, ExactSequential, LearnedJoint, Marginal, Score};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, Observer, SamplerLayer, State, Vocabulary,
};
use ndarray::Array2;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // Fails only while the thread ends.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longer than a piece of the sweep, with an end that fills no block.
const VOCABULARY: usize = 1500;
const MASK: u32 = 1499;
const LENGTH: usize = 12;
const SEQUENCES: usize = 3;

/// Answers made beforehand, one for every number of rows that may be asked for.
#[derive(Clone)]
struct Stock(Arc<Mutex<Vec<Option<DenseRows>>>>, Vocabulary);

impl Stock {
    fn new() -> Self {
        let logit = |(row, token)| ((row * 31 + token * 17) as f32).sin() * 3.0;
        let answer =
            |rows| Some(DenseRows::from_logits(Array2::from_shape_fn((rows, VOCABULARY), logit)));
        let answers = (0..=SEQUENCES * LENGTH).map(answer).collect();
        Self(Arc::new(Mutex::new(answers)), Vocabulary::new(VOCABULARY, MASK).unwrap())
    }

    /// Each may be asked for once: with every reveal there are fewer rows.
    fn answer(&self, rows: usize) -> Result<DenseRows, Error> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers[rows].take().ok_or_else(|| Error::model("this answer has been given before"))
    }
}

impl Denoiser for Stock {
    fn vocabulary(&self) -> &Vocabulary {
        &self.1
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let rows = request.rows;
        // Nothing is allocated for a state without a size.
        Ok(Answer::new(self.answer(rows.len())?, State::new(())))
    }
}

impl SamplerLayer for Stock {
    fn pass(&self, _: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        let rows = request.rows;
        Ok(self.answer(rows.len())?.into())
    }
}

/// The allocations made by the end of each step of the first sequence.
struct Steps(Vec<usize>);

impl Observer for Steps {
    fn on_step(&mut self, sequence: usize, _: usize, _: &Canvas) {
        if sequence == 0 {
            self.0.push(ALLOCATIONS.get());
        }
    }
}

/// How many allocations each step after the first made.
fn allocations(generator: &Generator) -> Vec<usize> {
    let mut steps = Steps(Vec::with_capacity(LENGTH));
    let canvas = || Canvas::new(&[1, 2], LENGTH, MASK).unwrap();
    let canvases = (0..SEQUENCES).map(|_| canvas()).collect();
    generator.run(canvases, &mut steps).unwrap();
    steps.0.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn assert_none(name: &str, steps: usize, generator: Generator) {
    assert_eq!(allocations(&generator), vec![0; steps - 1], "{name}");
}

fn generator() -> Generator {
    Generator::new(Stock::new())
}

#[test]
fn a_warm_step_allocates_nothing() {
    assert_none("one at a time", LENGTH, generator());
    let k = |k| TokensPerStep::new(k).unwrap();
    assert_none("marginal", 4, generator().unmasker(Marginal::default()).schedule(k(3)));
    let stock = Stock::new();
    let joint = LearnedJoint::new(stock.clone());
    assert_none("joint", 4, Generator::new(stock).unmasker(joint).schedule(k(3)));
    for score in [Score::Raw, Score::Filtered] {
        let confidence = Confidence::new(score);
        assert_none("confidence", 6, generator().unmasker(confidence).schedule(k(2)));
    }
}

#[test]
fn orders_schedules_and_draws_allocate_nothing() {
    assert_none("random", LENGTH, generator().unmasker(ExactSequential::new(Random)));
    assert_none("left", LENGTH, generator().unmasker(ExactSequential::new(LeftToRight)));
    assert_none("raw", LENGTH, generator().unmasker(ExactSequential::new(Raw(MaxProb))));
    assert_none("margin", LENGTH, generator().unmasker(ExactSequential::new(Margin)));
    assert_none("argmax", LENGTH, generator().draw(Argmax));
    // Flat rows: one token a step, by rules that look at all of them.
    let sure = Threshold::new(0.9).unwrap();
    assert_none("threshold", LENGTH, generator().unmasker(Marginal::default()).schedule(sure));
    let factor = Factor::new(0.1).unwrap();
    assert_none("factor", LENGTH, generator().unmasker(Marginal::default()).schedule(factor));
    let bound = EntropyBound::new(0.0).unwrap();
    assert_none("bound", LENGTH, generator().unmasker(Marginal::default()).schedule(bound));
}

#[test]
fn filters_allocate_nothing() {
    let filter = Temperature::new(0.7)
        .unwrap()
        .then(RepetitionPenalty::new(1.2).unwrap())
        .then(Penalty::new([3, 4], 1.0).unwrap())
        .then(TopK::new(20).unwrap())
        .then(TopP::new(0.9).unwrap())
        .then(MinP::new(0.01).unwrap());
    assert_none("filters", LENGTH, generator().filter(filter));
    // More tokens than blocks of the vocabulary.
    assert_none("wide", LENGTH, generator().filter(TopK::new(900).unwrap()));
}

#[test]
fn an_allocation_would_be_counted() {
    /// Keeps every canvas it sees.
    struct Hoarder(Vec<Vec<u32>>, Steps);

    impl Observer for Hoarder {
        fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
            self.0.push(canvas.tokens().to_vec());
            self.1.on_step(sequence, step, canvas);
        }
    }

    let mut hoarder = Hoarder(Vec::with_capacity(LENGTH), Steps(Vec::with_capacity(LENGTH)));
    let canvas = Canvas::new(&[1, 2], LENGTH, MASK).unwrap();
    generator().run(vec![canvas], &mut hoarder).unwrap();
    assert!(hoarder.1.0.windows(2).all(|pair| pair[1] - pair[0] == 1));
}
