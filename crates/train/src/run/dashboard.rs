//! The text above a run's progress bar: the loss curve and a table of the validated figures.

use std::collections::BTreeMap;

use console::Style;

/// The last validated figures, and the losses since the process started.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// One loss per `stride` calls.
    losses: Vec<f64>,
    stride: u64,
    calls: u64,
    validation: BTreeMap<String, f64>,
}

impl Default for Dashboard {
    fn default() -> Self {
        Self { losses: Vec::new(), stride: 1, calls: 0, validation: BTreeMap::new() }
    }
}

/// Columns of the loss curve.
const COLUMNS: usize = 60;

impl Dashboard {
    /// Adds a step's loss. Once there are twice as many losses as columns, every second one is dropped, so that the
    /// curve spans the whole run.
    pub fn loss(&mut self, loss: f64) {
        if self.calls.is_multiple_of(self.stride) {
            self.losses.push(loss);
        }
        self.calls += 1;
        if self.losses.len() == 2 * COLUMNS {
            self.losses = self.losses.iter().step_by(2).copied().collect();
            self.stride *= 2;
        }
    }

    /// Stores the figures of a validation.
    pub fn validated(&mut self, figures: &BTreeMap<String, f64>) {
        self.validation.clone_from(figures);
    }

    /// The curve and the table, with colours if `coloured`, without a final line break.
    pub fn render(&self, coloured: bool) -> String {
        let curve = curve(&self.losses);
        let table = table(&self.validation, coloured);
        [curve, table].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// The losses as a row of bars, scaled to their range.
fn curve(losses: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let finite = losses.iter().copied().filter(|loss| loss.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), loss| {
        (low.min(loss), high.max(loss))
    });
    if low >= high {
        return String::new();
    }
    let shown = losses.len().min(COLUMNS);
    let column = |i: usize| {
        let part = &losses[i * losses.len() / shown..(i + 1) * losses.len() / shown];
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        BARS[((mean - low) / (high - low) * 7.0).round().clamp(0.0, 7.0) as usize]
    };
    let bars: String = (0..shown).map(column).collect();
    format!("loss {bars} {low:.3} to {high:.3}")
}

/// Figures named `NAME j` as a row a name and a column a depth j; others one a line. A depth at which the
/// layer is no better than the stale distribution is red.
fn table(figures: &BTreeMap<String, f64>, coloured: bool) -> String {
    let mut rows: BTreeMap<&str, BTreeMap<u32, f64>> = BTreeMap::new();
    let mut lines = Vec::new();
    for (name, &value) in figures {
        match name.rsplit_once(' ').and_then(|(row, depth)| Some((row, depth.parse().ok()?))) {
            Some((row, depth)) => drop(rows.entry(row).or_default().insert(depth, value)),
            None => lines.push(format!("{name:<14}{value:>8.4}")),
        }
    }
    let harmful =
        |depth: u32| figures.get(&format!("kl left {depth}")).is_some_and(|&left| left >= 1.0);
    let depths: Vec<u32> =
        rows.values().next().into_iter().flat_map(|row| row.keys().copied()).collect();
    if !depths.is_empty() {
        let header: String = depths.iter().map(|depth| format!("{depth:>8}")).collect();
        lines.push(format!("{:<14}{header}", "depth"));
    }
    let red = Style::new().red().force_styling(coloured);
    for (name, row) in &rows {
        let cell = |(&depth, value): (&u32, &f64)| {
            let text = format!("{value:>8.3}");
            let ours = !name.starts_with("stale");
            if ours && harmful(depth) { red.apply_to(text).to_string() } else { text }
        };
        lines.push(format!("{name:<14}{}", row.iter().map(cell).collect::<String>()));
    }
    let bad: Vec<String> =
        depths.iter().filter(|&&depth| harmful(depth)).map(u32::to_string).collect();
    if !bad.is_empty() {
        let depths = bad.join(", ");
        let warning = format!("harmful at {depths}: no better than the stale distribution of x⁰");
        lines.push(red.apply_to(warning).to_string());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_columns_and_harmful_ones_are_red() {
        let figures = [("kl 1", 0.05), ("kl 2", 0.3), ("kl left 1", 0.5), ("kl left 2", 1.2)];
        let more = [("stale kl 1", 0.1), ("stale kl 2", 0.25), ("masked 10 %", 0.02)];
        let figures = figures.into_iter().chain(more).map(|(n, v)| (n.to_owned(), v)).collect();
        let plain = table(&figures, false);
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines[0], "masked 10 %     0.0200");
        assert_eq!(lines[1], "depth                1       2");
        assert_eq!(lines[2], "kl               0.050   0.300");
        assert_eq!(lines[3], "kl left          0.500   1.200");
        assert_eq!(lines[4], "stale kl         0.100   0.250");
        assert!(lines[5].starts_with("harmful at 2: no better"), "{plain}");
        let coloured = table(&figures, true);
        assert!(coloured.contains("\u{1b}[31m   0.300") && coloured.contains("\u{1b}[31m   1.200"));
        assert!(
            !coloured.contains("\u{1b}[31m   0.250") && !coloured.contains("\u{1b}[31m   0.050")
        );
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
    }

    #[test]
    fn the_curve_spans_the_whole_run() {
        let mut dashboard = Dashboard::default();
        assert_eq!(dashboard.render(false), "");
        for step in 1..=10_000 {
            dashboard.loss(10.0 - f64::from(step) / 1000.0);
            assert!(dashboard.losses.len() < 2 * COLUMNS);
        }
        let curve = dashboard.render(false);
        assert!(curve.starts_with("loss ███") && curve.contains("▁▁ 0.0"), "{curve}");
        assert_eq!(curve.chars().filter(|c| ('▁'..='█').contains(c)).count(), COLUMNS);
        // Evenly: the middle bar is at half the height.
        assert!("▄▅".contains(curve.chars().nth(5 + COLUMNS / 2).unwrap()), "{curve}");
        assert!(dashboard.losses[0] > 9.9);
    }

    #[test]
    fn a_curve_without_range_is_empty() {
        assert_eq!(curve(&[1.0, 1.0]), "");
        assert_eq!(curve(&[f64::NAN]), "");
        assert!(curve(&[1.0, f64::NAN, 2.0]).contains("1.000 to 2.000"));
    }
}
