//! Progress bars.

use conjoint::export::ExportObserver;
use conjoint::observer::Reveal;
use conjoint::prelude::*;
use conjoint_lab::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar of revealed tokens on standard error, hidden if that is not a terminal.
pub struct Steps(ProgressBar);

impl Steps {
    pub fn new(canvases: &[Canvas], what: &str) -> Self {
        Self::tokens(canvases.iter().map(|canvas| canvas.masked().count() as u64).sum(), what)
    }

    /// A bar for this many tokens.
    pub fn tokens(tokens: u64, what: &str) -> Self {
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {pos}/{len} tokens, {per_sec}, {eta} left",
        );
        let bar = ProgressBar::new(tokens).with_message(what.to_owned());
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar, // falls back to the default style
        })
    }

    /// A spinner for work of unknown length.
    pub fn spinner(what: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self(bar)
    }
}

/// Bars of comparisons and benchmarks.
pub struct Bars;

impl Progress for Bars {
    fn generating(&self, what: &str, tokens: u64) -> Box<dyn Observer + '_> {
        Box::new(Steps::tokens(tokens, what))
    }

    fn working(&self, what: &str) -> Box<dyn Observer + '_> {
        Box::new(Steps::spinner(what))
    }

    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}

/// A bar of the bytes that an export reads.
#[derive(Default)]
pub struct Bytes(Option<ProgressBar>);

impl Bytes {
    fn begin(&mut self, what: &str, bytes: u64) {
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
        );
        let bar = ProgressBar::new(bytes).with_message(what.to_owned());
        self.0 = Some(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar, // falls back to the default style
        });
    }
}

impl ExportObserver for Bytes {
    fn on_copy(&mut self, bytes: u64) {
        eprintln!(
            "Copying {} of weights: the file system has no hard links, or the folder is on another one.",
            gigabytes(bytes)
        );
        self.begin("copying", bytes);
    }

    fn on_quantise(&mut self, bytes: u64) {
        self.begin("quantising", bytes);
    }

    fn on_read(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A bar of replies on standard error, hidden if that is not a terminal.
pub struct Replies(ProgressBar);

impl Replies {
    /// A bar for `of` replies. `before` of them exist already.
    pub fn new(of: usize, before: usize) -> Self {
        let style = ProgressStyle::with_template(
            "answering {wide_bar} {pos}/{len} sequences, {per_sec}, {eta} left",
        );
        let bar = ProgressBar::new(of as u64).with_position(before as u64);
        // Earlier replies took no time in this run.
        bar.reset_eta();
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar, // falls back to the default style
        })
    }

    /// Adds a reply.
    pub fn add(&self) {
        self.0.inc(1);
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A size in GB, MB or kB: 15.2 GB, 340 MB, 85 kB.
pub fn gigabytes(bytes: u64) -> String {
    match bytes as f64 / 1e9 {
        fewer if fewer < 0.000_999_5 => format!("{:.0} kB", fewer * 1e6),
        few if few < 0.9995 => format!("{:.0} MB", few * 1e3),
        many => format!("{many:.1} GB"),
    }
}

impl Observer for Steps {
    fn on_reveal(&mut self, _: &Reveal) {
        self.0.inc(1);
    }

    fn on_remask(&mut self, _: usize, _: usize, _: usize) {
        self.0.dec(1);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
