//! The words of a story: what happened, in one line each.

use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::reader::News;
use lockstep_memory::world::{CLUSTER, identity};
use lockstep_wire::{
    CommandReject, Condition, Datagram, Epoch, Header, Identity, Keyring, Kind, ReadersAheadNumber,
};

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
pub fn words(event: &ReplicaEvent) -> Option<String> {
    Some(match event {
        ReplicaEvent::Role { from, to, .. } => format!("{} becomes {}", from.name(), to.name()),
        ReplicaEvent::LeaderSuspected { epoch, .. } => {
            format!("misses the leader of {}", epoch_words(*epoch))
        }
        ReplicaEvent::Candidate { ballot } => format!("asks to be promised {}", epoch_words(*ballot)),
        ReplicaEvent::SteppedDown { epoch, .. } => format!("stamps no more in {}", epoch_words(*epoch)),
        ReplicaEvent::SuffixReplaced { from, epoch, old_next, .. } => format!(
            "exchanges its log from {from} on, which ended at {old_next}, for that of {}",
            epoch_words(*epoch)
        ),
        ReplicaEvent::CommitContradicted { from, commit_next, epoch } => format!(
            "stops: {} parts from its log at {from}, below its commit {commit_next}",
            epoch_words(*epoch)
        ),
        ReplicaEvent::DeclaredDeadBoth { other, .. } => format!("stops: {} is led too", epoch_words(*other)),
        ReplicaEvent::OtherHistory { .. } => "stops: the group lives in another history".to_owned(),
        ReplicaEvent::DuplicateIdentityOlder { .. } => {
            "stops: its identity lives elsewhere, and began earlier".to_owned()
        }
        ReplicaEvent::Founded { next, goes_on, .. } => {
            let then = if *goes_on { "goes on in it" } else { "stops" };
            format!("learns that a new history was founded at {next}, and {then}")
        }
        ReplicaEvent::LeaderReturned { epoch, .. } => {
            format!("hears the leader of {} again", epoch_words(*epoch))
        }
        ReplicaEvent::Member { identity, unavailable: Some(unavailable), .. } => {
            format!("finds that {} {}", identity_words(*identity), unavailable.name())
        }
        ReplicaEvent::Member { identity, unavailable: None, .. } => {
            format!("finds that {} is there again", identity_words(*identity))
        }
        ReplicaEvent::RoundRefused { epoch, seen } => {
            format!("does not believe round {}, as the greatest so far was {seen}", epoch.round())
        }
        ReplicaEvent::Condition { condition, holds, a, b, .. } => condition_words(*condition, *holds, *a, *b),
        _ => return None,
    })
}

/// A condition that begins or ends at a replica.
fn condition_words(condition: Condition, holds: bool, a: u64, b: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let what = match condition {
        Condition::RedundancyLost => format!("{a} of {b} members are there"),
        Condition::EpochsUncommitted => "many epochs of the log have no commit".to_owned(),
        Condition::ClockAhead => {
            let still = if b == 1 { ", and stands still" } else { "" };
            format!("the stream's time is {} s ahead of its clock{still}", a.div_ceil(SECOND))
        }
        Condition::ClockApart => {
            let side = if b == 1 { "ahead of" } else { "behind" };
            format!("its clock is {} s {side} a quorum's", a.div_ceil(SECOND))
        }
        Condition::PublishersNearlyFull => format!("its table holds {a} of {b} publishers"),
        Condition::DurabilityMixed => "its durability is not that of its epoch".to_owned(),
        Condition::ReaderAhead => {
            let addresses = ReadersAheadNumber::unpacked(b).addresses;
            format!("readers at {addresses} addresses have read up to {a}, beyond its log")
        }
        Condition::JournalFull => "its journal is full".to_owned(),
        other => other.name().to_owned(),
    };
    match holds {
        true => format!("alarm: {what}"),
        false => format!("alarm is over: {}", condition.name()),
    }
}

pub fn publisher_words(event: &PublisherEvent) -> Option<String> {
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
        PublisherEvent::Opened { last: 1.., publisher_seq, .. } => {
            format!("its name is open, and its next number is {publisher_seq}")
        }
        PublisherEvent::Refused { reason: OpenRefusal::TableFull { publishers_max }, .. } => {
            format!("there is no room for its name: the cluster takes {publishers_max}")
        }
        PublisherEvent::Fenced { publisher_seq, .. } => {
            format!("a newer process has its name; nothing from number {publisher_seq} on is stamped")
        }
        PublisherEvent::Multicast { lost: true } => "no group brings it the leader".to_owned(),
        PublisherEvent::Multicast { lost: false } => "the groups bring it the leader again".to_owned(),
        PublisherEvent::Founded { seq, .. } => format!("a new history was founded at {seq}, and it goes on"),
        PublisherEvent::HistoryLost { next, have, .. } => {
            format!("a new history was founded at {next}: what was committed from there up to {have} is lost")
        }
        PublisherEvent::OutcomesUnknown => "stops: the fates of its messages are not known".to_owned(),
        _ => return None,
    })
}

pub fn reader_words(event: &News, delivery: Delivery) -> Option<String> {
    Some(match event {
        News::Message(seq, text) => format!("{seq} {text}"),
        News::Retract(from) => format!("everything from {from} on is taken back"),
        News::Epoch(epoch, seq) => format!("{seq} {} starts", epoch_words(*epoch)),
        News::Membership(seq, members) => format!("{seq} {members} members"),
        News::Committed(next) if delivery == Delivery::Stamped => format!("committed below {next}"),
        News::Diverged(seq) => format!("stops: the log differs at {seq}"),
        News::Founded(_, seq) => format!("{seq} a new history was founded"),
        News::Forgotten(_, next, have) => {
            format!("stops: a new history was founded at {next}, and it has read everything below {have}")
        }
        News::Ahead(next, end) => {
            format!("stops: it has read everything below {next}, and the leader's log ends at {end}")
        }
        _ => return None,
    })
}

pub fn datagram_words(bytes: &[u8]) -> String {
    let header = Header::peek(bytes).expect("a header");
    let of = |ballot: u64| epoch_words(Epoch(ballot));
    match Datagram::decode(bytes, &Keyring::none(CLUSTER)).expect("our own bytes") {
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
        Datagram::CommandResult(_, body) => match CommandReject::from_u32(body.reject) {
            None => "verdict: done".to_owned(),
            Some(denied) => format!("verdict: denied, {denied:?}"),
        },
        Datagram::StepDown(..) => "step down".to_owned(),
        Datagram::Nack(_, _, ranges) => {
            let ranges: Vec<_> =
                ranges.iter().map(|range| format!("{} to {}", range.from, range.to)).collect();
            format!(
                "nack: asks for {}",
                if ranges.is_empty() { "the start".into() } else { ranges.join(", ") }
            )
        }
        _ => format!("{:?}", Kind::from_u8(header.kind).expect("a kind")),
    }
}
