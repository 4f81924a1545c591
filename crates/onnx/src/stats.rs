//! How often a model was called, and where the time went.

use std::ops::Sub;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;

/// Time that a model and its sampler layers have spent in ONNX Runtime since the model was opened.
///
/// What a piece of work took is the difference of two readings:
///
/// ```no_run
/// # use conjoint_onnx::{ExecutionProvider, OnnxDenoiser};
/// let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
/// let before = model.stats();
/// // … generate …
/// let spent = model.stats() - before;
/// println!("{} forwards, {:?} of it in the head", spent.forwards.calls, spent.forwards.head);
/// # Ok::<(), conjoint_onnx::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuntimeStats {
    /// Full forwards, each of a whole batch: the backbone, and the head on the rows wanted.
    pub forwards: Calls,
    /// Sampler passes, each of a whole batch: the sampler layer, and the head on the rows wanted.
    pub passes: Calls,
    /// Rows fetched whole that a top-K head had answered by their top; their time is all in the head.
    pub fetches: Calls,
}

/// Calls of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many.
    pub calls: u64,
    /// From tokens to hidden states.
    pub hidden: Duration,
    /// From hidden states to logits.
    pub head: Duration,
    /// What the head gave to the host: 4 V bytes for each dense row, 12 K and some for a condensed one.
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

/// Saturates at nothing if `earlier` is the later one.
impl Sub for Calls {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            hidden: self.hidden.saturating_sub(earlier.hidden),
            head: self.head.saturating_sub(earlier.head),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// Adds up [`Calls`]. A call takes milliseconds, so that looking at the time costs nothing beside it.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Calls>);

impl Clock {
    /// Runs the two halves of a call, and counts it if both succeed. The second returns the size of its answer in bytes.
    pub fn call<H, L>(
        &self,
        hidden: impl FnOnce() -> Result<H, Error>,
        head: impl FnOnce(&H) -> Result<(L, u64), Error>,
    ) -> Result<(H, L), Error> {
        let start = Instant::now();
        let states = hidden()?;
        let half = Instant::now();
        let (rows, bytes) = head(&states)?;
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.calls += 1;
        calls.hidden += half - start;
        calls.head += half.elapsed();
        calls.bytes += bytes;
        Ok((states, rows))
    }

    /// What has been added up.
    pub fn read(&self) -> Calls {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_half_has_its_time_and_failures_do_not_count() {
        let wait = |ms| std::thread::sleep(Duration::from_millis(ms));
        let clock = Clock::default();
        let (states, logits) = clock
            .call(
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
        assert_eq!((once.calls, once.bytes), (1, 40));
        assert!(once.hidden >= Duration::from_millis(2) && once.head >= Duration::from_millis(1));
        assert!(clock.call(|| Ok(()), |()| Err::<((), _), _>(Error::EmptyBatch)).is_err());
        assert!(clock.call(|| Err::<(), _>(Error::EmptyBatch), |()| Ok(((), 1))).is_err());
        assert_eq!(clock.read(), once);
        assert_eq!(clock.read() - once, Calls::default());
    }
}
