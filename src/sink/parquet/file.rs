//! A table as the bytes of a file. The same rows give the same bytes.

use super::tables::Table;
use crate::model::delivery::Cut;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;

/// Name and version of the columns; it changes with them.
pub const SCHEMA: &str = "armspan/parquet/v1";
/// Under which key of the file's metadata the hash of its rows is.
const CONTENT: &str = "armspan.content";

/// A table of a cut; `None` when it has no rows.
pub fn encode(table: Table, cut: &Cut) -> Result<Option<Bytes>, ParquetError> {
    let rows = table.rows(cut)?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let notes = [
        ("armspan.schema", SCHEMA.to_owned()),
        ("armspan.table", table.name().to_owned()),
        (CONTENT, table.content(cut)),
    ];
    let notes = notes.map(|(key, value)| KeyValue::new(key.to_owned(), value));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(notes.to_vec()))
        .build();
    // The types of Parquet say all there is to say; Arrow's own would be one more thing to keep.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
        .with_schema_root(table.name().to_owned());
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options)?;
    writer.write(&rows)?;
    Ok(Some(writer.into_inner()?.into()))
}

/// The hash of the rows of a file; `None` when it is not one of ours.
pub fn content(file: &Bytes) -> Option<String> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file).ok()?;
    let notes = metadata.file_metadata().key_value_metadata()?;
    notes.iter().find(|note| note.key == CONTENT)?.value.clone()
}
