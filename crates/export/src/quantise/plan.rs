//! The contents of a file of quantised weights, and writing it: tensor by tensor, some rows at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::Dtype;
use serde_json::json;

use conjoint_format::checkpoint::Tensor;
use conjoint_format::proto::element;
use conjoint_format::quantised_weights::{INT4, INT8, SCALES, ZEROS};
use conjoint_format::{FormatError, Quantisation};

use super::codes::{self, BLOCK};
use crate::error::ExportError;
use crate::observer::ExportObserver;
use crate::store::{Matrix, Stored};

/// The number of bytes read at once. Longer rows are read whole.
const PIECE: usize = 4 << 20;

/// The plan of a `.safetensors` file with quantised matrices and copies of other tensors.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The file's name in the output folder.
    pub(crate) name: String,
    header: Vec<u8>,
    items: Vec<Item>,
    bytes: u64,
}

/// A tensor of the checkpoint, and the form in which the file stores it.
#[derive(Debug)]
struct Item {
    source: Tensor,
    form: Form,
}

/// The form in which a tensor is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Copied(Stored),
    Quantised(Matrix),
}

impl Plan {
    /// Plans the file `name` of these tensors. If a tensor is repeated, its last form counts.
    pub(crate) fn new<'a>(
        name: &str,
        tensors: impl IntoIterator<Item = (&'a Tensor, Option<Quantisation>)>,
    ) -> Self {
        let mut parts: BTreeMap<&str, (&Tensor, Option<Quantisation>)> = BTreeMap::new();
        for (tensor, quantisation) in tensors {
            parts.insert(&tensor.name, (tensor, quantisation));
        }
        let mut items: Vec<Item> = parts
            .into_values()
            .map(|(tensor, quantisation)| Item {
                source: tensor.clone(),
                form: Form::of(tensor, quantisation, name),
            })
            .collect();
        // Wide elements first, to align each to its size.
        let mut stored: Vec<&mut Stored> =
            items.iter_mut().flat_map(|item| item.form.stored_mut()).collect();
        stored.sort_by_key(|stored| std::cmp::Reverse(width(stored.element)));
        let mut end = 0;
        for stored in &mut stored {
            (stored.offset, end) = (end, end + stored.length);
        }
        let header = header(&stored);
        for stored in stored {
            stored.offset += header.len() as u64;
        }
        let bytes = header.len() as u64 + end;
        Self { name: name.into(), header, items, bytes }
    }

    /// Length of the file, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Length of the checkpoint's tensors that the file is made from, in bytes.
    pub(crate) fn source_bytes(&self) -> u64 {
        self.items.iter().map(|item| item.source.length).sum()
    }

    /// A copied tensor of this file.
    pub(crate) fn tensor(&self, name: &str) -> Option<&Stored> {
        self.items.iter().find_map(|item| match &item.form {
            Form::Copied(stored) if item.source.name == name => Some(stored),
            _ => None,
        })
    }

    /// A quantised matrix of this file.
    pub(crate) fn matrix(&self, name: &str) -> Option<&Matrix> {
        self.items.iter().find_map(|item| match &item.form {
            Form::Quantised(matrix) if item.source.name == name => Some(matrix),
            _ => None,
        })
    }

    /// Writes the contents to the empty `file` at `path`.
    ///
    /// # Errors
    /// [`ExportError::NotFinite`] for a tensor with NaN or infinity; and [`ExportError::Io`].
    pub(crate) fn write(
        &self,
        path: &Path,
        file: &mut File,
        observer: &mut dyn ExportObserver,
    ) -> Result<(), ExportError> {
        let mut out = Output { path, file };
        out.write_at(0, &self.header)?;
        for Item { source, form } in &self.items {
            match form {
                Form::Copied(stored) => {
                    let mut at = stored.offset;
                    for_each_piece(source, observer, |bytes| {
                        out.write_at(at, bytes)?;
                        at += bytes.len() as u64;
                        Ok(())
                    })?;
                }
                Form::Quantised(Matrix::Int8 { codes, zeros, scales }) => {
                    out.write_at(zeros.offset, &vec![0; zeros.length as usize])?;
                    quantise(source, [codes, scales], &mut out, observer, |row, codes, scales| {
                        codes::int8(row, codes).map(|scale| scales.push(scale))
                    })?;
                }
                Form::Quantised(Matrix::Int4 { codes, scales }) => {
                    quantise(source, [codes, scales], &mut out, observer, codes::int4)?;
                }
                Form::Quantised(Matrix::Plain) => {}
            }
        }
        Ok(())
    }
}

impl Form {
    fn of(tensor: &Tensor, quantisation: Option<Quantisation>, location: &str) -> Self {
        let stored = |suffix: &str, element, dims: Vec<usize>| Stored {
            name: format!("{}{suffix}", tensor.name),
            element,
            length: (dims.iter().product::<usize>() * width(element)) as u64,
            dims,
            location: location.into(),
            offset: 0,
        };
        match (quantisation, &tensor.shape[..]) {
            (Some(Quantisation::Int8), &[rows, columns]) => Self::Quantised(Matrix::Int8 {
                codes: stored(INT8, element::INT8, vec![rows, columns]),
                // The operator requires zero points with the shape of the scales.
                zeros: stored(ZEROS, element::INT8, vec![rows]),
                scales: stored(SCALES, element::FLOAT, vec![rows]),
            }),
            (Some(Quantisation::Int4), &[rows, columns]) => {
                let blocks = columns.div_ceil(BLOCK);
                Self::Quantised(Matrix::Int4 {
                    codes: stored(INT4, element::UINT8, vec![rows, blocks, BLOCK / 2]),
                    scales: stored(SCALES, element::FLOAT, vec![rows, blocks]),
                })
            }
            _ => Self::Copied(stored("", element::of(tensor.dtype), tensor.shape.clone())),
        }
    }

    fn stored_mut(&mut self) -> Vec<&mut Stored> {
        match self {
            Self::Copied(stored) => vec![stored],
            Self::Quantised(Matrix::Int8 { codes, zeros, scales }) => vec![codes, zeros, scales],
            Self::Quantised(Matrix::Int4 { codes, scales }) => vec![codes, scales],
            Self::Quantised(Matrix::Plain) => Vec::new(),
        }
    }
}

/// Writes the codes of a matrix, some rows at a time, and then its scales.
fn quantise(
    source: &Tensor,
    [codes, scales]: [&Stored; 2],
    out: &mut Output<'_>,
    observer: &mut dyn ExportObserver,
    mut row: impl FnMut(&[f32], &mut Vec<u8>, &mut Vec<f32>) -> Option<()>,
) -> Result<(), ExportError> {
    let columns = source.shape.last().copied().unwrap_or(1).max(1);
    let (mut weights, mut bytes, mut all_scales) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = codes.offset;
    for_each_piece(source, observer, |piece| {
        weights.clear();
        bytes.clear();
        source.dtype.append(&mut weights, piece);
        for weights in weights.chunks(columns) {
            row(weights, &mut bytes, &mut all_scales).ok_or_else(|| ExportError::NotFinite {
                path: source.file.clone(),
                name: source.name.clone(),
            })?;
        }
        out.write_at(at, &bytes)?;
        at += bytes.len() as u64;
        Ok(())
    })?;
    bytes.clear();
    bytes.extend(all_scales.iter().flat_map(|scale: &f32| scale.to_le_bytes()));
    out.write_at(scales.offset, &bytes)
}

/// Reads the bytes of a tensor in pieces of whole rows.
fn for_each_piece(
    tensor: &Tensor,
    observer: &mut dyn ExportObserver,
    mut take: impl FnMut(&[u8]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let columns = tensor.shape.last().copied().unwrap_or(1).max(1);
    let row = columns * width(element::of(tensor.dtype));
    let piece = (PIECE / row).max(1) * row;
    let (mut file, mut left) = (tensor.reader()?, tensor.length);
    let mut bytes = vec![0; left.min(piece as u64) as usize];
    while left > 0 {
        bytes.truncate(left.min(piece as u64) as usize);
        file.read_exact(&mut bytes).map_err(FormatError::io("read", &tensor.file))?;
        left -= bytes.len() as u64;
        observer.on_read(bytes.len() as u64);
        take(&bytes)?;
    }
    Ok(())
}

/// The file that is being written.
struct Output<'a> {
    path: &'a Path,
    file: &'a mut File,
}

impl Output<'_> {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let mut write = || -> io::Result<()> {
            self.file.seek(SeekFrom::Start(at))?;
            self.file.write_all(bytes)
        };
        write().map_err(ExportError::io("write", self.path))
    }
}

/// The header of a `.safetensors` file with these tensors back to back, padded to a multiple of 8 bytes.
fn header(stored: &[&mut Stored]) -> Vec<u8> {
    let entry = |stored: &&mut Stored| {
        let (start, end) = (stored.offset, stored.offset + stored.length);
        let dtype = dtype_of(stored.element).to_string();
        let entry = json!({ "dtype": dtype, "shape": stored.dims, "data_offsets": [start, end] });
        (stored.name.clone(), entry)
    };
    let entries: serde_json::Map<_, _> = stored.iter().map(entry).collect();
    let mut json = serde_json::Value::Object(entries).to_string();
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

/// The type of a stored tensor in a `.safetensors` file.
fn dtype_of(element: i32) -> Dtype {
    match element {
        element::FLOAT16 => Dtype::F16,
        element::BFLOAT16 => Dtype::BF16,
        element::INT8 => Dtype::I8,
        element::UINT8 => Dtype::U8,
        _ => Dtype::F32,
    }
}

/// Bytes of an element.
fn width(element: i32) -> usize {
    match element {
        element::FLOAT16 | element::BFLOAT16 => 2,
        element::INT8 | element::UINT8 => 1,
        _ => 4,
    }
}
