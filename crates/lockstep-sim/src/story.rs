//! The events of one run, in order: for people. Recorded only on request.

use crate::keys;
use crate::net::To;
use lockstep_wire::{
    BallotBody, Datagram, Epoch, HEADER_LEN, Header, Kind, Nanos, RepairReject, RepairRejectBody,
};
use std::fmt::{self, Write as _};

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Its time.
    pub at_ns: Nanos,
    /// Its lane.
    pub lane: usize,
    /// The event itself.
    pub what: Happening,
}

/// The kinds of events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happening {
    /// A datagram is sent.
    Sent {
        /// Its number.
        number: u64,
        /// Its kind.
        kind: Option<Kind>,
        /// The epoch in its header.
        epoch: Epoch,
        /// A short summary of it.
        text: String,
    },
    /// A datagram arrives.
    Arrived {
        /// Its number.
        number: u64,
        /// The lane of its sender.
        from: usize,
        /// The time at which it was sent.
        sent_at: Nanos,
    },
    /// A fault strikes.
    Fault(String),
    /// Something else that is worth a line.
    Note(String),
    /// A process leads this epoch from now on (or no epoch).
    Leads(Option<Epoch>),
    /// A rule is broken.
    Broken(String),
}

/// The lanes and their events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Story {
    /// Names of the processes.
    pub lanes: Vec<String>,
    /// In order.
    pub moments: Vec<Moment>,
}

/// An epoch as people read it: round and replica.
pub fn short(epoch: Epoch) -> String {
    format!("{}@{}", epoch.round(), epoch.leader().replica)
}

impl Story {
    /// Records an event.
    pub fn tell(&mut self, at_ns: Nanos, lane: usize, what: Happening) {
        self.moments.push(Moment { at_ns, lane, what });
    }

    /// Records a sent datagram.
    pub fn record_sent(&mut self, at_ns: Nanos, lane: usize, number: u64, to: &To, bytes: &[u8]) {
        let header = Header::peek(bytes);
        let kind = header.and_then(|header| Kind::from_u8(header.kind));
        let mut text = match to {
            To::Group(group) => format!("{group:?}: "),
            To::Unicast(to) => format!("{}: ", self.name(usize::from(to.ip().octets()[3]).saturating_sub(1))),
        };
        if let (Some(header), Some(kind)) = (header, kind) {
            text += &say(&header, kind, bytes);
        }
        let epoch = header.map_or(Epoch::NONE, |header| header.epoch());
        self.tell(at_ns, lane, Happening::Sent { number, kind, epoch, text });
    }

    fn name(&self, lane: usize) -> &str {
        self.lanes.get(lane).map_or("?", String::as_str)
    }

    /// Faults, roles and events only.
    pub fn without_datagrams(&self) -> Self {
        let is_datagram =
            |moment: &&Moment| matches!(moment.what, Happening::Sent { .. } | Happening::Arrived { .. });
        let shown = self.moments.iter().filter(|moment| !is_datagram(moment));
        Self { lanes: self.lanes.clone(), moments: shown.cloned().collect() }
    }

    /// Only the last `count` moments, arrivals left out.
    pub fn tail(&self, count: usize) -> Self {
        let shown: Vec<_> =
            self.moments.iter().filter(|moment| !matches!(moment.what, Happening::Arrived { .. })).collect();
        let last = shown.len().saturating_sub(count);
        Self {
            lanes: self.lanes.clone(),
            moments: shown[last..].iter().map(|moment| (*moment).clone()).collect(),
        }
    }
}

/// A datagram in a few words.
fn say(header: &Header, kind: Kind, bytes: &[u8]) -> String {
    let epoch = short(header.epoch());
    let (first, next, commit) = (header.first_seq, header.next_seq(), header.commit_next);
    let body = bytes.get(HEADER_LEN..HEADER_LEN + size_of::<BallotBody>());
    let ballot = body.map(bytemuck::pod_read_unaligned::<BallotBody>);
    match (kind, ballot) {
        (Kind::Frame, _) => {
            let repair = if bytes.len() > header.length as usize { "repair, " } else { "" };
            format!("{repair}frame {first}..{next} of {epoch}, commit {commit}")
        }
        (Kind::Heartbeat, _) => format!("beat {epoch}, next {first}, commit {commit}"),
        (Kind::Ack, _) => format!("ack {epoch} up to {first}, commit {commit}"),
        (Kind::Prepare | Kind::Promise, Some(body)) => {
            format!("{kind:?} {}, log {epoch} up to {first}, commit {commit}", short(Epoch(body.ballot)))
        }
        (Kind::Refuse | Kind::PreVote | Kind::Grant, Some(body)) => {
            format!("{kind:?} {} about {}", short(Epoch(body.ballot)), short(Epoch(body.about)))
        }
        (Kind::Submission, _) => format!("submits {}", { header.count }),
        (Kind::Nack, _) => {
            let Ok(Datagram::Nack(_, _, ranges)) = Datagram::decode(bytes, keys::judge()) else {
                return format!("a damaged nack of {epoch}");
            };
            let ranges: Vec<_> =
                ranges.iter().map(|range| format!(" {}..{}", range.from, range.to)).collect();
            format!("nack{} as follower of {epoch}", ranges.concat())
        }
        (Kind::RepairReject, _) => {
            let Ok(Datagram::RepairReject(_, body)) = Datagram::decode(bytes, keys::judge()) else {
                return format!("a damaged answer of {epoch}");
            };
            let RepairRejectBody { range, oldest_seq, reason, .. } = body;
            let why =
                RepairReject::from_u32(reason).map_or_else(|| reason.to_string(), |why| format!("{why:?}"));
            format!(
                "answer {why} to {}..{}, oldest {oldest_seq}, {epoch} commit {commit}",
                range.from, range.to
            )
        }
        _ => format!("{kind:?} {epoch}, next {first}, commit {commit}"),
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        for Moment { at_ns, lane, what } in &self.moments {
            line.clear();
            let _ = write!(line, "{:>12.3} µs  {:<14} ", *at_ns as f64 / 1e3, self.name(*lane));
            // Writing into a string cannot fail.
            let _ = match what {
                Happening::Sent { number, text, .. } => write!(line, "──▶ {text}  #{number}"),
                Happening::Arrived { number, from, sent_at } => write!(
                    line,
                    "◀── #{number} of {} after {:.1} µs",
                    self.name(*from),
                    at_ns.saturating_sub(*sent_at) as f64 / 1e3
                ),
                Happening::Fault(text) => write!(line, "!!! {text}"),
                Happening::Note(text) => write!(line, "    {text}"),
                Happening::Leads(Some(epoch)) => write!(line, "=== leads {}", short(*epoch)),
                Happening::Leads(None) => write!(line, "=== leads no more"),
                Happening::Broken(text) => write!(line, "XXX {text}"),
            };
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// A duration in words.
pub(crate) fn ms(lasting: Nanos) -> String {
    format!("for {:.3} ms", lasting as f64 / 1e6)
}
