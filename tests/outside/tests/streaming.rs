//! Runs taken step by step: the events they report, and how to end them early.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use conjoint::prelude::*;
use conjoint_outside::{CachedModel, wino};

const SIZE: usize = 12;
const MASK: TokenId = SIZE as TokenId - 1;

fn model() -> Arc<CachedModel> {
    Arc::new(CachedModel::new(SIZE).unwrap())
}

fn canvas(length: usize) -> Canvas {
    Canvas::new(&[1, 2, 3], length, MASK).unwrap()
}

/// A model whose forwards take at least 2 ms.
struct Slow(Arc<CachedModel>);

impl Denoiser for Slow {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        thread::sleep(Duration::from_millis(2));
        self.0.forward(request)
    }
}

/// A run of 500 steps of at least 2 ms each.
fn slow_run() -> Run {
    Generator::new(Slow(model())).start(vec![canvas(500)]).unwrap()
}

fn masked_count(output: &Output) -> usize {
    output.tokens.iter().filter(|&&token| token == MASK).count()
}

/// Checks the output of a run that was ended early: it keeps the tokens revealed so far.
fn assert_ended_early(mut run: Run, reason: FinishReason) {
    let output = run.take(0).unwrap().unwrap();
    assert_eq!(output.finish, reason);
    assert!(output.finish.is_early());
    assert_eq!(masked_count(&output), 500 - output.steps);
    assert!((1..500).contains(&output.steps), "{output:?}");
    assert!(run.take(0).is_none());
}

#[test]
fn events_rebuild_the_sequences() {
    let generator = Generator::new(model()).unmasker(wino(0.2, 0.6)).seed(3);
    let canvases: Vec<Canvas> = [20, 8, 14].map(canvas).to_vec();
    let expected = generator.run(canvases.clone(), &mut ()).unwrap();
    let mut run = generator.batch_size(2).unwrap().start(canvases.clone()).unwrap();
    let mut rebuilt = canvases;
    let (mut begun, mut remasked, mut outputs) = (0, 0, [None, None, None]);
    while !run.is_done() {
        for event in run.step().unwrap().to_vec() {
            match event {
                Event::Begin { .. } => begun += 1,
                Event::Reveal(Reveal { sequence, position, token, .. }) => {
                    rebuilt[sequence].reveal(position, token).unwrap();
                }
                Event::Remask { sequence, position } => {
                    rebuilt[sequence].remask(position).unwrap();
                    remasked += 1;
                }
                Event::Finish { sequence } => {
                    outputs[sequence] = Some(run.take(sequence).unwrap().unwrap());
                }
                event => panic!("{event:?}"),
            }
        }
        for (sequence, rebuilt) in rebuilt.iter().enumerate() {
            let now = run.canvas(sequence).map_or(rebuilt.tokens(), Canvas::tokens);
            assert_eq!(now, rebuilt.tokens());
        }
    }
    assert_eq!(begun, 3);
    assert!(remasked > 0);
    for (output, rebuilt) in outputs.iter().flatten().zip(&rebuilt) {
        assert_eq!(output.tokens, rebuilt.tokens());
    }
    assert_eq!(outputs.map(Option::unwrap).to_vec(), expected);
}

#[test]
fn another_thread_cancels_a_run() {
    let token = CancelToken::new();
    let (sender, receiver) = mpsc::channel();
    let mut run = slow_run().cancelled_by(token.clone());
    let other = thread::spawn(move || {
        let first: Reveal = receiver.recv().unwrap();
        token.cancel();
        first
    });
    let mut revealed = Vec::new();
    while !run.is_done() {
        for event in run.step().unwrap() {
            if let Event::Reveal(reveal) = event {
                revealed.push(*reveal);
                let _ = sender.send(*reveal); // fails once the receiver has cancelled the run
            }
        }
    }
    assert_eq!(other.join().unwrap(), revealed[0]);
    assert_ended_early(run, FinishReason::Cancelled);
}

#[test]
fn a_deadline_ends_a_run() {
    let at = Instant::now() + Duration::from_millis(50);
    let mut run = slow_run().deadline(at);
    while !run.is_done() {
        run.step().unwrap();
    }
    assert!(Instant::now() >= at);
    assert_ended_early(run, FinishReason::Deadline);
}

#[test]
fn cancelling_one_sequence_leaves_the_others_unchanged() {
    let generator = Generator::new(model()).seed(8);
    let canvases: Vec<Canvas> = [9, 9, 9].map(canvas).to_vec();
    let expected = generator.run(canvases.clone(), &mut ()).unwrap();
    let mut run = generator.start(canvases).unwrap();
    for _ in 0..4 {
        run.step().unwrap();
    }
    run.cancel(1).unwrap();
    let cancelled = run.take(1).unwrap().unwrap();
    assert_eq!((cancelled.finish, masked_count(&cancelled)), (FinishReason::Cancelled, 9 - 4));
    let others = run.finish_all(&mut ()).unwrap();
    let others: Vec<Output> = others.into_iter().map(Result::unwrap).collect();
    assert_eq!(others, [expected[0].clone(), expected[2].clone()]);
}

#[test]
fn a_run_moves_to_another_thread() {
    let generator = Generator::new(model()).seed(8);
    let expected = generator.run(vec![canvas(9)], &mut ()).unwrap();
    let mut run = generator.start(vec![canvas(9)]).unwrap();
    let outputs = thread::spawn(move || run.finish_or_fail(&mut ()).unwrap()).join().unwrap();
    assert_eq!(outputs, expected);
}
