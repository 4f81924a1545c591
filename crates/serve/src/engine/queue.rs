//! The places in the queue.

use std::sync::Mutex;

/// Counts the sequences that wait, so that a request with several sequences gets places for all of them or none.
pub struct Places {
    most: usize,
    state: Mutex<State>,
}

struct State {
    waiting: usize,
    closed: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// Too many sequences wait.
    Full,
    /// The request alone has more sequences than the queue.
    TooMany,
    /// The engine is stopping.
    Closed,
}

impl Places {
    /// A queue of at most `most` sequences.
    pub fn new(most: usize) -> Self {
        Self { most, state: Mutex::new(State { waiting: 0, closed: false }) }
    }

    /// Reserves `count` places.
    pub fn reserve(&self, count: usize) -> Result<(), NoPlace> {
        let mut state = self.state();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        if count > self.most {
            return Err(NoPlace::TooMany);
        }
        if state.waiting + count > self.most {
            return Err(NoPlace::Full);
        }
        state.waiting += count;
        Ok(())
    }

    /// Frees the place of a sequence that begins or is dropped.
    pub fn free(&self) {
        self.state().waiting -= 1;
    }

    /// Rejects all later requests.
    pub fn close(&self) {
        self.state().closed = true;
    }

    /// Whether requests are rejected.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The number of sequences that wait.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// The number of places.
    pub fn most(&self) -> usize {
        self.most
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_all_its_places_or_none() {
        let places = Places::new(3);
        assert_eq!(places.reserve(2), Ok(()));
        assert_eq!(places.reserve(2), Err(NoPlace::Full));
        assert_eq!(places.waiting(), 2);
        assert_eq!(places.reserve(4), Err(NoPlace::TooMany));
        places.free();
        assert_eq!(places.reserve(2), Ok(()));
        places.close();
        assert_eq!(places.reserve(1), Err(NoPlace::Closed));
    }
}
