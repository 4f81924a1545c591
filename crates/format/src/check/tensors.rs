//! Checks that the tensors of a graph are where it expects them.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use safetensors::tensor::Dtype;

use crate::error::FormatError;
use crate::header::Header;
use crate::manifest::Manifest;
use crate::names::MANIFEST;
use crate::proto::{EXTERNAL, GraphProto, TensorProto, element};
use crate::quantised_weights::stored_name;

/// The headers read so far, by file; `None` for an unreadable one, which is reported once.
type Headers = BTreeMap<String, Option<Header>>;

/// The tensors that are not where a graph expects them.
pub(super) fn misplaced(
    manifest: &Manifest,
    folder: &Path,
    name: &str,
    graph: &GraphProto,
) -> Vec<FormatError> {
    let mut headers = Headers::new();
    let mut problems = Vec::new();
    for tensor in graph.initializer.iter().filter(|t| t.data_location == Some(EXTERNAL)) {
        match place(manifest, folder, tensor, &mut headers) {
            Ok(None) => {}
            Ok(Some(place)) => {
                let reason = format!("it reads tensor {} from {place}", tensor.name);
                problems.push(FormatError::Graph { path: folder.join(name), reason });
            }
            Err(error) => problems.push(error),
        }
    }
    problems
}

/// The place where a graph expects a tensor, if the tensor is not there.
fn place(
    manifest: &Manifest,
    folder: &Path,
    tensor: &TensorProto,
    headers: &mut Headers,
) -> Result<Option<String>, FormatError> {
    let location = entry(tensor, "location").unwrap_or_default();
    let is_named = manifest.provenance.weights.iter().any(|file| file.name == location);
    let mut parts = Path::new(location).components();
    if !is_named || !parts.all(|part| matches!(part, Component::Normal(_))) {
        return Ok(Some(format!("'{location}', which is not a weight file of {MANIFEST}")));
    }
    let path = folder.join(location);
    if !path.is_file() {
        return Ok(None); // the missing file is reported
    }
    if !headers.contains_key(location) {
        headers.insert(location.to_owned(), None);
        headers.insert(location.to_owned(), Some(Header::read(&path)?));
    }
    let header = headers.get(location).and_then(Option::as_ref);
    Ok(header.and_then(|header| difference(tensor, location, header)))
}

/// The place where a graph expects a tensor in a file, if the file's header differs.
fn difference(tensor: &TensorProto, location: &str, header: &Header) -> Option<String> {
    let info = |name| header.metadata.info(name);
    let Some(info) = info(&tensor.name).or_else(|| info(stored_name(&tensor.name))) else {
        return Some(format!("{location}, which does not hold it"));
    };
    let (start, end) = info.data_offsets;
    let (offset, length) = (header.data + start as u64, (end - start) as u64);
    let number = |key: &str| entry(tensor, key).and_then(|value| value.parse::<u64>().ok());
    let dims: Vec<i64> = info.shape.iter().map(|&size| size as i64).collect();
    let stored = match info.dtype {
        Dtype::F32 => Some(element::FLOAT),
        Dtype::F16 => Some(element::FLOAT16),
        Dtype::BF16 => Some(element::BFLOAT16),
        Dtype::I8 => Some(element::INT8),
        Dtype::U8 => Some(element::UINT8),
        _ => None,
    };
    let expected = (number("offset"), number("length"), &tensor.dims, Some(tensor.data_type));
    if expected == (Some(offset), Some(length), &dims, stored) {
        return None;
    }
    let at = entry(tensor, "offset").unwrap_or("?");
    Some(format!(
        "byte {at} of {location} as {:?}, but it is at byte {offset} as {dims:?} of type {}",
        tensor.dims, info.dtype,
    ))
}

/// The value of a key of a tensor's external data.
fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    let entry = tensor.external_data.iter().find(|entry| entry.key == key)?;
    Some(&entry.value)
}
