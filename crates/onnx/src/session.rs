//! Opening graphs as sessions of ONNX Runtime.

use std::path::{Path, PathBuf};
use std::thread;

use conjoint_format::{Footprint, Manifest};
use ort::memory::AllocationDevice;
use ort::session::Session;
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};

use crate::error::Error;
use crate::graph::{Graph, Signature, arrow};
use crate::memory;
use crate::options::{HeadChoice, OnnxOptions};
use crate::provider::ExecutionProvider;
use crate::runtime::{self, Runtime};

/// How long a thread without work spins before it sleeps, in microseconds.
///
/// ONNX Runtime's default is some 16 milliseconds. A spinning thread uses up its time slice. If another process needs
/// the core, the thread is then stopped in the middle of its part of a product, and the others wait for it. A few
/// microseconds are about the gap between two operators, so that a thread rarely sleeps while the cores are free.
const SPIN: &str = "8";

/// Opens graphs, all with the same options.
pub(crate) struct Opener {
    runtime: &'static Runtime,
    options: OnnxOptions,
}

impl Opener {
    /// Loads ONNX Runtime if it is not loaded yet.
    pub fn new(options: OnnxOptions) -> Result<Self, Error> {
        Ok(Self { runtime: runtime::load(options.runtime.as_deref())?, options })
    }

    /// Opens a graph of an export.
    ///
    /// # Errors
    /// [`Error::MissingGraph`], [`Error::Graph`], [`Error::GraphSignature`], and those of
    /// [`ExecutionProvider::register`](crate::ExecutionProvider::register).
    pub fn open(&self, path: PathBuf, signature: Signature) -> Result<Graph, Error> {
        let session = self.session(&path)?;
        check(&path, &session, &signature)?;
        self.graph(path, session, signature)
    }

    /// As [`open`](Self::open), for a graph whose signature depends on its number of layers. These are counted by
    /// its outputs.
    pub fn open_layers(
        &self,
        path: PathBuf,
        signature: impl FnOnce(usize) -> Signature,
    ) -> Result<(Graph, usize), Error> {
        let session = self.session(&path)?;
        let keys = |name: &&str| name.starts_with("keys_new.");
        let layers = names(&session).1.iter().filter(|name| keys(name)).count();
        let signature = signature(layers);
        check(&path, &session, &signature)?;
        Ok((self.graph(path, session, signature)?, layers))
    }

    /// Opens a graph of another exporter, with the first of these signatures that it has. It may have more
    /// outputs.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_any(&self, path: PathBuf, signatures: &[Signature]) -> Result<Graph, Error> {
        let session = self.session(&path)?;
        let (inputs, outputs) = names(&session);
        let has_outputs =
            |of: &Signature| of.outputs.iter().all(|output| outputs.contains(&output.as_str()));
        let fits = |of: &&Signature| inputs == of.inputs && has_outputs(of);
        let Some(signature) = signatures.iter().find(fits) else {
            let expected: Vec<String> = signatures.iter().map(Signature::describe).collect();
            let got = arrow(&inputs, &outputs);
            return Err(Error::GraphSignature { path, expected: expected.join(" or "), got });
        };
        self.graph(path, session, signature.clone())
    }

    fn session(&self, path: &Path) -> Result<Session, Error> {
        if !path.is_file() {
            return Err(Error::MissingGraph { path: path.to_owned() });
        }
        let session = self.builder()?.commit_from_file(path);
        session.map_err(|error| Error::graph(path, error))
    }

    /// A graph from a session of [`builder`](Self::builder). Error messages name it by `path`.
    pub fn graph(
        &self,
        path: PathBuf,
        session: Session,
        signature: Signature,
    ) -> Result<Graph, Error> {
        let device = if self.is_device() { AllocationDevice::CUDA } else { AllocationDevice::CPU };
        Graph::new(path, session, signature, device)
    }

    /// The requested output layer.
    pub fn head(&self) -> HeadChoice {
        self.options.head
    }

    /// Checks that `needed` bytes of memory are available. `error` gets the available bytes.
    pub fn check_memory(&self, needed: u64, error: impl FnOnce(u64) -> Error) -> Result<(), Error> {
        /// Bytes that are always assumed to be available.
        const ALWAYS: u64 = 64 << 20;
        if self.options.ignore_memory || self.is_device() || needed <= ALWAYS {
            return Ok(());
        }
        match memory::available() {
            Some(available) if available < needed => Err(error(available)),
            _ => Ok(()),
        }
    }

    /// Checks that the memory of the weights is available. Ignores graphs that cannot be read, which
    /// [`open`](Self::open) reports.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn check_footprint(
        &self,
        folder: &Path,
        manifest: &Manifest,
        part: impl FnOnce(Footprint) -> u64,
    ) -> Result<(), Error> {
        let Ok(needed) = manifest.footprint(folder).map(part) else { return Ok(()) };
        self.check_memory(needed, |available| Error::Memory {
            folder: folder.to_owned(),
            needed,
            available,
            quantised: manifest.quantised.is_some(),
        })
    }

    /// Whether graphs keep their outputs on a device other than the CPU.
    pub fn is_device(&self) -> bool {
        self.options.provider.is_device()
    }

    /// Whether an operator may write its output into the memory of its input.
    pub fn writes_in_place(&self) -> bool {
        self.options.provider != ExecutionProvider::TensorRt
    }

    /// The number of threads of a graph: the requested one, or the cores that the process may use.
    fn threads(&self) -> usize {
        match self.options.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Session options with the requested provider and threads.
    ///
    /// ONNX Runtime's automatic choice of devices is disabled. So is its recording of memory patterns, because
    /// shapes differ between runs.
    ///
    /// Subnormal numbers count as zero. The attention of a trained model has many weights below 1e-38, and products
    /// with them are slow on many processors. Threads of a session flush them, and of the caller's threads
    /// the one that opened the first session of the process.
    pub fn builder(&self) -> Result<SessionBuilder, Error> {
        let builder = Session::builder(&self.runtime.environment).and_then(|builder| {
            let builder = builder
                .with_auto_device(AutoDevicePolicy::PreferCPU)?
                .with_memory_pattern(false)?
                .with_flush_to_zero()?
                .with_config_entry("session.x64quantprecision", exact_products())?;
            Ok(builder
                .with_intra_threads(self.threads())?
                .with_config_entry("session.force_spinning_stop", "1")?
                .with_config_entry("session.intra_op.spin_duration_us", SPIN)?)
        });
        self.options.provider.register(builder, self.runtime)
    }
}

/// Whether ONNX Runtime must use a slower form of integer products to be exact, `"1"` or `"0"`.
///
/// On x86 processors without VNNI instructions, the fast form cuts sums of two products to 16 bits. On others,
/// it is exact.
fn exact_products() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    let is_inexact =
        !(is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni"));
    #[cfg(not(target_arch = "x86_64"))]
    let is_inexact = false;
    if is_inexact { "1" } else { "0" }
}

/// Checks the names of a session's inputs and outputs.
fn check(path: &Path, session: &Session, of: &Signature) -> Result<(), Error> {
    let (inputs, outputs) = names(session);
    if inputs == of.inputs && outputs == of.outputs {
        return Ok(());
    }
    Err(Error::GraphSignature {
        path: path.to_owned(),
        expected: of.describe(),
        got: arrow(&inputs, &outputs),
    })
}

/// The names of a session's inputs and outputs.
fn names(session: &Session) -> (Vec<&str>, Vec<&str>) {
    let inputs = session.inputs().iter().map(|input| input.name()).collect();
    (inputs, session.outputs().iter().map(|output| output.name()).collect())
}
