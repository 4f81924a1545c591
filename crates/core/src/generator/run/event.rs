use crate::observer::Reveal;
use crate::{Canvas, Error, Observer, Output};

/// An event of a [step](super::Run::step).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A sequence began.
    Begin {
        /// Its index.
        sequence: usize,
    },
    /// A token was revealed.
    Reveal(Reveal),
    /// A revealed position was remasked.
    Remask {
        /// The sequence's index.
        sequence: usize,
        /// The position.
        position: usize,
    },
    /// A sequence finished, or was cancelled, perhaps before it began. Its [output](super::Run::take) can be
    /// taken. Filling after an end-of-sequence id is in the output and was not reported as revealed.
    Finish {
        /// Its index.
        sequence: usize,
    },
    /// A sequence failed. Its [error](super::Run::take) can be taken.
    Fail {
        /// Its index.
        sequence: usize,
    },
}

/// Records events.
pub(super) struct Recorder(pub Vec<Event>);

impl Observer for Recorder {
    fn on_begin(&mut self, sequence: usize, _: &Canvas) {
        self.0.push(Event::Begin { sequence });
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0.push(Event::Reveal(*reveal));
    }

    fn on_remask(&mut self, sequence: usize, _: usize, position: usize) {
        self.0.push(Event::Remask { sequence, position });
    }

    fn on_finish(&mut self, sequence: usize, _: &Output) {
        self.0.push(Event::Finish { sequence });
    }

    fn on_fail(&mut self, sequence: usize, _: &Error) {
        self.0.push(Event::Fail { sequence });
    }
}
