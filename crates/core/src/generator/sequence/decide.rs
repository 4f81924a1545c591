//! One round of a step: the policy selects or ranks, the reviser looks back, the unmasker draws.

use super::{Answered, Held, Sequence};
use crate::observation::{Row, Scratch, Seen};
use crate::reviser::Revision;
use crate::unmasker::{DynUnmasker, Next, View};
use crate::{Error, Observation, Observer, Policy, Reviser, Unmasker};

impl Sequence {
    /// Has the round decided, and makes its moves.
    pub fn decide(
        &mut self,
        answered: &Answered<'_>,
        scratch: &mut Scratch,
        observer: &mut dyn Observer,
    ) -> Result<Next, Error> {
        let round = answered.round;
        let candidates = match round {
            0 => self.canvas.masked().count(),
            _ => answered.own.len(),
        };
        let seen = Seen {
            sequence: self.index,
            step: self.steps,
            followed: self.followed,
            canvas: self.ahead.as_ref().unwrap_or(&self.canvas),
            block_length: self.block_length,
            progress: self.progress,
            round,
            answer: answered.rows,
            hidden: answered.hidden,
            by_top: self.top_k().is_some(),
            rows: answered.own,
            candidates,
        };
        let (rows, stream, memory) = (&self.config.rows, self.stream.as_mut(), &mut self.filters);
        let mut view = View(Observation::new(seen, rows, stream, memory, scratch)?);
        observer.on_rows(&view.0);
        let next = match round {
            0 => self.roles.first_round(&mut view, self.held)?,
            _ => self.roles.later_round(&mut view, self.left)?,
        };
        if let Some(reviser) = &mut self.roles.reviser {
            for (position, drawn) in &view.0.scratch.reveals {
                reviser.revealed(*position, view.0.sureness(*position, drawn));
            }
        }
        let masked = |&&(position, _): &&(usize, _)| self.canvas.is_masked(position);
        let revealed = scratch.reveals.iter().filter(masked).count();
        self.left = scratch.selection.count.saturating_sub(revealed);
        if round == 0 {
            self.keeps = if scratch.kept_by_reviser { Held::ByReviser } else { Held::No };
        }
        if scratch.keep_open {
            self.keeps = Held::ByUnmasker;
        }
        self.check_progress(next, round, candidates, scratch)?;
        let next = self.make_moves(next, round, scratch, observer)?;
        let is_full = self.canvas.masked().next().is_none();
        self.held = if is_full { self.keeps } else { Held::No };
        Ok(next)
    }

    /// A round that reveals nothing is an error, unless it may.
    fn check_progress(
        &self,
        next: Next,
        round: usize,
        candidates: usize,
        scratch: &Scratch,
    ) -> Result<(), Error> {
        let ends = next == Next::EndStep;
        // While a schedule with a total has steps left, the run ends all the same.
        let may_wait = ends && candidates > 0 && !self.progress.is_last();
        // The sampler pass followed a reveal, so that the step has got somewhere; a full block is done with, or has
        // masks again.
        let is_done_with = self.keeps == Held::No || !scratch.remasks.is_empty();
        let is_over = ends && (round > 0 || candidates == 0 && is_done_with);
        let supposes = round > 0 && !scratch.drafts.is_empty();
        if scratch.reveals.is_empty() && !supposes && !may_wait && !is_over {
            return Err(self.no_progress());
        }
        Ok(())
    }
}

impl super::Roles {
    /// After the forward.
    fn first_round(&mut self, view: &mut View<'_>, held: Held) -> Result<Next, Error> {
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
        if selection.ranked.is_empty() && held != Held::ByUnmasker {
            return Ok(Next::EndStep);
        }
        // Passes look at nothing but what was selected, and at nothing that was masked again just now.
        let is_closed = selection.ranked.len() < candidates || !view.scratch.remasks.is_empty();
        let next = unmasker.decide(view)?;
        if is_closed && next == Next::Refine && !view.scratch.narrowed {
            view.narrow_to_best(usize::MAX);
        }
        Ok(next)
    }

    /// After a sampler pass.
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
        // Nothing is left to reveal for a policy that ranks nobody.
        if has_none {
            return Ok(Next::EndStep);
        }
        self.unmasker.decide(view)
    }
}

/// Without a policy every candidate is open.
fn decide_alone(unmasker: &mut dyn DynUnmasker, view: &mut View<'_>) -> Result<Next, Error> {
    let every = view.rows();
    view.scratch.selection.all_of(every);
    unmasker.decide(view)
}

/// Rejects selections of candidates that there are not, and of one twice.
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
            Some(true) => "it was selected already".to_owned(),
            None => format!("there are only {candidates} candidates, counted from 0"),
        };
        return Err(Error::BadSelection { sequence, by, candidate, reason });
    }
    Ok(())
}
