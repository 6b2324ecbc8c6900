//! Inputs and effects in words.

use crate::machine::{Input, InputEvent};
use crate::output::Effect;
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::{CHANNELS, Destination, EVERYBODY, PublisherId};
use std::collections::BTreeMap;

/// Bytes of a payload that are shown.
const PAYLOAD_SHOWN: usize = 400;

/// The names of publishers whose opens were read.
#[derive(Debug, Default)]
pub struct InputWords(BTreeMap<PublisherId, String>);

impl InputWords {
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        if let SubscriberEvent::Opened { publisher, name, .. } = event
            && self.0.get(publisher).is_none_or(|earlier| earlier != name)
        {
            self.0.insert(*publisher, (*name).to_owned());
        }
    }

    fn publisher(&self, publisher: PublisherId) -> String {
        match self.0.get(&publisher) {
            Some(name) => format!("'{name}' (publisher {publisher})"),
            None => format!("publisher {publisher}"),
        }
    }

    fn destination(&self, destination: Destination) -> String {
        match destination {
            EVERYBODY => "everybody".to_owned(),
            channel if channel >= CHANNELS => format!("channel {}", channel - CHANNELS),
            publisher => self.publisher(publisher),
        }
    }

    pub fn published(&self, destination: Destination, payload: &[u8]) -> String {
        format!("{} to {}", quoted(payload), self.destination(destination))
    }

    pub fn effect(&self, effect: Effect<'_>) -> String {
        match effect {
            Effect::Publish { destination, payload } => {
                format!("publishes {}", self.published(destination, payload))
            }
            Effect::Timer { key, due, payload, .. } => {
                format!("sets timer {key}, due at {due}, with {}", quoted(payload))
            }
            Effect::Cancel { key } => format!("cancels timer {key}"),
        }
    }

    pub fn input(&self, input: &Input<'_>) -> String {
        match input.event {
            InputEvent::Message { publisher, publisher_seq, destination, user, payload } => {
                let user = user.map_or(String::new(), |user| format!(", user '{user}'"));
                let published = self.published(destination, payload);
                format!("message {publisher_seq} of {}{user}: {published}", self.publisher(publisher))
            }
            InputEvent::Timer { key, due, payload } => {
                format!("timer {key}, due at {due}, fires with {}", quoted(payload))
            }
            other => format!("{other:?}"),
        }
    }
}

/// Bytes as a quoted text, cut at the number of bytes that are shown.
fn quoted(bytes: &[u8]) -> String {
    match bytes.get(..PAYLOAD_SHOWN) {
        Some(shown) if bytes.len() > PAYLOAD_SHOWN => {
            format!("\"{}\"… ({} bytes)", shown.escape_ascii(), bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
