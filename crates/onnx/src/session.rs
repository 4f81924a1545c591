//! One graph, ready to run.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array, Dimension};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{DynValue, TensorRefMut};

use crate::runtime::{self, Runtime};
use crate::{Error, OnnxOptions};

/// The names by which a graph takes and gives.
pub(crate) struct Signature {
    pub inputs: &'static [&'static str],
    pub output: &'static str,
}

impl Signature {
    /// Such as `(input_ids) → logits`.
    pub fn shown(&self) -> String {
        format!("({}) → {}", self.inputs.join(", "), self.output)
    }
}

/// Opens graphs, all with the same options.
pub(crate) struct Opener {
    runtime: &'static Runtime,
    options: OnnxOptions,
}

impl Opener {
    /// Loads ONNX Runtime if that has not happened yet.
    pub fn new(options: OnnxOptions) -> Result<Self, Error> {
        Ok(Self { runtime: runtime::load(options.runtime.as_deref())?, options })
    }

    /// Opens a graph whose weights lie beside it.
    ///
    /// # Errors
    /// [`Error::MissingGraph`], [`Error::Graph`], [`Error::GraphSignature`], and those of
    /// [`ExecutionProvider::register`](crate::ExecutionProvider::register).
    pub fn open(&self, path: PathBuf, signature: &Signature) -> Result<Graph, Error> {
        let session = self.session(&path)?;
        check(&path, &session, signature)?;
        self.graph(path, session, signature)
    }

    /// Opens a graph of someone else's making, with the first of these signatures that it has; it may
    /// give more than is asked for.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_any(&self, path: PathBuf, signatures: &[Signature]) -> Result<Graph, Error> {
        let session = self.session(&path)?;
        let (inputs, outputs) = names(&session);
        let fits = |of: &&Signature| inputs == of.inputs && outputs.contains(&of.output);
        let Some(signature) = signatures.iter().find(fits) else {
            let expected: Vec<String> = signatures.iter().map(Signature::shown).collect();
            let got = arrow(&inputs, &outputs);
            return Err(Error::GraphSignature { path, expected: expected.join(" or "), got });
        };
        self.graph(path, session, signature)
    }

    fn session(&self, path: &Path) -> Result<Session, Error> {
        if !path.is_file() {
            return Err(Error::MissingGraph { path: path.to_owned() });
        }
        let session = self.builder()?.commit_from_file(path);
        session.map_err(|source| Error::Graph { path: path.to_owned(), source })
    }

    /// A graph from a session of [`builder`](Self::builder); `path` names it in messages.
    pub fn graph(&self, path: PathBuf, session: Session, of: &Signature) -> Result<Graph, Error> {
        let device = self.options.provider.is_device();
        let device = if device { AllocationDevice::CUDA } else { AllocationDevice::CPU };
        let memory = MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)
            .map_err(|source| Error::Graph { path: path.clone(), source })?;
        Ok(Graph {
            path,
            session: Mutex::new(session),
            inputs: of.inputs,
            output: of.output,
            memory,
        })
    }

    /// Session options: the provider and threads asked for, and nothing that ONNX Runtime would
    /// choose by itself. Patterns of memory use are not recorded, as no two runs have one shape.
    pub fn builder(&self) -> Result<SessionBuilder, Error> {
        let builder = Session::builder(&self.runtime.environment).and_then(|builder| {
            let builder = builder
                .with_auto_device(AutoDevicePolicy::PreferCPU)?
                .with_memory_pattern(false)?;
            Ok(match self.options.threads {
                0 => builder,
                // Idle pools must not spin: the graphs of a model take turns.
                threads => builder
                    .with_independent_thread_pool()?
                    .with_intra_threads(threads)?
                    .with_config_entry("session.force_spinning_stop", "1")?,
            })
        });
        self.options.provider.register(builder, self.runtime)
    }
}

fn check(path: &Path, session: &Session, of: &Signature) -> Result<(), Error> {
    let (inputs, outputs) = names(session);
    if inputs == of.inputs && outputs == [of.output] {
        return Ok(());
    }
    Err(Error::GraphSignature {
        path: path.to_owned(),
        expected: arrow(of.inputs, &[of.output]),
        got: arrow(&inputs, &outputs),
    })
}

/// The names of a session's inputs and outputs.
fn names(session: &Session) -> (Vec<&str>, Vec<&str>) {
    let inputs = session.inputs().iter().map(|input| input.name()).collect();
    (inputs, session.outputs().iter().map(|output| output.name()).collect())
}

fn arrow(inputs: &[&str], outputs: &[&str]) -> String {
    format!("({}) → ({})", inputs.join(", "), outputs.join(", "))
}

/// A session with one output.
pub(crate) struct Graph {
    path: PathBuf,
    session: Mutex<Session>,
    inputs: &'static [&'static str],
    output: &'static str,
    memory: MemoryInfo<'static>,
}

impl Graph {
    /// Runs on `inputs`, in the signature's order. The output stays on the graph's device.
    pub fn run(&self, inputs: &[&DynValue]) -> Result<DynValue, Error> {
        let output = self
            .run_bound(inputs, |binding| binding.bind_output_to_device(self.output, &self.memory));
        self.named(output)
    }

    /// Runs on `inputs` and has the output written into `output`, without a copy on the way.
    pub fn run_into<D: Dimension + 'static>(
        &self,
        inputs: &[&DynValue],
        output: &mut Array<f32, D>,
    ) -> Result<(), Error> {
        let written = TensorRefMut::from_array_view_mut(output).and_then(|output| {
            self.run_bound(inputs, |binding| binding.bind_output(self.output, output))
        });
        self.named(written).map(drop)
    }

    /// A new binding for each run: a binding that ran before would have its outputs written again.
    fn run_bound(
        &self,
        inputs: &[&DynValue],
        bind_output: impl FnOnce(&mut IoBinding) -> ort::Result<()>,
    ) -> ort::Result<DynValue> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut binding = session.create_binding()?;
        for (name, value) in self.inputs.iter().zip(inputs) {
            binding.bind_input(*name, value)?;
        }
        bind_output(&mut binding)?;
        binding.synchronize_inputs()?;
        let mut outputs = session.run_binding(&binding)?;
        outputs.remove(self.output).ok_or_else(|| ort::Error::new("the graph gave no output"))
    }

    /// How many inputs it takes.
    pub fn arity(&self) -> usize {
        self.inputs.len()
    }

    /// Attaches the graph's name to an error.
    pub fn named<T>(&self, result: ort::Result<T>) -> Result<T, Error> {
        result.map_err(|source| Error::Graph { path: self.path.clone(), source })
    }
}
