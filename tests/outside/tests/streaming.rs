//! A run that is taken step by step: what it reports, and how it is ended from outside.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use conjoint::prelude::*;
use conjoint_outside::{Remembering, wino};

const SIZE: usize = 12;
const MASK: TokenId = SIZE as TokenId - 1;

fn model() -> Arc<Remembering> {
    Arc::new(Remembering::new(SIZE).unwrap())
}

fn canvas(length: usize) -> Canvas {
    Canvas::new(&[1, 2, 3], length, MASK).unwrap()
}

/// A model that takes its time.
struct Slow(Arc<Remembering>);

impl Denoiser for Slow {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        thread::sleep(Duration::from_millis(2));
        self.0.forward(request)
    }
}

/// A run of 500 steps of 2 ms at least.
fn slow() -> Run {
    Generator::new(Slow(model())).start(vec![canvas(500)]).unwrap()
}

fn masked(output: &Output) -> usize {
    output.tokens.iter().filter(|&&token| token == MASK).count()
}

/// The outcome of a run that was ended early: it keeps what it has revealed.
fn early(mut run: Run, reason: FinishReason) {
    let output = run.take(0).unwrap().unwrap();
    assert_eq!(output.finish, reason);
    assert!(output.finish.is_early());
    assert_eq!(masked(&output), 500 - output.steps);
    assert!((1..500).contains(&output.steps), "{output:?}");
    assert!(run.take(0).is_none());
}

/// Whoever follows the events knows the sequences without looking at them.
#[test]
fn events_tell_all() {
    let generator = Generator::new(model()).unmasker(wino(0.2, 0.6)).seed(3);
    let canvases: Vec<Canvas> = [20, 8, 14].map(canvas).to_vec();
    let expected = generator.run(canvases.clone(), &mut ()).unwrap();
    let mut run = generator.batch_size(2).unwrap().start(canvases.clone()).unwrap();
    let mut followed = canvases;
    let (mut begun, mut taken_back, mut outputs) = (0, 0, [None, None, None]);
    while !run.is_done() {
        for event in run.step().unwrap().to_vec() {
            match event {
                Event::Begin { .. } => begun += 1,
                Event::Reveal(Reveal { sequence, position, token, .. }) => {
                    followed[sequence].reveal(position, token).unwrap();
                }
                Event::Remask { sequence, position } => {
                    followed[sequence].remask(position).unwrap();
                    taken_back += 1;
                }
                Event::Finish { sequence } => {
                    outputs[sequence] = Some(run.take(sequence).unwrap().unwrap());
                }
                event => panic!("{event:?}"),
            }
        }
        for (sequence, followed) in followed.iter().enumerate() {
            let now = run.canvas(sequence).map_or(followed.tokens(), Canvas::tokens);
            assert_eq!(now, followed.tokens());
        }
    }
    assert_eq!(begun, 3);
    assert!(taken_back > 0);
    for (output, followed) in outputs.iter().flatten().zip(&followed) {
        assert_eq!(output.tokens, followed.tokens());
    }
    assert_eq!(outputs.map(Option::unwrap).to_vec(), expected);
}

#[test]
fn a_token_of_another_thread_cancels_a_run() {
    let token = CancelToken::new();
    let (tell, told) = mpsc::channel();
    let mut run = slow().cancelled_by(token.clone());
    let other = thread::spawn(move || {
        let first: Reveal = told.recv().unwrap();
        token.cancel();
        first
    });
    let mut revealed = Vec::new();
    while !run.is_done() {
        for event in run.step().unwrap() {
            if let Event::Reveal(reveal) = event {
                revealed.push(*reveal);
                let _ = tell.send(*reveal); // nobody listens any more once it is cancelled
            }
        }
    }
    assert_eq!(other.join().unwrap(), revealed[0]);
    early(run, FinishReason::Cancelled);
}

#[test]
fn a_deadline_ends_a_run() {
    let at = Instant::now() + Duration::from_millis(50);
    let mut run = slow().deadline(at);
    while !run.is_done() {
        run.step().unwrap();
    }
    assert!(Instant::now() >= at);
    early(run, FinishReason::Deadline);
}

#[test]
fn one_sequence_is_cancelled_and_the_others_never_know() {
    let generator = Generator::new(model()).seed(8);
    let canvases: Vec<Canvas> = [9, 9, 9].map(canvas).to_vec();
    let expected = generator.run(canvases.clone(), &mut ()).unwrap();
    let mut run = generator.start(canvases).unwrap();
    for _ in 0..4 {
        run.step().unwrap();
    }
    run.cancel(1).unwrap();
    let cancelled = run.take(1).unwrap().unwrap();
    assert_eq!((cancelled.finish, masked(&cancelled)), (FinishReason::Cancelled, 9 - 4));
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
