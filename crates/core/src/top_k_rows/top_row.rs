use super::TopKRows;
use crate::{Canvas, RowStats, TokenId};

/// A top-K row to filter: its top, and whether other tokens are possible.
///
/// A filter returns false from [`apply_top`](crate::Filter::apply_top) if the top does not determine its
/// effect on the whole row. The row is then fetched and filtered whole.
pub struct TopRow<'a> {
    /// The position whose row it is.
    pub position: usize,
    /// The sequence in its current state.
    pub canvas: &'a Canvas,
    rows: &'a TopKRows,
    row: usize,
    memory: &'a mut TopMemory,
    /// The product of the temperatures that divided the logits.
    temperature: f32,
    /// Whether tokens outside of the top are possible.
    has_rest: bool,
}

/// Buffers of top rows, reused from row to row.
#[derive(Debug, Default)]
pub(crate) struct TopMemory {
    /// The tokens of the top that are still possible, with their logits; the most probable first.
    pub entries: Vec<(f32, TokenId)>,
    /// Ruled-out tokens outside of the top, with their logits before any filter.
    outside: Vec<(f32, TokenId)>,
    /// Logits to draw from.
    pub logits: Vec<f32>,
}

/// The tokens outside of the top, relative to the row's maximum.
struct Rest {
    /// Σ e^z.
    mass: f64,
    /// Σ z e^z.
    weighted: f64,
}

impl<'a> TopRow<'a> {
    pub(crate) fn new(
        rows: &'a TopKRows,
        row: usize,
        (position, canvas): (usize, &'a Canvas),
        memory: &'a mut TopMemory,
    ) -> Self {
        memory.outside.clear();
        memory.entries.clear();
        let possible = |&(logit, _): &(f32, TokenId)| logit > f32::NEG_INFINITY;
        memory.entries.extend(rows.top(row).filter(possible));
        let k = rows.top(row).len();
        let has_rest = memory.entries.len() == k && k < rows.vocabulary();
        Self { position, canvas, rows, row, memory, temperature: 1.0, has_rest }
    }

    /// The tokens of the top that are still possible, as (logit, token). The most probable comes first, the
    /// lower id among equals.
    pub fn entries(&self) -> &[(f32, TokenId)] {
        &self.memory.entries
    }

    /// Whether tokens outside of [`entries`](Self::entries) may be possible. They are less probable than all
    /// entries, or equal with a higher id.
    pub fn has_rest(&self) -> bool {
        self.has_rest
    }

    /// Keeps the first `n` entries and rules out all other tokens.
    pub fn keep(&mut self, n: usize) {
        self.memory.entries.truncate(n);
        self.has_rest = false;
    }

    /// Divides the row by a temperature that was [requested](super::TopKRequest::divide).
    pub fn divide(&mut self, temperature: f32) {
        self.temperature *= temperature;
        self.memory.entries.iter_mut().for_each(|(logit, _)| *logit = divided(*logit, temperature));
    }

    /// Rules out a token. False if its logit is unknown: it is neither in the top nor
    /// [requested](super::TopKRequest::require_token).
    #[must_use]
    pub fn rule_out(&mut self, token: TokenId) -> bool {
        let memory = &mut *self.memory;
        if let Some(place) = memory.entries.iter().position(|&(_, id)| id == token) {
            memory.entries.remove(place);
            return true;
        }
        let known = |&(_, id): &(f32, TokenId)| id == token;
        let is_gone = !self.has_rest
            || token as usize >= self.rows.vocabulary()
            || memory.outside.iter().any(known)
            || self.rows.top(self.row).any(|entry| known(&entry));
        if is_gone {
            return true;
        }
        let logit = self.rows.logit(self.row, token);
        memory.outside.extend(logit.map(|logit| (logit, token)));
        let known = self.rows.top(self.row).len() + memory.outside.len();
        self.has_rest = known < self.rows.vocabulary();
        logit.is_some()
    }

    /// Σ e^(logit − first entry's logit) over all possible tokens. `None` if the top does not determine it.
    pub fn total(&self) -> Option<f64> {
        self.sums().map(|(mass, _)| mass)
    }

    /// The mass of the possible tokens outside of the top, relative to the first entry's logit. `None` if the
    /// top does not determine it.
    pub(crate) fn rest_mass(&self) -> Option<f64> {
        match self.has_rest {
            false => Some(0.0),
            true => self.rest().map(|rest| rest.mass),
        }
    }

    /// The statistics of the filtered row. `None` if the top does not determine them.
    pub(crate) fn stats(&self) -> Option<RowStats> {
        let entries = self.entries();
        let &(max, top) = entries.first()?;
        if entries.len() < 2 && self.has_rest {
            return None;
        }
        let (mass, weighted) = self.sums()?;
        let p2 = entries.get(1).map_or(0.0, |&(second, _)| relative(second, max).exp() / mass);
        let entropy = (mass.ln() - weighted / mass).max(0.0);
        Some(RowStats { log_z: f64::from(max) + mass.ln(), entropy, top, p1: 1.0 / mass, p2 })
    }

    /// Σ e^z and Σ z e^z over all possible tokens, relative to the first entry.
    fn sums(&self) -> Option<(f64, f64)> {
        let &(max, _) = self.entries().first()?;
        let (mut mass, mut weighted) = (0.0, 0.0);
        for &(logit, _) in self.entries() {
            let z = relative(logit, max);
            mass += z.exp();
            weighted += z * z.exp();
        }
        if self.has_rest {
            let rest = self.rest()?;
            mass += rest.mass;
            weighted += rest.weighted;
        }
        Some((mass, weighted))
    }

    /// The mass of the row without its top and the ruled-out tokens. `None` if the mass at this temperature
    /// is unknown, or if most of it is subtracted, which would leave too few digits of float32.
    fn rest(&self) -> Option<Rest> {
        let (mass, entropy) = self.rows.measured(self.row, self.temperature)?;
        let (whole, mut left, mut weighted) = (mass, mass, mass * (mass.ln() - entropy));
        let (max, _) = self.rows.top(self.row).next()?;
        let scaled = |logit: f32| relative(logit, max) / f64::from(self.temperature);
        let outside = self.memory.outside.iter().copied();
        for z in self.rows.top(self.row).chain(outside).map(|(logit, _)| scaled(logit)) {
            if z > f64::NEG_INFINITY {
                left -= z.exp();
                weighted -= z * z.exp();
            }
        }
        let &(first, _) = self.entries().first()?;
        // From the row's maximum to the first entry. They differ if the maximum was ruled out.
        let shift = relative(divided(max, self.temperature), first);
        let kept: f64 = self.entries().iter().map(|&(logit, _)| relative(logit, first).exp()).sum();
        let (left, weighted) = (left.max(0.0), weighted.min(0.0));
        let rest =
            Rest { mass: left * shift.exp(), weighted: (weighted + shift * left) * shift.exp() };
        (2.0 * (kept + rest.mass) >= whole * shift.exp()).then_some(rest)
    }
}

/// Divides, clamped to finite values: large logits over a small temperature would overflow and lose their
/// order.
pub(crate) fn divided(logit: f32, temperature: f32) -> f32 {
    (logit / temperature).clamp(f32::MIN, f32::MAX)
}

fn relative(logit: f32, to: f32) -> f64 {
    f64::from(logit) - f64::from(to)
}
