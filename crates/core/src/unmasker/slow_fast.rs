use std::ops::Range;

use super::{Before, Next, Score, Turn, Unmasker, View};
use crate::Error;

/// Explores slowly until a span is worth filling, then fills it fast; again and again along the block.
///
/// c is the probability of the token drawn at a position, in the row as the model gave it. Each cycle begins
/// where the last span ended:
/// - **Slow**, k steps: each estimates how far the span reaches, to the last masked position with
///   c ≥ c_span, and reveals from all that follows. The estimate stands once two in a row differ by at most
///   one position; until then it is their mean, rounded down.
/// - **Fast**: reveals within the span until it is full.
///
/// Both reveal every position in sight with c ≥ c_fill, and always the best one. The schedule has no say.
///
/// **Law.** Biased when tokens are sampled, as [`Confidence`](super::Confidence): *where* depends on *what*
/// was drawn. With c_fill = 1 every token but the first of a step is certain; if the slow steps suffice for the
/// whole block it is then `Confidence` by [`Score::Raw`] at K = 1. Source: SlowFast sampling (arXiv
/// 2506.10848): k = 6, c_span = 0.3, c_fill = 0.9. As in its code all k slow steps are taken, even once the
/// span is settled; unlike there, fast steps see the whole canvas, not only what lies left of the span's end.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowFast {
    slow_steps: usize,
    span_confidence: f64,
    fill_confidence: f64,
    cycle: Cycle,
}

/// Where the current cycle stands.
#[derive(Debug, Clone, Default, PartialEq)]
struct Cycle {
    /// Slow steps taken.
    explored: usize,
    span: Range<usize>,
    /// The last estimate of the span's end.
    estimate: Option<usize>,
    settled: bool,
}

impl Cycle {
    fn begin(start: usize) -> Self {
        Self { span: start..start, ..Self::default() }
    }

    /// Takes in one more estimate of the span's end.
    fn estimate(&mut self, end: usize) {
        self.explored += 1;
        if self.settled {
            return;
        }
        let last = self.estimate.replace(end);
        self.settled = last.is_some_and(|last| last.abs_diff(end) <= 1);
        self.span.end = if self.settled { end } else { usize::midpoint(last.unwrap_or(end), end) };
    }
}

impl SlowFast {
    /// With k slow steps a cycle and the confidences c_span and c_fill.
    ///
    /// # Errors
    /// [`Error::Parameter`] if k is 0, or a confidence is not in 0..=1.
    pub fn new(
        slow_steps: usize,
        span_confidence: f64,
        fill_confidence: f64,
    ) -> Result<Self, Error> {
        if slow_steps == 0 {
            return Err(Error::parameter("slow steps", slow_steps, "at least 1"));
        }
        for (name, c) in
            [("span confidence", span_confidence), ("fill confidence", fill_confidence)]
        {
            if !(0.0..=1.0).contains(&c) {
                return Err(Error::parameter(name, c, "a number from 0 to 1"));
            }
        }
        Ok(Self { slow_steps, span_confidence, fill_confidence, cycle: Cycle::default() })
    }

    /// What this step may reveal from, ending or beginning a cycle if need be.
    fn scope(&mut self, view: &View<'_>) -> Range<usize> {
        let (block, rows) = (view.canvas().block(), view.candidates());
        if view.progress().step == 0 {
            self.cycle = Cycle::begin(block.start);
        }
        let span = self.cycle.span.clone();
        let is_full = !rows.iter().any(|row| span.contains(&row.position));
        if self.cycle.explored >= self.slow_steps && is_full {
            self.cycle = Cycle::begin(span.end);
        }
        if self.cycle.explored >= self.slow_steps {
            return span;
        }
        let start = self.cycle.span.start;
        let sure = rows.iter().rev().find(|row| row.confidence >= self.span_confidence);
        self.cycle.estimate(sure.map_or(start, |row| row.position) + 1);
        start..block.end
    }
}

impl Default for SlowFast {
    /// k = 6, c_span = 0.3, c_fill = 0.9.
    fn default() -> Self {
        let cycle = Cycle::default();
        Self { slow_steps: 6, span_confidence: 0.3, fill_confidence: 0.9, cycle }
    }
}

impl Unmasker for SlowFast {
    fn prepare(&mut self, _: &mut Before<'_>) -> Result<Turn, Error> {
        Ok(Turn::Forward)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let drawn = Score::Raw.draw_all(view)?;
        let scope = self.scope(view);
        view.rank_by_confidence();
        let ranks = 0..view.candidates().len();
        let in_scope = |&candidate: &usize| scope.contains(&view.row(candidate).position);
        let mut best_first = ranks.map(|rank| view.ranked(rank)).filter(in_scope);
        let best = best_first.next();
        let sure = best_first.take_while(|&i| view.row(i).confidence >= self.fill_confidence);
        let together: Vec<usize> = best.into_iter().chain(sure).collect();
        together.into_iter().for_each(|candidate| view.reveal(candidate, drawn[candidate]));
        view.keep_drawn(drawn);
        Ok(Next::EndStep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_settled_by_two_estimates_that_agree() {
        let mut cycle = Cycle::begin(4);
        let mut after = |end| {
            cycle.estimate(end);
            (cycle.span.clone(), cycle.settled)
        };
        assert_eq!(after(9), (4..9, false));
        assert_eq!(after(14), (4..11, false));
        assert_eq!(after(13), (4..13, true));
        assert_eq!(after(5), (4..13, true));
        assert_eq!(cycle.explored, 4);
    }

    #[test]
    fn bounds() {
        assert!(SlowFast::new(0, 0.3, 0.9).is_err());
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(SlowFast::new(6, bad, 0.9).is_err() && SlowFast::new(6, 0.3, bad).is_err());
        }
        assert!(SlowFast::new(1, 0.0, 1.0).is_ok());
    }
}
