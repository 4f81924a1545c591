//! Running a graph.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ndarray::{Array, Array2, Dimension};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{DynValue, TensorRefMut};

use crate::error::Error;

/// The names of a graph's inputs and outputs.
pub(crate) struct Signature {
    pub inputs: &'static [&'static str],
    pub outputs: &'static [&'static str],
}

impl Signature {
    /// The signature as text, such as `(input_ids) → logits`.
    pub fn describe(&self) -> String {
        match self.outputs {
            [output] => format!("({}) → {output}", self.inputs.join(", ")),
            outputs => arrow(self.inputs, outputs),
        }
    }
}

/// Inputs and outputs as text.
pub(crate) fn arrow(inputs: &[&str], outputs: &[&str]) -> String {
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
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
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
        of: &Signature,
        device: AllocationDevice,
    ) -> Result<Self, Error> {
        let memory = |device| {
            MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)
                .map_err(|error| Error::graph(&path, error))
        };
        let (memory, host) = (memory(device)?, memory(AllocationDevice::CPU)?);
        Ok(Self {
            path,
            session: Mutex::new(session),
            inputs: of.inputs,
            outputs: of.outputs,
            memory,
            host,
        })
    }

    /// Runs on `inputs`, in the signature's order. The first output stays on the graph's device.
    pub fn run(&self, inputs: &[&DynValue]) -> Result<DynValue, Error> {
        let first = &self.outputs[..1];
        let outputs = self.run_bound(inputs, first, |binding| {
            binding.bind_output_to_device(first[0], &self.memory)
        });
        self.first(outputs)
    }

    /// Runs on `inputs`. All outputs stay on the graph's device.
    pub fn run_all(&self, inputs: &[&DynValue]) -> Result<Vec<DynValue>, Error> {
        let outputs = self.run_bound(inputs, self.outputs, |binding| {
            let mut outputs = self.outputs.iter();
            outputs.try_for_each(|output| binding.bind_output_to_device(*output, &self.memory))
        });
        self.named(outputs)
    }

    /// Runs on `inputs` and writes the first output into `output`, without an intermediate copy.
    pub fn run_into<D: Dimension + 'static>(
        &self,
        inputs: &[&DynValue],
        output: &mut Array<f32, D>,
    ) -> Result<(), Error> {
        let first = &self.outputs[..1];
        let written = TensorRefMut::from_array_view_mut(output).and_then(|output| {
            self.run_bound(inputs, first, |binding| binding.bind_output(first[0], output))
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
        let outputs = self.run_bound(inputs, self.outputs, |binding| {
            let written = usize::from(last.is_some());
            for output in &self.outputs[..self.outputs.len() - written] {
                binding.bind_output_to_device(*output, &self.host)?;
            }
            match (last, self.outputs.last()) {
                (Some(last), Some(name)) => {
                    binding.bind_output(*name, TensorRefMut::from_array_view_mut(last)?)
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
        outputs: &[&str],
        bind_outputs: impl FnOnce(&mut IoBinding) -> ort::Result<()>,
    ) -> ort::Result<Vec<DynValue>> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut binding = session.create_binding()?;
        for (name, value) in self.inputs.iter().zip(inputs) {
            binding.bind_input(*name, value)?;
        }
        bind_outputs(&mut binding)?;
        binding.synchronize_inputs()?;
        let mut results = session.run_binding(&binding)?;
        let missing = || ort::Error::new("the graph returned no output");
        outputs.iter().map(|name| results.remove(*name).ok_or_else(missing)).collect()
    }

    /// The first output.
    fn first(&self, outputs: ort::Result<Vec<DynValue>>) -> Result<DynValue, Error> {
        let missing = || ort::Error::new("the graph returned no output");
        self.named(outputs.and_then(|outputs| outputs.into_iter().next().ok_or_else(missing)))
    }

    /// The number of inputs.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Attaches the graph's name to an error.
    pub fn named<T>(&self, result: ort::Result<T>) -> Result<T, Error> {
        result.map_err(|error| Error::graph(&self.path, error))
    }
}
