//! Principal components.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, Axis, Slice};

/// Projects rows [n, d] on the fewest leading principal components that explain at least the share `explained` of the
/// variance; at least one.
///
/// The components come from the smaller one of the covariance [d, d] and the Gram matrix [n, n] of the centred rows X. With
/// X Xᵀ = U Λ Uᵀ the projections are U √Λ. Signs are arbitrary.
pub(super) fn project(mut rows: Array2<f64>, explained: f64) -> Array2<f64> {
    if let Some(mean) = rows.mean_axis(Axis(0)) {
        rows -= &mean;
    }
    let (n, d) = rows.dim();
    let tall = n >= d;
    let (values, vectors) =
        descending(if tall { rows.t().dot(&rows) } else { rows.dot(&rows.t()) });
    let kept = leading(&values, explained);
    let vectors = vectors.slice_axis(Axis(1), Slice::from(..kept)).to_owned();
    if tall {
        return rows.dot(&vectors);
    }
    let mut projections = vectors;
    for (mut column, value) in projections.columns_mut().into_iter().zip(&values) {
        column *= value.sqrt();
    }
    projections
}

/// The number of eigenvalues, largest first, that sum to at least the share `explained` of the total.
fn leading(values: &[f64], explained: f64) -> usize {
    let total: f64 = values.iter().sum();
    let mut sum = 0.0;
    let reached = values.iter().position(|value| {
        sum += value / total;
        sum >= explained
    });
    // Equal rows have no variance.
    reached.map_or(1, |last| last + 1)
}

/// Nonnegative eigenvalues in descending order, and the eigenvectors as columns.
fn descending(symmetric: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let size = symmetric.nrows();
    let entries = symmetric.iter().copied();
    let eigen = SymmetricEigen::new(DMatrix::from_iterator(size, size, entries));
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let values = order.iter().map(|&i| eigen.eigenvalues[i].max(0.0)).collect();
    let vector = |(row, column): (usize, usize)| eigen.eigenvectors[(row, order[column])];
    (values, Array2::from_shape_fn((size, size), vector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    /// Squared distances between all rows, which do not depend on signs.
    fn distances(rows: &Array2<f64>) -> Vec<f64> {
        let n = rows.nrows();
        let pairs = (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
        pairs.map(|(i, j)| (&rows.row(i) - &rows.row(j)).mapv(|x| x * x).sum()).collect()
    }

    #[test]
    fn a_line_has_one_component() {
        // Points on the direction (3, 4) / 5, at −10, −5, 5 and 10 from their mean.
        let rows = array![[1.0, 1.0], [4.0, 5.0], [10.0, 13.0], [13.0, 17.0]];
        let projected = project(rows, 0.9);
        assert_eq!(projected.dim(), (4, 1));
        let mut along: Vec<f64> = projected.iter().copied().collect();
        along.sort_by(f64::total_cmp);
        for (got, expected) in along.iter().zip([-10.0, -5.0, 5.0, 10.0]) {
            assert!((got - expected).abs() < 1e-9, "{along:?}");
        }
    }

    #[test]
    fn components_are_kept_until_enough_is_explained() {
        assert_eq!(leading(&[6.0, 3.0, 1.0], 0.59), 1);
        assert_eq!(leading(&[6.0, 3.0, 1.0], 0.61), 2);
        assert_eq!(leading(&[6.0, 3.0, 1.0], 0.95), 3);
        assert_eq!(leading(&[0.0, 0.0], 0.9), 1);
    }

    proptest! {
        /// All components preserve distances, with either of the two matrices.
        #[test]
        fn all_components_keep_all_distances(
            numbers in prop::collection::vec(-3.0f64..3.0, 24), wide in any::<bool>(),
        ) {
            let shape = if wide { (4, 6) } else { (8, 3) };
            let rows = Array2::from_shape_vec(shape, numbers).unwrap();
            let projected = project(rows.clone(), 1.0 - 1e-12);
            prop_assert!(projected.ncols() <= shape.0.min(shape.1));
            for (got, expected) in distances(&projected).iter().zip(distances(&rows)) {
                prop_assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            }
        }
    }
}
