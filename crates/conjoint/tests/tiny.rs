//! The shipped model `models/tiny` through the public API: every strategy fills every prompt, and one token
//! per step makes the learned joint sampler exact.

use std::path::PathBuf;
use std::sync::Arc;

use conjoint::prelude::*;

fn folder() -> PathBuf {
    conjoint_models::tiny()
}

fn model() -> Arc<OnnxDenoiser> {
    conjoint::runtime::ensure().unwrap();
    Arc::new(OnnxDenoiser::open(folder(), ExecutionProvider::Cpu).unwrap())
}

fn prompts(tokenizer: &Tokenizer) -> Vec<Vec<TokenId>> {
    let prompts = ["<story>the old", "<math>", "<code>def f(x): ", "<list>sort: "];
    prompts.iter().map(|prompt| tokenizer.encode(prompt).unwrap()).collect()
}

#[test]
fn every_strategy_fills_every_prompt() {
    let (model, tokenizer) = (model(), Tokenizer::open(folder()).unwrap());
    let joint = LearnedJoint::new(model.sampler_layer().unwrap());
    let four = || TokensPerStep::new(4).unwrap();
    let generators = [
        Generator::new(model.clone()),
        Generator::new(model.clone()).unmasker(Marginal::new(Margin)).schedule(four()),
        Generator::new(model.clone()).unmasker(Confidence::default()).schedule(four()),
        Generator::new(model.clone()).unmasker(joint).schedule(four()),
    ];
    let prompts = prompts(&tokenizer);
    for (generator, calls) in generators.iter().zip([(32, 0), (8, 0), (8, 0), (8, 24)]) {
        for (output, prompt) in generator.generate_batch(&prompts, 32).unwrap().iter().zip(&prompts)
        {
            assert_eq!(&output.tokens[..prompt.len()], &prompt[..]);
            assert_eq!(output.tokens.len(), prompt.len() + 32);
            assert!(!output.tokens.contains(&model.vocabulary().mask()));
            assert_eq!((output.denoiser_calls, output.sampler_calls), calls);
            let text = tokenizer.decode(&output.tokens).unwrap();
            assert_eq!(tokenizer.encode(&text).unwrap(), output.tokens, "{text}");
        }
    }
}

#[test]
fn one_token_per_step_makes_joint_exact() {
    let (model, tokenizer) = (model(), Tokenizer::open(folder()).unwrap());
    let prompts = prompts(&tokenizer);
    for seed in 0..3 {
        let exact = Generator::new(model.clone()).seed(seed);
        let sampler = model.sampler_layer().unwrap();
        let joint = exact.clone().unmasker(LearnedJoint::new(sampler));
        let [exact, joint] = [exact, joint].map(|g| g.generate_batch(&prompts, 24).unwrap());
        assert_eq!(exact, joint);
    }
}

#[test]
fn a_batch_gives_the_same_outputs_as_single_sequences() {
    let (model, tokenizer) = (model(), Tokenizer::open(folder()).unwrap());
    let prompts = prompts(&tokenizer);
    let joint = LearnedJoint::new(model.sampler_layer().unwrap());
    let generator =
        Generator::new(model).unmasker(joint).schedule(TokensPerStep::new(3).unwrap()).draw(Argmax);
    let together = generator.generate_batch(&prompts, 20).unwrap();
    let alone: Vec<Output> =
        prompts.iter().map(|prompt| generator.generate(prompt, 20).unwrap()).collect();
    assert_eq!(together, alone);
}

#[test]
fn the_folder_is_small_and_its_tokenizer_is_lossless() {
    let bytes: u64 = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 16 << 20, "{bytes} bytes");
    let tokenizer = Tokenizer::open(folder()).unwrap();
    let text = "<code>def f(x): return x*3\nassert f(4)==12<eos>";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    let error = tokenizer.encode("<story>the old café").unwrap_err();
    assert!(matches!(error, TextError::UnknownCharacter { character: 'é', .. }), "{error}");
}
