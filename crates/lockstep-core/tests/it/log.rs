//! S7: where a log ends. A frame follows only where epoch, seq, chain and epoch start agree with what
//! lies before it; the same question is asked by a standby, by recovery and by a receiver.

use lockstep_core::proto::log::{LogEnd, LogMismatch};
use lockstep_wire::Keyring;
use lockstep_wire::*;

const LEADER: Identity = Identity { replica: 1, incarnation: 7 };

fn frame(end: LogEnd, epoch: Epoch, kind: EntryKind, payload: &[u8]) -> Vec<u8> {
    let mut memory = vec![0; 1424];
    let mut open = OpenFrame::default();
    let entry = EntryHeader { kind: kind as u8, ..bytemuck::Zeroable::zeroed() };
    assert!(open.push(&mut memory, entry, payload));
    let header = Header { epoch: epoch.0, first_seq: end.next, chain: end.chain, ..Header::new(Kind::Frame) };
    let length = open.len();
    open.close(&mut memory, &Keyring::none(header.cluster), header, length);
    memory.truncate(length);
    memory
}

fn follow(end: LogEnd, bytes: &[u8]) -> Result<LogEnd, LogMismatch> {
    end.follow(&FrameView::from_prefix(bytes).expect("a frame as its builder sealed it"))
}

fn member() -> MemberBody {
    MemberBody::full(LEADER, "127.0.0.1:7000".parse().expect("an address"))
}

fn genesis() -> Vec<u8> {
    frame(LogEnd::BLANK, Epoch::new(0, LEADER), EntryKind::Genesis, bytemuck::bytes_of(&member()))
}

/// The start of `epoch` behind `end`, with one thing changed by `inject`.
fn start(end: LogEnd, epoch: Epoch, inject: impl Fn(&mut EpochStartBody, &mut Vec<EpochBase>)) -> Vec<u8> {
    let mut body: EpochStartBody = bytemuck::Zeroable::zeroed();
    (body.epoch, body.base, body.chain_at_base) = (epoch.0, end.next, end.chain);
    let mut table =
        vec![EpochBase { epoch: end.epoch.0, base: 1 }, EpochBase { epoch: epoch.0, base: end.next }];
    inject(&mut body, &mut table);
    let mut payload = [0; EPOCH_START_LEN_MAX];
    let length = write_epoch_start(&mut payload, body, &[member()], &table, &[]);
    frame(end, epoch, EntryKind::EpochStart, &payload[..length])
}

/// A log of a birth and the start of epoch 1.
fn begun() -> (LogEnd, Epoch) {
    let end = follow(LogEnd::BLANK, &genesis()).expect("a birth begins a log");
    let epoch = Epoch::new(1, LEADER);
    (follow(end, &start(end, epoch, |_, _| {})).expect("epoch 1 follows the birth"), epoch)
}

#[test]
fn s7_a_log_grows_by_frames_that_fit() {
    let (end, epoch) = begun();
    assert_eq!((end.next, end.epoch), (3, epoch));
    let next = follow(end, &frame(end, epoch, EntryKind::Message, b"order")).unwrap();
    assert_eq!((next.next, next.epoch), (4, epoch));
    assert_ne!(next.chain, end.chain);
}

#[test]
fn s7_a_log_ends_where_the_epoch_falls() {
    let (end, _) = begun();
    let late = frame(end, Epoch::new(0, LEADER), EntryKind::Message, b"late");
    assert_eq!(follow(end, &late), Err(LogMismatch::EpochFalls));
}

#[test]
fn s7_a_log_ends_where_an_epoch_begins_without_its_start() {
    let (end, _) = begun();
    let next = Epoch::new(2, LEADER);
    assert_eq!(follow(end, &frame(end, next, EntryKind::Message, b"x")), Err(LogMismatch::NoStart));
    assert_eq!(follow(end, &frame(end, next, EntryKind::Genesis, b"x")), Err(LogMismatch::NoStart));
    // A birth begins a history, in round 0 and at seq 1, and nothing else.
    let born_late = frame(LogEnd::BLANK, next, EntryKind::Genesis, bytemuck::bytes_of(&member()));
    assert_eq!(follow(LogEnd::BLANK, &born_late), Err(LogMismatch::NoStart));
}

#[test]
fn s7_a_log_ends_where_a_start_does_not_fit_what_lies_before_it() {
    let (end, _) = begun();
    let next = Epoch::new(2, LEADER);
    assert!(follow(end, &start(end, next, |_, _| {})).is_ok());
    let spoilt: [fn(&mut EpochStartBody, &mut Vec<EpochBase>); 7] = [
        |body, _| body.epoch += 1,
        |body, _| body.base += 1,
        |body, _| body.chain_at_base ^= 1,
        |_, table| table[1].base += 1,
        |_, table| table[0].epoch += 1,
        |_, table| table[0].base = 3,
        |_, table| table.truncate(1),
    ];
    for (index, inject) in spoilt.into_iter().enumerate() {
        assert_eq!(follow(end, &start(end, next, inject)), Err(LogMismatch::StartMisfits), "start {index}");
    }
}

#[test]
fn s7_a_hole_a_repetition_and_another_history_are_told_apart() {
    let (end, epoch) = begun();
    let ahead = LogEnd { next: end.next + 1, ..end };
    assert_eq!(follow(end, &frame(ahead, epoch, EntryKind::Message, b"x")), Err(LogMismatch::Ahead));
    assert_eq!(follow(end, &genesis()), Err(LogMismatch::Behind));
    let other = LogEnd { chain: end.chain ^ 1, ..end };
    let misfit = follow(end, &frame(other, epoch, EntryKind::Message, b"x"));
    assert_eq!(misfit, Err(LogMismatch::Chain { have: end.chain, seen: other.chain }));
}
