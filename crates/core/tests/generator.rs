//! What the generator refuses, and that a finished batch makes room for the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::{Draw, Stream};
use conjoint_core::observer::History;
use conjoint_core::schedule::{DreamLinear, TokensPerStep};
use conjoint_core::unmasker::{Drawn, Marginal, TeacherForced};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, Next, Row, State, Unmasker, View, Vocabulary,
};
use ndarray::Array2;

const MASK: u32 = 4;

/// Every token is as likely as any other, the mask id included.
struct Flat(Vocabulary);

impl Flat {
    fn new() -> Self {
        Self(Vocabulary::new(5, MASK).unwrap().with_eos(0).unwrap())
    }
}

impl Denoiser for Flat {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }

    fn max_length(&self) -> Option<usize> {
        Some(40)
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let rows = request.rows;
        Ok(Answer::new(DenseRows::from_logits(Array2::zeros((rows.len(), 5))), State::new(())))
    }
}

/// Adds up what the forwards would compute if every sequence were padded to its batch's longest.
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

fn canvas(length: usize) -> Vec<Canvas> {
    vec![Canvas::unconditional(length, MASK).unwrap()]
}

/// Reveals the first position, masking whatever is revealed.
#[derive(Clone)]
struct Sisyphus;

impl Unmasker for Sisyphus {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let revealed = (0..view.canvas().len()).find(|&p| !view.canvas().is_masked(p));
        if let Some(position) = revealed {
            view.remask(position);
        }
        let drawn = view.draw(Row::candidate(0))?;
        view.reveal(Row::candidate(0), drawn);
        Ok(Next::EndStep)
    }
}

/// Reveals a token of its own making.
#[derive(Clone)]
struct Forger;

impl Unmasker for Forger {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.reveal(Row::candidate(0), Drawn { token: 9, probability: 1.0 });
        Ok(Next::EndStep)
    }
}

/// Asks for a sampler pass that nobody can run, or reveals nothing.
#[derive(Clone)]
struct Idler {
    reveals: bool,
}

impl Unmasker for Idler {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        if self.reveals {
            let drawn = view.draw(Row::candidate(0))?;
            view.reveal(Row::candidate(0), drawn);
        }
        Ok(Next::Refine)
    }
}

struct OutOfRange;

impl Draw for OutOfRange {
    fn draw(&self, logits: &[f32], _: &mut dyn Stream) -> usize {
        logits.len() + 1
    }
}

#[test]
fn strategies_that_misbehave_are_stopped() {
    let run = |generator: Generator| generator.run(canvas(6), &mut ()).unwrap_err();
    let flat = || Generator::new(Flat::new());
    assert!(matches!(run(flat().unmasker(Sisyphus)), Error::StepLimitExceeded { sequence: 0, .. }));
    let forged = run(flat().unmasker(Forger));
    assert!(matches!(forged, Error::UnknownToken { token: 9, position: 0, size: 5, .. }));
    let drawn = run(flat().draw(OutOfRange));
    assert!(matches!(drawn, Error::UnknownToken { token: 6, .. }), "{drawn}");
    let idle = run(flat().unmasker(Idler { reveals: false }));
    assert!(matches!(idle, Error::NoProgress { sequence: 0, step: 0 }));
    assert!(matches!(run(flat().unmasker(Idler { reveals: true })), Error::NoSamplerLayer));
}

#[test]
fn a_sequence_to_retell_must_fit() {
    let retold = |tokens: &[u32]| {
        let generator = Generator::new(Flat::new()).unmasker(TeacherForced::new(tokens));
        generator.run(canvas(3), &mut ()).map(|mut outputs| outputs.remove(0).tokens)
    };
    assert_eq!(retold(&[2, 0, 1]).unwrap(), [2, 0, 1]);
    assert_eq!(retold(&[2, 0, 1, 3]).unwrap(), [2, 0, 1]);
    assert!(matches!(retold(&[2, 0]), Err(Error::IllegalMove { position: 2, .. })));
    assert!(matches!(retold(&[2, MASK, 1]), Err(Error::IllegalMove { position: 1, .. })));
    assert!(matches!(retold(&[2, 5, 1]), Err(Error::UnknownToken { token: 5, position: 1, .. })));
}

#[test]
fn requests_are_checked_before_anything_runs() {
    let flat = || Generator::new(Flat::new());
    let run = |generator: &Generator, canvas: Canvas| generator.run(vec![canvas], &mut ());
    let other = Canvas::unconditional(3, 2).unwrap();
    assert!(matches!(run(&flat(), other), Err(Error::MaskMismatch { got: 2, expected: MASK, .. })));
    let long = Canvas::unconditional(41, MASK).unwrap();
    assert!(matches!(run(&flat(), long), Err(Error::TooLong { length: 41, max: 40, .. })));
    let unknown = Canvas::new(&[7], 3, MASK).unwrap();
    assert!(matches!(run(&flat(), unknown), Err(Error::UnknownToken { token: 7, .. })));
    let uneven = flat().block_length(4).unwrap();
    let six = || Canvas::unconditional(6, MASK).unwrap();
    assert!(matches!(run(&uneven, six()), Err(Error::BlockNotDividing { block: 4, length: 6 })));
    let marginal = || flat().unmasker(Marginal::default());
    let steps = marginal().block_length(3).unwrap().schedule(DreamLinear::new(5).unwrap());
    assert!(matches!(run(&steps, six()), Err(Error::StepsNotDivisible { steps: 5, blocks: 2 })));
    assert!(flat().block_length(0).is_err() && flat().batch_size(0).is_err());
    assert!(matches!(flat().generate(&[], 3), Err(Error::EmptyPrompt)));
    assert!(matches!(flat().generate(&[1], 0), Err(Error::NothingMasked(_))));
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

#[test]
fn sequences_of_a_length_share_forwards_whatever_their_order() {
    let positions = Arc::new(AtomicUsize::new(0));
    let generator = Generator::new(Padded(Flat::new(), positions.clone())).batch_size(4).unwrap();
    let lengths = [4, 20, 4, 20, 4, 20, 4, 20];
    let canvases = lengths.iter().flat_map(|&length| canvas(length)).collect();
    let outputs = generator.run(canvases, &mut ()).unwrap();
    let filled: Vec<usize> = outputs.iter().map(|output| output.tokens.len()).collect();
    assert_eq!(filled, lengths);
    // Four sequences of each length, one token a forward: no position is padding.
    assert_eq!(positions.load(Ordering::Relaxed), 4 * 4 * 4 + 4 * 20 * 20);
    let alone = generator.run(canvas(4), &mut ()).unwrap();
    assert_eq!(alone[0].tokens, outputs[0].tokens);
}

#[test]
fn idle_steps_cost_no_forward_and_show_in_the_history() {
    let generator = Generator::new(Flat::new())
        .unmasker(Marginal::default())
        .schedule(DreamLinear::new(8).unwrap());
    let mut history = History::default();
    let outputs = generator.run(canvas(8), &mut history).unwrap();
    assert_eq!((outputs[0].steps, outputs[0].denoiser_calls), (8, 7));
    assert_eq!(history.of(0).len(), 8);
    assert_eq!(history.of(0)[0], [MASK; 8]);
    assert_eq!(history.of(0)[7], outputs[0].tokens);
}

#[test]
fn a_schedule_beyond_the_masked_positions_is_cut() {
    let generator = Generator::new(Flat::new())
        .unmasker(Marginal::default())
        .schedule(TokensPerStep::new(100).unwrap());
    let output = generator.generate(&[1], 9).unwrap();
    assert_eq!(output.denoiser_calls, 1);
}

#[test]
fn the_next_block_opens_once_enough_of_the_last_is_known() {
    /// Reveals the rightmost position that it is shown.
    #[derive(Clone)]
    struct Rightmost;
    impl Unmasker for Rightmost {
        fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
            let last = Row::candidate(view.candidates().len() - 1);
            let drawn = view.draw(last)?;
            view.reveal(last, drawn);
            Ok(Next::EndStep)
        }
    }
    let revealed = |share: f64| {
        let generator = Generator::new(Flat::new()).unmasker(Rightmost).block_length(4).unwrap();
        let generator = generator.open_next_block_at(share).unwrap();
        let mut history = History::default();
        generator.run(canvas(8), &mut history).unwrap();
        let mut before = vec![MASK; 8];
        let step = |after: &Vec<u32>| {
            let new = (0..8).find(|&i| before[i] != after[i]).unwrap();
            before = after.clone();
            new
        };
        history.of(0).iter().map(step).collect::<Vec<_>>()
    };
    assert_eq!(revealed(0.5), [3, 2, 7, 6, 5, 4, 1, 0]);
    assert_eq!(revealed(1.0), [3, 2, 1, 0, 7, 6, 5, 4]);
    assert_eq!(revealed(0.0), [7, 6, 5, 4, 3, 2, 1, 0]);

    assert!(Generator::new(Flat::new()).open_next_block_at(1.5).is_err());
    let finite = Generator::new(Flat::new()).unmasker(Marginal::default());
    let finite = finite.schedule(DreamLinear::new(4).unwrap());
    let finite = finite.block_length(4).unwrap().open_next_block_at(0.5).unwrap();
    assert!(matches!(finite.run(canvas(8), &mut ()), Err(Error::Parameter { .. })));
}
