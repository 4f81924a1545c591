//! One graph, ready to run.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use conjoint_export::{Footprint, Manifest};
use ndarray::{Array, Array2, Dimension};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{DynValue, TensorRefMut};

use crate::runtime::{self, Runtime};
use crate::{Error, HeadChoice, OnnxOptions, memory};

/// The names by which a graph takes and gives.
pub(crate) struct Signature {
    pub inputs: &'static [&'static str],
    pub outputs: &'static [&'static str],
}

impl Signature {
    /// Such as `(input_ids) → logits`.
    pub fn shown(&self) -> String {
        match self.outputs {
            [output] => format!("({}) → {output}", self.inputs.join(", ")),
            outputs => arrow(self.inputs, outputs),
        }
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
        let gives = |of: &Signature| of.outputs.iter().all(|output| outputs.contains(output));
        let fits = |of: &&Signature| inputs == of.inputs && gives(of);
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
        let device = if self.is_device() { AllocationDevice::CUDA } else { AllocationDevice::CPU };
        let memory = |device| {
            MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)
                .map_err(|source| Error::Graph { path: path.clone(), source })
        };
        let (memory, host) = (memory(device)?, memory(AllocationDevice::CPU)?);
        Ok(Graph {
            path,
            session: Mutex::new(session),
            inputs: of.inputs,
            outputs: of.outputs,
            memory,
            host,
        })
    }

    /// Which output layer was asked for.
    pub fn head(&self) -> HeadChoice {
        self.options.head
    }

    /// Rejects what takes more memory than is available: bytes, and the error of so many bytes that are.
    pub fn demand(&self, needed: u64, error: impl FnOnce(u64) -> Error) -> Result<(), Error> {
        /// What every machine that runs a model has left.
        const ALWAYS: u64 = 64 << 20;
        if self.options.ignore_memory || self.is_device() || needed <= ALWAYS {
            return Ok(());
        }
        match memory::available() {
            Some(available) if available < needed => Err(error(available)),
            _ => Ok(()),
        }
    }

    /// Rejects weights that take more memory than is available. Graphs that cannot be read are left to [`open`](Self::open).
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn demand_footprint(
        &self,
        folder: &Path,
        manifest: &Manifest,
        part: impl FnOnce(Footprint) -> u64,
    ) -> Result<(), Error> {
        let Ok(needed) = manifest.footprint(folder).map(part) else { return Ok(()) };
        self.demand(needed, |available| Error::Memory {
            folder: folder.to_owned(),
            needed,
            available,
            quantised: manifest.quantised.is_some(),
        })
    }

    /// Whether graphs keep their outputs on a device of its own.
    pub fn is_device(&self) -> bool {
        self.options.provider.is_device()
    }

    /// Session options: the provider and threads asked for, and nothing that ONNX Runtime would
    /// choose by itself. Patterns of memory use are not recorded, as no two runs have one shape.
    pub fn builder(&self) -> Result<SessionBuilder, Error> {
        let builder = Session::builder(&self.runtime.environment).and_then(|builder| {
            let builder = builder
                .with_auto_device(AutoDevicePolicy::PreferCPU)?
                .with_memory_pattern(false)?
                .with_config_entry("session.x64quantprecision", exact_products())?;
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

/// Whether ONNX Runtime must turn products of integers into a slower form to be exact, `"1"` or `"0"`.
///
/// On x86 processors without VNNI instructions its fast form cuts sums of two products to 16 bits. On others the option would only
/// make them slower.
fn exact_products() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    let cuts = !(is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni"));
    #[cfg(not(target_arch = "x86_64"))]
    let cuts = false;
    if cuts { "1" } else { "0" }
}

fn check(path: &Path, session: &Session, of: &Signature) -> Result<(), Error> {
    let (inputs, outputs) = names(session);
    if inputs == of.inputs && outputs == of.outputs {
        return Ok(());
    }
    Err(Error::GraphSignature {
        path: path.to_owned(),
        expected: of.shown(),
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

/// A session, and the outputs that are wanted of it.
///
/// Threads that share a graph take turns. `ort` runs a session only through `&mut`: some of what ONNX Runtime uses in
/// it, such as allocators and statistics of some providers, is not safe to use from several threads, and versions of
/// `ort` that allowed it saw crashes and corrupted memory. Nor can a session be copied without its weights. So
/// whoever wants threads to run at the same time opens a model for each of them, and whoever has one model puts the
/// sequences of all callers into one batch, such as a [`Run`](conjoint_core::Run), to which they can be added while
/// it goes on.
pub(crate) struct Graph {
    path: PathBuf,
    session: Mutex<Session>,
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
    /// Where outputs stay.
    memory: MemoryInfo<'static>,
    /// Where outputs are read.
    host: MemoryInfo<'static>,
}

impl Graph {
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

    /// Runs on `inputs` and has the first output written into `output`, without a copy on the way.
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

    /// Runs on `inputs` and brings all outputs into the host's memory, the last into `last` if that is given: without a
    /// copy on the way.
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

    /// A new binding for each run: a binding that ran before would have its outputs written again.
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
        let mut given = session.run_binding(&binding)?;
        let missing = || ort::Error::new("the graph gave no output");
        outputs.iter().map(|name| given.remove(*name).ok_or_else(missing)).collect()
    }

    fn first(&self, outputs: ort::Result<Vec<DynValue>>) -> Result<DynValue, Error> {
        let missing = || ort::Error::new("the graph gave no output");
        self.named(outputs.and_then(|outputs| outputs.into_iter().next().ok_or_else(missing)))
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
