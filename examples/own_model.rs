//! A custom model with a cache: a `Session` keeps what was computed of a sequence from one forward to the next.
//!
//!     cargo run --release --example own_model
//!
//! In this toy, a state runs through the tokens from left to right. A row depends on the state at its
//! position and on the next token. A session recomputes states from the leftmost change only.
//!
//! What to see: the tokens are the same, and the session computes 165 states instead of 256 from left to
//! right. It saves less (189) where the four changes of a step are spread over the sequence.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint::ndarray::Array2;
use conjoint::prelude::*;

struct Toy {
    vocabulary: Vocabulary,
    has_session: bool,
    /// How many states were computed.
    computed: AtomicUsize,
}

/// Hashes a number: the only weights of this toy.
fn hash(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The states of each sequence: one for each position, from the tokens before it.
type Cache = HashMap<SequenceId, Vec<u64>>;

impl Toy {
    /// Computes the requested rows. Reads cached states and updates them.
    fn compute(&self, cache: &mut Cache, request: &Request<'_>) -> Result<Answer, Error> {
        let mut logits = Array2::zeros((request.rows.len(), self.vocabulary.size()));
        for (sequence, input) in request.batch.iter().enumerate() {
            let tokens = input.canvas.tokens();
            let mut states = input.id.and_then(|id| cache.remove(&id)).unwrap_or_default();
            match input.changed {
                Changed::All => states.clear(),
                Changed::Positions(p) => states.truncate(p.first().map_or(tokens.len(), |p| p + 1)),
            }
            for position in states.len()..tokens.len() {
                let left = position.checked_sub(1).map(|i| states[i] ^ u64::from(tokens[i] + 1));
                states.push(hash(left.unwrap_or(1)));
                self.computed.fetch_add(1, Ordering::Relaxed);
            }
            for (id, mut row) in request.rows.iter().zip(logits.rows_mut()) {
                if id.sequence == sequence {
                    let right = tokens.get(id.position + 1).map_or(0, |&token| u64::from(token));
                    for (token, logit) in row.iter_mut().enumerate() {
                        let bits = hash(states[id.position] ^ hash(right << 32 | token as u64));
                        *logit = 4.0 * (bits >> 40) as f32 / (1 << 24) as f32;
                    }
                }
            }
            cache.extend(input.id.map(|id| (id, states)));
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}

impl Denoiser for Toy {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.compute(&mut Cache::new(), request)
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        let open = || Box::new(ToySession { model: self.clone(), cache: Cache::new() });
        Ok(self.has_session.then(|| open() as _))
    }
}

/// The cache of one run.
struct ToySession {
    model: Arc<Toy>,
    cache: Cache,
}

impl Session for ToySession {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        self.model.compute(&mut self.cache, request)
    }

    fn end(&mut self, sequence: SequenceId) {
        self.cache.remove(&sequence);
    }
}

/// Generates 32 tokens, 4 a step. Returns them and the number of states computed.
fn run(order: impl Order + 'static, has_session: bool) -> Result<(Vec<Output>, usize), Error> {
    let (vocabulary, computed) = (Vocabulary::new(20, 19)?, AtomicUsize::new(0));
    let model = Arc::new(Toy { vocabulary, has_session, computed });
    let generator = Generator::new(model.clone()).unmasker(Marginal::new(order));
    let generator = generator.schedule(TokensPerStep::new(4)?);
    let outputs = generator.run(vec![Canvas::unconditional(32, 19)?], &mut ())?;
    Ok((outputs, model.computed.load(Ordering::Relaxed)))
}

fn main() -> Result<(), Error> {
    let orders: [(&str, Arc<dyn Order>); 2] =
        [("left to right", Arc::new(LeftToRight)), ("lowest entropy first", Arc::new(Entropy))];
    for (name, order) in orders {
        let (expected, without) = run(order.clone(), false)?;
        let (outputs, with) = run(order, true)?;
        assert_eq!(outputs, expected);
        println!("{name}: {with} states computed with a session, {without} without");
    }
    Ok(())
}
