//! `conjoint.json`: what a runtime must know of an exported model, beside its graphs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::check::check_weight_file;
use crate::error::ExportError;
use crate::folder::wait_for_exports;
use crate::operators::Operators;
use crate::quantise::Quantisation;
use crate::sampler_form::SamplerForm;
use crate::sniff;
use crate::tokens::{GivenTokens, SpecialTokens};
use crate::weight_file::WeightFile;

/// Name of the manifest in a model's folder.
pub const MANIFEST: &str = "conjoint.json";

/// Everything about an exported model that its graphs do not say themselves.
///
/// It is written last, so a folder with a manifest is a complete export.
///
/// ```no_run
/// # fn main() -> Result<(), conjoint_export::ExportError> {
/// let manifest = conjoint_export::Manifest::read("models/tiny")?;
/// println!("{} ids, [MASK] is {}", manifest.vocab_size, manifest.tokens.mask);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's layout: [`Manifest::FORMAT`].
    pub format: u32,
    /// The kind of model, which decides chat templates and defaults, never the graphs' use.
    pub family: Family,
    /// V: width of a row of logits. Ids of the tokenizer may be fewer.
    pub vocab_size: usize,
    /// D: width of a hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key and value heads of a layer.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Inner width of a feed-forward block.
    pub ffn_size: usize,
    /// Longest sequence that the model's configuration names, prompt included, in tokens.
    ///
    /// Graphs with rotary positions take any length; beyond this one the model has not been trained. Those of BERT and ALBERT
    /// have a table of so many positions.
    pub max_positions: usize,
    /// Ids with a meaning.
    pub tokens: SpecialTokens,
    /// Element type of the checkpoint's embedding table. Inputs, outputs and activations are float32.
    pub dtype: DType,
    /// In how many bits the graphs hold matrices; absent where they point into the checkpoint's own weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantised: Option<Quantisation>,
    /// Whether `backbone` shifts its hidden states right by one position.
    ///
    /// Row i of its output belongs to position i either way; this only records what was done.
    pub shift: bool,
    /// Which ONNX operators the graphs are made of.
    pub operators: Operators,
    /// File names of the graphs.
    pub graphs: Graphs,
    /// File that holds the tokenizer's vocabulary, where there is one: `tokenizer.json`, or
    /// `vocab.json`, which goes with a `merges.txt`; or `vocab.txt`.
    pub tokenizer: Option<String>,
    /// Where it all came from.
    pub provenance: Provenance,
}

/// Kinds of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// Dream and its relatives: a Qwen2 decoder with bidirectional attention and shifted logits.
    Dream,
    /// LLaDA: a Llama-style decoder trained from scratch on masked diffusion.
    Llada,
    /// Another masked diffusion model on a Qwen2 or Qwen3 decoder.
    Qwen,
    /// BERT: an encoder for masked language modelling, with learned positions.
    Bert,
    /// ALBERT: a BERT whose layers share their tensors.
    Albert,
    /// ModernBERT: an encoder with rotary positions and local attention.
    ModernBert,
}

/// Element types that weights may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision.
    Float32,
    /// IEEE half precision.
    Float16,
    /// Single precision with the mantissa cut to 7 bits.
    BFloat16,
}

/// File names of the graphs, all in the manifest's own folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphs {
    /// `input_ids` i64 [B, T], `key_mask` bool [B, T] → `hidden` f32 [B, T, D].
    pub backbone: String,
    /// `hidden` f32 [B, T, D], `rows` i64 \[N\] → `logits` f32 [N, V].
    pub head: String,
    /// The top-K head; absent when none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_top: Option<HeadTop>,
    /// `input_ids` i64 [B, T], `key_mask` bool [B, T], `hidden` f32 [B, T, D] → `hidden_next` f32
    /// [B, T, D]: a sampler layer over whole sequences.
    pub sampler: Option<String>,
    /// A sampler layer over rows. A folder has one of the two, or none where no sampler checkpoint was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler_rows: Option<SamplerRows>,
}

/// The two graphs of a sampler layer [over rows](crate::SamplerForm::Rows), which hand tensors to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplerRows {
    /// Run once a denoising step: what all positions contribute to its passes.
    pub context: String,
    /// Run once a pass.
    pub pass: String,
}

impl Graphs {
    /// File names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let head_top = self.head_top.as_ref().map(|head| &head.graph);
        let names = [Some(&self.backbone), Some(&self.head), head_top, self.sampler.as_ref()];
        let rows = self.sampler_rows.iter().flat_map(|rows| [&rows.context, &rows.pass]);
        names.into_iter().flatten().chain(rows).map(String::as_str)
    }

    /// The form of the sampler layer, if there is one.
    pub fn sampler_form(&self) -> Option<SamplerForm> {
        let sequence = self.sampler.as_ref().map(|_| SamplerForm::Sequence);
        sequence.or(self.sampler_rows.as_ref().map(|_| SamplerForm::Rows))
    }
}

/// The top-K head: `hidden` f32 [B, T, D], `rows` i64 \[N\], `temperatures` f32 \[C\], `tokens` i64 \[M\],
/// `whole` i64 \[W\] → `top` f32 and `ids` i64 [N, K], `asked` f32 [N, M], `mass` and `entropy` f32 [C, N],
/// `logits` f32 [W, V].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadTop {
    /// File name of the graph.
    pub graph: String,
    /// K: how many tokens it gives of a row.
    pub k: usize,
}

impl HeadTop {
    /// Brings K to the vocabulary's size if it is beyond that.
    pub(crate) fn new(graph: &str, k: usize, vocabulary: usize) -> Result<Self, ExportError> {
        if k < 2 {
            return Err(ExportError::HeadTop { got: k });
        }
        Ok(Self { graph: graph.into(), k: k.min(vocabulary) })
    }
}

/// Where an export came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name of the checkpoint's folder.
    pub checkpoint: Option<String>,
    /// Name of the sampler checkpoint's folder.
    pub sampler: Option<String>,
    /// The weight files that the graphs point into.
    pub weights: Vec<WeightFile>,
    /// Files that were brought into the export's folder from elsewhere, by name, each with the SHA-256 of all of it, or, of a weight
    /// file, of [its header and samples](WeightFile::sha256). A later export replaces or removes them if they are still the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub brought: BTreeMap<String, String>,
    /// Keys of `config.json` that were ignored on request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_keys: Vec<String>,
    /// Special ids that were given on exporting.
    #[serde(default, skip_serializing_if = "GivenTokens::is_empty")]
    pub given_tokens: GivenTokens,
    /// What was taken where the configuration says nothing, or something else than the tensors, and what was left out; a
    /// sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Version of `conjoint-export` that wrote it.
    pub conjoint: String,
}

impl Manifest {
    /// The layout that this version writes and reads.
    pub const FORMAT: u32 = 3;

    /// Reads `conjoint.json` from a model's folder. Where there is none, an export that is under way is waited for
    /// a little.
    ///
    /// # Errors
    ///
    /// [`NotACheckpoint`](ExportError::NotACheckpoint) when there is no folder, or one of another kind,
    /// [`MissingFile`](ExportError::MissingFile) when the folder has not been exported, [`Busy`](ExportError::Busy) when it is being,
    /// [`ManifestFormat`](ExportError::ManifestFormat) when another version wrote it,
    /// [`Config`](ExportError::Config) when a graph lies outside the folder, and
    /// [`Io`](ExportError::Io) or [`Json`](ExportError::Json) when it cannot be read at all.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, ExportError> {
        let folder = folder.as_ref();
        match Self::read_now(folder) {
            Err(ExportError::MissingFile { .. }) => {
                sniff::folder(folder)?;
                let Some(_lock) = wait_for_exports(folder) else {
                    return Err(ExportError::Busy { path: folder.into() });
                };
                Self::read_now(folder)
            }
            read => read,
        }
    }

    /// As [`read`](Self::read), without waiting for anything.
    pub(crate) fn read_now(folder: &Path) -> Result<Self, ExportError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }

        let path = folder.join(MANIFEST);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ExportError::MissingFile { path, hint: "export the checkpoint first" });
            }
            text => text.map_err(ExportError::io("read", &path))?,
        };
        let Version { format } = serde_json::from_slice(&text).map_err(ExportError::json(&path))?;
        if format != Self::FORMAT {
            return Err(ExportError::ManifestFormat { path, expected: Self::FORMAT, got: format });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(ExportError::json(&path))?;
        manifest.check_sizes(&path)?;
        for name in manifest.graphs.names() {
            if !is_plain_name(name) {
                return Err(ExportError::Config {
                    path,
                    key: "graphs".into(),
                    expected: "file names without a folder".into(),
                    got: name.into(),
                });
            }
        }
        Ok(manifest)
    }
}

impl Manifest {
    /// Refuses sizes that no export writes, as an edited file may hold.
    fn check_sizes(&self, path: &Path) -> Result<(), ExportError> {
        let wrong = |key: &str, expected: &str, got: String| ExportError::Config {
            path: path.into(),
            key: key.into(),
            expected: expected.into(),
            got,
        };
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("max_positions", self.max_positions),
        ];
        if let Some(HeadTop { k, .. }) = self.graphs.head_top
            && !(2..=self.vocab_size.max(2)).contains(&k)
        {
            let expected = format!("from 2 to vocab_size = {}", self.vocab_size);
            return Err(wrong("graphs.head_top.k", &expected, k.to_string()));
        }
        if let Some((key, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return Err(wrong(key, "at least 1", "0".into()));
        }
        let SpecialTokens { mask, eos, pad, bos, named } = &self.tokens;
        let ends = eos.iter().map(|&id| ("eos", id));
        let others = [("pad", *pad), ("bos", *bos)];
        let others = others.into_iter().filter_map(|(name, id)| Some((name, id?)));
        let mut ids = [("mask", *mask)].into_iter().chain(ends).chain(others);
        if let Some((name, id)) = ids.find(|&(_, id)| id as usize >= self.vocab_size) {
            let expected = format!("an id below vocab_size = {}", self.vocab_size);
            return Err(wrong(&format!("tokens.{name}"), &expected, id.to_string()));
        }
        match named {
            Some(named) if !(1..=self.vocab_size).contains(named) => {
                let expected = format!("from 1 to vocab_size = {}", self.vocab_size);
                Err(wrong("tokens.named", &expected, named.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the weight files are those that were exported: a checkpoint that was trained further
    /// under the graphs would give numbers that belong to no model.
    ///
    /// # Errors
    ///
    /// [`WeightsChanged`](ExportError::WeightsChanged), or [`Io`](ExportError::Io) where a file is
    /// missing.
    pub fn check_weights(&self, folder: impl AsRef<Path>) -> Result<(), ExportError> {
        let weights = &self.provenance.weights;
        weights.iter().try_for_each(|file| check_weight_file(folder.as_ref(), file))
    }
}

/// Whether a name found in a file denotes an entry of that file's own folder.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(part)) if part == name) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_without_a_folder_are_plain() {
        for name in ["a", "a.onnx", "..a", "a b"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".", "..", "/a", "a/b", "../a", "./a", "a/"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
