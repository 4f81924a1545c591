//! Block-causal models: logits match those of Transformers, and decodes those of the published loops, with the exact
//! cache and without.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{
    OPERATORS, Reference, all_rows, assert_near, canvas, exported, fixture, max_difference, open,
};
use conjoint_core::draw::Argmax;
use conjoint_core::observer::History;
use conjoint_core::order::MaxProb;
use conjoint_core::policy::{Policy, Ranked, Selection};
use conjoint_core::schedule::{LladaEven, Threshold, TokensPerStep};
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Denoiser, Error, Generator, Observation, Row, Schedule, TokenId};
use conjoint_export::{ExportOptions, Operators, export};
use conjoint_onnx::OnnxDenoiser;
use ndarray::{Array3, Axis};
use serde_json::Value;

/// Fixture, length of its attention blocks, and whether its logits are shifted.
const MODELS: [(&str, usize, bool); 2] = [("sdar-tiny", 4, false), ("fast-dllm-tiny", 8, true)];

/// Row i − 1 of a shifted model belongs to position i, and row 0 also to position 0.
fn shifted(raw: &Array3<f32>, shift: bool) -> Array3<f32> {
    let row = |i: usize| if shift { i.saturating_sub(1) } else { i };
    raw.select(Axis(1), &(0..raw.dim().1).map(row).collect::<Vec<_>>())
}

fn logits(model: &OnnxDenoiser, canvases: &[Canvas]) -> Vec<f32> {
    let batch: Vec<_> = canvases.iter().collect();
    let (dense, _) = model.denoise(&batch, &all_rows(&batch)).unwrap();
    (0..dense.rows()).flat_map(|row| dense.logits(row).to_vec()).collect()
}

/// The logits of all positions of one sequence.
fn rows_of(model: &OnnxDenoiser, ids: &[i64]) -> Vec<f32> {
    let hidden = model.hidden(ids, 1, ids.len()).unwrap();
    model.logits(hidden.index_axis(Axis(0), 0)).unwrap().into_raw_vec_and_offset().0
}

#[test]
fn logits_match_those_of_transformers() {
    for (name, block, shift) in MODELS {
        let reference = Reference::of(name);
        let expected = shifted(&reference.floats("logits"), shift);
        let hidden = shifted(&reference.floats("hidden"), shift);
        let ids = reference.ids("input_ids");
        for operators in OPERATORS {
            let what = |part| format!("{name}, {operators:?}, {part}");
            let folder = exported(name, None, operators);
            let model = open(folder.path()).unwrap();
            let manifest = model.manifest();
            assert_eq!((manifest.attention_block, manifest.shift), (Some(block), shift));
            assert_eq!(model.attention_block(), Some(block));

            let got = model.hidden(&ids.concat(), ids.len(), ids[0].len()).unwrap();
            assert_near(&what("hidden"), &got, &hidden);
            let mask = model.vocabulary().mask();
            let canvases: Vec<_> = ids.iter().map(|ids| canvas(ids, mask)).collect();
            assert_near(&what("logits"), &logits(&model, &canvases), &expected);
        }
    }
}

/// Rows of a block do not depend on later blocks, but those of full attention do. A shift delays the rows by one.
#[test]
fn later_blocks_are_invisible() {
    for (name, block, shift) in MODELS {
        let ids = Reference::of(name).ids("input_ids");
        let folder = exported(name, None, Operators::Fused);
        let model = open(folder.path()).unwrap();
        let words = model.vocabulary().size();
        let whole = rows_of(&model, &ids[0]);
        let cut = rows_of(&model, &ids[0][..block]);
        assert_near(&format!("{name}, cut"), &whole[..cut.len()], &cut);
        let seen = block + usize::from(shift);
        let mut other = ids[0].clone();
        other[block] = (other[block] + 1) % 60;
        let other = rows_of(&model, &other);
        assert_near(&format!("{name}, before"), &whole[..seen * words], &other[..seen * words]);
        let after = max_difference(&whole[seen * words..], &other[seen * words..]);
        assert!(after > 0.01, "{after}");

        let full = tempfile::tempdir().unwrap();
        let mut options = ExportOptions::new(fixture(name));
        options.out = Some(full.path().to_owned());
        options.attention_block = Some(0);
        assert_eq!(export(&options).unwrap().attention_block, None);
        let full = open(full.path()).unwrap();
        assert_eq!(full.attention_block(), None);
        let full = rows_of(&full, &ids[0]);
        assert!(max_difference(&whole, &full) > 0.01);
    }
}

/// Sequences of one batch have blocks of their own.
#[test]
fn a_batch_equals_its_sequences_alone() {
    for (name, ..) in MODELS {
        let ids = Reference::of(name).ids("input_ids");
        let folder = exported(name, None, Operators::Fused);
        let model = open(folder.path()).unwrap();
        let mask = model.vocabulary().mask();
        let canvases: Vec<_> = [14, 5, 9]
            .iter()
            .zip(&ids)
            .map(|(&length, ids)| canvas(&ids[..length], mask))
            .collect();
        let alone: Vec<f32> = canvases
            .iter()
            .flat_map(|canvas| logits(&model, std::slice::from_ref(canvas)))
            .collect();
        assert_near(&format!("{name}, batch"), &logits(&model, &canvases), &alone);
    }
}

fn number(case: &Value, key: &str) -> Option<usize> {
    case[key].as_u64().map(|number| number as usize)
}

fn ids(list: &Value) -> Vec<TokenId> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as TokenId).collect()
}

/// Fast-dLLM v2: the first token of a block alone, from the last row of the finished block before. Then the most
/// probable ones.
#[derive(Clone)]
struct FirstAlone {
    block: usize,
    others: Ranked,
}

impl Policy for FirstAlone {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let is_first = |position: usize| position.is_multiple_of(self.block);
        match rows.candidates().iter().position(|candidate| is_first(candidate.position)) {
            Some(first) => {
                selection.all_of([Row::candidate(first)]);
                Ok(())
            }
            None => self.others.select(rows, selection),
        }
    }
}

/// The generator of a case's loop. As in the loops, no id is banned.
fn generator(case: &Value, model: Arc<OnnxDenoiser>) -> Generator {
    let block = model.attention_block().unwrap();
    let threshold = case["threshold"].as_f64().map(|tau| Threshold::new(tau).unwrap());
    let by_confidence = |schedule: Arc<dyn Schedule>| Ranked::new(MaxProb, schedule);
    let generator = Generator::new(model).ban([]).draw(Argmax).unmasker(Marginal::default());
    match case["loop"].as_str().unwrap() {
        "sdar" => {
            let quota = number(case, "tokens_per_step").unwrap_or(1);
            generator.policy(by_confidence(match threshold {
                Some(threshold) => Arc::new(threshold),
                None => Arc::new(TokensPerStep::new(quota).unwrap()),
            }))
        }
        "bd3lm" => {
            let steps = LladaEven::new(number(case, "steps").unwrap()).unwrap();
            generator.policy(by_confidence(Arc::new(steps)))
        }
        "fast-dllm" => {
            let others = by_confidence(Arc::new(threshold.unwrap()));
            let sub_block = number(case, "sub_block").unwrap();
            generator.policy(FirstAlone { block, others }).block_length(sub_block).unwrap()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn every_published_decode_is_reproduced_with_the_cache_and_without() {
    let cases = std::fs::read(fixture("block_decode_cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let folders = MODELS.map(|(name, ..)| (name, exported(name, None, Operators::Fused)));
    let folder = |name: &Value| &folders.iter().find(|(own, _)| name == own).unwrap().1;
    let mut loops = BTreeSet::new();
    for (n, case) in cases.iter().enumerate() {
        loops.insert(case["loop"].as_str().unwrap());
        let expected: Vec<_> = case["history"].as_array().unwrap().iter().map(ids).collect();
        for cached in [true, false] {
            let model = open(folder(&case["model"]).path()).unwrap();
            let model = Arc::new(if cached { model } else { model.without_cache() });
            let generator = generator(case, model.clone());
            let mask = generator.vocabulary().mask();
            let prompt = ids(&case["prompt_ids"]);
            let canvas = Canvas::new(&prompt, number(case, "gen_length").unwrap(), mask).unwrap();
            let mut history = History::default();
            let mut run = generator.start(vec![canvas]).unwrap();
            assert!(run.is_exact());
            let outputs = run.finish_or_fail(&mut history).unwrap();
            assert_eq!(history.of(0), expected, "case {n}, cached: {cached}");
            assert_eq!(outputs[0].tokens, ids(&case["tokens"]), "case {n}, cached: {cached}");
        }
    }
    assert_eq!((cases.len(), loops.len()), (10, 3));
}

/// The comparison can fail: without the blocks, the tokens differ.
#[test]
fn full_attention_decodes_other_tokens() {
    let cases = std::fs::read(fixture("block_decode_cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let mut options = ExportOptions::new(fixture("sdar-tiny"));
    let folder = tempfile::tempdir().unwrap();
    options.out = Some(folder.path().to_owned());
    options.attention_block = Some(0);
    export(&options).unwrap();
    let model = Arc::new(open(folder.path()).unwrap());
    let differ = |case: &Value| {
        let quota = number(case, "tokens_per_step").unwrap_or(1);
        let mask = model.vocabulary().mask();
        let canvas =
            Canvas::new(&ids(&case["prompt_ids"]), number(case, "gen_length").unwrap(), mask);
        let generator = Generator::new(model.clone()).ban([]).draw(Argmax);
        let generator = generator.unmasker(Marginal::new(MaxProb));
        let generator = generator.schedule(TokensPerStep::new(quota).unwrap());
        let outputs = generator.run(vec![canvas.unwrap()], &mut ()).unwrap();
        outputs[0].tokens != ids(&case["tokens"])
    };
    assert!(cases.iter().filter(|case| case["model"] == "sdar-tiny").all(differ));
}
