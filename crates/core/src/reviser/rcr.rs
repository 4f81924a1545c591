use super::{Reviser, Revision};
use crate::Error;
use crate::observation::Row;

/// MDPO's running confidence remasking (RCR): keeps the most confident tokens among old and new ones.
///
/// If m positions are masked and the policy selects K of them, the m − K positions of the block with the
/// lowest confidence are masked after the step. A revealed token keeps its confidence until it is
/// remasked. A candidate has the confidence of its row, or of its drafted token. Every step leaves K fewer
/// positions masked, so the number of steps is that of the policy.
///
/// **Law.** Biased even at K = 1 if confidences are those of drafted tokens, because *where* then depends on
/// *what* was drawn. With all positions in one step it is the unmasker's own law. The published strategy is
/// [`strategy::rcr`](crate::strategy::rcr), over drafts.
///
/// Source: MDPO (arXiv 2508.13148). In its code a later block can mask tokens of an earlier one; here a full
/// block stays.
#[doc(alias = "MDPO")]
#[doc(alias = "running confidence remasking")]
#[derive(Debug, Clone, Default)]
pub struct Rcr {
    /// By position; 1 for tokens that were not drawn.
    confidences: Vec<f64>,
}

/// A position that competes to stay revealed.
struct Rival {
    score: f64,
    position: usize,
    /// The candidate; `None` if the position is revealed already.
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
