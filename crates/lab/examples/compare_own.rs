//! Compares a custom policy with the built-in strategies: it is registered under a name, then measured like
//! the others.
//!
//!     cargo run --release -p conjoint-lab --example compare_own [runs/compare-own]
//!
//! What to see: at the same bound, `joint+low-entropy` has more texts right than `marginal+low-entropy` (0.69
//! against 0.42), since the positions selected together depend on each other. `exact` has 0.70 right, at
//! twice the cost (forwards per token).
//!
//! The folder keeps the results: a second run prints them at once. After a change of the policy, choose
//! another folder.
use conjoint::Error;
use conjoint::prelude::*;
use conjoint_lab::Model;
use conjoint_lab::comparison::{Comparison, Metric, markdown};
use conjoint_lab::registry::{Registry, ScheduleEntry};

/// Selects the position of lowest entropy, and all others whose entropy is at most `bound` nats.
#[derive(Clone)]
struct LowEntropy {
    bound: f64,
}

impl Policy for LowEntropy {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        Entropy.rank(rows, &mut selection.ranked)?;
        let is_low = |row: &&Row| rows.row(**row).stats.entropy <= self.bound;
        let count = selection.ranked.iter().take_while(is_low).count().max(1);
        selection.ranked.truncate(count);
        selection.count = count;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/compare-own".to_owned());
    let low_entropy =
        ScheduleEntry::policy("low-entropy", "all below a bound, in nats", |values| {
            Ok(LowEntropy { bound: values.number("bound")? })
        });
    let registry = Registry::builtin().with_schedule(low_entropy.parameter("bound", "0.05"));

    conjoint::runtime::ensure()?;
    let model = Model::open(conjoint_models::tiny())?;
    let names = ["exact", "marginal+low-entropy:0.5", "joint+low-entropy:0.5"];
    let lines = names.into_iter().map(|name| registry.line(name)).collect::<Result<Vec<_>, _>>()?;
    let metrics = vec![Metric::Right, Metric::Nll];
    let comparison = Comparison { num_samples: 64, metrics, ..Comparison::new(lines) };
    println!("{}", markdown(&comparison.run(&model, out, &())?)?);
    Ok(())
}
