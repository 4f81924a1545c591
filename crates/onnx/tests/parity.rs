//! Hidden states and logits match those of the reference implementations.

mod common;

use std::fs;

use common::{OPERATORS, Reference, all_rows, assert_near, canvas, fixture, opened};
use conjoint_core::{Denoiser, DenseRows, SamplerLayer, State};
use conjoint_onnx::OnnxDenoiser;
use ndarray::{Array2, Array3, Axis, Slice};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// Shifts the rows of a shifted model's reference, which are not shifted: row i − 1 belongs to position i, and
/// row 0 also to position 0.
fn shifted(raw: &Array3<f32>, shift: bool) -> Array3<f32> {
    let rows: Vec<usize> =
        (0..raw.dim().1).map(|i| if shift { i.saturating_sub(1) } else { i }).collect();
    raw.select(Axis(1), &rows)
}

fn rows(dense: &DenseRows) -> Vec<f32> {
    (0..dense.rows()).flat_map(|n| dense.logits(n).to_vec()).collect()
}

#[test]
fn models() {
    for (name, shift) in
        [("dream-tiny", true), ("dream-tied-bf16-sharded", true), ("llada-tiny", false)]
    {
        let reference = Reference::of(name);
        let hidden = shifted(&reference.floats("hidden"), shift);
        let logits = shifted(&reference.floats("logits"), shift);
        let ids = reference.ids("input_ids");
        for operators in OPERATORS {
            let what = |part| format!("{name}, {operators:?}, {part}");
            let (_folder, model) = opened(name, None, operators);
            assert_eq!(model.manifest().shift, shift);

            let mask = model.vocabulary().mask();
            let canvases: Vec<_> = ids.iter().map(|ids| canvas(ids, mask)).collect();
            let batch: Vec<_> = canvases.iter().collect();
            let (dense, mut state) = model.denoise(&batch, &all_rows(&batch)).unwrap();
            assert_near(&what("logits"), &rows(&dense), &logits);
            assert_near(&what("hidden"), &model.hidden_of(&mut state).unwrap(), &hidden);
            direct(&model, &ids, &hidden, &logits);
        }
    }
}

/// Compares the methods that take ids instead of canvases.
fn direct(model: &OnnxDenoiser, ids: &[Vec<i64>], hidden: &Array3<f32>, logits: &Array3<f32>) {
    let got = model.hidden(&ids.concat(), ids.len(), ids[0].len()).unwrap();
    assert_near("hidden, directly", &got, hidden);
    let last = got.index_axis(Axis(0), 1);
    let got = model.logits(last).unwrap();
    assert_near("logits, directly", &got, logits.index_axis(Axis(0), 1));
    // Not contiguous.
    let backwards = model.logits(last.slice_axis(Axis(0), Slice::new(0, None, -1))).unwrap();
    assert_near("logits, backwards", backwards.rows().into_iter().rev().flatten(), &got);
}

#[test]
fn sampler_layer() {
    passes_agree("dream-tiny", "adjust-dream-tiny", "adjust-dream-tiny");
}

/// The base model has a factorised embedding and a network before the output layer.
#[test]
fn sampler_layer_of_an_encoder() {
    passes_agree("albert-tiny", "adjust-albert-tiny", "adjust-albert-tiny");
}

/// The published layer, with an idle one before or after it.
#[test]
fn sampler_of_two_layers() {
    let published = fs::read(fixture("adjust-dream-tiny").join("model.safetensors")).unwrap();
    let published = SafeTensors::deserialize(&published).unwrap();
    for (active, idle) in [(0, 1), (1, 0)] {
        let mut tensors = Vec::new();
        for (name, tensor) in published.tensors() {
            let mut add = |name: String, data: Vec<u8>| {
                let shape = tensor.shape().to_vec();
                tensors.push((name, (tensor.dtype(), shape, data)));
            };
            let Some(part) = name.strip_prefix("drafter.layers.0.0.") else {
                add(name, tensor.data().to_vec());
                continue;
            };
            let is_output = part.contains("o_proj") || part.contains("down_proj");
            let zeroed =
                if is_output { vec![0; tensor.data().len()] } else { tensor.data().to_vec() };
            add(format!("drafter.layers.0.{active}.{part}"), tensor.data().to_vec());
            add(format!("drafter.layers.0.{idle}.{part}"), zeroed);
        }
        let folder = tempfile::tempdir().unwrap();
        let views = tensors.iter().map(|(name, (dtype, shape, data))| {
            (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let file = folder.path().join("model.safetensors");
        fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
        passes_agree("dream-tiny", folder.path().to_str().unwrap(), "adjust-dream-tiny");
    }
}

fn passes_agree(base: &str, sampler: &str, reference: &str) {
    let reference = Reference::of(reference);
    for operators in OPERATORS {
        let (_folder, model) = opened(base, Some(sampler), operators);
        let sampler = model.sampler_layer().unwrap();
        let mask = model.vocabulary().mask();
        let ids = |pass: usize| reference.ids(&format!("step{pass}.input_ids"));
        let mut canvases: Vec<_> = ids(0).iter().map(|ids| canvas(ids, mask)).collect();
        let near = |pass: usize, state: &mut State| {
            let name = format!("step{pass}.hidden");
            let what = format!("{operators:?}, {name}");
            let expected: Array3<f32> = reference.floats(&name);
            assert_near(&what, &model.hidden_of(state).unwrap(), &expected);
        };
        let batch: Vec<_> = canvases.iter().collect();
        let (_, mut state) = model.denoise(&batch, &[]).unwrap();
        near(0, &mut state);
        for pass in 1..=3 {
            for (canvas, ids) in canvases.iter_mut().zip(ids(pass)) {
                let revealed = canvas.masked().find(|&i| ids[i] != i64::from(mask)).unwrap();
                canvas.reveal(revealed, ids[revealed] as u32).unwrap();
            }
            let batch: Vec<_> = canvases.iter().collect();
            let dense = sampler.refine(&mut state, &batch, &all_rows(&batch)).unwrap();
            near(pass, &mut state);
            let name = format!("step{pass}.logits");
            let expected: Array3<f32> = reference.floats(&name);
            assert_near(&format!("{operators:?}, {name}"), &rows(&dense), &expected);
        }
    }
}

#[test]
fn padding_changes_nothing() {
    let name = "dream-tiny";
    let reference = Reference::of(name);
    let alone: Array2<f32> = reference.floats("padded.logits_row1_valid");
    let expected = shifted(&alone.insert_axis(Axis(0)), true);
    let (ids, valid) = (reference.ids("padded.input_ids"), reference.ids("padded.attention_mask"));
    for operators in OPERATORS {
        let (_folder, model) = opened(name, None, operators);
        let mask = model.vocabulary().mask();
        let tokens = |row: usize| -> Vec<i64> {
            ids[row].iter().zip(&valid[row]).filter(|(_, v)| **v == 1).map(|(id, _)| *id).collect()
        };
        let (long, short) = (canvas(&tokens(0), mask), canvas(&tokens(1), mask));
        assert!(short.len() < long.len());
        let batch = [&long, &short];
        let (dense, _) = model.denoise(&batch, &all_rows(&batch)).unwrap();
        let padded = &rows(&dense)[long.len() * model.vocabulary().size()..];
        assert_near(&format!("{operators:?}, padded"), padded, &expected);
    }
}
