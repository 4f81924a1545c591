use super::{Draw, Stream, TopRule};
use crate::row_kernels;

/// Draws the most probable token, the lowest id among equals. This is the limit of temperature 0 (greedy
/// decoding).
#[doc(alias = "greedy")]
#[doc(alias = "greedy decoding")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Argmax;

impl Draw for Argmax {
    fn draw(&self, logits: &[f32], _: &mut dyn Stream) -> usize {
        row_kernels::argmax(logits)
    }

    fn top_rule(&self) -> TopRule {
        TopRule::MostProbable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededStream;

    #[test]
    fn lowest_id_among_equals() {
        let mut stream = SeededStream::new(0, 0);
        assert_eq!(Argmax.draw(&[f32::NEG_INFINITY, 2.0, 2.0, 1.0], &mut stream), 1);
    }
}
