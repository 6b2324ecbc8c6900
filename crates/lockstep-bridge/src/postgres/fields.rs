//! Columns of the fields of payloads, by a schema.
//!
//! A field without a value is NULL. A number of 8 bytes without a sign is a `numeric`, as a `bigint` has 63
//! bits.

use crate::failure::{BridgeFailure, USAGE};
use crate::file::read_schema;
use bytes::{BufMut, BytesMut};
use lockstep_schema::{FieldColumn, FieldKind, FieldValue, PRICE_DIGITS, PayloadSchema, TYPE_COLUMN};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// Columns of the table that no field may have: those of the stream beside `STREAM_COLUMNS`.
const OWN_COLUMNS: [&str; 5] =
    ["stamped_at", "timestamp_ns", "history", "publisher_name", "destination_name"];
/// Decimal digits of one of a numeric's own.
const GROUP_DIGITS: u32 = 4;

/// Numbers of 64 bits without a sign.
const LONG: SqlKind = SqlKind::Numeric(20, 0);

/// A column of the table.
struct TypedColumn {
    name: String,
    kind: SqlKind,
}

/// What a column of the table is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SqlKind {
    Text,
    /// Bytes as they are.
    Bytea,
    /// A text of JSON, which the server keeps as it is: what a `jsonb` has, is no more what was written.
    Json,
    Bigint,
    /// With so many digits, of which so many are behind the point.
    Numeric(u32, u8),
    Boolean,
    Double,
}

impl SqlKind {
    /// Of a column of the schema; `is_long` is one with numbers of 8 bytes.
    fn of(column: &FieldColumn, is_long: bool) -> Self {
        match column.kind {
            FieldKind::Uint if is_long => LONG,
            FieldKind::Uint | FieldKind::Int => Self::Bigint,
            FieldKind::Price | FieldKind::Decimal => Self::Numeric(PRICE_DIGITS, column.decimals),
            FieldKind::Ascii | FieldKind::Enum | FieldKind::Set | FieldKind::Utf8 => Self::Text,
            FieldKind::Bytes => Self::Bytea,
            FieldKind::Group => Self::Json,
            FieldKind::Bool => Self::Boolean,
            FieldKind::Float => Self::Double,
        }
    }

    /// As PostgreSQL writes it.
    fn sql(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Bytea => "bytea".into(),
            Self::Json => "json".into(),
            Self::Bigint => "bigint".into(),
            Self::Numeric(digits, decimals) => format!("numeric({digits},{decimals})"),
            Self::Boolean => "boolean".into(),
            Self::Double => "double precision".into(),
        }
    }

    /// The expression of the bytes that a binary COPY has of a column.
    fn bytes_of(self, column: &str) -> String {
        match self {
            Self::Text => format!("convert_to({column}, 'UTF8')"),
            Self::Bytea => column.to_owned(),
            Self::Json => format!("convert_to({column}::text, 'UTF8')"),
            Self::Bigint => format!("int8send({column})"),
            Self::Numeric(..) => format!("numeric_send({column})"),
            Self::Boolean => format!("boolsend({column})"),
            Self::Double => format!("float8send({column})"),
        }
    }
}

/// The columns of a schema, and how a payload fills them.
pub struct TypedColumns {
    schema: PayloadSchema,
    /// The message's name first.
    columns: Vec<TypedColumn>,
    /// Of the row that is written: where the value of each column stands in `bytes`, if it has one.
    values: Vec<Option<(usize, usize)>>,
    bytes: BytesMut,
}

impl TypedColumns {
    /// Those of a schema's file.
    ///
    /// # Errors
    /// It is wrong, or has a field with the name of a column of the bridge.
    pub fn read(path: &Path) -> Result<Self, BridgeFailure> {
        let (schema, _) = read_schema(path)?;
        if let Some(column) = schema.columns.iter().find(|column| OWN_COLUMNS.contains(&&*column.name)) {
            let what = format!("--schema: {} is a column of the bridge: choose another name", column.name);
            return Err(BridgeFailure::new(USAGE, what));
        }
        Ok(Self::of(schema))
    }

    fn of(schema: PayloadSchema) -> Self {
        let mut is_long = vec![false; schema.columns.len()];
        for field in schema.messages().flat_map(|message| &message.fields) {
            is_long[field.column] |= field.len == 8;
        }
        let message = TypedColumn { name: TYPE_COLUMN.to_owned(), kind: SqlKind::Text };
        let fields = schema.columns.iter().zip(is_long).map(|(column, is_long)| TypedColumn {
            name: column.name.clone(),
            kind: SqlKind::of(column, is_long),
        });
        let columns: Vec<_> = [message].into_iter().chain(fields).collect();
        let values = vec![None; columns.len()];
        Self { schema, columns, values, bytes: BytesMut::new() }
    }

    /// How many.
    pub fn count(&self) -> i16 {
        self.columns.len() as i16
    }

    /// Each with its type: for the statements that make them.
    pub fn definitions(&self) -> impl Iterator<Item = (&str, String)> {
        self.columns.iter().map(|column| (&*column.name, column.kind.sql()))
    }

    /// `, "a", "b"`
    pub fn list(&self) -> String {
        self.columns.iter().fold(String::new(), |mut list, column| {
            let _ = write!(list, ", \"{}\"", column.name); // memory takes all
            list
        })
    }

    /// The expression of the bytes of all columns, as [`Self::append`] has them: behind others.
    pub fn digest(&self) -> Arc<str> {
        let digest = self.columns.iter().fold(String::new(), |mut digest, column| {
            let bytes = column.kind.bytes_of(&format!("\"{}\"", column.name));
            let _ = write!(digest, " || coalesce(int4send(octet_length({bytes})) || {bytes}, int4send(-1))");
            digest
        });
        digest.into()
    }

    /// Appends the columns of a payload: each behind its length, NULL as the length -1.
    pub fn append(&mut self, payload: &[u8], out: &mut BytesMut) {
        let Self { schema, columns, values, bytes } = self;
        values.fill(None);
        bytes.clear();
        if let Ok(message) = schema.message(payload) {
            bytes.put_slice(message.schema.name.as_bytes());
            values[0] = Some((0, bytes.len()));
            for (index, _, value) in message.fields() {
                let begin = bytes.len();
                if value.is_some_and(|value| put(bytes, columns[1 + index].kind, value)) {
                    values[1 + index] = Some((begin, bytes.len()));
                }
            }
        }
        for value in values {
            match *value {
                Some((begin, end)) => {
                    out.put_i32((end - begin) as i32);
                    out.put_slice(&bytes[begin..end]);
                }
                None => out.put_i32(-1),
            }
        }
    }
}

/// Appends a value as a column of `kind` has it; false if it can have none.
fn put(out: &mut BytesMut, kind: SqlKind, value: FieldValue<'_>) -> bool {
    match (value, kind) {
        // Text of PostgreSQL has no zero.
        (FieldValue::Text(text), _) if text.contains(&0) => return false,
        (FieldValue::Text(bytes) | FieldValue::Bytes(bytes), _) => out.put_slice(bytes),
        (FieldValue::Group(group), _) => out.put_slice(group.json().to_string().as_bytes()),
        (FieldValue::Flags(names), _) => out.put_slice(names.to_string().as_bytes()),
        (FieldValue::Bool(value), _) => out.put_u8(value.into()),
        (FieldValue::Float(value), _) => out.put_f64(value),
        // The bits of a number without a sign.
        (FieldValue::Number(number), LONG) => put_numeric(out, false, u128::from(number as u64), 0),
        (FieldValue::Number(number), SqlKind::Numeric(_, decimals)) => {
            put_numeric(out, number < 0, number.unsigned_abs().into(), decimals);
        }
        (FieldValue::Number(number), _) => out.put_i64(number),
    }
    true
}

/// A number of which the last `decimals` digits are behind the point, in groups of four digits.
fn put_numeric(out: &mut BytesMut, is_negative: bool, number: u128, decimals: u8) {
    let behind = u32::from(decimals).div_ceil(GROUP_DIGITS);
    let mut rest = number * 10u128.pow(behind * GROUP_DIGITS - u32::from(decimals));
    let mut groups = Vec::new();
    while rest > 0 {
        groups.push((rest % 10_000) as i16);
        rest /= 10_000;
    }
    let weight = groups.len() as i16 - 1 - behind as i16;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    out.put_i16((groups.len() - zeros) as i16);
    out.put_i16(if groups.is_empty() { 0 } else { weight });
    out.put_u16(if is_negative { 0x4000 } else { 0 });
    out.put_u16(decimals.into());
    groups[zeros..].iter().rev().for_each(|group| out.put_i16(*group));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(number: i64, decimals: u8) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_numeric(&mut out, number < 0, number.unsigned_abs().into(), decimals);
        out.to_vec()
    }

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().copied().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn a_numeric_has_groups_of_four_digits_without_zeros_at_its_ends() {
        assert_eq!(numeric(0, 2), words(&[0, 0, 0, 2]));
        assert_eq!(numeric(1_234_500, 4), words(&[2, 0, 0, 4, 123, 4_500]));
        assert_eq!(numeric(-1, 2), words(&[1, 0xffff, 0x4000, 2, 100]));
        assert_eq!(numeric(100_000_000, 0), words(&[1, 2, 0, 0, 1]));
        assert_eq!(numeric(5, 6), words(&[1, 0xfffe, 0, 6, 500]));
        assert_eq!(numeric(70_000, 4), words(&[1, 0, 0, 4, 7]));
    }

    #[test]
    fn the_columns_of_a_payload_have_its_fields_and_null_where_there_is_none() {
        let schema = PayloadSchema::parse(
            "name = 'x'\n[[message]]\ntype = 'T'\nname = 'trade'\nfields = [\n\
             { name = 'on', offset = 1, length = 1, kind = 'bool' },\n\
             { name = 'id', offset = 2, length = 8, kind = 'uint' },\n\
             { name = 'user', offset = 10, length = 2, kind = 'ascii' },\n\
             { name = 'ratio', offset = 12, length = 4, kind = 'float' }]\n",
        );
        let mut columns = TypedColumns::of(schema.expect("a schema"));
        let definitions: Vec<_> = columns.definitions().map(|(name, of)| format!("{name} {of}")).collect();
        let expected =
            ["message_type text", "on boolean", "id numeric(20,0)", "user text", "ratio double precision"];
        assert_eq!(definitions, expected);
        assert_eq!(columns.list(), ", \"message_type\", \"on\", \"id\", \"user\", \"ratio\"");
        let mut appended = |payload: &[u8]| {
            let mut out = BytesMut::new();
            columns.append(payload, &mut out);
            out.to_vec()
        };
        let all = [&b"T\x01"[..], &[0xff; 8], b"a ", &1.5f32.to_be_bytes()].concat();
        let wanted = [
            &b"\0\0\0\x05trade\0\0\0\x01\x01\0\0\0\x12"[..],
            &words(&[5, 4, 0, 0, 1_844, 6_744, 737, 955, 1_615]),
            b"\0\0\0\x01a\0\0\0\x08",
            &1.5f64.to_be_bytes(),
        ];
        assert_eq!(appended(&all), wanted.concat());
        let null = [0xff; 4];
        let zero = [&b"T\x02"[..], &[0; 8], b"a\0"].concat();
        let wanted = [&b"\0\0\0\x05trade"[..], &null, b"\0\0\0\x08", &[0; 8], &null, &null];
        assert_eq!(appended(&zero), wanted.concat());
        assert_eq!(appended(b"?"), [null; 5].concat());
    }

    #[test]
    fn a_group_is_json_that_stays_as_it_is_written_and_data_is_text_or_bytes() {
        let schema = include_str!("../../../lockstep-schema/tests/it/fills.xml");
        let mut columns = TypedColumns::of(PayloadSchema::parse(schema).expect("a schema"));
        let definitions: Vec<_> = columns.definitions().map(|(name, of)| format!("{name} {of}")).collect();
        for definition in ["legs json", "hedges json", "raw bytea", "remark text"] {
            assert!(definitions.iter().any(|found| found == definition), "{definitions:?}");
        }
        assert!(columns.digest().contains("convert_to(\"legs\"::text, 'UTF8')"));
        let header = [1u16, 302, 7, 2].map(u16::to_le_bytes);
        let rest = [&b"1\x09\0\0\0\x04\0\x01\0"[..], &0.5f32.to_le_bytes(), b"\x02\0\xff\0\x01a"].concat();
        let mut out = BytesMut::new();
        columns.append(&[header.as_flattened(), &rest].concat(), &mut out);
        let values = [&b"\0\0\0\x02[]"[..], b"\0\0\0\x0f[{\"ratio\":0.5}]", b"\0\0\0\x02\xff\0\0\0\0\x01a"];
        for value in values {
            assert!(out.windows(value.len()).any(|window| window == value), "{value:?} in {out:?}");
        }
    }
}
