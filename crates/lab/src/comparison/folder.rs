use std::path::Path;

use conjoint::prelude::*;
use conjoint_eval::{Axis, Plot, Report};
use serde_json::json;

use super::judge::FEATURES;
use crate::model::Model;
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

/// Writes the texts of a point for other judges, one object a line, with the keys of a reply to a request. `text` is the
/// whole text, or null without a tokenizer.
pub(super) fn write_texts(path: &Path, model: &Model, outputs: &[Output]) -> Result<(), Error> {
    let mut lines = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let tokens = output.text_tokens();
        let text =
            model.tokenizer.as_ref().map(|tokenizer| tokenizer.decode(tokens)).transpose()?;
        let Output { denoiser_calls, sampler_calls, .. } = output;
        let line = json!({
            "index": index,
            "text": text,
            "tokens": tokens,
            "denoiser_calls": denoiser_calls,
            "sampler_calls": sampler_calls,
        });
        lines.extend(format!("{line}\n").bytes());
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    files::write(folder, &name.to_string_lossy(), &lines)
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
