//! What all languages write of a schema: names, places and types, checked once.

use super::names::Name;
use crate::text::{FieldKind, FieldOrder, FieldPadding};
use crate::{BlockHeader, MessageField, MessageSchema, NumberPlace, PayloadSchema};
use std::collections::{BTreeMap, BTreeSet};

/// How a field is stored and seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldForm {
    Uint,
    Int,
    Float,
    Bool,
    /// Of at most so many letters, filled up with this byte.
    Text(u8),
    /// The index of its names.
    Enum(usize),
    Set(usize),
}

/// A field of a structure.
pub struct PlanField {
    pub name: Name,
    pub at: usize,
    pub len: usize,
    pub is_little: bool,
    pub form: FieldForm,
    /// What a message has that was written before the field was thought of: its bits.
    pub absent: u64,
    pub since: u64,
    /// In words.
    pub doc: String,
}

impl PlanField {
    /// Bytes of the smallest number that has room for it: 1, 2, 4 or 8.
    pub fn width(&self) -> usize {
        self.len.next_power_of_two()
    }

    /// The bits of an unsigned number that are more than the field has; none where its type has no more.
    pub fn is_narrow(&self) -> bool {
        self.len != self.width()
    }

    /// [`Self::absent`] as a number with a sign.
    pub fn absent_signed(&self) -> i64 {
        let unused = 64 - 8 * self.len as u32;
        ((self.absent << unused) as i64) >> unused
    }

    /// The end in the payload.
    pub fn end(&self) -> usize {
        self.at + self.len
    }
}

/// A structure.
pub struct PlanMessage {
    pub name: Name,
    /// As the schema has it.
    pub label: String,
    pub number: Option<u64>,
    pub fields: Vec<PlanField>,
    /// What stands beside the fields: the type, and the header of a block.
    pub constants: Vec<(NumberPlace, u64)>,
    pub fixed_len: usize,
    pub len: usize,
    /// What no field shows, in words.
    pub left_out: Vec<String>,
}

impl PlanMessage {
    /// What it is, in words.
    pub fn headline(&self) -> String {
        match self.number {
            Some(number) => format!("The message '{}', of type {number}.", self.label),
            None => format!("The message '{}', which every other payload is.", self.label),
        }
    }

    /// Whether a field came with a later version.
    pub fn has_later(&self) -> bool {
        self.fields.iter().any(|field| field.since > 0)
    }
}

/// Names of numbers, or of bits.
pub struct PlanNames {
    pub name: Name,
    /// Bytes of the number in the payload.
    pub len: usize,
    pub is_set: bool,
    /// The number, or the mask of the bit, and the name.
    pub values: Vec<(u64, Name)>,
}

impl PlanNames {
    /// Bytes of the smallest number that has room for one: 1, 2, 4 or 8.
    pub fn width(&self) -> usize {
        self.len.next_power_of_two()
    }
}

/// A whole source.
pub struct SourcePlan {
    pub label: String,
    pub place: NumberPlace,
    pub header: Option<BlockHeader>,
    pub names: Vec<PlanNames>,
    pub messages: Vec<PlanMessage>,
}

/// What a column's names are in one message.
type Values = BTreeMap<u64, String>;

impl SourcePlan {
    /// Of a schema; which two names are one.
    pub fn of(schema: &PayloadSchema) -> Result<Self, String> {
        let (mut plan, mut taken) = (Self::empty(schema), BTreeSet::new());
        for message in schema.messages() {
            let name = Name::of(&message.name);
            let pascal = name.pascal();
            // Those of Go, which has no functions within a type.
            let more = [format!("Decode{pascal}"), format!("{pascal}Len"), format!("{pascal}Matches")];
            if [pascal].into_iter().chain(more).any(|name| !taken.insert(name)) {
                return Err(format!("two messages have the name '{}': rename one", message.name));
            }
            let planned = plan.message(schema, message, name)?;
            plan.messages.push(planned);
        }
        plan.name_values(schema, &mut taken)?;
        Ok(plan)
    }

    /// Bytes in which the type of a payload ends, with the header that it stands in.
    pub fn type_end(&self) -> usize {
        self.header.map_or(self.place.offset + self.place.len, |header| header.len)
    }

    fn empty(schema: &PayloadSchema) -> Self {
        let (place, header) = (schema.place, schema.header);
        Self { label: label(&schema.name), place, header, names: Vec::new(), messages: Vec::new() }
    }

    fn message(
        &self,
        schema: &PayloadSchema,
        message: &MessageSchema,
        name: Name,
    ) -> Result<PlanMessage, String> {
        let mut taken = BTreeSet::new();
        let mut fields = Vec::with_capacity(message.fields.len());
        for field in &message.fields {
            let column = &schema.columns[field.column];
            let of = Name::of(&column.name);
            if !taken.insert(of.pascal()) {
                let (message, column) = (&message.name, &column.name);
                return Err(format!(
                    "message '{message}' has two fields that are named like '{column}': rename one"
                ));
            }
            fields.push(PlanField {
                name: of,
                at: field.offset,
                len: field.len,
                is_little: field.order == FieldOrder::Little,
                form: form(field),
                absent: field.absent.unwrap_or(0),
                since: field.since,
                doc: doc(field, column.decimals),
            });
        }
        let left_out = message.left_out.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let (number, label) = (message.number, label(&message.name));
        let constants = self.constants(message)?;
        let (fixed_len, len) = (message.fixed_len, message.len);
        Ok(PlanMessage { name, label, number, fields, constants, fixed_len, len, left_out })
    }

    fn constants(&self, message: &MessageSchema) -> Result<Vec<(NumberPlace, u64)>, String> {
        let mut constants: Vec<_> = message.number.map(|number| (self.place, number)).into_iter().collect();
        if let Some(header) = self.header {
            let block_len = (message.fixed_len - header.len) as u64;
            constants.push((header.block_len, block_len));
            constants.extend(header.schema);
            constants.extend(header.version);
        }
        let too_large =
            |(place, number): &&(NumberPlace, u64)| place.len < 8 && *number >> (8 * place.len) != 0;
        match constants.iter().find(too_large) {
            Some((place, number)) => {
                let (name, len) = (&message.name, place.len);
                Err(format!(
                    "message '{name}': {number} has no room in the {len} bytes of its header: make them more"
                ))
            }
            None => Ok(constants),
        }
    }

    /// Gives enums and sets their types: one for a column whose names are the same in all messages, else one
    /// for each message.
    fn name_values(&mut self, schema: &PayloadSchema, taken: &mut BTreeSet<String>) -> Result<(), String> {
        let mut by_column: BTreeMap<usize, Vec<&Values>> = BTreeMap::new();
        let named = |field: &&MessageField| !field.names.is_empty();
        for field in schema.messages().flat_map(|message| &message.fields).filter(named) {
            by_column.entry(field.column).or_default().push(&field.names);
        }
        let mut made: BTreeMap<(usize, &Values, usize), usize> = BTreeMap::new();
        for (index, message) in schema.messages().enumerate() {
            for (at, field) in message.fields.iter().enumerate().filter(|(_, field)| named(field)) {
                let key = (field.column, &field.names, field.len);
                let column = &schema.columns[field.column].name;
                let is_one = by_column[&field.column].iter().all(|names| **names == field.names);
                let text = if is_one { column.clone() } else { format!("{}_{column}", message.name) };
                let found = match made.get(&key) {
                    Some(found) => *found,
                    None => {
                        let is_set = field.kind == FieldKind::Set;
                        self.names.push(names(&text, field.len, is_set, &field.names, taken)?);
                        made.insert(key, self.names.len() - 1);
                        self.names.len() - 1
                    }
                };
                let is_set = field.kind == FieldKind::Set;
                self.messages[index].fields[at].form =
                    if is_set { FieldForm::Set(found) } else { FieldForm::Enum(found) };
            }
        }
        Ok(())
    }

    /// The names of all structures and of the types of enums and sets.
    pub fn class_names(&self) -> impl Iterator<Item = String> {
        let messages = self.messages.iter().map(|message| message.name.pascal());
        messages.chain(self.names.iter().map(|names| names.name.pascal()))
    }

    /// The names of an enum's or a set's field.
    pub fn names_of(&self, form: FieldForm) -> Option<&PlanNames> {
        match form {
            FieldForm::Enum(index) | FieldForm::Set(index) => self.names.get(index),
            _ => None,
        }
    }
}

/// The names, under a name of their own.
fn names(
    text: &str,
    len: usize,
    is_set: bool,
    values: &Values,
    taken: &mut BTreeSet<String>,
) -> Result<PlanNames, String> {
    let mut name = Name::of(text);
    while !taken.insert(name.pascal()) {
        name = Name::of(&format!("{}_values", name.snake()));
    }
    let mut named = Vec::with_capacity(values.len());
    for (number, value) in values {
        let value_name = Name::of(value);
        if !taken.insert(name.pascal() + &value_name.pascal()) {
            return Err(format!("'{text}' has two values that are named like '{value}': rename one"));
        }
        named.push((if is_set { 1 << number } else { *number }, value_name));
    }
    Ok(PlanNames { name, len, is_set, values: named })
}

/// A name for comments: with nothing that would end one, or be more than text there.
fn label(name: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || " -_.,:()+".contains(char);
    name.chars().map(|char| if is_plain(char) { char } else { '_' }).collect()
}

fn form(field: &MessageField) -> FieldForm {
    match (field.kind, field.padding) {
        (FieldKind::Uint | FieldKind::Price, _) => FieldForm::Uint,
        (FieldKind::Int | FieldKind::Decimal, _) => FieldForm::Int,
        (FieldKind::Float, _) => FieldForm::Float,
        (FieldKind::Bool, _) => FieldForm::Bool,
        (FieldKind::Ascii, FieldPadding::Blanks) => FieldForm::Text(b' '),
        (FieldKind::Ascii, FieldPadding::Zeros) => FieldForm::Text(0),
        // Until its names have a type.
        (FieldKind::Enum, _) => FieldForm::Enum(usize::MAX),
        (FieldKind::Set, _) => FieldForm::Set(usize::MAX),
    }
}

fn doc(field: &MessageField, decimals: u8) -> String {
    let (at, len) = (field.offset, field.len);
    let mut text = match field.kind {
        FieldKind::Ascii => format!("Text of at most {len} letters, at byte {at}."),
        kind => format!("{}, {len} byte{} at {at}.", kind.word(), if len == 1 { "" } else { "s" }),
    };
    if field.kind.has_decimals() {
        text += &format!(" The last {decimals} digits are behind the point.");
    }
    match field.null {
        Some(_) if field.kind == FieldKind::Float => text += " NaN is none.",
        Some(null) if matches!(field.kind, FieldKind::Int | FieldKind::Decimal) => {
            let unused = 64 - 8 * len as u32;
            text += &format!(" {} is none.", ((null << unused) as i64) >> unused);
        }
        Some(null) if field.kind != FieldKind::Ascii => text += &format!(" {null} is none."),
        _ => {}
    }
    text
}
