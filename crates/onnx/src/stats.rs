//! Calls of a model, and their time.

use std::ops::Sub;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Calls and time of a model and its sampler layers in ONNX Runtime since the model was opened.
///
/// Subtract two readings to measure a piece of work:
///
/// ```no_run
/// # use conjoint_onnx::{ExecutionProvider, OnnxDenoiser};
/// let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
/// let before = model.stats();
/// // … generate …
/// let stats = model.stats() - before;
/// println!("{} forward passes, {:?} in the head", stats.forwards.calls, stats.forwards.head);
/// # Ok::<(), conjoint_onnx::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[doc(alias("NFE", "timing", "profiling"))]
pub struct RuntimeStats {
    /// Full forward passes, each of a whole batch: the backbone, and the head on the requested rows.
    pub forwards: Calls,
    /// Sampler passes, each of a whole batch: the sampler layer, and the head on the requested rows.
    pub passes: Calls,
    /// Fetches of whole rows after top-K rows. Their time is all in the head.
    pub fetches: Calls,
}

/// Calls of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Number of calls.
    pub calls: u64,
    /// Rows that the calls computed, summed: without a cache, the positions of all sequences.
    pub rows: u64,
    /// Time from tokens to hidden states.
    pub hidden: Duration,
    /// Time from hidden states to logits.
    pub head: Duration,
    /// Bytes copied from the head to the host: 4 V for each dense row, slightly more than 12 K for each top-K
    /// row.
    pub bytes: u64,
}

impl Sub for RuntimeStats {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            forwards: self.forwards - earlier.forwards,
            passes: self.passes - earlier.passes,
            fetches: self.fetches - earlier.fetches,
        }
    }
}

/// Saturates at zero.
impl Sub for Calls {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            rows: self.rows.saturating_sub(earlier.rows),
            hidden: self.hidden.saturating_sub(earlier.hidden),
            head: self.head.saturating_sub(earlier.head),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// Adds up [`Calls`]. A call takes milliseconds, so the cost of reading the clock is negligible.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Calls>);

impl Clock {
    /// Runs the two halves of a call of `rows` rows, and counts it if both succeed. The second half returns its
    /// rows of logits with their size in bytes.
    pub fn call<H, L>(
        &self,
        rows: usize,
        hidden: impl FnOnce() -> Result<H, Error>,
        head: impl FnOnce(&H) -> Result<(L, u64), Error>,
    ) -> Result<(H, L), Error> {
        let start = Instant::now();
        let states = hidden()?;
        let half = Instant::now();
        let (logits, bytes) = head(&states)?;
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.calls += 1;
        calls.rows += rows as u64;
        calls.hidden += half - start;
        calls.head += half.elapsed();
        calls.bytes += bytes;
        Ok((states, logits))
    }

    /// The totals.
    pub fn read(&self) -> Calls {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_timed_and_failures_are_not_counted() {
        let wait = |ms| std::thread::sleep(Duration::from_millis(ms));
        let clock = Clock::default();
        let (states, logits) = clock
            .call(
                5,
                || {
                    wait(2);
                    Ok(3)
                },
                |states| {
                    wait(1);
                    Ok((states + 1, 40))
                },
            )
            .unwrap();
        assert_eq!((states, logits), (3, 4));
        let once = clock.read();
        assert_eq!((once.calls, once.rows, once.bytes), (1, 5, 40));
        assert!(once.hidden >= Duration::from_millis(2) && once.head >= Duration::from_millis(1));
        assert!(clock.call(1, || Ok(()), |()| Err::<((), _), _>(Error::EmptyBatch)).is_err());
        assert!(clock.call(1, || Err::<(), _>(Error::EmptyBatch), |()| Ok(((), 1))).is_err());
        assert_eq!(clock.read(), once);
        assert_eq!(clock.read() - once, Calls::default());
    }
}
