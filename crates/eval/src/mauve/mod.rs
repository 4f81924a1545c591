//! MAUVE: the closeness of two sets of texts, from one feature vector per text.

use ndarray::{Array2, ArrayView2, Axis, concatenate};

use crate::{Bootstrap, Error, Measured};

mod frontier;
mod kmeans;
mod pca;

use kmeans::KMeans;

/// MAUVE as its authors define it and their package `mauve-text` computes it.
///
/// The features of both sets are scaled to length 1 and projected on the principal components that explain 90 % of their
/// variance. k-means divides the space into n/10 cells, where n is the size of the smaller set. This gives histograms p
/// and q. With the mixtures r = w p + (1 − w) q, MAUVE is the area under the curve of (exp(−c KL(q ‖ r)),
/// exp(−c KL(p ‖ r))), c = 5. It is 1 for equal histograms, and near 0 for disjoint ones.
///
/// The first centroids are drawn as faiss draws them, so that equal seeds give the package's figure within rounding. A
/// single clustering has a standard deviation of about 0.015 over seeds, at n = 800 and MAUVE 0.93.
/// [`clusterings`](Self::clusterings) averages over several.
///
/// The figure depends on n, on the number of cells and on the features. Compare only figures with all of these equal, and
/// report the ceiling, which is the figure of a second reference set. If texts spread evenly over the n/10 cells, with ten
/// of each set in a cell, two sets of one distribution score 0.964 on average, at any n. With n/40 cells they score 0.997.
///
/// Source: Pillutla et al., arXiv 2102.01454 and arXiv 2212.14578 (MAUVE*); `mauve-text` 0.4.0.
///
/// ```
/// use conjoint_eval::{Bootstrap, Mauve};
/// use ndarray::Array2;
/// let p = Array2::from_shape_fn((200, 4), |(i, j)| ((i * 7 + j * 13) % 29) as f32 - 14.0);
/// let same = Mauve::default().measure(p.view(), p.view(), &Bootstrap::new(1))?;
/// assert!(same.value > 0.999);
/// let far = p.mapv(|x| x.abs() + 30.0);
/// assert!(Mauve::default().score(p.view(), far.view())?.mauve < 0.2);
/// # Ok::<(), conjoint_eval::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mauve {
    seed: u64,
    clusterings: usize,
    cells: Option<usize>,
    explained: f64,
    scale: f64,
}

/// MAUVE of two sets of features.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MauveScore {
    /// MAUVE.
    pub mauve: f64,
    /// MAUVE*, with ½ added to every cell of both histograms (Krichevsky and Trofimov).
    pub smoothed: f64,
    /// The number of cells of the histograms.
    pub cells: usize,
}

/// The package's settings: runs of k-means, the most iterations, and points on the curve.
const RUNS: usize = 5;
const ITERATIONS: usize = 500;
const POINTS: usize = 25;

impl Default for Mauve {
    /// The package's settings: seed 25, one clustering, n/10 cells, 90 % of variance, c = 5.
    fn default() -> Self {
        Self { seed: 25, clusterings: 1, cells: None, explained: 0.9, scale: 5.0 }
    }
}

impl Mauve {
    /// Sets the seed of the first clustering. Further clusterings use the next seeds.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Averages over this many clusterings, with consecutive seeds.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `clusterings` is 0.
    pub fn clusterings(mut self, clusterings: usize) -> Result<Self, Error> {
        if clusterings == 0 {
            return Err(Error::parameter("clusterings", clusterings, "at least 1"));
        }
        self.clusterings = clusterings;
        Ok(self)
    }

    /// Sets the number of cells, instead of n/10.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `cells` is below 2.
    pub fn cells(mut self, cells: usize) -> Result<Self, Error> {
        if cells < 2 {
            return Err(Error::parameter("cells", cells, "at least 2"));
        }
        self.cells = Some(cells);
        Ok(self)
    }

    /// Sets the share of variance that the principal components must explain.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `share` is above 0 and below 1.
    pub fn explained(mut self, share: f64) -> Result<Self, Error> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::parameter("explained variance", share, "above 0 and below 1"));
        }
        self.explained = share;
        Ok(self)
    }

    /// Sets c, the scale of the divergences.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `scale` is finite and above 0.
    pub fn scale(mut self, scale: f64) -> Result<Self, Error> {
        self.scale = crate::error::positive("scale", scale)?;
        Ok(self)
    }

    /// MAUVE of features p [n, d] and q [m, d].
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Shape`] if the widths differ or there are fewer points than cells, and
    /// [`Error::NonFinite`].
    pub fn score(
        &self,
        p: ArrayView2<'_, f32>,
        q: ArrayView2<'_, f32>,
    ) -> Result<MauveScore, Error> {
        let cuts = self.cut(p, q)?;
        let mean = |extra: f64| {
            let areas = cuts.iter().map(|cut| self.area(&cut.histograms(extra)));
            areas.sum::<f64>() / cuts.len() as f64
        };
        Ok(MauveScore { mauve: mean(0.0), smoothed: mean(0.5), cells: cuts[0].cells })
    }

    /// MAUVE of p [n, d] and q [m, d], with a [recentred](Bootstrap::recentred) interval of the sampling noise. The interval
    /// resamples texts, but keeps the cells. `n` of the result is p's.
    ///
    /// # Errors
    /// Those of [`score`](Self::score).
    pub fn measure(
        &self,
        p: ArrayView2<'_, f32>,
        q: ArrayView2<'_, f32>,
        bootstrap: &Bootstrap,
    ) -> Result<Measured, Error> {
        let measured = self.resampled(&self.cut(p, q)?, &bootstrap.recentred())?;
        Ok(measured.clamped(0.0, 1.0))
    }

    fn resampled(&self, cuts: &[Cut], bootstrap: &Bootstrap) -> Result<Measured, Error> {
        let mean = |histograms: &dyn Fn(&Cut) -> [Vec<f64>; 2]| {
            let areas = cuts.iter().map(|cut| self.area(&histograms(cut)));
            areas.sum::<f64>() / cuts.len() as f64
        };
        let [p, q] = [cuts[0].p.len(), cuts[0].q.len()].map(|n| (0..n).collect::<Vec<usize>>());
        bootstrap.replicates(p.len(), mean(&|cut| cut.histograms(0.0)), |draw| {
            let (p, q) = (draw.sample(&p), draw.sample(&q));
            mean(&|cut| cut.histograms_of(&p, &q))
        })
    }

    /// The cells of all texts in each clustering.
    fn cut(&self, p: ArrayView2<'_, f32>, q: ArrayView2<'_, f32>) -> Result<Vec<Cut>, Error> {
        check("p", p)?;
        check("q", q)?;
        if p.ncols() != q.ncols() {
            let (got, expected) = (q.ncols(), p.ncols());
            return Err(Error::Shape { what: "the width of q", got, expected });
        }
        let smaller = p.nrows().min(q.nrows());
        // Rounds half to even, as Python does.
        let auto = (smaller as f64 / 10.0).round_ties_even().max(2.0) as usize;
        let cells = self.cells.unwrap_or(auto);
        if p.nrows() + q.nrows() < cells {
            let got = p.nrows() + q.nrows();
            return Err(Error::Shape { what: "the number of texts", got, expected: cells });
        }
        // q comes first, as in the package, because the first centroids depend on the order.
        let points = pca::project(unit_rows(&q, &p), self.explained).mapv(|x| x as f32);
        let cut = |seed: u64| {
            let kmeans = KMeans { clusters: cells, runs: RUNS, iterations: ITERATIONS, seed };
            let mut q_cells = kmeans.labels(&points);
            let p_cells = q_cells.split_off(q.nrows());
            Cut { p: p_cells, q: q_cells, cells }
        };
        // The package clusters with its seed plus 2.
        let seeds = (0..self.clusterings as u64).map(|i| self.seed.wrapping_add(2 + i));
        Ok(seeds.map(cut).collect())
    }

    fn area(&self, [p, q]: &[Vec<f64>; 2]) -> f64 {
        frontier::area(&frontier::frontier(p, q, POINTS, self.scale))
    }
}

/// The cell of each text.
struct Cut {
    p: Vec<usize>,
    q: Vec<usize>,
    cells: usize,
}

impl Cut {
    /// Histograms of all texts, with `extra` added to each cell.
    fn histograms(&self, extra: f64) -> [Vec<f64>; 2] {
        [&self.p, &self.q].map(|labels| histogram(labels.iter().copied(), self.cells, extra))
    }

    /// Histograms of some texts, given by their indices.
    fn histograms_of(&self, p: &[usize], q: &[usize]) -> [Vec<f64>; 2] {
        [(&self.p, p), (&self.q, q)]
            .map(|(labels, of)| histogram(of.iter().map(|&text| labels[text]), self.cells, 0.0))
    }
}

fn histogram(labels: impl Iterator<Item = usize>, cells: usize, extra: f64) -> Vec<f64> {
    let mut counts = vec![extra; cells];
    labels.for_each(|label| counts[label] += 1.0);
    let total: f64 = counts.iter().sum();
    counts.iter().map(|count| count / total).collect()
}

/// All rows in double precision, each scaled to length 1 unless it is 0.
fn unit_rows(first: &ArrayView2<'_, f32>, then: &ArrayView2<'_, f32>) -> Array2<f64> {
    let rows = [first, then].map(|rows| rows.mapv(f64::from));
    let mut rows = concatenate![Axis(0), rows[0], rows[1]];
    for mut row in rows.rows_mut() {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row /= length;
        }
    }
    rows
}

fn check(what: &'static str, features: ArrayView2<'_, f32>) -> Result<(), Error> {
    if features.is_empty() {
        return Err(Error::Empty(what));
    }
    match features.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(Error::NonFinite { what, row, column, value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn waves(n: usize, shift: f32) -> Array2<f32> {
        Array2::from_shape_fn((n, 3), |(i, j)| (i as f32 * (1.7 + j as f32)).sin() + shift)
    }

    #[test]
    fn settings_are_checked() {
        assert!(Mauve::default().clusterings(0).is_err());
        assert!(Mauve::default().cells(1).is_err());
        assert!(Mauve::default().scale(0.0).is_err());
        for share in [0.0, 1.0, f64::NAN] {
            assert!(Mauve::default().explained(share).is_err());
        }
    }

    #[test]
    fn errors_name_unusable_features() {
        let (good, mauve) = (waves(40, 0.0), Mauve::default());
        let mut bad = good.clone();
        bad[(3, 1)] = f32::NAN;
        let error = mauve.score(good.view(), bad.view()).unwrap_err();
        assert!(matches!(error, Error::NonFinite { what: "q", row: 3, column: 1, .. }), "{error}");
        let narrow = good.slice_axis(Axis(1), ndarray::Slice::from(..2));
        assert!(matches!(mauve.score(good.view(), narrow), Err(Error::Shape { .. })));
        let none = good.slice_axis(Axis(0), ndarray::Slice::from(..0));
        assert!(matches!(mauve.score(none, good.view()), Err(Error::Empty("p"))));
        let many = mauve.cells(81).unwrap();
        assert!(matches!(many.score(good.view(), good.view()), Err(Error::Shape { .. })));
    }

    #[test]
    fn the_number_of_cells_is_rounded_as_python_rounds() {
        for (n, cells) in [(4, 2), (25, 2), (35, 4), (44, 4), (46, 5)] {
            let features = waves(n, 0.0);
            let score = Mauve::default().score(features.view(), features.view()).unwrap();
            assert_eq!(score.cells, cells, "n = {n}");
        }
    }

    #[test]
    fn equal_sets_score_one_and_opposite_sets_near_zero() {
        let (near, far) = (waves(120, 2.0), waves(120, -2.0));
        let same = Mauve::default().score(near.view(), near.view()).unwrap();
        assert!(same.mauve > 1.0 - 1e-9 && same.smoothed > 1.0 - 1e-9);
        let apart = Mauve::default().score(near.view(), far.view()).unwrap();
        assert!(apart.mauve < 0.005, "{apart:?}");
        assert!(apart.smoothed > apart.mauve);
        // Rows are scaled to length 1, so that their lengths do not matter.
        let longer = near.mapv(|x| 4.0 * x);
        assert!(Mauve::default().score(near.view(), longer.view()).unwrap().mauve > 1.0 - 1e-9);
    }

    #[test]
    fn clusterings_are_averaged() {
        let (p, q) = (waves(200, 0.0), waves(150, 0.4));
        let one = |seed| Mauve::default().seed(seed).score(p.view(), q.view()).unwrap().mauve;
        let three = Mauve::default().seed(4).clusterings(3).unwrap();
        let mean = (one(4) + one(5) + one(6)) / 3.0;
        assert!((three.score(p.view(), q.view()).unwrap().mauve - mean).abs() < 1e-12);
        let measured = three.measure(p.view(), q.view(), &Bootstrap::new(1)).unwrap();
        assert!((measured.value - mean).abs() < 1e-12);
        assert!(measured.low < mean && mean < measured.high && measured.n == 200);
    }

    /// Two sets of n texts from one distribution, spread evenly over n/10 cells. Fewer cells raise the ceiling; more texts do
    /// not.
    #[test]
    fn the_ceiling_is_below_one_at_any_n() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut ceiling = |n: usize, cells: usize| {
            let pairs = 60;
            let mut labels = || (0..n).map(|_| rng.random_range(0..cells)).collect();
            let cuts = (0..pairs).map(|_| Cut { p: labels(), q: labels(), cells });
            let areas = cuts.map(|cut| Mauve::default().area(&cut.histograms(0.0)));
            areas.sum::<f64>() / f64::from(pairs)
        };
        // The mean of 60 scatters by 0.002 at n = 500.
        for n in [500, 2000] {
            let even = ceiling(n, n / 10);
            assert!((even - 0.964).abs() < 0.01, "{n}: {even}");
        }
        let coarse = ceiling(2000, 50);
        assert!((coarse - 0.997).abs() < 0.003, "{coarse}");
    }

    /// Two sets of 300 texts over 30 equally likely cells. The interval contains the mean over many such pairs in about 95 of
    /// 100 cases. Without recentring it is below the mean in nearly all cases.
    #[test]
    fn intervals_cover_the_expectation_at_this_n() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut labels = || (0..300).map(|_| rng.random_range(0..30)).collect::<Vec<usize>>();
        let cuts: Vec<[Cut; 1]> =
            (0..200).map(|_| [Cut { p: labels(), q: labels(), cells: 30 }]).collect();
        let mauve = Mauve::default();
        let bootstrap = Bootstrap::new(1).resamples(200).unwrap();
        let measured =
            |cut: &[Cut; 1], bootstrap: Bootstrap| mauve.resampled(cut, &bootstrap).unwrap();
        let moved: Vec<_> = cuts.iter().map(|cut| measured(cut, bootstrap.recentred())).collect();
        let expectation = moved.iter().map(|one| one.value).sum::<f64>() / moved.len() as f64;
        let covered = |one: &Measured| one.low <= expectation && expectation <= one.high;
        let share = moved.iter().filter(|one| covered(one)).count() as f64 / moved.len() as f64;
        assert!(share >= 0.90, "{share}");
        let plain: Vec<_> = cuts.iter().take(40).map(|cut| measured(cut, bootstrap)).collect();
        assert!(plain.iter().filter(|one| covered(one)).count() < 20);
    }
}
