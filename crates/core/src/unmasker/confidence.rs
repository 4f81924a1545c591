use super::{Drawn, Next, Unmasker, View};
use crate::order::Randomised;
use crate::{Error, Order};

/// Which probability of the drawn token is its confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Score {
    /// In the row as the model gave it, before temperature and truncation, as LLaDA does. It does
    /// not saturate at low temperature.
    #[default]
    Raw,
    /// In the filtered row, as Dream's `maskgit_plus` does.
    Filtered,
}

impl Score {
    /// Draws a token for every candidate and [says](View::set_confidence) how sure the draw is.
    pub(super) fn draw_all(self, view: &mut View<'_>) -> Result<Vec<Drawn>, Error> {
        let n = view.candidates().len();
        let mut drawn = view.take_drawn();
        view.draw_all(0..n, &mut drawn)?;
        for (candidate, draw) in drawn.iter().enumerate() {
            let confidence = match self {
                Score::Filtered => draw.probability,
                Score::Raw => view.raw_probability(candidate, draw.token)?,
            };
            view.set_confidence(candidate, confidence);
        }
        Ok(drawn)
    }
}

/// Draws a token at every masked position, then keeps the K most confident ones.
///
/// **Law.** Biased even at K = 1 when tokens are sampled: *where* depends on *what* was drawn, so
/// probable tokens are kept too often (total variation about 0.33 on a random joint of 3 tokens
/// over 3 symbols). With argmax draws it is [`Marginal`](super::Marginal) in
/// [`MaxProb`](crate::order::MaxProb) order. Source: MaskGIT (arXiv 2202.04200), LLaDA's
/// low-confidence remasking (arXiv 2502.09992).
#[derive(Debug, Clone, Copy, Default)]
pub struct Confidence {
    score: Score,
    lottery: Option<Randomised<Sureness>>,
}

impl Confidence {
    /// Confidence by this score.
    pub fn new(score: Score) -> Self {
        Self { score, lottery: None }
    }

    /// Draws the positions to keep from softmax(confidence / τ) instead of keeping the best, as Dream's `maskgit_plus`
    /// does with an `alg_temp`; see [`Randomised`].
    ///
    /// # Errors
    /// [`Error::Parameter`] unless τ is finite and above 0.
    pub fn randomised(self, temperature: f64) -> Result<Self, Error> {
        Ok(Self { lottery: Some(Randomised::new(Sureness, temperature)?), ..self })
    }
}

/// What was said of how sure each draw is.
#[derive(Debug, Clone, Copy)]
struct Sureness;

impl Order for Sureness {
    fn score(&self, view: &View<'_>, candidate: usize) -> f64 {
        view.candidates()[candidate].confidence
    }
}

impl Unmasker for Confidence {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let drawn = self.score.draw_all(view)?;
        match &self.lottery {
            None => view.rank_by_confidence(),
            Some(lottery) => view.rank(lottery),
        }
        for rank in 0..view.quota() {
            let candidate = view.ranked(rank);
            view.reveal(candidate, drawn[candidate]);
        }
        view.keep_drawn(drawn);
        Ok(Next::EndStep)
    }
}
