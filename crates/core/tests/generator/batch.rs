//! Batches: their order, their forwards, and that a sequence does not depend on its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{oracle, over};
use crate::flat::Flat;
use crate::model::{MASK, canvas, generator};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::order::Entropy;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, Control, ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{
    Canvas, Denoiser, Error, Generator, Next, Output, SeededStream, Unmasker, View, Vocabulary,
};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, TabularJoint};

/// Counts the positions of all forwards, with every sequence padded to the longest of its batch.
struct Padded(Flat, Arc<AtomicUsize>);

impl Denoiser for Padded {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0.0
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = &request.canvases()[..];
        let longest = batch.iter().map(|canvas| canvas.len()).max().unwrap_or(0);
        self.1.fetch_add(longest * batch.len(), Ordering::Relaxed);
        self.0.forward(request)
    }
}

#[test]
fn more_sequences_than_a_batch_holds_all_finish_in_order() {
    let generator = Generator::new(Flat::new()).batch_size(2).unwrap();
    let prompts: Vec<Vec<u32>> = (0..7).map(|n| vec![1; n % 3 + 1]).collect();
    let outputs = generator.generate_batch(&prompts, 5).unwrap();
    for (output, prompt) in outputs.iter().zip(&prompts) {
        assert_eq!(output.tokens.len(), prompt.len() + 5);
        assert_eq!(output.generated_tokens().len(), 5);
        assert_eq!((output.denoiser_calls, output.sampler_calls), (5, 0));
    }
}

fn blank(length: usize) -> Canvas {
    Canvas::unconditional(length, MASK).unwrap()
}

#[test]
fn sequences_of_one_length_share_forwards_in_any_order() {
    let positions = Arc::new(AtomicUsize::new(0));
    let generator = Generator::new(Padded(Flat::new(), positions.clone())).batch_size(4).unwrap();
    let lengths = [4, 20, 4, 20, 4, 20, 4, 20];
    let canvases = lengths.iter().map(|&length| blank(length)).collect();
    let outputs = generator.run(canvases, &mut ()).unwrap();
    let filled: Vec<usize> = outputs.iter().map(|output| output.tokens.len()).collect();
    assert_eq!(filled, lengths);
    // Four sequences of each length, one token a forward: no position is padding.
    assert_eq!(positions.load(Ordering::Relaxed), 4 * 4 * 4 + 4 * 20 * 20);
    let alone = generator.run(vec![blank(4)], &mut ()).unwrap();
    assert_eq!(alone[0].tokens, outputs[0].tokens);
}

/// Decides alone: ranks the candidates once and reveals its whole quota.
#[derive(Clone)]
struct Alone;

impl Unmasker for Alone {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&Entropy)?;
        for rank in 0..view.quota() {
            let row = view.ranked(rank);
            let drawn = view.draw(row)?;
            view.reveal(row, drawn);
        }
        Ok(Next::EndStep)
    }

    fn control(&self) -> Control {
        Control::Alone
    }
}

#[test]
fn an_unmasker_that_decides_alone_is_independent_of_its_neighbours() {
    let generator = generator().unmasker(Alone);
    let one = generator.clone().unmasker(Marginal::default());
    let requests = vec![(canvas(1, 3), one), (canvas(1, 3), generator.clone())];
    let outputs = generator.run_each(requests, &mut ()).unwrap();
    assert_eq!((outputs[0].steps, outputs[1].steps), (3, 1));
}

fn outputs(generator: &Generator, canvases: &[Canvas]) -> Vec<Output> {
    generator.run(canvases.to_vec(), &mut ()).unwrap()
}

/// Canvases of several lengths, with prompts and holes. Each output equals that of the sequence alone, bit for bit.
#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    let joint = |length| TabularJoint::random(length, 3, 0.5, length as u64).unwrap();
    let model = oracle(&joint(5)).and(joint(3)).unwrap().and(joint(1)).unwrap();
    let canvases: Vec<Canvas> =
        [vec![3; 5], vec![0, 3, 3], vec![3], vec![3, 1, 3, 3, 2], vec![3; 3], vec![2, 2, 3, 3, 3]]
            .map(|tokens| Canvas::infill(tokens, 3).unwrap())
            .into();
    let strategies: [Strategy; 5] = [
        ExactSequential::default().into(),
        Marginal::default().into(),
        Confidence::default().into(),
        LearnedJoint::new(ExactRefiner).into(),
        LearnedJoint::new(NoisyRefiner::new(1.0, 2).unwrap()).into(),
    ];
    for strategy in strategies {
        let generator = over(model.clone(), 3, strategy);
        let together = outputs(&generator, &canvases);
        for batch_size in [1, 2, 4] {
            let generator = generator.clone().batch_size(batch_size).unwrap();
            assert_eq!(outputs(&generator, &canvases), together);
        }
        for (i, canvas) in canvases.iter().enumerate() {
            let alone =
                generator.clone().streams(move |_| Box::new(SeededStream::new(0, i as u64)));
            assert_eq!(outputs(&alone, std::slice::from_ref(canvas)), together[i..=i]);
        }
    }
}
