//! How a payload looks in each of the output's forms.

use super::SubscribeArgs;
use crate::cli::shared::fields::PayloadFields;
use crate::cli::shared::shown::shown;
use lockstep_client::{Message, SubscriberEvent};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::INTEGRITY;
use lockstep_names::OpenedNames;
use lockstep_notary::to_hex as hex;
use lockstep_wire::{EntryKind, Seq};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The version of a message's line of `subscribe --json`.
pub const MESSAGE_SCHEMA: &str = "lockstep.message/2";
/// The version of the line that says what a takeover took back.
const RETRACT_SCHEMA: &str = "lockstep.retract/1";

/// The forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A line: seq, publisher:publisher_seq, destination and payload, with tabs between.
    Text {
        /// With names in the place of numbers.
        names: bool,
    },
    /// A JSON object on a line.
    Json {
        /// With the payload as text too.
        text: bool,
    },
    /// The payload behind its length, 4 bytes little-endian.
    Raw,
}

impl Form {
    /// The one that the flags ask for.
    pub fn of(args: &SubscribeArgs) -> Self {
        match (args.json, args.raw) {
            (true, _) => Self::Json { text: args.text },
            (_, true) => Self::Raw,
            _ => Self::Text { names: args.names },
        }
    }

    /// Writes one message.
    pub fn write(
        self,
        out: &mut impl Write,
        message: &Message<'_>,
        names: &OpenedNames,
        fields: &mut PayloadFields,
    ) -> io::Result<()> {
        let Message { seq, publisher, publisher_seq, destination, payload, .. } = *message;
        match self {
            Self::Text { names: by_name } => {
                if by_name {
                    let (publisher, destination) =
                        (names.publisher(publisher), names.destination(destination));
                    write!(out, "{seq}\t{}:{publisher_seq}\t{}\t", shown(&publisher), shown(&destination))?;
                } else {
                    write!(out, "{seq}\t{publisher}:{publisher_seq}\t{destination}\t")?;
                }
                fields.write(out, payload)?;
                out.write_all(b"\n")
            }
            Self::Json { text } => {
                let mut line = json_of(message, text, names);
                fields.add_json(&mut line, payload);
                writeln!(out, "{line}")
            }
            Self::Raw => {
                out.write_all(&(payload.len() as u32).to_le_bytes())?;
                out.write_all(payload)
            }
        }
    }

    /// Writes that messages from `from` on are taken back.
    ///
    /// # Errors
    /// Those of `out`; and the raw form has no place for it.
    pub fn write_retract(self, out: &mut impl Write, from: Seq) -> Result<(), Failure> {
        match self {
            Self::Text { .. } => writeln!(out, "retract from {from}")?,
            Self::Json { .. } => writeln!(out, "{}", json!({ "schema": RETRACT_SCHEMA, "from": from }))?,
            Self::Raw => {
                let what = format!(
                    "messages from seq {from} on were taken back, and --raw cannot say so: use --committed"
                );
                return Err(Failure::new(INTEGRITY, what));
            }
        }
        Ok(())
    }

    /// Writes the line of what the stream has at one seq beside messages.
    pub fn write_event(self, out: &mut impl Write, line: EntryLine) -> io::Result<()> {
        let EntryLine { word, seq, mut more } = line;
        if matches!(self, Self::Text { .. }) {
            write!(out, "{seq}\t-\t{word}")?;
            for (key, value) in &more {
                match value.as_str() {
                    Some(text) => write!(out, "\t{key} {}", shown(text))?,
                    None => write!(out, "\t{key} {value}")?,
                }
            }
            return writeln!(out);
        }
        more.insert("schema".to_owned(), format!("lockstep.{word}/1").into());
        more.insert("seq".to_owned(), seq.into());
        writeln!(out, "{}", Value::Object(more))
    }
}

/// What the stream has at a seq beside messages (`--events`), in one line.
#[derive(Clone, PartialEq, Debug)]
pub struct EntryLine {
    word: &'static str,
    /// Its seq.
    pub seq: Seq,
    more: Map<String, Value>,
}

impl EntryLine {
    /// That of an event; none of one without a place in the stream.
    pub fn of(event: &SubscriberEvent<'_>) -> Option<Self> {
        let (word, seq, more) = match *event {
            SubscriberEvent::Opened { seq, publisher, incarnation, nonce, last, name, .. } => {
                let nonce = format!("{:016x}{:016x}", nonce[0], nonce[1]);
                let more = json!({ "publisher": publisher, "name": name, "incarnation": incarnation, "nonce": nonce,
                    "last": last });
                ("opened", seq, more)
            }
            SubscriberEvent::Closed { seq, publisher, reason, .. } => {
                ("closed", seq, json!({ "publisher": publisher, "reason_hex": hex(reason) }))
            }
            SubscriberEvent::Day { seq, mark, .. } => {
                ("day", seq, json!({ "begins": mark.is_start, "name": mark.name }))
            }
            SubscriberEvent::Ordered { seq, timestamp, order } => {
                let subject = order.subject().map(|identity| identity.to_string());
                let mut more =
                    json!({ "order": order.order().name(), "operator": order.holder, "subject": subject });
                if let Some(before) = order.time_before() {
                    more["time_before_ns"] = before.into();
                    more["time_ns"] = timestamp.into();
                }
                ("ordered", seq, more)
            }
            SubscriberEvent::Epoch { epoch, seq } => {
                ("epoch", seq, json!({ "epoch": epoch.to_string(), "leader": epoch.leader().to_string() }))
            }
            SubscriberEvent::Founded { history, seq, ancestor } => {
                let more =
                    json!({ "history": format!("{history:016x}"), "former": format!("{ancestor:016x}") });
                ("founded", seq, more)
            }
            SubscriberEvent::Membership { seq, members } => {
                ("membership", seq, json!({ "members": members }))
            }
            SubscriberEvent::GatewayHeartbeat { seq, publisher, .. } => {
                ("alive", seq, json!({ "publisher": publisher }))
            }
            SubscriberEvent::MachineReport { seq, publisher, .. } => {
                ("reported", seq, json!({ "publisher": publisher }))
            }
            SubscriberEvent::SetNote { seq, publisher, .. } => {
                ("set note", seq, json!({ "publisher": publisher }))
            }
            SubscriberEvent::Filtered { seq, kind } => {
                let what = if kind == EntryKind::Message { "part" } else { "cluster" };
                ("passed", seq, json!({ "what": what }))
            }
            _ => return None,
        };
        let Value::Object(more) = more else { return None };
        Some(Self { word, seq, more })
    }

    /// An entry that tells several things has one line: an epoch's start is its members' too, and a founding
    /// both. Gives the line back if it is of another seq.
    pub fn join(&mut self, other: Self) -> Option<Self> {
        if other.seq != self.seq {
            return Some(other);
        }
        self.more.extend(other.more);
        None
    }
}

fn json_of(message: &Message<'_>, text: bool, names: &OpenedNames) -> Value {
    let mut line = json!({
        "schema": MESSAGE_SCHEMA,
        "seq": message.seq,
        "publisher": message.publisher,
        "publisher_seq": message.publisher_seq,
        "destination": message.destination,
        "timestamp_ns": message.timestamp,
        "payload_hex": hex(message.payload),
    });
    for (key, id) in [("publisher_name", message.publisher), ("destination_name", message.destination)] {
        if let Some(name) = names.get(id) {
            line[key] = name.into();
        }
    }
    if text {
        line["payload_text"] = std::str::from_utf8(message.payload).ok().into();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Publisher 1 is known by its name.
    fn names() -> OpenedNames {
        let mut names = OpenedNames::default();
        names.on_event(&SubscriberEvent::Opened {
            seq: 1,
            timestamp: 0,
            publisher: 1,
            incarnation: 1,
            nonce: [1, 2],
            last: 0,
            name: "orders",
        });
        names
    }

    fn written(form: Form, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let message =
            Message { seq: 7, publisher: 1, publisher_seq: 2, destination: 3, timestamp: 4, payload };
        let mut fields = PayloadFields::default();
        form.write(&mut out, &message, &names(), &mut fields).expect("memory takes all");
        out
    }

    #[test]
    fn a_message_is_one_line_of_text_whatever_it_says() {
        let text = written(Form::Text { names: false }, b"a\nb\\\xff\xc3\xa4");
        assert_eq!(String::from_utf8(text).unwrap(), "7\t1:2\t3\ta\\nb\\\\\\xff\u{e4}\n");
    }

    #[test]
    fn names_stand_in_the_place_of_numbers_where_they_are_known() {
        assert_eq!(written(Form::Text { names: true }, b"a"), b"7\torders:2\t3\ta\n");
        let line: serde_json::Value =
            serde_json::from_slice(&written(Form::Json { text: false }, b"a")).unwrap();
        assert_eq!((&line["publisher_name"], line.get("destination_name")), (&"orders".into(), None));
        let names = names();
        let all = [0, 1, 2, lockstep_client::CHANNELS + 7].map(|destination| names.destination(destination));
        assert_eq!(all, ["everybody", "orders", "2", "channel:7"]);
    }

    #[test]
    fn json_has_the_payload_in_hex_whatever_it_says_and_as_text_too_where_that_is_asked_for() {
        let line = |text, payload| -> Value {
            serde_json::from_slice(&written(Form::Json { text }, payload)).unwrap()
        };
        for (payload, hex, text) in [(&b"a\n"[..], "610a", json!("a\n")), (b"\xff\x01", "ff01", Value::Null)]
        {
            let plain = line(false, payload);
            assert_eq!((&plain["payload_hex"], plain.get("payload_text")), (&json!(hex), None));
            let both = line(true, payload);
            assert_eq!((&both["payload_hex"], both.get("payload_text")), (&json!(hex), Some(&text)));
        }
    }

    #[test]
    fn what_is_no_message_has_a_line_of_its_own_schema() {
        let nonce = [1, 0xff];
        let opened = SubscriberEvent::Opened {
            seq: 9,
            timestamp: 0,
            publisher: 3,
            incarnation: 2,
            nonce,
            last: 7,
            name: "client/a",
        };
        let mut out = Vec::new();
        let line = |event: &SubscriberEvent<'_>| EntryLine::of(event).expect("it has a place");
        Form::Json { text: false }.write_event(&mut out, line(&opened)).unwrap();
        let line: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&line["schema"], &line["seq"]), (&json!("lockstep.opened/1"), &json!(9)));
        assert_eq!(line["nonce"], json!("000000000000000100000000000000ff"));
        let closed = SubscriberEvent::Closed { seq: 10, timestamp: 0, publisher: 3, reason: b"\x02\x01" };
        out.clear();
        Form::Text { names: false }
            .write_event(&mut out, EntryLine::of(&closed).expect("it has a place"))
            .unwrap();
        assert_eq!(out, b"10\t-\tclosed\tpublisher 3\treason_hex 0201\n");
        assert_eq!(EntryLine::of(&SubscriberEvent::CaughtUp { next: 4 }), None);
    }

    #[test]
    fn what_one_entry_tells_is_one_line() {
        let epoch = lockstep_wire::Epoch::new(3, lockstep_wire::Identity { replica: 2, incarnation: 5 });
        let events = [
            SubscriberEvent::Founded { history: 9, seq: 7, ancestor: 8 },
            SubscriberEvent::Epoch { epoch, seq: 7 },
            SubscriberEvent::Membership { seq: 7, members: 1 },
        ];
        let [mut line, epoch, members] = events.map(|event| EntryLine::of(&event).expect("it has a place"));
        assert_eq!((line.join(epoch), line.join(members)), (None, None));
        let later =
            EntryLine::of(&SubscriberEvent::Membership { seq: 8, members: 2 }).expect("it has a place");
        assert_eq!(line.join(later.clone()), Some(later), "another entry has a line of its own");
        let mut out = Vec::new();
        Form::Json { text: false }.write_event(&mut out, line).unwrap();
        let line: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&line["schema"], &line["members"]), (&json!("lockstep.founded/1"), &json!(1)));
        assert!(line["epoch"].is_string() && line["former"].is_string(), "{line}");
    }

    #[test]
    fn raw_is_what_publish_reads_length_prefixed() {
        assert_eq!(written(Form::Raw, b"abc"), b"\x03\0\0\0abc");
    }
}
