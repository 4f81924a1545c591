//! Whether an exported folder still is what its manifest says.

mod tensors;

use std::fs;
use std::path::Path;

use prost::Message;
use serde::Serialize;

use crate::blueprint::Blueprint;
use crate::checkpoint;
use crate::error::ExportError;
use crate::manifest::{DType, MANIFEST, Manifest};
use crate::operators::Operators;
use crate::proto::{GraphProto, ModelProto, TensorProto, element};
use crate::quantise::Quantisation;
use crate::sniff;
use crate::tokens::SpecialTokens;
use crate::weight_file::WeightFile;

/// The configuration that an export was made from.
const CONFIG: &str = "config.json";

impl Manifest {
    /// The files that the folder of this manifest must hold, beside it: configuration, graphs, tokenizer, weights.
    pub fn files(&self) -> Vec<&str> {
        let mut files = vec![CONFIG];
        files.extend(self.graphs.names());
        files.extend(self.tokenizer.as_deref());
        files.extend((self.tokenizer.as_deref() == Some("vocab.json")).then_some("merges.txt"));
        files.extend(self.provenance.weights.iter().map(|file| file.name.as_str()));
        files
    }

    /// Everything that does not go together in a folder with this manifest: files that are missing, weights that
    /// have changed, sizes and ids that are not those of `config.json` or of the graphs, and tensors that are not where the
    /// graphs look for them. Empty for a sound export. Weights are not read, but for their headers and
    /// [samples](WeightFile::sha256).
    pub fn problems(&self, folder: impl AsRef<Path>) -> Vec<ExportError> {
        let folder = folder.as_ref();
        let mut problems = Vec::new();
        for name in self.files() {
            let path = folder.join(name);
            if !path.is_file() {
                let hint = "the export names it: export the checkpoint again";
                let dangling = sniff::dangling(&path);
                problems.push(dangling.unwrap_or(ExportError::MissingFile { path, hint }));
            }
        }
        let present = |name: &str| folder.join(name).is_file();
        let weights = self.provenance.weights.iter().filter(|file| present(&file.name));
        problems.extend(weights.filter_map(|file| check_weight_file(folder, file).err()));
        problems.extend(self.check_config(folder).err());
        let mut read = |name: &str| graph(folder, name, &mut problems);
        let (backbone, head) = (read(&self.graphs.backbone), read(&self.graphs.head));
        let top = self.graphs.head_top.as_ref().and_then(|top| Some((read(&top.graph)?, top)));
        let sampler = self.graphs.sampler.as_deref().and_then(|name| Some((read(name)?, name)));
        let rows = self.graphs.sampler_rows.as_ref();
        let rows = rows.and_then(|rows| Some((read(&rows.context)?, read(&rows.pass)?, rows)));
        let Some((backbone, head)) = backbone.zip(head) else { return problems };
        let (vocab, width) = (self.vocab_size, self.hidden_size);
        let mut graphs = vec![
            (&backbone, self.graphs.backbone.as_str(), "hidden_size", width),
            (&head, self.graphs.head.as_str(), "vocab_size", vocab),
        ];
        let top = top.as_ref().map(|(graph, top)| (graph, top.graph.as_str(), "head_top.k", top.k));
        graphs.extend(top);
        graphs.extend(sampler.as_ref().map(|(graph, name)| (graph, *name, "hidden_size", width)));
        let rows = rows.as_ref().map(|(context, pass, of)| {
            let context = (context, of.context.as_str(), "head_dim", self.head_dim);
            [context, (pass, of.pass.as_str(), "hidden_size", width)]
        });
        graphs.extend(rows.into_iter().flatten());
        problems.extend(self.check_sizes_of(folder, &backbone, &graphs).err());
        for (graph, name, ..) in graphs {
            problems.extend(tensors::misplaced(self, folder, name, graph));
        }
        problems
    }

    /// Checks that the manifest is that of the `config.json` beside it; a folder without one passes.
    ///
    /// # Errors
    ///
    /// [`Config`](ExportError::Config) names the first key that differs;
    /// [`NotACheckpoint`](ExportError::NotACheckpoint) if `config.json` is a link that leads nowhere; and those of reading it.
    pub fn check_config(&self, folder: impl AsRef<Path>) -> Result<(), ExportError> {
        let folder = folder.as_ref();
        let path = folder.join(CONFIG);
        if !path.exists() {
            // A link that leads nowhere tells of more that is lost, such as the tokenizer.
            return sniff::dangling(&path).map_or(Ok(()), Err);
        }
        let config = checkpoint::read_config(folder)?;
        Blueprint::check_keys(&config, &self.provenance.ignored_keys)?;
        // Whether to shift may have been said on exporting.
        let of = Blueprint::read(&config, Some(self.shift))?;
        let given = &self.provenance.given_tokens;
        let (tokens, _) = SpecialTokens::find(&config, given, of.vocab_size)?;
        self.equal(folder, CONFIG, "family", &self.family, Some(&of.family))?;
        for (key, own, other) in [
            ("vocab_size", self.vocab_size, of.vocab_size),
            ("hidden_size", self.hidden_size, of.hidden_size),
            ("layers", self.layers, of.layers),
            ("heads", self.heads, of.heads),
            ("kv_heads", self.kv_heads, of.kv_heads),
            ("head_dim", self.head_dim, of.head_dim),
            ("ffn_size", self.ffn_size, of.ffn_size),
            ("max_positions", self.max_positions, of.max_positions),
        ] {
            self.equal(folder, CONFIG, key, &own, Some(&other))?;
        }
        self.equal(folder, CONFIG, "tokens", &self.tokens, Some(&tokens))
    }

    /// Checks what the graphs themselves say of types and operators, and each with its name of the size of its rows,
    /// under the manifest's key and as it has it.
    fn check_sizes_of(
        &self,
        folder: &Path,
        backbone: &GraphProto,
        graphs: &[(&GraphProto, &str, &str, usize)],
    ) -> Result<(), ExportError> {
        for &(graph, name, key, own) in graphs {
            self.equal(folder, name, key, &(own as i64), last_size(graph).as_ref())?;
        }
        let name = self.graphs.backbone.as_str();
        // Of another width than the hidden states, where the embedding is factorised.
        let is_table = |tensor: &&TensorProto| match tensor.dims[..] {
            [rows, _] => rows == self.vocab_size as i64,
            _ => false,
        };
        let table = backbone.initializer.iter().find(is_table);
        let has = |op: &str| backbone.node.iter().any(|node| node.op_type == op);
        match table.filter(|table| table.data_type == element::INT8) {
            None => {
                self.equal(folder, name, "quantised", &self.quantised, Some(&None))?;
                self.equal(folder, name, "dtype", &self.dtype, table.and_then(dtype).as_ref())?;
            }
            Some(_) => {
                let blocks = has("MatMulNBits");
                let bits = if blocks { Quantisation::Int4 } else { Quantisation::Int8 };
                self.equal(folder, name, "quantised", &self.quantised, Some(&Some(bits)))?;
            }
        }
        // The shift alone takes a maximum.
        self.equal(folder, name, "shift", &self.shift, Some(&has("Max")))?;
        let fused = if has("Attention") { Operators::Fused } else { Operators::Portable };
        self.equal(folder, name, "operators", &self.operators, Some(&fused))
    }

    /// Refuses a value of the manifest that is not that of another file.
    fn equal<T: PartialEq + Serialize>(
        &self,
        folder: &Path,
        file: &str,
        key: &str,
        own: &T,
        other: Option<&T>,
    ) -> Result<(), ExportError> {
        if Some(own) == other {
            return Ok(());
        }
        let shown =
            |value: &T| serde_json::to_string(value).map_err(ExportError::json(folder.join(file)));
        let other = other.map_or(Ok("nothing of it".into()), shown)?;
        Err(ExportError::Config {
            path: folder.join(MANIFEST),
            key: key.into(),
            expected: format!("{other} as in {file}: export the checkpoint again"),
            got: shown(own)?,
        })
    }
}

/// Reads a graph, if it is there.
fn graph(folder: &Path, name: &str, problems: &mut Vec<ExportError>) -> Option<GraphProto> {
    if !folder.join(name).is_file() {
        return None;
    }
    read_graph(folder, name).map_err(|error| problems.push(error)).ok()
}

/// Reads a graph.
pub(crate) fn read_graph(folder: &Path, name: &str) -> Result<GraphProto, ExportError> {
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(ExportError::io("read", &path))?;
    let broken = |reason: String| ExportError::Graph { path: path.clone(), reason };
    let model = ModelProto::decode(&*bytes).map_err(|error| broken(error.to_string()))?;
    model.graph.ok_or_else(|| broken("the file holds no graph".into()))
}

/// Demands that a weight file is the one that was exported.
pub(crate) fn check_weight_file(folder: &Path, file: &WeightFile) -> Result<(), ExportError> {
    let path = folder.join(&file.name);
    match WeightFile::of(&path, file.name.clone()) {
        Ok(now) if now == *file => Ok(()),
        Err(error @ ExportError::Io { .. }) => Err(error),
        // Another file, or none that can be read any more.
        Ok(_) | Err(_) => Err(ExportError::WeightsChanged { path }),
    }
}

/// The type of a tensor's elements, if a weight may have it.
fn dtype(tensor: &TensorProto) -> Option<DType> {
    match tensor.data_type {
        element::FLOAT => Some(DType::Float32),
        element::FLOAT16 => Some(DType::Float16),
        element::BFLOAT16 => Some(DType::BFloat16),
        _ => None,
    }
}

/// The last size of a graph's first output, where it is fixed.
fn last_size(graph: &GraphProto) -> Option<i64> {
    let tensor = graph.output.first()?.r#type.as_ref()?.tensor_type.as_ref()?;
    tensor.shape.as_ref()?.dim.last()?.dim_value
}
