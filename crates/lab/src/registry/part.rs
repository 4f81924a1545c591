//! The parts that a strategy may take.

/// A part that only some strategies take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// How many tokens a step reveals, or how many steps there are.
    Schedule,
    /// Where tokens are revealed first.
    Order,
    /// A sampler layer.
    Sampler,
    /// An autoregressive scorer.
    Scorer,
}

/// What decides how many tokens a strategy reveals in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowMany {
    /// Always one.
    One,
    /// The schedule.
    Schedule,
    /// The strategy itself, over a total number of steps that it takes from the schedule.
    Steps,
    /// The strategy itself.
    Own,
}
