use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint::ndarray::{Array2, ArrayViewMut1};
use conjoint::prelude::*;

/// A toy model with memory: every position has an embedding of its token, and a row is the sum of them all, each weighted
/// by how near it is.
///
/// A session keeps the embeddings of a sequence, and computes only those of positions that have changed. Rows are the
/// same with and without it.
pub struct Remembering {
    vocabulary: Vocabulary,
    remembers: bool,
    counts: Counts,
}

/// What a model has done. Clones share the numbers.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicUsize; 2]>);

impl Counts {
    /// How many embeddings were computed.
    pub fn computed(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    /// How many sequences are remembered now.
    pub fn remembered(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

/// The embeddings [T][V] of a sequence.
type Embeddings = Vec<Vec<f32>>;

impl Remembering {
    /// With a vocabulary of `size` ids, the last of which is the mask.
    ///
    /// # Errors
    /// Those of [`Vocabulary::new`].
    pub fn new(size: usize) -> Result<Self, Error> {
        let vocabulary = Vocabulary::new(size, size as TokenId - 1)?;
        Ok(Self { vocabulary, remembers: true, counts: Counts::default() })
    }

    /// The same model without sessions.
    pub fn forgetful(self) -> Self {
        Self { remembers: false, ..self }
    }

    /// What it has done, now and later.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Answers a request with the embeddings there are in `kept`, which it brings up to date.
    fn answer(
        &self,
        kept: &mut HashMap<SequenceId, Embeddings>,
        request: &Request<'_>,
    ) -> Result<Answer, Error> {
        if request.hidden {
            return Err(Error::NoHiddenStates);
        }
        let mut logits = Array2::zeros((request.rows.len(), self.vocabulary.size()));
        let mut rows = request.rows.iter().zip(logits.rows_mut()).peekable();
        for (sequence, shown) in request.batch.iter().enumerate() {
            let mut embeddings = shown.id.and_then(|id| kept.remove(&id)).unwrap_or_default();
            self.update(&mut embeddings, shown);
            while let Some((id, row)) = rows.next_if(|(id, _)| id.sequence == sequence) {
                blend(&embeddings, id.position, row);
            }
            kept.extend(shown.id.map(|id| (id, embeddings)));
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }

    fn update(&self, embeddings: &mut Embeddings, shown: &SequenceInput<'_>) {
        let tokens = shown.canvas.tokens();
        embeddings.resize(tokens.len(), Vec::new());
        let mut embed = |position: usize| {
            let embed = |v| noise(&[u64::from(tokens[position]), position as u64, v as u64]);
            embeddings[position] = (0..self.vocabulary.size()).map(embed).collect();
            self.counts.0[0].fetch_add(1, Ordering::Relaxed);
        };
        match shown.changed {
            Changed::All => (0..tokens.len()).for_each(embed),
            Changed::Positions(positions) => positions.iter().for_each(|&p| embed(p)),
        }
    }
}

impl Denoiser for Remembering {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        // Nothing is known of any sequence, whatever has changed in it.
        let batch: Vec<SequenceInput<'_>> =
            request.canvases().into_iter().map(SequenceInput::stateless).collect();
        self.answer(&mut HashMap::new(), &Request { batch: &batch, ..*request })
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        let open = || Box::new(Memory { model: self.clone(), kept: HashMap::new() });
        Ok(self.remembers.then(|| open() as _))
    }
}

/// What is kept during one run.
struct Memory {
    model: Arc<Remembering>,
    kept: HashMap<SequenceId, Embeddings>,
}

impl Memory {
    fn count(&self) {
        self.model.counts.0[1].store(self.kept.len(), Ordering::Relaxed);
    }
}

impl Session for Memory {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.model.answer(&mut self.kept, request);
        self.count();
        answer
    }

    fn end(&mut self, sequence: SequenceId) {
        self.kept.remove(&sequence);
        self.count();
    }
}

/// Sums up the embeddings for one position, those near it most.
fn blend(embeddings: &[Vec<f32>], position: usize, mut row: ArrayViewMut1<'_, f32>) {
    for (other, embedding) in embeddings.iter().enumerate() {
        let weight = 4.0 / (1 + position.abs_diff(other)) as f32;
        row.iter_mut().zip(embedding).for_each(|(logit, value)| *logit += weight * value);
    }
}

/// A number in ±1 that these words determine: this toy's weights.
fn noise(words: &[u64]) -> f32 {
    let mix = |hash: u64, word: &u64| {
        let mixed = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    };
    let bits = words.iter().fold(1, mix).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40;
    bits as f32 / (1 << 23) as f32 - 1.0
}
