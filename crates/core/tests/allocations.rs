//! After its first step a run allocates nothing: neither the generator, nor the strategies, filters, orders and draws
//! below. An allocator counts, over a model that prepares all its answers.
#![allow(unsafe_code)] // an allocator needs it

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

// SAFETY: every call is forwarded to the system's allocator unchanged. Counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's guarantees are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's guarantees are the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's guarantees are the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More than one block of the row kernels, with an incomplete last block.
const VOCABULARY: usize = 1500;
const MASK: u32 = 1499;
const LENGTH: usize = 12;
const SEQUENCES: usize = 3;

/// Prepared answers, one for every number of rows.
#[derive(Clone)]
struct PreparedAnswers(Arc<Mutex<Vec<Option<DenseRows>>>>, Vocabulary);

impl PreparedAnswers {
    fn new() -> Self {
        let logit = |(row, token)| ((row * 31 + token * 17) as f32).sin() * 3.0;
        let answer =
            |rows| Some(DenseRows::from_logits(Array2::from_shape_fn((rows, VOCABULARY), logit)));
        let answers = (0..=SEQUENCES * LENGTH).map(answer).collect();
        Self(Arc::new(Mutex::new(answers)), Vocabulary::new(VOCABULARY, MASK).unwrap())
    }

    /// Each answer is used once, because every reveal reduces the number of rows.
    fn answer(&self, rows: usize) -> Result<DenseRows, Error> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers[rows].take().ok_or_else(|| Error::model("this answer was used before"))
    }
}

impl Denoiser for PreparedAnswers {
    fn vocabulary(&self) -> &Vocabulary {
        &self.1
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let rows = request.rows;
        // A state of size 0 needs no allocation.
        Ok(Answer::new(self.answer(rows.len())?, State::new(())))
    }
}

impl SamplerLayer for PreparedAnswers {
    fn pass(&self, _: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        let rows = request.rows;
        Ok(self.answer(rows.len())?.into())
    }
}

/// The total of allocations at the end of each step of the first sequence.
struct Steps(Vec<usize>);

impl Observer for Steps {
    fn on_step(&mut self, sequence: usize, _: usize, _: &Canvas) {
        if sequence == 0 {
            self.0.push(ALLOCATIONS.get());
        }
    }
}

/// The number of allocations of each step after the first.
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
    Generator::new(PreparedAnswers::new())
}

#[test]
fn a_step_after_the_first_allocates_nothing() {
    assert_none("one at a time", LENGTH, generator());
    let k = |k| TokensPerStep::new(k).unwrap();
    assert_none("marginal", 4, generator().unmasker(Marginal::default()).schedule(k(3)));
    let stock = PreparedAnswers::new();
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
    // Uniform rows: one token a step, by rules that read all rows.
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
    // More tokens than the vocabulary has blocks.
    assert_none("wide", LENGTH, generator().filter(TopK::new(900).unwrap()));
}

#[test]
fn an_allocation_is_counted() {
    /// Stores the tokens of every canvas.
    struct StoresTokens(Vec<Vec<u32>>, Steps);

    impl Observer for StoresTokens {
        fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
            self.0.push(canvas.tokens().to_vec());
            self.1.on_step(sequence, step, canvas);
        }
    }

    let mut observer = StoresTokens(Vec::with_capacity(LENGTH), Steps(Vec::with_capacity(LENGTH)));
    let canvas = Canvas::new(&[1, 2], LENGTH, MASK).unwrap();
    generator().run(vec![canvas], &mut observer).unwrap();
    assert!(observer.1.0.windows(2).all(|pair| pair[1] - pair[0] == 1));
}
