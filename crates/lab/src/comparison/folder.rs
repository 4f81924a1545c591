use std::path::Path;

use conjoint_eval::{Axis, Plot, Report};

use super::judge::FEATURES;
use crate::{Error, files};

/// A comparison's report as a Markdown table, with the features of MAUVE and the gaps closed.
///
/// # Errors
/// Those of [`Report::summary`].
pub fn markdown(report: &Report) -> Result<String, Error> {
    let features = report.metrics().contains(&"MAUVE");
    let features = features.then(|| format!("\nMAUVE is on the {FEATURES}.\n"));
    Ok(report.markdown() + &features.unwrap_or_default() + &report.summary()?)
}

/// Writes `report.json`, `report.md` and the plots of each metric.
pub(super) fn write_report(out: &Path, report: &Report) -> Result<(), Error> {
    files::write(out, "report.json", report.json()?.as_bytes())?;
    files::write(out, "report.md", markdown(report)?.as_bytes())?;
    for name in report.metrics() {
        for (axis, suffix) in
            [(Axis::TokensPerForward, "tokens-per-forward"), (Axis::ForwardsPerToken, "cost")]
        {
            match Plot::new(name, axis).svg(report) {
                Ok(svg) => files::write(out, &file(name, suffix), svg.as_bytes())?,
                // Infinite points are left out, which may leave none.
                Err(conjoint_eval::Error::Empty(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The file of a metric's plot, such as `mauve-surprise-cost.svg`.
fn file(figure: &str, suffix: &str) -> String {
    let words = figure.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(str::to_lowercase).collect();
    format!("{}-{suffix}.svg", words.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_are_named_after_their_metrics() {
        assert_eq!(file("MAUVE, surprise", "cost"), "mauve-surprise-cost.svg");
        assert_eq!(file("NLL", "tokens-per-forward"), "nll-tokens-per-forward.svg");
    }
}
