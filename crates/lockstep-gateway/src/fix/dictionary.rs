//! Checks the structure of a message by the tables of the standard: required fields, fields that must not
//! repeat, and fields whose value is data.

mod tables;

use super::codec::{FieldFault, FixFields, number};
use super::tags;
pub use tables::{DATA_FIELDS, GROUPS, HEADER, REQUIRED};

/// SessionRejectReason: required tag missing, incorrect data format, tag appears more than once, fields of a
/// repeating group out of order, incorrect count of a repeating group.
const MISSING: u32 = 1;
const FORMAT: u32 = 6;
const REPEATED: u32 = 13;
const GROUP_ORDER: u32 = 15;
const GROUP_COUNT: u32 = 16;
/// The most nested groups.
const DEPTH_MAX: usize = 16;

/// When a field is required.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// In each message of the type.
    Always,
    /// If another field has this value.
    Has(u32, &'static [u8]),
}

/// A message type, a tag, and when the field is required.
pub type Required = (&'static [u8], u32, When);

/// [`DATA_FIELDS`] by the tag of the data.
const BY_DATA: [(u32, u32); DATA_FIELDS.len()] = by_data(DATA_FIELDS);

const fn by_data(mut pairs: [(u32, u32); DATA_FIELDS.len()]) -> [(u32, u32); DATA_FIELDS.len()] {
    let mut index = 1;
    while index < pairs.len() {
        let mut at = index;
        while at > 0 && pairs[at - 1].1 > pairs[at].1 {
            (pairs[at - 1], pairs[at]) = (pairs[at], pairs[at - 1]);
            at -= 1;
        }
        index += 1;
    }
    pairs
}

/// The tag of the data field that follows this length field.
pub fn data_of(length: u32) -> Option<u32> {
    let found = DATA_FIELDS.binary_search_by_key(&length, |pair| pair.0);
    found.ok().map(|index| DATA_FIELDS[index].1)
}

/// The tag of the length field that precedes this data field.
pub fn length_of(data: u32) -> Option<u32> {
    let found = BY_DATA.binary_search_by_key(&data, |pair| pair.1);
    found.ok().map(|index| BY_DATA[index].0)
}

/// The tags in an entry of the group that this tag counts.
fn members_of(count: u32) -> Option<&'static [u32]> {
    let found = GROUPS.binary_search_by_key(&Some(&count), |row| row.first());
    found.ok().map(|index| &GROUPS[index][1..])
}

/// Whether two counterparties define the tag between themselves: it may stand within any entry of a group.
fn is_their_own(tag: u32) -> bool {
    matches!(tag, 5_000..=9_999 | 20_000..=39_999)
}

/// The first structural fault of a message whose fields were readable.
pub fn fault(fields: &FixFields<'_>) -> Option<FieldFault> {
    let is_known = matches!(
        fields.kind(),
        tags::HEARTBEAT
            | tags::TEST_REQUEST
            | tags::RESEND_REQUEST
            | tags::REJECT
            | tags::SEQUENCE_RESET
            | tags::LOGOUT
            | tags::LOGON
            | tags::NEW_ORDER_SINGLE
            | tags::ORDER_CANCEL_REQUEST
            | tags::ORDER_CANCEL_REPLACE_REQUEST
            | tags::BUSINESS_MESSAGE_REJECT
    );
    // The tables have no groups of other messages: those are rejected as a whole.
    let repeated = if is_known { repeated(fields).err() } else { repeated_in_header(fields) };
    repeated.or_else(|| missing(fields))
}

/// The first required field that is missing.
fn missing(fields: &FixFields<'_>) -> Option<FieldFault> {
    let is_missing = |(kind, tag, when): &&Required| {
        (kind.is_empty() || *kind == fields.kind())
            && fields.get(*tag).is_none()
            && match when {
                When::Always => true,
                When::Has(of, value) => fields.get(*of) == Some(*value),
            }
    };
    let (_, tag, _) = REQUIRED.iter().find(is_missing)?;
    Some(FieldFault { tag: Some(*tag), reason: MISSING, text: "a required tag is missing" })
}

const TWICE: &str = "a tag that is in no repeating group appears more than once";

fn repeated_in_header(fields: &FixFields<'_>) -> Option<FieldFault> {
    let is_repeated = |tag: &&u32| fields.iter().filter(|(known, _)| known == *tag).count() > 1;
    let tag = HEADER.iter().find(is_repeated)?;
    Some(FieldFault { tag: Some(*tag), reason: REPEATED, text: TWICE })
}

/// A repeating group whose entries are being read.
struct OpenGroup {
    count_tag: u32,
    count: u64,
    members: &'static [u32],
    entries: u64,
    /// Tags of the present entry, sorted.
    seen: Vec<u32>,
}

impl OpenGroup {
    fn takes(&self, tag: u32) -> bool {
        self.members.contains(&tag) || self.entries > 0 && is_their_own(tag)
    }

    fn on_field(&mut self, tag: u32) -> Result<(), FieldFault> {
        let wrong = |reason, text| Err(FieldFault { tag: Some(tag), reason, text });
        if self.members.first() == Some(&tag) {
            self.entries += 1;
            self.seen.clear();
        } else if self.entries == 0 {
            return wrong(GROUP_ORDER, "an entry of a repeating group begins with the group's first field");
        }
        if is_new(&mut self.seen, tag) { Ok(()) } else { wrong(REPEATED, TWICE) }
    }

    fn close(&self) -> Result<(), FieldFault> {
        if self.entries == self.count {
            return Ok(());
        }
        let text = "a repeating group has another number of entries";
        Err(FieldFault { tag: Some(self.count_tag), reason: GROUP_COUNT, text })
    }
}

/// Notes a tag. Returns whether it is new.
fn is_new(seen: &mut Vec<u32>, tag: u32) -> bool {
    let place = seen.binary_search(&tag);
    if let Err(at) = place {
        seen.insert(at, tag);
    }
    place.is_err()
}

/// Checks that each tag stands once, or once in each entry of a group that has it.
pub(super) fn repeated(fields: &FixFields<'_>) -> Result<(), FieldFault> {
    let mut seen = Vec::with_capacity(32);
    let mut open: Vec<OpenGroup> = Vec::new();
    for (tag, value) in fields.iter() {
        while let Some(group) = open.pop_if(|group| !group.takes(tag)) {
            group.close()?;
        }
        match open.last_mut() {
            Some(group) => group.on_field(tag)?,
            None if is_new(&mut seen, tag) => {}
            None => return Err(FieldFault { tag: Some(tag), reason: REPEATED, text: TWICE }),
        }
        if let Some(members) = members_of(tag) {
            let count = number(value).filter(|_| open.len() < DEPTH_MAX);
            let text = "the number of entries of a repeating group is no number";
            let count = count.ok_or(FieldFault { tag: Some(tag), reason: FORMAT, text })?;
            open.push(OpenGroup { count_tag: tag, count, members, entries: 0, seen: Vec::new() });
        }
    }
    open.iter().rev().try_for_each(OpenGroup::close)
}

#[cfg(test)]
mod tests;
