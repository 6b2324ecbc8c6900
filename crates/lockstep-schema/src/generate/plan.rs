//! What all languages write of a schema: names, places and types, checked once.

use super::names::Name;
use crate::text::{FieldKind, FieldOrder, FieldPadding};
use crate::{
    BlockHeader, FieldColumn, GroupSchema, MessageField, MessagePart, MessageSchema, NumberPlace, PartForm,
    PayloadSchema,
};
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
    /// The column's name, and the names of an enum's values or a set's bits.
    column: String,
    values: Values,
}

/// A group or data behind a block.
pub struct PlanPart {
    pub name: Name,
    pub since: u64,
    pub form: PlanForm,
    /// In words.
    pub doc: String,
}

/// What a part is.
pub enum PlanForm {
    Group(PlanGroup),
    Data {
        /// Bytes before the data, ...
        header_len: usize,
        /// ... and where among them its length stands.
        length: NumberPlace,
    },
}

/// The structure of an entry of a group.
pub struct PlanGroup {
    pub name: Name,
    /// What it is, in words.
    pub headline: String,
    pub fields: Vec<PlanField>,
    pub parts: Vec<PlanPart>,
    /// Bytes of an entry's block.
    pub block_len: usize,
    /// Bytes before the entries, ...
    pub header_len: usize,
    /// ... and where among them the bytes of a block and the number of entries stand.
    pub block_place: NumberPlace,
    pub count_place: NumberPlace,
    pub left_out: Vec<String>,
}

/// The structures of groups, each behind those of its own groups.
pub fn groups(parts: &[PlanPart]) -> Vec<&PlanGroup> {
    let mut found = Vec::new();
    for part in parts {
        if let PlanForm::Group(group) = &part.form {
            found.extend(groups(&group.parts));
            found.push(group);
        }
    }
    found
}

/// Calls `each` for the fields of blocks and of their groups, in the order of the schema.
fn each_field<'p>(
    fields: &'p mut [PlanField],
    parts: &'p mut [PlanPart],
    owner: &str,
    each: &mut impl FnMut(&str, &mut PlanField),
) {
    fields.iter_mut().for_each(|field| each(owner, field));
    for part in parts {
        if let PlanForm::Group(group) = &mut part.form {
            let owner = format!("{owner}_{}", part.name.plain());
            each_field(&mut group.fields, &mut group.parts, &owner, each);
        }
    }
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
    pub parts: Vec<PlanPart>,
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

    /// Whether a field or a part came with a later version, or a part may have one that did.
    pub fn has_later(&self) -> bool {
        !self.parts.is_empty() || self.fields.iter().any(|field| field.since > 0)
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
            let planned = plan.message(schema, message, name, &mut taken)?;
            plan.messages.push(planned);
        }
        plan.name_values(&mut taken)?;
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
        taken: &mut BTreeSet<String>,
    ) -> Result<PlanMessage, String> {
        let mut taken_fields = BTreeSet::new();
        let of = &message.name;
        let fields = planned(of, &schema.columns, &message.fields, &mut taken_fields)?;
        let parts = self.parts(of, &name, &schema.columns, &message.parts, &mut taken_fields, taken)?;
        let left_out = message.left_out.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let (number, label) = (message.number, label(&message.name));
        let constants = self.constants(message)?;
        let (fixed_len, len) = (message.fixed_len, message.len);
        Ok(PlanMessage { name, label, number, fields, parts, constants, fixed_len, len, left_out })
    }

    /// The parts behind a block of the structure `owner`.
    fn parts(
        &self,
        message: &str,
        owner: &Name,
        columns: &[FieldColumn],
        parts: &[MessagePart],
        taken_fields: &mut BTreeSet<String>,
        taken: &mut BTreeSet<String>,
    ) -> Result<Vec<PlanPart>, String> {
        let mut planned = Vec::with_capacity(parts.len());
        for part in parts {
            let column = &columns[part.column];
            let name = field_name(message, column, taken_fields)?;
            let (form, doc) = match &part.form {
                PartForm::Data(place) => {
                    let doc = if place.is_text { "Text of UTF-8, as bytes." } else { "Bytes." };
                    (PlanForm::Data { header_len: place.header_len, length: place.length }, doc)
                }
                PartForm::Group(group) => {
                    let of = Name::of(&format!("{}_{}", owner.plain(), column.name));
                    if !taken.insert(of.pascal()) {
                        return Err(format!(
                            "message '{message}': the group '{}' would be called {} as another one is: rename it",
                            column.name,
                            of.pascal()
                        ));
                    }
                    (PlanForm::Group(self.group(message, of, &column.name, group, taken)?), "Entries.")
                }
            };
            planned.push(PlanPart { name, since: part.since, form, doc: doc.to_owned() });
        }
        Ok(planned)
    }

    fn group(
        &self,
        message: &str,
        name: Name,
        column: &str,
        group: &GroupSchema,
        taken: &mut BTreeSet<String>,
    ) -> Result<PlanGroup, String> {
        let mut taken_fields = BTreeSet::new();
        let fields = planned(message, &group.columns, &group.fields, &mut taken_fields)?;
        let parts = self.parts(message, &name, &group.columns, &group.parts, &mut taken_fields, taken)?;
        let left_out = group.left_out.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        Ok(PlanGroup {
            name,
            headline: format!("An entry of the group '{}' of '{}'.", label(column), label(message)),
            fields,
            parts,
            block_len: group.block_len,
            header_len: group.dimension.len,
            block_place: group.dimension.block_len,
            count_place: group.dimension.count,
            left_out,
        })
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
    /// for each message or group.
    fn name_values(&mut self, taken: &mut BTreeSet<String>) -> Result<(), String> {
        let mut by_column: BTreeMap<String, Vec<Values>> = BTreeMap::new();
        self.each_named(&mut |_, field| {
            by_column.entry(field.column.clone()).or_default().push(field.values.clone());
        });
        let mut made: BTreeMap<(String, Values, usize), usize> = BTreeMap::new();
        let (mut all, mut wrong) = (Vec::new(), None);
        self.each_named(&mut |owner, field| {
            let is_set = matches!(field.form, FieldForm::Set(_));
            let key = (field.column.clone(), field.values.clone(), field.len);
            let is_one = by_column[&field.column].iter().all(|names| *names == field.values);
            let text = if is_one { field.column.clone() } else { format!("{owner}_{}", field.column) };
            let found = made.get(&key).copied().map_or_else(
                || {
                    names(&text, field.len, is_set, &field.values, taken).map(|names| {
                        all.push(names);
                        all.len() - 1
                    })
                },
                Ok,
            );
            match found {
                Ok(found) => {
                    made.insert(key, found);
                    field.form = if is_set { FieldForm::Set(found) } else { FieldForm::Enum(found) };
                }
                Err(why) => wrong = wrong.take().or(Some(why)),
            }
        });
        self.names = all;
        wrong.map_or(Ok(()), Err)
    }

    /// Calls `each` for the fields that have names, with the name of what they belong to.
    fn each_named(&mut self, each: &mut impl FnMut(&str, &mut PlanField)) {
        for message in &mut self.messages {
            let owner = message.name.plain().to_owned();
            each_field(&mut message.fields, &mut message.parts, &owner, &mut |owner, field| {
                if !field.values.is_empty() {
                    each(owner, field);
                }
            });
        }
    }

    /// The names of all structures and of the types of enums and sets.
    pub fn class_names(&self) -> impl Iterator<Item = String> {
        let messages = self.messages.iter().map(|message| message.name.pascal());
        let groups = self.messages.iter().flat_map(|message| groups(&message.parts));
        let messages = messages.chain(groups.map(|group| group.name.pascal()));
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

/// The fields of a block.
fn planned(
    message: &str,
    columns: &[FieldColumn],
    fields: &[MessageField],
    taken: &mut BTreeSet<String>,
) -> Result<Vec<PlanField>, String> {
    let planned = fields.iter().map(|field| {
        let column = &columns[field.column];
        Ok(PlanField {
            name: field_name(message, column, taken)?,
            at: field.offset,
            len: field.len,
            is_little: field.order == FieldOrder::Little,
            form: form(field),
            absent: field.absent.unwrap_or(0),
            since: field.since,
            doc: doc(field, column.decimals),
            column: column.name.clone(),
            values: field.names.clone(),
        })
    });
    planned.collect()
}

/// The name of a column, which no other of the structure has.
fn field_name(message: &str, column: &FieldColumn, taken: &mut BTreeSet<String>) -> Result<Name, String> {
    let name = Name::of(&column.name);
    let is_new = taken.insert(name.pascal());
    let column = &column.name;
    is_new.then_some(name).ok_or_else(|| {
        format!("message '{message}' has two fields that are named like '{column}': rename one")
    })
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
        // Those behind the block are no fields of it.
        (FieldKind::Utf8 | FieldKind::Bytes | FieldKind::Group, _) => FieldForm::Uint,
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
