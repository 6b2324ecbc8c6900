//! # lockstep-schema: which fields a payload has
//!
//! A schema is a file: types of messages, and the fields of each at fixed places. It is TOML, or an XML of
//! Simple Binary Encoding, whose messages may have groups and data behind those fields. A reader of the
//! stream finds the message of a payload ([`PayloadSchema::message`]) and reads its fields
//! ([`PayloadMessage::fields`]). Nothing is copied. No payload is an error: a field that a payload does not
//! have is none.
//!
//! ```text
//!  TOML: checked ─┐                        ┌─▶ message, fields    of a payload
//!                 ├─▶ PayloadSchema ───────┤
//!  XML: sbe ──────┘   messages, columns    └─▶ generate           sources of seven languages
//! ```

#![forbid(unsafe_code)]

mod checked;
mod field;
mod generate;
mod parts;
mod sbe;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use field::{FieldColumn, FieldValue, FlagNames, MessageField, decimal, hex};
pub use generate::{SourceLanguage, generate, wireshark};
pub use parts::{DataPlace, FieldBlock, GroupEntries, GroupSchema, MessagePart, PartForm};
pub use text::{FieldKind, FieldOrder, FieldPadding};

/// Columns that every file of the bridge has: no field has one of these names.
pub const STREAM_COLUMNS: [&str; 7] =
    ["seq", "timestamp", "epoch", "publisher", "publisher_seq", "destination", "payload"];
/// The column with the name of the payload's message type.
pub const TYPE_COLUMN: &str = "message_type";
/// Digits of a price.
pub const PRICE_DIGITS: u32 = 18;
/// Longest schema that is read, in bytes.
const SCHEMA_LEN_MAX: u64 = 16 << 20;
/// Longest number, in bytes.
const NUMBER_LEN_MAX: usize = 8;
/// Longest message of the stream, in bytes.
const PAYLOAD_LEN_MAX: usize = lockstep_wire::MESSAGE_LEN_MAX;

/// A type of message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageSchema {
    /// As the schema names it.
    pub name: String,
    /// The number at the type's place; none of the one that every other payload is.
    pub number: Option<u64>,
    /// In the order of the schema.
    pub fields: Vec<MessageField>,
    /// What stands behind them, in this order.
    pub parts: Vec<MessagePart>,
    /// What the message has and no field shows: its name, and why.
    pub left_out: Vec<(String, String)>,
    /// Bytes in which its fields lie.
    pub fixed_len: usize,
    /// Bytes of one whose groups and data are empty.
    pub len: usize,
    /// The line of the file at which it begins.
    pub line: usize,
}

/// A number at a place of payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberPlace {
    /// Its first byte.
    pub offset: usize,
    /// In bytes.
    pub len: usize,
    /// Of its bytes.
    pub order: FieldOrder,
}

impl NumberPlace {
    /// Whether the least significant byte is the first.
    fn is_little(self) -> bool {
        self.order == FieldOrder::Little
    }

    /// The number that a payload has there; none of one that ends before.
    pub fn number(self, payload: &[u8]) -> Option<u64> {
        payload.get(self.offset..self.offset + self.len).map(|bytes| self.order.number(bytes))
    }
}

/// What stands before the fields of each message of Simple Binary Encoding, beside its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct BlockHeader {
    len: usize,
    /// How many bytes the fields take: fewer where an older program wrote them, more where a newer one did.
    block_len: NumberPlace,
    schema: Option<(NumberPlace, u64)>,
    version: Option<(NumberPlace, u64)>,
}

/// What payloads have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayloadSchema {
    /// As the schema names itself.
    pub name: String,
    /// Those of all messages, in the order in which they appear first.
    pub columns: Vec<FieldColumn>,
    /// Their places, by name.
    places: BTreeMap<String, usize>,
    place: NumberPlace,
    header: Option<BlockHeader>,
    /// By the number at the type's place.
    messages: BTreeMap<u64, MessageSchema>,
    /// The message that every other payload is.
    default: Option<MessageSchema>,
}

/// Why a schema is none.
#[derive(Debug)]
pub enum SchemaError {
    /// The file cannot be read.
    File(io::Error),
    /// It is neither TOML nor XML, or lacks something: where, and what.
    Text(String),
    /// A message or one of its fields is wrong.
    Field {
        /// Where it begins.
        line: usize,
        /// Its type as the schema has it, or its name.
        message: String,
        /// Empty: the message itself.
        field: String,
        /// The fault, and the remedy.
        what: String,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Text(what) => f.write_str(what.trim_end()),
            Self::Field { line, message, field, what } if field.is_empty() => {
                write!(f, "line {line}: message {message}: {what}")
            }
            Self::Field { line, message, field, what } => {
                write!(f, "line {line}: message {message}, field '{field}': {what}")
            }
        }
    }
}

impl std::error::Error for SchemaError {}

/// Why a payload is no message of the schema.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NoMessage {
    /// It ends before so many bytes, in which its type stands.
    Short(usize),
    /// Its type is of no message: the number, and of how many bytes.
    Type(u64, usize),
    /// It names this schema of Simple Binary Encoding, and the file is that one.
    Schema(u64, u64),
}

impl fmt::Display for NoMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short(len) => write!(f, "shorter than the {len} bytes in which a type ends"),
            Self::Type(number, len) => write!(f, "type {}, which no message has", shown_type(number, len)),
            Self::Schema(found, wanted) => write!(f, "of schema {found}, and the file is schema {wanted}"),
        }
    }
}

/// A type as a number, and as the letters of the payload where they are any: most significant byte first.
pub fn shown_type(number: u64, len: usize) -> String {
    let bytes = &number.to_be_bytes()[NUMBER_LEN_MAX - len..];
    match bytes.iter().all(u8::is_ascii_graphic) {
        true => format!("{number} '{}'", String::from_utf8_lossy(bytes)),
        false => number.to_string(),
    }
}

/// A payload, read as one of the schema's messages.
#[derive(Clone, Copy, Debug)]
pub struct PayloadMessage<'a> {
    /// Which one it is.
    pub schema: &'a MessageSchema,
    block: FieldBlock<'a>,
}

impl<'a> PayloadMessage<'a> {
    /// Its fields and parts: of each the index of its column, the column, and its value, if it has one.
    pub fn fields(self) -> impl Iterator<Item = (usize, &'a FieldColumn, Option<FieldValue<'a>>)> {
        self.block.fields()
    }

    /// Its fields as an object of JSON: see [`FieldValue::json`].
    pub fn json(self) -> serde_json::Value {
        field::json_of(self.fields())
    }
}

impl PayloadSchema {
    /// The schema of a file, and its text.
    ///
    /// # Errors
    /// The file cannot be read, or is wrong: where, and what is. The path is not named.
    pub fn read(path: &Path) -> Result<(Self, String), SchemaError> {
        let mut text = String::new();
        let opened = File::open(path).map_err(SchemaError::File)?;
        opened.take(SCHEMA_LEN_MAX + 1).read_to_string(&mut text).map_err(SchemaError::File)?;
        if text.len() as u64 > SCHEMA_LEN_MAX {
            let what = format!("it has more than {SCHEMA_LEN_MAX} bytes: it is no schema");
            return Err(SchemaError::Text(what));
        }
        Ok((Self::parse(&text)?, text))
    }

    /// Reads one: XML of Simple Binary Encoding if it begins with `<`, else TOML.
    ///
    /// # Errors
    /// Where it is wrong, and what is.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with('<') { sbe::parse(text) } else { checked::parse(text) }
    }

    /// All messages, by their types; the one without a type is the last.
    pub fn messages(&self) -> impl Iterator<Item = &MessageSchema> {
        self.messages.values().chain(&self.default)
    }

    /// Where the type of a payload stands.
    pub fn type_place(&self) -> NumberPlace {
        self.place
    }

    /// The message that a payload is: that with its number, else the one without a type, if there is one.
    ///
    /// # Errors
    /// It is none, and why.
    pub fn message<'a>(&'a self, payload: &'a [u8]) -> Result<PayloadMessage<'a>, NoMessage> {
        let NumberPlace { offset, len, .. } = self.place;
        let number = self.place.number(payload);
        let found = number.and_then(|number| self.messages.get(&number)).or(self.default.as_ref());
        let schema = found.ok_or_else(|| match number {
            Some(number) => NoMessage::Type(number, len),
            None => NoMessage::Short(offset + len),
        })?;
        let (mut block, mut rest, mut version) = (payload, None, 0);
        if let Some(header) = self.header {
            let short = NoMessage::Short(header.len);
            if let Some((place, wanted)) = header.schema {
                let found = place.number(payload).ok_or(short)?;
                if found != wanted {
                    return Err(NoMessage::Schema(found, wanted));
                }
            }
            let block_len = header.block_len.number(payload).ok_or(short)?;
            let end = usize::try_from(block_len).unwrap_or(usize::MAX).saturating_add(header.len);
            block = &payload[..end.min(payload.len())];
            rest = payload.get(end..);
            version = match header.version {
                Some((place, _)) => place.number(payload).ok_or(short)?,
                None => u64::MAX,
            };
        }
        let MessageSchema { fields, parts, .. } = schema;
        let block = FieldBlock { columns: &self.columns, fields, parts, block, rest, version };
        Ok(PayloadMessage { schema, block })
    }

    /// A schema without messages yet.
    fn new(name: String, place: NumberPlace, header: Option<BlockHeader>) -> Self {
        let (columns, places, messages) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { name, columns, places, place, header, messages, default: None }
    }

    /// The index of a column, made if there is none of the name; none if that one is of another kind.
    fn column(&mut self, column: FieldColumn) -> Option<usize> {
        if let Some(index) = self.places.get(&column.name) {
            return (self.columns[*index] == column).then_some(*index);
        }
        self.places.insert(column.name.clone(), self.columns.len());
        self.columns.push(column);
        Some(self.columns.len() - 1)
    }

    /// Adds a message; why it cannot be.
    fn add(&mut self, schema: MessageSchema) -> Result<(), String> {
        let (before, what) = match schema.number {
            Some(number) => (self.messages.insert(number, schema), "of this type"),
            None => (self.default.replace(schema), "without a type: only one is the default"),
        };
        before.map_or(Ok(()), |_| Err(format!("the file has two messages {what}")))
    }

    /// Fields of one message that share bytes, which is allowed and seldom meant: their names.
    pub fn overlaps(&self, message: &MessageSchema) -> Vec<(&str, &str)> {
        let mut fields: Vec<&MessageField> = message.fields.iter().collect();
        fields.sort_by_key(|field| (field.offset, field.len));
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut longest: Option<&MessageField> = None;
        for field in fields {
            if let Some(before) = longest.filter(|before| before.offset + before.len > field.offset)
                && seen.insert((before.column, field.column))
            {
                found.push((&*self.columns[before.column].name, &*self.columns[field.column].name));
            }
            let end = |field: &MessageField| field.offset + field.len;
            longest = longest.filter(|before| end(before) >= end(field)).or(Some(field));
        }
        found
    }
}

fn is_beyond(offset: usize, len: usize) -> bool {
    offset.checked_add(len).is_none_or(|end| end > PAYLOAD_LEN_MAX)
}

fn beyond() -> String {
    format!("it ends beyond {PAYLOAD_LEN_MAX} bytes, the longest message")
}

/// Where the lines of a text end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(place, _)| place).collect())
    }

    /// The line of a place, from 1.
    fn at(&self, place: usize) -> usize {
        1 + self.0.partition_point(|end| *end < place)
    }
}
