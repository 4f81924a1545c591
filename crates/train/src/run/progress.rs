//! The progress of a run on the terminal.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::dashboard::Dashboard;
use super::options::RunOptions;
use super::position::Position;

/// A progress bar with loss, speed and remaining time, below the [`Dashboard`]. Without a terminal, only the dashboard is
/// printed, at each validation. Silent if [`RunOptions::progress`] is off.
pub(crate) struct Progress {
    bar: ProgressBar,
    dashboard: Dashboard,
    start: Position,
    silent: bool,
}

impl Progress {
    /// A progress bar that starts at `start`.
    pub fn new(options: &RunOptions, start: &Position) -> Self {
        let target = if options.progress {
            ProgressDrawTarget::stderr_with_hz(4)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(1000), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix}{bar:30} {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            dashboard: Dashboard::default(),
            start: start.clone(),
            silent: !options.progress,
        }
    }

    /// Shows the run's position. `fraction` is the used share of the budget.
    pub fn update(&mut self, now: &Position, loss: f64, tokens_per_step: u64, fraction: f64) {
        let seconds = (now.seconds - self.start.seconds).max(1e-9);
        let steps = now.step - self.start.step;
        self.dashboard.loss(loss);
        let speed = (steps * tokens_per_step) as f64 / seconds;
        let left = now.seconds * (1.0 - fraction) / fraction.max(1e-9);
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left.clamp(0.0, 1e9)));
        self.bar.set_position((1000.0 * fraction) as u64);
        if !self.bar.is_hidden() {
            let dashboard = self.dashboard.render(console::colors_enabled_stderr());
            self.bar.set_prefix(if dashboard.is_empty() { dashboard } else { dashboard + "\n" });
        }
        self.bar.set_message(format!(
            "step {} loss {:.3}, {speed:.0} tokens/s, {left:#} left",
            now.step, now.mean_loss
        ));
    }

    /// Stores the figures of a validation, and prints them if there is no terminal.
    pub fn report(&mut self, now: &Position, validation: &BTreeMap<String, f64>) {
        self.dashboard.validated(validation);
        if !self.silent && self.bar.is_hidden() {
            let minutes = now.seconds / 60.0;
            eprintln!("step {}, {minutes:.1} min: loss {:.4}", now.step, now.mean_loss);
            eprintln!("{}", self.dashboard.render(false));
        }
    }
}

impl Drop for Progress {
    /// Leaves the last picture on the terminal.
    fn drop(&mut self) {
        self.bar.abandon();
    }
}
