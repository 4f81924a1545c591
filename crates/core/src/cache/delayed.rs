use super::refresh::{Refresh, refresh_every};
use super::{CachePolicy, CacheView, Recompute};
use crate::denoiser::Changed;
use crate::{Error, range};

/// Caches tokens some forwards after their reveal: the delayed cache of dKV-Cache.
///
/// The first forward of a block computes all positions. Each later one computes all masked positions, those of
/// later blocks included, and each token that fewer than `delay` forwards have computed since it was revealed. A
/// token that is remasked or replaced waits again.
///
/// **Exactness.** Not exact: a cached token does not see the tokens revealed after its last forward.
///
/// Source: dKV-Cache (arXiv 2505.15781), the variant dKV-Cache-Decode: `llada_dkv_cache_decode.py` of
/// `horseee/dKV-Cache`, with a delay of 1 and a refresh every 4 to 16 forwards. That loop also computes all
/// positions in the second forward of a block. The delayed cache of d3LLM works on whole blocks:
/// [`Prefix::delay`](super::Prefix::delay). dKV-Cache-Greedy must know the next positions in advance, so it is not
/// a cache policy.
#[doc(alias = "delayed caching")]
#[doc(alias = "dKV-Cache")]
#[derive(Debug, Clone)]
pub struct Delayed {
    delay: u32,
    refresh: Refresh,
    /// For each position, the number of forwards that have computed its present token, up to `delay`. 0 while it
    /// is masked.
    computed: Vec<u32>,
}

impl Delayed {
    /// Creates a cache that keeps a token once `delay` forwards have computed it.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the delay is 0, or above 2³² − 1.
    pub fn new(delay: usize) -> Result<Self, Error> {
        let delay = range::between("delay", delay, 1..=u32::MAX as usize)? as u32;
        Ok(Self { delay, refresh: Refresh::default(), computed: Vec::new() })
    }

    refresh_every!();

    /// Counts the forwards of tokens that have changed, or are new to the policy, from 0.
    fn restart_changed(&mut self, sequence: &CacheView<'_>) {
        match sequence.changed {
            Changed::All => self.computed.clear(),
            Changed::Positions(changed) => {
                for &position in changed {
                    if let Some(computed) = self.computed.get_mut(position) {
                        *computed = 0;
                    }
                }
            }
        }
        self.computed.resize(sequence.canvas.len(), 0);
    }
}

impl CachePolicy for Delayed {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        self.restart_changed(sequence);
        let mut selected = Vec::new();
        for (position, computed) in self.computed.iter_mut().enumerate() {
            let is_masked = sequence.canvas.is_masked(position);
            if is_masked {
                *computed = 0;
            }
            if *computed < self.delay {
                selected.push(position);
                *computed += u32::from(!is_masked);
            }
        }
        if self.refresh.is_due(sequence) { Recompute::All } else { Recompute::Positions(selected) }
    }

    fn is_exact(&self) -> bool {
        self.refresh.is_always_due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canvas;

    fn select(policy: &mut Delayed, canvas: &Canvas, changed: &[usize], is_new: bool) -> Recompute {
        let changed = if is_new { Changed::All } else { Changed::Positions(changed.to_vec()) };
        let ages = vec![if is_new { None } else { Some(0) }; canvas.len()];
        let view = CacheView { canvas, changed: &changed, ages: &ages, required: &[] };
        policy.select(&view)
    }

    #[test]
    fn a_token_stays_cached_after_the_delay() {
        let mut canvas = Canvas::new(&[1], 3, 9).unwrap();
        let mut policy = Delayed::new(2).unwrap();
        let mut next = |canvas: &Canvas, changed: &[usize], is_new| {
            select(&mut policy, canvas, changed, is_new)
        };
        let positions = |positions: &[usize]| Recompute::Positions(positions.to_vec());
        assert_eq!(next(&canvas, &[], true), Recompute::All);
        canvas.reveal(2, 5).unwrap();
        // The prompt has been computed once.
        assert_eq!(next(&canvas, &[2], false), positions(&[0, 1, 2, 3]));
        assert_eq!(next(&canvas, &[], false), positions(&[1, 2, 3]));
        assert_eq!(next(&canvas, &[], false), positions(&[1, 3]));
        // Masked again, and revealed again.
        canvas.remask(2).unwrap();
        assert_eq!(next(&canvas, &[2], false), positions(&[1, 2, 3]));
        canvas.reveal(2, 6).unwrap();
        assert_eq!(next(&canvas, &[2], false), positions(&[1, 2, 3]));
        assert_eq!(next(&canvas, &[], false), positions(&[1, 2, 3]));
        assert_eq!(next(&canvas, &[], false), positions(&[1, 3]));
    }

    #[test]
    fn a_replaced_token_waits_again() {
        let mut canvas = Canvas::new(&[1], 2, 9).unwrap();
        let mut policy = Delayed::new(1).unwrap();
        canvas.reveal(1, 5).unwrap();
        select(&mut policy, &canvas, &[], true);
        let positions = |positions: &[usize]| Recompute::Positions(positions.to_vec());
        assert_eq!(select(&mut policy, &canvas, &[], false), positions(&[2]));
        canvas.remask(1).unwrap();
        canvas.reveal(1, 6).unwrap();
        assert_eq!(select(&mut policy, &canvas, &[1], false), positions(&[1, 2]));
        assert_eq!(select(&mut policy, &canvas, &[], false), positions(&[2]));
    }

    #[test]
    fn a_delay_of_0_is_rejected() {
        let error = Delayed::new(0).unwrap_err().to_string();
        assert!(error.contains("invalid value `0` for `delay`"), "{error}");
    }
}
