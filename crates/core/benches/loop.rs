//! Times the loop without a model: schedules, and the generator over precomputed rows.
//!
//! `cargo bench -p conjoint-core --bench loop`.

use std::sync::{Arc, Mutex, PoisonError};

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::filter::{Filter, Identity, Temperature, TopP};
use conjoint_core::schedule::{
    Cosine, DreamLinear, EntropyBound, Factor, Linear, LladaEven, Progress, Threshold,
    TokensPerStep,
};
use conjoint_core::top_k_rows::Rows;
use conjoint_core::unmasker::{LearnedJoint, Marginal};
use conjoint_core::{
    Denoiser, DenseRows, Error, Generator, SamplerLayer, Schedule, SeededStream, State, Stream,
    Vocabulary,
};
use divan::Bencher;
use ndarray::Array2;

/// Tokens generated in one run.
const LENGTH: usize = 16;
const VOCABULARIES: [usize; 2] = [32_768, 151_936];

fn main() {
    divan::main();
}

/// A model without computation: one precomputed answer for every number of rows, each used once.
#[derive(Clone)]
struct Stock {
    answers: Arc<Mutex<Vec<Option<DenseRows>>>>,
    vocabulary: Vocabulary,
}

impl Stock {
    fn new(size: usize) -> Self {
        let mut stream = SeededStream::new(0, 0);
        let mut logit = |_| stream.below(1 << 20) as f32 * (20.0 / (1 << 20) as f32);
        let row = Array2::from_shape_simple_fn((1, size), || logit(()));
        let answer = |rows| {
            let all = row.broadcast((rows, size)).expect("one row to many").to_owned();
            Some(DenseRows::from_logits(all))
        };
        let answers = Arc::new(Mutex::new((0..=LENGTH).map(answer).collect()));
        let vocabulary = Vocabulary::new(size, size as u32 - 1).expect("the last id is the mask");
        Self { answers, vocabulary }
    }

    /// A copy with all answers.
    fn restocked(&self) -> Self {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { answers: Arc::new(Mutex::new(answers)), vocabulary: self.vocabulary.clone() }
    }

    fn answer(&self, rows: usize) -> Result<DenseRows, Error> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers[rows].take().ok_or_else(|| Error::model("this answer was used already"))
    }
}

impl Denoiser for Stock {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let rows = request.rows;
        Ok(Answer::new(self.answer(rows.len())?, State::new(())))
    }
}

impl SamplerLayer for Stock {
    fn pass(&self, _: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        let rows = request.rows;
        Ok(self.answer(rows.len())?.into())
    }
}

/// Times the generation of [`LENGTH`] tokens.
fn generate(bencher: Bencher, vocabulary: usize, settings: impl Fn(Stock) -> Generator) {
    let stock = Stock::new(vocabulary);
    bencher
        .with_inputs(|| settings(stock.restocked()))
        .bench_local_refs(|generator| generator.generate(&[1], LENGTH).map(|output| output.steps));
}

fn k(tokens: usize) -> TokensPerStep {
    TokensPerStep::new(tokens).expect("a valid K")
}

#[divan::bench(args = VOCABULARIES, sample_count = 20)]
fn one_token_a_step(bencher: Bencher, vocabulary: usize) {
    generate(bencher, vocabulary, Generator::new);
}

#[divan::bench(args = VOCABULARIES, sample_count = 20)]
fn marginal_4(bencher: Bencher, vocabulary: usize) {
    let marginal = |stock| Generator::new(stock).unmasker(Marginal::default()).schedule(k(4));
    generate(bencher, vocabulary, marginal);
}

#[divan::bench(args = VOCABULARIES, sample_count = 20)]
fn learned_joint_4(bencher: Bencher, vocabulary: usize) {
    generate(bencher, vocabulary, |stock| {
        let joint = LearnedJoint::new(stock.clone());
        Generator::new(stock).unmasker(joint).schedule(k(4))
    });
}

#[divan::bench(args = VOCABULARIES, sample_count = 20)]
fn one_token_a_step_top_p(bencher: Bencher, vocabulary: usize) {
    let (t, p) = (Temperature::new(0.7).expect("valid"), TopP::new(0.9).expect("valid"));
    generate(bencher, vocabulary, |stock| Generator::new(stock).filter(t.then(p)));
}

/// Rows of 64 tokens, so that the loop dominates the time.
#[divan::bench]
fn the_loop_alone(bencher: Bencher) {
    generate(bencher, 64, |stock| Generator::new(stock).filter(Identity));
}

/// Schedules that read rows, on flat rows: one token a step.
#[divan::bench(args = ["threshold", "factor", "entropy bound"])]
fn adaptive_schedule(bencher: Bencher, name: &str) {
    let schedule: Arc<dyn Schedule> = match name {
        "threshold" => Arc::new(Threshold::default()),
        "factor" => Arc::new(Factor::new(0.1).expect("a valid factor")),
        _ => Arc::new(EntropyBound::new(0.0).expect("a valid bound")),
    };
    let settings =
        |stock| Generator::new(stock).unmasker(Marginal::default()).schedule(schedule.clone());
    generate(bencher, 64, settings);
}

/// The plans of a run of 512 tokens in 128 steps.
#[divan::bench(args = ["tokens per step", "linear", "cosine", "LLaDA", "Dream"])]
fn plans(bencher: Bencher, name: &str) {
    let schedule: Box<dyn Schedule> = match name {
        "tokens per step" => Box::new(k(4)),
        "linear" => Box::new(Linear::new(128).expect("valid")),
        "cosine" => Box::new(Cosine::new(128).expect("valid")),
        "LLaDA" => Box::new(LladaEven::new(128).expect("valid")),
        _ => Box::new(DreamLinear::new(128).expect("valid")),
    };
    bencher.bench_local(|| {
        let steps = schedule.steps().unwrap_or(0);
        let mut progress = Progress { step: 0, steps, masked: 512, block_masked: 512 };
        while progress.masked > 0 {
            progress.masked -= schedule.plan(&progress).min(progress.masked);
            progress.step += 1;
        }
        progress.step
    });
}
