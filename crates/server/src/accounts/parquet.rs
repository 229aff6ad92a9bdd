//! The same rows as a Parquet file: amounts as decimals of six places, times in milliseconds.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::cells::{Cell, Column, Kind, Sheet};
use super::create;
use crate::CommandError;

/// Rows that are held until they are written.
const GROUP_ROWS: usize = 10_000;

/// A file under way.
pub(super) struct Writer {
    file: SerializedFileWriter<File>,
    waiting: Sheet,
}

fn schema(columns: &[Column]) -> String {
    let field = |column: &Column| {
        let kind = match column.kind {
            Kind::Text => format!("BYTE_ARRAY {} (UTF8)", column.name),
            Kind::Usdc => format!("INT64 {} (DECIMAL(18,6))", column.name),
            Kind::Time => format!("INT64 {} (TIMESTAMP_MILLIS)", column.name),
            Kind::Number => format!("INT64 {}", column.name),
        };
        format!("OPTIONAL {kind};")
    };
    format!("message payments {{ {} }}", columns.iter().map(field).collect::<Vec<_>>().join(" "))
}

impl Writer {
    pub(super) fn create(path: &Path, columns: &'static [Column]) -> Result<Self, CommandError> {
        let schema = Arc::new(parse_message_type(&schema(columns))?);
        let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
        let file = SerializedFileWriter::new(create(path)?, schema, Arc::new(properties))?;
        Ok(Self { file, waiting: Sheet::new(columns) })
    }

    pub(super) fn write(&mut self, sheet: &Sheet) -> Result<(), CommandError> {
        self.waiting.rows.extend(sheet.rows.iter().cloned());
        if self.waiting.rows.len() >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CommandError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        let mut at = 0;
        while let Some(mut column) = group.next_column()? {
            let cells = self.waiting.rows.iter().filter_map(|row| row.get(at));
            let levels: Vec<i16> = cells.clone().map(|cell| i16::from(!cell.is_none())).collect();
            match self.waiting.columns.get(at).map(|column| column.kind) {
                Some(Kind::Text) => {
                    let texts: Vec<ByteArray> =
                        cells.filter_map(Cell::as_text).map(ByteArray::from).collect();
                    column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None)?;
                }
                _ => {
                    let numbers: Vec<i64> = cells.filter_map(Cell::as_number).collect();
                    column.typed::<Int64Type>().write_batch(&numbers, Some(&levels), None)?;
                }
            }
            column.close()?;
            at = at.saturating_add(1);
        }
        group.close()?;
        self.waiting.rows.clear();
        Ok(())
    }

    /// Without it there is no file that anybody could read.
    pub(super) fn close(mut self) -> Result<(), CommandError> {
        self.flush()?;
        self.file.close()?;
        Ok(())
    }
}
