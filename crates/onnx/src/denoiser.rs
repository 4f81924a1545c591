//! An exported model as a [`Denoiser`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conjoint_core::cache::{BlockCausal, DynCachePolicy};
use conjoint_core::denoiser::{Answer, Request, Session};
use conjoint_core::{Denoiser, RowId, State, TokenId, Vocabulary};
use conjoint_format::Manifest;
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use ort::value::{DynValue, Tensor};

use crate::backbone::Backbone;
use crate::cached_session::CachedSession;
use crate::error::Error;
use crate::grouping::LaneSize;
use crate::head::Head;
use crate::hidden::{Hidden, joined};
use crate::logit_rows;
use crate::options::OnnxOptions;
use crate::packing::Packing;
use crate::requests::{answer, check_rows};
use crate::session::Opener;
use crate::shared::Shared;
use crate::stats::RuntimeStats;

/// A frozen masked diffusion language model on ONNX Runtime.
///
/// Its graphs run one call at a time, so threads that share a model wait for each other. To run more at once,
/// put the sequences into one batch, such as a [`Run`](conjoint_core::Run), or open a model for each thread.
///
/// ```no_run
/// use conjoint_onnx::{ExecutionProvider, OnnxDenoiser, runtime};
/// runtime::ensure()?;
/// let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
/// let sampler = model.sampler_layer()?;
/// # Ok::<(), conjoint_onnx::Error>(())
/// ```
///
/// Clones share the graphs and the [`stats`](Self::stats). They may have different [caches](Self::with_cache).
#[doc(alias("ONNX Runtime", "inference", "model"))]
#[derive(Clone)]
pub struct OnnxDenoiser {
    pub(crate) folder: PathBuf,
    backbone: Arc<Backbone>,
    shared: Arc<Shared>,
    /// The cache of the sessions; without it, a model opens none.
    cache: Option<Box<dyn DynCachePolicy>>,
}

impl OnnxDenoiser {
    /// Opens an exported model.
    ///
    /// Loads ONNX Runtime if it is not loaded yet; see [`runtime`](crate::runtime).
    ///
    /// # Errors
    /// - [`Error::Manifest`] if the folder is not an exported model,
    /// - [`Error::Memory`] if the model needs more memory than is available, before anything is loaded,
    /// - [`Error::MissingGraph`], [`Error::Graph`] and [`Error::GraphSignature`] if a graph cannot be used,
    /// - [`Error::NoTopKHead`] if the options request a top-K head and the folder has none,
    /// - [`Error::ProviderNotCompiled`] and [`Error::ProviderAbsent`] if the provider is not available,
    /// - those of [`runtime::init`](crate::runtime::init).
    pub fn open(folder: impl AsRef<Path>, options: impl Into<OnnxOptions>) -> Result<Self, Error> {
        let (folder, options) = (folder.as_ref(), options.into());
        loop {
            let manifest = Manifest::read(folder)?;
            let model = Self::open_as(folder, manifest.clone(), options.clone());
            // If the export was replaced meanwhile, the graphs may be of two models.
            if Manifest::read(folder)? == manifest {
                return model;
            }
        }
    }

    fn open_as(folder: &Path, manifest: Manifest, options: OnnxOptions) -> Result<Self, Error> {
        manifest.check_weights(folder)?;
        manifest.check_config(folder)?;
        let vocabulary = vocabulary(&manifest)
            .map_err(|source| Error::Vocabulary { path: folder.to_owned(), source })?;
        let opener = Opener::new(options)?;
        opener.check_footprint(folder, &manifest, |footprint| footprint.model)?;
        let backbone = Arc::new(Backbone::open(&opener, folder, &manifest)?);
        let head = Head::open(&opener, folder, &manifest)?;
        let (forwards, passes, fetches) = Default::default();
        let shared = Shared {
            folder: folder.to_owned(),
            opener,
            manifest,
            vocabulary,
            head,
            forwards,
            passes,
            fetches,
        };
        let shared = Arc::new(shared);
        let block = shared.manifest.attention_block.and_then(|block| BlockCausal::new(block).ok());
        let cache = block.map(|policy| policy.boxed());
        Ok(Self { folder: folder.to_owned(), backbone, shared, cache })
    }

    /// Caches keys and values during a [run](conjoint_core::Run): its forwards compute the positions that the
    /// policy selects.
    ///
    /// [`conjoint_core::cache`] has the policies. Most are approximations, see
    /// [`Run::is_exact`](conjoint_core::Run::is_exact). A model with block-causal attention caches exactly by
    /// default, with [`BlockCausal`].
    ///
    /// ```no_run
    /// use conjoint_core::cache::Dual;
    /// use conjoint_onnx::{ExecutionProvider, OnnxDenoiser};
    /// let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?.with_cache(Dual::new());
    /// # Ok::<(), conjoint_onnx::Error>(())
    /// ```
    #[must_use]
    #[doc(alias("KV cache", "use_cache", "Fast-dLLM"))]
    pub fn with_cache(self, policy: impl DynCachePolicy) -> Self {
        Self { cache: Some(policy.boxed()), ..self }
    }

    /// Computes all positions in each forward.
    #[must_use]
    pub fn without_cache(self) -> Self {
        Self { cache: None, ..self }
    }

    /// The manifest of the export.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// Calls of the model and its sampler layers so far, and their time in ONNX Runtime.
    #[must_use]
    pub fn stats(&self) -> RuntimeStats {
        let Shared { forwards, passes, fetches, .. } = &*self.shared;
        RuntimeStats { forwards: forwards.read(), passes: passes.read(), fetches: fetches.read() }
    }

    /// Computes the hidden states [B, T, D] of token ids [B · T], without padding.
    ///
    /// These are the inputs of the output layer. The model's shift is applied: row i belongs to position i.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not B · T ids, [`Error::EmptyBatch`],
    /// [`Error::UnknownToken`] and [`Error::Graph`].
    pub fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Array3<f32>, Error> {
        if batch == 0 || length == 0 {
            return Err(Error::EmptyBatch);
        }
        if batch.checked_mul(length) != Some(ids.len()) {
            let (got, expected) = (vec![ids.len()], vec![batch, length]);
            return Err(Error::Shape { what: "ids", got, expected });
        }
        let size = self.shared.vocabulary.size();
        let known =
            |&id: &i64| TokenId::try_from(id).map_err(|_| Error::UnknownToken { token: id, size });
        let tokens = ids.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let sequences: Vec<&[TokenId]> = tokens.chunks(length).collect();
        let hidden = self.hidden_to_host(&sequences)?;
        let width = self.shared.manifest.hidden_size;
        let got = vec![hidden.nrows(), width];
        let expected = vec![batch, length, width];
        let shaped = hidden.into_shape_with_order((batch, length, width));
        shaped.map_err(|_| Error::Shape { what: "hidden", got, expected })
    }

    /// The hidden states of sequences, one after the other: [ΣT, D].
    fn hidden_to_host(&self, sequences: &[&[TokenId]]) -> Result<Array2<f32>, Error> {
        let packing = whole(sequences.iter().copied())?;
        self.shared.check_memory([packing.size()])?;
        let mut hidden = Array2::zeros((packing.len(), self.shared.manifest.hidden_size));
        let sources = self.backbone.sources_of(sequences.iter().map(|tokens| tokens.len()));
        self.backbone.run_into(&packing, sources, &self.shared.vocabulary, &mut hidden)?;
        Ok(hidden)
    }

    /// Computes a feature vector for each of N texts: the mean of its hidden states [N, D]. The vectors serve to
    /// compare sets of texts.
    ///
    /// The mean leaves out positions that hold the model's padding id, unless a sequence has no others. The
    /// model attends to these positions, as it does in generation.
    ///
    /// Lengths may differ. Sequences of similar length share a forward pass, without effect on each other's rows.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] if a sequence is empty, [`Error::UnknownToken`] and [`Error::Graph`].
    pub fn mean_hidden<S: AsRef<[TokenId]>>(&self, sequences: &[S]) -> Result<Array2<f32>, Error> {
        /// Sequences of one forward pass.
        const BATCH: usize = 16;
        let sequences: Vec<&[TokenId]> = sequences.iter().map(AsRef::as_ref).collect();
        let mut by_length: Vec<usize> = (0..sequences.len()).collect();
        by_length.sort_by_key(|&i| sequences[i].len());
        let width = self.shared.manifest.hidden_size;
        let mut means = Array2::zeros((sequences.len(), width));
        for part in by_length.chunks(BATCH) {
            let batch: Vec<&[TokenId]> = part.iter().map(|&i| sequences[i]).collect();
            let hidden = self.hidden_to_host(&batch)?;
            let mut first = 0;
            for (&i, tokens) in part.iter().zip(batch) {
                let own = hidden.slice_axis(Axis(0), (first..first + tokens.len()).into());
                means.row_mut(i).assign(&mean(tokens, own, self.shared.vocabulary.pad()));
                first += tokens.len();
            }
        }
        Ok(means)
    }

    /// Copies the hidden states [B, T, D] of a state from the device. They are zeros at padding, and at positions
    /// that a [cache](Self::with_cache) has not computed yet.
    ///
    /// The state is that of a forward pass of this model, or of a pass of its sampler layer over whole
    /// sequences. Passes over rows do not update it. Sampling does not need this method.
    ///
    /// # Errors
    /// [`ForeignState`](conjoint_core::Error::ForeignState) and [`Error::Graph`].
    pub fn hidden_of(&self, state: &mut State) -> Result<Array3<f32>, conjoint_core::Error> {
        let hidden: &mut Hidden = state.downcast_mut()?;
        let named = |error| Error::graph(&self.folder, error);
        Ok(hidden.to_host(self.shared.manifest.hidden_size, named)?)
    }

    /// Computes the logits [N, V] of hidden states [N, D], such as rows of [`hidden`](Self::hidden).
    ///
    /// # Errors
    /// [`Error::Shape`] if the width is not the model's, and [`Error::Graph`].
    pub fn logits(&self, hidden: ArrayView2<'_, f32>) -> Result<Array2<f32>, Error> {
        let (rows, width) = hidden.dim();
        let expected = self.shared.manifest.hidden_size;
        if width != expected {
            let (got, expected) = (vec![rows, width], vec![rows, expected]);
            return Err(Error::Shape { what: "hidden", got, expected });
        }
        let flat: Vec<f32> = hidden.iter().copied().collect();
        let head = &self.shared.head;
        let hidden = head.named(Tensor::from_array(([rows, width], flat)))?;
        head.logits(&hidden.into_dyn(), (0..rows as i64).collect())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The calls that compute all positions of these sequences.
    fn calls(&self, sequences: &[&[TokenId]]) -> Result<Vec<Call>, Error> {
        let size = |tokens: &&[TokenId]| LaneSize { slots: tokens.len(), keys: tokens.len() };
        let calls = self.shared.calls(&sequences.iter().map(size).collect::<Vec<_>>());
        if sequences.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let call = |members: Vec<usize>| {
            let packing = whole(members.iter().map(|&member| sequences[member]))?;
            Ok(Call { members, packing })
        };
        let calls = calls.into_iter().map(call).collect::<Result<Vec<_>, Error>>()?;
        self.shared.check_memory(calls.iter().map(|call| call.packing.size()))?;
        Ok(calls)
    }

    /// The hidden states of sequences [ΣT, D], in the order of the calls' members.
    fn run_calls(&self, sequences: &[&[TokenId]], calls: &[Call]) -> Result<DynValue, Error> {
        let run = |Call { members, packing }: &Call| {
            let lengths = members.iter().map(|&member| sequences[member].len());
            let sources = self.backbone.sources_of(lengths);
            self.backbone.run(packing, sources, &self.shared.vocabulary)
        };
        let hidden = calls.iter().map(run).collect::<Result<_, _>>()?;
        let named = |error| Error::graph(&self.folder, error);
        joined(hidden, self.shared.manifest.hidden_size, named)
    }

    fn run(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let canvases = request.canvases();
        let tokens: Vec<&[TokenId]> = canvases.iter().map(|canvas| canvas.tokens()).collect();
        let calls = self.calls(&tokens)?;
        check_rows(&canvases, request.rows)?;
        let (hidden, rows) = self.shared.forwards.call(
            calls.iter().map(|call| call.packing.len()).sum(),
            || {
                let value = self.run_calls(&tokens, &calls)?;
                let tokens = tokens.iter().map(|tokens| tokens.to_vec()).collect();
                let computed = calls.iter().flat_map(|call| call.members.iter().copied());
                Ok(Hidden::of_whole(value, tokens, computed))
            },
            |hidden| {
                let index = |row: &RowId| hidden.states[row.sequence][row.position];
                let rows = request.rows.iter().filter_map(index).map(|row| row as i64).collect();
                logit_rows::compute(&self.shared, &hidden.value, rows, request.form)
            },
        )?;
        answer(&self.shared, rows, hidden, request)
    }
}

impl Denoiser for OnnxDenoiser {
    fn vocabulary(&self) -> &Vocabulary {
        &self.shared.vocabulary
    }

    fn max_length(&self) -> Option<usize> {
        Some(self.shared.manifest.max_positions)
    }

    fn attention_block(&self) -> Option<usize> {
        self.shared.manifest.attention_block
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, conjoint_core::Error> {
        Ok(self.run(request)?)
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, conjoint_core::Error> {
        let Some(policy) = self.cache.clone() else { return Ok(None) };
        let (backbone, shared) = (Arc::clone(&self.backbone), Arc::clone(&self.shared));
        Ok(Some(Box::new(CachedSession::open(backbone, shared, policy)?)))
    }
}

/// A part of a forward pass: some of its sequences, in the order of the batch.
struct Call {
    members: Vec<usize>,
    packing: Packing,
}

/// The rows of all positions of these sequences.
fn whole<'a>(sequences: impl Iterator<Item = &'a [TokenId]>) -> Result<Packing, Error> {
    let mut packing = Packing::default();
    for tokens in sequences {
        if tokens.is_empty() {
            return Err(Error::EmptyBatch);
        }
        packing.whole(tokens);
    }
    Ok(packing)
}

/// The mean of the hidden states [T, D] of all tokens except padding, in double precision.
fn mean(tokens: &[TokenId], hidden: ArrayView2<'_, f32>, pad: Option<TokenId>) -> Array1<f32> {
    let only_padding = tokens.iter().all(|&token| Some(token) == pad);
    let is_counted = |token: TokenId| only_padding || Some(token) != pad;
    let (mut sum, mut n) = (Array1::<f64>::zeros(hidden.ncols()), 0.0);
    for (_, row) in tokens.iter().zip(hidden.outer_iter()).filter(|(token, _)| is_counted(**token))
    {
        sum.zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
        n += 1.0;
    }
    sum.mapv(|sum| (sum / n) as f32)
}

/// The vocabulary of the manifest's special tokens.
fn vocabulary(manifest: &Manifest) -> Result<Vocabulary, conjoint_core::Error> {
    let ids = &manifest.tokens;
    let mut vocabulary = Vocabulary::new(manifest.vocab_size, ids.mask)?;
    for &id in &ids.eos {
        vocabulary = vocabulary.with_eos(id)?;
    }
    if let Some(id) = ids.pad {
        vocabulary = vocabulary.with_pad(id)?;
    }
    if let Some(id) = ids.bos {
        vocabulary = vocabulary.with_bos(id)?;
    }
    if let Some(assigned) = ids.assigned {
        vocabulary = vocabulary.with_assigned(assigned)?;
    }
    Ok(vocabulary)
}
