//! Sampler passes over rows.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{OPERATORS, exported_as, max_difference, open};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::LearnedJoint;
use conjoint_core::{Canvas, Denoiser, DenseRows, Generator, Order, RowId, SamplerLayer, order};
use conjoint_export::{Operators, SamplerForm};
use conjoint_onnx::{OnnxDenoiser, OnnxSamplerLayer};
use conjoint_testkit::conformance;
use tempfile::TempDir;

/// The kernels for different batch sizes round differently.
const ROUNDING: f32 = 2e-5;

const LAYER: &str = "adjust-dream-tiny";
/// The layer of an encoder with a factorised embedding.
const OF_ENCODER: &str = "adjust-albert-tiny";

struct Opened {
    model: OnnxDenoiser,
    layer: OnnxSamplerLayer,
    _folder: TempDir,
}

fn opened(sampler: &str, operators: Operators, passes: SamplerForm) -> Opened {
    let base = if sampler == OF_ENCODER { "albert-tiny" } else { "dream-tiny" };
    let folder = exported_as(base, Some(sampler), operators, Some(passes));
    let model = open(folder.path()).unwrap();
    assert_eq!(model.manifest().graphs.sampler_form(), Some(passes));
    let layer = model.sampler_layer().unwrap();
    Opened { model, layer, _folder: folder }
}

/// Canvases of different lengths, most with given tokens, all with at least three masked positions.
fn canvases(mask: u32) -> Vec<Canvas> {
    vec![
        Canvas::new(&[5, 17, 80, 3], 5, mask).unwrap(),
        Canvas::new(&[42], 3, mask).unwrap(),
        Canvas::infill(vec![mask, 7, mask, mask, 9, 9, 9, 9, 9, 9, mask, 1, 2], mask).unwrap(),
        Canvas::unconditional(6, mask).unwrap(),
    ]
}

/// Reveals the `number`-th masked position of each canvas.
fn reveal(canvases: &mut [Canvas], number: usize, token: u32) {
    for canvas in canvases {
        let position = canvas.masked().nth(number);
        if let Some(position) = position {
            canvas.reveal(position, token).unwrap();
        }
    }
}

fn masked_rows<'a>(canvases: impl IntoIterator<Item = &'a Canvas>) -> Vec<RowId> {
    let of = |(sequence, canvas): (usize, &Canvas)| {
        let rows = canvas.masked().map(move |position| RowId { sequence, position });
        rows.collect::<Vec<_>>()
    };
    canvases.into_iter().enumerate().flat_map(of).collect()
}

fn logits(dense: &DenseRows) -> Vec<Vec<f32>> {
    (0..dense.rows()).map(|n| dense.logits(n).to_vec()).collect()
}

/// Writes the published layer with its decoder layer twice.
fn two_layers(folder: &Path) {
    use safetensors::SafeTensors;
    use safetensors::tensor::TensorView;

    let bytes = std::fs::read(common::fixture(LAYER).join("model.safetensors")).unwrap();
    let published = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, TensorView<'_>)> = published.tensors();
    for (name, view) in published.tensors() {
        let Some(part) = name.strip_prefix("drafter.layers.0.0.") else { continue };
        tensors.push((format!("drafter.layers.0.1.{part}"), view));
    }
    std::fs::write(
        folder.join("model.safetensors"),
        safetensors::serialize(tensors, None).unwrap(),
    )
    .unwrap();
}

#[test]
fn the_first_pass_equals_a_pass_over_the_sequence() {
    let two = tempfile::tempdir().unwrap();
    two_layers(two.path());
    for sampler in [LAYER, OF_ENCODER, two.path().to_str().unwrap()] {
        for operators in OPERATORS {
            let [sequence, rows] = SamplerForm::ALL.map(|form| opened(sampler, operators, form));
            let mut batch = canvases(sequence.model.vocabulary().mask());
            let of = |opened: &Opened, batch: &[Canvas], revealed: &[Canvas]| {
                let (before, after): (Vec<_>, Vec<_>) =
                    (batch.iter().collect(), revealed.iter().collect());
                let (_, mut state) = opened.model.denoise(&before, &[]).unwrap();
                // All candidates except the first of each sequence.
                let requested: Vec<RowId> = masked_rows(revealed)
                    .chunk_by(|a, b| a.sequence == b.sequence)
                    .flat_map(|own| own[usize::from(own.len() > 1)..].to_vec())
                    .collect();
                logits(&opened.layer.refine(&mut state, &after, &requested).unwrap())
            };
            let before = batch.clone();
            reveal(&mut batch, 1, 11);
            let [expected, got] = [&sequence, &rows].map(|form| of(form, &before, &batch));
            let off = max_difference(expected.iter().flatten(), got.iter().flatten());
            assert!(off < ROUNDING, "{sampler} {operators:?}: {off}");
            let unrefined =
                sequence.model.denoise(&before.iter().collect::<Vec<_>>(), &masked_rows(&batch));
            let unrefined = logits(&unrefined.unwrap().0);
            assert!(
                max_difference(unrefined.iter().flatten().take(60), got.iter().flatten().take(60))
                    > 1e-2
            );
        }
    }
}

#[test]
fn the_layer_conforms() {
    for operators in OPERATORS {
        let opened = opened(LAYER, operators, SamplerForm::Rows);
        let canvases = canvases(opened.model.vocabulary().mask());
        conformance::sampler_layer("rows", &opened.model, &opened.layer, &canvases, ROUNDING)
            .unwrap();
    }
}

#[test]
fn sequences_are_independent_of_their_batch() {
    let two = tempfile::tempdir().unwrap();
    two_layers(two.path());
    for sampler in [LAYER, OF_ENCODER, two.path().to_str().unwrap()] {
        for operators in OPERATORS {
            together_as_alone(&opened(sampler, operators, SamplerForm::Rows));
        }
    }
}

/// Three passes with decreasing numbers of rows. Sequences drop different numbers of rows, and one takes no
/// part in the second pass.
fn together_as_alone(opened: &Opened) {
    let start = canvases(opened.model.vocabulary().mask());
    let takes_part = |sequence: usize, pass: usize| sequence != 3 || pass != 2;
    let run = |of: &[usize]| -> Vec<(usize, usize, Vec<Vec<f32>>)> {
        let mut canvases: Vec<Canvas> = of.iter().map(|&s| start[s].clone()).collect();
        let batch: Vec<_> = canvases.iter().collect();
        let (_, mut state) = opened.model.denoise(&batch, &[]).unwrap();
        let mut all = Vec::new();
        for pass in 1..=3 {
            let taking: Vec<bool> = of.iter().map(|&s| takes_part(s, pass)).collect();
            for (canvas, taking) in canvases.iter_mut().zip(&taking) {
                let next = canvas.masked().next().filter(|_| *taking);
                if let Some(position) = next {
                    canvas.reveal(position, 20 + pass as u32).unwrap();
                }
            }
            let batch: Vec<_> = canvases.iter().collect();
            let rows: Vec<RowId> = masked_rows(&canvases)
                .chunk_by(|a, b| a.sequence == b.sequence)
                .filter(|own| taking[own[0].sequence])
                .flat_map(|own| {
                    let dropped = (pass - 1) * (of[own[0].sequence] % 3);
                    own[..own.len().saturating_sub(dropped).max(1)].to_vec()
                })
                .collect();
            let got = logits(&opened.layer.refine(&mut state, &batch, &rows).unwrap());
            for (place, &sequence) in of.iter().enumerate() {
                let own = rows.iter().zip(&got).filter(|(row, _)| row.sequence == place);
                all.push((sequence, pass, own.map(|(_, row)| row.clone()).collect()));
            }
        }
        all
    };
    let together = run(&[0, 1, 2, 3]);
    for sequence in 0..4 {
        for (_, pass, alone) in run(&[sequence]) {
            let found = together.iter().find(|of| (of.0, of.1) == (sequence, pass)).unwrap();
            assert_eq!(found.2.len(), alone.len());
            let off = max_difference(found.2.iter().flatten(), alone.iter().flatten());
            assert!(off < ROUNDING, "sequence {sequence}, pass {pass}: {off}");
        }
    }
}

#[test]
fn rows_may_be_requested_in_any_order_and_twice() {
    let opened = opened(LAYER, Operators::Fused, SamplerForm::Rows);
    let start = canvases(opened.model.vocabulary().mask());
    let mut after = start.clone();
    reveal(&mut after, 0, 11);
    let of = |rows: &[RowId]| {
        let (before, batch): (Vec<_>, Vec<_>) = (start.iter().collect(), after.iter().collect());
        let (_, mut state) = opened.model.denoise(&before, &[]).unwrap();
        logits(&opened.layer.refine(&mut state, &batch, rows).unwrap())
    };
    let rows = masked_rows(&after);
    let sorted = of(&rows);
    let mixed: Vec<usize> = (0..rows.len()).rev().chain([0, 3, 0]).collect();
    let requested: Vec<RowId> = mixed.iter().map(|&n| rows[n]).collect();
    for (got, &n) in of(&requested).iter().zip(&mixed) {
        assert!(max_difference(got, &sorted[n]) < ROUNDING, "{:?}", rows[n]);
    }
}

/// A pass over rows that the last one did not have starts again from the forward pass.
#[test]
fn new_rows_start_again() {
    let opened = opened(LAYER, Operators::Fused, SamplerForm::Rows);
    let mut canvas = Canvas::new(&[5, 17], 5, opened.model.vocabulary().mask()).unwrap();
    let (_, mut state) = opened.model.denoise(&[&canvas], &[]).unwrap();
    let row = |position| RowId { sequence: 0, position };
    canvas.reveal(2, 9).unwrap();
    opened.layer.refine(&mut state, &[&canvas], &[row(3), row(4)]).unwrap();
    canvas.reveal(3, 8).unwrap();
    let again = opened.layer.refine(&mut state, &[&canvas], &[row(5)]).unwrap();
    let before = Canvas::new(&[5, 17], 5, opened.model.vocabulary().mask()).unwrap();
    let (_, mut fresh) = opened.model.denoise(&[&before], &[]).unwrap();
    let expected = opened.layer.refine(&mut fresh, &[&canvas], &[row(5)]).unwrap();
    assert_eq!(logits(&again), logits(&expected));
    // A pass that continues does not.
    let (_, mut state) = opened.model.denoise(&[&before], &[]).unwrap();
    let mut first = before.clone();
    first.reveal(2, 9).unwrap();
    opened.layer.refine(&mut state, &[&first], &[row(3), row(5)]).unwrap();
    let continued = opened.layer.refine(&mut state, &[&canvas], &[row(5)]).unwrap();
    assert!(max_difference(continued.logits(0), expected.logits(0)) > 1e-4);
}

#[test]
fn a_batch_is_sampled_like_its_sequences_alone() {
    let Opened { model, layer, _folder } = opened(LAYER, Operators::Fused, SamplerForm::Rows);
    let start = canvases(model.vocabulary().mask());
    let orders: [Arc<dyn Order>; 2] = [Arc::new(order::Entropy), Arc::new(order::LeftToRight)];
    let (model, layer) = (Arc::new(model), Arc::new(layer));
    for order in orders {
        for window in [1, 2, 9] {
            let unmasker = LearnedJoint::new(layer.clone()).order(order.clone()).window(window);
            let generator = Generator::new(model.clone())
                .unmasker(unmasker.unwrap())
                .schedule(TokensPerStep::new(3).unwrap())
                .seed(4);
            let run = |size: usize| {
                generator.clone().batch_size(size).unwrap().run(start.clone(), &mut ()).unwrap()
            };
            let (together, alone) = (run(4), run(1));
            assert!(together.iter().any(|output| output.sampler_calls > 1));
            for (a, b) in together.iter().zip(&alone) {
                assert_eq!(a.tokens, b.tokens);
            }
        }
    }
}
