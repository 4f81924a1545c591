//! The weight of each masked position in the loss.

use crate::error::{TrainError, check};

/// Weights of the masked rows of a canvas in the loss. They sum to 1.
///
/// Decoding reveals the rows of lowest entropy next. A window gives these rows more weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// M, the number of rows in the window, or `None` for no window. If fewer rows are masked, all are in it.
    pub rows: Option<usize>,
    /// The share of the weight that goes to the window. The rest is spread evenly over all masked rows.
    pub share: f64,
}

impl Window {
    pub(crate) fn validate(self) -> Result<(), TrainError> {
        check(self.rows != Some(0), "window", 0, "at least 1 row")?;
        check((0.0..=1.0).contains(&self.share), "window share", self.share, "from 0 to 1")
    }

    /// The weights of `masked` rows, in the order in which they will be revealed.
    pub(crate) fn weights(self, masked: usize) -> impl Iterator<Item = f64> {
        let inside = self.rows.unwrap_or(masked).min(masked);
        let share = if self.rows.is_some() { self.share } else { 0.0 };
        let (all, more) = ((1.0 - share) / masked as f64, share / inside as f64);
        (0..masked).map(move |row| all + if row < inside { more } else { 0.0 })
    }

    /// The weights of masked rows with these entropies, in the same order. The row of lowest entropy is revealed next.
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
    fn the_window_weighs_the_next_rows_more_and_weights_sum_to_one() {
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
