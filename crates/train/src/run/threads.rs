//! Parallel maps whose results do not depend on timing.

use crate::error::TrainError;

/// Applies `work` to each of `parts` in parallel, and returns the results in the parts' order. The calling thread takes
/// the first part.
pub(crate) fn map<P: Send, R: Send>(
    parts: Vec<P>,
    work: impl Fn(P) -> R + Sync,
) -> Result<Vec<R>, TrainError> {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return Ok(Vec::new()) };
    let work = &work;
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let first = Ok(work(first));
        let others = others.into_iter().map(|thread| thread.join().map_err(|_| TrainError::Worker));
        std::iter::once(first).chain(others).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_parts_order() {
        let slow_first = |i: u64| {
            std::thread::sleep(std::time::Duration::from_millis(20 - 4 * i));
            i * i
        };
        assert_eq!(map((0..5).collect(), slow_first).unwrap(), [0, 1, 4, 9, 16]);
        assert!(map(Vec::new(), slow_first).unwrap().is_empty());
    }
}
