//! Weights that PyTorch pickled, as a `.safetensors` file that graphs can point into.
//!
//! A pickle is a program for Python. [`pytorch_reader`] parses it and knows the calls by which `torch.save` writes tensors. It
//! runs nothing: objects that it does not know are left out, or are errors.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use pytorch_reader::{DType, PytorchReader, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::ExportError;

/// Name of a checkpoint's pickled weights.
pub(crate) const PICKLED: &str = "pytorch_model.bin";

/// Tensors that share their numbers are written once each. More bytes than so many times the file's mean that tensors were
/// declared to be far larger than what the file holds.
const MOST_TIMES: u64 = 4;
/// Small files have shares of any size.
const ALWAYS: u64 = 1 << 20;

/// Writes the tensors of a pickled checkpoint as a `.safetensors` file, one at a time, in the order in which the library of
/// that format writes them.
pub(crate) fn convert(bin: &Path, out: &mut impl Write, name: &Path) -> Result<(), ExportError> {
    let broken = |reason: String| ExportError::Pickle { path: bin.into(), reason };
    let reader = PytorchReader::new(bin).map_err(|error| broken(error.to_string()))?;
    let mut tensors: Vec<&Tensor> = reader.tensors().values().collect();
    tensors.sort_by(|a, b| dtype(b).cmp(&dtype(a)).then_with(|| a.name.cmp(&b.name)));
    let held = fs::metadata(bin).map_err(ExportError::io("read", bin))?.len();
    let most = held.saturating_mul(MOST_TIMES).saturating_add(ALWAYS);

    let mut end = 0usize;
    let mut entries = Vec::with_capacity(tensors.len());
    for tensor in &tensors {
        let start = end;
        end = start.saturating_add(tensor.byte_len());
        if end as u64 > most {
            return Err(broken(format!("its tensors take over {most} bytes, it has {held}")));
        }
        let shape = tensor.shape().to_vec();
        let info = TensorInfo { dtype: dtype(tensor), shape, data_offsets: (start, end) };
        entries.push((tensor.name.clone(), info));
    }
    let pytorch = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let header =
        Metadata::new(Some(pytorch), entries).map_err(|error| broken(error.to_string()))?;
    let mut header = serde_json::to_vec(&header).map_err(ExportError::json(bin))?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');

    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(ExportError::io("write", name));
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for tensor in tensors {
        let bytes = tensor.read().map_err(|error| broken(error.to_string()))?;
        if bytes.len() != tensor.byte_len() {
            let (name, got) = (&tensor.name, bytes.len());
            return Err(broken(format!("tensor {name} has {got} bytes, too few for its shape")));
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
    fn both_formats_give_the_file_that_the_library_writes() {
        let expected = fixture("model.safetensors");
        for bytes in &*FILES {
            assert!(converted(bytes).unwrap() == expected);
        }
    }

    #[test]
    fn tensors_that_are_large_in_name_only_are_an_error() {
        let message = converted(&fixture("expanded.bin")).unwrap_err().to_string();
        assert!(message.contains("take over 1054912 bytes, it has 1584"), "{message}");
    }

    fn fixed_seed() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(7), cases: 500, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(fixed_seed())]

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = converted(&bytes);
        }

        /// Most of them in the pickle and in the directory of the archive, which are the first and the last.
        #[test]
        fn no_changed_bytes_make_it_panic(
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
