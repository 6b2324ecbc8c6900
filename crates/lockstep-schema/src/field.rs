//! A field of a message, and its value in a payload.

use crate::PRICE_DIGITS;
use crate::parts::GroupEntries;
use crate::text::{FieldKind, FieldOrder, FieldPadding};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// A column of a schema: fields of one name in all messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldColumn {
    /// Small letters, digits and '_'.
    pub name: String,
    /// Of all fields of the name.
    pub kind: FieldKind,
    /// Digits behind the point; 0 of all but prices and decimals.
    pub decimals: u8,
}

/// What a field has.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum FieldValue<'a> {
    /// The bits of a number of 64 bits.
    Number(i64),
    /// Text without what fills it up, or the name of an enum's value.
    Text(&'a [u8]),
    /// A byte that is 0 or 1.
    Bool(bool),
    /// A number of IEEE 754.
    Float(f64),
    /// The names of the bits that are set.
    Flags(FlagNames<'a>),
    /// Bytes as they are.
    Bytes(&'a [u8]),
    /// The entries of a group.
    Group(GroupEntries<'a>),
}

impl FieldValue<'_> {
    /// As JSON: a price or decimal as text with all its digits, since readers of JSON have numbers of 53
    /// bits; a set as a list of names, infinities and what is no number as text, bytes as text of
    /// hexadecimal digits, and a group as a list of objects, in which a field without a value is null.
    pub fn json(self, column: &FieldColumn) -> Value {
        match self {
            Self::Number(number) if column.kind == FieldKind::Uint => (number as u64).into(),
            Self::Number(number) if column.kind.has_decimals() => decimal(number, column.decimals).into(),
            Self::Number(number) => number.into(),
            Self::Text(text) => String::from_utf8_lossy(text).into(),
            Self::Bool(value) => value.into(),
            Self::Float(value) => {
                Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
            }
            Self::Flags(names) => names.list().collect(),
            Self::Bytes(bytes) => hex(bytes).into(),
            Self::Group(group) => group.json(),
        }
    }
}

/// The object of fields.
pub(crate) fn json_of<'a>(
    fields: impl Iterator<Item = (usize, &'a FieldColumn, Option<FieldValue<'a>>)>,
) -> Value {
    let fields = fields.map(|(_, column, value)| {
        (column.name.clone(), value.map_or(Value::Null, |value| value.json(column)))
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

/// Two hexadecimal digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // memory takes all
        text
    })
}

/// Names of set bits: printed with '|' between, a bit without a name as its number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FlagNames<'a> {
    bits: u64,
    names: &'a BTreeMap<u64, String>,
}

impl FlagNames<'_> {
    /// The name of each.
    pub fn list(self) -> impl Iterator<Item = String> {
        let set = (0..64).filter(move |bit| self.bits >> bit & 1 != 0);
        set.map(move |bit| self.names.get(&bit).cloned().unwrap_or_else(|| bit.to_string()))
    }
}

impl fmt::Display for FlagNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.list().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { "|" })?;
        }
        Ok(())
    }
}

/// `number` with its last `decimals` digits behind the point.
pub fn decimal(number: i64, decimals: u8) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", number.unsigned_abs(), width = usize::from(decimals) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(decimals));
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
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
    /// As its column's.
    pub kind: FieldKind,
    /// Of a number's bytes.
    pub order: FieldOrder,
    /// What fills a text up.
    pub padding: FieldPadding,
    /// The names of an enum's values, or of the bits of a set.
    pub names: BTreeMap<u64, String>,
    /// The number that means that there is no value, ...
    pub null: Option<u64>,
    /// ... and the one of a message that was written before the field was thought of.
    pub(crate) absent: Option<u64>,
    /// The version of the schema that brought it.
    pub since: u64,
}

impl MessageField {
    /// Its value; none if the payload ends before it, or has what the field cannot have: a text that is not
    /// ASCII, a price of more than [`PRICE_DIGITS`] digits, a bool that is neither 0 nor 1, an enum without a
    /// name for it, the number that means none.
    pub(crate) fn value<'a>(&'a self, payload: &'a [u8]) -> Option<FieldValue<'a>> {
        let bytes = payload.get(self.offset..self.offset + self.len)?;
        if self.kind == FieldKind::Ascii {
            let text = self.padding.trimmed(bytes);
            return text.is_ascii().then_some(FieldValue::Text(text));
        }
        let number = self.order.number(bytes);
        if self.null == Some(number) {
            return None;
        }
        let unused = 64 - 8 * self.len as u32;
        let signed = ((number << unused) as i64) >> unused;
        let limit = 10u64.pow(PRICE_DIGITS);
        match self.kind {
            // Those behind the block are no fields of it.
            FieldKind::Ascii | FieldKind::Utf8 | FieldKind::Bytes | FieldKind::Group => None,
            FieldKind::Uint => Some(FieldValue::Number(number as i64)),
            FieldKind::Int => Some(FieldValue::Number(signed)),
            FieldKind::Price => (number < limit).then_some(FieldValue::Number(number as i64)),
            FieldKind::Decimal => (signed.unsigned_abs() < limit).then_some(FieldValue::Number(signed)),
            FieldKind::Bool => (number <= 1).then_some(FieldValue::Bool(number == 1)),
            FieldKind::Enum => self.names.get(&number).map(|name| FieldValue::Text(name.as_bytes())),
            FieldKind::Set => Some(FieldValue::Flags(FlagNames { bits: number, names: &self.names })),
            FieldKind::Float => {
                let value = match self.len {
                    4 => f32::from_bits(number as u32).into(),
                    _ => f64::from_bits(number),
                };
                // Of a number that may lack, any that is none means so.
                let is_none = self.null.is_some() && f64::is_nan(value);
                (!is_none).then_some(FieldValue::Float(value))
            }
        }
    }
}

impl FieldOrder {
    /// The number that at most 8 bytes have.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Big => bytes.iter().fold(0, add),
            Self::Little => bytes.iter().rev().fold(0, add),
        }
    }
}

impl FieldPadding {
    /// A text without what fills it up.
    fn trimmed(self, bytes: &[u8]) -> &[u8] {
        let end = match self {
            Self::Blanks => bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1),
            Self::Zeros => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
        };
        &bytes[..end]
    }
}
