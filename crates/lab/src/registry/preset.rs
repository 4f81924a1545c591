/// A name for a line of a comparison that suits a budget. [`Registry::line`](super::Registry::line) accepts the name in
/// place of the line, without a schedule or a reviser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// Such as `fast`.
    pub name: &'static str,
    /// The line, as `UNMASKER+SCHEDULE`.
    pub line: &'static str,
    /// Its purpose.
    pub about: &'static str,
}

/// The presets: the strategies of [`conjoint::presets::quality`], [`balanced`](conjoint::presets::balanced) and
/// [`fast`](conjoint::presets::fast). All need a sampler layer.
pub const PRESETS: [Preset; 3] = [
    Preset {
        name: "quality",
        line: "joint:window=3:bound=0.001+entropy-bound:0.3",
        about: "nearly as good as one token per forward, at two fifths of its cost on models/tiny",
    },
    Preset {
        name: "balanced",
        line: "joint:window=3:bound=0.001+entropy-bound:2",
        about: "a quarter of the cost of one token per forward on models/tiny",
    },
    Preset {
        name: "fast",
        line: "joint:window=3:bound=0.001+per-step:12",
        about: "a seventh of the cost of one token per forward on models/tiny",
    },
];

/// The preset of a name.
pub(crate) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
