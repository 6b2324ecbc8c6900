//! Names of publishers, as far as a bridge has read their opens. A message has the names that were opened
//! before it, so that they follow from the stream and not from how far a bridge has read ahead.

use lockstep_client::{Destination, PublisherId, Seq};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A name, and where it was first opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenedName {
    /// The first open that was read.
    pub seq: Seq,
    pub name: String,
}

/// The name that each id has. An id belongs to one name for ever.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpenedNames(BTreeMap<PublisherId, OpenedName>);

/// The names of a message; none where the open was not read, and of everybody and of channels.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RecordNames<'a> {
    /// Of its publisher.
    pub publisher: Option<&'a str>,
    /// Of its destination.
    pub destination: Option<&'a str>,
}

impl OpenedNames {
    /// An open was read. Returns whether it says more than what is known.
    pub fn open(&mut self, publisher: PublisherId, seq: Seq, name: &str) -> bool {
        let known = self.0.get(&publisher);
        let is_new = known.is_none_or(|known| seq < known.seq);
        if is_new {
            self.0.insert(publisher, OpenedName { seq, name: name.to_owned() });
        }
        is_new
    }

    /// Those of another list as well.
    pub fn extend(&mut self, others: &Self) {
        for (id, opened) in &others.0 {
            self.open(*id, opened.seq, &opened.name);
        }
    }

    /// The names of a message at this seq.
    pub fn of(&self, seq: Seq, publisher: PublisherId, destination: Destination) -> RecordNames<'_> {
        let before = |id| self.0.get(&id).filter(|opened| opened.seq < seq).map(|opened| &*opened.name);
        RecordNames { publisher: before(publisher), destination: before(destination) }
    }

    /// Those that were opened before this seq.
    pub fn before(&self, seq: Seq) -> Self {
        let opened = self.0.iter().filter(|(_, opened)| opened.seq < seq);
        Self(opened.map(|(id, opened)| (*id, opened.clone())).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_names_that_were_opened_before_it_however_far_was_read() {
        let mut names = OpenedNames::default();
        assert!(names.open(7, 10, "desk") && names.open(8, 20, "risk"));
        assert!(!names.open(7, 30, "desk"), "a second incarnation says nothing new");
        let of = |publisher, destination| RecordNames { publisher, destination };
        assert_eq!(names.of(11, 7, 8), of(Some("desk"), None), "8 is opened behind it");
        assert_eq!(names.of(21, 7, 8), of(Some("desk"), Some("risk")));
        assert_eq!(names.of(21, 9, 0), RecordNames::default());
        // A bridge that begins again with what was stored reads the rest anew.
        let mut again = names.before(20);
        assert!(again.open(8, 20, "risk"));
        assert_eq!(again, names);
    }
}
