//! Lloyd's k-means, as in the library `faiss`.
//!
//! `mauve-text` clusters with faiss, and single clusterings differ by more than 0.01 in MAUVE. This module therefore makes
//! the same choices with the same Mersenne twister: the first centroids are k points drawn without replacement, an empty
//! cluster takes half of another one, and the best of several runs is kept. Equal seeds give the same clusters, within
//! rounding.
//!
//! Source: faiss 1.15, `Clustering.cpp` and `ClusteringHelpers.cpp`.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand_mt::Mt;

/// The difference between the seeds of successive runs.
const RUN_STRIDE: u64 = 15_486_557;
/// The largest number of points per centroid that are clustered.
const POINTS_PER_CENTROID: usize = 256;
/// The relative distance by which the halves of a split cluster are moved apart.
const NUDGE: f32 = 1.0 / 1024.0;
/// The seed of the choice of clusters to split.
const SPLIT_SEED: u32 = 1234;

/// k-means with k clusters: the best of `runs` runs, each of at most `iterations` iterations.
pub(super) struct KMeans {
    pub clusters: usize,
    pub runs: usize,
    pub iterations: usize,
    pub seed: u64,
}

impl KMeans {
    /// The cluster of each point [n, d]; n must be at least k.
    pub fn labels(&self, points: &Array2<f32>) -> Vec<usize> {
        let (n, most) = (points.nrows(), self.clusters * POINTS_PER_CENTROID);
        let part = (n > most).then(|| points.select(Axis(0), &permutation(n, self.seed)[..most]));
        let centroids = self.centroids(part.as_ref().unwrap_or(points));
        Assignment::of(points.view(), &centroids).labels
    }

    /// The centroids of the run with the smallest objective.
    fn centroids(&self, points: &Array2<f32>) -> Array2<f32> {
        if points.nrows() <= self.clusters {
            return points.clone();
        }
        let mut best = (f64::INFINITY, Array2::zeros((0, 0)));
        for run in 0..self.runs.max(1) as u64 {
            let seed = self.seed.wrapping_add(1).wrapping_add(run.wrapping_mul(RUN_STRIDE));
            let (objective, centroids) = self.run(points, seed);
            if run == 0 || objective < best.0 {
                best = (objective, centroids);
            }
        }
        best.1
    }

    /// Lloyd's iterations until the sum of squared distances is constant.
    fn run(&self, points: &Array2<f32>, seed: u64) -> (f64, Array2<f32>) {
        let first = permutation(points.nrows(), seed);
        let mut centroids = points.select(Axis(0), &first[..self.clusters]);
        let mut objective = f64::INFINITY;
        for _ in 0..self.iterations {
            let assignment = Assignment::of(points.view(), &centroids);
            let mut sizes = assignment.means(points, &mut centroids);
            fill_empty(points.nrows(), &mut sizes, &mut centroids);
            if assignment.objective == objective {
                break;
            }
            objective = assignment.objective;
        }
        (objective, centroids)
    }
}

/// The assignment of points to their nearest centroids.
struct Assignment {
    labels: Vec<usize>,
    /// The sum of squared distances.
    objective: f64,
}

impl Assignment {
    /// Computes ‖x − c‖² = ‖x‖² + ‖c‖² − 2 x·c, with all products in one matrix multiplication.
    fn of(points: ArrayView2<'_, f32>, centroids: &Array2<f32>) -> Self {
        let squares = |rows: ArrayView2<'_, f32>| -> Array1<f32> {
            rows.rows().into_iter().map(|row| row.dot(&row)).collect()
        };
        let (norms, centroid_norms) = (squares(points), squares(centroids.view()));
        let mut distances = Array2::zeros((points.nrows(), centroids.nrows()));
        general_mat_mul(-2.0, &points, &centroids.t(), 0.0, &mut distances);
        distances += &centroid_norms;
        let (mut labels, mut objective) = (Vec::with_capacity(points.nrows()), 0.0);
        for (row, norm) in distances.rows().into_iter().zip(&norms) {
            let nearer = |best: (usize, f32), (label, &distance): (usize, &f32)| {
                if distance < best.1 { (label, distance) } else { best }
            };
            let (label, distance) = row.iter().enumerate().fold((0, f32::INFINITY), nearer);
            labels.push(label);
            objective += f64::from((distance + norm).max(0.0));
        }
        Self { labels, objective }
    }

    /// Moves each centroid to the mean of its points, and returns the number of points. A centroid without points moves to
    /// the origin.
    fn means(&self, points: &Array2<f32>, centroids: &mut Array2<f32>) -> Vec<f32> {
        let mut sizes = vec![0.0_f32; centroids.nrows()];
        centroids.fill(0.0);
        for (point, &label) in points.rows().into_iter().zip(&self.labels) {
            sizes[label] += 1.0;
            let mut sum = centroids.row_mut(label);
            sum += &point;
        }
        for (mut sum, &size) in centroids.rows_mut().into_iter().zip(&sizes) {
            if size > 0.0 {
                sum *= 1.0 / size;
            }
        }
        sizes
    }
}

/// Gives every empty cluster half of another one, which is drawn with a probability that increases with its size.
fn fill_empty(points: usize, sizes: &mut [f32], centroids: &mut Array2<f32>) {
    let mut twister = Mt::new(SPLIT_SEED);
    for empty in 0..sizes.len() {
        if sizes[empty] > 0.0 {
            continue;
        }
        let donor = donor(points, sizes, &mut twister);
        for column in 0..centroids.ncols() {
            let nudge = if column % 2 == 0 { NUDGE } else { -NUDGE };
            let centre = centroids[(donor, column)];
            centroids[(empty, column)] = centre * (1.0 + nudge);
            centroids[(donor, column)] = centre * (1.0 - nudge);
        }
        sizes[empty] = sizes[donor] / 2.0;
        sizes[donor] -= sizes[empty];
    }
}

/// Draws the cluster to split, or returns the largest one after 10 k failed trials.
fn donor(points: usize, sizes: &[f32], twister: &mut Mt) -> usize {
    let (clusters, spare) = (sizes.len(), points.saturating_sub(sizes.len()) as f32);
    let chance = |cluster: &usize| {
        let p = (sizes[*cluster] - 1.0) / spare;
        (twister.next_u32() as f32 / u32::MAX as f32) < p
    };
    let largest = || {
        let larger =
            |best: usize, other: usize| if sizes[other] > sizes[best] { other } else { best };
        (1..clusters).fold(0, larger)
    };
    (0..10 * clusters).map(|trial| trial % clusters).find(chance).unwrap_or_else(largest)
}

/// A random permutation of 0..n. The twister's seeds have 32 bits.
fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut twister = Mt::new(seed as u32);
    let mut order: Vec<usize> = (0..n).collect();
    for i in 0..n.saturating_sub(1) {
        let other = i + twister.next_u32() as usize % (n - i);
        order.swap(i, other);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    fn kmeans(clusters: usize) -> KMeans {
        KMeans { clusters, runs: 5, iterations: 100, seed: 27 }
    }

    #[test]
    fn well_separated_groups_are_found() {
        let points =
            array![[0.0, 0.1], [5.0, 5.0], [0.1, 0.0], [5.1, 4.9], [-4.0, 9.0], [0.0, 0.0]];
        let labels = kmeans(3).labels(&points);
        assert_eq!((labels[0], labels[1]), (labels[2], labels[3]));
        assert_eq!(labels[0], labels[5]);
        assert!(labels[0] != labels[1] && labels[1] != labels[4] && labels[0] != labels[4]);
    }

    #[test]
    fn with_as_many_clusters_as_points_each_is_alone() {
        let points = array![[1.0], [2.0], [5.0]];
        assert_eq!(kmeans(3).labels(&points), [0, 1, 2]);
    }

    #[test]
    fn equal_points_can_be_clustered() {
        let labels = kmeans(4).labels(&Array2::from_elem((9, 2), 1.5));
        assert!(labels.iter().all(|&label| label < 4));
    }

    #[test]
    fn an_empty_cluster_takes_half_of_another() {
        let mut centroids = array![[1.0, 2.0], [0.0, 0.0]];
        let mut sizes = [4.0, 0.0];
        fill_empty(4, &mut sizes, &mut centroids);
        assert_eq!(sizes, [2.0, 2.0]);
        assert_eq!(
            centroids,
            array![[1.0 - NUDGE, 2.0 * (1.0 + NUDGE)], [1.0 + NUDGE, 2.0 * (1.0 - NUDGE)]]
        );
    }

    /// `faiss.rand_perm` with seed 28, as faiss 1.15 draws it.
    #[test]
    fn the_permutation_equals_that_of_faiss() {
        assert_eq!(permutation(12, 28), [5, 4, 0, 9, 8, 2, 11, 10, 1, 3, 6, 7]);
    }

    proptest! {
        /// No point is nearer to another cluster's mean than to its own cluster's.
        #[test]
        fn the_result_is_a_fixed_point_of_lloyds_iteration(
            numbers in prop::collection::vec(-3.0f32..3.0, 60), seed in any::<u64>(),
        ) {
            let points = Array2::from_shape_vec((30, 2), numbers).unwrap();
            let labels = KMeans { seed, ..kmeans(4) }.labels(&points);
            let assignment = Assignment { labels, objective: 0.0 };
            let mut means = Array2::zeros((4, 2));
            let sizes = assignment.means(&points, &mut means);
            prop_assert!(sizes.iter().all(|&size| size > 0.0), "{sizes:?}");
            for (point, &label) in points.rows().into_iter().zip(&assignment.labels) {
                let distance = |c: usize| (&point - &means.row(c)).mapv(|x| x * x).sum();
                prop_assert!((0..4).all(|c| distance(label) <= distance(c) + 1e-4));
            }
        }
    }
}
