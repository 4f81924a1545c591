use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{Cost, Error, Gap, Measured};

/// One measured point of a comparison: a strategy with one setting, and the texts of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The strategy's name.
    pub strategy: String,
    /// Its setting, such as `K = 4`; empty if it has none.
    pub parameter: String,
    /// The seed that the texts were made with.
    pub seed: u64,
    /// Texts generated.
    pub texts: u64,
    /// Tokens generated, over all texts.
    pub tokens: u64,
    /// Calls, over all texts.
    pub cost: Cost,
    /// Seconds of generating.
    pub seconds: f64,
    /// Figures by name.
    pub metrics: BTreeMap<String, Measured>,
}

impl Point {
    /// Whether it is the same strategy with the same setting, whatever the seeds.
    pub(crate) fn is_same_setting(&self, other: &Point) -> bool {
        (&self.strategy, &self.parameter) == (&other.strategy, &other.parameter)
    }

    /// Tokens a full forward of the denoiser, sampler passes not counted: the K of a strategy that
    /// reveals K a step.
    pub fn tokens_per_forward(&self) -> f64 {
        self.tokens as f64 / self.cost.denoiser_calls
    }

    /// Denoiser-equivalent forwards a token, sampler passes counted at their measured cost.
    pub fn forwards_per_token(&self) -> f64 {
        self.cost.forwards_per_token(self.tokens)
    }
}

/// The points of a comparison, as JSON (by `serde`), as a Markdown table, and as a
/// [`Plot`](crate::Plot).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The points, in the order that they are shown in.
    pub points: Vec<Point>,
}

impl Report {
    /// Every metric that a point has, in alphabetical order.
    pub fn metrics(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.points.iter().flat_map(|point| point.metrics.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The report as JSON, indented: `points`, which are read back as a report, and what follows from them, `means` ([`Report::over_seeds`]), `gaps` ([`Report::gaps`]) and `aup` ([`Report::aup`] of the share
    /// of `right` texts).
    ///
    /// # Errors
    /// Those of [`Report::aup`].
    pub fn json(&self) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Told<'r> {
            #[serde(flatten)]
            report: &'r Report,
            means: Vec<Point>,
            gaps: Vec<Gap>,
            aup: BTreeMap<String, Measured>,
        }
        let (means, gaps) = (self.over_seeds().points, self.gaps());
        let told = Told { report: self, means, gaps, aup: self.aup("right")? };
        // Strings and numbers alone: nothing that JSON cannot say.
        Ok(serde_json::to_string_pretty(&told).unwrap_or_default() + "\n")
    }

    /// The means over seeds, if there are several seeds, then one row a point, and what the columns mean.
    pub fn markdown(&self) -> String {
        let means = self.over_seeds().points;
        let mut text = String::new();
        if means.len() < self.points.len() {
            text += &self.table(&means, |mean| {
                let seeds = self.points.iter().filter(|point| point.is_same_setting(mean));
                seeds.map(|point| point.seed.to_string()).collect::<Vec<_>>().join(", ")
            });
            text += "\nEach seed by itself:\n\n";
        }
        text += &self.table(&self.points, |point| point.seed.to_string());
        text += "\nFigures are `value [95 % interval]`. Tokens per forward count full \
                 forwards of the model alone; \
                 forwards per token count a sampler pass as well, at what it cost in the same run: \
                 `pass cost`, in forwards. A round is one forward of the batch, in which a sequence may have several \
                 canvases; each canvas counts as a forward.\n";
        text
    }

    /// One row a point.
    fn table(&self, points: &[Point], seeds: impl Fn(&Point) -> String) -> String {
        let metrics = self.metrics();
        let mut table = String::from("| strategy | setting | seed | texts |");
        metrics.iter().for_each(|name| table += &format!(" {} |", cell(name)));
        table += " tokens per forward | forwards per token | sampler passes per token | \
                  pass cost | rounds per token | tokens/s |\n|---|---|";
        table += &"---:|".repeat(metrics.len() + 8);
        table.push('\n');
        for point in points {
            row(point, &seeds(point), &metrics, &mut table);
        }
        table
    }
}

fn row(point: &Point, seeds: &str, metrics: &[&str], table: &mut String) {
    let Point { strategy, parameter, texts, tokens, cost, seconds, .. } = point;
    *table += &format!("| {} | {} | {seeds} | {texts} |", cell(strategy), cell(parameter));
    for &name in metrics {
        let figure = point.metrics.get(name);
        *table += &figure.map_or_else(|| " – |".to_owned(), |figure| format!(" {figure} |"));
    }
    let pass =
        if cost.sampler_calls > 0.0 { format!("{:.3}", cost.sampler_cost) } else { "–".into() };
    let rounds = match cost.rounds {
        0.0 => "–".to_owned(),
        rounds => format!("{:.3}", rounds / *tokens as f64),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        table,
        " {:.2} | {:.3} | {:.3} | {pass} | {rounds} | {:.0} |",
        point.tokens_per_forward(),
        point.forwards_per_token(),
        cost.sampler_calls / *tokens as f64,
        *tokens as f64 / seconds,
    );
}

/// Text that cannot end its cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A point with one figure.
    pub(crate) fn point(strategy: &str, k: u32, seed: u64, value: f64) -> Point {
        let figure = Measured { value, low: value - 0.02, high: value + 0.01, n: 500, seed };
        let (tokens, k) = (32_000, f64::from(k));
        let calls = f64::from(tokens) / k;
        let sampler_calls = if strategy == "joint" { calls * (k - 1.0) } else { 0.0 };
        Point {
            strategy: strategy.to_owned(),
            parameter: format!("K = {k}"),
            seed,
            texts: 500,
            tokens: tokens as u64,
            cost: Cost { denoiser_calls: calls, rounds: calls, sampler_calls, sampler_cost: 0.125 },
            seconds: 16.0,
            metrics: BTreeMap::from([("MAUVE".to_owned(), figure)]),
        }
    }

    #[test]
    fn a_table_by_hand() {
        let mut odd = point("a|b", 1, 2, 0.5);
        odd.cost.rounds = 0.0;
        odd.metrics = BTreeMap::from([("NLL".to_owned(), odd.metrics["MAUVE"])]);
        let report = Report { points: vec![point("joint", 4, 1, 0.9), odd] };
        assert_eq!(report.metrics(), ["MAUVE", "NLL"]);
        let table = report.markdown();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[2],
            "| joint | K = 4 | 1 | 500 | 0.900 [0.880, 0.910] | – | 4.00 | 0.344 | 0.750 | 0.125 | 0.250 | 2000 |"
        );
        assert_eq!(
            lines[3],
            "| a\\|b | K = 1 | 2 | 500 | – | 0.500 [0.480, 0.510] | 1.00 | 1.000 | 0.000 | – | – | 2000 |"
        );
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        assert!(lines[..4].iter().all(|line| columns(line) == 13), "{table}");
    }

    #[test]
    fn several_seeds_are_shown_together_first() {
        let points =
            vec![point("joint", 4, 0, 0.9), point("exact", 1, 0, 0.98), point("joint", 4, 7, 0.8)];
        let report = Report { points };
        let text = report.markdown();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("| joint | K = 4 | 0, 7 | 1000 | 0.850 ["), "{text}");
        assert!(lines[3].starts_with("| exact | K = 1 | 0 | 500 | 0.980 ["), "{text}");
        assert_eq!((lines[5], lines[7]), ("Each seed by itself:", lines[0]), "{text}");
        assert!(lines[11].starts_with("| joint | K = 4 | 7 | 500 | 0.800 ["), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["means"][0]["texts"], 1000);
        assert_eq!(json["points"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn json_loses_nothing() {
        let mut report =
            Report { points: vec![point("joint", 2, 1, 0.97), point("exact", 1, 1, 0.99)] };
        report.points[0].metrics.get_mut("MAUVE").unwrap().value = f64::INFINITY;
        assert_eq!(serde_json::from_str::<Report>(&report.json().unwrap()).unwrap(), report);
    }
}
