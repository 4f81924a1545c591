//! `RepetitionPenalty`: a known token's probability raised to a power.

use crate::common::{ZERO, cases};
use crate::sequential::{filtered, product, random};
use conjoint_core::TokenId;
use conjoint_core::filter::RepetitionPenalty;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(32))]

    /// The oracle's logits are ln p and never positive, so a known token's p becomes p^θ.
    #[test]
    fn raises_known_tokens_to_a_power(
        theta in 1.0f64..3.0, near: bool, alpha in 0.3f64..2.0, seed: u64, backwards: bool,
    ) {
        let joint = random(alpha, seed);
        let mut filter = RepetitionPenalty::new(theta).unwrap();
        if near {
            filter = filter.window(1).unwrap();
        }
        let reach = if near { 1 } else { 3 };
        let repeated = |p: f64, token: TokenId, position: usize, tokens: &[TokenId]| {
            let is_known = (0..3).any(|i: usize| i.abs_diff(position) <= reach && tokens[i] == token);
            if is_known { p.powf(f64::from(theta as f32)) } else { p }
        };
        let law = filtered(&joint, filter, backwards);
        prop_assert!(law.total_variation(&product(&joint, backwards, repeated)) < ZERO);
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn a_penalty_of_one_changes_nothing(alpha in 0.3f64..2.0, seed: u64) {
        let joint = random(alpha, seed);
        let law = filtered(&joint, RepetitionPenalty::new(1.0).unwrap(), false);
        prop_assert!(joint.total_variation(&law) < ZERO);
    }
}

/// The penalised rows are not those of a joint, so the order of revealing matters.
#[test]
fn the_law_depends_on_the_order() {
    let joint = random(0.3, 5);
    let law = |backwards| filtered(&joint, RepetitionPenalty::new(2.0).unwrap(), backwards);
    assert!(law(false).total_variation(&law(true)) > 0.01);
    assert!(joint.total_variation(&law(false)) > 0.01);
}
