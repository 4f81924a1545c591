//! What an entry says for the reference documentation and for the conformance suite.

/// What the reference documentation says of an entry. `docs/strategies.md` has a row for each built-in one.
///
/// All texts are Markdown. An empty one is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reference {
    /// The type or function of the library, such as `` `Klass` ``.
    pub item: &'static str,
    /// What it does, as a rule or a formula in the names of its parameters.
    pub rule: &'static str,
    /// What it needs beside its parameters.
    pub needs: &'static str,
    /// Which law it samples, or when it is exact.
    pub law: &'static str,
    /// The paper, by its short name and arXiv number.
    pub source: &'static str,
}

/// How the conformance suite runs an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conformance {
    /// The specs to run, such as `joint:window=1`. None runs the bare name, with every default.
    ///
    /// `{FILE}` stands for a file that the test writes.
    pub specs: &'static [&'static str],
    /// How many moves the strategy may make for each position to generate. Remasking takes more than 1.
    pub moves_per_position: usize,
    /// Whether the strategy may run more forwards than there are steps that reveal.
    pub extra_forwards: bool,
}

impl Default for Conformance {
    /// The bare name, one move for each position, one forward for each step that reveals.
    fn default() -> Self {
        Self { specs: &[], moves_per_position: 1, extra_forwards: false }
    }
}

impl Conformance {
    /// Runs these specs.
    pub const fn of(specs: &'static [&'static str]) -> Self {
        Self { specs, moves_per_position: 1, extra_forwards: false }
    }

    /// Allows this many moves for each position to generate.
    #[must_use]
    pub const fn moves_per_position(self, moves: usize) -> Self {
        Self { moves_per_position: moves, ..self }
    }

    /// Allows forwards beyond one for each step that reveals.
    #[must_use]
    pub const fn extra_forwards(self) -> Self {
        Self { extra_forwards: true, ..self }
    }
}
