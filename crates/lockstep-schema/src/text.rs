//! The file, as it is written.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

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
    /// A number with a sign, of which the last `decimals` digits are behind the point.
    Decimal,
    /// Bits, of which each has a name.
    Set,
    /// Text of UTF-8 behind its length; of Simple Binary Encoding alone, as those below.
    #[serde(skip)]
    Utf8,
    /// Bytes behind their length.
    #[serde(skip)]
    Bytes,
    /// Entries, each of which has fields.
    #[serde(skip)]
    Group,
}

impl FieldKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Uint,
        Self::Int,
        Self::Ascii,
        Self::Price,
        Self::Bool,
        Self::Enum,
        Self::Float,
        Self::Decimal,
        Self::Set,
        Self::Utf8,
        Self::Bytes,
        Self::Group,
    ];

    /// Whether its values are text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Ascii | Self::Enum | Self::Set | Self::Utf8)
    }

    /// Whether its values have digits behind the point.
    pub fn has_decimals(self) -> bool {
        matches!(self, Self::Price | Self::Decimal)
    }

    /// As a schema writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Uint => "uint",
            Self::Int => "int",
            Self::Ascii => "ascii",
            Self::Price => "price",
            Self::Bool => "bool",
            Self::Enum => "enum",
            Self::Float => "float",
            Self::Decimal => "decimal",
            Self::Set => "set",
            Self::Utf8 => "utf8",
            Self::Bytes => "bytes",
            Self::Group => "group",
        }
    }
}

/// What fills a text up that is shorter than its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldPadding {
    /// Blanks behind it.
    #[default]
    Blanks,
    /// A zero ends it.
    Zeros,
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
    pub messages: Vec<Spanned<MessageText>>,
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
    pub fields: Vec<Spanned<FieldText>>,
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
    pub padding: Option<FieldPadding>,
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

    /// The bit that it is, of `len` bytes; why it is none.
    pub fn bit(&self, len: usize) -> Result<u64, String> {
        match self {
            Self::Number(bit) if *bit < 8 * len as u64 => Ok(*bit),
            Self::Number(bit) => Err(format!("is bit {bit}, and length {len} has {} bits", 8 * len)),
            Self::Letters(_) => Err("has letters: write the number of its bit, from 0".into()),
        }
    }
}
