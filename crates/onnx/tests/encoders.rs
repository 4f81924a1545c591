//! Encoders of the BERT family match Transformers.

mod common;

use std::fs;
use std::path::Path;

use common::{
    ENCODERS, OPERATORS, Reference, all_rows, assert_near, canvas, fixture, open, opened,
};
use conjoint_core::Denoiser;
use conjoint_export::{ExportOptions, Quantisation, export};
use conjoint_onnx::OnnxDenoiser;
use ndarray::{Array3, Axis};
use tempfile::TempDir;

/// The reference's sequences without their padding.
fn sequences(reference: &Reference) -> Vec<Vec<i64>> {
    let (ids, valid) = (reference.ids("input_ids"), reference.ids("attention_mask"));
    let row = |(ids, valid): (&Vec<i64>, &Vec<i64>)| {
        ids.iter().zip(valid).filter(|(_, valid)| **valid == 1).map(|(id, _)| *id).collect()
    };
    ids.iter().zip(&valid).map(row).collect()
}

/// The rows of these sequences, one after the other, from an array [B, T, ·].
fn rows(of: &Array3<f32>, sequences: &[Vec<i64>]) -> Vec<f32> {
    let sequence = |(batch, ids): (usize, &Vec<i64>)| {
        let of = of.index_axis(Axis(0), batch);
        of.iter().take(ids.len() * of.ncols()).copied().collect::<Vec<_>>()
    };
    sequences.iter().enumerate().flat_map(sequence).collect()
}

/// Logits and hidden states of the reference's sequences, in one batch.
fn computed(model: &OnnxDenoiser, sequences: &[Vec<i64>]) -> (Vec<f32>, Vec<f32>) {
    let mask = model.vocabulary().mask();
    let canvases: Vec<_> = sequences.iter().map(|ids| canvas(ids, mask)).collect();
    let batch: Vec<_> = canvases.iter().collect();
    let (dense, mut state) = model.denoise(&batch, &all_rows(&batch)).unwrap();
    let logits = (0..dense.rows()).flat_map(|n| dense.logits(n).to_vec()).collect();
    (logits, rows(&model.hidden_of(&mut state).unwrap(), sequences))
}

/// The second sequence is much shorter than the first: in layers with local attention, rows of padding attend
/// to no position.
#[test]
fn logits_and_hidden_states() {
    for name in ENCODERS {
        let reference = Reference::of(name);
        let sequences = sequences(&reference);
        assert!(sequences[1].len() + 3 < sequences[0].len());
        for operators in OPERATORS {
            let (_folder, model) = opened(name, None, operators);
            let (logits, hidden) = computed(&model, &sequences);
            let expected = |part| rows(&reference.floats(part), &sequences);
            assert_near(&format!("{name}, {operators:?}, logits"), &logits, &expected("logits"));
            assert_near(&format!("{name}, {operators:?}, hidden"), &hidden, &expected("hidden"));
        }
    }
}

#[test]
fn padding_changes_nothing() {
    for name in ENCODERS {
        let sequences = sequences(&Reference::of(name));
        for operators in OPERATORS {
            let (_folder, model) = opened(name, None, operators);
            let (together, _) = computed(&model, &sequences);
            let (alone, _) = computed(&model, &sequences[1..]);
            let padded = &together[together.len() - alone.len()..];
            assert_near(&format!("{name}, {operators:?}, padded"), padded, &alone);
        }
    }
}

/// With a window as wide as the sequence, the rows differ.
#[test]
fn local_attention_is_applied() {
    let reference = Reference::of("modernbert-tiny");
    let sequences = sequences(&reference);
    let wide = copy("modernbert-tiny", &["config.json", "model.safetensors"]);
    let config = wide.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("\"local_attention\": 6"));
    fs::write(&config, text.replace("\"local_attention\": 6", "\"local_attention\": 40")).unwrap();
    export(&ExportOptions::new(wide.path())).unwrap();
    let (logits, _) = computed(&open(wide.path()).unwrap(), &sequences);
    let expected = rows(&reference.floats("logits"), &sequences);
    assert!(common::max_difference(&logits, &expected) > 0.1);
}

/// In both of PyTorch's formats, files, graphs and logits are identical.
#[test]
fn pickled_weights_are_the_same_model() {
    let sequences = sequences(&Reference::of("bert-tiny"));
    let logits = |folder: &Path| {
        let (logits, _) = computed(&open(folder).unwrap(), &sequences);
        logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let plain = copy("bert-tiny", &["config.json", "model.safetensors"]);
    export(&ExportOptions::new(plain.path())).unwrap();
    let expected = logits(plain.path());
    for pickled in ["pytorch_model.bin", "legacy.bin"] {
        let folder = copy("bert-tiny", &["config.json"]);
        fs::copy(fixture("bert-tiny").join(pickled), folder.path().join("pytorch_model.bin"))
            .unwrap();
        let out = tempfile::tempdir().unwrap();
        let mut options = ExportOptions::new(folder.path());
        options.out = Some(out.path().into());
        export(&options).unwrap();
        for name in ["model.safetensors", "backbone.onnx", "head.onnx"] {
            let [own, other] = [out.path(), plain.path()].map(|f| fs::read(f.join(name)).unwrap());
            assert!(own == other, "{pickled}: {name}");
        }
        assert!(logits(out.path()) == expected, "{pickled}");
        export(&ExportOptions::new(folder.path())).unwrap();
        assert!(logits(folder.path()) == expected, "{pickled}, in place");
    }
}

/// In 4 bits, with one scale for a whole row of random weights, logits differ more.
#[test]
fn quantised_weights_are_nearly_the_same_model() {
    for name in ENCODERS {
        let reference = Reference::of(name);
        let sequences = sequences(&reference);
        let expected = rows(&reference.floats("logits"), &sequences);
        for (quantisation, min) in [(Quantisation::Int8, 0.99), (Quantisation::Int4, 0.5)] {
            let folder = copy(name, &["config.json", "model.safetensors"]);
            let mut options = ExportOptions::new(folder.path());
            options.quantisation = Some(quantisation);
            export(&options).unwrap();
            let (logits, _) = computed(&open(folder.path()).unwrap(), &sequences);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let lengths = (dot(&logits, &logits) * dot(&expected, &expected)).sqrt();
            let cosine = dot(&logits, &expected) / lengths;
            println!("{name}, {quantisation}: {cosine}");
            assert!((min..0.999_999).contains(&cosine), "{name}, {quantisation}: {cosine}");
        }
    }
}

/// A folder with some of a fixture's files.
fn copy(name: &str, files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
    }
    folder
}
