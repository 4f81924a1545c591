//! A run's log, one JSON object per line, and the loss curve drawn from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::position::Position;
use crate::error::TrainError;
use crate::files;

/// One line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The number of steps.
    pub step: u64,
    /// The number of training tokens.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The loss of this step.
    pub loss: f64,
    /// The running mean of the loss over about the last hundred steps.
    pub mean_loss: f64,
    /// The factor on the peak learning rates.
    pub rate_factor: f64,
    /// The validated figures of the averaged weights; empty if this step has no validation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<String, f64>,
}

impl Record {
    pub(crate) fn new(
        at: &Position,
        tokens: u64,
        loss: f64,
        factor: f64,
        validation: &BTreeMap<String, f64>,
    ) -> Self {
        Self {
            step: at.step,
            tokens,
            seconds: at.seconds,
            loss,
            mean_loss: at.mean_loss,
            rate_factor: factor,
            validation: validation.clone(),
        }
    }
}

/// Reads a run's `log.jsonl`, and ignores an incomplete last line.
///
/// # Errors
///
/// The file cannot be read, or a line other than the last is not a [`Record`].
pub fn read_log(path: &Path) -> Result<Vec<Record>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io("read", path))?;
    let mut records = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        match serde_json::from_str(line) {
            Ok(record) => records.push(record),
            Err(_) if lines.peek().is_none() => {}
            Err(e) => return Err(TrainError::malformed(path, e)),
        }
    }
    Ok(records)
}

/// The log being written.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    records: Vec<Record>,
}

impl Log {
    /// Opens the log of `dir`, and removes the lines after `step`, which a resumed run writes again.
    pub fn open(dir: &Path, step: u64) -> Result<Self, TrainError> {
        let path = dir.join("log.jsonl");
        let mut records = if path.exists() { read_log(&path)? } else { Vec::new() };
        records.retain(|record| record.step <= step);
        let lines: Result<Vec<_>, _> = records.iter().map(serde_json::to_string).collect();
        let mut text = lines.map_err(|e| TrainError::malformed(&path, e))?.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        files::write(&path, text.as_bytes())?;
        let file =
            File::options().append(true).open(&path).map_err(TrainError::io("open", &path))?;
        Ok(Self { file, path, records })
    }

    /// Appends a line.
    pub fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        let line =
            serde_json::to_string(record).map_err(|e| TrainError::malformed(&self.path, e))?;
        writeln!(self.file, "{line}").map_err(TrainError::io("write", &self.path))?;
        self.records.push(record.clone());
        Ok(())
    }

    /// Draws `loss.svg` beside the log, with the validated figures that `selects` accepts.
    pub fn plot(&self, selects: impl Fn(&str) -> bool) -> Result<(), TrainError> {
        let path = self.path.with_file_name("loss.svg");
        let mut svg = String::new();
        draw(&self.records, selects, &mut svg)
            .map_err(|e| TrainError::Plot { path: path.clone(), reason: e.to_string() })?;
        files::write(&path, svg.as_bytes())
    }
}

/// Draws the training loss and each selected figure over the number of tokens.
fn draw(
    records: &[Record],
    selects: impl Fn(&str) -> bool,
    svg: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut curves: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for record in records {
        let millions = record.tokens as f64 / 1e6;
        curves.entry("training").or_default().push((millions, record.mean_loss));
        for (name, &value) in record.validation.iter().filter(|(name, _)| selects(name)) {
            curves.entry(name).or_default().push((millions, value));
        }
    }
    let points = || curves.values().flatten().filter(|(_, y)| y.is_finite());
    let right = points().fold(1e-6, |most: f64, &(x, _)| most.max(x));
    let top = points().fold(1e-6, |most: f64, &(_, y)| most.max(y));
    let area = SVGBackend::with_string(svg, (760, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("million tokens")
        .y_desc("nats")
        .light_line_style(WHITE)
        .draw()?;
    for (i, (name, curve)) in curves.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        chart
            .draw_series(LineSeries::new(curve.iter().copied(), colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .border_style(BLACK.mix(0.2))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> Record {
        let at = Position { step, seconds: step as f64, mean_loss: 2.0, ..Position::default() };
        let validation =
            BTreeMap::from([("masked 50 %".to_owned(), 1.0), ("top-1".to_owned(), 0.5)]);
        Record::new(&at, step * 100, 2.5, 1.0, &validation)
    }

    #[test]
    fn a_resumed_log_continues_from_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        (1..=5).for_each(|step| log.write(&record(step)).unwrap());
        let path = dir.path().join("log.jsonl");
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"step\":6,").unwrap();
        let mut log = Log::open(dir.path(), 3).unwrap();
        log.write(&record(4)).unwrap();
        let steps: Vec<_> = read_log(&path).unwrap().iter().map(|r| r.step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
        assert_eq!(read_log(&path).unwrap()[3], record(4));
    }

    #[test]
    fn a_malformed_line_before_the_last_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        std::fs::write(&path, "nonsense\n{}\n").unwrap();
        assert!(matches!(read_log(&path), Err(TrainError::Malformed { .. })));
    }

    #[test]
    fn the_plot_shows_the_selected_figures() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        log.plot(|_| true).unwrap();
        (1..=5).for_each(|step| log.write(&record(step)).unwrap());
        log.plot(|name| name != "top-1").unwrap();
        let svg = std::fs::read_to_string(dir.path().join("loss.svg")).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("training") && svg.contains("masked 50 %"));
        assert!(!svg.contains("top-1"));
    }
}
