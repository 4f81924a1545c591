//! Where graphs find a checkpoint's tensors, and in which form.

use conjoint_format::checkpoint::Tensor;
use conjoint_format::proto::element;

/// A tensor in a file beside the graphs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    /// Its ONNX element type.
    pub(crate) element: i32,
    pub(crate) dims: Vec<usize>,
    /// The file, relative to the graph's own folder.
    pub(crate) location: String,
    /// Offset of the first byte in the file.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) length: u64,
}

/// The form in which a matrix W [out, in], or a table of rows, is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matrix {
    /// In the checkpoint's own type.
    Plain,
    /// W = (codes − zero) · scale of the row: i8 [out, in]; i8 \[out\], all 0; and f32 \[out\].
    Int8 { codes: Stored, zeros: Stored, scales: Stored },
    /// W = (codes − 8) · scale of the block: two codes a byte, u8 [out, blocks, block / 2]; and f32 [out,
    /// blocks].
    Int4 { codes: Stored, scales: Stored },
}

/// The files of weights that graphs point into.
pub(crate) trait Store {
    /// A tensor in the checkpoint's own type.
    fn tensor(&self, tensor: &Tensor) -> Stored;

    /// The form of a matrix.
    fn matrix(&self, _: &Tensor) -> Matrix {
        Matrix::Plain
    }
}

impl Stored {
    /// A tensor of a checkpoint's file. `location` is the file's name beside the graphs.
    pub(crate) fn of(tensor: &Tensor, location: String) -> Self {
        Self {
            name: tensor.name.clone(),
            element: element::of(tensor.dtype),
            dims: tensor.shape.clone(),
            location,
            offset: tensor.offset,
            length: tensor.length,
        }
    }
}
