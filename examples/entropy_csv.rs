//! Records how certain the model is in each step, as CSV for a plot: an `Observer` that reads the rows of a
//! step.
//!
//!     cargo run --release --example entropy_csv > entropy.csv
//!
//! What to see: one line a forward, entropies in nats over the masked positions. The mean falls slowly from
//! 2.2, and only the last steps reach 0. The minimum, which is revealed next, is near 0 within a word and
//! high where a new word begins.
use conjoint::prelude::*;

/// Prints the entropies of the masked positions after every forward.
struct EntropyCsv;

impl Observer for EntropyCsv {
    fn on_rows(&mut self, rows: &Observation<'_>) {
        if rows.round() > 0 {
            return; // a sampler pass, not a forward
        }
        let entropies: Vec<f64> = rows.candidates().iter().map(|c| c.stats.entropy).collect();
        let mean = entropies.iter().sum::<f64>() / entropies.len() as f64;
        let min = entropies.iter().copied().fold(f64::INFINITY, f64::min);
        let max = entropies.iter().copied().fold(0.0, f64::max);
        println!("{},{},{mean:.4},{min:.4},{max:.4}", rows.step(), entropies.len());
    }
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let generator = Generator::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?).seed(1);
    let prompt = tokenizer.encode("<story>the old")?;
    let canvas = Canvas::of_length(&prompt, 48, generator.vocabulary().mask())?;
    println!("step,masked,mean,min,max");
    generator.run(vec![canvas], &mut EntropyCsv)?;
    Ok(())
}
