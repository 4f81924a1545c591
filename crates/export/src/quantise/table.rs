//! A quantised table as numbers.

use safetensors::Dtype;

use super::plan::{INT8, SCALES};
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;

/// Reads the table `name` [V, D] of a file of quantised weights; nothing if the file does not hold it.
pub(crate) fn read_table(
    weights: &mut Checkpoint,
    name: &str,
    [rows, columns]: [usize; 2],
) -> Result<Option<Vec<f32>>, ExportError> {
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
