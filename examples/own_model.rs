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

/// The states of each sequence: one before each position, from the token before it.
type Kept = HashMap<SequenceId, Vec<u64>>;

impl Toy {
    /// Answers a request with the states there are, and keeps those it had to compute.
    fn answer(&self, kept: &mut Kept, request: &Request<'_>) -> Result<Answer, Error> {
        let mut logits = Array2::zeros((request.rows.len(), self.vocabulary.size()));
        for (sequence, shown) in request.batch.iter().enumerate() {
            let tokens = shown.canvas.tokens();
            let mut states = shown.id.and_then(|id| kept.remove(&id)).unwrap_or_default();
            match shown.changed {
                Changed::All => states.clear(),
                Changed::Positions(p) => states.truncate(p.first().map_or(tokens.len(), |p| p + 1)),
            }
            for position in states.len()..tokens.len() {
                let before = position.checked_sub(1).map(|i| states[i] ^ u64::from(tokens[i] + 1));
                states.push(mix(before.unwrap_or(1)));
                self.computed.fetch_add(1, Ordering::Relaxed);
            }
            for (id, mut row) in request.rows.iter().zip(logits.rows_mut()) {
                let nearby = id.position.saturating_sub(2)..(id.position + 3).min(tokens.len());
                if id.sequence == sequence {
                    let bag: u64 = tokens[nearby].iter().map(|&token| u64::from(token)).sum();
                    for (token, logit) in row.iter_mut().enumerate() {
                        let hash = mix(states[id.position] ^ mix(bag << 32 | token as u64));
                        *logit = 4.0 * (hash >> 40) as f32 / (1 << 24) as f32;
                    }
                }
            }
            kept.extend(shown.id.map(|id| (id, states)));
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}

impl Denoiser for Toy {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.answer(&mut Kept::new(), request)
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        let memory = || Box::new(Memory { model: self.clone(), kept: Kept::new() });
        Ok(self.remembers.then(|| memory() as _))
    }
}

/// What is kept during one run.
struct Memory {
    model: Arc<Toy>,
    kept: Kept,
}

impl Session for Memory {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        self.model.answer(&mut self.kept, request)
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
