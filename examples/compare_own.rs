//! A strategy of one's own beside the built-in ones: registered in three lines, then compared by name.
//!
//!     cargo run --release -p conjoint-lab --example compare_own [runs/compare-own]
use conjoint::Error;
use conjoint::prelude::*;
use conjoint_lab::Model;
use conjoint_lab::comparison::{Comparison, Metric, markdown};
use conjoint_lab::registry::{Registry, UnmaskerEntry};

/// Reveals the position of lowest entropy, and all others below `bound` nats.
#[derive(Clone)]
struct LowEntropy {
    bound: f64,
}

impl Unmasker for LowEntropy {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&Entropy)?;
        for rank in 0..view.candidates().len() {
            let candidate = view.ranked(rank);
            if rank > 0 && view.candidates()[candidate].stats.entropy > self.bound {
                break;
            }
            let drawn = view.draw(candidate)?;
            view.reveal(candidate, drawn);
        }
        Ok(Next::EndStep)
    }
}

fn main() -> anyhow::Result<()> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/compare-own".to_owned());
    let own = UnmaskerEntry::new("low-entropy", "all below a bound, in nats", |values, _| {
        Ok(LowEntropy { bound: values.number("bound")? })
    });
    let registry = Registry::builtin().with_unmasker(own.parameter("bound", "0.05"));

    conjoint::runtime::ensure()?;
    let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny"))?;
    let lines = ["exact", "marginal", "low-entropy", "low-entropy:0.5"];
    let lines = lines.into_iter().map(|line| registry.line(line)).collect::<Result<Vec<_>, _>>()?;
    let metrics = vec![Metric::Right, Metric::Nll];
    let comparison = Comparison { num_samples: 64, metrics, ..Comparison::new(lines) };
    println!("{}", markdown(&comparison.run(&model, out, &())?)?);
    Ok(())
}
