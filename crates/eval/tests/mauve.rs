//! MAUVE agrees with the package `mauve-text` on equal features, and its interval contains the package's mean.

use std::path::Path;

use conjoint_eval::{Bootstrap, Mauve};
use half::f16;
use ndarray::{Array2, ArrayView2, Axis};
use serde_json::Value;

/// The tolerance of agreement with the package, whose clusterings are equal within rounding.
const TOLERANCE: f64 = 0.01;

struct Set {
    name: String,
    features: Array2<f32>,
    p: usize,
    values: Value,
}

impl Set {
    fn p(&self) -> ArrayView2<'_, f32> {
        self.features.view().split_at(Axis(0), self.p).0
    }

    fn q(&self) -> ArrayView2<'_, f32> {
        self.features.view().split_at(Axis(0), self.p).1
    }

    /// Seeds, and the package's figure for each.
    fn expected(&self, metric: &str) -> Vec<(u64, f64)> {
        let list = |name: &str| self.values[name].as_array().unwrap().iter();
        let seeds = list("seeds").map(|seed| seed.as_u64().unwrap());
        seeds.zip(list(metric).map(|value| value.as_f64().unwrap())).collect()
    }
}

fn sets() -> Vec<Set> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let json = std::fs::read(folder.join("mauve.json")).unwrap();
    let all: serde_json::Map<String, Value> = serde_json::from_slice(&json).unwrap();
    let read = |(name, values): (String, Value)| {
        let number = |key: &str| values[key].as_u64().unwrap() as usize;
        let bytes = std::fs::read(folder.join(format!("{name}.f16"))).unwrap();
        let numbers = bytes.chunks(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32());
        let (p, rows, width) = (number("p"), number("p") + number("q"), number("width"));
        let features = Array2::from_shape_vec((rows, width), numbers.collect()).unwrap();
        Set { name, features, p, values }
    };
    all.into_iter().map(read).collect()
}

#[test]
fn every_seed_agrees_with_the_package() {
    for set in sets() {
        for ((seed, mauve), (_, star)) in
            set.expected("mauve").into_iter().zip(set.expected("mauve_star"))
        {
            let score = Mauve::default().seed(seed).score(set.p(), set.q()).unwrap();
            println!(
                "{} {seed}: {:.6} {mauve:.6}, star {:.6} {star:.6}",
                set.name, score.mauve, score.smoothed
            );
            assert!((score.mauve - mauve).abs() < TOLERANCE, "{} {seed}", set.name);
            assert!((score.smoothed - star).abs() < TOLERANCE, "{} {seed}", set.name);
        }
    }
}

#[test]
fn averaged_clusterings_agree_with_the_package() {
    for set in sets() {
        let expected = set.expected("mauve");
        let mean = expected.iter().map(|(_, value)| value).sum::<f64>() / expected.len() as f64;
        let mauve = Mauve::default().seed(expected[0].0).clusterings(expected.len()).unwrap();
        let measured = mauve.measure(set.p(), set.q(), &Bootstrap::new(7)).unwrap();
        println!("{}: {measured:.4}, package {mean:.4}", set.name);
        assert!((measured.value - mean).abs() < TOLERANCE, "{}", set.name);
        assert!(measured.low < mean && mean < measured.high, "{}", set.name);
    }
}
