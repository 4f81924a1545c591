//! Passes over rows give the same logits in training and in the exported graphs.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use conjoint_core::{Canvas, Denoiser, RowId, SamplerLayer};
use conjoint_export::{ExportOptions, Operators, SamplerForm, export};
use conjoint_onnx::{ExecutionProvider, OnnxDenoiser, runtime};
use conjoint_train::distillation::Teacher;
use conjoint_train::model::{Precision, RowPasses, SamplerModule, Slots, checkpoint};

const LENGTH: usize = 9;

fn fixture(name: &str) -> PathBuf {
    conjoint_models::fixture(name)
}

/// For each of two sequences, positions in the order of their reveal; the last one is never revealed.
const SLOTS: [[usize; 4]; 2] = [[4, 3, 6, 7], [5, 8, 3, 4]];

fn token(sequence: usize, slot: usize) -> u32 {
    (10 + 7 * sequence + slot) as u32
}

/// The trainer's logits [B, V] of the position that no pass reveals, after each of three passes.
fn trained(layer: &SamplerModule) -> Vec<Vec<f32>> {
    let device = Device::default();
    let base = checkpoint::load(&fixture("dream-tiny"), &device).unwrap();
    let mask = base.config().mask_token_id;
    let ints = |values: &[u32], shape: [usize; 2]| -> Tensor<2, Int> {
        let values: Vec<i32> = values.iter().map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(values, shape), &device)
    };
    let mut ids = vec![mask; 2 * LENGTH];
    for sequence in 0..2 {
        ids[sequence * LENGTH..][..3].copy_from_slice(&given(sequence));
    }
    let wide: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let hidden = base.hidden(&wide, 2, LENGTH).unwrap();
    let width = hidden.len() / ids.len();
    let hidden = Tensor::<3>::from_data(TensorData::new(hidden, [2, LENGTH, width]), &device);
    let slots = Slots::new(&SLOTS.map(|slots| slots.to_vec()), 4);
    let mut passes = None;
    (0..3)
        .map(|pass| {
            for (sequence, slots) in SLOTS.iter().enumerate() {
                ids[sequence * LENGTH + slots[pass]] = token(sequence, pass);
            }
            let passes = passes.get_or_insert_with(|| {
                let embedded = base.embed(ints(&ids, [2, LENGTH]));
                RowPasses::new(layer, embedded, hidden.clone(), &slots)
            });
            let open = SLOTS.iter().enumerate().flat_map(|(sequence, slots)| {
                slots[pass..].iter().map(move |slot| sequence * LENGTH + slot)
            });
            let open: Vec<u32> = open.map(|place| ids[place]).collect();
            let next = passes.pass(base.embed(ints(&open, [2, 4 - pass])));
            let last = next.narrow(1, 3 - pass, 1);
            base.logits(last).into_data().iter().collect()
        })
        .collect()
}

fn given(sequence: usize) -> [u32; 3] {
    [[5, 17, 80], [42, 3, 9]][sequence]
}

/// The same logits by the exported graphs.
fn exported(sampler: &Path, operators: Operators) -> Vec<Vec<f32>> {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(fixture("dream-tiny"));
    (options.sampler, options.operators) = (Some(sampler.into()), operators);
    options.out = Some(folder.path().into());
    let manifest = export(&options).unwrap();
    assert_eq!(manifest.graphs.sampler_form(), Some(SamplerForm::Rows));
    runtime::ensure().unwrap();
    let model = OnnxDenoiser::open(folder.path(), ExecutionProvider::Cpu).unwrap();
    let layer = model.sampler_layer().unwrap();
    let mask = model.vocabulary().mask();
    let canvas = |sequence| Canvas::new(&given(sequence), LENGTH - 3, mask).unwrap();
    let mut canvases = [canvas(0), canvas(1)];
    let (_, mut state) = model.denoise(&canvases.each_ref(), &[]).unwrap();
    (0..3)
        .map(|pass| {
            let mut rows = Vec::new();
            for (sequence, slots) in SLOTS.iter().enumerate() {
                canvases[sequence].reveal(slots[pass], token(sequence, pass)).unwrap();
                let mut open = slots[pass + 1..].to_vec();
                open.sort_unstable();
                rows.extend(open.into_iter().map(|position| RowId { sequence, position }));
            }
            let refined = layer.refine(&mut state, &canvases.each_ref(), &rows).unwrap();
            let is_last = |row: &RowId| row.position == SLOTS[row.sequence][3];
            let last = (0..rows.len()).filter(|&n| is_last(&rows[n]));
            last.flat_map(|n| refined.logits(n).to_vec()).collect()
        })
        .collect()
}

#[test]
fn training_and_graphs_compute_the_same_passes() {
    let device = Device::default();
    let base = checkpoint::load_config(&fixture("dream-tiny")).unwrap();
    let published = fixture("adjust-dream-tiny").join("model.safetensors");
    let mut layer = SamplerModule::load(&published, &base, &device).unwrap();
    for layers in [1, 2] {
        if layers == 2 {
            layer.layers.push(layer.layers[0].clone());
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        layer.save(&file, Precision::F32, SamplerForm::Rows).unwrap();
        let expected = trained(&layer);
        for operators in [Operators::Fused, Operators::Portable] {
            for (pass, (a, b)) in
                expected.iter().zip(exported(folder.path(), operators)).enumerate()
            {
                assert_eq!(a.len(), b.len());
                let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-4, "{layers} layers, {operators:?}, pass {}: {off}", pass + 1);
            }
        }
        // Successive passes differ.
        assert!(expected[0].iter().zip(&expected[1]).any(|(a, b)| (a - b).abs() > 1e-3));
    }
}
