//! States that are not on trajectories: canvases that the layer itself draws, and texts masked at random.

use burn::tensor::Tensor;
use conjoint_core::Stream;
use conjoint_trajectory::Trajectory;

use super::candidates::{Candidate, candidates};
use super::chain::Chain;
use super::frozen::Frozen;
use super::teachers::Teacher;
use crate::error::TrainError;
use crate::model::SamplerModule;

/// Extends `starts`, chains of one canvas x⁰ each, by `depth` drawn tokens.
///
/// Each canvas reveals the masked position of lowest entropy, and draws its token at temperature 1: x¹ from the frozen
/// model's distributions, each further one from those of `layer`'s next pass. A canvas without masks stays as it is.
///
/// A layer that is trained on these states learns to correct its own mistakes. Chain b draws from `streams[b]` only.
pub(crate) fn sampled_states<T: Teacher>(
    frozen: &Frozen<'_, T>,
    layer: &SamplerModule,
    starts: Vec<Chain>,
    depth: usize,
    streams: &mut [impl Stream],
) -> Result<Vec<Chain>, TrainError> {
    let mut last = None;
    let hidden = |chains: &[Chain], j: usize| {
        let hidden = match last.take() {
            None => frozen.hidden_at(chains, j)?,
            Some(last) => layer.forward(frozen.tables.embed(frozen.ids(chains, j)), last),
        };
        last = Some(hidden.clone());
        Ok(hidden)
    };
    let draw = |b: usize, next: &Candidate| streams[b].categorical(&next.logits) as u32;
    extend(frozen, starts, depth, hidden, draw)
}

/// Extends `starts`, each a partly masked text, by `depth` of the text's tokens. Each canvas reveals the masked position
/// where the frozen model has the lowest entropy (arXiv 2509.22738, whose x⁰ are texts masked at random).
///
/// Each state costs a forward pass of the frozen model, and another one for the loss unless the teacher caches it.
pub(crate) fn randomly_masked_states<T: Teacher>(
    frozen: &Frozen<'_, T>,
    texts: &[&Trajectory],
    starts: Vec<Chain>,
    depth: usize,
) -> Result<Vec<Chain>, TrainError> {
    let hidden = |chains: &[Chain], j: usize| frozen.hidden_at(chains, j);
    let token = |b: usize, next: &Candidate| texts[b].tokens[next.position];
    extend(frozen, starts, depth, hidden, token)
}

/// Extends `chains` by `depth` reveals, each at the masked position of lowest entropy.
///
/// `hidden` returns the hidden states of x^j, and `token` the token to reveal in chain b. The masked positions of
/// x^(j + 1) are in the order of their entropies in x^j.
fn extend<T: Teacher>(
    frozen: &Frozen<'_, T>,
    mut chains: Vec<Chain>,
    depth: usize,
    mut hidden: impl FnMut(&[Chain], usize) -> Result<Tensor<3>, TrainError>,
    mut token: impl FnMut(usize, &Candidate) -> u32,
) -> Result<Vec<Chain>, TrainError> {
    for j in 0..depth {
        if chains.iter().all(|chain| chain.masked(j).is_empty()) {
            chains.iter_mut().for_each(|chain| chain.push(chain.canvas(j).to_vec(), Vec::new()));
            continue;
        }
        let hidden = hidden(&chains, j)?;
        let mut candidates = distributions(frozen, &chains, j, &hidden).into_iter();
        for (b, chain) in chains.iter_mut().enumerate() {
            let mut canvas = chain.canvas(j).to_vec();
            let mut options: Vec<_> = candidates.by_ref().take(chain.masked(j).len()).collect();
            options.sort_by(|a, b| a.entropy.total_cmp(&b.entropy));
            let mut masked: Vec<usize> = options.iter().map(|option| option.position).collect();
            if let Some(next) = options.first().filter(|option| option.entropy.is_finite()) {
                canvas[next.position] = token(b, next);
                masked.remove(0);
            }
            chain.push(canvas, masked);
        }
    }
    Ok(chains)
}

/// The masked rows of x^depth given `hidden` [B, T, D], chain by chain.
fn distributions<T: Teacher>(
    frozen: &Frozen<'_, T>,
    chains: &[Chain],
    depth: usize,
    hidden: &Tensor<3>,
) -> Vec<Candidate> {
    let masked: Vec<&[usize]> = chains.iter().map(|chain| chain.masked(depth)).collect();
    candidates(&frozen.tables, &masked, hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distillation::testing::trajectories;
    use crate::model::testing::shaken;
    use crate::model::{DreamConfig, DreamModule, Tables, init};
    use burn::tensor::Device;
    use conjoint_core::SeededStream;

    const MASK: u32 = 6;

    fn drawn(layer: &SamplerModule, reveals: usize, seed: u64) -> Vec<Chain> {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Device::default()), 1);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let trajectories = trajectories(40);
        let start = |t| Chain::along(t, reveals, 0, MASK);
        let mut streams: Vec<_> = (0..40).map(|b| SeededStream::new(seed, b)).collect();
        let starts = trajectories.iter().map(start).collect();
        sampled_states(&frozen, layer, starts, 3, &mut streams).unwrap()
    }

    fn layer() -> SamplerModule {
        shaken(SamplerModule::new(&DreamConfig::tiny(), 1, &Device::default()), 2)
    }

    #[test]
    fn each_canvas_reveals_one_position_until_none_is_masked() {
        for chain in drawn(&layer(), 6, 1) {
            for (depth, left) in [2, 1, 0, 0].into_iter().enumerate() {
                let (canvas, masked) = (chain.canvas(depth), chain.masked(depth));
                assert_eq!(masked.len(), left);
                let hidden: Vec<usize> = (0..8).filter(|&i| canvas[i] == MASK).collect();
                assert!(hidden.len() == left && masked.iter().all(|i| hidden.contains(i)));
                let pairs = chain.canvas(depth.max(1) - 1).iter().zip(canvas);
                assert!(pairs.clone().all(|(&before, &now)| before == MASK || before == now));
            }
        }
    }

    #[test]
    fn a_given_text_is_revealed_by_lowest_entropy_of_the_frozen_model() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Device::default()), 1);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let trajectories = trajectories(20);
        let texts: Vec<_> = trajectories.iter().collect();
        let masked = [1, 3, 4, 6];
        let starts = texts.iter().map(|t| Chain::masked_at(t, masked.to_vec(), MASK)).collect();
        let chains = randomly_masked_states(&frozen, &texts, starts, 5).unwrap();
        for (chain, text) in chains.iter().zip(&texts) {
            for j in 0..4 {
                let single = std::slice::from_ref(chain);
                let hidden = frozen.hidden_at(single, j).unwrap();
                let options = distributions(&frozen, single, j, &hidden);
                let least = options.iter().min_by(|a, b| a.entropy.total_cmp(&b.entropy)).unwrap();
                let mut next = chain.canvas(j).to_vec();
                next[least.position] = text.tokens[least.position];
                assert_eq!(chain.canvas(j + 1), next);
                assert_eq!(chain.masked(j + 1).len(), 3 - j);
            }
            assert_eq!(chain.canvas(5), text.tokens);
        }
    }

    #[test]
    fn draws_depend_on_the_layer_and_the_stream() {
        let texts = |layer: &SamplerModule, seed| -> Vec<Vec<u32>> {
            drawn(layer, 2, seed).iter().map(|chain| chain.canvas(3).to_vec()).collect()
        };
        let first = |layer: &SamplerModule, seed| -> Vec<Vec<u32>> {
            drawn(layer, 2, seed).iter().map(|chain| chain.canvas(1).to_vec()).collect()
        };
        let identity = init(SamplerModule::new(&DreamConfig::tiny(), 1, &Device::default()), 1);
        assert_eq!(texts(&layer(), 1), texts(&layer(), 1));
        assert_ne!(texts(&layer(), 1), texts(&layer(), 2));
        // x¹ does not depend on the layer; later canvases do.
        assert_eq!(first(&layer(), 1), first(&identity, 1));
        assert_ne!(texts(&layer(), 1), texts(&identity, 1));
    }
}
