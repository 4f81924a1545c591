//! Conversion of pickled weights to a `.safetensors` file that graphs can point into.
//!
//! A pickle is a program for Python. [`pytorch_reader`] parses it and recognises the calls with which
//! `torch.save` writes tensors. It runs nothing. Unknown objects are ignored, or are errors.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use pytorch_reader::{DType, PytorchReader, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use conjoint_format::FormatError;

use crate::error::ExportError;

/// The largest ratio of the tensors' bytes to the file's bytes.
///
/// Tensors that share storage are written separately. A larger ratio means that tensors were declared far
/// larger than the data in the file.
const MAX_RATIO: u64 = 4;
/// Bytes of tensors that every file may have, because the ratio varies in small files.
const MIN_LIMIT: u64 = 1 << 20;

/// Writes the tensors of a pickled checkpoint as a `.safetensors` file, one at a time, in the order of the
/// `safetensors` library.
pub(crate) fn convert(bin: &Path, out: &mut impl Write, name: &Path) -> Result<(), ExportError> {
    let invalid = |reason: String| ExportError::Pickle { path: bin.into(), reason };
    let reader = PytorchReader::new(bin).map_err(|error| invalid(error.to_string()))?;
    let mut tensors: Vec<&Tensor> = reader.tensors().values().collect();
    tensors.sort_by(|a, b| dtype(b).cmp(&dtype(a)).then_with(|| a.name.cmp(&b.name)));
    let file_bytes = fs::metadata(bin).map_err(FormatError::io("read", bin))?.len();
    let limit = file_bytes.saturating_mul(MAX_RATIO).saturating_add(MIN_LIMIT);

    let mut end = 0usize;
    let mut entries = Vec::with_capacity(tensors.len());
    for tensor in &tensors {
        let start = end;
        end = start.saturating_add(tensor.byte_len());
        if end as u64 > limit {
            return Err(invalid(format!(
                "its tensors take over {limit} bytes, but the file has {file_bytes}"
            )));
        }
        let shape = tensor.shape().to_vec();
        let info = TensorInfo { dtype: dtype(tensor), shape, data_offsets: (start, end) };
        entries.push((tensor.name.clone(), info));
    }
    let pytorch = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let header =
        Metadata::new(Some(pytorch), entries).map_err(|error| invalid(error.to_string()))?;
    let mut header = serde_json::to_vec(&header).map_err(FormatError::json(bin))?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');

    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(ExportError::io("write", name));
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for tensor in tensors {
        let bytes = tensor.read().map_err(|error| invalid(error.to_string()))?;
        if bytes.len() != tensor.byte_len() {
            let (name, got) = (&tensor.name, bytes.len());
            return Err(invalid(format!("tensor {name} has {got} bytes, too few for its shape")));
        }
        write(&bytes)?;
    }
    Ok(())
}

fn dtype(tensor: &Tensor) -> Dtype {
    match tensor.dtype() {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_format::names::PICKLED;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::path::PathBuf;
    use std::sync::LazyLock;

    fn fixture(name: &str) -> Vec<u8> {
        let fixtures = conjoint_models::fixture("bert-tiny");
        fs::read(fixtures.join(name)).unwrap()
    }

    static FILES: LazyLock<[Vec<u8>; 2]> =
        LazyLock::new(|| ["pytorch_model.bin", "legacy.bin"].map(fixture));

    fn converted(bytes: &[u8]) -> Result<Vec<u8>, ExportError> {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join(PICKLED);
        fs::write(&bin, bytes).unwrap();
        let mut out = Vec::new();
        convert(&bin, &mut out, &PathBuf::from("out"))?;
        Ok(out)
    }

    #[test]
    fn both_pickle_formats_convert_to_the_file_of_the_library() {
        let expected = fixture("model.safetensors");
        for bytes in &*FILES {
            assert!(converted(bytes).unwrap() == expected);
        }
    }

    #[test]
    fn tensors_declared_larger_than_the_file_are_an_error() {
        let message = converted(&fixture("expanded.bin")).unwrap_err().to_string();
        assert!(message.contains("take over 1054912 bytes, but the file has 1584"), "{message}");
    }

    fn fixed_seed() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(7), cases: 500, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(fixed_seed())]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = converted(&bytes);
        }

        /// Most changes are in the pickle, at the start, and in the archive's directory, at the end.
        #[test]
        fn changed_bytes_never_panic(
            which in 0..2usize,
            near in prop::bool::ANY,
            changes in proptest::collection::vec((0..8000usize, any::<u8>()), 1..4),
        ) {
            let mut bytes = FILES[which].clone();
            for (at, to) in changes {
                let at = if near { at } else { bytes.len() - 1 - at };
                bytes[at] = to;
            }
            if let Ok(out) = converted(&bytes) {
                let (header, _) = safetensors::SafeTensors::read_metadata(&out).unwrap();
                prop_assert!(header <= out.len());
            }
        }
    }
}
