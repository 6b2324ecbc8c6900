//! What the tests of the cores share: members, frames and epoch starts as a leader seals them.

use super::log::LogEnd;
use super::membership::Membership;
use bytemuck::Zeroable;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// Replica `number` in its first life.
pub(super) fn identity(number: u32) -> Identity {
    Identity { replica: number, incarnation: 0x100 + number }
}

/// Epoch `round` under replica `leader`.
pub(super) fn epoch(round: u32, leader: u32) -> Epoch {
    Epoch::new(round, identity(leader))
}

/// Members 1 to `count`.
pub(super) fn members(count: u32) -> Vec<MemberBody> {
    let address = |number| format!("127.0.0.1:{}", 7_000 + number).parse().unwrap();
    (1..=count).map(|number| MemberBody::full(identity(number), address(number))).collect()
}

/// Their membership, in force from seq 2 on.
pub(super) fn membership(count: u32) -> Membership {
    Membership::collect(members(count), 2)
}

/// A frame of these entries behind `end`.
pub(super) fn frame(end: &LogEnd, epoch: Epoch, entries: &[(EntryKind, &[u8])]) -> Vec<u8> {
    let mut memory = vec![0; 1424];
    let mut open = OpenFrame::default();
    for (kind, payload) in entries {
        let header = EntryHeader { kind: *kind as u8, ..EntryHeader::zeroed() };
        assert!(open.push(&mut memory, header, payload));
    }
    let header = Header {
        epoch: epoch.0,
        first_seq: end.next,
        chain: end.chain,
        timestamp: end.timestamp,
        ..Header::new(Kind::Frame)
    };
    let length = open.len();
    open.close(&mut memory, &Keyring::none(header.cluster), header, length);
    memory.truncate(length);
    memory
}

/// The bytes as a checked frame.
pub(super) fn view(bytes: &[u8]) -> FrameView<'_> {
    FrameView::from_prefix(bytes).expect("a frame as its builder sealed it")
}

/// The payload of the start of `epoch` at `base`, with the rows of its table.
pub(super) fn start_payload(epoch: Epoch, end: &LogEnd, table: &[EpochBase]) -> Vec<u8> {
    start_payload_of(epoch, end, table, &[])
}

/// The same, of a history that was founded on `ancestors`.
pub(super) fn start_payload_of(
    epoch: Epoch,
    end: &LogEnd,
    table: &[EpochBase],
    ancestors: &[Ancestor],
) -> Vec<u8> {
    let body = EpochStartBody {
        epoch: epoch.0,
        base: end.next,
        chain_at_base: end.chain,
        ..EpochStartBody::zeroed()
    };
    let mut payload = vec![0; EPOCH_START_LEN_MAX];
    let length = write_epoch_start(&mut payload, body, &members(3), table, ancestors);
    payload.truncate(length);
    payload
}

/// A log of a birth and the start of epoch 1 under replica 1: where it ends.
pub(super) fn begun() -> LogEnd {
    let genesis =
        frame(&LogEnd::BLANK, epoch(0, 1), &[(EntryKind::Genesis, bytemuck::cast_slice(&members(3)))]);
    let end = LogEnd::BLANK.follow(&view(&genesis)).expect("a birth begins a log");
    let first = epoch(1, 1);
    let table = [EpochBase { epoch: end.epoch.0, base: 1 }, EpochBase { epoch: first.0, base: end.next }];
    let start = frame(&end, first, &[(EntryKind::EpochStart, &start_payload(first, &end, &table))]);
    end.follow(&view(&start)).expect("epoch 1 follows the birth")
}
