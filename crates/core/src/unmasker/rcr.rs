use super::keep_best::{Rival, keep_best};
use super::{Next, Score, Unmasker, View};
use crate::Error;

/// Running confidence remasking: fills every masked position, then masks the least confident of *all*
/// that was generated, not only of what is new.
///
/// A step with quota K and m masked positions draws a token at each of them, with confidence c, and
/// then masks the m − K positions of the block with the lowest confidence. A revealed token keeps the
/// confidence it had when it was revealed until it is masked; revealed again, it has a new one. Every
/// step leaves K fewer masked, so that it ends when the schedule does.
///
/// **Law.** Biased even at K = 1 when tokens are sampled, as [`Confidence`](super::Confidence) is:
/// *where* depends on *what* was drawn. With all positions at once it is the product of the marginals.
///
/// Source: MDPO (arXiv 2508.13148), whose code also lets a later block mask an earlier one's tokens;
/// here a block that is full stays.
#[derive(Debug, Clone)]
pub struct Rcr {
    score: Score,
    /// By position; whatever the sampler did not draw is certain.
    confidences: Vec<f64>,
}

impl Rcr {
    /// Confidence by this score; the source's is [`Score::Filtered`].
    pub fn new(score: Score) -> Self {
        Self { score, confidences: Vec::new() }
    }
}

impl Default for Rcr {
    /// Confidence in the filtered row.
    fn default() -> Self {
        Self::new(Score::Filtered)
    }
}

impl Unmasker for Rcr {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let drawn = self.score.draw_all(view)?;
        view.rank_by_confidence();
        let masked = drawn.len() - view.quota();
        self.confidences.resize(view.canvas().len(), 1.0);
        let old = view.canvas().revealed().map(|position| Rival {
            score: self.confidences[position],
            position,
            candidate: None,
        });
        let new = view.candidates().iter().enumerate().map(|(candidate, new)| Rival {
            score: new.confidence,
            position: new.position,
            candidate: Some(candidate),
        });
        let rivals = old.chain(new).collect();
        for candidate in keep_best(view, rivals, masked, &drawn) {
            let revealed = view.row(candidate);
            self.confidences[revealed.position] = revealed.confidence;
        }
        Ok(Next::EndStep)
    }
}
