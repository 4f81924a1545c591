//! One round of a step: the policy selects or ranks, the reviser revises, the unmasker draws.

use super::{KeptOpen, RoundRows, Sequence};
use crate::observation::{Row, Scratch, StepInput};
use crate::reviser::Revision;
use crate::unmasker::{DynUnmasker, Next, View};
use crate::{Error, Observation, Observer, Policy, Reviser, Unmasker};

impl Sequence {
    /// Decides the round and applies its moves.
    pub fn decide(
        &mut self,
        round_rows: &RoundRows<'_>,
        scratch: &mut Scratch,
        observer: &mut dyn Observer,
    ) -> Result<Next, Error> {
        let round = round_rows.round;
        let candidates = match round {
            0 => self.canvas.masked().count(),
            _ => round_rows.own.len(),
        };
        let input = StepInput {
            sequence: self.index,
            step: self.steps,
            followed: self.followed,
            canvas: self.draft_canvas.as_ref().unwrap_or(&self.canvas),
            blocks: self.blocks,
            progress: self.progress,
            round,
            answer: round_rows.rows,
            hidden: round_rows.hidden,
            by_top: self.top_k().is_some(),
            rows: round_rows.own,
            candidates,
        };
        let (rows, stream, memory) = (&self.config.rows, self.stream.as_mut(), &mut self.filters);
        let mut view = View(Observation::new(input, rows, stream, memory, scratch)?);
        observer.on_rows(&view.0);
        let next = match round {
            0 => self.roles.first_round(&mut view, self.kept_open)?,
            _ => self.roles.later_round(&mut view, self.left)?,
        };
        if let Some(reviser) = &mut self.roles.reviser {
            for (position, drawn) in &view.0.scratch.reveals {
                reviser.revealed(*position, view.0.revealed_confidence(*position, drawn));
            }
        }
        let masked = |&&(position, _): &&(usize, _)| self.canvas.is_masked(position);
        let revealed = scratch.reveals.iter().filter(masked).count();
        self.left = scratch.selection.count.saturating_sub(revealed);
        if round == 0 {
            self.keep_open =
                if scratch.kept_by_reviser { KeptOpen::ByReviser } else { KeptOpen::No };
        }
        if scratch.keep_open {
            self.keep_open = KeptOpen::ByUnmasker;
        }
        self.check_progress(next, round, candidates, scratch)?;
        let next = self.make_moves(next, round, scratch, observer)?;
        let is_full = self.canvas.masked().next().is_none();
        self.kept_open = if is_full { self.keep_open } else { KeptOpen::No };
        Ok(next)
    }

    /// Rejects a round that reveals nothing, unless that is allowed.
    fn check_progress(
        &self,
        next: Next,
        round: usize,
        candidates: usize,
        scratch: &Scratch,
    ) -> Result<(), Error> {
        let ends = next == Next::EndStep;
        // A schedule with a total ends even if a step reveals nothing, while it has steps left.
        let may_wait = ends && candidates > 0 && !self.progress.is_last();
        // After a sampler pass the step has revealed a token. A full block is finished, or has remasked positions.
        let is_finished = self.keep_open == KeptOpen::No || !scratch.remasks.is_empty();
        let is_over = ends && (round > 0 || candidates == 0 && is_finished);
        let places_draft = round > 0 && !scratch.drafts.is_empty();
        if scratch.reveals.is_empty() && !places_draft && !may_wait && !is_over {
            return Err(self.no_progress());
        }
        Ok(())
    }
}

impl super::Roles {
    /// Decides after the forward.
    fn first_round(&mut self, view: &mut View<'_>, kept_open: KeptOpen) -> Result<Next, Error> {
        let Self { unmasker, policy, reviser, .. } = self;
        let candidates = view.candidates().len();
        let Some(policy) = policy else {
            return decide_alone(unmasker, view);
        };
        let mut selection = std::mem::take(&mut view.scratch.selection);
        selection.ranked.clear();
        selection.count = 0;
        if candidates > 0 {
            unmasker.draft(view)?;
            policy.select(&mut view.0, &mut selection)?;
            check_selection(policy.name(), &selection.ranked, view)?;
        }
        view.scratch.selection = selection;
        if let Some(reviser) = reviser {
            reviser.revise(&mut Revision(view))?;
            view.scratch.kept_by_reviser = std::mem::take(&mut view.scratch.keep_open);
            let selection = std::mem::take(&mut view.scratch.selection);
            let checked = check_selection(reviser.name(), &selection.ranked, view);
            view.scratch.selection = selection;
            checked?;
        }
        let selection = &view.scratch.selection;
        if selection.ranked.is_empty() && kept_open != KeptOpen::ByUnmasker {
            return Ok(Next::EndStep);
        }
        // Sampler passes compute selected positions only, without those that were remasked in this step.
        let is_closed = selection.ranked.len() < candidates || !view.scratch.remasks.is_empty();
        let next = unmasker.decide(view)?;
        if is_closed && next == Next::Refine && !view.scratch.narrowed {
            view.narrow_to_best(usize::MAX);
        }
        Ok(next)
    }

    /// Decides after a sampler pass.
    fn later_round(&mut self, view: &mut View<'_>, left: usize) -> Result<Next, Error> {
        let Some(policy) = &mut self.policy else {
            return decide_alone(&mut self.unmasker, view);
        };
        let mut selection = std::mem::take(&mut view.scratch.selection);
        selection.ranked.clear();
        selection.count = left;
        let ranked = policy.rank(&mut view.0, &mut selection.ranked);
        let checked = ranked.and_then(|()| check_selection(policy.name(), &selection.ranked, view));
        let has_none = selection.ranked.is_empty();
        view.scratch.selection = selection;
        checked?;
        // A policy that ranks no candidate ends the step.
        if has_none {
            return Ok(Next::EndStep);
        }
        self.unmasker.decide(view)
    }
}

/// Without a policy, every candidate is selected.
fn decide_alone(unmasker: &mut dyn DynUnmasker, view: &mut View<'_>) -> Result<Next, Error> {
    let every = view.rows();
    view.scratch.selection.all_of(every);
    unmasker.decide(view)
}

/// Rejects a selection with a candidate that does not exist, or with one candidate twice.
fn check_selection(by: &'static str, ranked: &[Row], view: &mut View<'_>) -> Result<(), Error> {
    let (sequence, candidates) = (view.sequence(), view.candidates().len());
    let marked = &mut view.scratch.marked;
    marked.clear();
    marked.resize(candidates, false);
    for row in ranked {
        let candidate = row.index();
        let reason = match marked.get_mut(candidate) {
            Some(false) => {
                marked[candidate] = true;
                continue;
            }
            Some(true) => "it is selected twice".to_owned(),
            None => format!("there are only {candidates} candidates, numbered from 0"),
        };
        return Err(Error::BadSelection { sequence, by, candidate, reason });
    }
    Ok(())
}
