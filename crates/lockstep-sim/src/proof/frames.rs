//! Frames of a log that no other replica has: just enough of them for a journal to write, roll and replace a
//! suffix.

use bytemuck::Zeroable;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{
    ENTRY_HEADER_LEN, EPOCH_START_LEN_MAX, EntryHeader, EntryKind, Epoch, EpochBase, EpochStartBody, Header,
    Identity, Keyring, Kind, MemberBody, OpenFrame, write_epoch_start,
};
use std::net::SocketAddrV4;

pub(super) const CLUSTER: u64 = 7;
pub(super) const HISTORY: u64 = 0xb1;
/// The replica with the explored journal.
pub(super) const ME: Identity = Identity { replica: 1, incarnation: 0x51 };
/// The longest frame, in bytes.
pub(super) const FRAME_LEN_MAX: usize = 1424;
/// A message that fills whole sectors: with zeros these look unwritten.
const LONG: usize = 1_200;

/// The epoch of round `round`, led by another replica.
pub(super) fn epoch(round: u32) -> Epoch {
    Epoch::new(round, Identity { replica: 2, incarnation: 0x52 })
}

/// The only listed member.
pub(super) fn member() -> MemberBody {
    MemberBody::full(ME, SocketAddrV4::new([127, 0, 0, 1].into(), 7))
}

/// A frame behind `end` with one entry.
fn frame(end: &LogEnd, epoch: Epoch, kind: EntryKind, payload: &[u8]) -> Vec<u8> {
    let mut memory = vec![0; FRAME_LEN_MAX];
    let entry = EntryHeader { kind: kind as u8, publisher_seq: end.next, ..EntryHeader::zeroed() };
    let mut open = OpenFrame::default();
    assert!(open.push(&mut memory, entry, payload), "a frame of {} bytes", payload.len() + ENTRY_HEADER_LEN);
    let header = Header {
        cluster: CLUSTER,
        history: HISTORY,
        epoch: epoch.0,
        sender: epoch.leader().replica,
        incarnation: epoch.leader().incarnation,
        first_seq: end.next,
        commit_next: 1,
        timestamp: end.timestamp + 1,
        chain: end.chain,
        // As the genesis before it.
        version: lockstep_wire::VERSION,
        ..Header::new(Kind::Frame)
    };
    let length = open.len();
    open.close(&mut memory, &Keyring::none(CLUSTER), header, length);
    memory.truncate(length);
    memory
}

/// A message of the epoch in which the log ends; every second one is long and consists of zeros. `salt`
/// makes it different from any earlier one at its place.
pub(super) fn message(end: &LogEnd, salt: u8) -> Vec<u8> {
    match end.next % 2 {
        0 => frame(end, end.epoch, EntryKind::Message, &[[salt, 1].as_slice(), &[0; LONG]].concat()),
        _ => frame(end, end.epoch, EntryKind::Message, &[salt; 300]),
    }
}

/// The start of `epoch` behind `end`.
pub(super) fn epoch_start(end: &LogEnd, epoch: Epoch) -> Vec<u8> {
    let body = EpochStartBody {
        epoch: epoch.0,
        base: end.next,
        chain_at_base: end.chain,
        window_entries: 1,
        window_bytes: 1,
        ..EpochStartBody::zeroed()
    };
    let rows = [EpochBase { epoch: end.epoch.0, base: 1 }, EpochBase { epoch: epoch.0, base: end.next }];
    let mut payload = [0; EPOCH_START_LEN_MAX];
    let length = write_epoch_start(&mut payload, body, &[member()], &rows, &[]);
    frame(end, epoch, EntryKind::EpochStart, &payload[..length])
}
