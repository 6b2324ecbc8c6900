//! Any sequence of datagrams to a reader, each sealed by a replica's key: what a holder of the readers' key can
//! send to other readers. The reader's invariants hold after each of its turns, and no seq is delivered twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::repairers::Repairer;
use lockstep_wire::{
    EPOCH_START_LEN_MAX, EntryHeader, EntryKind, Epoch, EpochBase, EpochStartBody, FrameView, GenerationKeys,
    HEADER_LEN, Header, Identity, KeyClass, Keyring, Kind, MemberBody, OpenFrame, write_epoch_start,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::ControlFlow;

const CLUSTER: u64 = 7;
const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);

/// A device with at most one datagram.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct One {
    datagram: Option<Vec<u8>>,
    by_group: bool,
}

impl Net for One {
    fn recv_groups(&mut self) -> usize {
        usize::from(self.by_group && self.datagram.is_some())
    }
    fn is_drained(&self) -> bool {
        true
    }
    fn group_datagram(&self, _: usize) -> &[u8] {
        self.datagram.as_deref().unwrap_or_default()
    }
    fn recv_unicast(&mut self) -> usize {
        usize::from(!self.by_group && self.datagram.is_some())
    }
    fn unicast_datagram(&self, _: usize) -> (&[u8], SocketAddrV4) {
        (self.datagram.as_deref().unwrap_or_default(), PEER)
    }
    fn send_group(&mut self, _: Group, bursts: &[Burst<'_>]) -> usize {
        bursts.len()
    }
    fn send_unicast(&mut self, _: SocketAddrV4, _: [&[u8]; 2]) -> bool {
        true
    }
}

fn keys(class: KeyClass) -> Keyring {
    let replica = (class == KeyClass::Replica).then_some([1; 16]);
    Keyring::new(CLUSTER, class, &GenerationKeys { replica, reader: [2; 16], publishers: Vec::new() })
}

fn reader(delivery: Delivery) -> SubscriberEngine<One> {
    let receiver = ReceiverLimits {
        keys: keys(KeyClass::Reader).into(),
        me: Identity { replica: 0, incarnation: 5 },
        repairers: vec![Repairer::replica(1, PEER)],
        store_bytes: 1 << 15,
        frame_len_max: 1_424,
        ..ReceiverLimits::default()
    };
    let limits = SubscriberLimits {
        receiver,
        delivery,
        start: Start::From(1),
        lag_report_ns: 1_000_000,
        ..SubscriberLimits::default()
    };
    SubscriberEngine::new(One::default(), limits)
}

/// The first leader, which is the only one of three members that sends.
const LEADER: Identity = Identity { replica: 1, incarnation: 1 };

/// A stream as it begins: genesis, and the start of the first epoch with a message behind it.
fn prologue(ring: &Keyring) -> [Vec<u8>; 2] {
    let epoch = Epoch::new(1, LEADER);
    let members = [1, 2, 3].map(|replica| MemberBody::full(Identity { replica, incarnation: 1 }, PEER));
    let mut genesis = vec![0; 400];
    let genesis_len = size_of_val(&members);
    genesis[..genesis_len].copy_from_slice(bytemuck::bytes_of(&members));
    let first = frame(ring, Epoch::NONE, (1, 0), &[(EntryKind::Genesis, &genesis[..genesis_len])]);
    let chain = FrameView::known(&first).map_or(0, |frame| frame.chain_after());
    let mut start = [0; EPOCH_START_LEN_MAX];
    let body = EpochStartBody {
        epoch: epoch.0,
        base: 2,
        chain_at_base: chain,
        window_entries: 64,
        window_bytes: 1 << 16,
        ..bytemuck::Zeroable::zeroed()
    };
    let table = [EpochBase { epoch: epoch.0, base: 2 }];
    let len = write_epoch_start(&mut start, body, &members, &table, &[]);
    let entries = [(EntryKind::EpochStart, &start[..len]), (EntryKind::Message, b"first".as_slice())];
    [first, frame(ring, epoch, (2, chain), &entries)]
}

fn frame(
    ring: &Keyring,
    epoch: Epoch,
    (first_seq, chain): (u64, u64),
    entries: &[(EntryKind, &[u8])],
) -> Vec<u8> {
    let (mut memory, mut open) = (vec![0; 1_424], OpenFrame::default());
    for (kind, payload) in entries {
        let header = EntryHeader { kind: *kind as u8, ..bytemuck::Zeroable::zeroed() };
        assert!(open.push(&mut memory, header, payload));
    }
    let header = Header {
        cluster: CLUSTER,
        history: 1,
        epoch: epoch.0,
        sender: LEADER.replica,
        incarnation: LEADER.incarnation,
        first_seq,
        chain,
        commit_next: first_seq,
        ..Header::new(Kind::Frame)
    };
    let len = open.len();
    open.close(&mut memory, ring, header, len);
    memory.truncate(len);
    memory
}

/// A sealed datagram with this content. Small numbers meet each other more often than large ones, and what goes
/// on behind `end` more often than what does not.
fn sealed(ring: &Keyring, bytes: &[u8], end: Option<LogEnd>) -> Option<Vec<u8>> {
    let mut datagram = bytes.to_vec();
    datagram.resize(datagram.len().max(HEADER_LEN).next_multiple_of(8), 0);
    let seen = Header::peek(&datagram)?;
    let is_small = seen.timestamp & 1 == 0;
    let small = |number: u64| if is_small { number % 16 } else { number };
    let header = Header {
        count: if is_small { seen.count % 4 } else { seen.count },
        flags: seen.flags % 2,
        history: 1 + seen.history % 2,
        epoch: if is_small { (1 + seen.epoch % 3) << 36 | 1 << 28 | 1 } else { seen.epoch },
        sender: 1 + seen.sender % 3,
        incarnation: 1,
        first_seq: small(seen.first_seq),
        commit_next: small(seen.commit_next),
        timestamp: seen.timestamp % 1_000,
        chain: seen.chain % 2,
        cluster: CLUSTER,
        ..Header::new(Kind::from_u8(seen.kind % 27)?)
    };
    let header = match end.filter(|_| seen.timestamp & 2 == 0) {
        Some(end) => Header {
            first_seq: end.next,
            chain: end.chain,
            epoch: Epoch::new(1 + seen.epoch as u32 % 3, LEADER).0,
            ..header
        },
        None => header,
    };
    ring.seal(&mut datagram, header);
    Some(datagram)
}

fuzz_target!(|bytes: &[u8]| {
    let ring = keys(KeyClass::Replica);
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let stamped = first & 1 == 1;
    let mut reader = reader(if stamped { Delivery::Stamped } else { Delivery::Committed });
    let (mut now, mut delivered_next) = (1, 0);
    if first & 2 == 0 {
        for datagram in prologue(&ring) {
            (reader.net_mut().datagram, reader.net_mut().by_group) = (Some(datagram), true);
            reader.poll(now, 64, |_| ControlFlow::Continue(()));
        }
        assert_eq!(reader.core.stamped_next(), 4, "the prologue is a stream");
        delivered_next = if stamped { 4 } else { 0 };
    }
    while let Some(([op, len_low, len_high], behind)) = rest.split_first_chunk::<3>().map(|(a, b)| (*a, b)) {
        let len = usize::from(u16::from_le_bytes([len_low, len_high]) % 1_500).min(behind.len());
        let (content, behind) = behind.split_at(len);
        rest = behind;
        reader.net_mut().datagram = sealed(&ring, content, reader.core.ends().0);
        reader.net_mut().by_group = op & 1 == 0;
        now += 1 << (op >> 3);
        reader.poll(now, usize::from(op & 6) + 1, |event| {
            match event {
                SubscriberEvent::Message(message) => {
                    assert!(message.seq >= delivered_next, "seq {} twice", message.seq);
                    delivered_next = message.seq + 1;
                }
                SubscriberEvent::Retract { from } => {
                    assert!(stamped, "what is final is taken back");
                    delivered_next = delivered_next.min(from);
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        reader.core.invariants();
    }
});
