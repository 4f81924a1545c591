//! `TokensPerStep`: at most the masked positions.

use crate::common::function_model::FunctionModel;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Generator};

#[test]
fn more_tokens_than_masked_positions_take_one_step() {
    let model = FunctionModel::new(|_: &Canvas, _| [0.0; 4]);
    let generator = Generator::new(model)
        .unmasker(Marginal::default())
        .schedule(TokensPerStep::new(100).unwrap());
    let output = generator.generate(&[1], 9).unwrap();
    assert_eq!(output.denoiser_calls, 1);
}
