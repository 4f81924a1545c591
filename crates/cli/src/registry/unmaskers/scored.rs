//! Strategies that ask an autoregressive scorer about their drafts.

use conjoint::unmasker::{Copula, EnergyResampling, PrefixAcceptance};

use super::Named;
use crate::registry::table::{Entry, Parameter};

pub static ENERGY: Named = Entry {
    name: "energy",
    summary: "EDLM: draw several completions, keep one by how likely --scorer finds it",
    parameters: &[Parameter::new("completions", "2")],
    make: |values, context| {
        let strategy = EnergyResampling::new(context.scorer()?);
        let strategy = strategy.completions(values.count("completions")?)?;
        Ok(Box::new(strategy.order(context.order.clone())))
    },
};

pub static COPULA: Named = Entry {
    name: "copula",
    summary: "DCD: the marginals, tied together left to right by --scorer",
    parameters: &[Parameter::new("alpha", "1")],
    make: |values, context| {
        Ok(Box::new(Copula::new(context.scorer()?).alpha(values.number("alpha")?)?))
    },
};

pub static PREFIX_ACCEPTANCE: Named = Entry {
    name: "prefix-acceptance",
    summary: "APD: the longest drafted prefix that --scorer, mixed in, would draw too",
    parameters: &[Parameter::new("r", "0.7"), Parameter::new("window", "100")],
    make: |values, context| {
        let strategy = PrefixAcceptance::new(context.scorer()?);
        let strategy = strategy.mixture(values.number("r")?)?;
        let strategy = strategy.window(values.count("window")?)?;
        Ok(Box::new(if context.greedy { strategy.greedy() } else { strategy }))
    },
};
