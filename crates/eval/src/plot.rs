//! Plots of quality against cost, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::{Error, Measured, Point, Report};

/// The quantity on the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Tokens per full forward pass of the model, without sampler passes.
    TokensPerForward,
    /// Denoiser-equivalent forwards per token, with sampler passes at their measured cost.
    ForwardsPerToken,
}

impl Axis {
    fn title(self) -> &'static str {
        match self {
            Self::TokensPerForward => "tokens per full forward of the model",
            Self::ForwardsPerToken => "denoiser-equivalent forwards per token",
        }
    }

    fn of(self, point: &Point) -> f64 {
        match self {
            Self::TokensPerForward => point.tokens_per_forward(),
            Self::ForwardsPerToken => point.forwards_per_token(),
        }
    }
}

/// A plot of a metric against cost, with a line per strategy and 95 % error bars.
///
/// Points that differ only in their seed are [averaged](Measured::mean). Strategies differ in the shape of their marks and
/// in colour; the palette is Okabe and Ito's, which suits colour-blind readers. Text and background follow the reader's
/// light or dark theme.
///
/// ```
/// # use conjoint_eval::{Axis, Cost, Measured, Plot, Point, Report};
/// # let figure = Measured { value: 0.9, low: 0.88, high: 0.92, n: 500, seed: 1 };
/// # let report = Report { points: vec![Point {
/// #     strategy: "joint".into(), parameter: "K = 4".into(), seed: 1, texts: 500, tokens: 16_000,
/// #     cost: Cost { denoiser_calls: 4000.0, rounds: 4000.0, sampler_calls: 12_000.0, sampler_cost: 0.1 },
/// #     seconds: 9.0, metrics: [("MAUVE".into(), figure)].into() }] };
/// let svg = Plot::new("MAUVE", Axis::TokensPerForward).unit("1 is equal").svg(&report)?;
/// assert!(svg.starts_with("<svg"));
/// # Ok::<(), conjoint_eval::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Plot<'a> {
    metric: &'a str,
    unit: &'a str,
    axis: Axis,
}

const SIZE: (u32, u32) = (860, 460);
const LEGEND_WIDTH: u32 = 180;
const FONT: &str = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/// Colours in the light theme, as drawn, and in the dark theme.
const PAPER: (RGBColor, &str) = (RGBColor(255, 255, 255), "#0D1117");
const INK: (RGBColor, &str) = (RGBColor(31, 35, 40), "#E6EDF3");
const GRID: (RGBColor, &str) = (RGBColor(225, 228, 232), "#2B3138");

/// Okabe and Ito's palette, without the yellow and the black, which have too little contrast in one of the themes.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Corners of the marks, in pixels relative to their centres.
const MARKS: [&[(i32, i32)]; 5] = [
    &[(4, 0), (3, 3), (0, 4), (-3, 3), (-4, 0), (-3, -3), (0, -4), (3, -3)],
    &[(-3, -3), (3, -3), (3, 3), (-3, 3)],
    &[(0, -5), (5, 4), (-5, 4)],
    &[(0, -5), (5, 0), (0, 5), (-5, 0)],
    &[(0, 5), (5, -4), (-5, -4)],
];

/// The points of each setting, one per seed.
type BySetting<'a> = Vec<(&'a str, Vec<&'a Point>)>;

/// The line of a strategy.
struct Line<'a> {
    name: &'a str,
    colour: RGBColor,
    mark: &'static [(i32, i32)],
    points: Vec<(f64, Measured)>,
}

impl<'a> Plot<'a> {
    /// A plot of the metric with this name in the report.
    #[must_use]
    pub fn new(metric: &'a str, axis: Axis) -> Self {
        Self { metric, unit: "", axis }
    }

    /// Sets the metric's unit, or a note on its values, which follows its name on the vertical axis.
    #[must_use]
    pub fn unit(mut self, unit: &'a str) -> Self {
        self.unit = unit;
        self
    }

    /// Draws the report. Points without the metric and infinite values are omitted.
    ///
    /// # Errors
    /// [`Error::Empty`] if no point remains, and [`Error::Plot`].
    pub fn svg(&self, report: &Report) -> Result<String, Error> {
        let lines = self.lines(report);
        if lines.is_empty() {
            return Err(Error::Empty("the plot"));
        }
        let mut svg = String::new();
        self.draw(&lines, &mut svg).map_err(|error| Error::Plot(error.to_string()))?;
        Ok(themed(&svg))
    }

    /// The line of each strategy, in the report's order, with its points from left to right.
    fn lines<'r>(&self, report: &'r Report) -> Vec<Line<'r>> {
        let mut groups: Vec<(&str, BySetting<'_>)> = Vec::new();
        for point in &report.points {
            let figures = point.metrics.get(self.metric);
            if figures.is_some_and(|f| (f.value + f.low + f.high + self.axis.of(point)).is_finite())
            {
                let settings = entry(&mut groups, &point.strategy);
                entry(settings, &point.parameter).push(point);
            }
        }
        let line = |(i, (name, settings)): (usize, (&'r str, BySetting<'r>))| {
            let mut points: Vec<_> =
                settings.iter().filter_map(|(_, seeds)| self.mean(seeds)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (colour, mark) = (COLOURS[i % COLOURS.len()], MARKS[i % MARKS.len()]);
            Line { name, colour, mark, points }
        };
        groups.into_iter().enumerate().map(line).collect()
    }

    /// The mean over the seeds of a setting.
    fn mean(&self, seeds: &[&Point]) -> Option<(f64, Measured)> {
        let x = seeds.iter().map(|point| self.axis.of(point)).sum::<f64>() / seeds.len() as f64;
        let figures: Vec<Measured> =
            seeds.iter().filter_map(|point| point.metrics.get(self.metric).copied()).collect();
        Some((x, Measured::mean(&figures)?))
    }

    fn draw(&self, lines: &[Line<'_>], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&PAPER.0)?;
        let (area, legend) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let points = || lines.iter().flat_map(|line| &line.points);
        let x = range(points().map(|&(x, _)| x));
        let y = range(points().flat_map(|(_, figure)| [figure.low, figure.high]));
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        let text = |size: u32| (FONT, size).into_font().color(&INK.0);
        chart
            .configure_mesh()
            .x_desc(self.axis.title())
            .y_desc(self.title())
            .axis_desc_style(text(15))
            .label_style(text(13))
            .axis_style(INK.0)
            .bold_line_style(GRID.0)
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .draw()?;
        for line in lines {
            let path = line.points.iter().map(|(x, figure)| (*x, figure.value));
            chart.draw_series(LineSeries::new(path, line.colour.stroke_width(2)))?;
            for &(x, figure) in &line.points {
                let bar = vec![(x, figure.low), (x, figure.high)];
                chart.plotting_area().draw(&PathElement::new(bar, line.colour.stroke_width(2)))?;
                for end in [figure.low, figure.high] {
                    let cap = PathElement::new(vec![(-7, 0), (7, 0)], line.colour.stroke_width(2));
                    chart.plotting_area().draw(&(EmptyElement::at((x, end)) + cap))?;
                }
                let mark = Polygon::new(line.mark.to_vec(), line.colour.filled());
                chart.plotting_area().draw(&(EmptyElement::at((x, figure.value)) + mark))?;
            }
        }
        key(&legend, lines)?;
        legend.present()?;
        Ok(())
    }

    fn title(&self) -> String {
        match self.unit {
            "" => self.metric.to_owned(),
            unit => format!("{} ({unit})", self.metric),
        }
    }
}

/// Draws the legend.
fn key(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    lines: &[Line<'_>],
) -> Result<(), Box<dyn std::error::Error>> {
    let left_middle = Pos::new(HPos::Left, VPos::Center);
    let style = (FONT, 14).into_font().color(&INK.0).pos(left_middle);
    for (i, line) in lines.iter().enumerate() {
        let y = 28 + 24 * i as i32;
        area.draw(&PathElement::new(vec![(4, y), (32, y)], line.colour.stroke_width(2)))?;
        let mark = Polygon::new(line.mark.to_vec(), line.colour.filled());
        area.draw(&(EmptyElement::at((18, y)) + mark))?;
        area.draw(&Text::new(line.name.to_owned(), (40, y), style.clone()))?;
    }
    let y = 36 + 24 * lines.len() as i32;
    let style = (FONT, 12).into_font().color(&INK.0).pos(left_middle);
    area.draw(&Text::new("bars: 95 % intervals", (4, y), style))?;
    Ok(())
}

/// The value of a name, inserted if absent.
fn entry<'m, 'n, T: Default>(pairs: &'m mut Vec<(&'n str, T)>, name: &'n str) -> &'m mut T {
    let at = pairs.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
        pairs.push((name, T::default()));
        pairs.len() - 1
    });
    &mut pairs[at].1
}

/// The range of the values, with a margin.
fn range(values: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    let room = if most > least { 0.06 * (most - least) } else { 0.5 * most.abs().max(1.0) };
    least - room..most + room
}

/// A label without trailing zeros.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Adds a style sheet that selects the colours of the reader's theme.
fn themed(svg: &str) -> String {
    let rule = |(light, dark): (RGBColor, &str)| {
        let RGBColor(r, g, b) = light;
        let light = format!("#{r:02X}{g:02X}{b:02X}");
        format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
    };
    let rules: String = [PAPER, INK, GRID].map(rule).concat();
    let style = format!("<style>@media (prefers-color-scheme: dark){{{rules}}}</style>");
    match svg.find('>') {
        Some(end) => format!("{}\n{style}{}", &svg[..=end], &svg[end + 1..]),
        None => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::point;

    fn report() -> Report {
        let value = |strategy: &str, k: u32| match strategy {
            "joint" => 1.0 - 0.02 * f64::from(k),
            _ => 1.0 / f64::from(k),
        };
        let strategies =
            ["exact", "marginal", "joint", "confidence", "dream origin", "energy resampling"];
        let mut points = Vec::new();
        for (i, strategy) in strategies.into_iter().enumerate() {
            let ks: &[u32] = if strategy == "exact" { &[1] } else { &[2, 3, 4, 8] };
            for (&k, seed) in ks.iter().flat_map(|k| (0..3).map(move |seed| (k, seed))) {
                let scatter = 0.004 * (seed as f64 - 1.0) + 0.02 * i as f64;
                points.push(point(strategy, k, seed, value(strategy, k) - scatter));
            }
        }
        Report { points }
    }

    #[test]
    fn seeds_are_averaged_and_strategies_are_lines() {
        let report = report();
        let lines = Plot::new("MAUVE", Axis::TokensPerForward).lines(&report);
        let names: Vec<&str> = lines.iter().map(|line| line.name).collect();
        assert_eq!(names[..3], ["exact", "marginal", "joint"]);
        assert_eq!(lines[2].points.len(), 4);
        let (x, figure) = lines[2].points[1];
        assert_eq!(x, 3.0);
        assert!((figure.value - 0.90).abs() < 1e-12 && figure.n == 1500, "{figure}");
        // K = 3 with two sampler passes of 0.125 a step: 1.25 / 3 forwards a token.
        let lines = Plot::new("MAUVE", Axis::ForwardsPerToken).lines(&report);
        assert!((lines[2].points[2].0 - 1.25 / 3.0).abs() < 1e-12, "{:?}", lines[2].points);
    }

    #[test]
    fn the_plot_has_its_labels_and_marks() {
        let plot = Plot::new("MAUVE", Axis::TokensPerForward).unit("<1 is equal>");
        let svg = plot.svg(&report()).unwrap();
        for text in ["energy resampling", "tokens per full forward", "prefers-color-scheme: dark"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.contains("&lt;1 is equal&gt;"));
        assert_eq!(svg.matches("<svg").count(), 1);
        // 21 points and 6 keys.
        assert_eq!(svg.matches("<polygon").count(), 21 + 6);
    }

    #[test]
    fn missing_and_infinite_values_are_omitted() {
        let plot = Plot::new("NLL", Axis::TokensPerForward);
        assert!(matches!(plot.svg(&report()), Err(Error::Empty(_))));
        let mut infinite = Report { points: vec![point("joint", 2, 1, 0.5)] };
        infinite.points[0].metrics.get_mut("MAUVE").unwrap().high = f64::INFINITY;
        let plot = Plot::new("MAUVE", Axis::TokensPerForward);
        assert!(matches!(plot.svg(&infinite), Err(Error::Empty(_))));
        let one = Report { points: vec![point("joint", 2, 1, 0.5)] };
        assert!(plot.svg(&one).is_ok());
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([0.3, 2.0, -0.00001, 0.1 + 0.2].map(short), ["0.3", "2", "0", "0.3"]);
        let range = range([1.0, 3.0].into_iter());
        assert!((range.start - 0.88).abs() < 1e-12 && (range.end - 3.12).abs() < 1e-12);
    }
}
