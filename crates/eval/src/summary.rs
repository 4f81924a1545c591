use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Aup, Bootstrap, Error, Measured, Point, Report, Share, gap_closed};

/// The strategy that draws independently: the floor of [`Report::gaps`].
const FLOOR: &str = "marginal";
/// The strategy that reveals one token per forward: the ceiling.
const CEILING: &str = "exact";

/// The share of one figure's gap between independent and one-at-a-time sampling that a point closes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// The strategy.
    pub strategy: String,
    /// Its setting, at which `marginal` was measured too.
    pub parameter: String,
    /// The figure.
    pub metric: String,
    /// See [`gap_closed`].
    pub closed: Measured,
}

/// Which values of a figure are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// High ones, as of the share of right texts.
    Higher,
    /// Low ones, as of a likelihood's negative logarithm.
    Lower,
}

impl Report {
    /// The seeds of each strategy and setting taken together: figures are [means](Measured::mean), calls and
    /// seconds sums; a figure that some seed lacks is left out. The seed is the first one's.
    pub fn over_seeds(&self) -> Report {
        let mut points: Vec<Vec<&Point>> = Vec::new();
        for point in &self.points {
            match points.iter_mut().find(|seeds| seeds[0].is_same_setting(point)) {
                Some(seeds) => seeds.push(point),
                None => points.push(vec![point]),
            }
        }
        let points = points.iter().map(|seeds| together(seeds)).collect();
        Report { points }
    }

    /// What every point closes of each figure's gap, seeds taken together, where both ends were measured.
    pub fn gaps(&self) -> Vec<Gap> {
        let Report { points, .. } = self.over_seeds();
        let of = |strategy: &str, parameter: Option<&str>| {
            points.iter().find(|p| {
                p.strategy == strategy && parameter.is_none_or(|wanted| p.parameter == wanted)
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

    /// [`Aup`] of every strategy in the figure `metric`, a share of texts; seeds taken together. Every
    /// strategy's points include one-at-a-time sampling, where that was measured: its first one, unless the strategy
    /// spends more than a forward on a token. y_max is the best of all.
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

    /// The Pareto front of a figure against cost, seeds taken together: the points than which no other has both fewer
    /// [forwards per token](Point::forwards_per_token) and a better figure; the cheapest first.
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

    /// The fronts of `right` and `NLL`, the gaps and the AUP of the share of `right` texts, as Markdown; empty where none
    /// can be told.
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

/// The points of several seeds as one.
fn together(seeds: &[&Point]) -> Point {
    let first = seeds[0];
    let figure = |name: &String| {
        let all: Option<Vec<Measured>> =
            seeds.iter().map(|point| point.metrics.get(name).copied()).collect();
        Some((name.clone(), Measured::mean(&all?)?))
    };
    let sum = |of: fn(&Point) -> f64| seeds.iter().map(|point| of(point)).sum::<f64>();
    let mut point =
        Point { metrics: first.metrics.keys().filter_map(figure).collect(), ..first.clone() };
    point.texts = seeds.iter().map(|point| point.texts).sum();
    point.tokens = seeds.iter().map(|point| point.tokens).sum();
    point.cost.denoiser_calls = sum(|point| point.cost.denoiser_calls);
    point.cost.rounds = sum(|point| point.cost.rounds);
    point.cost.sampler_calls = sum(|point| point.cost.sampler_calls);
    let passes = sum(|point| point.cost.sampler_calls * point.cost.sampler_cost);
    point.cost.sampler_cost =
        if passes > 0.0 { passes / point.cost.sampler_calls } else { first.cost.sampler_cost };
    point.seconds = sum(|point| point.seconds);
    point
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
    fn seeds_are_taken_together() {
        let report = report().over_seeds();
        let names: Vec<_> = report.points.iter().map(|p| (&*p.strategy, &*p.parameter)).collect();
        let expected =
            [("exact", "K = 1"), ("marginal", "K = 4"), ("joint", "K = 4"), ("joint", "K = 8")];
        assert_eq!(names, expected);
        let joint = &report.points[2];
        assert!((joint.metrics["right"].value - 0.55).abs() < 1e-12);
        assert_eq!((joint.texts, joint.tokens, joint.seconds), (1000, 64_000, 32.0));
        assert_eq!(joint.metrics["right"].n, 1000);
        assert_eq!(report.points[3], right("joint", 8, 1, 0.3));
        assert_eq!(joint.forwards_per_token(), right("joint", 4, 1, 0.5).forwards_per_token());
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
    fn every_line_of_the_aup_starts_one_at_a_time() {
        let aup = report().aup("right").unwrap();
        let by_hand = |points: &[(f64, f64)]| Aup::new(70.0).unwrap().of(points).unwrap();
        assert!((aup["exact"].value - by_hand(&[(1.0, 70.0)])).abs() < 1e-9);
        // 20 % is more than 5 below 70 % and left out, as are 55 % and 30 %.
        assert!((aup["marginal"].value - 70.0).abs() < 1e-9);
        let mut near = report();
        near.points.push(right("near", 4, 1, 0.68));
        let rho = 1.0 / near.points[7].forwards_per_token();
        let expected = by_hand(&[(1.0, 70.0), (rho, 68.0)]);
        assert!((near.aup("right").unwrap()["near"].value - expected).abs() < 1e-9);
        assert!(report().aup("nothing").unwrap().is_empty());
    }

    #[test]
    fn the_summary_tells_both() {
        let text = report().summary().unwrap();
        assert!(text.contains("| joint | K = 4 | right | 0.70 ["), "{text}");
        assert!(text.contains("| exact | 70.0 ["), "{text}");
        assert_eq!(Report::default().summary().unwrap(), "");
    }

    #[test]
    fn the_front_has_the_points_that_none_beats() {
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
}
