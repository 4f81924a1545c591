use std::fmt::Write;
use std::time::Duration;

use conjoint::prelude::TokenId;
use conjoint::{Calls, RuntimeStats};
use serde::Serialize;

use super::stopwatch::HostTime;

/// The measurements, with the model and the settings.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model's folder.
    pub model: String,
    /// The execution provider.
    pub provider: String,
    /// The number format of the matrices: float32, int8 or int4.
    pub precision: String,
    /// Threads of the CPU provider.
    pub threads: usize,
    /// Tokens of a prompt.
    pub prompt_length: u32,
    /// Tokens generated.
    pub gen_length: u32,
    /// Sequences.
    pub num_samples: u32,
    /// The largest number of sequences in one forward.
    pub batch_size: u16,
    /// Measured runs of each strategy.
    pub repeats: u32,
    /// The seed of prompts and draws.
    pub seed: u64,
    /// Filters, order and so on.
    pub sampling: String,
    /// The prompts.
    pub prompts: Vec<Vec<TokenId>>,
    /// The measurements, by strategy and setting.
    pub runs: Vec<Run>,
}

/// A strategy at one setting. Times are those of the repeat whose time is the median.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The strategy.
    pub strategy: String,
    /// Such as `K = 4`.
    pub setting: String,
    /// The cache of keys and values.
    pub cache: String,
    /// Positions filled in a repeat.
    pub tokens: usize,
    /// Tokens per second in the median repeat.
    pub tokens_per_second: f64,
    /// Full forwards in a repeat, each of a whole batch.
    pub forwards: u64,
    /// Sampler passes in a repeat, each of a whole batch.
    pub sampler_passes: u64,
    /// Positions that a forward computed, on average: without a cache, those of all sequences in the batch.
    pub rows_per_forward: f64,
    /// Rows that a sampler pass computed, on average. Absent without passes.
    pub rows_per_pass: Option<f64>,
    /// Billions of floating-point operations per second in the backbone's products with its weights.
    pub gflops: f64,
    /// The same for a single float32 product with as many rows and the size of the feed-forward network, on this machine.
    pub gflops_of_product: f64,
    /// Seconds of the median repeat.
    pub seconds: f64,
    /// Seconds of every repeat, in order.
    pub all_seconds: Vec<f64>,
    /// Where the time of a step went: one forward and its sampler passes.
    pub step: Milliseconds,
    /// The time of a sampler pass divided by that of a full forward, heads included. Absent without passes.
    pub pass_per_forward: Option<f64>,
    /// The share of the time that was not spent in ONNX Runtime.
    pub outside: f64,
    /// The sequences generated.
    pub sequences: Vec<Vec<TokenId>>,
}

/// Parts of a step, in milliseconds; they add up to the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Milliseconds {
    /// The frozen model up to hidden states.
    pub backbone: f64,
    /// The head after it.
    pub backbone_head: f64,
    /// The sampler layer's passes.
    pub sampler: f64,
    /// The head after each of them.
    pub sampler_head: f64,
    /// Checking and filtering rows, and computing their statistics.
    pub sweep: f64,
    /// Ranking positions and drawing tokens.
    pub draw: f64,
    /// Everything else.
    pub rest: f64,
}

/// One repeat.
pub(super) struct Repeat {
    pub time: Duration,
    pub stats: RuntimeStats,
    pub host: HostTime,
}

impl Repeat {
    /// Where each millisecond of a step went, on average over the steps.
    pub fn step(&self) -> Milliseconds {
        let Self { time, stats, host } = self;
        let per_step = 1e3 / stats.forwards.calls.max(1) as f64;
        let each = |time: Duration| time.as_secs_f64() * per_step;
        let known = [self.inside(), host.row_kernels, host.draw].iter().sum();
        Milliseconds {
            backbone: each(stats.forwards.hidden),
            backbone_head: each(stats.forwards.head),
            sampler: each(stats.passes.hidden),
            sampler_head: each(stats.passes.head),
            sweep: each(host.row_kernels),
            draw: each(host.draw),
            rest: each(time.saturating_sub(known)),
        }
    }

    /// Positions per forward, and rows per sampler pass.
    pub fn rows(&self) -> (f64, Option<f64>) {
        let each = |calls: Calls| calls.rows as f64 / calls.calls.max(1) as f64;
        let RuntimeStats { forwards, passes, .. } = self.stats;
        (each(forwards), (passes.calls > 0).then(|| each(passes)))
    }

    /// Billions of operations per second in the backbone, with this many multiplications for each row.
    pub fn gflops(&self, multiplications: u64) -> f64 {
        let Calls { rows, hidden, .. } = self.stats.forwards;
        2e-9 * multiplications as f64 * rows as f64 / hidden.as_secs_f64()
    }

    /// Time in ONNX Runtime.
    fn inside(&self) -> Duration {
        let RuntimeStats { forwards, passes, .. } = self.stats;
        forwards.hidden + forwards.head + passes.hidden + passes.head
    }

    /// The share of the time outside of ONNX Runtime.
    pub fn host_share(&self) -> f64 {
        1.0 - self.inside().as_secs_f64() / self.time.as_secs_f64()
    }

    /// One sampler pass in full forwards.
    pub fn pass_per_forward(&self) -> Option<f64> {
        let RuntimeStats { forwards, passes, .. } = self.stats;
        let one = |calls: Calls| (calls.hidden + calls.head).as_secs_f64() / calls.calls as f64;
        (passes.calls > 0).then(|| one(passes) / one(forwards))
    }
}

/// The repeat whose time is the median; of an even number, the faster of the two in the middle.
pub(super) fn median(repeats: &[Repeat]) -> Option<&Repeat> {
    let mut by_time: Vec<&Repeat> = repeats.iter().collect();
    by_time.sort_by_key(|repeat| repeat.time);
    by_time.get(repeats.len().saturating_sub(1) / 2).copied()
}

impl Report {
    /// A Markdown table with one row per run.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| strategy | tokens/s | forwards | passes | step, ms | backbone | its head | sampler \
             | its head | rows | draw | rest | pass / forward | outside | positions | GFLOP/s | of |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for run in &self.runs {
            let Milliseconds { backbone, backbone_head, sampler, sampler_head, sweep, draw, rest } =
                run.step;
            let parts = [backbone, backbone_head, sampler, sampler_head, sweep, draw, rest];
            let step: f64 = parts.iter().sum();
            let parts: String = parts.iter().map(|ms| format!(" {ms:.2} |")).collect();
            let pass = run.pass_per_forward.map_or("–".into(), |pass| format!("{pass:.3}"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {} {} | {:.1} | {} | {} | {step:.2} |{parts} {pass} | {:.1} % | {:.0} | {:.0} | {:.0} |",
                run.strategy,
                run.setting,
                run.tokens_per_second,
                run.forwards,
                run.sampler_passes,
                100.0 * run.outside,
                run.rows_per_forward,
                run.gflops,
                run.gflops_of_product,
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn repeat(time: u64) -> Repeat {
        let stats = RuntimeStats {
            forwards: Calls {
                calls: 2,
                rows: 64,
                hidden: ms(40),
                head: ms(10),
                ..Calls::default()
            },
            passes: Calls { calls: 6, rows: 18, hidden: ms(12), head: ms(18), ..Calls::default() },
            ..RuntimeStats::default()
        };
        Repeat { time: ms(time), stats, host: HostTime { row_kernels: ms(8), draw: ms(4) } }
    }

    #[test]
    fn the_parts_of_a_step_add_up() {
        let repeat = repeat(100);
        let Milliseconds { backbone, backbone_head, sampler, sampler_head, sweep, draw, rest } =
            repeat.step();
        let parts = [backbone, backbone_head, sampler, sampler_head, sweep, draw, rest];
        for (got, expected) in parts.into_iter().zip([20.0, 5.0, 6.0, 9.0, 4.0, 2.0, 4.0]) {
            assert!((got - expected).abs() < 1e-9, "{parts:?}");
        }
        assert!((repeat.host_share() - 0.2).abs() < 1e-12);
        assert!((repeat.pass_per_forward().unwrap() - 5.0 / 25.0).abs() < 1e-12);
        assert_eq!(repeat.rows(), (32.0, Some(3.0)));
        // 64 rows of 5 million products, each two operations, in 40 ms.
        assert!((repeat.gflops(5_000_000) - 16.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_is_one_of_the_repeats() {
        let repeats = [90, 110, 100].map(repeat);
        assert_eq!(median(&repeats).unwrap().time, ms(100));
        assert_eq!(median(&repeats[..2]).unwrap().time, ms(90));
        assert!(median(&[]).is_none());
    }
}
