//! The genesis of a history: entry 1, written once, on one node, before any node leads.

use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use bytemuck::Zeroable;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{
    EntryHeader, EntryKind, Epoch, Header, Identity, Keyring, Kind, MemberBody, OpenFrame, VERSION,
    VERSION_MIN,
};

/// Whether a history with these members may begin on the journal of `identity`, whose log ends at `end`.
///
/// # Errors
/// The reason why not.
pub fn may_bootstrap(end: &LogEnd, identity: Identity, members: &[MemberBody]) -> Result<(), String> {
    if end.next != 1 {
        return Err(format!(
            "this journal holds a history already (its log ends at seq {}): a history is begun once",
            end.next - 1
        ));
    }
    if !members.iter().any(|member| member.identity() == identity) {
        return Err(format!("the members do not list {identity}, on whose journal the history begins"));
    }
    Ok(())
}

/// Writes the genesis of `history` with these members into an empty log, sealed with `keys`. The log begins
/// in the newest version of this release: [`bootstrap_version`] begins it in another one. The error is the
/// reason for a refusal.
pub fn bootstrap<M: TailMemory>(
    tail: &mut Tail<M>,
    keys: &Keyring,
    history: u64,
    members: &[MemberBody],
) -> Result<(), String> {
    bootstrap_version(tail, keys, (history, VERSION), members)
}

/// As [`bootstrap`], in a version from [`VERSION_MIN`] to [`VERSION`]: that of the oldest member.
pub fn bootstrap_version<M: TailMemory>(
    tail: &mut Tail<M>,
    keys: &Keyring,
    (history, version): (u64, u8),
    members: &[MemberBody],
) -> Result<(), String> {
    let (cluster, identity) = (tail.label().cluster, tail.label().identity);
    may_bootstrap(&tail.end(), identity, members)?;
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(format!(
            "this release begins a history in version {VERSION_MIN} to {VERSION}, not {version}"
        ));
    }
    let memory = tail.room().map_err(|full| full.to_string())?;
    let entry = EntryHeader { kind: EntryKind::Genesis as u8, ..EntryHeader::zeroed() };
    let mut open = OpenFrame::default();
    if !open.push(memory, entry, bytemuck::cast_slice(members)) {
        return Err(format!("{} members do not fit one frame", members.len()));
    }
    let header = Header {
        version,
        cluster,
        history,
        epoch: Epoch::new(0, identity).0,
        sender: identity.replica,
        incarnation: identity.incarnation,
        first_seq: 1,
        commit_next: 1,
        // CLOCK-1: one clock alone moves no time.
        timestamp: 0,
        ..Header::new(Kind::Frame)
    };
    let length = open.len();
    let header = open.close(memory, keys, header, length);
    tail.pin(&header);
    Ok(())
}
