//! The Parquet file of a range of trajectories.
//!
//! Each row is a trajectory. The file's key-value metadata hold the settings, with the prefix `conjoint.`:
//!
//! ```text
//! index       uint64        number of the trajectory and of its random stream
//! prompt_len  uint32
//! tokens      list<uint32>  the prompt first
//! order       list<uint32>  positions, the first revealed first
//! ```
//!
//! Values are dictionary-encoded, which packs ids and positions into the bits that they need. A general compressor hardly
//! reduces them further.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::settings::FolderSettings;
use crate::trajectory::Trajectory;

const SCHEMA: &str = "message trajectory {
    required int64 index (INTEGER(64, false));
    required int32 prompt_len (INTEGER(32, false));
    required group tokens (LIST) {
        repeated group list { required int32 element (INTEGER(32, false)); }
    }
    required group order (LIST) {
        repeated group list { required int32 element (INTEGER(32, false)); }
    }
}";
const PREFIX: &str = "conjoint.";

/// Encodes a file.
pub(crate) fn write(rows: &[Trajectory], settings: &FolderSettings) -> Result<Vec<u8>> {
    let entry = |(name, value): (&str, &str)| {
        KeyValue::new(format!("{PREFIX}{name}"), Some(value.to_owned()))
    };
    let metadata = settings.iter().map(entry).collect();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let indices: Vec<i64> = rows.iter().map(|row| row.index as i64).collect();
    put::<Int64Type>(&mut group, &indices, None)?;
    let prompts: Vec<i32> = rows.iter().map(|row| row.prompt_len as i32).collect();
    put::<Int32Type>(&mut group, &prompts, None)?;
    put_lists(&mut group, rows.iter().map(|row| &row.tokens[..]))?;
    put_lists(&mut group, rows.iter().map(|row| &row.order[..]))?;
    group.close()?;
    file.into_inner()
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
    levels: Option<(&[i16], &[i16])>,
) -> Result<()> {
    let mut column = group.next_column()?.ok_or_else(|| general("the schema has fewer columns"))?;
    let (definitions, repetitions) = levels.unzip();
    column.typed::<T>().write_batch(values, definitions, repetitions)?;
    column.close()
}

/// Encodes lists as Parquet does: all values in sequence, with repetition level 1 for a value that continues a list, and
/// definition level 0 for an empty list, which has no value.
fn put_lists<'a>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    lists: impl Iterator<Item = &'a [u32]>,
) -> Result<()> {
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        values.extend(list.iter().map(|&value| value as i32));
        definitions.extend(if list.is_empty() { vec![0] } else { vec![1; list.len()] });
        repetitions.push(0);
        repetitions.extend(vec![1; list.len().saturating_sub(1)]);
    }
    put::<Int32Type>(group, &values, Some((&definitions, &repetitions)))
}

/// Decodes a file: its settings and its rows. The caller must verify the bytes first, because the reader panics on some
/// damaged ones.
pub(crate) fn read(bytes: Vec<u8>) -> Result<(FolderSettings, Vec<Trajectory>)> {
    let file = SerializedFileReader::new(Bytes::from(bytes))?;
    let metadata = file.metadata().file_metadata();
    if metadata.schema() != &parse_message_type(SCHEMA)? {
        return Err(general("its columns differ from those of trajectories"));
    }
    let entries = metadata.key_value_metadata().into_iter().flatten();
    let settings = entries.filter_map(|entry| {
        Some((entry.key.strip_prefix(PREFIX)?, entry.value.as_deref().unwrap_or_default()))
    });
    let settings = settings.collect();
    let mut rows = Vec::new();
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group)?;
        let indices = get::<Int64Type>(&*group, 0)?.into_iter();
        let prompts = get::<Int32Type>(&*group, 1)?.into_iter();
        let lists = get_lists(&*group, 2)?.into_iter().zip(get_lists(&*group, 3)?);
        rows.extend(indices.zip(prompts).zip(lists).map(|((index, prompt), (tokens, order))| {
            Trajectory { index: index as u64, prompt_len: prompt as u32 as usize, tokens, order }
        }));
    }
    Ok((settings, rows))
}

fn get<T: DataType>(group: &dyn RowGroupReader, column: usize) -> Result<Vec<T::T>> {
    let mut values = Vec::new();
    all::<T>(group, column)?.read_records(count(group), None, None, &mut values)?;
    expect(values.len(), group)?;
    Ok(values)
}

fn get_lists(group: &dyn RowGroupReader, column: usize) -> Result<Vec<Vec<u32>>> {
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    let mut reader = all::<Int32Type>(group, column)?;
    let levels = (Some(&mut definitions), Some(&mut repetitions));
    reader.read_records(count(group), levels.0, levels.1, &mut values)?;
    let (mut lists, mut values) = (Vec::new(), values.into_iter());
    for (definition, repetition) in definitions.into_iter().zip(repetitions) {
        if repetition == 0 {
            lists.push(Vec::new());
        }
        if definition == 1
            && let (Some(list), Some(value)) = (lists.last_mut(), values.next())
        {
            list.push(value as u32);
        }
    }
    expect(lists.len(), group)?;
    Ok(lists)
}

fn all<T: DataType>(group: &dyn RowGroupReader, column: usize) -> Result<ColumnReaderImpl<T>> {
    Ok(get_typed_column_reader::<T>(group.get_column_reader(column)?))
}

fn count(group: &dyn RowGroupReader) -> usize {
    usize::try_from(group.metadata().num_rows()).unwrap_or(0)
}

fn expect(got: usize, group: &dyn RowGroupReader) -> Result<()> {
    match count(group) {
        rows if rows == got => Ok(()),
        rows => Err(general(&format!("a column holds {got} rows, expected {rows}"))),
    }
}

fn general(reason: &str) -> ParquetError {
    ParquetError::General(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Trajectory> {
        let row = |index: u64| Trajectory {
            index,
            prompt_len: (index % 3) as usize,
            tokens: (0..9).map(|i| u32::MAX - (index % 5) as u32 * i).collect(),
            order: ((index % 3) as u32..9).rev().collect(),
        };
        (u64::MAX - 40..u64::MAX).map(row).collect()
    }

    fn settings() -> FolderSettings {
        FolderSettings::from_iter([("model", "a model"), ("top-p", "none")])
    }

    /// Writes rows and reads them back.
    fn round_trip(rows: &[Trajectory]) -> (FolderSettings, Vec<Trajectory>) {
        let bytes = write(rows, &settings()).unwrap();
        assert_eq!(bytes, write(rows, &settings()).unwrap());
        read(bytes).unwrap()
    }

    #[test]
    fn written_rows_read_back_the_same() {
        assert_eq!(round_trip(&rows()), (settings(), rows()));
        assert_eq!(round_trip(&rows()[..1]).1, rows()[..1]);
        // Empty lists are preserved.
        let empty = Trajectory { tokens: vec![], order: vec![], ..rows()[0].clone() };
        let rows = [empty.clone(), rows()[1].clone(), empty];
        assert_eq!(round_trip(&rows).1, rows);
    }

    #[test]
    fn other_tables_are_rejected() {
        let bytes = write(&rows(), &settings()).unwrap();
        assert!(read(bytes[..bytes.len() - 1].to_vec()).is_err());
        let schema = Arc::new(parse_message_type("message other { required int32 a; }").unwrap());
        let properties = Arc::new(WriterProperties::default());
        let other = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        let error = read(other.into_inner().unwrap()).unwrap_err().to_string();
        assert!(error.contains("columns"), "{error}");
    }
}
