//! Quantised graphs compute with the weights of their files.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{assert_near, fixture, open};
use conjoint_export::{ExportOptions, Quantisation, SamplerForm, export};
use ndarray::{Array2, Array3, Axis};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

/// Type, shape and bytes of tensors, by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn quantised(name: &str, quantisation: Option<Quantisation>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(fixture(name));
    options.out = Some(folder.path().to_owned());
    options.quantisation = quantisation;
    export(&options).unwrap();
    folder
}

fn read(file: &Path) -> Tensors {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter();
    let owned = |t: TensorView| (t.dtype(), t.shape().to_vec(), t.data().to_vec());
    tensors.map(|(name, tensor)| (name, owned(tensor))).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The numbers that a quantised matrix [rows, columns] represents, by the formats' definition.
fn decoded(file: &Tensors, name: &str, columns: usize) -> Vec<f32> {
    let scales = floats(&file[&format!("{name}.scales")].2);
    if let Some((_, _, codes)) = file.get(&format!("{name}.int8")) {
        let values = codes.iter().zip(0..);
        return values.map(|(&code, i)| f32::from(code as i8) * scales[i / columns]).collect();
    }
    let (_, shape, bytes) = &file[&format!("{name}.int4")];
    let (rows, blocks) = (shape[0], shape[1]);
    let codes: Vec<u8> = bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect();
    let value = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        let code = f32::from(codes[row * blocks * 128 + column]);
        (code - 8.0) * scales[row * blocks + column / 128]
    };
    (0..rows * columns).map(value).collect()
}

/// An export of the float32 weights that a quantised export represents.
fn dequantised(name: &str, quantisation: Quantisation, folder: &Path) -> TempDir {
    let own = read(&folder.join(format!("model-{quantisation}.safetensors")));
    let mut tensors = read(&fixture(name).join("model.safetensors"));
    for (name, (dtype, shape, bytes)) in &mut tensors {
        if own.contains_key(&format!("{name}.scales")) {
            *dtype = Dtype::F32;
            *bytes = decoded(&own, name, shape[1]).iter().flat_map(|x| x.to_le_bytes()).collect();
        }
    }
    let checkpoint = tempfile::tempdir().unwrap();
    let config = fs::read(fixture(name).join("config.json")).unwrap();
    fs::write(checkpoint.path().join("config.json"), config).unwrap();
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let file = checkpoint.path().join("model.safetensors");
    fs::write(file, serialize(views, None).unwrap()).unwrap();
    export(&ExportOptions::new(checkpoint.path())).unwrap();
    checkpoint
}

/// Hidden states, including a row of zeros and a row with one large number.
fn states(rows: usize, width: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, width), |(row, column)| match row {
        0 => 0.0,
        1 if column == 3 => 300.0,
        _ => ((row * 977 + column * 7919) % 1009) as f32 / 504.5 - 1.0,
    })
}

/// Expected is Σ codes · codes, times the scales of row and column. Activations are rounded to 255 steps of the
/// largest in their row.
#[test]
fn products_of_integers_are_exact() {
    for (name, table) in
        [("dream-tiny", "lm_head.weight"), ("llada-tiny", "model.transformer.ff_out.weight")]
    {
        for quantisation in Quantisation::ALL {
            let folder = quantised(name, Some(quantisation));
            let model = open(folder.path()).unwrap();
            let (width, size) = (model.manifest().hidden_size, model.manifest().vocab_size);
            let file = read(&folder.path().join(format!("model-{quantisation}.safetensors")));
            let (_, _, codes) = &file[&format!("{table}.int8")];
            let scales = floats(&file[&format!("{table}.scales")].2);
            let states = states(6, width);
            let expected = Array2::from_shape_fn((6, size), |(row, token)| {
                let row = states.row(row);
                let step = row.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / 127.0;
                let code = |x: f32| if step > 0.0 { (x / step).round_ties_even() } else { 0.0 };
                let codes = &codes[token * width..][..width];
                let sum: i32 = row
                    .iter()
                    .zip(codes)
                    .map(|(&x, &weight)| code(x) as i32 * i32::from(weight as i8))
                    .sum();
                sum as f32 * scales[token] * step
            });
            let logits = model.logits(states.view()).unwrap();
            assert!(logits.row(0).iter().all(|&logit| logit == 0.0), "a row of zeros");
            assert_near(&format!("{name}, {quantisation}"), &logits, &expected);
        }
    }
}

/// Length of the difference of hidden states, relative to the expected ones.
fn distance(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    let length = |x: &Array3<f32>| x.iter().map(|x| x * x).sum::<f32>().sqrt();
    length(&(a - b)) / length(b)
}

/// A quantised model differs from the float32 model of the same weights only by the rounding of activations.
/// That is much less than the change by four-bit weights.
#[test]
fn layers_compute_with_the_weights_of_the_file() {
    let tiny = conjoint_models::tiny();
    // The matrices of the last one have several blocks, the last of them incomplete.
    for name in [
        "dream-tiny",
        "llada-tiny",
        "bert-tiny",
        "albert-tiny",
        "modernbert-tiny",
        tiny.to_str().unwrap(),
    ] {
        for quantisation in Quantisation::ALL {
            let folder = quantised(name, Some(quantisation));
            let same = dequantised(name, quantisation, folder.path());
            let (own, same) = (open(folder.path()).unwrap(), open(same.path()).unwrap());
            let ids: Vec<i64> = (0..24).map(|i| i * 5 % 50).collect();
            let [own, same, plain] = [&own, &same, &open(quantised(name, None).path()).unwrap()]
                .map(|model| model.hidden(&ids, 2, 12).unwrap());
            let (rounding, change) = (distance(&own, &same), distance(&own, &plain));
            println!("{name}, {quantisation}: {rounding} {change}");
            assert!(rounding < 0.08 && rounding < change, "{name}, {quantisation}: {rounding}");
            let max = if quantisation == Quantisation::Int8 { 0.1 } else { 0.7 };
            assert!(change < max, "{name}, {quantisation}: {change}");
            if quantisation == Quantisation::Int4 {
                assert!(rounding < 0.3 * change, "{name}: {rounding} {change}");
            }
        }
    }
}

/// Each row has its own scales, so batches and padding do not change it.
#[test]
fn rows_do_not_depend_on_their_batch() {
    for quantisation in Quantisation::ALL {
        let folder = quantised("dream-tiny", Some(quantisation));
        let model = open(folder.path()).unwrap();
        let ids: Vec<i64> = (0..24).map(|i| i * 5 % 90).collect();
        let both = model.hidden(&ids, 2, 12).unwrap();
        for (row, ids) in ids.chunks(12).enumerate() {
            let alone = model.hidden(ids, 1, 12).unwrap();
            let what = format!("{quantisation}, sequence {row}");
            assert_near(&what, both.index_axis(Axis(0), row), alone.index_axis(Axis(0), 0));
        }
    }
}

/// A sampler layer of either form runs on quantised weights, close to the one of float32 weights.
#[test]
fn sampler_layers_run() {
    use conjoint_core::{Denoiser, SamplerLayer};
    for form in [SamplerForm::Sequence, SamplerForm::Rows] {
        let logits = |quantisation| {
            let folder = tempfile::tempdir().unwrap();
            let mut options = ExportOptions::new(fixture("dream-tiny"));
            options.sampler = Some(fixture("adjust-dream-tiny"));
            options.passes = Some(form);
            options.out = Some(folder.path().into());
            options.quantisation = quantisation;
            export(&options).unwrap();
            let model = open(folder.path()).unwrap();
            let sampler = model.sampler_layer().unwrap();
            let mask = model.vocabulary().mask();
            let mut canvas = common::canvas(&[5, mask.into(), 7, mask.into()], mask);
            let (_, mut state) = model.denoise(&[&canvas], &[]).unwrap();
            canvas.reveal(1, 11).unwrap();
            let rows = common::all_rows(&[&canvas]);
            let dense = sampler.refine(&mut state, &[&canvas], &rows[3..]).unwrap();
            dense.logits(0).to_vec()
        };
        let plain = logits(None);
        let length = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
        for (quantisation, max) in [(Quantisation::Int8, 0.1), (Quantisation::Int4, 0.6)] {
            let own = logits(Some(quantisation));
            let difference: Vec<f32> = plain.iter().zip(&own).map(|(a, b)| a - b).collect();
            let relative = length(&difference) / length(&plain);
            println!("{form:?}, {quantisation}: {relative}");
            assert!(relative > 0.0 && relative < max, "{form:?}, {quantisation}: {relative}");
        }
    }
}
