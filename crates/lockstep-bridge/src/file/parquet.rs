//! Parquet: the columns of the stream, and those of a user's schema.
//!
//! A row group is written when it has enough rows or bytes, so where it ends is a function of the records.
//! Without compression or by LZ4: readers of every kind have both, and neither needs C.

use super::csv::NAME_COLUMNS;
use super::encode::{EncodeError, EncodedBytes, FileEncoder, refused};
use super::manifest::RowsBefore;
use crate::record::StreamRecord;
use lockstep_schema::{
    FieldColumn, FieldKind, FieldValue, PRICE_DIGITS, PayloadSchema, STREAM_COLUMNS, TYPE_COLUMN,
};
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use std::sync::Arc;

/// A row group has at most so many rows, ...
const GROUP_ROWS: usize = 65_536;
/// ... and ends with the row that makes its payloads this large.
const GROUP_BYTES: usize = 32 << 20;
/// Bytes of a row beside its payload.
const ROW_BYTES: u64 = 44;

/// How column chunks are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum ParquetCompression {
    /// LZ4_RAW
    Lz4,
    /// Not at all
    None,
}

/// Texts or bytes of one column, in one memory.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// All of them; none are left.
    fn take(&mut self) -> Vec<ByteArray> {
        let all = ByteArray::from(std::mem::take(&mut self.bytes));
        let mut begin = 0;
        let slice = |end: usize| {
            let text = all.slice(begin, end - begin);
            begin = end;
            text
        };
        self.ends.drain(..).map(slice).collect()
    }
}

/// A column of which a row may have nothing.
#[derive(Debug, Default)]
struct OptionalColumn {
    numbers: Vec<i64>,
    floats: Vec<f64>,
    bools: Vec<bool>,
    texts: Texts,
    /// By row: 1 where there is a value. Rows at the end that have none are added when it is written.
    levels: Vec<i16>,
}

impl OptionalColumn {
    /// The value of row `row`, which no row behind it has had yet.
    fn push(&mut self, row: usize, value: FieldValue<'_>) {
        self.levels.resize(row, 0);
        self.levels.push(1);
        match value {
            FieldValue::Number(number) => self.numbers.push(number),
            FieldValue::Text(text) | FieldValue::Bytes(text) => self.texts.push(text),
            FieldValue::Group(group) => self.texts.push(group.json().to_string().as_bytes()),
            FieldValue::Flags(names) => self.texts.push(names.to_string().as_bytes()),
            FieldValue::Bool(value) => self.bools.push(value),
            FieldValue::Float(value) => self.floats.push(value),
        }
    }

    /// Writes it for a row group of `rows`; nothing is left.
    fn write(
        &mut self,
        mut column: SerializedColumnWriter<'_>,
        rows: usize,
        kind: FieldKind,
    ) -> Result<(), ParquetError> {
        self.levels.resize(rows, 0);
        let levels = Some(&self.levels[..]);
        match kind {
            FieldKind::Ascii
            | FieldKind::Enum
            | FieldKind::Set
            | FieldKind::Utf8
            | FieldKind::Bytes
            | FieldKind::Group => {
                column.typed::<ByteArrayType>().write_batch(&self.texts.take(), levels, None)?
            }
            FieldKind::Bool => column.typed::<BoolType>().write_batch(&self.bools, levels, None)?,
            FieldKind::Float => column.typed::<DoubleType>().write_batch(&self.floats, levels, None)?,
            FieldKind::Uint | FieldKind::Int | FieldKind::Price | FieldKind::Decimal => {
                column.typed::<Int64Type>().write_batch(&self.numbers, levels, None)?
            }
        };
        self.levels.clear();
        self.numbers.clear();
        self.floats.clear();
        self.bools.clear();
        column.close()
    }
}

/// The rows of the row group that is filled.
#[derive(Debug, Default)]
struct RowGroup {
    rows: usize,
    seq: Vec<i64>,
    timestamp: Vec<i64>,
    epoch: Vec<i64>,
    publisher: Vec<i32>,
    publisher_seq: Vec<i64>,
    destination: Vec<i32>,
    payload: Texts,
    /// The names of publisher and destination, where they are asked for.
    names: Option<[OptionalColumn; 2]>,
    /// The type, if there is a schema, and its columns.
    types: OptionalColumn,
    fields: Vec<OptionalColumn>,
}

impl RowGroup {
    fn push(&mut self, record: &StreamRecord<'_>, schema: Option<&PayloadSchema>) {
        // Parquet's columns of numbers without a sign are those bits.
        self.seq.push(record.seq as i64);
        self.timestamp.push(record.timestamp as i64);
        self.epoch.push(record.epoch as i64);
        self.publisher.push(record.publisher as i32);
        self.publisher_seq.push(record.publisher_seq as i64);
        self.destination.push(record.destination as i32);
        self.payload.push(record.payload);
        let names = [record.names.publisher, record.names.destination];
        for (column, name) in self.names.iter_mut().flatten().zip(names) {
            if let Some(name) = name {
                column.push(self.rows, FieldValue::Text(name.as_bytes()));
            }
        }
        if let Some(message) = schema.and_then(|schema| schema.message(record.payload).ok()) {
            self.types.push(self.rows, FieldValue::Text(message.schema.name.as_bytes()));
            for (column, _, value) in message.fields() {
                if let Some(value) = value {
                    self.fields[column].push(self.rows, value);
                }
            }
        }
        self.rows += 1;
    }

    fn is_full(&self) -> bool {
        self.rows >= GROUP_ROWS || self.payload.bytes.len() >= GROUP_BYTES
    }

    /// Writes all columns, in the order of the file's schema; no row is left.
    fn write(
        &mut self,
        mut group: SerializedRowGroupWriter<'_, EncodedBytes>,
        schema: Option<&PayloadSchema>,
    ) -> Result<(), ParquetError> {
        write_longs(&mut group, &mut self.seq)?;
        write_longs(&mut group, &mut self.timestamp)?;
        write_longs(&mut group, &mut self.epoch)?;
        write_ints(&mut group, &mut self.publisher)?;
        write_longs(&mut group, &mut self.publisher_seq)?;
        write_ints(&mut group, &mut self.destination)?;
        let mut column = next(&mut group)?;
        column.typed::<ByteArrayType>().write_batch(&self.payload.take(), None, None)?;
        column.close()?;
        for names in self.names.iter_mut().flatten() {
            names.write(next(&mut group)?, self.rows, FieldKind::Ascii)?;
        }
        if let Some(schema) = schema {
            self.types.write(next(&mut group)?, self.rows, FieldKind::Ascii)?;
            for (field, FieldColumn { kind, .. }) in self.fields.iter_mut().zip(&schema.columns) {
                field.write(next(&mut group)?, self.rows, *kind)?;
            }
        }
        self.rows = 0;
        group.close().map(drop)
    }
}

fn next<'a>(
    group: &'a mut SerializedRowGroupWriter<'_, EncodedBytes>,
) -> Result<SerializedColumnWriter<'a>, ParquetError> {
    group.next_column()?.ok_or_else(|| ParquetError::General("the schema has fewer columns".into()))
}

fn write_longs(
    group: &mut SerializedRowGroupWriter<'_, EncodedBytes>,
    values: &mut Vec<i64>,
) -> Result<(), ParquetError> {
    let mut column = next(group)?;
    column.typed::<Int64Type>().write_batch(values, None, None)?;
    values.clear();
    column.close()
}

fn write_ints(
    group: &mut SerializedRowGroupWriter<'_, EncodedBytes>,
    values: &mut Vec<i32>,
) -> Result<(), ParquetError> {
    let mut column = next(group)?;
    column.typed::<Int32Type>().write_batch(values, None, None)?;
    values.clear();
    column.close()
}

/// The column of the file for one of the stream.
fn stream_column(name: &str) -> Result<Type, ParquetError> {
    let (physical, logical) = match name {
        "publisher" | "destination" => (Physical::INT32, Some(LogicalType::integer(32, false))),
        // Not as an instant of UTC: DuckDB reads those in microseconds.
        "timestamp" => (Physical::INT64, Some(LogicalType::timestamp(false, TimeUnit::NANOS))),
        "payload" => (Physical::BYTE_ARRAY, None),
        _ => (Physical::INT64, Some(LogicalType::integer(64, false))),
    };
    let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
    column.with_logical_type(logical).build()
}

/// The column of the file for one of a user's schema.
fn field_column(name: &str, kind: FieldKind, decimals: u8) -> Result<Type, ParquetError> {
    let (physical, logical) = match kind {
        FieldKind::Ascii | FieldKind::Enum | FieldKind::Set | FieldKind::Utf8 => {
            (Physical::BYTE_ARRAY, Some(LogicalType::String))
        }
        FieldKind::Bytes => (Physical::BYTE_ARRAY, None),
        FieldKind::Group => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        FieldKind::Uint => (Physical::INT64, Some(LogicalType::integer(64, false))),
        FieldKind::Int => (Physical::INT64, Some(LogicalType::integer(64, true))),
        FieldKind::Price | FieldKind::Decimal => {
            (Physical::INT64, Some(LogicalType::decimal(i32::from(decimals), PRICE_DIGITS as i32)))
        }
        FieldKind::Bool => (Physical::BOOLEAN, None),
        FieldKind::Float => (Physical::DOUBLE, None),
    };
    let column = Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    match kind.has_decimals() {
        true => column.with_precision(PRICE_DIGITS as i32).with_scale(decimals.into()).build(),
        false => column.build(),
    }
}

/// The schema of the files.
fn file_schema(schema: Option<&PayloadSchema>, has_names: bool) -> Result<TypePtr, ParquetError> {
    let mut columns: Vec<_> =
        STREAM_COLUMNS.iter().map(|name| stream_column(name)).collect::<Result<_, _>>()?;
    for name in NAME_COLUMNS.iter().filter(|_| has_names) {
        columns.push(field_column(name, FieldKind::Ascii, 0)?);
    }
    if let Some(schema) = schema {
        columns.push(field_column(TYPE_COLUMN, FieldKind::Ascii, 0)?);
        for FieldColumn { name, kind, decimals } in &schema.columns {
            columns.push(field_column(name, *kind, *decimals)?);
        }
    }
    let columns = columns.into_iter().map(Arc::new).collect();
    Type::group_type_builder("lockstep").with_fields(columns).build().map(Arc::new)
}

/// How the columns are written: numbers that rise as differences, what repeats by a dictionary.
fn properties(schema: Option<&PayloadSchema>, compression: ParquetCompression) -> WriterPropertiesPtr {
    let mut properties = WriterProperties::builder()
        .set_created_by("lockstep".into())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from("payload"), EnabledStatistics::None)
        .set_compression(match compression {
            ParquetCompression::Lz4 => Compression::LZ4_RAW,
            ParquetCompression::None => Compression::UNCOMPRESSED,
        });
    for rising in ["seq", "timestamp", "publisher_seq"] {
        properties = properties.set_column_encoding(ColumnPath::from(rising), Encoding::DELTA_BINARY_PACKED);
    }
    let texts = schema.into_iter().flat_map(|schema| &schema.columns);
    let texts = texts.filter(|column| column.kind.is_text()).map(|column| column.name.as_str());
    let repeating = ["epoch", "publisher", "destination", TYPE_COLUMN].into_iter().chain(NAME_COLUMNS);
    for repeating in repeating.chain(texts) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(repeating), true);
    }
    Arc::new(properties.build())
}

/// Writes Parquet.
pub struct Parquet {
    schema: Option<PayloadSchema>,
    has_names: bool,
    file_schema: TypePtr,
    properties: WriterPropertiesPtr,
    writer: Option<SerializedFileWriter<EncodedBytes>>,
    group: RowGroup,
    /// Of the last record.
    seq: u64,
}

impl Parquet {
    /// With the names of publisher and destination, if they are asked for, and the columns of the schema, if
    /// there is one.
    ///
    /// # Errors
    /// The schema's columns are none of Parquet's, or one is called as those of the names.
    pub fn new(
        schema: Option<PayloadSchema>,
        has_names: bool,
        compression: ParquetCompression,
    ) -> Result<Self, EncodeError> {
        let mut columns = schema.iter().flat_map(|schema| &schema.columns).map(|column| &*column.name);
        if let Some(name) = columns.find(|name| has_names && NAME_COLUMNS.contains(name)) {
            let why = format!("the schema has a field {name}, which is a column of --names: choose another");
            return Err(refused(0, why));
        }
        let file_schema = file_schema(schema.as_ref(), has_names).map_err(|error| refused(0, error))?;
        let properties = properties(schema.as_ref(), compression);
        Ok(Self {
            schema,
            has_names,
            file_schema,
            properties,
            writer: None,
            group: RowGroup::default(),
            seq: 0,
        })
    }

    /// Writes the row group.
    fn flush(&mut self) -> Result<(), EncodeError> {
        let Some(writer) = self.writer.as_mut().filter(|_| self.group.rows > 0) else { return Ok(()) };
        let group = writer.next_row_group();
        let written = group.and_then(|group| self.group.write(group, self.schema.as_ref()));
        written.map_err(|error| refused(self.seq, error))
    }
}

impl FileEncoder for Parquet {
    fn begin(
        &mut self,
        first: &StreamRecord<'_>,
        _: RowsBefore,
        out: &EncodedBytes,
    ) -> Result<(), EncodeError> {
        let columns = self.schema.as_ref().map_or(0, |schema| schema.columns.len());
        let names = self.has_names.then(Default::default);
        self.group = RowGroup { names, ..RowGroup::default() };
        self.group.fields.resize_with(columns, OptionalColumn::default);
        let writer =
            SerializedFileWriter::new(out.clone(), self.file_schema.clone(), self.properties.clone());
        let mut writer = writer.map_err(|error| refused(first.seq, error))?;
        let history = format!("{:016x}", first.history);
        writer.append_key_value_metadata(KeyValue::new("lockstep.history".into(), history));
        self.writer = Some(writer);
        Ok(())
    }

    fn append(&mut self, record: &StreamRecord<'_>, _: &EncodedBytes) -> Result<u64, EncodeError> {
        self.seq = record.seq;
        self.group.push(record, self.schema.as_ref());
        if self.group.is_full() {
            self.flush()?;
        }
        Ok(ROW_BYTES + record.payload.len() as u64)
    }

    fn end(&mut self, _: &EncodedBytes) -> Result<(), EncodeError> {
        self.flush()?;
        let closed = self.writer.take().map_or(Ok(()), |writer| writer.close().map(drop));
        closed.map_err(|error| refused(self.seq, error))
    }
}
