//! Errors of opening and running models.

mod common;

use std::fs;
use std::path::Path;

use common::{OPERATORS, exported, fixture, open, opened};
use conjoint_core::{Canvas, Denoiser, RowId, SamplerLayer, State};
use conjoint_export::{ExportOptions, export};
use conjoint_onnx::{
    Error, ExecutionProvider, OnnxDenoiser, OnnxOptions, OnnxSamplerLayer, runtime,
};

fn open_error(folder: &Path) -> Error {
    match open(folder) {
        Ok(_) => panic!("{} was opened", folder.display()),
        Err(error) => error,
    }
}

#[test]
fn a_folder_that_is_not_exported() {
    for (folder, part) in [
        (fixture("dream-tiny"), "conjoint.json"),
        (conjoint_models::fixtures().join("no such folder"), "there is no such folder"),
    ] {
        let error = open_error(&folder);
        assert!(matches!(error, Error::Manifest(_)), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_missing_or_truncated_graph() {
    let folder = exported("dream-tiny", None, OPERATORS[0]);
    for name in ["head.onnx", "backbone.onnx"] {
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = open_error(folder.path());
            let named = matches!(error, Error::Graph { .. } | Error::GraphSignature { .. });
            assert!(named && error.to_string().contains(name), "{length} bytes: {error}");
        }
        fs::remove_file(&path).unwrap();
        let error = open_error(folder.path());
        assert!(matches!(&error, Error::MissingGraph { path: p } if *p == path), "{error}");
    }
}

#[test]
fn a_graph_under_the_name_of_another() {
    let folder = exported("dream-tiny", None, OPERATORS[0]);
    fs::copy(folder.path().join("head.onnx"), folder.path().join("backbone.onnx")).unwrap();
    let error = open_error(folder.path());
    assert!(matches!(error, Error::GraphSignature { .. }), "{error}");
    for word in ["backbone.onnx", "input_ids", "rows"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn missing_weights() {
    let folder = exported("dream-tiny", None, OPERATORS[0]);
    let weights = folder.path().join("model.safetensors");
    fs::remove_file(&weights).unwrap();
    let error = open_error(folder.path());
    assert!(matches!(error, Error::Manifest(_)), "{error}");
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

#[test]
fn changed_weights() {
    let folder = exported("dream-tiny", None, OPERATORS[0]);
    let weights = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    // The file is a hard link to the fixture's file.
    fs::remove_file(&weights).unwrap();
    fs::write(&weights, bytes).unwrap();
    let error = open_error(folder.path());
    assert!(matches!(error, Error::Manifest(_)), "{error}");
    assert!(error.to_string().contains("has changed since"), "{error}");
}

#[test]
fn a_missing_sampler_layer_and_one_of_another_model() {
    let (folder, model) = opened("dream-tiny", None, OPERATORS[0]);
    let error = model.sampler_layer().err().unwrap();
    assert!(matches!(&error, Error::NoSampler { folder: f } if f == folder.path()), "{error}");
    let (_llada, llada) = opened("llada-tiny", None, OPERATORS[0]);
    let with = exported("dream-tiny", Some("adjust-dream-tiny"), OPERATORS[0]);
    let error = OnnxSamplerLayer::open(with.path(), &llada).err().unwrap();
    assert!(matches!(error, Error::SamplerMismatch { got: 32, expected: 48, .. }), "{error}");
    assert!(OnnxSamplerLayer::open(with.path(), &model).is_ok());
}

#[test]
fn a_state_of_another_batch() {
    let (_folder, model) = opened("dream-tiny", Some("adjust-dream-tiny"), OPERATORS[0]);
    let sampler = model.sampler_layer().unwrap();
    let [two, three] = [2, 3].map(|length| Canvas::unconditional(length, 94).unwrap());
    let row = RowId { sequence: 0, position: 0 };
    let (_, mut state) = model.denoise(&[&two, &three], &[row]).unwrap();
    for batch in [vec![&two], vec![&three, &two], vec![]] {
        let error = sampler.refine(&mut state, &batch, &[row]).unwrap_err();
        assert!(error.to_string().contains("expected [2, 3]"), "{error}");
    }
    for (sequence, position, sizes) in [(0, 2, "has 2 positions"), (2, 0, "has 2 sequences")] {
        let row = RowId { sequence, position };
        let error = sampler.refine(&mut state, &[&two, &three], &[row]).unwrap_err().to_string();
        assert!(error.contains("no such row") && error.ends_with(sizes), "{error}");
        let error = model.denoise(&[&two, &three], &[row]).err().unwrap().to_string();
        assert!(error.contains("no such row") && error.ends_with(sizes), "{error}");
    }
    let mut foreign = State::new(7);
    let error = model.hidden_of(&mut foreign).unwrap_err();
    assert!(matches!(error, conjoint_core::Error::ForeignState { .. }), "{error}");
}

#[test]
fn invalid_requests() {
    let (_folder, model) = opened("dream-tiny", None, OPERATORS[0]);
    assert!(matches!(model.hidden(&[1, 2, 3], 2, 2), Err(Error::Shape { .. })));
    assert!(matches!(model.hidden(&[], 0, 0), Err(Error::EmptyBatch)));
    assert!(matches!(model.hidden(&[1, 96], 1, 2), Err(Error::UnknownToken { token: 96, .. })));
    let narrow = ndarray::Array2::zeros((3, 31));
    assert!(matches!(model.logits(narrow.view()), Err(Error::Shape { .. })));
    let none = ndarray::Array2::zeros((0, 32));
    assert_eq!(model.logits(none.view()).unwrap().dim(), (0, 96));
    assert!(model.denoise(&[], &[]).is_err());
}

#[test]
fn an_unavailable_provider() {
    let folder = exported("dream-tiny", None, OPERATORS[0]);
    runtime::ensure().unwrap();
    for provider in [ExecutionProvider::Cuda, ExecutionProvider::TensorRt] {
        let error = OnnxDenoiser::open(folder.path(), provider).err().unwrap();
        let absent = matches!(error, Error::ProviderAbsent { provider: p, .. } if p == provider);
        let left_out =
            matches!(error, Error::ProviderNotCompiled { provider: p, .. } if p == provider);
        let compiled = match provider {
            ExecutionProvider::Cuda => cfg!(feature = "cuda"),
            _ => cfg!(feature = "tensorrt"),
        };
        assert!(if compiled { absent } else { left_out }, "{error}");
        assert!(error.to_string().contains(&provider.to_string()), "{error}");
    }
    let (cpu, cuda) = (ExecutionProvider::Cpu, ExecutionProvider::Cuda);
    assert_eq!(ExecutionProvider::first_available(&[cuda, cpu]).unwrap(), cpu);
    let error = ExecutionProvider::first_available(&[cuda]).unwrap_err();
    assert!(matches!(error, Error::NoProvider { .. }), "{error}");
    assert!(error.to_string().contains("CUDA"), "{error}");
}

#[test]
fn a_second_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let library = runtime::ensure().unwrap();
    runtime::init(&library).unwrap();
    runtime::init(&library).unwrap();
    assert_eq!(runtime::ensure().unwrap(), library);
    let copy = folder.path().join(library.file_name().unwrap());
    fs::write(&copy, "").unwrap();
    let error = runtime::init(&copy).unwrap_err();
    assert!(matches!(error, Error::RuntimeConflict { .. }), "{error}");
    let error = runtime::init(folder.path().join("absent")).unwrap_err();
    assert!(matches!(error, Error::RuntimeMissing { .. }), "{error}");
}

#[test]
fn threads_and_runtime_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(fixture("dream-tiny"));
    options.out = Some(folder.path().to_owned());
    export(&options).unwrap();
    let library = runtime::ensure().unwrap();
    let ids = [83, 73, 27, 94];
    let shared = open(folder.path()).unwrap().hidden(&ids, 1, 4).unwrap();
    for threads in [1, 2] {
        let options = OnnxOptions::new(ExecutionProvider::Cpu).threads(threads).runtime(&library);
        let own = OnnxDenoiser::open(folder.path(), options).unwrap();
        let own = own.hidden(&ids, 1, 4).unwrap();
        common::assert_near("own threads", &own, &shared);
    }
}
