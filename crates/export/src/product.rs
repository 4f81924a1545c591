//! Products with matrices and rows of tables, for every form of a matrix.

use conjoint_format::checkpoint::Tensor;
use conjoint_format::proto::element;

use crate::graph::{Attribute, Graph, MICROSOFT};
use crate::quantise::BLOCK;
use crate::store::{Matrix, Stored};
use crate::value::{CodedRows, Value};

/// Makes `Gemm` accept PyTorch's [out, in] matrices without a transposition.
pub(crate) const TRANSPOSED: &[(&str, Attribute)] = &[("transB", Attribute::Int(1))];

/// The u8 code of an activation of 0.
const ZERO: u8 = 128;

impl Graph<'_> {
    /// x Wᵀ + b, on rows.
    pub(crate) fn product(&mut self, x: &Value, weight: &Tensor, bias: Option<&Tensor>) -> Value {
        let y = match self.matrix(weight) {
            Matrix::Plain => return self.plain_product(x, weight, bias),
            Matrix::Int8 { codes, zeros, scales } => {
                self.int8_product(x, [&codes, &scales, &zeros])
            }
            Matrix::Int4 { codes, scales } => {
                self.int4_product(x, weight.shape[1], &codes, &scales)
            }
        };
        match bias {
            None => y,
            Some(bias) => {
                let bias = self.weight(bias);
                self.op("Add", &[&y, &bias])
            }
        }
    }

    /// Rows of a table [V, D] in float32, by index. Rows are gathered before they are widened, to avoid
    /// widening the whole table.
    pub(crate) fn rows(&mut self, table: &Tensor, ids: &Value) -> Value {
        match self.matrix(table) {
            Matrix::Int8 { codes, scales, .. } => {
                let (codes, scales) = (self.external(&codes), self.external(&scales));
                let codes = self.op("Gather", &[&codes, ids]);
                let codes = self.cast(&codes, element::FLOAT);
                let scales = self.op("Gather", &[&scales, ids]);
                let last = self.ints(&[-1]);
                let scales = self.op("Unsqueeze", &[&scales, &last]);
                self.op("Mul", &[&codes, &scales])
            }
            // Tables always have at least 8 bits.
            Matrix::Plain | Matrix::Int4 { .. } => {
                let stored = self.stored_weight(table);
                let rows = self.op("Gather", &[&stored, ids]);
                self.widen(rows, table.dtype)
            }
        }
    }

    fn plain_product(&mut self, x: &Value, weight: &Tensor, bias: Option<&Tensor>) -> Value {
        let weight = self.weight(weight);
        match bias {
            None => self.node("Gemm", &[x, &weight], TRANSPOSED),
            Some(bias) => {
                let bias = self.weight(bias);
                self.node("Gemm", &[x, &weight, &bias], TRANSPOSED)
            }
        }
    }

    /// A product of integers. The scales of rows and columns are applied to the sums.
    ///
    /// A matrix that several layers share has a name for each. On x86 processors without VNNI instructions, ONNX
    /// Runtime replaces the codes and zero points of a product by unsigned ones, and fails if another product uses
    /// them too. In memory, each of these layers then has its own copy of the matrix.
    fn int8_product(&mut self, x: &Value, weight: [&Stored; 3]) -> Value {
        let rows = self.coded_rows(x);
        let (one, zero) = (self.float(1.0), self.byte(ZERO));
        let [codes, scales, zeros] = weight;
        let [codes, zeros] = [codes, zeros].map(|stored| self.own_external(stored));
        let scales = self.external(scales);
        let inputs = [&rows.codes, &one, &zero, &codes, &scales, &zeros];
        let sums = self.node_of(MICROSOFT, "QGemm", &inputs, TRANSPOSED);
        self.op("Mul", &[&sums, &rows.scales])
    }

    /// A product by the runtime's own kernel, which codes the activations of each block in 8 bits.
    fn int4_product(&mut self, x: &Value, width: usize, codes: &Stored, scales: &Stored) -> Value {
        let (weight, by_block) = (self.external(codes), self.external(scales));
        let attributes = [
            ("K", Attribute::Int(width as i64)),
            ("N", Attribute::Int(codes.dims[0] as i64)),
            ("bits", Attribute::Int(4)),
            ("block_size", Attribute::Int(BLOCK as i64)),
            ("accuracy_level", Attribute::Int(4)),
        ];
        self.node_of(MICROSOFT, "MatMulNBits", &[x, &weight, &by_block], &attributes)
    }

    /// Rows in 8 bits, with one scale for each row, for which the row's largest element is 127. Computed once
    /// for all products of the same rows.
    fn coded_rows(&mut self, x: &Value) -> CodedRows {
        if let Some(rows) = self.coded(x) {
            return rows;
        }
        let last = self.ints(&[-1]);
        let size = self.op("Abs", &[x]);
        let largest = self.op("ReduceMax", &[&size, &last]); // [N, 1]
        let (step, least) = (self.float(1.0 / 127.0), self.float(f32::MIN_POSITIVE));
        let scales = self.op("Mul", &[&largest, &step]);
        let scales = self.op("Clip", &[&scales, &least]);
        let by_row = self.op("Reshape", &[&scales, &last]); // [N]
        let (zero, count) = (self.byte(ZERO), self.op("Shape", &[&by_row]));
        let zeros = self.op("Expand", &[&zero, &count]);
        let rows = [("axis", Attribute::Int(0))];
        let codes = self.node("QuantizeLinear", &[x, &by_row, &zeros], &rows);
        self.insert_coded(x, CodedRows { codes, scales })
    }
}
