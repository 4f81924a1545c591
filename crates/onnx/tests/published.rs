//! Three published encoders, fetched from PyPI on request:
//!
//!     cargo test -p conjoint-onnx --test published -- --ignored

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{OPERATORS, Reference, TOLERANCE, canvas, max_difference, open};
use conjoint_core::{Denoiser, RowId};
use conjoint_export::{ExportOptions, TokenName, export};
use ndarray::Array2;

/// Name, wheel, and the checkpoint's folder in it. All have the MIT license.
const MODELS: [(&str, &str, &str); 3] = [
    ("rxnfp", "rxnfp==0.1.0", "rxnfp/models/transformers/bert_pretrained"),
    ("antiberty", "antiberty==0.1.3", "antiberty/trained_models/AntiBERTy_md_smooth"),
    (
        "rxnmapper",
        "rxnmapper==0.4.3",
        "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k",
    ),
];

/// BERT of 12 × 256 and of 8 × 512, and ALBERT of 12 × 256: logits match Transformers.
#[test]
#[ignore = "downloads 170 MB with pip"]
fn published_encoders() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/published.safetensors");
    let reference = Reference::read(&data);
    for (name, wheel, inner) in MODELS {
        let root = tempfile::tempdir().unwrap();
        let checkpoint = fetched(wheel, root.path()).join(inner);
        // AntiBERTy's vocabulary is beside the checkpoint's folder.
        let vocabulary = checkpoint.join("vocab.txt");
        if !vocabulary.exists() {
            fs::copy(checkpoint.join("../vocab.txt"), vocabulary).unwrap();
        }
        let part = |part: &str| format!("{name}.{part}");
        let (ids, valid) =
            (reference.ids(&part("input_ids")), reference.ids(&part("attention_mask")));
        let expected: Array2<f32> = reference.floats(&part("logits"));
        let rows = reference.ids(&part("rows")).concat().into_iter().map(|row| RowId {
            sequence: row as usize / ids[0].len(),
            position: row as usize % ids[0].len(),
        });
        let rows: Vec<RowId> = rows.collect();
        for operators in OPERATORS {
            let mut options = ExportOptions::new(&checkpoint);
            (options.out, options.operators) = (Some(root.path().join("out")), operators);
            options.given_tokens.mask = Some(TokenName::Text("[MASK]".into()));
            export(&options).unwrap();
            let model = open(&root.path().join("out")).unwrap();
            let mask = model.vocabulary().mask();
            let canvases = ids.iter().zip(&valid).map(|(ids, valid)| {
                let length = valid.iter().filter(|valid| **valid == 1).count();
                canvas(&ids[..length], mask)
            });
            let canvases: Vec<_> = canvases.collect();
            let (dense, _) = model.denoise(&canvases.iter().collect::<Vec<_>>(), &rows).unwrap();
            let got: Vec<f32> =
                (0..dense.rows()).flat_map(|row| dense.logits(row).to_vec()).collect();
            let difference = max_difference(&got, &expected);
            let largest = expected.iter().fold(0.0f32, |max, logit| max.max(logit.abs()));
            println!("{name}, {operators:?}: {difference:.2e} of logits up to {largest:.1}");
            assert!(difference <= TOLERANCE, "{name}, {operators:?}: {difference}");
        }
    }
}

/// Downloads and unpacks a wheel.
fn fetched(wheel: &str, root: &Path) -> PathBuf {
    let python = |arguments: &[&str]| {
        let done = Command::new("python3").args(arguments).current_dir(root).status().unwrap();
        assert!(done.success(), "python3 {arguments:?}");
    };
    python(&["-m", "pip", "download", "--quiet", "--no-deps", "--dest", "wheels", wheel]);
    let file = fs::read_dir(root.join("wheels")).unwrap().next().unwrap().unwrap().path();
    python(&["-m", "zipfile", "-e", file.to_str().unwrap(), "files"]);
    root.join("files")
}
