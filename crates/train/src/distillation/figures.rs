//! The validated figures: how far the sampler layer is from the frozen model, by depth.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::divergence::kl;
use super::frozen::Batch;
use super::unroll::{Unrolled, log_probabilities, rows};
use crate::model::{Head, SamplerModule};

/// Weighted sums of a depth's figures. Pairs are the sampler layer's and the stale distribution's.
#[derive(Clone, Debug, Default)]
struct Depth {
    /// The sum of the rows' weights.
    weight: f64,
    /// The KL over all masked rows.
    kl: [f64; 2],
    /// How often the most probable token equals the frozen model's.
    agreement: [f64; 2],
    /// The KL over the rows that are revealed next, unweighted.
    next_kl: [f64; 2],
}

/// The figures of every depth, averaged over states.
pub(crate) struct Figures {
    depths: Vec<Depth>,
}

impl Figures {
    /// Empty figures of `depths` depths.
    pub fn new(depths: usize) -> Self {
        Self { depths: vec![Depth::default(); depths] }
    }

    /// Measures `layer` on the states of `batch`.
    pub fn add(&mut self, layer: &SamplerModule, head: &Head, batch: &Batch) {
        let start = &batch.start.hidden;
        let mut unrolled = Unrolled::new(layer, &batch.start);
        for (depth, pass) in self.depths.iter_mut().zip(&batch.passes) {
            let hidden = unrolled.pass(pass.embedded.clone());
            let Some(target) = &pass.target else { continue };
            let weights = values(target.weights.clone());
            let next = firsts(&values(target.rows.clone().float()), start.dims()[1]);
            let exact = log_probabilities(&target.hidden, head);
            let best = exact.clone().argmax(1);
            depth.weight += weights.iter().sum::<f64>();
            let states = [(&hidden, &target.computed), (start, &target.rows)];
            for (i, (states, at)) in states.into_iter().enumerate() {
                let ours = log_probabilities(&rows(states, at), head);
                let agree = ours.clone().argmax(1).equal(best.clone()).float().squeeze_dim::<1>(1);
                let kl = values(kl(exact.clone(), ours));
                depth.kl[i] += dot(&weights, &kl);
                depth.agreement[i] += dot(&weights, &values(agree));
                depth.next_kl[i] += next.iter().map(|&row| kl[row]).sum::<f64>();
            }
        }
    }

    /// The averages by name.
    pub fn named(&self) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        for (i, depth) in self.depths.iter().enumerate().filter(|(_, depth)| depth.weight > 0.0) {
            let mut put =
                |name: &str, value: f64| figures.insert(format!("{name} {}", i + 1), value);
            put("kl", depth.kl[0] / depth.weight);
            put("stale kl", depth.kl[1] / depth.weight);
            put("kl left", depth.kl[0] / depth.kl[1].max(f64::MIN_POSITIVE));
            put("next kl left", depth.next_kl[0] / depth.next_kl[1].max(f64::MIN_POSITIVE));
            put("top-1", depth.agreement[0] / depth.weight);
            put("stale top-1", depth.agreement[1] / depth.weight);
        }
        figures
    }
}

/// The index of each chain's first row, whose position is revealed next.
fn firsts(rows: &[f64], length: usize) -> Vec<usize> {
    let chain = |row: f64| row as usize / length;
    (0..rows.len()).filter(|&i| i == 0 || chain(rows[i]) != chain(rows[i - 1])).collect()
}

fn values(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
