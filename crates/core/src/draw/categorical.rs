use super::{Draw, Stream, TopRule};

/// Draws a token with probability softmax(logits): the model's own distribution, after filters.
#[doc(alias = "multinomial")]
#[doc(alias = "Gumbel-max")]
#[doc(alias = "add_gumbel_noise")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Categorical;

impl Draw for Categorical {
    fn draw(&self, logits: &[f32], stream: &mut dyn Stream) -> usize {
        stream.categorical(logits)
    }

    fn top_rule(&self) -> TopRule {
        TopRule::Proportional
    }
}
