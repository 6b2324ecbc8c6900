//! A user's schema: which fields a payload has, by its first byte. Each becomes a column of Parquet.

use crate::failure::{BridgeFailure, USAGE};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Columns that every file has.
pub const STREAM_COLUMNS: [&str; 7] =
    ["seq", "timestamp", "epoch", "publisher", "publisher_seq", "destination", "payload"];
/// The column with the name of the payload's message type.
pub const TYPE_COLUMN: &str = "message_type";
/// Longest schema that is read, in bytes.
const SCHEMA_LEN_MAX: u64 = 16 << 20;
/// Longest number.
const NUMBER_LEN_MAX: usize = 8;
/// Digits of a price's column.
pub const PRICE_DIGITS: u32 = 18;
/// Longest message of the stream.
const PAYLOAD_LEN_MAX: usize = lockstep_wire::MESSAGE_LEN_MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldOrder {
    #[default]
    Big,
    Little,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// A number without a sign.
    Uint,
    /// A number with one, in two's complement.
    Int,
    /// Text; the blanks behind it are no part of it.
    Ascii,
    /// A number without a sign, of which the last `decimals` digits are behind the point.
    Price,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaText {
    name: String,
    #[serde(default)]
    byte_order: FieldOrder,
    #[serde(rename = "message")]
    messages: Vec<MessageText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageText {
    r#type: char,
    name: String,
    #[serde(default)]
    fields: Vec<FieldText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    name: String,
    offset: usize,
    length: usize,
    kind: FieldKind,
    decimals: Option<u8>,
    byte_order: Option<FieldOrder>,
}

/// A column of a schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldColumn {
    pub name: String,
    pub kind: FieldKind,
    /// 0 of all but prices.
    pub decimals: u8,
}

/// A field of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageField {
    /// Its column.
    pub column: usize,
    pub offset: usize,
    pub len: usize,
    kind: FieldKind,
    order: FieldOrder,
}

/// What a field has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldValue<'a> {
    /// The bits of a number of 64 bits.
    Number(i64),
    Text(&'a [u8]),
}

impl MessageField {
    /// Its value; none if the payload ends before it, or has what the column cannot have: a text that is not
    /// ASCII, a price of more than [`PRICE_DIGITS`] digits.
    pub fn value<'a>(&self, payload: &'a [u8]) -> Option<FieldValue<'a>> {
        let bytes = payload.get(self.offset..self.offset + self.len)?;
        match self.kind {
            FieldKind::Ascii => {
                let end = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
                bytes.is_ascii().then_some(FieldValue::Text(&bytes[..end]))
            }
            FieldKind::Uint => Some(FieldValue::Number(self.number(bytes) as i64)),
            FieldKind::Int => {
                let unused = 64 - 8 * self.len as u32;
                Some(FieldValue::Number(((self.number(bytes) << unused) as i64) >> unused))
            }
            FieldKind::Price => {
                let number = self.number(bytes);
                (number < 10u64.pow(PRICE_DIGITS)).then_some(FieldValue::Number(number as i64))
            }
        }
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self.order {
            FieldOrder::Big => bytes.iter().fold(0, add),
            FieldOrder::Little => bytes.iter().rev().fold(0, add),
        }
    }
}

/// A type of message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageSchema {
    pub name: String,
    pub fields: Vec<MessageField>,
}

/// What payloads have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayloadSchema {
    pub name: String,
    pub columns: Vec<FieldColumn>,
    /// Their places, by name.
    places: BTreeMap<String, usize>,
    /// By the first byte.
    messages: BTreeMap<u8, MessageSchema>,
}

/// Why a schema is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SchemaError {
    /// It is no TOML, or lacks something: where, and what.
    Text(String),
    /// A message or one of its fields is wrong.
    Field {
        message: char,
        /// Empty: the message itself.
        field: String,
        what: String,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(what) => f.write_str(what.trim_end()),
            Self::Field { message, field, what } if field.is_empty() => {
                write!(f, "message '{}': {what}", message.escape_default())
            }
            Self::Field { message, field, what } => {
                write!(f, "message '{}', field '{field}': {what}", message.escape_default())
            }
        }
    }
}

impl std::error::Error for SchemaError {}

impl PayloadSchema {
    /// The schema of a file that was named with `--schema`, and its text.
    ///
    /// # Errors
    /// The file cannot be read, or is wrong.
    pub fn read(path: &Path) -> Result<(Self, String), BridgeFailure> {
        let named = |error: &dyn fmt::Display| {
            BridgeFailure::new(USAGE, format!("--schema {}: {error}", path.display()))
        };
        let mut text = String::new();
        let opened = File::open(path).map_err(|error| named(&error))?;
        opened.take(SCHEMA_LEN_MAX + 1).read_to_string(&mut text).map_err(|error| named(&error))?;
        if text.len() as u64 > SCHEMA_LEN_MAX {
            return Err(named(&format!("it has more than {SCHEMA_LEN_MAX} bytes: it is no schema")));
        }
        let schema = Self::parse(&text).map_err(|error| named(&error))?;
        Ok((schema, text))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Where it is wrong, and what is.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let text: SchemaText = toml::from_str(text).map_err(|error| SchemaError::Text(error.to_string()))?;
        let (columns, places, messages) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut schema = Self { name: text.name, columns, places, messages };
        for message in &text.messages {
            schema.add(message, text.byte_order)?;
        }
        Ok(schema)
    }

    fn add(&mut self, message: &MessageText, order: FieldOrder) -> Result<(), SchemaError> {
        let error = |field: &str, what: String| SchemaError::Field {
            message: message.r#type,
            field: field.to_owned(),
            what,
        };
        let first = u8::try_from(message.r#type).ok().filter(u8::is_ascii);
        let first =
            first.ok_or_else(|| error("", "its type is not ASCII: \"\\u0001\" is the byte 1".into()))?;
        let mut fields: Vec<MessageField> = Vec::with_capacity(message.fields.len());
        let mut taken = BTreeSet::new();
        for field in &message.fields {
            let checked = self.check(field, order).map_err(|what| error(&field.name, what))?;
            if !taken.insert(checked.column) {
                return Err(error(&field.name, "this message has another field of the name".into()));
            }
            fields.push(checked);
        }
        let schema = MessageSchema { name: message.name.clone(), fields };
        match self.messages.insert(first, schema) {
            None => Ok(()),
            Some(_) => Err(error("", "the file has two messages of this type".into())),
        }
    }

    /// The field, with its column; what is wrong with it.
    fn check(&mut self, field: &FieldText, order: FieldOrder) -> Result<MessageField, String> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if field.name.is_empty() || !field.name.chars().all(is_name) {
            return Err("a name has small letters, digits and '_'".into());
        }
        if STREAM_COLUMNS.contains(&field.name.as_str()) || field.name == TYPE_COLUMN {
            return Err("every file has a column of this name: choose another".into());
        }
        let len_max = if field.kind == FieldKind::Ascii { PAYLOAD_LEN_MAX } else { NUMBER_LEN_MAX };
        if !(1..=len_max).contains(&field.length) {
            return Err(format!("length {}: choose from 1 to {len_max}", field.length));
        }
        if field.offset.checked_add(field.length).is_none_or(|end| end > PAYLOAD_LEN_MAX) {
            return Err(format!("it ends beyond {PAYLOAD_LEN_MAX} bytes, the longest message"));
        }
        let decimals = match (field.kind, field.decimals) {
            (FieldKind::Price, Some(decimals)) if u32::from(decimals) <= PRICE_DIGITS => decimals,
            (FieldKind::Price, _) => return Err(format!("a price needs decimals, from 0 to {PRICE_DIGITS}")),
            (_, None) => 0,
            (_, Some(_)) => return Err("decimals are for prices".into()),
        };
        let column = FieldColumn { name: field.name.clone(), kind: field.kind, decimals };
        let index = match self.places.get(&column.name) {
            Some(index) => *index,
            None => {
                self.columns.push(column.clone());
                self.places.insert(column.name.clone(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        if self.columns[index] != column {
            return Err("another message has a field of this name and of another kind: rename one".into());
        }
        Ok(MessageField {
            column: index,
            offset: field.offset,
            len: field.length,
            kind: field.kind,
            order: field.byte_order.unwrap_or(order),
        })
    }

    /// The type of a payload, if the schema has it.
    pub fn message(&self, payload: &[u8]) -> Option<&MessageSchema> {
        self.messages.get(payload.first()?)
    }
}
