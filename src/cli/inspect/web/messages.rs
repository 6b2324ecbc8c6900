//! The newest messages of the stream, for people. A page is no consumer: where it falls behind it goes on at
//! the end of the stream, and never asks replicas or archivers for what it missed.

use super::SharedView;
use crate::cli::shared::fields::PayloadFields;
use crate::cli::shared::operator::pause;
use crate::cli::shared::shown::write_escaped;
use lockstep_client::{Delivery, Endpoint, Message, Start, Subscriber, SubscriberEvent};
use lockstep_daemon::ended::{Again, ended};
use lockstep_names::OpenedNames;
use lockstep_wire::Nanos;
use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Messages that are shown.
const MESSAGES_MAX: usize = 60;
/// Bytes of a payload that are shown.
const PAYLOAD_MAX: usize = 256;
/// Bytes of a line of fields that are shown.
const FIELDS_MAX: usize = 1_024;
/// Most messages between two looks at the signals.
const BATCH: usize = 1024;
/// Longest sleep between two polls.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a subscription that has ended is followed by none.
const REST: Duration = Duration::from_secs(1);
/// A subscription that lags by more begins anew at the end of the stream.
const LAG_MAX: u64 = 100_000;

/// See the module.
#[derive(Debug, Default, Serialize)]
pub struct NewestMessages {
    /// The newest last.
    newest: VecDeque<ShownMessage>,
    /// Messages that were read since the page began.
    count: u64,
    /// Why the last subscription ended; `None` while one runs.
    ended: Option<String>,
    /// Of publishers whose opens were read since the page began.
    #[serde(skip)]
    names: OpenedNames,
    /// The schema by which payloads are shown as fields, if there is one.
    #[serde(skip)]
    by_schema: PayloadFields,
}

/// A message, as it is shown.
#[derive(Debug, Default, Serialize)]
struct ShownMessage {
    seq: u64,
    timestamp_ns: Nanos,
    publisher: u32,
    /// Absent, as that of the destination, where it is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    publisher_name: String,
    publisher_seq: u64,
    destination: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    destination_name: String,
    /// Bytes of the payload, shown or not.
    len: usize,
    /// The first of them; text with escapes once somebody asks for it.
    #[serde(rename = "text", serialize_with = "escaped")]
    head: Vec<u8>,
    /// A line of its fields, if it is a message of a schema.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_text")]
    fields: Vec<u8>,
}

fn as_text<S: Serializer>(text: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(text))
}

fn escaped<S: Serializer>(payload: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = Vec::new();
    // Memory takes all.
    let _ = write_escaped(&mut text, payload);
    serializer.serialize_str(&String::from_utf8_lossy(&text))
}

impl NewestMessages {
    /// None yet; payloads as fields where they are messages of a schema.
    pub fn new(by_schema: PayloadFields) -> Self {
        Self { by_schema, ..Self::default() }
    }

    fn push(&mut self, message: &Message<'_>) {
        let Message { seq, publisher, publisher_seq, destination, timestamp, payload } = *message;
        // The memory of the one that leaves.
        let oldest = if self.newest.len() == MESSAGES_MAX { self.newest.pop_front() } else { None };
        let ShownMessage { mut head, mut fields, mut publisher_name, mut destination_name, .. } =
            oldest.unwrap_or_default();
        for (name, id) in [(&mut publisher_name, publisher), (&mut destination_name, destination)] {
            name.clear();
            name.push_str(self.names.get(id).unwrap_or_default());
        }
        head.clear();
        head.extend_from_slice(&payload[..payload.len().min(PAYLOAD_MAX)]);
        fields.clear();
        // Memory takes all.
        let _ = self.by_schema.write_fields(&mut fields, payload);
        if fields.len() > FIELDS_MAX {
            fields.truncate(FIELDS_MAX);
            fields.extend_from_slice("…".as_bytes());
        }
        let (timestamp_ns, len) = (timestamp, payload.len());
        self.newest.push_back(ShownMessage {
            seq,
            timestamp_ns,
            publisher,
            publisher_name,
            publisher_seq,
            destination,
            destination_name,
            len,
            head,
            fields,
        });
        self.count += 1;
    }
}

/// Reads the stream until `stop` is set.
pub fn read(endpoint: &Endpoint, view: &SharedView, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let why = match Subscriber::connect(endpoint, Delivery::Committed, Start::Live) {
            Ok(subscriber) => follow(subscriber, view, stop),
            Err(error) => Some(error.to_string()),
        };
        if let Some(messages) = &mut view.locked().messages {
            messages.ended = why;
        }
        pause(REST);
    }
}

/// Follows the stream until the subscription ends. Returns why, where that is of interest.
fn follow(mut subscriber: Subscriber, view: &SharedView, stop: &AtomicBool) -> Option<String> {
    while !stop.load(Ordering::Acquire) {
        let mut end: Option<Option<String>> = None;
        let mut shown = view.locked();
        let messages = shown.messages.as_mut()?;
        let work = subscriber.poll(BATCH, |event| {
            messages.names.on_event(&event);
            match &event {
                SubscriberEvent::Message(message) => {
                    messages.ended = None;
                    messages.push(message);
                }
                SubscriberEvent::Lag { entries, .. } if *entries > LAG_MAX => end = Some(None),
                SubscriberEvent::Replaying { .. } | SubscriberEvent::Abandoned { .. } => end = Some(None),
                event => end = ended(event, Again::Start).map(|failure| Some(failure.to_string())),
            }
            if end.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        drop(shown);
        if let Some(why) = end {
            return why;
        }
        if work == 0
            && let Err(error) = subscriber.wait(PAUSE)
        {
            return Some(error.to_string());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_messages_are_bounded_in_number_and_length_and_escaped() {
        let mut messages = NewestMessages::default();
        let payload = [vec![b'\n', 0xff], vec![b'x'; 1_000]].concat();
        for seq in 1..=100 {
            let message = Message {
                seq,
                publisher: 3,
                publisher_seq: seq,
                destination: 0,
                timestamp: seq,
                payload: &payload,
            };
            messages.push(&message);
        }
        assert_eq!((messages.newest.len(), messages.count), (MESSAGES_MAX, 100));
        let last = serde_json::to_value(messages.newest.back()).expect("JSON");
        assert_eq!((last.get("publisher_name"), last.get("destination_name")), (None, None));
        assert_eq!((&last["seq"], &last["len"]), (&100.into(), &1_002.into()));
        assert_eq!(last["text"], format!("\\n\\xff{}", "x".repeat(PAYLOAD_MAX - 2)));
    }

    #[test]
    fn a_message_of_a_schema_has_a_line_of_fields_and_no_other_has_one() {
        let schema = tempfile::NamedTempFile::new().expect("a file");
        let text = "name = 'x'\n[[message]]\ntype = 'T'\nname = 'trade'\nfields = [\n\
            { name = 'stock', offset = 1, length = 2, kind = 'ascii' },\n\
            { name = 'note', offset = 3, length = 2000, kind = 'ascii' }]\n";
        std::fs::write(schema.path(), text).expect("a file");
        let args = crate::cli::shared::fields::FieldsArgs { schema: Some(schema.path().to_owned()) };
        let mut messages = NewestMessages::new(PayloadFields::new(&args).expect("a schema"));
        let mut push = |payload: &[u8]| {
            let (seq, timestamp, publisher, destination) = (1, 1, 1, 0);
            messages.push(&Message { seq, publisher, publisher_seq: 1, destination, timestamp, payload });
            serde_json::to_value(messages.newest.back()).expect("JSON")
        };
        for _ in 0..=MESSAGES_MAX {
            let trade = push(b"TA\\");
            assert_eq!(
                (&trade["fields"], &trade["text"]),
                (&"trade stock=\"A\\\\\" note=?".into(), &"TA\\\\".into())
            );
        }
        let other = push(b"XA");
        assert_eq!((other.get("fields"), &other["text"]), (None, &"XA".into()));
        let long = push(&[b"TAB", &[b'n'; 2_000][..]].concat());
        let line = long["fields"].as_str().expect("text");
        assert!(line.len() < FIELDS_MAX + 8 && line.ends_with("n…"), "{line}");
    }

    #[test]
    fn a_message_has_the_names_that_are_known_and_none_of_the_one_whose_memory_it_has() {
        let mut messages = NewestMessages::default();
        messages.names.on_event(&SubscriberEvent::Opened {
            seq: 1,
            timestamp: 1,
            publisher: 3,
            incarnation: 1,
            nonce: [1, 2],
            last: 0,
            name: "desk",
        });
        let mut push = |publisher, destination| {
            let (seq, timestamp, payload) = (1, 1, &b""[..]);
            messages.push(&Message { seq, publisher, publisher_seq: 1, destination, timestamp, payload });
            serde_json::to_value(messages.newest.back()).expect("JSON")
        };
        for _ in 0..=MESSAGES_MAX {
            let named = push(3, 3);
            assert_eq!([&named["publisher_name"], &named["destination_name"]], ["desk", "desk"]);
        }
        let other = push(4, 0);
        assert_eq!((other.get("publisher_name"), other.get("destination_name")), (None, None), "{other}");
    }
}
