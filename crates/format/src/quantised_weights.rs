//! Files of quantised weights: their names, the names of their tensors, and reading a table.

use safetensors::Dtype;

use crate::checkpoint::Checkpoint;
use crate::error::FormatError;
use crate::quantisation::Quantisation;

/// Suffixes of the tensors that store one matrix.
pub const INT8: &str = ".int8";
pub const INT4: &str = ".int4";
pub const ZEROS: &str = ".zeros";
pub const SCALES: &str = ".scales";

/// Between the name of a tensor and a number, in a graph that names a tensor once more for each use.
const REPEATED: char = '#';

/// The name of a tensor in a graph, for its use with this number, from 1.
pub fn name_of_use(tensor: &str, number: usize) -> String {
    match number {
        0 | 1 => tensor.to_owned(),
        _ => format!("{tensor}{REPEATED}{number}"),
    }
}

/// The name of a tensor in its file, from its name in a graph.
pub fn stored_name(name: &str) -> &str {
    match name.rsplit_once(REPEATED) {
        Some((stored, number)) if number.parse::<usize>().is_ok() => stored,
        _ => name,
    }
}

/// Name of the model's file.
pub fn base_file(quantisation: Quantisation) -> String {
    format!("model-{quantisation}.safetensors")
}

/// Name of the sampler layer's file.
pub fn sampler_file(quantisation: Quantisation) -> String {
    format!("sampler-{quantisation}.safetensors")
}

/// Reads the table `name` [V, D] of a file of quantised weights. Returns `None` if the file does not hold it in
/// 8 bits.
pub(crate) fn read_table(
    weights: &mut Checkpoint,
    name: &str,
    [rows, columns]: [usize; 2],
) -> Result<Option<Vec<f32>>, FormatError> {
    let codes = format!("{name}{INT8}");
    if !weights.contains(&codes) {
        return Ok(None);
    }
    let mut codes = weights.take_raw(&codes, &[rows, columns], Dtype::I8)?;
    let mut scales = weights.take_raw(&format!("{name}{SCALES}"), &[rows], Dtype::F32)?;
    let mut table = Vec::with_capacity(rows * columns);
    let (mut row, mut scale) = (vec![0; columns], [0; 4]);
    for _ in 0..rows {
        codes.fill(&mut row)?;
        scales.fill(&mut scale)?;
        let scale = f32::from_le_bytes(scale);
        table.extend(row.iter().map(|&code| f32::from(code as i8) * scale));
    }
    Ok(Some(table))
}
