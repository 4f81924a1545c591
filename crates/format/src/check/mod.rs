//! Checks of an exported folder against its manifest.

mod tensors;

use std::path::Path;

use serde::Serialize;

use crate::blueprint::{Blueprint, Overrides};
use crate::checkpoint::read_config;
use crate::error::FormatError;
use crate::graph_file::read_graph;
use crate::manifest::Manifest;
use crate::names::{CONFIG, MANIFEST};
use crate::operators::Operators;
use crate::path_check;
use crate::proto::{GraphProto, TensorProto, element};
use crate::quantisation::Quantisation;
use crate::tokens::SpecialTokens;

impl Manifest {
    /// The files that the manifest's folder must hold: configuration, graphs, tokenizer and weights.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        let mut files = vec![CONFIG];
        files.extend(self.graphs.names());
        files.extend(self.tokenizer.as_deref());
        files.extend((self.tokenizer.as_deref() == Some("vocab.json")).then_some("merges.txt"));
        files.extend(self.provenance.weights.iter().map(|file| file.name.as_str()));
        files
    }

    /// Checks the folder of this manifest and returns all problems; none for a valid export.
    ///
    /// Problems are missing files, changed weights, sizes and ids that differ from `config.json` or from the
    /// graphs, and tensors that are not where the graphs expect them. Of the weights, only headers and
    /// [samples](crate::WeightFile::sha256) are read.
    #[must_use]
    pub fn problems(&self, folder: impl AsRef<Path>) -> Vec<FormatError> {
        let folder = folder.as_ref();
        let mut problems = Vec::new();
        for name in self.files() {
            let path = folder.join(name);
            if !path.is_file() {
                let hint = "the manifest lists it: export the checkpoint again";
                let dangling = path_check::dangling(&path);
                problems.push(dangling.unwrap_or(FormatError::MissingFile { path, hint }));
            }
        }
        let exists = |name: &str| folder.join(name).is_file();
        let weights = self.provenance.weights.iter().filter(|file| exists(&file.name));
        problems.extend(weights.filter_map(|file| file.check(folder).err()));
        problems.extend(self.check_config(folder).err());
        let mut read = |name: &str| read_existing(folder, name, &mut problems);
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
            let keys = self.kv_heads * self.head_dim;
            let context = (context, of.context.as_str(), "kv_heads × head_dim", keys);
            [context, (pass, of.pass.as_str(), "hidden_size", width)]
        });
        graphs.extend(rows.into_iter().flatten());
        problems.extend(self.check_graphs(folder, &backbone, &graphs).err());
        for (graph, name, ..) in graphs {
            problems.extend(tensors::misplaced(self, folder, name, graph));
        }
        problems
    }

    /// Checks that the manifest matches the `config.json` beside it. A folder without a `config.json` is
    /// accepted.
    ///
    /// # Errors
    ///
    /// [`Config`](FormatError::Config) for the first key that differs;
    /// [`NotACheckpoint`](FormatError::NotACheckpoint) if `config.json` is a dangling link; and the errors of
    /// reading it.
    pub fn check_config(&self, folder: impl AsRef<Path>) -> Result<(), FormatError> {
        let folder = folder.as_ref();
        let path = folder.join(CONFIG);
        if !path.exists() {
            // A dangling link means that other files, such as the tokenizer, are lost too.
            return path_check::dangling(&path).map_or(Ok(()), Err);
        }
        let config = read_config(folder)?;
        Blueprint::check_keys(&config, &self.provenance.ignored_keys)?;
        // The user may have chosen these.
        let overrides = Overrides {
            shift: Some(self.shift),
            attention_block: Some(self.attention_block.unwrap_or(0)),
        };
        let blueprint = Blueprint::read(&config, overrides)?;
        let given = &self.provenance.given_tokens;
        let (tokens, _) = SpecialTokens::find(&config, given, blueprint.vocab_size)?;
        self.check_equal(folder, CONFIG, "family", &self.family, Some(&blueprint.family))?;
        for (key, own, other) in [
            ("vocab_size", self.vocab_size, blueprint.vocab_size),
            ("hidden_size", self.hidden_size, blueprint.hidden_size),
            ("layers", self.layers, blueprint.layers),
            ("heads", self.heads, blueprint.heads),
            ("kv_heads", self.kv_heads, blueprint.kv_heads),
            ("head_dim", self.head_dim, blueprint.head_dim),
            ("ffn_size", self.ffn_size, blueprint.ffn_size),
            ("max_positions", self.max_positions, blueprint.max_positions),
        ] {
            self.check_equal(folder, CONFIG, key, &own, Some(&other))?;
        }
        self.check_equal(folder, CONFIG, "tokens", &self.tokens, Some(&tokens))
    }

    /// Checks the manifest against the graphs: types, operators, and the width of each graph's output.
    ///
    /// `graphs` holds each graph with its name, and the manifest's key and value of that width.
    fn check_graphs(
        &self,
        folder: &Path,
        backbone: &GraphProto,
        graphs: &[(&GraphProto, &str, &str, usize)],
    ) -> Result<(), FormatError> {
        for &(graph, name, key, own) in graphs {
            self.check_equal(folder, name, key, &(own as i64), last_size(graph).as_ref())?;
        }
        let name = self.graphs.backbone.as_str();
        // Where the embedding is factorised, the table is narrower than the hidden states.
        let is_table = |tensor: &&TensorProto| match tensor.dims[..] {
            [rows, _] => rows == self.vocab_size as i64,
            _ => false,
        };
        let table = backbone.initializer.iter().find(is_table);
        let has = |op: &str| backbone.node.iter().any(|node| node.op_type == op);
        match table.filter(|table| table.data_type == element::INT8) {
            None => {
                self.check_equal(folder, name, "quantised", &self.quantised, Some(&None))?;
                self.check_equal(
                    folder,
                    name,
                    "dtype",
                    &self.dtype,
                    table.and_then(|table| element::dtype(table.data_type)).as_ref(),
                )?;
            }
            Some(_) => {
                let blocks = has("MatMulNBits");
                let bits = if blocks { Quantisation::Int4 } else { Quantisation::Int8 };
                self.check_equal(folder, name, "quantised", &self.quantised, Some(&Some(bits)))?;
            }
        }
        let fused = if has("Attention") { Operators::Fused } else { Operators::Portable };
        self.check_equal(folder, name, "operators", &self.operators, Some(&fused))
    }

    /// Rejects a value of the manifest that differs from the value in another file.
    fn check_equal<T: PartialEq + Serialize>(
        &self,
        folder: &Path,
        file: &str,
        key: &str,
        own: &T,
        other: Option<&T>,
    ) -> Result<(), FormatError> {
        if Some(own) == other {
            return Ok(());
        }
        let json =
            |value: &T| serde_json::to_string(value).map_err(FormatError::json(folder.join(file)));
        let other = other.map_or(Ok("no such value".into()), json)?;
        Err(FormatError::Config {
            path: folder.join(MANIFEST),
            key: key.into(),
            expected: format!("{other} as in {file}: export the checkpoint again"),
            got: json(own)?,
        })
    }
}

/// Reads a graph, if it exists.
fn read_existing(folder: &Path, name: &str, problems: &mut Vec<FormatError>) -> Option<GraphProto> {
    if !folder.join(name).is_file() {
        return None;
    }
    read_graph(folder, name).map_err(|error| problems.push(error)).ok()
}

/// The last dimension of a graph's first output, if it is fixed.
fn last_size(graph: &GraphProto) -> Option<i64> {
    let tensor = graph.output.first()?.r#type.as_ref()?.tensor_type.as_ref()?;
    tensor.shape.as_ref()?.dim.last()?.dim_value
}
