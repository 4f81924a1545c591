//! Strategies that ask an autoregressive scorer about their drafts.

use conjoint::unmasker::{Copula, EnergyResampling, PrefixAcceptance};

use crate::registry::{HowMany, Part, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![
        UnmaskerEntry::new(
            "energy",
            "EDLM: draw several completions, keep one by how likely `scorer` finds it",
            |values, context| {
                let strategy = EnergyResampling::new(context.scorer()?);
                Ok(strategy.completions(values.count("completions")?)?)
            },
        )
        .parameter("completions", "2")
        .how_many(HowMany::Schedule)
        .takes([Part::Order, Part::Scorer]),
        UnmaskerEntry::new(
            "copula",
            "DCD: the marginals, tied together left to right by `scorer`",
            |values, context| Ok(Copula::new(context.scorer()?).alpha(values.number("alpha")?)?),
        )
        .parameter("alpha", "1")
        .how_many(HowMany::Schedule)
        .takes([Part::Scorer]),
        UnmaskerEntry::new(
            "prefix-acceptance",
            "APD: the longest drafted prefix that `scorer`, mixed in, would draw too",
            |values, context| {
                let strategy = PrefixAcceptance::new(context.scorer()?);
                let strategy = strategy.mixture(values.number("r")?)?;
                let strategy = strategy.window(values.count("window")?)?;
                Ok(if context.is_greedy() { strategy.greedy() } else { strategy })
            },
        )
        .parameter("r", "0.7")
        .parameter("window", "100")
        .takes([Part::Scorer]),
    ]
}
