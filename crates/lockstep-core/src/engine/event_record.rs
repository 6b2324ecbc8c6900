//! Events as records: a stable code and numbers, which rings store, queries report and logs print.
//!
//! The code of a condition is its own ([`lockstep_wire::Condition`]).

use super::event::{RefusedSender, ReplicaEvent, StepDownReason};
use lockstep_wire::{
    Epoch, EventRecord as Record, Identity, LeaderLossReason, Nanos, Reject, Seq, packed_address,
};

/// The role changed.
pub const ROLE: u16 = 1001;
/// A blank node adopted a history.
pub const HISTORY: u16 = 1002;
/// An epoch begins.
pub const EPOCH: u16 = 1003;
/// The leader is suspected.
pub const LEADER_SUSPECTED: u16 = 1004;
/// An election is started.
pub const CANDIDATE: u16 = 1005;
/// A leader stepped down.
pub const STEPPED_DOWN: u16 = 1006;
/// Uncommitted entries were replaced.
pub const SUFFIX_REPLACED: u16 = 1007;
/// A takeover waits for a stopped replica.
pub const TAKEOVER_WAITS: u16 = 1009;
/// A member became unavailable, or is available again.
pub const MEMBER: u16 = 1018;
/// The suspected leader is back.
pub const LEADER_RETURNED: u16 = 1019;
/// A round far above all others is not believed.
pub const ROUND_REFUSED: u16 = 1020;
/// A history is founded, and this node continues in it.
pub const FOUNDED: u16 = 1030;
/// The log rises to a newer version.
pub const VERSION_RAISED: u16 = 1031;
/// The stream's time goes back.
pub const TIME_SET_BACK: u16 = 1032;
/// The leader stops or hands over, as it was told to.
pub const LEADER_GOES: u16 = 1033;
/// This leader stops or hands over, as it was told to.
pub const HANDED_OVER: u16 = 1034;
/// Datagrams are rejected for a reason.
pub const REJECTED: u16 = 1201;
/// A gap was requested.
pub const GAP: u16 = 1202;
/// Other nodes refuse a lease, or no longer do.
pub const JOIN_REFUSED: u16 = 1205;
/// The number of nodes that send by lease.
pub const LEASED: u16 = 1206;
/// A node still sends in an ancestor history.
pub const ANCESTOR_HISTORY: u16 = 1230;
/// A replica leads another history under the cluster's id.
pub const OTHER_LEADER: u16 = 1231;
/// The log differs from the cluster's.
pub const DIVERGED: u16 = 1301;
/// An older process has this identity.
pub const DUPLICATE_IDENTITY_OLDER: u16 = 1302;
/// A replica acknowledged another log.
pub const DIVERGENT_ACK: u16 = 1303;
/// An epoch does not contain what is committed here.
pub const CUT: u16 = 1304;
/// Another history uses the cluster's id.
pub const OTHER_HISTORY: u16 = 1305;
/// Two of two were each declared dead.
pub const DECLARED_DEAD_BOTH: u16 = 1306;
/// A replaced suffix has left the ring.
pub const OVERRUN: u16 = 1307;
/// A newer process has this identity.
pub const DUPLICATE_IDENTITY: u16 = 1308;
/// A history was founded without something that is final here.
pub const LEFT_BEHIND: u16 = 1330;

/// Of somebody who speaks in another history.
fn with_history(record: Record, identity: Identity, history: u64) -> Record {
    Record { a: identity.packed(), b: history, ..record }
}

/// A leader that said that it goes is no fault: that has a code of its own.
fn missed(record: Record, epoch: Epoch, why: LeaderLossReason) -> Record {
    let code = if why == LeaderLossReason::StepDown { LEADER_GOES } else { record.code };
    Record { code, a: epoch.0, small: why as u16, ..record }
}

/// The same of the leader itself.
fn stepped_down(record: Record, (epoch, seq): (Epoch, Seq), why: StepDownReason) -> Record {
    let code = if why == StepDownReason::Handover { HANDED_OVER } else { record.code };
    Record { code, a: epoch.0, b: seq, small: why as u16, ..record }
}

/// Of an order that the leader has stamped, and its effect.
fn ordered(record: Record, seq: Seq, (a, c): (u64, u64)) -> Record {
    Record { a, b: seq, c, ..record }
}

/// An event as a record. `since` is the time at which the state began that ends with it.
pub fn record(event: ReplicaEvent, now: Nanos, since: Nanos) -> Record {
    let took = now.saturating_sub(since);
    let of = |code| Record { at: now, code, ..Record::default() };
    match event {
        ReplicaEvent::Role { from, to, epoch, seq, is_archiver } => {
            let (small, e) = (from as u16, to as u32);
            Record { a: epoch.0, b: seq, c: took, d: u64::from(is_archiver), small, e, ..of(ROLE) }
        }
        ReplicaEvent::History { history } => Record { a: history, ..of(HISTORY) },
        ReplicaEvent::Epoch { epoch, base } => Record { a: epoch.0, b: base, ..of(EPOCH) },
        ReplicaEvent::LeaderSuspected { epoch, why } => missed(of(LEADER_SUSPECTED), epoch, why),
        ReplicaEvent::LeaderReturned { epoch, lasted } => {
            Record { a: epoch.0, c: lasted, ..of(LEADER_RETURNED) }
        }
        ReplicaEvent::Member { identity, unavailable, available, listed, lasted } => {
            let (small, e) = (unavailable.map_or(0, |why| why as u16), u32::from(available));
            Record { a: identity.packed(), b: u64::from(listed), c: lasted, small, e, ..of(MEMBER) }
        }
        ReplicaEvent::Candidate { ballot } => Record { a: ballot.0, ..of(CANDIDATE) },
        ReplicaEvent::SteppedDown { epoch, why, seq } => stepped_down(of(STEPPED_DOWN), (epoch, seq), why),
        ReplicaEvent::VersionRaised { version, seq } => ordered(of(VERSION_RAISED), seq, (version.into(), 0)),
        ReplicaEvent::TimeSetBack { before, after, seq } => ordered(of(TIME_SET_BACK), seq, (before, after)),
        ReplicaEvent::SuffixReplaced { from, epoch, old_epoch, old_next } => {
            Record { a: from, b: epoch.0, c: old_next, d: old_epoch.0, ..of(SUFFIX_REPLACED) }
        }
        ReplicaEvent::CommitContradicted { from, commit_next, epoch } => {
            Record { a: from, b: commit_next, c: epoch.0, ..of(CUT) }
        }
        ReplicaEvent::DeclaredDeadBoth { other, own } => {
            Record { a: other.0, b: own.0, ..of(DECLARED_DEAD_BOTH) }
        }
        ReplicaEvent::Overrun { from, oldest } => Record { a: from, b: oldest, ..of(OVERRUN) },
        ReplicaEvent::Condition { condition, holds, a, b, lasted } => {
            Record { a, b, c: lasted, small: u16::from(holds), ..of(condition as u16) }
        }
        ReplicaEvent::TakeoverWaits { from, oldest, witness, holder } => {
            Record { a: from, b: oldest, c: witness.packed(), d: holder.packed(), ..of(TAKEOVER_WAITS) }
        }
        ReplicaEvent::Rejected { reject, sender } => rejected(of(REJECTED), reject, sender),
        ReplicaEvent::Diverged { seq, have, seen } => Record { a: seq, b: have, c: seen, ..of(DIVERGED) },
        ReplicaEvent::DivergentAck { identity, seq, have, seen } => {
            Record { a: identity.packed(), b: seq, c: have, d: seen, ..of(DIVERGENT_ACK) }
        }
        ReplicaEvent::OtherHistory { have, seen } => Record { a: have, b: seen, ..of(OTHER_HISTORY) },
        ReplicaEvent::AncestorHistory { history, identity } => {
            with_history(of(ANCESTOR_HISTORY), identity, history)
        }
        ReplicaEvent::OtherLeader { history, identity } => with_history(of(OTHER_LEADER), identity, history),
        ReplicaEvent::Founded { history, next, own_next, commit_next, goes_on } => {
            let code = if goes_on { FOUNDED } else { LEFT_BEHIND };
            Record { a: history, b: next, c: own_next, d: commit_next, ..of(code) }
        }
        ReplicaEvent::RoundRefused { epoch, seen } => {
            Record { a: epoch.0, b: u64::from(seen), ..of(ROUND_REFUSED) }
        }
        ReplicaEvent::DuplicateIdentity { identity } => {
            Record { a: identity.packed(), ..of(DUPLICATE_IDENTITY) }
        }
        ReplicaEvent::DuplicateIdentityOlder { identity } => {
            Record { a: identity.packed(), ..of(DUPLICATE_IDENTITY_OLDER) }
        }
        ReplicaEvent::Gap { from, to } => Record { a: from, b: to, ..of(GAP) },
    }
}

/// A refused datagram, and its sender: identity, address, and one more than the generation of its key (0:
/// none).
fn rejected(record: Record, reject: Reject, sender: Option<RefusedSender>) -> Record {
    let record = Record { a: rejected_number(reject), small: reject.index() as u16, ..record };
    let Some(sender) = sender else { return record };
    let address = sender.address.map_or(0, packed_address);
    let generation = sender.generation.map_or(0, |number| u32::from(number) + 1);
    Record { b: sender.identity.packed(), d: address, e: generation, ..record }
}

/// The number in a rejected datagram that shows the reason, where there is one.
fn rejected_number(reject: Reject) -> u64 {
    match reject {
        Reject::Version { seen } => u64::from(seen),
        Reject::Cluster { seen } | Reject::History { seen } => seen,
        _ => 0,
    }
}
