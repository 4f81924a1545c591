//! Exported fixtures, and the results of the reference implementation.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};

use conjoint_core::{Canvas, RowId, TokenId};
use conjoint_export::{ExportOptions, Operators, SamplerForm, export};
use conjoint_onnx::{ExecutionProvider, OnnxDenoiser, runtime};
use ndarray::{Array, Dimension, IxDyn};
use safetensors::SafeTensors;
use tempfile::TempDir;

pub const OPERATORS: [Operators; 2] = [Operators::Fused, Operators::Portable];

/// Fixtures of the BERT family.
pub const ENCODERS: [&str; 5] =
    ["bert-tiny", "bert-untied", "albert-tiny", "modernbert-tiny", "modernbert-biased"];

/// The tolerance of comparisons with the references, in float32.
pub const TOLERANCE: f32 = 1e-4;

pub fn fixture(name: &str) -> PathBuf {
    conjoint_models::fixture(name)
}

/// Exports a fixture's checkpoint to a temporary folder.
pub fn exported(name: &str, sampler: Option<&str>, operators: Operators) -> TempDir {
    exported_as(name, sampler, operators, None)
}

/// As [`exported`], with sampler passes of this form.
pub fn exported_as(
    name: &str,
    sampler: Option<&str>,
    operators: Operators,
    passes: Option<SamplerForm>,
) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(fixture(name));
    options.sampler = sampler.map(fixture);
    options.out = Some(folder.path().to_owned());
    (options.operators, options.passes) = (operators, passes);
    export(&options).unwrap();
    folder
}

/// Exports a fixture and opens it. The folder must outlive the model.
pub fn opened(name: &str, sampler: Option<&str>, operators: Operators) -> (TempDir, OnnxDenoiser) {
    let folder = exported(name, sampler, operators);
    let model = open(folder.path()).unwrap();
    (folder, model)
}

pub fn open(folder: &Path) -> Result<OnnxDenoiser, conjoint_onnx::Error> {
    runtime::ensure().unwrap();
    OnnxDenoiser::open(folder, ExecutionProvider::Cpu)
}

/// Canvases of 4 to 9 positions around one of 120, with given tokens, all with at least two masked positions.
pub fn uneven(mask: u32) -> Vec<Canvas> {
    let lengths = [6, 5, 9, 120, 4, 7, 6, 8, 5];
    let canvas = |(start, length): (usize, usize)| {
        let token = |position: usize| (7 * start as u32 + 13 * position as u32) % 80;
        let is_masked = |position: usize| position.is_multiple_of(3);
        let tokens = (0..length).map(|i| if is_masked(i) { mask } else { token(i) });
        Canvas::infill(tokens.collect(), mask).unwrap()
    };
    lengths.into_iter().enumerate().map(canvas).collect()
}

/// A fixture's `reference.safetensors`.
pub struct Reference(Vec<u8>);

impl Reference {
    pub fn of(name: &str) -> Self {
        Self::read(&fixture(name).join("reference.safetensors"))
    }

    pub fn read(file: &Path) -> Self {
        Self(fs::read(file).unwrap())
    }

    pub fn floats<D: Dimension>(&self, name: &str) -> Array<f32, D> {
        let (shape, floats) = self.numbers(name, f32::from_le_bytes);
        Array::from_shape_vec(IxDyn(&shape), floats).unwrap().into_dimensionality().unwrap()
    }

    /// Token ids, one row for each sequence.
    pub fn ids(&self, name: &str) -> Vec<Vec<i64>> {
        let (shape, ids) = self.numbers(name, i64::from_le_bytes);
        ids.chunks(shape[1]).map(<[i64]>::to_vec).collect()
    }

    fn numbers<T, const N: usize>(&self, name: &str, of: fn([u8; N]) -> T) -> (Vec<usize>, Vec<T>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let number = |bytes: &[u8]| of(bytes.try_into().unwrap());
        (tensor.shape().to_vec(), tensor.data().chunks(N).map(number).collect())
    }
}

pub fn canvas(ids: &[i64], mask: TokenId) -> Canvas {
    Canvas::infill(ids.iter().map(|&id| id as TokenId).collect(), mask).unwrap()
}

/// Every position of every sequence.
pub fn all_rows(batch: &[&Canvas]) -> Vec<RowId> {
    let rows = |(sequence, canvas): (usize, &&Canvas)| {
        (0..canvas.len()).map(move |position| RowId { sequence, position }).collect::<Vec<_>>()
    };
    batch.iter().enumerate().flat_map(rows).collect()
}

/// Largest difference between two lists of equal length; infinite for NaN.
pub fn max_difference<'a>(
    a: impl IntoIterator<Item = &'a f32>,
    b: impl IntoIterator<Item = &'a f32>,
) -> f32 {
    let (a, b): (Vec<_>, Vec<_>) = (a.into_iter().collect(), b.into_iter().collect());
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(&b).map(|(a, b)| (*a - *b).abs());
    differences.fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) })
}

/// Asserts agreement within [`TOLERANCE`], and prints the largest difference.
pub fn assert_near<'a>(
    what: &str,
    a: impl IntoIterator<Item = &'a f32>,
    b: impl IntoIterator<Item = &'a f32>,
) {
    let difference = max_difference(a, b);
    println!("{what}: {difference:.2e}");
    assert!(difference <= TOLERANCE, "{what}: they differ by {difference}");
}
