//! What stands behind a block of fields: groups of entries, and data of a length of its own.
//!
//! ```text
//!  block: fields at fixed places │ group: block's length, count │ entry │ entry │ data: length │ bytes
//!                                                               └─ a block, and its own parts
//! ```
//!
//! Each part begins where the one before ends, so that one which is wrong leaves those behind it without a
//! value.

use crate::NumberPlace;
use crate::field::{FieldColumn, FieldValue, MessageField, json_of};

/// Groups of one another, at most.
pub const GROUP_DEPTH_MAX: usize = 8;

/// A group or data behind a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessagePart {
    /// The index of its column.
    pub column: usize,
    /// The version of the schema that brought it.
    pub since: u64,
    /// Which of both.
    pub form: PartForm,
}

/// What a part is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartForm {
    /// Entries of one form.
    Group(GroupSchema),
    /// Bytes behind their length.
    Data(DataPlace),
}

/// What the entries of a group have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupSchema {
    /// Those of its fields and parts.
    pub columns: Vec<FieldColumn>,
    /// Their places count from the begin of an entry.
    pub fields: Vec<MessageField>,
    /// What stands behind the block of each entry.
    pub parts: Vec<MessagePart>,
    /// What an entry has and no field shows: its name, and why.
    pub left_out: Vec<(String, String)>,
    /// Bytes of an entry's block.
    pub block_len: usize,
    /// Before the entries: how many bytes each block has, and how many entries there are.
    pub(crate) dimension: GroupDimension,
}

/// What stands before the entries of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupDimension {
    pub len: usize,
    pub block_len: NumberPlace,
    pub count: NumberPlace,
}

/// Where the length of data stands, and what the data is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataPlace {
    /// Bytes before the data.
    pub(crate) header_len: usize,
    pub(crate) length: NumberPlace,
    /// It is text of UTF-8.
    pub is_text: bool,
}

/// The fields of a message or of an entry, in a payload.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FieldBlock<'a> {
    pub(crate) columns: &'a [FieldColumn],
    pub(crate) fields: &'a [MessageField],
    pub(crate) parts: &'a [MessagePart],
    /// The bytes in which the fields lie.
    pub(crate) block: &'a [u8],
    /// Those in which the parts lie; none where the payload ends before them.
    pub(crate) rest: Option<&'a [u8]>,
    /// Of the schema with which it was written.
    pub(crate) version: u64,
}

impl<'a> FieldBlock<'a> {
    /// Its fields and parts: of each the index of its column, the column, and its value, if it has one.
    pub fn fields(self) -> impl Iterator<Item = (usize, &'a FieldColumn, Option<FieldValue<'a>>)> {
        let Self { columns, fields, parts, block, mut rest, version } = self;
        let fixed = fields.iter().map(move |field| {
            let value = if field.since > version { None } else { field.value(block) };
            (field.column, value)
        });
        let parts = parts.iter().map(move |part| (part.column, part.value(&mut rest, version)));
        fixed
            .chain(parts)
            .filter_map(|(index, value)| columns.get(index).map(|column| (index, column, value)))
    }
}

impl MessagePart {
    /// Its value at the begin of `rest`, which is what stands behind it afterwards.
    fn value<'a>(&'a self, rest: &mut Option<&'a [u8]>, version: u64) -> Option<FieldValue<'a>> {
        if self.since > version {
            return None;
        }
        let taken = rest.and_then(|bytes| self.take(bytes, version));
        *rest = taken.map(|(_, left)| left);
        taken.and_then(|(value, _)| value)
    }

    /// Its value, and what stands behind it; none if it does not end in `bytes`.
    fn take<'a>(&'a self, bytes: &'a [u8], version: u64) -> Option<(Option<FieldValue<'a>>, &'a [u8])> {
        match &self.form {
            PartForm::Group(group) => {
                let (entries, left) = GroupEntries::take(group, bytes, version)?;
                Some((Some(FieldValue::Group(entries)), left))
            }
            PartForm::Data(place) => {
                let (head, left) = bytes.split_at_checked(place.header_len)?;
                let len = usize::try_from(place.length.number(head)?).ok()?;
                let (data, left) = left.split_at_checked(len)?;
                let is_wrong = place.is_text && std::str::from_utf8(data).is_err();
                let value = if place.is_text { FieldValue::Text(data) } else { FieldValue::Bytes(data) };
                Some(((!is_wrong).then_some(value), left))
            }
        }
    }
}

/// The entries of a group in a payload.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GroupEntries<'a> {
    group: &'a GroupSchema,
    count: usize,
    /// Bytes of each block, as the payload says.
    block_len: usize,
    bytes: &'a [u8],
    version: u64,
}

impl<'a> GroupEntries<'a> {
    /// Those at the begin of `bytes`, and what stands behind them. Each entry takes a byte at least: so
    /// there are no more of them than the payload has bytes.
    fn take(group: &'a GroupSchema, bytes: &'a [u8], version: u64) -> Option<(Self, &'a [u8])> {
        let (head, bytes) = bytes.split_at_checked(group.dimension.len)?;
        let block_len = usize::try_from(group.dimension.block_len.number(head)?).ok()?;
        let count = usize::try_from(group.dimension.count.number(head)?).ok()?;
        let entries = Self { group, count, block_len, bytes, version };
        let mut left = bytes;
        for _ in 0..count {
            let (_, behind) = entries.entry(left).filter(|(_, behind)| behind.len() < left.len())?;
            left = behind;
        }
        Some((entries, left))
    }

    /// The entry at the begin of `bytes`, and what stands behind it.
    fn entry(&self, bytes: &'a [u8]) -> Option<(FieldBlock<'a>, &'a [u8])> {
        let Self { group: GroupSchema { columns, fields, parts, .. }, version, .. } = *self;
        let (block, rest) = bytes.split_at_checked(self.block_len)?;
        let mut present = parts.iter().filter(|part| part.since <= version);
        let end = present.try_fold(rest, |left, part| part.take(left, version).map(|(_, left)| left))?;
        Some((FieldBlock { columns, fields, parts, block, rest: Some(rest), version }, end))
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// They as a list of objects of JSON: see [`FieldValue::json`].
    pub fn json(self) -> serde_json::Value {
        self.entries().map(|entry| json_of(entry.fields())).collect()
    }

    /// Each of them.
    pub fn entries(self) -> impl Iterator<Item = FieldBlock<'a>> {
        let mut left = self.bytes;
        (0..self.count).map_while(move |_| {
            let (entry, behind) = self.entry(left)?;
            left = behind;
            Some(entry)
        })
    }
}
