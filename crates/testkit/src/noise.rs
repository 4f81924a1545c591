//! Random numbers that are a function of a model's input, so a random model is deterministic.

use conjoint_core::{Canvas, TokenId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A random generator seeded by the seed, the canvas's tokens and the position.
pub(crate) fn canvas_rng(seed: u64, canvas: &Canvas, position: usize) -> ChaCha8Rng {
    tokens_rng(seed, canvas.tokens(), position)
}

/// The same for tokens without a canvas.
pub(crate) fn tokens_rng(seed: u64, tokens: &[TokenId], position: usize) -> ChaCha8Rng {
    let words = tokens.iter().map(|&token| u64::from(token));
    let words = words.chain([tokens.len() as u64, position as u64]);
    ChaCha8Rng::seed_from_u64(words.fold(seed, |hash, word| mix(hash ^ word)))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014). Each input bit changes all output
/// bits.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn every_token_the_position_and_the_seed_change_it() {
        let draw = |seed, tokens: &[u32], position| -> u64 {
            let canvas = Canvas::infill(tokens.to_vec(), 9).unwrap();
            canvas_rng(seed, &canvas, position).random()
        };
        let first = draw(1, &[1, 9, 2], 1);
        assert_eq!(first, draw(1, &[1, 9, 2], 1));
        for other in [
            draw(2, &[1, 9, 2], 1),
            draw(1, &[1, 9, 2], 0),
            draw(1, &[2, 9, 1], 1),
            draw(1, &[1, 9, 2, 9], 1),
        ] {
            assert_ne!(first, other);
        }
    }
}
