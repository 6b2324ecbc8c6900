//! The file, as it is written.

use serde::Deserialize;
use std::collections::BTreeMap;

/// In which order the bytes of a number stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldOrder {
    /// The most significant byte first.
    #[default]
    Big,
    /// The least significant byte first.
    Little,
}

/// What a field is.
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
    /// A byte: 0 is false, 1 is true.
    Bool,
    /// A number or letters, of which each value has a name.
    Enum,
    /// A number of IEEE 754, of 4 or 8 bytes.
    Float,
}

impl FieldKind {
    /// Whether its values are text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Ascii | Self::Enum)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaText {
    pub name: String,
    #[serde(default)]
    pub byte_order: FieldOrder,
    #[serde(rename = "type")]
    pub place: Option<TypePlaceText>,
    #[serde(rename = "message")]
    pub messages: Vec<MessageText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypePlaceText {
    #[serde(default)]
    pub offset: usize,
    pub length: usize,
    pub byte_order: Option<FieldOrder>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageText {
    pub r#type: Option<TypeText>,
    pub name: String,
    #[serde(default)]
    pub fields: Vec<FieldText>,
}

impl MessageText {
    /// How an error names it.
    pub fn label(&self) -> String {
        match &self.r#type {
            Some(TypeText::Letters(text)) => format!("'{}'", text.escape_default()),
            Some(TypeText::Number(number)) => number.to_string(),
            None => format!("without a type '{}'", self.name.escape_default()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldText {
    pub name: String,
    pub offset: usize,
    pub length: usize,
    pub kind: FieldKind,
    pub decimals: Option<u8>,
    pub byte_order: Option<FieldOrder>,
    pub values: Option<BTreeMap<String, TypeText>>,
}

/// A value as the bytes of a payload have it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number from 0, or letters in quotes")]
pub enum TypeText {
    Number(u64),
    /// As the bytes stand, whatever their order as a number is.
    Letters(String),
}

impl TypeText {
    /// The number that `len` bytes in `order` have; why there is none.
    pub fn number(&self, len: usize, order: FieldOrder) -> Result<u64, String> {
        match self {
            Self::Number(number) if len < 8 && *number >> (8 * len) != 0 => {
                Err(format!("is {number}, more than length {len} has"))
            }
            Self::Number(number) => Ok(*number),
            Self::Letters(text) if !text.is_ascii() => {
                Err("is not ASCII: \"\\u0001\" is the byte 1; a byte above 127 is a number".into())
            }
            Self::Letters(text) if text.len() != len => {
                Err(format!("has {} letters, and the length is {len}", text.len()))
            }
            Self::Letters(text) => Ok(order.number(text.as_bytes())),
        }
    }
}
