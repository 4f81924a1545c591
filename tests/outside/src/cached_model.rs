use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint::ndarray::{Array2, ArrayViewMut1};
use conjoint::prelude::*;

/// A toy model with a cache. Every token has an embedding, and a row is the sum of all embeddings, weighted
/// by distance.
///
/// A session caches the embeddings of a sequence, and computes only those of positions that have changed.
/// Rows are the same with and without a session.
pub struct CachedModel {
    vocabulary: Vocabulary,
    has_sessions: bool,
    counts: Counts,
}

/// What a model has computed and holds. Clones share the numbers.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicUsize; 2]>);

impl Counts {
    /// How many embeddings were computed.
    pub fn embeddings(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    /// How many sequences the cache holds now.
    pub fn cached_sequences(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

/// The embeddings [T][V] of a sequence.
type Embeddings = Vec<Vec<f32>>;

impl CachedModel {
    /// A model with a vocabulary of `size` ids. The last id is the mask.
    ///
    /// # Errors
    /// Those of [`Vocabulary::new`].
    pub fn new(size: usize) -> Result<Self, Error> {
        let vocabulary = Vocabulary::new(size, size as TokenId - 1)?;
        Ok(Self { vocabulary, has_sessions: true, counts: Counts::default() })
    }

    /// The same model without sessions.
    pub fn without_sessions(self) -> Self {
        Self { has_sessions: false, ..self }
    }

    /// The model's counts, which are updated as it runs.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Computes the requested rows. Reads cached embeddings and updates them.
    fn compute(
        &self,
        cache: &mut HashMap<SequenceId, Embeddings>,
        request: &Request<'_>,
    ) -> Result<Answer, Error> {
        if request.hidden {
            return Err(Error::NoHiddenStates);
        }
        let mut logits = Array2::zeros((request.rows.len(), self.vocabulary.size()));
        let mut rows = request.rows.iter().zip(logits.rows_mut()).peekable();
        for (sequence, input) in request.batch.iter().enumerate() {
            let mut embeddings = input.id.and_then(|id| cache.remove(&id)).unwrap_or_default();
            self.update(&mut embeddings, input);
            while let Some((id, row)) = rows.next_if(|(id, _)| id.sequence == sequence) {
                blend(&embeddings, id.position, row);
            }
            cache.extend(input.id.map(|id| (id, embeddings)));
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }

    fn update(&self, embeddings: &mut Embeddings, input: &SequenceInput<'_>) {
        let tokens = input.canvas.tokens();
        embeddings.resize(tokens.len(), Vec::new());
        let mut embed = |position: usize| {
            let embed = |v| noise(&[u64::from(tokens[position]), position as u64, v as u64]);
            embeddings[position] = (0..self.vocabulary.size()).map(embed).collect();
            self.counts.0[0].fetch_add(1, Ordering::Relaxed);
        };
        match input.changed {
            Changed::All => (0..tokens.len()).for_each(embed),
            Changed::Positions(positions) => positions.iter().for_each(|&p| embed(p)),
        }
    }
}

impl Denoiser for CachedModel {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        // Without a session every position counts as changed.
        let batch: Vec<SequenceInput<'_>> =
            request.canvases().into_iter().map(SequenceInput::stateless).collect();
        self.compute(&mut HashMap::new(), &Request { batch: &batch, ..*request })
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        let open = || Box::new(CachedSession { model: self.clone(), cache: HashMap::new() });
        Ok(self.has_sessions.then(|| open() as _))
    }
}

/// The cache of one run.
struct CachedSession {
    model: Arc<CachedModel>,
    cache: HashMap<SequenceId, Embeddings>,
}

impl CachedSession {
    fn update_count(&self) {
        self.model.counts.0[1].store(self.cache.len(), Ordering::Relaxed);
    }
}

impl Session for CachedSession {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.model.compute(&mut self.cache, request);
        self.update_count();
        answer
    }

    fn end(&mut self, sequence: SequenceId) {
        self.cache.remove(&sequence);
        self.update_count();
    }
}

/// Sums the embeddings for one position. Nearer ones weigh more.
fn blend(embeddings: &[Vec<f32>], position: usize, mut row: ArrayViewMut1<'_, f32>) {
    for (other, embedding) in embeddings.iter().enumerate() {
        let weight = 4.0 / (1 + position.abs_diff(other)) as f32;
        row.iter_mut().zip(embedding).for_each(|(logit, value)| *logit += weight * value);
    }
}

/// Hashes `words` to a number in ±1: the weights of this toy.
fn noise(words: &[u64]) -> f32 {
    let mix = |hash: u64, word: &u64| {
        let mixed = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    };
    let bits = words.iter().fold(1, mix).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40;
    bits as f32 / (1 << 23) as f32 - 1.0
}
