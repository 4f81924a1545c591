//! Strategies that score their drafts with an autoregressive model.

use conjoint::unmasker::{Copula, EnergyResampling, PrefixAcceptance};

use crate::registry::{Conformance, HowMany, Part, Reference, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![energy(), copula(), prefix_acceptance()]
}

fn energy() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "energy",
        "EDLM: draw several completions, keep one by its likelihood under `scorer`",
        |values, context| {
            let strategy = EnergyResampling::new(context.scorer()?);
            Ok(strategy.completions(values.count("completions")?)?)
        },
    )
    .parameter("completions", "2")
    .how_many(HowMany::Schedule)
    .takes([Part::Order, Part::Scorer])
    .documented(Reference {
        item: "`EnergyResampling`",
        rule: "keeps one of `completions` whole completions by an autoregressive score",
        law: "no, at any finite number of completions above 1",
        source: "EDLM 2410.21357",
        ..Reference::default()
    })
}

fn copula() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "copula",
        "DCD: draw the marginals from left to right, joined by `scorer`",
        |values, context| Ok(Copula::new(context.scorer()?).alpha(values.number("alpha")?)?),
    )
    .parameter("alpha", "1")
    .how_many(HowMany::Schedule)
    .takes([Part::Scorer])
    .documented(Reference {
        item: "`Copula`",
        rule: "draws from left to right, joined by an autoregressive model",
        law: "yes with exact models",
        source: "DCD 2410.01949",
        ..Reference::default()
    })
    .tested(Conformance::default().extra_forwards())
}

fn prefix_acceptance() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "prefix-acceptance",
        "APD: keep the longest drafted prefix that the model mixed with `scorer` accepts",
        |values, context| {
            let strategy = PrefixAcceptance::new(context.scorer()?);
            let strategy = strategy.mixture(values.number("r")?)?;
            let strategy = strategy.window(values.count("window")?)?;
            Ok(if context.is_greedy() { strategy.greedy() } else { strategy })
        },
    )
    .parameter("r", "0.7")
    .parameter("window", "100")
    .takes([Part::Scorer])
    .documented(Reference {
        item: "`PrefixAcceptance`",
        rule: "keeps the accepted prefix of a draft, from left to right",
        law: "with a window of 1",
        source: "APD 2506.00413",
        ..Reference::default()
    })
}
