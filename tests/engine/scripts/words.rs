//! The words of a story: what happened, in one line each.

use crate::subscriber::Told as Heard;
use crate::world::{CLUSTER, identity};
use lockstep::engine::event::Event;
use lockstep::engine::publisher::PublisherEvent;
use lockstep::engine::subscriber::Delivery;
use lockstep::wire::{Datagram, Denied, Epoch, Header, Identity, Kind};

pub fn kind(name: &str) -> u8 {
    let mut all = (0..=u8::MAX).filter_map(Kind::from_u8);
    let found = all.find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no kind of datagram is called {name}")) as u8
}

/// `round.leader`, with the incarnation where it is not the first.
pub fn epoch_words(epoch: Epoch) -> String {
    if epoch == Epoch::NONE {
        return "no epoch".to_owned();
    }
    format!("epoch {}.{}", epoch.round(), identity_words(epoch.leader()))
}

fn identity_words(of: Identity) -> String {
    if of == identity(of.replica) {
        of.replica.to_string()
    } else {
        format!("{}:{}", of.replica, of.incarnation)
    }
}

/// What a story tells of a replica; `None` of what only fills its pages.
pub fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Role { from, to, .. } => format!("{} becomes {}", from.name(), to.name()),
        Event::Missed { epoch, .. } => format!("misses the leader of {}", epoch_words(*epoch)),
        Event::Candidate { ballot } => format!("asks to be promised {}", epoch_words(*ballot)),
        Event::SteppedDown { epoch, .. } => format!("stamps no more in {}", epoch_words(*epoch)),
        Event::Exchanged { from, epoch, old_next, .. } => format!(
            "exchanges its log from {from} on, which ended at {old_next}, for that of {}",
            epoch_words(*epoch)
        ),
        Event::Cut { from, commit_next, epoch } => format!(
            "stops: {} parts from its log at {from}, below its commit {commit_next}",
            epoch_words(*epoch)
        ),
        Event::Parted { other, .. } => format!("stops: {} is led too", epoch_words(*other)),
        Event::OtherHistory { .. } => "stops: the group lives in another history".to_owned(),
        Event::Impostor { .. } => "stops: its identity lives elsewhere, and began earlier".to_owned(),
        _ => return None,
    })
}

pub fn told_words(event: &PublisherEvent) -> Option<String> {
    Some(match event {
        PublisherEvent::Stamped { publisher_seq, seq, .. } => {
            format!("its number {publisher_seq} is stamped {seq}")
        }
        PublisherEvent::Unstamped { publisher_seq, .. } => {
            format!("its number {publisher_seq} is stamped no more")
        }
        PublisherEvent::Committed { publisher_seq, seq, .. } => {
            format!("its number {publisher_seq} is committed at {seq}")
        }
        _ => return None,
    })
}

pub fn heard_words(heard: &Heard, delivery: Delivery) -> Option<String> {
    Some(match heard {
        Heard::Message(seq, text) => format!("{seq} {text}"),
        Heard::Retract(from) => format!("everything from {from} on is taken back"),
        Heard::Epoch(epoch, seq) => format!("{seq} {} starts", epoch_words(*epoch)),
        Heard::Membership(seq, members) => format!("{seq} {members} members"),
        Heard::Committed(next) if delivery == Delivery::Stamped => format!("committed below {next}"),
        Heard::Diverged(seq) => format!("stops: the log differs at {seq}"),
        _ => return None,
    })
}

pub fn datagram_words(bytes: &[u8]) -> String {
    let header = Header::peek(bytes).expect("a header");
    let of = |ballot: u64| epoch_words(Epoch(ballot));
    match Datagram::decode(bytes, CLUSTER).expect("our own bytes") {
        Datagram::Ack(header, _) => {
            let of = epoch_words(Epoch(header.epoch));
            format!("ack: its log of {of} reaches {}", { header.first_seq })
        }
        Datagram::PreVote(_, body) => format!("pre-vote: would you promise {}?", of(body.ballot)),
        Datagram::Grant(_, body) => format!("grant: {} may ask", of(body.ballot)),
        Datagram::Prepare(_, body) => format!("prepare: promise {}", of(body.ballot)),
        Datagram::Promise(header, body) => format!(
            "promise of {}: its log is that of {} and ends at {}",
            of(body.ballot),
            epoch_words(Epoch(header.epoch)),
            { header.first_seq }
        ),
        Datagram::Refuse(_, body) => format!("refuse {}", of(body.ballot)),
        Datagram::Verdict(_, body) => match Denied::from_u32(body.denied) {
            None => "verdict: done".to_owned(),
            Some(denied) => format!("verdict: denied, {denied:?}"),
        },
        Datagram::StepDown(..) => "step down".to_owned(),
        _ => format!("{:?}", Kind::from_u8(header.kind).expect("a kind")),
    }
}
