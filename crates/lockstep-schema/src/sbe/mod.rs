//! Simple Binary Encoding: the messages of an XML, as the standard of the FIX community has it (1.0).
//!
//! ```text
//!  payload:  messageHeader │ block: fields at fixed places │ groups of entries │ data with lengths
//!            type, schema                                    a block each, and its own groups and data
//! ```
//!
//! What no field shows (constants, arrays of numbers) is named in `left_out`. Names become small letters
//! with '_'. A composite becomes a field for each member; one of a mantissa and a constant exponent becomes
//! a number with digits behind the point.

mod block;
mod types;

use crate::field::{FieldColumn, MessageField};
use crate::parts::{GroupSchema, MessagePart, PartForm};
use crate::text::{FieldKind, FieldOrder};
use crate::{
    BlockHeader, Lines, MessageSchema, NumberPlace, PayloadSchema, STREAM_COLUMNS, SchemaError, TYPE_COLUMN,
    beyond, is_beyond,
};
use block::{BlockReader, RawBlock, RawForm, RawPart};
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use types::{Expander, Place, RawField, Types};

/// The composite before each message, unless the schema names another one.
const HEADER_TYPE: &str = "messageHeader";

/// A name as a schema of ours has it: `MDEntryPx` is `md_entry_px`.
pub fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (at, &char) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied().unwrap_or('_');
        let is_next_small = chars.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let begins = char.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || (before.is_ascii_uppercase() && is_next_small));
        if begins {
            out.push('_');
        }
        out.push(if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '_' });
    }
    out
}

/// A name that `taken` does not have yet: of two, the later one gets `more` behind it.
fn unique(name: String, more: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = name;
    while !taken.insert(name.clone()) {
        name = format!("{name}_{more}");
    }
    name
}

/// Reads one.
pub fn parse(text: &str) -> Result<PayloadSchema, SchemaError> {
    let document = Document::parse(text).map_err(|error| SchemaError::Text(format!("XML: {error}")))?;
    let lines = Lines::of(text);
    let root = document.root_element();
    let wrong = |node: Node<'_, '_>, what: String| {
        SchemaError::Text(format!("line {}: {what}", lines.at(node.range().start)))
    };
    if root.tag_name().name() != "messageSchema" {
        let what = "a schema of Simple Binary Encoding begins with <messageSchema>; one of lockstep is TOML";
        return Err(wrong(root, what.into()));
    }
    let order = match root.attribute("byteOrder") {
        None | Some("littleEndian") => FieldOrder::Little,
        Some("bigEndian") => FieldOrder::Big,
        Some(other) => {
            return Err(wrong(root, format!("byteOrder '{other}': write littleEndian or bigEndian")));
        }
    };
    if let Some(include) = root.children().find(|node| node.tag_name().name() == "include") {
        return Err(wrong(include, "xi:include is not read: put the included types into this file".into()));
    }
    let types = Types::of(root, order).map_err(|(node, what)| wrong(node, what))?;
    let header = root.attribute("headerType").unwrap_or(HEADER_TYPE);
    let (place, header) = block_header(&types, root, header).map_err(|what| wrong(root, what))?;
    let name = root.attribute("package").unwrap_or("sbe").to_owned();
    let mut schema = PayloadSchema::new(name, place, Some(header));
    let is_message = |node: &Node<'_, '_>| node.tag_name().name() == "message";
    for message in root.children().filter(is_message) {
        add(&mut schema, &types, &lines, message, header.len)?;
    }
    if schema.messages.is_empty() {
        return Err(wrong(root, "it has no <message>: add one".into()));
    }
    Ok(schema)
}

/// The types' place and the rest of what stands before each block.
fn block_header(
    types: &Types<'_>,
    root: Node<'_, '_>,
    name: &str,
) -> Result<(NumberPlace, BlockHeader), String> {
    let mut expander = Expander::new(types);
    let len = expander.expand_named(name, "", Place::default())?;
    let place = |member: &str| expander.integer(member);
    let lacks = |member: &str| format!("the composite '{name}' has no {member} that is an integer: add it");
    let number = |attribute: &str| {
        let text = root.attribute(attribute).unwrap_or("0");
        text.parse::<u64>().map_err(|_| format!("{attribute} '{text}': write a number from 0"))
    };
    if is_beyond(0, len) {
        return Err(format!("the composite '{name}': {}", beyond()));
    }
    let header = BlockHeader {
        len,
        block_len: place("block_length").ok_or_else(|| lacks("blockLength"))?,
        schema: place("schema_id").map(|place| number("id").map(|id| (place, id))).transpose()?,
        version: place("version")
            .map(|place| number("version").map(|version| (place, version)))
            .transpose()?,
    };
    Ok((place("template_id").ok_or_else(|| lacks("templateId"))?, header))
}

/// An attribute that is a number.
fn number<T: std::str::FromStr>(node: Node<'_, '_>, attribute: &str) -> Result<Option<T>, String> {
    let text = node.attribute(attribute);
    let parsed = text.map(|text| text.trim().parse());
    parsed.transpose().map_err(|_| {
        format!("{attribute} '{}': write a number that fits", text.unwrap_or_default().escape_debug())
    })
}

fn name_of<'a>(node: Node<'a, 'a>) -> Result<&'a str, String> {
    node.attribute("name").filter(|name| !name.is_empty()).ok_or_else(|| "it has no name: give it one".into())
}

fn add<'a>(
    schema: &mut PayloadSchema,
    types: &Types<'a>,
    lines: &Lines,
    message: Node<'a, 'a>,
    header_len: usize,
) -> Result<(), SchemaError> {
    let label = message.attribute("name").unwrap_or_default();
    let wrong = |node: Node<'_, '_>, what: String| SchemaError::Field {
        line: lines.at(node.range().start),
        message: format!("'{}'", label.escape_debug()),
        field: if node == message { "" } else { node.attribute("name").unwrap_or_default() }.to_owned(),
        what,
    };
    let at_message = |what| wrong(message, what);
    let name = snake(name_of(message).map_err(at_message)?);
    let id = number::<u64>(message, "id").and_then(|id| id.ok_or_else(|| "it has no id: give it one".into()));
    let id = id.map_err(at_message)?;
    let type_len = schema.place.len;
    if type_len < 8 && id >> (8 * type_len) != 0 {
        return Err(at_message(format!("its id is {id}, more than the {type_len} bytes of templateId have")));
    }
    let block = BlockReader::new(types).read(message, header_len, 0);
    let RawBlock { fields, parts, left_out, end, tail } = block.map_err(|(node, what)| wrong(node, what))?;
    let mut taken = BTreeSet::new();
    let mut column = |column: FieldColumn| message_column(schema, &name, &mut taken, column);
    let fields = fields.into_iter().map(|field| field_of(field, &mut column)).collect::<Result<_, _>>();
    let fields = fields.map_err(at_message)?;
    let parts = parts.into_iter().map(|part| part_of(part, &mut column)).collect::<Result<_, _>>();
    let parts = parts.map_err(at_message)?;
    let (number, line) = (Some(id), lines.at(message.range().start));
    let added =
        MessageSchema { name, number, fields, parts, left_out, fixed_len: end, len: end + tail, line };
    schema.add(added).map_err(at_message)
}

/// The column of a message's field: one whose name another kind of field has, is called by its message too.
fn message_column(
    schema: &mut PayloadSchema,
    message: &str,
    taken: &mut BTreeSet<String>,
    column: FieldColumn,
) -> Result<usize, String> {
    let FieldColumn { name, kind, decimals } = column;
    let is_own = STREAM_COLUMNS.contains(&&*name) || name == TYPE_COLUMN;
    let first = if is_own { format!("{message}_{name}") } else { name };
    let first = unique(first, "2", taken);
    let of = |name: String| FieldColumn { name, kind, decimals };
    let found = match schema.column(of(first.clone())) {
        Some(column) => Some(column),
        None => schema.column(of(unique(format!("{message}_{first}"), "2", taken))),
    };
    found.ok_or_else(|| format!("its field '{first}' has a name that two other fields have: rename one"))
}

fn field_of(
    field: RawField,
    column: &mut impl FnMut(FieldColumn) -> Result<usize, String>,
) -> Result<MessageField, String> {
    let RawField { name, offset, len, kind, decimals, names, padding, order, null, absent, since } = field;
    let column = column(FieldColumn { name, kind, decimals })?;
    Ok(MessageField { column, offset, len, kind, order, padding, names, null, absent, since })
}

fn part_of(
    part: RawPart,
    column: &mut dyn FnMut(FieldColumn) -> Result<usize, String>,
) -> Result<MessagePart, String> {
    let RawPart { name, since, form } = part;
    let kind = match &form {
        RawForm::Group(..) => FieldKind::Group,
        RawForm::Data(place) if place.is_text => FieldKind::Utf8,
        RawForm::Data(_) => FieldKind::Bytes,
    };
    let column = column(FieldColumn { name, kind, decimals: 0 })?;
    let form = match form {
        RawForm::Data(place) => PartForm::Data(place),
        RawForm::Group(RawBlock { fields, parts, left_out, end, .. }, dimension) => {
            let (mut columns, mut taken) = (Vec::new(), BTreeSet::new());
            let mut own = |column: FieldColumn| {
                columns.push(FieldColumn { name: unique(column.name, "2", &mut taken), ..column });
                Ok(columns.len() - 1)
            };
            let fields =
                fields.into_iter().map(|field| field_of(field, &mut own)).collect::<Result<_, _>>()?;
            let parts = parts.into_iter().map(|part| part_of(part, &mut own)).collect::<Result<_, _>>()?;
            PartForm::Group(GroupSchema { columns, fields, parts, left_out, block_len: end, dimension })
        }
    };
    Ok(MessagePart { column, since, form })
}
