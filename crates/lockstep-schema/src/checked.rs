//! A schema of TOML, checked.

use crate::field::{FieldColumn, MessageField};
use crate::text::{FieldKind, FieldOrder, FieldPadding, FieldText, MessageText, SchemaText, TypePlaceText};
use crate::{
    Lines, MessageSchema, NUMBER_LEN_MAX, NumberPlace, PAYLOAD_LEN_MAX, PRICE_DIGITS, PayloadSchema,
    STREAM_COLUMNS, SchemaError, TYPE_COLUMN, beyond, is_beyond,
};
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Reads one.
pub fn parse(text: &str) -> Result<PayloadSchema, SchemaError> {
    let file: SchemaText = toml::from_str(text).map_err(|error| SchemaError::Text(error.to_string()))?;
    let place = type_place(file.place, file.byte_order)?;
    let mut schema = PayloadSchema::new(file.name, place, None);
    let lines = Lines::of(text);
    for message in &file.messages {
        add(&mut schema, &lines, message, file.byte_order)?;
    }
    Ok(schema)
}

fn type_place(text: Option<TypePlaceText>, order: FieldOrder) -> Result<NumberPlace, SchemaError> {
    let Some(text) = text else { return Ok(NumberPlace { offset: 0, len: 1, order }) };
    let error = |what: String| Err(SchemaError::Text(format!("[type]: {what}")));
    if !(1..=NUMBER_LEN_MAX).contains(&text.length) {
        return error(format!("length {}: choose from 1 to {NUMBER_LEN_MAX}", text.length));
    }
    if is_beyond(text.offset, text.length) {
        return error(beyond());
    }
    Ok(NumberPlace { offset: text.offset, len: text.length, order: text.byte_order.unwrap_or(order) })
}

fn add(
    schema: &mut PayloadSchema,
    lines: &Lines,
    message: &Spanned<MessageText>,
    order: FieldOrder,
) -> Result<(), SchemaError> {
    let (line, message) = (lines.at(message.span().start), message.get_ref());
    let error = |line: usize, field: &str, what: String| SchemaError::Field {
        line,
        message: message.label(),
        field: field.to_owned(),
        what,
    };
    let place = schema.place;
    let number = message.r#type.as_ref().map(|text| text.number(place.len, place.order));
    let number = number.transpose().map_err(|what| error(line, "", format!("its type {what}")))?;
    let mut fields: Vec<MessageField> = Vec::with_capacity(message.fields.len());
    let mut taken = BTreeSet::new();
    for spanned in &message.fields {
        let field = spanned.get_ref();
        let wrong = |what| error(lines.at(spanned.span().start), &field.name, what);
        let checked = check(schema, field, order).map_err(wrong)?;
        if !taken.insert(checked.column) {
            return Err(wrong("this message has another field of the name: rename one".into()));
        }
        fields.push(checked);
    }
    let ends = fields.iter().map(|field| field.offset + field.len);
    let len = ends.chain(number.map(|_| place.offset + place.len)).max().unwrap_or(0);
    let name = message.name.clone();
    let (parts, left_out) = (Vec::new(), Vec::new());
    let added = MessageSchema { name, number, fields, parts, left_out, fixed_len: len, len, line };
    schema.add(added).map_err(|what| error(line, "", what))
}

/// The field, with its column; what is wrong with it.
fn check(schema: &mut PayloadSchema, field: &FieldText, order: FieldOrder) -> Result<MessageField, String> {
    check_name(&field.name)?;
    if STREAM_COLUMNS.contains(&field.name.as_str()) || field.name == TYPE_COLUMN {
        return Err("every file has a column of this name: choose another".into());
    }
    check_len(field)?;
    let decimals = match (field.kind.has_decimals(), field.decimals) {
        (true, Some(decimals)) if u32::from(decimals) <= PRICE_DIGITS => decimals,
        (true, _) => return Err(format!("a {} needs decimals, from 0 to {PRICE_DIGITS}", field.kind.word())),
        (false, None) => 0,
        (false, Some(_)) => return Err("decimals are for prices".into()),
    };
    let padding = match (field.kind, field.padding) {
        (FieldKind::Ascii, padding) => padding.unwrap_or_default(),
        (_, None) => FieldPadding::default(),
        (_, Some(_)) => return Err("padding is for ascii".into()),
    };
    let order = field.byte_order.unwrap_or(order);
    let names = names(field, order)?;
    let column = FieldColumn { name: field.name.clone(), kind: field.kind, decimals };
    let column = schema.column(column);
    let column = column.ok_or("another message has a field of this name and of another kind: rename one")?;
    let FieldText { offset, length: len, kind, .. } = *field;
    Ok(MessageField { column, offset, len, kind, order, padding, names, null: None, absent: None, since: 0 })
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
        return Err(beyond());
    }
    Ok(())
}

/// The names of an enum's values, by number, or of a set's bits.
fn names(field: &FieldText, order: FieldOrder) -> Result<BTreeMap<u64, String>, String> {
    let example = match field.kind {
        FieldKind::Enum => "an enum needs values: values = { buy = \"B\", sell = \"S\" }",
        FieldKind::Set => "a set needs values, the bit of each: values = { hidden = 0, ioc = 1 }",
        _ if field.values.is_some() => return Err("values are for enums and sets".into()),
        _ => return Ok(BTreeMap::new()),
    };
    let values = field.values.as_ref().filter(|values| !values.is_empty()).ok_or(example)?;
    let mut names = BTreeMap::new();
    for (name, value) in values {
        check_name(name).map_err(|what| format!("value '{name}': {what}"))?;
        let number = match field.kind {
            FieldKind::Set => value.bit(field.length),
            _ => value.number(field.length, order),
        };
        let number = number.map_err(|what| format!("value '{name}' {what}"))?;
        if let Some(other) = names.insert(number, name.clone()) {
            return Err(format!("values '{other}' and '{name}' are the same: leave one out"));
        }
    }
    Ok(names)
}
