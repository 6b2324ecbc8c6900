//! Names of publishers beside their ids, as far as the stream that was read has opened them.

use lockstep_client::{CHANNELS, Destination, EVERYBODY, PublisherId, SubscriberEvent};
use std::collections::BTreeMap;

/// The name that each id has. An id belongs to one name for ever.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<PublisherId, String>);

impl Names {
    /// An event that may tell a name.
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        if let SubscriberEvent::Opened { publisher, name, .. } = *event {
            self.0.entry(publisher).or_insert_with(|| name.to_owned());
        }
    }

    /// The name of a publisher, if its open was read.
    pub fn get(&self, publisher: PublisherId) -> Option<&str> {
        self.0.get(&publisher).map(String::as_str)
    }

    /// Whether the open of this name was read.
    pub fn has(&self, name: &str) -> bool {
        self.0.values().any(|known| known == name)
    }

    /// A publisher for people.
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
}
