//! Reports as Markdown tables.

use std::fmt::Write;

use crate::{Point, Report};

impl Report {
    /// The report as Markdown: the means over seeds if there are several, then one row per point, then an explanation of
    /// the columns.
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

    /// A table with one row per point.
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

/// Escapes text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::tests::point;

    #[test]
    fn a_table_matches_one_written_by_hand() {
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
    fn means_over_seeds_come_first() {
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
}
