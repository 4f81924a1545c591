//! Settings and canvases that the generator rejects before anything runs.

use crate::flat::Flat;
use crate::model::{MASK, generator};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::schedule::{DreamLinear, LladaEven, TokensPerStep};
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Denoiser, Error, Generator, Vocabulary};

#[test]
fn requests_are_checked_before_anything_runs() {
    let flat = || Generator::new(Flat::new());
    let run = |generator: &Generator, canvas: Canvas| generator.run(vec![canvas], &mut ());
    let other = Canvas::unconditional(3, 2).unwrap();
    assert!(matches!(run(&flat(), other), Err(Error::MaskMismatch { got: 2, expected: MASK, .. })));
    let long = Canvas::unconditional(41, MASK).unwrap();
    assert!(matches!(run(&flat(), long), Err(Error::TooLong { length: 41, max: 40, .. })));
    let unknown = Canvas::new(&[7], 3, MASK).unwrap();
    assert!(matches!(run(&flat(), unknown), Err(Error::UnknownToken { token: 7, .. })));
    let six = || Canvas::unconditional(6, MASK).unwrap();
    let marginal = || flat().unmasker(Marginal::default());
    let steps = marginal().block_length(2).unwrap().schedule(DreamLinear::new(2).unwrap());
    assert!(matches!(run(&steps, six()), Err(Error::TooFewSteps { steps: 2, blocks: 3 })));
    assert!(flat().block_length(0).is_err() && flat().batch_size(0).is_err());
    assert!(matches!(flat().generate(&[], 3), Err(Error::EmptyPrompt)));
    assert!(matches!(flat().generate(&[1], 0), Err(Error::NothingMasked(_))));
}

#[test]
fn settings_without_an_effect_are_rejected() {
    /// A model without an end-of-sequence id.
    struct WithoutEos(Vocabulary);
    impl Denoiser for WithoutEos {
        fn vocabulary(&self) -> &Vocabulary {
            &self.0
        }
        fn forward(&self, _: &Request<'_>) -> Result<Answer, Error> {
            Err(Error::model("unreachable"))
        }
    }
    let without_eos = || Generator::new(WithoutEos(Vocabulary::new(5, MASK).unwrap()));
    let error = without_eos().stop_at_eos(true).check(&[]).unwrap_err().to_string();
    assert!(error.contains("end-of-sequence"), "{error}");
    // A schedule beside the default unmasker, which reveals one position a step.
    let error = generator().schedule(TokensPerStep::new(4).unwrap()).generate(&[1], 8);
    assert!(matches!(error, Err(Error::Combination { unmasker: "ExactSequential", .. })));
    let even = generator().schedule(LladaEven::new(2).unwrap());
    assert!(even.start(vec![]).is_err());
}
