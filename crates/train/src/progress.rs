//! The progress bar of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::options::RunOptions;
use crate::state::Position;

/// Loss, speed and time left, on the terminal; silent if the run asks for that.
pub(crate) struct Progress {
    bar: ProgressBar,
    start: Position,
    silent: bool,
}

impl Progress {
    /// A bar that starts at `start`.
    pub fn new(options: &RunOptions, start: &Position) -> Self {
        let target = if options.progress {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(1000), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        Self { bar, start: start.clone(), silent: !options.progress }
    }

    /// Shows where the run is; `fraction` is the share of the budget used.
    pub fn update(&self, now: &Position, tokens_per_step: u64, fraction: f64) {
        let seconds = (now.seconds - self.start.seconds).max(1e-9);
        let speed = ((now.step - self.start.step) * tokens_per_step) as f64 / seconds;
        let left = now.seconds * (1.0 - fraction) / fraction.max(1e-9);
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left.clamp(0.0, 1e9)));
        self.bar.set_position((1000.0 * fraction) as u64);
        self.bar.set_message(format!(
            "step {} loss {:.3}, {speed:.0} tokens/s, {left:#} left",
            now.step, now.mean_loss
        ));
    }

    /// Leaves one line with the validated figures for which `wanted` holds above the bar.
    pub fn report(
        &self,
        now: &Position,
        validation: &BTreeMap<String, f64>,
        wanted: impl Fn(&str) -> bool,
    ) {
        if self.silent {
            return;
        }
        let mut line =
            format!("step {}, {:.1} min: loss {:.4}", now.step, now.seconds / 60.0, now.mean_loss);
        for (name, value) in validation.iter().filter(|(name, _)| wanted(name)) {
            line += &format!(", {name} {value:.4}");
        }
        self.bar.suspend(|| eprintln!("{line}"));
    }
}
