use super::{Reviser, Revision};
use crate::Error;
use crate::observation::Row;

/// Running confidence remasking: keeps the most confident of *all* that was generated, not only of what is new.
///
/// With m masked positions, of which the policy selects K, the m − K positions of the block with the lowest confidence
/// are masked after the step. A revealed token keeps the
/// confidence it had when it was revealed until it is masked; revealed again, it has a new one. A candidate has the
/// confidence of its row, or of its drafted token. Every step leaves K fewer masked, so that it ends when the policy does.
///
/// **Law.** Biased even at K = 1 where confidences are those of drafted tokens:
/// *where* depends on *what* was drawn. With all positions at once it is the unmasker's own law. The published strategy is
/// [`strategy::rcr`](crate::strategy::rcr), over drafts.
///
/// Source: MDPO (arXiv 2508.13148), whose code also lets a later block mask an earlier one's tokens;
/// here a block that is full stays.
#[derive(Debug, Clone, Default)]
pub struct Rcr {
    /// By position; whatever the sampler did not draw is certain.
    confidences: Vec<f64>,
}

/// A position that competes to be known.
struct Rival {
    score: f64,
    position: usize,
    /// The candidate it is; `None` if the position is revealed already.
    candidate: Option<Row>,
}

impl Reviser for Rcr {
    fn needs_whole_selection(&self) -> bool {
        true
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        self.confidences.resize(revision.canvas().len(), 1.0);
        let masked = revision.candidates().len() - revision.selected().len();
        let old = revision.canvas().revealed().map(|position| Rival {
            score: self.confidences[position],
            position,
            candidate: None,
        });
        let new = revision.candidates().iter().enumerate().map(|(candidate, new)| Rival {
            score: new.confidence,
            position: new.position,
            candidate: Some(Row::candidate(candidate)),
        });
        let mut rivals: Vec<Rival> = old.chain(new).collect();
        rivals.sort_unstable_by(|a, b| {
            let revealed_first = a.candidate.is_some().cmp(&b.candidate.is_some());
            b.score.total_cmp(&a.score).then(revealed_first).then(a.position.cmp(&b.position))
        });
        let (known, masked) = rivals.split_at(rivals.len() - masked);
        for rival in masked.iter().filter(|rival| rival.candidate.is_none()) {
            revision.remask(rival.position);
        }
        revision.select(known.iter().filter_map(|rival| rival.candidate));
        Ok(())
    }

    fn revealed(&mut self, position: usize, confidence: f64) {
        if let Some(known) = self.confidences.get_mut(position) {
            *known = confidence;
        }
    }
}
