//! Figures that follow from all points of a report: gaps closed, AUP and Pareto fronts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Aup, Bootstrap, Error, Measured, Point, Report, Share, gap_closed};

/// The strategy of independent draws, which is the floor of [`Report::gaps`].
const FLOOR: &str = "marginal";
/// The strategy of one token per forward, which is the ceiling.
const CEILING: &str = "exact";

/// The share of a figure's gap between independent and one-at-a-time sampling that a point closes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Gap {
    /// The strategy.
    pub strategy: String,
    /// Its setting, which equals that of `marginal`.
    pub parameter: String,
    /// The figure.
    pub metric: String,
    /// The closed share; see [`gap_closed`].
    pub closed: Measured,
}

/// The direction in which a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Higher is better, as for the share of right texts.
    Higher,
    /// Lower is better, as for the negative log-likelihood.
    Lower,
}

impl Report {
    /// The share of each figure's gap that every point closes, averaged over seeds. Figures without both ends are omitted.
    pub fn gaps(&self) -> Vec<Gap> {
        let Report { points, .. } = self.over_seeds();
        let of = |strategy: &str, parameter: Option<&str>| {
            points.iter().find(|p| {
                p.strategy == strategy && parameter.is_none_or(|parameter| p.parameter == parameter)
            })
        };
        let mut gaps = Vec::new();
        let between = points.iter().filter(|p| ![FLOOR, CEILING].contains(&p.strategy.as_str()));
        for point in between {
            let (Some(floor), Some(ceiling)) =
                (of(FLOOR, Some(&point.parameter)), of(CEILING, None))
            else {
                continue;
            };
            for (metric, figure) in &point.metrics {
                let ends = floor.metrics.get(metric).zip(ceiling.metrics.get(metric));
                if let Some(closed) = ends.and_then(|(low, high)| gap_closed(figure, low, high)) {
                    let (strategy, parameter) = (point.strategy.clone(), point.parameter.clone());
                    gaps.push(Gap { strategy, parameter, metric: metric.clone(), closed });
                }
            }
        }
        gaps
    }

    /// The report as indented JSON.
    ///
    /// `points` can be read back as a report. `means` ([`Report::over_seeds`]), `gaps` ([`Report::gaps`]) and `aup`
    /// ([`Report::aup`] of the share of `right` texts) follow from them.
    ///
    /// # Errors
    /// Those of [`Report::aup`].
    pub fn json(&self) -> Result<String, Error> {
        #[derive(Serialize)]
        struct WithSummary<'r> {
            #[serde(flatten)]
            report: &'r Report,
            means: Vec<Point>,
            gaps: Vec<Gap>,
            aup: BTreeMap<String, Measured>,
        }
        let (means, gaps) = (self.over_seeds().points, self.gaps());
        let all = WithSummary { report: self, means, gaps, aup: self.aup("right")? };
        // Serialisation of strings and numbers cannot fail.
        Ok(serde_json::to_string_pretty(&all).unwrap_or_default() + "\n")
    }

    /// [`Aup`] of every strategy in the figure `metric`, a share of texts, averaged over seeds.
    ///
    /// The points of each strategy include one-at-a-time sampling, if it was measured. That is the first point, unless the
    /// strategy takes more than one forward per token. y_max is the best share of all points.
    #[doc(alias = "accuracy under parallelism")]
    ///
    /// # Errors
    /// Those of [`Aup::measure`].
    pub fn aup(&self, metric: &str) -> Result<BTreeMap<String, Measured>, Error> {
        let Report { points, .. } = self.over_seeds();
        let one = |point: &Point| {
            let figure = point.metrics.get(metric)?;
            let n = figure.n as u64;
            let passed = (figure.value * n as f64).round().clamp(0.0, n as f64) as u64;
            Some((1.0 / point.forwards_per_token(), Share { passed, n }))
        };
        let mut lines: BTreeMap<&str, Vec<(f64, Share)>> = BTreeMap::new();
        for point in &points {
            lines.entry(&point.strategy).or_default().extend(one(point));
        }
        let start = lines.get(CEILING).cloned().unwrap_or_default();
        let all = lines.values().flatten().map(|(_, share)| 100.0 * share.value());
        let best = all.fold(0.0, f64::max);
        if best == 0.0 {
            return Ok(BTreeMap::new());
        }
        let aup = Aup::new(best)?;
        let bootstrap = Bootstrap::new(self.points.first().map_or(0, |point| point.seed));
        let scored = lines.into_iter().filter(|(_, points)| !points.is_empty());
        let scored = scored.map(|(name, mut points)| {
            if name != CEILING {
                points.extend(&start);
            }
            Ok((name.to_owned(), aup.measure(&points, &bootstrap)?))
        });
        scored.collect()
    }

    /// The Pareto front of a figure against cost, averaged over seeds, cheapest first. No other point has both fewer
    /// [forwards per token](Point::forwards_per_token) and a better figure than a point of the front.
    #[doc(alias = "Pareto")]
    pub fn front(&self, metric: &str, better: Better) -> Vec<Point> {
        let Report { points } = self.over_seeds();
        let of = |point: &Point| {
            let value = point.metrics.get(metric)?.value;
            let value = if better == Better::Lower { -value } else { value };
            (!value.is_nan()).then_some((point.forwards_per_token(), value))
        };
        let mut measured: Vec<(f64, f64, &Point)> = points
            .iter()
            .filter_map(|point| of(point).map(|(cost, value)| (cost, value, point)))
            .collect();
        measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        let mut best = f64::NEG_INFINITY;
        measured.retain(|&(_, value, _)| {
            let leads = value > best;
            best = best.max(value);
            leads
        });
        measured.into_iter().map(|(.., point)| point.clone()).collect()
    }

    /// The fronts of `right` and `NLL`, the gaps, and the AUP of the share of `right` texts, as Markdown. Sections without
    /// data are omitted.
    ///
    /// # Errors
    /// Those of [`aup`](Self::aup).
    pub fn summary(&self) -> Result<String, Error> {
        let mut text = String::new();
        for (metric, better) in [("right", Better::Higher), ("NLL", Better::Lower)] {
            let front = self.front(metric, better);
            if front.len() < 2 {
                continue;
            }
            text += &format!(
                "\n## Front of {metric} against cost\n\nNo other point costs less and is better in {metric}.\n\n\
                 | strategy | setting | forwards per token | {metric} |\n|---|---|---:|---:|\n"
            );
            for point in front {
                let (cost, figure) = (point.forwards_per_token(), point.metrics[metric]);
                let Point { strategy, parameter, .. } = point;
                text += &format!("| {strategy} | {parameter} | {cost:.3} | {figure} |\n");
            }
        }
        let gaps = self.gaps();
        if !gaps.is_empty() {
            text += "\n## Share of the gap closed\n\n(strategy − marginal) / (exact − marginal), at equal \
                     settings and over all seeds.\n\n| strategy | setting | figure | closed | n |\n|---|---|---|---:|---:|\n";
            for Gap { strategy, parameter, metric, closed } in gaps {
                let n = closed.n;
                text += &format!("| {strategy} | {parameter} | {metric} | {closed:.2} | {n} |\n");
            }
        }
        let aup = self.aup("right")?;
        if !aup.is_empty() {
            text += "\n## Accuracy under parallelism\n\nAUP of the share of right texts (%) over tokens per \
                     denoiser-equivalent forward, a sampler pass at its measured cost (arXiv 2601.07568).\n\n\
                     | strategy | AUP | n |\n|---|---:|---:|\n";
            for (strategy, score) in aup {
                text += &format!("| {strategy} | {score:.1} | {} |\n", score.n);
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::point;

    fn right(strategy: &str, k: u32, seed: u64, value: f64) -> Point {
        let mut point = point(strategy, k, seed, value);
        let figure = point.metrics.remove("MAUVE").unwrap();
        point.metrics.insert("right".into(), figure);
        point
    }

    fn report() -> Report {
        let points = vec![
            right("exact", 1, 1, 0.8),
            right("marginal", 4, 1, 0.1),
            right("joint", 4, 1, 0.5),
            right("joint", 8, 1, 0.3),
            right("exact", 1, 2, 0.6),
            right("marginal", 4, 2, 0.3),
            right("joint", 4, 2, 0.6),
        ];
        Report { points }
    }

    #[test]
    fn gaps_need_both_ends_at_the_same_setting() {
        let gaps = report().gaps();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!((&*gaps[0].strategy, &*gaps[0].parameter), ("joint", "K = 4"));
        // (0.55 − 0.2) / (0.7 − 0.2).
        assert!((gaps[0].closed.value - 0.7).abs() < 1e-9);
        let mut lacking = report();
        lacking.points.retain(|point| point.strategy != "exact");
        assert!(lacking.gaps().is_empty());
    }

    #[test]
    fn the_aup_of_every_strategy_includes_one_at_a_time_sampling() {
        let aup = report().aup("right").unwrap();
        let by_hand = |points: &[(f64, f64)]| Aup::new(70.0).unwrap().of(points).unwrap();
        assert!((aup["exact"].value - by_hand(&[(1.0, 70.0)])).abs() < 1e-9);
        // 20 % is more than 5 points below 70 % and omitted, as are 55 % and 30 %.
        assert!((aup["marginal"].value - 70.0).abs() < 1e-9);
        let mut near = report();
        near.points.push(right("near", 4, 1, 0.68));
        let rho = 1.0 / near.points[7].forwards_per_token();
        let expected = by_hand(&[(1.0, 70.0), (rho, 68.0)]);
        assert!((near.aup("right").unwrap()["near"].value - expected).abs() < 1e-9);
        assert!(report().aup("nothing").unwrap().is_empty());
    }

    #[test]
    fn the_summary_lists_gaps_and_aup() {
        let text = report().summary().unwrap();
        assert!(text.contains("| joint | K = 4 | right | 0.70 ["), "{text}");
        assert!(text.contains("| exact | 70.0 ["), "{text}");
        assert_eq!(Report::default().summary().unwrap(), "");
    }

    #[test]
    fn the_front_holds_the_undominated_points() {
        let mut points = vec![
            right("exact", 1, 0, 0.9),
            right("joint", 4, 0, 0.8),
            right("marginal", 4, 0, 0.3),
        ];
        points.push(right("marginal", 2, 0, 0.7));
        points.push(Point { metrics: Default::default(), ..right("other", 8, 0, 1.0) });
        let report = Report { points };
        let names = |better| -> Vec<(String, String)> {
            let front = report.front("right", better).into_iter();
            front.map(|point| (point.strategy, point.parameter)).collect()
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        // Forwards a token: marginal 4 0.25, joint 4 0.25 + 0.75 / 8 = 0.34, marginal 2 0.5, exact 1.
        let expected = [pair("marginal", "K = 4"), pair("joint", "K = 4"), pair("exact", "K = 1")];
        assert_eq!(names(Better::Higher), expected);
        assert_eq!(names(Better::Lower), [pair("marginal", "K = 4")]);
        assert!(report.summary().unwrap().contains("Front of right against cost"));
        assert!(report.front("NLL", Better::Lower).is_empty());
    }

    #[test]
    fn json_round_trips() {
        let mut report =
            Report { points: vec![point("joint", 2, 1, 0.97), point("exact", 1, 1, 0.99)] };
        report.points[0].metrics.get_mut("MAUVE").unwrap().value = f64::INFINITY;
        assert_eq!(serde_json::from_str::<Report>(&report.json().unwrap()).unwrap(), report);
    }
}
