//! Running a graph.

use std::borrow::Borrow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array, Array2, Dimension};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{DynValue, TensorRefMut};

use crate::error::Error;

/// The names of a graph's inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

impl Signature {
    pub fn new(inputs: &[&str], outputs: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        Self { inputs: owned(inputs), outputs: owned(outputs) }
    }

    /// Adds the pool of each layer to the inputs: `keys.0`, `values.0`, `keys.1`, …
    pub fn with_pools(mut self, layers: usize) -> Self {
        self.inputs.extend(of_layers(layers, ["keys", "values"]));
        self
    }

    /// Adds the keys and values of rows to the outputs: `keys_new.0`, `values_new.0`, `keys_new.1`, …
    pub fn with_new_keys(mut self, layers: usize) -> Self {
        self.outputs.extend(of_layers(layers, ["keys_new", "values_new"]));
        self
    }

    /// The signature as text, such as `(input_ids) → logits`.
    pub fn describe(&self) -> String {
        match &self.outputs[..] {
            [output] => format!("({}) → {output}", self.inputs.join(", ")),
            outputs => arrow(&self.inputs, outputs),
        }
    }
}

fn of_layers(layers: usize, names: [&str; 2]) -> impl Iterator<Item = String> {
    (0..layers).flat_map(move |layer| names.map(|name| format!("{name}.{layer}")))
}

/// Inputs and outputs as text.
pub(crate) fn arrow<S: Borrow<str>>(inputs: &[S], outputs: &[S]) -> String {
    format!("({}) → ({})", inputs.join(", "), outputs.join(", "))
}

/// A session and its signature.
///
/// Threads that share a graph wait for each other. `ort` runs a session only through `&mut`, because parts of
/// ONNX Runtime, such as allocators and statistics of some providers, are not safe to use from several threads.
/// Versions of `ort` that allowed it had crashes and corrupted memory. A session cannot be copied without its
/// weights either.
///
/// To run threads at the same time, open a model for each. To share one model, put the sequences of all callers
/// into one batch, such as a [`Run`](conjoint_core::Run), to which sequences can be added while it runs.
pub(crate) struct Graph {
    path: PathBuf,
    session: Mutex<Session>,
    signature: Signature,
    /// The memory in which outputs stay.
    memory: MemoryInfo<'static>,
    /// The host's memory.
    host: MemoryInfo<'static>,
}

impl Graph {
    /// A graph whose outputs stay on `device`. Error messages name it by `path`.
    pub fn new(
        path: PathBuf,
        session: Session,
        signature: Signature,
        device: AllocationDevice,
    ) -> Result<Self, Error> {
        let memory = |device| {
            MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)
                .map_err(|error| Error::graph(&path, error))
        };
        let (memory, host) = (memory(device)?, memory(AllocationDevice::CPU)?);
        Ok(Self { path, session: Mutex::new(session), signature, memory, host })
    }

    /// Runs on `inputs`, in the signature's order. The first output stays on the graph's device. The others are
    /// not returned.
    pub fn run(&self, inputs: &[&DynValue]) -> Result<DynValue, Error> {
        let outputs = self.run_bound(inputs, self.first_output(), |binding, names| {
            names.iter().try_for_each(|name| binding.bind_output_to_device(name, &self.memory))
        });
        self.first(outputs)
    }

    /// Runs on `inputs`. All outputs stay on the graph's device.
    pub fn run_all(&self, inputs: &[&DynValue]) -> Result<Vec<DynValue>, Error> {
        let outputs = self.run_bound(inputs, &self.signature.outputs, |binding, names| {
            names.iter().try_for_each(|name| binding.bind_output_to_device(name, &self.memory))
        });
        self.named(outputs)
    }

    /// Runs on `targets` followed by `inputs`, and replaces each target by the output of its number.
    ///
    /// With `in_place`, an output is written into its target's own memory, unless others hold the target. The
    /// graph's operators must allow this.
    pub fn update(
        &self,
        targets: &mut [Arc<DynValue>],
        inputs: &[&DynValue],
        in_place: bool,
    ) -> Result<(), Error> {
        let update = || -> ort::Result<()> {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let mut binding = session.create_binding()?;
            let names = self.signature.inputs.iter();
            let values = targets.iter().map(|target| &**target).chain(inputs.iter().copied());
            for (name, value) in names.zip(values) {
                binding.bind_input(name, value)?;
            }
            let mut replaced = Vec::new();
            for (name, target) in self.signature.outputs.iter().zip(targets) {
                match Arc::get_mut(target).filter(|_| in_place) {
                    Some(value) => binding.bind_output(name, value)?,
                    None => {
                        binding.bind_output_to_device(name, &self.memory)?;
                        replaced.push((name, target));
                    }
                }
            }
            binding.synchronize_inputs()?;
            let mut results = session.run_binding(&binding)?;
            for (name, target) in replaced {
                *target = Arc::new(results.remove(name).ok_or_else(no_output)?);
            }
            Ok(())
        };
        self.named(update())
    }

    /// Runs on `inputs` and writes the first output into `output`, without an intermediate copy.
    pub fn run_into<D: Dimension + 'static>(
        &self,
        inputs: &[&DynValue],
        output: &mut Array<f32, D>,
    ) -> Result<(), Error> {
        let written = TensorRefMut::from_array_view_mut(output).and_then(|output| {
            self.run_bound(inputs, self.first_output(), |binding, names| {
                names.first().map_or(Ok(()), |name| binding.bind_output(name, output))
            })
        });
        self.first(written).map(drop)
    }

    /// Runs on `inputs` and writes all outputs to the host's memory; the last one into `last`, if given,
    /// without an intermediate copy.
    pub fn run_to_host(
        &self,
        inputs: &[&DynValue],
        last: Option<&mut Array2<f32>>,
    ) -> Result<Vec<DynValue>, Error> {
        let outputs = self.run_bound(inputs, &self.signature.outputs, |binding, names| {
            let written = usize::from(last.is_some());
            for name in &names[..names.len() - written] {
                binding.bind_output_to_device(name, &self.host)?;
            }
            match (last, names.last()) {
                (Some(last), Some(name)) => {
                    binding.bind_output(name, TensorRefMut::from_array_view_mut(last)?)
                }
                _ => Ok(()),
            }
        });
        self.named(outputs)
    }

    /// Runs with a new binding. A reused binding would overwrite the outputs of the previous run.
    fn run_bound(
        &self,
        inputs: &[&DynValue],
        outputs: &[String],
        bind_outputs: impl FnOnce(&mut IoBinding, &[String]) -> ort::Result<()>,
    ) -> ort::Result<Vec<DynValue>> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut binding = session.create_binding()?;
        for (name, value) in self.signature.inputs.iter().zip(inputs) {
            binding.bind_input(name, value)?;
        }
        bind_outputs(&mut binding, outputs)?;
        binding.synchronize_inputs()?;
        let mut results = session.run_binding(&binding)?;
        outputs.iter().map(|name| results.remove(name).ok_or_else(no_output)).collect()
    }

    fn first_output(&self) -> &[String] {
        self.signature.outputs.get(..1).unwrap_or_default()
    }

    /// The first output.
    fn first(&self, outputs: ort::Result<Vec<DynValue>>) -> Result<DynValue, Error> {
        self.named(outputs.and_then(|outputs| outputs.into_iter().next().ok_or_else(no_output)))
    }

    /// The number of inputs.
    pub fn input_count(&self) -> usize {
        self.signature.inputs.len()
    }

    /// Attaches the graph's name to an error.
    pub fn named<T>(&self, result: ort::Result<T>) -> Result<T, Error> {
        result.map_err(|error| Error::graph(&self.path, error))
    }
}

fn no_output() -> ort::Error {
    ort::Error::new("the graph returned no output")
}
