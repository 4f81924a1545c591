//! Which masked rows training looks at most.

use crate::TrainError;
use crate::config::check;

/// How much each masked row of a canvas weighs; all together 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// M: the rows that are revealed next, which are those of lowest entropy; all where fewer are
    /// masked, `None` where there is no window.
    pub rows: Option<usize>,
    /// The share of the weight that goes to the window; the rest is spread over all masked rows.
    pub share: f64,
}

impl Window {
    pub(crate) fn validate(self) -> Result<(), TrainError> {
        check(self.rows != Some(0), "window", 0, "at least 1 row")?;
        check((0.0..=1.0).contains(&self.share), "window share", self.share, "from 0 to 1")
    }

    /// The weights of `masked` rows, the next to be revealed first.
    pub(crate) fn weights(self, masked: usize) -> impl Iterator<Item = f64> {
        let inside = self.rows.unwrap_or(masked).min(masked);
        let share = if self.rows.is_some() { self.share } else { 0.0 };
        let (all, more) = ((1.0 - share) / masked as f64, share / inside as f64);
        (0..masked).map(move |row| all + if row < inside { more } else { 0.0 })
    }

    /// The weights of masked rows of these entropies, in their order: the lowest is revealed next.
    pub(crate) fn weights_by(self, entropies: &[f64]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..entropies.len()).collect();
        order.sort_by(|&a, &b| entropies[a].total_cmp(&entropies[b]));
        let mut weights = vec![0.0; order.len()];
        for (row, weight) in order.into_iter().zip(self.weights(entropies.len())) {
            weights[row] = weight;
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_weighs_the_next_rows_more_and_all_add_up_to_one() {
        let weights =
            |rows, share, masked| Window { rows, share }.weights(masked).collect::<Vec<_>>();
        assert_eq!(weights(None, 1.0, 4), [0.25; 4]);
        assert_eq!(weights(Some(2), 1.0, 4), [0.5, 0.5, 0.0, 0.0]);
        assert_eq!(weights(Some(2), 0.5, 4), [0.375, 0.375, 0.125, 0.125]);
        assert_eq!(weights(Some(2), 0.5, 1), [1.0]);
        assert_eq!(weights(Some(2), 0.5, 0), [0.0; 0]);
        let window = Window { rows: Some(1), share: 0.5 };
        assert_eq!(window.weights_by(&[3.0, 0.1]), [0.25, 0.75]);
    }
}
