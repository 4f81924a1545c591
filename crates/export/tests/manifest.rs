//! The manifest of an export.

mod common;

use std::fs;

use common::{assert_names, copy, edit_json, edit_tensors};
use conjoint_export::{DType, ExportOptions, Family, FormatError, MANIFEST, Manifest, export};
use serde_json::{Value, json};

const WEIGHTS: &str = "model.safetensors";

#[test]
fn the_manifest_is_read_back() {
    for name in ["dream-tiny", "dream-tied-bf16-sharded", "llada-tiny"] {
        let folder = copy(name);
        let written = export(&ExportOptions::new(folder.path())).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), written);
    }
}

#[test]
fn the_manifest_matches_the_configuration() {
    let folder = copy("dream-tied-bf16-sharded");
    let dream = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!((dream.family, dream.dtype, dream.shift), (Family::Dream, DType::BFloat16, true));
    assert_eq!((dream.vocab_size, dream.hidden_size, dream.layers), (96, 32, 2));
    assert_eq!((dream.heads, dream.kv_heads, dream.head_dim, dream.ffn_size), (4, 2, 8, 56));
    let tokens = &dream.tokens;
    assert_eq!((tokens.mask, &tokens.eos[..]), (94, &[95][..]));
    assert_eq!((tokens.pad, tokens.bos, tokens.assigned), (Some(95), Some(95), None));
    assert_eq!(dream.max_positions, 128);
    assert_eq!(dream.graphs.sampler, None);
    assert_eq!(dream.provenance.weights.len(), 2);

    let folder = copy("llada-tiny");
    let llada = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!((llada.family, llada.dtype, llada.shift), (Family::Llada, DType::Float32, false));
    assert_eq!((llada.tokens.mask, llada.tokens.bos), (110, None));
}

#[test]
fn the_manifest_of_an_encoder() {
    let of = |name: &str| {
        let folder = copy(name);
        let manifest = export(&ExportOptions::new(folder.path())).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        assert_eq!(manifest.problems(folder.path()).len(), 0, "{name}");
        manifest
    };
    let bert = of("bert-tiny");
    assert_eq!((bert.family, bert.shift, bert.layers), (Family::Bert, false, 2));
    assert_eq!((bert.heads, bert.kv_heads, bert.head_dim, bert.ffn_size), (2, 2, 8, 24));
    assert_eq!((bert.tokens.mask, bert.tokens.pad, bert.max_positions), (4, Some(0), 24));
    let albert = of("albert-tiny");
    assert_eq!((albert.family, albert.hidden_size, albert.layers), (Family::Albert, 16, 4));
    assert_eq!(of("modernbert-tiny").family, Family::ModernBert);
    assert_eq!(serde_json::to_value(Family::ModernBert).unwrap(), "modernbert");
}

#[test]
fn changed_weights_are_detected() {
    let folder = copy("dream-tiny");
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    manifest.check_weights(folder.path()).unwrap();
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        let (_, tensor) = tensors.iter_mut().next().unwrap();
        *tensor.2.last_mut().unwrap() ^= 1;
    });
    let changed = manifest.check_weights(folder.path()).unwrap_err();
    assert!(matches!(changed, FormatError::WeightsChanged { .. }), "{changed}");
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let missing = manifest.check_weights(folder.path()).unwrap_err();
    assert!(matches!(missing, FormatError::Io { .. }), "{missing}");
}

#[test]
fn the_top_k_head_has_at_least_two_tokens_and_at_most_all() {
    let folder = copy("dream-tiny");
    let mut options = ExportOptions::new(folder.path());
    for (k, expected) in [(2, 2), (usize::MAX, 96)] {
        options.head_top = Some(k);
        let head = export(&options).unwrap().graphs.head_top.unwrap();
        assert_eq!((head.graph.as_str(), head.k), ("head-top.onnx", expected));
        assert!(folder.path().join(&head.graph).exists());
    }
    let file = folder.path().join(MANIFEST);
    let whole = fs::read(&file).unwrap();
    for bad in [1, 97] {
        edit_json(&file, |manifest| manifest["graphs"]["head_top"]["k"] = json!(bad));
        let error = Manifest::read(folder.path()).unwrap_err();
        assert_names(&error, &["graphs.head_top.k", "from 2 to vocab_size = 96", &bad.to_string()]);
        fs::write(&file, &whole).unwrap();
    }
    for bad in [0, 1] {
        options.head_top = Some(bad);
        let error = export(&options).unwrap_err();
        assert_names(&error, &["head top", &bad.to_string(), "at least 2"]);
    }
    export(&ExportOptions::new(folder.path())).unwrap();
    assert!(!folder.path().join("head-top.onnx").exists());
}

#[test]
fn invalid_sizes_in_a_manifest_are_rejected() {
    let folder = copy("dream-tiny");
    export(&ExportOptions::new(folder.path())).unwrap();
    let whole = fs::read(folder.path().join(MANIFEST)).unwrap();
    for (key, value, named) in
        [("vocab_size", 10, "tokens.mask"), ("hidden_size", 0, "hidden_size")]
    {
        fs::write(folder.path().join(MANIFEST), &whole).unwrap();
        edit_json(&folder.path().join(MANIFEST), |manifest| manifest[key] = json!(value));
        match Manifest::read(folder.path()).unwrap_err() {
            FormatError::Config { key, .. } => assert_eq!(key, named),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_invalid_manifest_is_rejected() {
    let folder = copy("dream-tiny");
    let error = Manifest::read(folder.path()).unwrap_err();
    assert!(matches!(error, FormatError::MissingFile { .. }), "{error}");
    assert_names(&error, &[MANIFEST, "export"]);

    export(&ExportOptions::new(folder.path())).unwrap();
    let manifest_error = |edit: &dyn Fn(&mut Value)| {
        let file = folder.path().join(MANIFEST);
        let whole = fs::read(&file).unwrap();
        edit_json(&file, edit);
        let error = Manifest::read(folder.path()).unwrap_err();
        fs::write(&file, whole).unwrap();
        error
    };
    let error = manifest_error(&|manifest| manifest["format"] = json!(1));
    assert_names(&error, &["format 4", "format 1"]);
    let error = manifest_error(&|manifest| manifest["graphs"]["head"] = json!("../head.onnx"));
    assert_names(&error, &["../head.onnx"]);
    let error = manifest_error(&|manifest| manifest["tokens"] = json!({}));
    assert_names(&error, &["mask", MANIFEST]);
    assert!(Manifest::read(folder.path()).is_ok());
}
