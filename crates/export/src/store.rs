//! How the files beside the graphs hold a checkpoint's tensors.

use crate::checkpoint::Tensor;
use crate::manifest::DType;
use crate::proto::element;

/// A tensor as a graph finds it in a file beside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    /// Its ONNX element type.
    pub(crate) element: i32,
    pub(crate) dims: Vec<usize>,
    /// The file, relative to the graph's own folder.
    pub(crate) location: String,
    /// First byte in the file.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) length: u64,
}

/// A matrix W [out, in], or a table of rows, in one of the forms that graphs can multiply by and take rows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matrix {
    /// In the checkpoint's own type.
    Plain,
    /// W = (codes − zero) · scale of the row: i8 [out, in] and \[out\], where all are 0, and f32 \[out\].
    Int8 { codes: Stored, zeros: Stored, scales: Stored },
    /// W = (codes − 8) · scale of the block: two codes a byte, u8 [out, blocks, block / 2] and f32 [out, blocks].
    Int4 { codes: Stored, scales: Stored },
}

/// Where the graphs find each tensor, and in which form.
pub(crate) trait Store {
    /// A tensor in the checkpoint's own type.
    fn tensor(&self, tensor: &Tensor) -> Stored;

    /// The form of a matrix.
    fn matrix(&self, _: &Tensor) -> Matrix {
        Matrix::Plain
    }
}

impl Stored {
    /// A tensor as it lies in its checkpoint, under the name that its file has beside the graphs.
    pub(crate) fn of(tensor: &Tensor, location: String) -> Self {
        Self {
            name: tensor.name.clone(),
            element: element_of(tensor.dtype),
            dims: tensor.shape.clone(),
            location,
            offset: tensor.offset,
            length: tensor.length,
        }
    }
}

/// The ONNX element type of weights.
pub(crate) fn element_of(dtype: DType) -> i32 {
    match dtype {
        DType::Float32 => element::FLOAT,
        DType::Float16 => element::FLOAT16,
        DType::BFloat16 => element::BFLOAT16,
    }
}
