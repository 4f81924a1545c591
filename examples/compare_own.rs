//! A policy of one's own beside the built-in ones: registered in three lines, then compared by name, with independent draws
//! and with the learned joint sampler.
//!
//!     cargo run --release -p conjoint-lab --example compare_own [runs/compare-own]
//!
//! In the table, `joint+low-entropy` has more texts right than `marginal+low-entropy` at the same bound: the positions that
//! the policy selects together depend on each other.
use conjoint::Error;
use conjoint::prelude::*;
use conjoint_lab::Model;
use conjoint_lab::comparison::{Comparison, Metric, markdown};
use conjoint_lab::registry::{Registry, ScheduleEntry};

/// Selects the position of lowest entropy, and all others below `bound` nats.
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
        let below = |row: &&Row| rows.row(**row).stats.entropy <= self.bound;
        let count = selection.ranked.iter().take_while(below).count().max(1);
        selection.ranked.truncate(count);
        selection.count = count;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/compare-own".to_owned());
    let own = ScheduleEntry::policy("low-entropy", "all below a bound, in nats", |values| {
        Ok(LowEntropy { bound: values.number("bound")? })
    });
    let registry = Registry::builtin().with_schedule(own.parameter("bound", "0.05"));

    conjoint::runtime::ensure()?;
    let model = Model::open(conjoint_models::tiny())?;
    let lines = ["exact", "marginal+low-entropy:0.5", "joint+low-entropy:0.5"];
    let lines = lines.into_iter().map(|line| registry.line(line)).collect::<Result<Vec<_>, _>>()?;
    let metrics = vec![Metric::Right, Metric::Nll];
    let comparison = Comparison { num_samples: 64, metrics, ..Comparison::new(lines) };
    println!("{}", markdown(&comparison.run(&model, out, &())?)?);
    Ok(())
}
