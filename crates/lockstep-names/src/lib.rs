//! Names of publishers beside their numbers, as far as the stream that was read has opened them.
//!
//! ```text
//!  an open: number, seq, name ─▶ OpenedNames ─▶ of a message: those that were opened before it (a bridge, which
//!                                    │          reads ahead: names follow from the stream alone)
//!                                    └────────▶ of a number: for people (subscribe, web)
//! ```

#![forbid(unsafe_code)]

use lockstep_client::{CHANNELS, Destination, EVERYBODY, PublisherId, Seq, SubscriberEvent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A name, and where it was first opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenedName {
    /// The first open that was read.
    pub seq: Seq,
    /// The name.
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

    /// An event that may be an open.
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        if let SubscriberEvent::Opened { publisher, seq, name, .. } = *event {
            self.open(publisher, seq, name);
        }
    }

    /// The name of a publisher, if its open was read.
    pub fn get(&self, publisher: PublisherId) -> Option<&str> {
        self.0.get(&publisher).map(|opened| &*opened.name)
    }

    /// Whether the open of this name was read.
    pub fn has(&self, name: &str) -> bool {
        self.0.values().any(|opened| opened.name == name)
    }

    /// A publisher for people: its name, or its id where the name is not known.
    pub fn publisher(&self, publisher: PublisherId) -> String {
        self.get(publisher).map_or_else(|| publisher.to_string(), str::to_owned)
    }

    /// A destination for people: `everybody`, a name, `channel:N`, or an id whose name is not known.
    pub fn destination(&self, destination: Destination) -> String {
        match destination {
            EVERYBODY => "everybody".to_owned(),
            CHANNELS.. => format!("channel:{}", destination - CHANNELS),
            publisher => self.publisher(publisher),
        }
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
