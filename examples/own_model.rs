//! A model of one's own that remembers: what it has computed of a sequence it keeps from one forward to the next.
//!
//! A toy: a state runs through the tokens from left to right, and a row comes from the state before its position and
//! the tokens around it. So a change at a position leaves all states up to it as they were. Look at the numbers: the
//! session reads on from the leftmost change, which saves a third from left to right, and less where the four changes of a
//! step are spread over the sequence. The tokens are the same.
//!
//!     cargo run --release --example own_model
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint::ndarray::Array2;
use conjoint::prelude::*;

struct Toy {
    vocabulary: Vocabulary,
    remembers: bool,
    /// How many states were computed.
    computed: AtomicUsize,
}

/// Scrambles a number: this toy's only weights.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Toy {
    /// Completes the states of a sequence: one before each position, from the token before it.
    fn read_on(&self, states: &mut Vec<u64>, tokens: &[TokenId]) {
        for position in states.len()..tokens.len() {
            let before = position.checked_sub(1).map(|i| states[i] ^ u64::from(tokens[i] + 1));
            states.push(mix(before.unwrap_or(1)));
            self.computed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The rows of a request, from the states of its sequences.
    fn rows(&self, request: &Request<'_>, states: &[Vec<u64>]) -> Answer {
        let logit = |(n, token): (usize, usize)| {
            let RowId { sequence, position } = request.rows[n];
            let tokens = request.batch[sequence].canvas.tokens();
            let around = position.saturating_sub(2)..(position + 3).min(tokens.len());
            let around: u64 = tokens[around].iter().map(|&token| u64::from(token)).sum();
            let hash = mix(states[sequence][position] ^ mix(around << 32 | token as u64));
            4.0 * (hash >> 40) as f32 / (1 << 24) as f32
        };
        let logits = Array2::from_shape_fn((request.rows.len(), self.vocabulary.size()), logit);
        Answer::new(Beliefs::from_logits(logits), State::new(()))
    }
}

impl Denoiser for Toy {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let mut states = vec![Vec::new(); request.batch.len()];
        for (states, shown) in states.iter_mut().zip(request.batch) {
            self.read_on(states, shown.canvas.tokens());
        }
        Ok(self.rows(request, &states))
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        let memory = || Box::new(Memory { model: self.clone(), kept: HashMap::new() });
        Ok(self.remembers.then(|| memory() as _))
    }
}

/// What is kept during one run: the states of each of its sequences.
struct Memory {
    model: Arc<Toy>,
    kept: HashMap<SequenceId, Vec<u64>>,
}

impl Session for Memory {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let mut states = Vec::new();
        for shown in request.batch {
            let mut own = shown.id.and_then(|id| self.kept.remove(&id)).unwrap_or_default();
            match shown.changed {
                Changed::All => own.clear(),
                Changed::Positions(p) => own.truncate(p.first().map_or(own.len(), |&p| p + 1)),
            }
            self.model.read_on(&mut own, shown.canvas.tokens());
            states.push(own);
        }
        let answer = self.model.rows(request, &states);
        let of_ids = request.batch.iter().zip(states);
        self.kept.extend(of_ids.filter_map(|(shown, states)| Some((shown.id?, states))));
        Ok(answer)
    }

    fn end(&mut self, sequence: SequenceId) {
        self.kept.remove(&sequence);
    }
}

/// Generates 32 tokens, four a step, without and with a session.
fn compare(name: &str, order: impl Order + Copy + 'static) -> Result<(), Error> {
    let outcomes = [false, true].map(|remembers| {
        let (vocabulary, computed) = (Vocabulary::new(20, 19)?, AtomicUsize::new(0));
        let model = Arc::new(Toy { vocabulary, remembers, computed });
        let generator = Generator::new(model.clone()).unmasker(Marginal::new(order));
        let generator = generator.schedule(TokensPerStep::new(4)?);
        let outputs = generator.run(vec![Canvas::unconditional(32, 19)?], &mut ())?;
        Ok::<_, Error>((outputs, model.computed.load(Ordering::Relaxed)))
    });
    let [plain, remembered] = outcomes;
    let ((plain, all), (remembered, few)) = (plain?, remembered?);
    println!("{name}: {few} states computed with a session, {all} without");
    assert_eq!(remembered, plain);
    Ok(())
}

fn main() -> Result<(), Error> {
    compare("left to right", LeftToRight)?;
    compare("lowest entropy first", Entropy)
}
