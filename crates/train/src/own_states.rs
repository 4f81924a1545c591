//! States that the layer itself writes: canvases as in joint decoding.

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, RngExt};

use crate::TrainError;
use crate::chain::{Chain, Frozen};
use crate::distill::{log_probabilities, rows};
use crate::sampler::SamplerLayer;
use crate::teacher::Teacher;

/// Continues `starts`, chains of one canvas x⁰ each, by `depth` reveals: x¹ by the frozen model's
/// distributions, each further one by those of `layer`'s next pass, always at the masked position of
/// lowest entropy and from its distribution at temperature 1. A canvas without masks stays.
///
/// A layer trained on these states meets its own mistakes. The draws of chain b come from `streams[b]`
/// alone.
pub(crate) fn own_states<T: Teacher>(
    frozen: &Frozen<'_, T>,
    layer: &SamplerLayer,
    starts: Vec<Chain>,
    depth: usize,
    streams: &mut [impl Rng],
) -> Result<Vec<Chain>, TrainError> {
    let Some(mut hidden) = frozen.ask(&starts, &[0])?.pop() else { return Ok(starts) };
    let mut chains = starts;
    for j in 0..depth {
        if j > 0 {
            hidden = layer.forward(frozen.tables.embed(frozen.ids(&chains, j)), hidden);
        }
        let mut candidates = distributions(frozen, &chains, j, &hidden).into_iter();
        for (chain, rng) in chains.iter_mut().zip(&mut *streams) {
            let mut canvas = chain.canvas(j).to_vec();
            let mut masked = chain.masked(j).to_vec();
            let mut options: Vec<_> = candidates.by_ref().take(masked.len()).collect();
            options.sort_by(|a, b| a.entropy.total_cmp(&b.entropy));
            masked = options.iter().map(|option| option.position).collect();
            if let Some(sure) = options.first() {
                canvas[sure.position] = sure.draw(rng.random());
                masked.remove(0);
            }
            chain.push(canvas, masked);
        }
    }
    Ok(chains)
}

/// What a chain may reveal.
struct Candidate {
    position: usize,
    entropy: f64,
    log_probabilities: Vec<f32>,
}

impl Candidate {
    /// The token whose share of the cumulative distribution holds `u` in [0, 1).
    fn draw(&self, u: f64) -> u32 {
        let mut left = u;
        let token = self.log_probabilities.iter().position(|log_p| {
            left -= f64::from(*log_p).exp();
            left < 0.0
        });
        let likeliest = || {
            let pairs = self.log_probabilities.iter().enumerate();
            pairs.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token)
        };
        token.unwrap_or_else(likeliest) as u32
    }
}

/// The masked rows of x^depth given `hidden` [B, T, D], chain by chain; the mask itself is never drawn.
fn distributions<T: Teacher>(
    frozen: &Frozen<'_, T>,
    chains: &[Chain],
    depth: usize,
    hidden: &Tensor<3>,
) -> Vec<Candidate> {
    let length = hidden.dims()[1];
    let positions: Vec<(usize, usize)> = chains
        .iter()
        .enumerate()
        .flat_map(|(b, chain)| chain.masked(depth).iter().map(move |&i| (b, i)))
        .collect();
    if positions.is_empty() {
        return Vec::new();
    }
    let flat: Vec<i32> = positions.iter().map(|(b, i)| (b * length + i) as i32).collect();
    let flat = TensorData::new(flat, [positions.len()]);
    let flat = Tensor::from_data(flat, &hidden.device());
    let log_p = log_probabilities(&rows(hidden, &flat), &frozen.head());
    let vocabulary = log_p.dims()[1];
    let values: Vec<f32> = log_p.into_data().iter().collect();
    let candidate = |(&(_, position), row): (&(usize, usize), &[f32])| {
        let mut log_probabilities = row.to_vec();
        log_probabilities[frozen.mask_id() as usize] = f32::NEG_INFINITY;
        let mass: f64 = log_probabilities.iter().map(|l| f64::from(*l).exp()).sum();
        log_probabilities.iter_mut().for_each(|l| *l -= mass.ln() as f32);
        let entropy = log_probabilities.iter().map(|&l| f64::from(l)).filter(|l| l.is_finite());
        let entropy = entropy.map(|l| -l * l.exp()).sum();
        Candidate { position, entropy, log_probabilities }
    };
    positions.iter().zip(values.chunks_exact(vocabulary)).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dream::Dream;
    use crate::masking;
    use crate::params;
    use crate::tables::Tables;
    use crate::testing::{shaken, tiny_config, trajectories};
    use burn::tensor::Device;

    const MASK: u32 = 6;

    fn drawn(layer: &SamplerLayer, reveals: usize, seed: u64) -> Vec<Chain> {
        let base = shaken(Dream::untied(&tiny_config(), &Device::default()), 1);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let trajectories = trajectories(40);
        let start = |t| Chain::along(t, reveals, 0, MASK);
        let mut streams: Vec<_> = (0..40).map(|b| masking::stream(seed, b)).collect();
        let starts = trajectories.iter().map(start).collect();
        own_states(&frozen, layer, starts, 3, &mut streams).unwrap()
    }

    fn layer() -> SamplerLayer {
        shaken(SamplerLayer::new(&tiny_config(), 1, &Device::default()), 2)
    }

    #[test]
    fn one_masked_position_is_revealed_at_a_time_until_none_is_left() {
        for chain in drawn(&layer(), 6, 1) {
            for (depth, left) in [2, 1, 0, 0].into_iter().enumerate() {
                let (canvas, masked) = (chain.canvas(depth), chain.masked(depth));
                assert_eq!(masked.len(), left);
                let hidden: Vec<usize> = (0..8).filter(|&i| canvas[i] == MASK).collect();
                assert!(hidden.len() == left && masked.iter().all(|i| hidden.contains(i)));
                let kept = chain.canvas(depth.max(1) - 1).iter().zip(canvas);
                assert!(kept.clone().all(|(&before, &now)| before == MASK || before == now));
            }
        }
    }

    #[test]
    fn the_draws_follow_the_layer_and_the_stream() {
        let texts = |layer: &SamplerLayer, seed| -> Vec<Vec<u32>> {
            drawn(layer, 2, seed).iter().map(|chain| chain.canvas(3).to_vec()).collect()
        };
        let first = |layer: &SamplerLayer, seed| -> Vec<Vec<u32>> {
            drawn(layer, 2, seed).iter().map(|chain| chain.canvas(1).to_vec()).collect()
        };
        let identity = params::init(SamplerLayer::new(&tiny_config(), 1, &Device::default()), 1);
        assert_eq!(texts(&layer(), 1), texts(&layer(), 1));
        assert_ne!(texts(&layer(), 1), texts(&layer(), 2));
        // The layer has no part in x¹, and has one in what follows.
        assert_eq!(first(&layer(), 1), first(&identity, 1));
        assert_ne!(texts(&layer(), 1), texts(&identity, 1));
    }

    #[test]
    fn tokens_are_drawn_by_their_probability() {
        let log_probabilities = [0.2f32, 0.0, 0.5, 0.3].map(f32::ln).to_vec();
        let candidate = Candidate { position: 0, entropy: 1.0, log_probabilities };
        let drawn: Vec<u32> =
            (0..100).map(|i| candidate.draw((f64::from(i) + 0.5) / 100.0)).collect();
        let count = |token| drawn.iter().filter(|&&t| t == token).count();
        assert_eq!([count(0), count(1), count(2), count(3)], [20, 0, 50, 30]);
        assert_eq!(candidate.draw(1.0), 2);
    }
}
