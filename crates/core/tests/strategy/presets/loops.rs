//! The published loops from their definitions, without any strategy. The law is computed forward, canvas by canvas, over a
//! model whose rows are arbitrary functions of the canvas.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::presets::{Adjust, Dream, DreamAlgorithm, FastDllm, Llada};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, RowId, SamplerLayer, State, TokenId, Vocabulary,
};
use conjoint_testkit::Law;
use ndarray::Array2;

/// There are six symbols. 4 is the padding, 5 begins a sequence, 6 is the mask.
pub const MASK: TokenId = 6;
pub const PAD: TokenId = 4;
pub const BOS: TokenId = 5;

/// A model whose logits depend on the whole canvas and are not those of a joint. They lie between −2 and 2, the mask's
/// between −4 and 0. A third of the symbols is impossible at each position.
#[derive(Clone)]
pub struct Rows {
    salt: u64,
    vocabulary: Vocabulary,
}

impl Rows {
    pub fn new(salt: u64) -> Self {
        let vocabulary = Vocabulary::new(7, MASK).unwrap();
        Self { salt, vocabulary: vocabulary.with_pad(PAD).unwrap().with_bos(BOS).unwrap() }
    }

    /// The logits of one row \[7\].
    fn logits(&self, tokens: &[TokenId], position: usize) -> Vec<f32> {
        let logit = |token: TokenId| {
            if token < MASK && (token as usize + position).is_multiple_of(3) {
                return f32::NEG_INFINITY;
            }
            let mut hasher = DefaultHasher::new();
            (self.salt, tokens, position, token).hash(&mut hasher);
            let logit = (hasher.finish() >> 40) as f32 / (1 << 22) as f32 - 2.0;
            if token == MASK { logit - 2.0 } else { logit }
        };
        (0..=MASK).map(logit).collect()
    }

    fn rows(&self, batch: &[&Canvas], rows: &[RowId]) -> Result<DenseRows, Error> {
        let row = |id: &RowId| self.logits(batch[id.sequence].tokens(), id.position);
        let logits: Vec<f32> = rows.iter().flat_map(row).collect();
        Array2::from_shape_vec((rows.len(), 7), logits)
            .map(DenseRows::from_logits)
            .map_err(Error::model)
    }
}

impl Denoiser for Rows {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        Ok(Answer::new(self.rows(batch, rows)?, State::new(())))
    }
}

impl SamplerLayer for Rows {
    fn pass(
        &self,
        _: &mut State,
        request: &Request<'_>,
    ) -> Result<conjoint_core::top_k_rows::Rows, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        Ok(self.rows(batch, rows)?.into())
    }
}

// ---- Rows of numbers ----

fn softmax(logits: &[f64]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|l| l.exp()).sum();
    logits.iter().map(|l| l.exp() / total).collect()
}

fn tempered(logits: &[f64], temperature: f64) -> Vec<f64> {
    logits.iter().map(|l| l / temperature).collect()
}

/// Keeps a token if the more probable ones have a mass of at most p.
fn top_p(logits: &[f64], p: f64) -> Vec<f64> {
    let probabilities = softmax(logits);
    let before = |l: f64| -> f64 {
        (0..logits.len()).filter(|&j| logits[j] > l).map(|j| probabilities[j]).sum()
    };
    logits.iter().map(|&l| if before(l) > p { f64::NEG_INFINITY } else { l }).collect()
}

fn top_k(logits: &[f64], k: usize) -> Vec<f64> {
    let better = |l: f64| logits.iter().filter(|&&other| other > l).count();
    logits.iter().map(|&l| if better(l) >= k { f64::NEG_INFINITY } else { l }).collect()
}

fn entropy(p: &[f64]) -> f64 {
    p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

/// p₁ − p₂.
fn margin(p: &[f64]) -> f64 {
    let mut sorted = p.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted[0] - sorted[1]
}

// ---- Laws of one step ----

/// A token drawn for a position, and the score by which it is revealed.
#[derive(Clone, Copy)]
struct Drawn {
    position: usize,
    token: TokenId,
    score: f64,
}

type States = BTreeMap<Vec<TokenId>, f64>;

fn advance(states: &States, step: impl Fn(&[TokenId]) -> Vec<(Vec<TokenId>, f64)>) -> States {
    let mut next = States::new();
    for (tokens, reached) in states {
        for (tokens, p) in step(tokens) {
            *next.entry(tokens).or_insert(0.0) += reached * p;
        }
    }
    next
}

/// Every combination of draws at the positions, without the mask.
fn draws(
    positions: &[usize],
    row: impl Fn(usize) -> Vec<f64>,
    score: impl Fn(usize, TokenId) -> f64,
) -> Vec<(Vec<Drawn>, f64)> {
    let mut all = vec![(Vec::new(), 1.0)];
    for &position in positions {
        let mut p = row(position);
        p[MASK as usize] = 0.0;
        let total: f64 = p.iter().sum();
        let possible: Vec<(TokenId, f64)> = (0..).zip(p).filter(|&(_, p)| p > 0.0).collect();
        let with = |(drawn, reached): &(Vec<Drawn>, f64)| {
            let one = |&(token, p): &(TokenId, f64)| {
                let draw = Drawn { position, token, score: score(position, token) };
                ([&drawn[..], &[draw]].concat(), reached * p / total)
            };
            possible.iter().map(one).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

/// Reveals the n drawn tokens with the highest scores, the leftmost of equals.
fn reveal(tokens: &[TokenId], mut drawn: Vec<Drawn>, n: usize) -> Vec<TokenId> {
    drawn.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut next = tokens.to_vec();
    drawn.iter().take(n).for_each(|draw| next[draw.position] = draw.token);
    next
}

fn masked(tokens: &[TokenId], block: Range<usize>) -> Vec<usize> {
    block.filter(|&position| tokens[position] == MASK).collect()
}

fn f64s(logits: &[f32]) -> Vec<f64> {
    logits.iter().map(|&l| f64::from(l)).collect()
}

// ---- The loops ----

/// LLaDA's `generate` by confidence. The unconditional pass masks the first `prompt` tokens.
pub fn llada(rows: &Rows, start: &[TokenId], prompt: usize, with: Llada) -> Law {
    let blocks = (start.len() - prompt) / with.block_length;
    let steps = with.steps / blocks;
    let logits = |tokens: &[TokenId], position: usize| {
        let conditional = f64s(&rows.logits(tokens, position));
        let mut hidden = tokens.to_vec();
        hidden[..prompt].fill(MASK);
        let unconditional = f64s(&rows.logits(&hidden, position));
        let guide = |(l, u): (&f64, &f64)| match *u {
            f64::NEG_INFINITY => *u,
            _ => u + (with.cfg_scale + 1.0) * (l - u),
        };
        conditional.iter().zip(&unconditional).map(guide).collect::<Vec<f64>>()
    };
    let mut states = States::from([(start.to_vec(), 1.0)]);
    for block in 0..blocks {
        let first = prompt + block * with.block_length;
        let n = with.block_length;
        for step in 0..steps {
            let quota = n / steps + usize::from(step < n % steps);
            states = advance(&states, |tokens| {
                let drawn = draws(
                    &masked(tokens, first..first + n),
                    |position| softmax(&tempered(&logits(tokens, position), with.temperature)),
                    |position, token| softmax(&logits(tokens, position))[token as usize],
                );
                drawn.into_iter().map(|(drawn, p)| (reveal(tokens, drawn, quota), p)).collect()
            });
        }
    }
    states.into_iter().collect()
}

/// ⌊m (1 − s/t)⌋ of m masked positions, all of them in the last step.
fn dream_quota(step: usize, steps: usize, epsilon: f64, masked: usize) -> usize {
    let t = |step: usize| 1.0 - (1.0 - epsilon) * step as f64 / steps as f64;
    if step + 1 == steps {
        masked
    } else {
        (masked as f64 * (1.0 - t(step + 1) / t(step))).floor() as usize
    }
}

/// The canvases after `n` of the drawn tokens are kept. Each is drawn from softmax(score / τ) over the remaining ones.
fn plackett_luce(tokens: &[TokenId], drawn: &[Drawn], n: usize, temperature: f64) -> States {
    let mut kept = vec![(tokens.to_vec(), drawn.to_vec(), 1.0)];
    for _ in 0..n.min(drawn.len()) {
        let after = |(canvas, left, p): &(Vec<TokenId>, Vec<Drawn>, f64)| {
            let scores: Vec<f64> = left.iter().map(|draw| draw.score / temperature).collect();
            let one = |(i, q): (usize, f64)| {
                let (mut canvas, mut left) = (canvas.clone(), left.clone());
                let draw = left.remove(i);
                canvas[draw.position] = draw.token;
                (canvas, left, p * q)
            };
            softmax(&scores).into_iter().enumerate().map(one).collect::<Vec<_>>()
        };
        kept = kept.iter().flat_map(after).collect();
    }
    let mut states = States::new();
    kept.into_iter().for_each(|(canvas, _, p)| *states.entry(canvas).or_default() += p);
    states
}

/// Dream's `diffusion_generate`, without the algorithm `origin`.
pub fn dream(rows: &Rows, start: &[TokenId], with: Dream) -> Law {
    let row = |tokens: &[TokenId], position: usize| {
        let mut logits = tempered(&f64s(&rows.logits(tokens, position)), with.temperature);
        if let Some(p) = with.top_p {
            logits = top_p(&logits, p);
        }
        if let Some(k) = with.top_k {
            logits = top_k(&logits, k);
        }
        softmax(&logits)
    };
    let mut states = States::from([(start.to_vec(), 1.0)]);
    for step in 0..with.steps {
        states = advance(&states, |tokens| {
            let positions = masked(tokens, 0..tokens.len());
            let quota = dream_quota(step, with.steps, with.epsilon, positions.len());
            let score = |position: usize, token: TokenId| match with.algorithm {
                DreamAlgorithm::MaskgitPlus => row(tokens, position)[token as usize],
                DreamAlgorithm::TopkMargin => margin(&row(tokens, position)),
                DreamAlgorithm::Entropy => -entropy(&row(tokens, position)),
                DreamAlgorithm::Origin => unreachable!("origin ranks nothing"),
            };
            let drawn = draws(&positions, |position| row(tokens, position), score);
            let after = |(drawn, p): (Vec<Drawn>, f64)| match with.algorithm_temperature {
                None => vec![(reveal(tokens, drawn, quota), p)],
                Some(temperature) => {
                    let states = plackett_luce(tokens, &drawn, quota, temperature);
                    states.into_iter().map(|(canvas, q)| (canvas, p * q)).collect()
                }
            };
            drawn.into_iter().flat_map(after).collect()
        });
    }
    states.into_iter().collect()
}

/// Fast-dLLM's parallel decoding without caches.
pub fn fast_dllm(rows: &Rows, start: &[TokenId], with: FastDllm) -> Law {
    let mut states = States::from([(start.to_vec(), 1.0)]);
    for first in (0..start.len()).step_by(with.block_length) {
        for _ in 0..with.block_length {
            states = advance(&states, |tokens| {
                let logits = |position| f64s(&rows.logits(tokens, position));
                let positions = masked(tokens, first..first + with.block_length);
                let drawn = draws(
                    &positions,
                    |position| softmax(&tempered(&logits(position), with.temperature)),
                    |position, token| softmax(&logits(position))[token as usize],
                );
                let after = |(drawn, p): (Vec<Drawn>, f64)| {
                    let sure = drawn.iter().filter(|draw| draw.score >= with.threshold).count();
                    (reveal(tokens, drawn, sure.max(1)), p)
                };
                drawn.into_iter().map(after).collect()
            });
        }
    }
    states.into_iter().collect()
}

/// The loop of the joint sampler: the first token of a step from the rows of the base model, the others from the layer.
pub fn adjust(base: &Rows, layer: &Rows, start: &[TokenId], with: Adjust) -> Law {
    let row = |rows: &Rows, tokens: &[TokenId], position: usize| {
        let mut logits = f64s(&rows.logits(tokens, position));
        for banned in [MASK, PAD, BOS] {
            logits[banned as usize] = f64::NEG_INFINITY;
        }
        let logits = tempered(&logits, with.temperature);
        softmax(&with.top_p.map_or(logits.clone(), |p| top_p(&logits, p)))
    };
    let mut states = States::from([(start.to_vec(), 1.0)]);
    for step in 0..with.steps {
        states = advance(&states, |tokens| {
            let m = masked(tokens, 0..tokens.len()).len();
            let mut inner = States::from([(tokens.to_vec(), 1.0)]);
            for token in 0..dream_quota(step, with.steps, with.epsilon, m) {
                let rows = if token == 0 { base } else { layer };
                inner = advance(&inner, |tokens| {
                    let least = |&a: &usize, &b: &usize| {
                        let entropy = |position| entropy(&row(rows, tokens, position));
                        entropy(a).total_cmp(&entropy(b))
                    };
                    let best = masked(tokens, 0..tokens.len()).into_iter().min_by(least);
                    let best = best.expect("a step reveals at most what is masked");
                    let drawn = draws(&[best], |position| row(rows, tokens, position), |_, _| 0.0);
                    drawn.into_iter().map(|(drawn, p)| (reveal(tokens, drawn, 1), p)).collect()
                });
            }
            inner.into_iter().collect()
        });
    }
    states.into_iter().collect()
}
