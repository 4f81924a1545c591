use std::ops::Range;

use super::{Policy, Selection, by_confidence, share};
use crate::{Error, Observation};

/// Explores slowly until a span is worth filling, then fills it fast; again and again along the block.
///
/// c is a candidate's confidence. Each cycle begins where the last span ended:
/// - **Slow**, k steps: each estimates how far the span reaches, to the last masked position with
///   c ≥ c_span, and selects from all that follows. The estimate stands once two in a row differ by at most
///   one position; until then it is their mean, rounded down.
/// - **Fast**: selects within the span until it is full.
///
/// Both select every position in sight with c ≥ c_fill, and always the best one.
///
/// With c_fill = 1 every token but the first of a step is certain, so that with an unmasker that does not draft it is
/// exact. Source: SlowFast sampling (arXiv
/// 2506.10848): k = 6, c_span = 0.3, c_fill = 0.9, by the raw probability of the drawn token
/// ([`Score::Raw`](crate::unmasker::Score::Raw)). As in its code all k slow steps are taken, even once the
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
        let span_confidence = share("span confidence", span_confidence)?;
        let fill_confidence = share("fill confidence", fill_confidence)?;
        Ok(Self { slow_steps, span_confidence, fill_confidence, cycle: Cycle::default() })
    }

    /// What this step may select from, ending or beginning a cycle if need be.
    fn scope(&mut self, seen: &Observation<'_>) -> Range<usize> {
        let (block, rows) = (seen.canvas().block(), seen.candidates());
        if seen.progress().step == 0 {
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
            // All that is left was masked again, left of the cycle: begin anew.
            self.cycle = Cycle::begin(rows.canvas().block().start);
            in_scope.extend(0..candidates.len());
        }
        let best_first = by_confidence(candidates, in_scope);
        let sure = best_first.iter().skip(1);
        let sure =
            sure.take_while(|&&row| rows.row(row).confidence >= self.fill_confidence).count();
        selection.all_of(best_first.into_iter().take(1 + sure));
        Ok(())
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
