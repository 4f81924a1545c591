//! Exports with weights in 8 or 4 bits.

mod common;

use std::fs;
use std::path::Path;

use common::{
    Tensors, assert_names, contents, copy, edit_json, edit_tensors, export_error, fixture,
};
use conjoint_export::{
    ExportError, ExportObserver, ExportOptions, FormatError, Manifest, Operators, Quantisation,
    Tables, export, export_observed,
};
use half::bf16;
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::json;

/// Number of weights that share a scale of 4-bit codes.
const BLOCK: usize = 128;

fn options(checkpoint: &Path, quantisation: Quantisation) -> ExportOptions {
    let mut options = ExportOptions::new(checkpoint);
    options.quantisation = Some(quantisation);
    options
}

/// All tensors of a file.
fn read(file: &Path) -> Tensors {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let owned = tensors.tensors().into_iter();
    owned.map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect()
}

fn floats((dtype, _, bytes): &(Dtype, Vec<usize>, Vec<u8>)) -> Vec<f32> {
    match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::BF16 => {
            bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The numbers that a quantised tensor represents, by the formats' definition.
fn decoded(file: &Tensors, name: &str, columns: usize) -> Vec<f32> {
    let scales = floats(&file[&format!("{name}.scales")]);
    if let Some((_, shape, codes)) = file.get(&format!("{name}.int8")) {
        assert_eq!(shape[1], columns);
        let value = |(i, code): (usize, &u8)| f32::from(*code as i8) * scales[i / columns];
        return codes.iter().enumerate().map(value).collect();
    }
    let (_, shape, bytes) = &file[&format!("{name}.int4")];
    let blocks = columns.div_ceil(BLOCK);
    assert_eq!(shape[1..], [blocks, BLOCK / 2]);
    let codes: Vec<u8> = bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect();
    let mut values = Vec::new();
    for row in 0..shape[0] {
        for column in 0..columns {
            let code = codes[row * blocks * BLOCK + column];
            values.push((f32::from(code) - 8.0) * scales[row * blocks + column / BLOCK]);
        }
    }
    values
}

/// Every matrix is within half a step of the checkpoint's, every other tensor is the same, and none is missing.
/// The fixture's matrices are 32 and 56 wide, less than a block. Its weights are in two shards of bfloat16.
#[test]
fn the_file_holds_the_checkpoints_weights() {
    for quantisation in Quantisation::ALL {
        let out = tempfile::tempdir().unwrap();
        let checkpoint = fixture("dream-tied-bf16-sharded");
        let mut options = options(&checkpoint, quantisation);
        options.out = Some(out.path().into());
        let manifest = export(&options).unwrap();
        assert_eq!(manifest.quantised, Some(quantisation));
        assert_eq!(Manifest::read(out.path()).unwrap(), manifest);

        let name = format!("model-{quantisation}.safetensors");
        let files: Vec<_> = manifest.provenance.weights.iter().map(|file| &file.name).collect();
        assert_eq!(files, [&name]);
        let own = read(&out.path().join(&name));
        let mut checked = 0;
        for entry in fs::read_dir(&checkpoint).unwrap() {
            let path = entry.unwrap().path();
            let shard = path.file_name().unwrap().to_string_lossy().into_owned();
            if !shard.starts_with("model-") {
                continue;
            }
            for (name, tensor) in read(&path) {
                checked += 1;
                let &[rows, columns] = &tensor.1[..] else {
                    assert_eq!(own[&name], tensor, "{name}");
                    continue;
                };
                let (weights, scales) = (floats(&tensor), floats(&own[&format!("{name}.scales")]));
                let decoded = decoded(&own, &name, columns);
                let four = own.contains_key(&format!("{name}.int4"));
                assert_eq!(decoded.len(), rows * columns, "{name}");
                for (i, (weight, decoded)) in weights.iter().zip(decoded).enumerate() {
                    let (row, blocks) = (i / columns, scales.len() / rows);
                    let step =
                        scales[row * blocks + if four { i % columns / BLOCK } else { 0 }].abs();
                    // The largest of a block is cut by two steps at most.
                    let cut = four && weight.abs() >= 7.5 * step;
                    let allowed = if cut { 2.001 } else { 0.501 } * step;
                    assert!((weight - decoded).abs() <= allowed, "{name} {i}: {weight} {decoded}");
                }
            }
        }
        let beside = [".scales", ".zeros"];
        let codes = own.keys().filter(|name| !beside.iter().any(|end| name.ends_with(end))).count();
        assert_eq!(codes, checked, "one of each tensor");
        assert!(own.contains_key("model.embed_tokens.weight.int8"), "tables have 8 bits");
    }
}

/// Another folder holds none of the checkpoint's weights. In place, they are unchanged.
#[test]
fn the_folder_holds_the_files_that_the_graphs_need() {
    let (folder, out) = (copy("dream-tied-bf16-sharded"), tempfile::tempdir().unwrap());
    let mut elsewhere = options(folder.path(), Quantisation::Int8);
    elsewhere.out = Some(out.path().into());
    export(&elsewhere).unwrap();
    let names: Vec<_> = contents(out.path()).into_keys().collect();
    let expected =
        ["backbone.onnx", "config.json", "conjoint.json", "head.onnx", "model-int8.safetensors"];
    assert_eq!(names, expected);

    let before = contents(folder.path());
    let manifest = export(&options(folder.path(), Quantisation::Int8)).unwrap();
    let after = contents(folder.path());
    assert!(before.iter().all(|(name, bytes)| after[name] == *bytes));
    assert_eq!(after["model-int8.safetensors"], contents(out.path())["model-int8.safetensors"]);
    assert!(manifest.problems(folder.path()).is_empty());
}

/// Each export removes the weights of the previous one, and no other file.
#[test]
fn weights_of_an_earlier_export_are_removed() {
    let folder = copy("dream-tiny");
    let users = "model-int7.safetensors";
    fs::write(folder.path().join(users), "a user's own").unwrap();
    let quantised = |folder: &Path| -> Vec<String> {
        contents(folder).into_keys().filter(|name| name.contains("-int")).collect()
    };
    let mut eight = options(folder.path(), Quantisation::Int8);
    eight.sampler = Some(fixture("adjust-dream-tiny"));
    export(&eight).unwrap();
    let both = ["model-int7.safetensors", "model-int8.safetensors", "sampler-int8.safetensors"];
    assert_eq!(quantised(folder.path()), both);
    export(&options(folder.path(), Quantisation::Int4)).unwrap();
    assert_eq!(quantised(folder.path()), ["model-int4.safetensors", users]);
    let plain = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!(quantised(folder.path()), [users]);
    assert_eq!(plain.quantised, None);
    assert!(
        !fs::read_to_string(folder.path().join("conjoint.json")).unwrap().contains("quantised")
    );
}

#[test]
fn tables_equal_those_of_the_graphs() {
    for name in ["dream-tiny", "dream-tied-bf16-sharded", "llada-tiny"] {
        let folder = copy(name);
        let plain = Tables::read(folder.path()).unwrap();
        let manifest = export(&options(folder.path(), Quantisation::Int4)).unwrap();
        let own = read(&folder.path().join("model-int4.safetensors"));
        let table = own.keys().find(|name| name.contains("embed") || name.contains("wte")).unwrap();
        let table = table.strip_suffix(".int8").unwrap();
        let quantised = Tables::read(folder.path()).unwrap();
        assert_eq!(quantised.sizes, plain.sizes);
        assert_eq!(quantised.embedding, decoded(&own, table, manifest.hidden_size), "{name}");
        let tied = |tables: &Tables| tables.head.matrix == tables.embedding;
        assert_eq!(tied(&quantised), tied(&plain), "{name}");
        let largest = |table: &[f32]| table.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
        let step = largest(&plain.head.matrix) / 127.0;
        for (own, plain) in quantised.head.matrix.iter().zip(&plain.head.matrix) {
            assert!((own - plain).abs() <= step, "{name}");
        }
    }
}

/// The matrices of the layers and the two tables are quantised. The network of the head is not.
#[test]
fn encoders_have_their_matrices_in_fewer_bits() {
    for name in ["bert-tiny", "bert-untied", "albert-tiny", "modernbert-biased"] {
        for quantisation in Quantisation::ALL {
            let folder = copy(name);
            let plain = Tables::read(folder.path()).unwrap();
            let manifest = export(&options(folder.path(), quantisation)).unwrap();
            assert_eq!(manifest.problems(folder.path()).len(), 0, "{name} {quantisation}");
            let own = read(&folder.path().join(format!("model-{quantisation}.safetensors")));
            let coded = own.keys().filter(|name| name.ends_with(&format!(".{quantisation}")));
            let layers =
                coded.filter(|name| !name.contains("embeddings") && !name.contains("decoder"));
            let distinct = match name {
                "albert-tiny" => 4 * 6,
                "modernbert-biased" => 3 * 4,
                _ => 2 * 6,
            };
            assert_eq!(layers.count(), distinct, "{name} {quantisation}");
            let quantised = Tables::read(folder.path()).unwrap();
            assert_eq!(quantised.head.transform, plain.head.transform, "{name}");
            assert_eq!(quantised.head.bias, plain.head.bias, "{name}");
            assert!(quantised.head.matrix != plain.head.matrix, "{name}");
            let square = |table: &[f32]| table.iter().map(|x| x * x).sum::<f32>();
            let pairs = quantised.embedding.iter().zip(&plain.embedding);
            let off: Vec<f32> = pairs.map(|(own, plain)| own - plain).collect();
            assert!(square(&off) < 1e-4 * square(&plain.embedding), "{name}");
        }
    }
}

/// The converted weights are removed after quantising.
#[test]
fn pickled_weights_are_quantised_too() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "pytorch_model.bin"] {
        fs::copy(common::fixture("bert-tiny").join(name), folder.path().join(name)).unwrap();
    }
    for _ in 0..2 {
        export(&options(folder.path(), Quantisation::Int8)).unwrap();
        let files = contents(folder.path()).into_keys();
        let weights: Vec<_> = files.filter(|name| name.ends_with(".safetensors")).collect();
        assert_eq!(weights, ["model-int8.safetensors"]);
        assert!(!folder.path().join("weights").exists());
    }
    let of_plain = copy("bert-tiny");
    export(&options(of_plain.path(), Quantisation::Int8)).unwrap();
    let read = |folder: &Path| fs::read(folder.join("model-int8.safetensors")).unwrap();
    assert!(read(folder.path()) == read(of_plain.path()));
}

#[test]
fn a_weight_that_is_not_finite_is_an_error() {
    let folder = copy("dream-tiny");
    let name = "model.layers.1.mlp.up_proj.weight";
    edit_tensors(&folder.path().join("model.safetensors"), |tensors| {
        let (_, _, bytes) = tensors.get_mut(name).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    for quantisation in Quantisation::ALL {
        assert_names(
            &export_error(&options(folder.path(), quantisation)),
            &[name, "NaN or infinity"],
        );
    }
}

#[test]
fn options_and_folders_that_exclude_quantised_weights_are_errors() {
    let folder = copy("dream-tiny");
    let mut portable = options(folder.path(), Quantisation::Int8);
    portable.operators = Operators::Portable;
    assert!(matches!(export_error(&portable), ExportError::QuantisedPortable));

    // A quantised export is not a checkpoint.
    let out = tempfile::tempdir().unwrap();
    let mut elsewhere = options(folder.path(), Quantisation::Int8);
    elsewhere.out = Some(out.path().into());
    export(&elsewhere).unwrap();
    for again in [ExportOptions::new(out.path()), options(out.path(), Quantisation::Int4)] {
        assert_names(&export_error(&again), &["int8", "quantised export", "made from"]);
    }

    // A shard of the checkpoint has the name of the file that would be written.
    let folder = copy("dream-tied-bf16-sharded");
    let index = folder.path().join("model.safetensors.index.json");
    let shard = "model-00002-of-00002.safetensors";
    fs::rename(folder.path().join(shard), folder.path().join("model-int8.safetensors")).unwrap();
    edit_json(&index, |index| {
        for file in index["weight_map"].as_object_mut().unwrap().values_mut() {
            if *file == json!(shard) {
                *file = json!("model-int8.safetensors");
            }
        }
    });
    let error = export_error(&options(folder.path(), Quantisation::Int8));
    assert!(matches!(error, ExportError::Conflict { .. }), "{error}");
    export(&options(folder.path(), Quantisation::Int4)).unwrap();
}

#[test]
fn a_changed_file_or_manifest_is_a_problem() {
    let folder = copy("dream-tiny");
    let manifest = export(&options(folder.path(), Quantisation::Int8)).unwrap();
    assert!(manifest.problems(folder.path()).is_empty());
    for other in [None, Some(Quantisation::Int4)] {
        let mut edited = manifest.clone();
        edited.quantised = other;
        let problems = edited.problems(folder.path());
        assert!(problems.iter().any(|p| p.to_string().contains("quantised")), "{problems:?}");
    }
    edit_tensors(&folder.path().join("model-int8.safetensors"), |tensors| {
        tensors.get_mut("lm_head.weight.int8").unwrap().2[5] ^= 1;
    });
    let problems = manifest.problems(folder.path());
    assert!(matches!(problems[..], [FormatError::WeightsChanged { .. }]), "{problems:?}");
}

/// Counts the bytes announced and read.
#[derive(Default)]
struct Counter {
    announced: u64,
    read: u64,
    largest: u64,
}

impl ExportObserver for Counter {
    fn on_quantise(&mut self, bytes: u64) {
        self.announced += bytes;
    }

    fn on_read(&mut self, bytes: u64) {
        self.read += bytes;
        self.largest = self.largest.max(bytes);
    }
}

/// A table of 12 MB is read in three pieces.
#[test]
fn large_tensors_are_read_in_pieces() {
    let folder = copy("dream-tied-bf16-sharded");
    let rows: usize = 200_000;
    edit_json(&folder.path().join("config.json"), |config| config["vocab_size"] = json!(rows));
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            edit_tensors(&path, |tensors| {
                if let Some((_, shape, bytes)) = tensors.get_mut("model.embed_tokens.weight") {
                    shape[0] = rows;
                    let own = bytes.clone();
                    *bytes = own.iter().copied().cycle().take(rows * 32 * 2).collect();
                }
            });
        }
    }
    let mut counter = Counter::default();
    export_observed(&options(folder.path(), Quantisation::Int8), &mut counter).unwrap();
    assert!(counter.largest <= 4 << 20, "{}", counter.largest);
    assert_eq!(counter.read, counter.announced);
    assert!(counter.read > rows as u64 * 64);
    let own = read(&folder.path().join("model-int8.safetensors"));
    let (_, shape, codes) = &own["model.embed_tokens.weight.int8"];
    assert_eq!(shape[..], [rows, 32]);
    // The table repeats the same 96 rows.
    assert!(codes.chunks(96 * 32).all(|piece| codes.starts_with(piece)));
}
