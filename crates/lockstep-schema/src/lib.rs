//! # lockstep-schema: which fields a payload has
//!
//! A schema is a file of TOML: types of messages, and the fields of each at fixed places. A reader of the
//! stream finds the type of a payload ([`PayloadSchema::message`]) and reads its fields
//! ([`MessageField::value`]). Nothing is copied. No payload is an error: a field that a payload does not have
//! is none.

#![forbid(unsafe_code)]

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use text::{FieldText, MessageText, SchemaText, TypePlaceText};

pub use text::{FieldKind, FieldOrder};

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

/// A column of a schema: fields of one name in all messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldColumn {
    /// Small letters, digits and '_'.
    pub name: String,
    /// Of all fields of the name.
    pub kind: FieldKind,
    /// Digits behind the point; 0 of all but prices.
    pub decimals: u8,
}

/// What a field has.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum FieldValue<'a> {
    /// The bits of a number of 64 bits.
    Number(i64),
    /// Text without the blanks behind it, or the name of an enum's value.
    Text(&'a [u8]),
    /// A byte that is 0 or 1.
    Bool(bool),
    /// A number of IEEE 754.
    Float(f64),
}

/// A field of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageField {
    /// The index of its column.
    pub column: usize,
    /// Its first byte in the payload.
    pub offset: usize,
    /// In bytes.
    pub len: usize,
    kind: FieldKind,
    order: FieldOrder,
    /// The names of an enum's values.
    names: BTreeMap<u64, String>,
}

impl MessageField {
    /// Its value; none if the payload ends before it, or has what the field cannot have: a text that is not
    /// ASCII, a price of more than [`PRICE_DIGITS`] digits, a bool that is neither 0 nor 1, an enum without a
    /// name for it.
    pub fn value<'a>(&'a self, payload: &'a [u8]) -> Option<FieldValue<'a>> {
        let bytes = payload.get(self.offset..self.offset + self.len)?;
        let number = || self.order.number(bytes);
        match self.kind {
            FieldKind::Ascii => {
                let end = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
                bytes.is_ascii().then_some(FieldValue::Text(&bytes[..end]))
            }
            FieldKind::Uint => Some(FieldValue::Number(number() as i64)),
            FieldKind::Int => {
                let unused = 64 - 8 * self.len as u32;
                Some(FieldValue::Number(((number() << unused) as i64) >> unused))
            }
            FieldKind::Price => {
                let number = number();
                (number < 10u64.pow(PRICE_DIGITS)).then_some(FieldValue::Number(number as i64))
            }
            FieldKind::Bool => (number() <= 1).then_some(FieldValue::Bool(number() == 1)),
            FieldKind::Enum => self.names.get(&number()).map(|name| FieldValue::Text(name.as_bytes())),
            FieldKind::Float if self.len == 4 => {
                Some(FieldValue::Float(f32::from_bits(number() as u32).into()))
            }
            FieldKind::Float => Some(FieldValue::Float(f64::from_bits(number()))),
        }
    }
}

impl FieldOrder {
    /// The number that at most 8 bytes have.
    fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Big => bytes.iter().fold(0, add),
            Self::Little => bytes.iter().rev().fold(0, add),
        }
    }
}

/// A type of message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageSchema {
    /// As the schema names it.
    pub name: String,
    /// In the order of the schema.
    pub fields: Vec<MessageField>,
}

/// Where the type of a payload stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct TypePlace {
    offset: usize,
    len: usize,
    order: FieldOrder,
}

impl TypePlace {
    fn checked(text: Option<TypePlaceText>, order: FieldOrder) -> Result<Self, SchemaError> {
        let Some(text) = text else { return Ok(Self { offset: 0, len: 1, order }) };
        let error = |what: String| Err(SchemaError::Text(format!("[type]: {what}")));
        if !(1..=NUMBER_LEN_MAX).contains(&text.length) {
            return error(format!("length {}: choose from 1 to {NUMBER_LEN_MAX}", text.length));
        }
        if is_beyond(text.offset, text.length) {
            return error(format!("it ends beyond {PAYLOAD_LEN_MAX} bytes, the longest message"));
        }
        Ok(Self { offset: text.offset, len: text.length, order: text.byte_order.unwrap_or(order) })
    }
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
    place: TypePlace,
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
    /// It is no TOML, or lacks something: where, and what.
    Text(String),
    /// A message or one of its fields is wrong.
    Field {
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
            Self::Field { message, field, what } if field.is_empty() => {
                write!(f, "message {message}: {what}")
            }
            Self::Field { message, field, what } => write!(f, "message {message}, field '{field}': {what}"),
        }
    }
}

impl std::error::Error for SchemaError {}

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

    /// Reads one.
    ///
    /// # Errors
    /// Where it is wrong, and what is.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let text: SchemaText = toml::from_str(text).map_err(|error| SchemaError::Text(error.to_string()))?;
        let mut schema = Self {
            name: text.name,
            columns: Vec::new(),
            places: BTreeMap::new(),
            place: TypePlace::checked(text.place, text.byte_order)?,
            messages: BTreeMap::new(),
            default: None,
        };
        for message in &text.messages {
            schema.add(message, text.byte_order)?;
        }
        Ok(schema)
    }

    fn add(&mut self, message: &MessageText, order: FieldOrder) -> Result<(), SchemaError> {
        let error = |field: &str, what: String| SchemaError::Field {
            message: message.label(),
            field: field.to_owned(),
            what,
        };
        let number = message.r#type.as_ref().map(|text| text.number(self.place.len, self.place.order));
        let number = number.transpose().map_err(|what| error("", format!("its type {what}")))?;
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
        let (before, what) = match number {
            Some(number) => (self.messages.insert(number, schema), "of this type"),
            None => (self.default.replace(schema), "without a type: only one is the default"),
        };
        before.map_or(Ok(()), |_| Err(error("", format!("the file has two messages {what}"))))
    }

    /// The field, with its column; what is wrong with it.
    fn check(&mut self, field: &FieldText, order: FieldOrder) -> Result<MessageField, String> {
        check_name(&field.name)?;
        if STREAM_COLUMNS.contains(&field.name.as_str()) || field.name == TYPE_COLUMN {
            return Err("every file has a column of this name: choose another".into());
        }
        check_len(field)?;
        let decimals = match (field.kind, field.decimals) {
            (FieldKind::Price, Some(decimals)) if u32::from(decimals) <= PRICE_DIGITS => decimals,
            (FieldKind::Price, _) => return Err(format!("a price needs decimals, from 0 to {PRICE_DIGITS}")),
            (_, None) => 0,
            (_, Some(_)) => return Err("decimals are for prices".into()),
        };
        let order = field.byte_order.unwrap_or(order);
        let names = names(field, order)?;
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
        let (offset, len, kind) = (field.offset, field.length, field.kind);
        Ok(MessageField { column: index, offset, len, kind, order, names })
    }

    /// The type of a payload: that with its number, else the one without a type, if the schema has it.
    pub fn message(&self, payload: &[u8]) -> Option<&MessageSchema> {
        let TypePlace { offset, len, order } = self.place;
        let number = payload.get(offset..offset + len).map(|bytes| order.number(bytes));
        number.and_then(|number| self.messages.get(&number)).or(self.default.as_ref())
    }
}

fn is_beyond(offset: usize, len: usize) -> bool {
    offset.checked_add(len).is_none_or(|end| end > PAYLOAD_LEN_MAX)
}

fn check_name(name: &str) -> Result<(), String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = !name.is_empty() && name.chars().all(is_part);
    is_name.then_some(()).ok_or_else(|| "a name has small letters, digits and '_'".into())
}

fn check_len(field: &FieldText) -> Result<(), String> {
    let len = field.length;
    let (is_allowed, choice) = match field.kind {
        FieldKind::Ascii => ((1..=PAYLOAD_LEN_MAX).contains(&len), format!("from 1 to {PAYLOAD_LEN_MAX}")),
        FieldKind::Float => (len == 4 || len == 8, "4 or 8".into()),
        FieldKind::Bool => (len == 1, "1".into()),
        _ => ((1..=NUMBER_LEN_MAX).contains(&len), format!("from 1 to {NUMBER_LEN_MAX}")),
    };
    if !is_allowed {
        return Err(format!("length {len}: choose {choice}"));
    }
    if is_beyond(field.offset, len) {
        return Err(format!("it ends beyond {PAYLOAD_LEN_MAX} bytes, the longest message"));
    }
    Ok(())
}

/// The names of an enum's values, by number.
fn names(field: &FieldText, order: FieldOrder) -> Result<BTreeMap<u64, String>, String> {
    let mut names = BTreeMap::new();
    match (field.kind, &field.values) {
        (FieldKind::Enum, Some(values)) if !values.is_empty() => {
            for (name, value) in values {
                check_name(name).map_err(|what| format!("value '{name}': {what}"))?;
                let number = value.number(field.length, order);
                let number = number.map_err(|what| format!("value '{name}' {what}"))?;
                if let Some(other) = names.insert(number, name.clone()) {
                    return Err(format!("values '{other}' and '{name}' are the same: leave one out"));
                }
            }
            Ok(names)
        }
        (FieldKind::Enum, _) => Err("an enum needs values: values = { buy = \"B\", sell = \"S\" }".into()),
        (_, None) => Ok(names),
        (_, Some(_)) => Err("values are for enums".into()),
    }
}
