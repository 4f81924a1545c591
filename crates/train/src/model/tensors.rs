//! Weights by name: exported from a module, imported into one, and stored in safetensors files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, View};

use crate::error::TrainError;
use crate::files;

/// The number format of written weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// 32 bits per weight.
    #[default]
    F32,
    /// 16 bits per weight, IEEE half precision.
    F16,
}

/// A tensor in memory, in the layout of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Stored {
    pub fn new<const D: usize>(tensor: &Tensor<D>) -> Self {
        let data = tensor.to_data();
        Self { shape: tensor.dims().to_vec(), values: data.iter::<f32>().collect() }
    }
}

/// Whether a parameter is stored as [out, in], which burn holds as [in, out].
fn is_transposed(path: &str, rank: usize) -> bool {
    rank == 2 && (path.contains("_proj.") || path.contains("down_project."))
}

/// burn calls a norm's gain `gamma`, and checkpoints call it `weight`.
pub(crate) fn checkpoint_name(path: &str) -> String {
    match path.strip_suffix(".gamma") {
        Some(norm) => format!("{norm}.weight"),
        None => path.to_owned(),
    }
}

/// Exports every parameter of `module`, by its name in a checkpoint.
pub(crate) fn export(
    module: &impl Module,
    name: impl Fn(&str) -> String,
) -> BTreeMap<String, Stored> {
    struct Exporter<F> {
        path: Vec<String>,
        name: F,
        tensors: BTreeMap<String, Stored>,
    }
    impl<F: Fn(&str) -> String> ModuleVisitor for Exporter<F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            let value =
                if is_transposed(&path, D) { param.val().swap_dims(0, 1) } else { param.val() };
            self.tensors.insert((self.name)(&path), Stored::new(&value));
        }
    }
    let mut exporter = Exporter { path: Vec::new(), name, tensors: BTreeMap::new() };
    module.visit(&mut exporter);
    exporter.tensors
}

/// Sets every parameter of `module` from `tensors`. Errors name `file`, their origin.
pub(crate) fn import<M: Module>(
    module: M,
    tensors: &HashMap<String, Stored>,
    name: impl Fn(&str) -> String,
    file: &Path,
) -> Result<M, TrainError> {
    struct Importer<'a, F> {
        path: Vec<String>,
        name: F,
        tensors: &'a HashMap<String, Stored>,
        file: &'a Path,
        error: Option<TrainError>,
    }
    impl<F: Fn(&str) -> String> Importer<'_, F> {
        fn find(&self, path: &str, mut expected: Vec<usize>) -> Result<TensorData, TrainError> {
            if is_transposed(path, expected.len()) {
                expected.reverse();
            }
            let name = (self.name)(path);
            let Some(stored) = self.tensors.get(&name) else {
                return Err(TrainError::MissingTensor { path: self.file.into(), name });
            };
            if stored.shape != expected {
                let got = stored.shape.clone();
                return Err(TrainError::TensorShape {
                    path: self.file.into(),
                    name,
                    got,
                    expected,
                });
            }
            Ok(TensorData::new(stored.values.clone(), expected))
        }
    }
    impl<F: Fn(&str) -> String> ModuleMapper for Importer<'_, F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let path = self.path.join(".");
            let (id, old, mapper) = param.consume();
            let new = match self.find(&path, old.dims().to_vec()) {
                Ok(data) => {
                    let new = Tensor::<D>::from_data(data, &old.device());
                    let new = if is_transposed(&path, D) { new.swap_dims(0, 1) } else { new };
                    new.set_require_grad(old.is_require_grad())
                }
                Err(error) => {
                    self.error.get_or_insert(error);
                    old
                }
            };
            Param::from_mapped_value(id, new, mapper)
        }
    }
    let mut importer = Importer { path: Vec::new(), name, tensors, file, error: None };
    let module = module.map(&mut importer);
    importer.error.map_or(Ok(module), Err)
}

/// The default metadata of a safetensors file: its format is PyTorch's.
pub(crate) const FOR_PYTORCH: (&str, &str) = ("format", "pt");

/// Writes tensors as one safetensors file with one entry of metadata. Several entries would be written in the random
/// order of a hash map, and equal weights must give equal bytes.
pub(crate) fn write_tensors(
    tensors: BTreeMap<String, Stored>,
    path: &Path,
    precision: Precision,
    (key, value): (&str, &str),
) -> Result<(), TrainError> {
    let views = tensors.into_iter().map(|(name, tensor)| (name, Encoded::new(tensor, precision)));
    let metadata = HashMap::from([(key.to_owned(), value.to_owned())]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|e| TrainError::malformed(path, e))?;
    files::write(path, &bytes)
}

/// Reads a safetensors file of f32, f16 or bf16 tensors.
pub(crate) fn read_tensors(path: &Path) -> Result<HashMap<String, Stored>, TrainError> {
    let bytes = std::fs::read(path).map_err(TrainError::io("read", path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| TrainError::malformed(path, e))?;
    let mut tensors = HashMap::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let pairs = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
        let values = match view.dtype() {
            Dtype::F32 => {
                data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Dtype::F16 => pairs().map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => pairs().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
            _ => continue,
        };
        tensors.insert(name, Stored { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

/// A tensor's bytes in the requested precision.
struct Encoded {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    dtype: Dtype,
}

impl Encoded {
    fn new(tensor: Stored, precision: Precision) -> Self {
        let values = tensor.values.iter();
        let (dtype, bytes) = match precision {
            Precision::F32 => (Dtype::F32, values.flat_map(|v| v.to_le_bytes()).collect()),
            Precision::F16 => {
                (Dtype::F16, values.flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect())
            }
        };
        Self { shape: tensor.shape, bytes, dtype }
    }
}

impl View for Encoded {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
