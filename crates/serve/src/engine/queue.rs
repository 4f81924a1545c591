//! The places of sequences, which run or wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the sequences that run or wait, so that a request with several gets places for all of them or none.
pub struct Places {
    most: usize,
    state: Mutex<State>,
}

struct State {
    taken: usize,
    closed: bool,
}

/// A place. Dropping it frees it.
pub struct Place(Arc<Places>);

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// Too many places are taken.
    Full,
    /// The request alone has more sequences than there are places.
    TooMany,
    /// The engine is stopping.
    Closed,
}

impl Places {
    /// At most `most` places.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::new(State { taken: 0, closed: false }) })
    }

    /// Takes `count` places.
    pub fn reserve(self: &Arc<Self>, count: usize) -> Result<Vec<Place>, NoPlace> {
        let mut state = self.state();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        if count > self.most {
            return Err(NoPlace::TooMany);
        }
        if state.taken + count > self.most {
            return Err(NoPlace::Full);
        }
        state.taken += count;
        Ok((0..count).map(|_| Place(self.clone())).collect())
    }

    /// Rejects all later requests.
    pub fn close(&self) {
        self.state().closed = true;
    }

    /// Whether requests are rejected.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The number of sequences that run or wait.
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    /// The number of places.
    pub fn most(&self) -> usize {
        self.most
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().taken -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_all_its_places_or_none() {
        let places = Places::new(3);
        let error = |count| places.reserve(count).err();
        let mut first = places.reserve(2).unwrap();
        assert_eq!((error(2), error(4)), (Some(NoPlace::Full), Some(NoPlace::TooMany)));
        assert_eq!(places.taken(), 2);
        first.pop();
        let second = places.reserve(2).unwrap();
        assert_eq!(places.taken(), 3);
        drop((first, second));
        assert_eq!(places.taken(), 0);
        places.close();
        assert_eq!(error(1), Some(NoPlace::Closed));
    }
}
