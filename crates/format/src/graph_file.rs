//! Reading an ONNX graph.

use std::fs;
use std::path::Path;

use prost::Message;

use crate::error::FormatError;
use crate::proto::{GraphProto, ModelProto};

/// Reads a graph of a folder.
pub(crate) fn read_graph(folder: &Path, name: &str) -> Result<GraphProto, FormatError> {
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(FormatError::io("read", &path))?;
    let invalid = |reason: String| FormatError::Graph { path: path.clone(), reason };
    let model = ModelProto::decode(&*bytes).map_err(|error| invalid(error.to_string()))?;
    model.graph.ok_or_else(|| invalid("the file holds no graph".into()))
}
