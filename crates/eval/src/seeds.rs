//! Means over seeds.

use crate::{Measured, Point, Report};

impl Report {
    /// Averages the seeds of each strategy and setting. Figures are [means](Measured::mean); calls and seconds are sums. A
    /// figure that some seed lacks is omitted. The seed is the first one's.
    #[must_use]
    pub fn over_seeds(&self) -> Report {
        let mut points: Vec<Vec<&Point>> = Vec::new();
        for point in &self.points {
            match points.iter_mut().find(|seeds| seeds[0].is_same_setting(point)) {
                Some(seeds) => seeds.push(point),
                None => points.push(vec![point]),
            }
        }
        let points = points.iter().map(|seeds| average(seeds)).collect();
        Report { points }
    }
}

/// The average of the points of several seeds.
fn average(seeds: &[&Point]) -> Point {
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

    #[test]
    fn seeds_are_averaged() {
        let points = vec![
            point("exact", 1, 1, 0.8),
            point("joint", 4, 1, 0.5),
            point("joint", 8, 1, 0.3),
            point("exact", 1, 2, 0.6),
            point("joint", 4, 2, 0.6),
        ];
        let report = Report { points }.over_seeds();
        let names: Vec<_> = report.points.iter().map(|p| (&*p.strategy, &*p.parameter)).collect();
        assert_eq!(names, [("exact", "K = 1"), ("joint", "K = 4"), ("joint", "K = 8")]);
        let joint = &report.points[1];
        assert!((joint.metrics["MAUVE"].value - 0.55).abs() < 1e-12);
        assert_eq!((joint.texts, joint.tokens, joint.seconds), (1000, 64_000, 32.0));
        assert_eq!(joint.metrics["MAUVE"].n, 1000);
        assert_eq!(report.points[2], point("joint", 8, 1, 0.3));
        assert_eq!(joint.forwards_per_token(), point("joint", 4, 1, 0.5).forwards_per_token());
    }
}
