use std::ops::Range;

use super::{Policy, Selection, by_confidence};
use crate::{Error, Observation, range};

/// SlowFast sampling: alternates between slow steps, which find a stable span, and fast steps, which fill it.
///
/// c is a candidate's confidence. Each cycle begins at the end of the last span:
/// - **Slow**, k steps: each estimates the end of the span as the last masked position with c ≥ c_span, and
///   selects from all positions from the start of the cycle on. The estimate is final once two in a row differ
///   by at most one position; until then it is their mean, rounded down.
/// - **Fast**: selects within the span until it is full.
///
/// Both select every position in scope with c ≥ c_fill, and always the best one.
///
/// With c_fill = 1 every token except the first of a step is certain, so it is exact with an unmasker that
/// does not draft. Source: SlowFast sampling (arXiv 2506.10848), k = 6, c_span = 0.3, c_fill = 0.9, by the
/// raw probability of the drawn token ([`Score::Raw`](crate::unmasker::Score::Raw)). As in its code, all k
/// slow steps are taken even if the span is final earlier. Unlike there, fast steps see the whole canvas, not
/// only the positions left of the span's end.
#[doc(alias = "SlowFast sampling")]
#[derive(Debug, Clone, PartialEq)]
pub struct SlowFast {
    slow_steps: usize,
    span_confidence: f64,
    fill_confidence: f64,
    cycle: Cycle,
}

/// The state of the current cycle.
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

    /// Adds an estimate of the span's end.
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
    /// Creates the policy with k slow steps a cycle and the confidences c_span and c_fill.
    ///
    /// # Errors
    /// [`Error::Parameter`] if k is 0, or a confidence is not from 0 to 1.
    pub fn new(
        slow_steps: usize,
        span_confidence: f64,
        fill_confidence: f64,
    ) -> Result<Self, Error> {
        Ok(Self {
            slow_steps: range::at_least("slow steps", slow_steps, 1)?,
            span_confidence: range::probability("span confidence", span_confidence)?,
            fill_confidence: range::probability("fill confidence", fill_confidence)?,
            cycle: Cycle::default(),
        })
    }

    /// The positions that this step may select. Begins a new cycle if the last one has ended.
    fn scope(&mut self, observation: &Observation<'_>) -> Range<usize> {
        let (block, rows) = (observation.canvas().block(), observation.candidates());
        if observation.progress().step == 0 {
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
        let confident = rows.iter().rev().find(|row| row.confidence >= self.span_confidence);
        self.cycle.estimate(confident.map_or(start, |row| row.position) + 1);
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

impl Policy for SlowFast {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let scope = self.scope(rows);
        let candidates = rows.candidates();
        let in_scope = |&i: &usize| scope.contains(&candidates[i].position);
        let mut in_scope: Vec<usize> = (0..candidates.len()).filter(in_scope).collect();
        if in_scope.is_empty() {
            // All masked positions are left of the cycle, because a reviser remasked them.
            self.cycle = Cycle::begin(rows.canvas().block().start);
            in_scope.extend(0..candidates.len());
        }
        let best_first = by_confidence(candidates, in_scope);
        let confident = best_first.iter().skip(1);
        let confident =
            confident.take_while(|&&row| rows.row(row).confidence >= self.fill_confidence).count();
        selection.all_of(best_first.into_iter().take(1 + confident));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_close_estimates_settle_a_span() {
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
    fn parameters_are_checked() {
        assert!(SlowFast::new(0, 0.3, 0.9).is_err());
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(SlowFast::new(6, bad, 0.9).is_err() && SlowFast::new(6, 0.3, bad).is_err());
        }
        assert!(SlowFast::new(1, 0.0, 1.0).is_ok());
    }
}
