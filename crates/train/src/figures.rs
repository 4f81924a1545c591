//! How near the sampler layer comes to the frozen model, depth by depth.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::chain::Batch;
use crate::distill::{Unrolled, log_probabilities, rows};
use crate::divergence::kl;
use crate::head::Head;
use crate::sampler::SamplerModule;

/// Weighted sums of one depth's figures.
#[derive(Clone, Debug, Default)]
struct Depth {
    /// Of the rows' weights.
    weight: f64,
    /// Over all masked rows: of the sampler layer, and of the stale distribution.
    kl: [f64; 2],
    /// How often the likeliest token is the frozen model's, of both.
    agreement: [f64; 2],
    /// Over the rows revealed next, unweighted: of both.
    next_kl: [f64; 2],
}

/// Means over states of the figures of every depth.
pub(crate) struct Figures {
    depths: Vec<Depth>,
}

impl Figures {
    /// Nothing measured yet, for `depths` depths.
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

    /// The means by name.
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

/// The index of each chain's first row, which is the position revealed next.
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
