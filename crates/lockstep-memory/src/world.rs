//! What tests of the engines share: names, limits, tails, and what was sent.

use crate::net::{SimNet, To};
use crate::place;
use lockstep_core::engine::publisher::PublisherLimits;
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberLimits};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::membership::Membership;
use lockstep_core::proto::publishers::Publishers;
use lockstep_core::proto::repairers::Repairer;
use lockstep_core::proto::window::Window;
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{TailSource, Word};
use lockstep_replica::journal::{Tail, TailLabel};
use lockstep_replica::ports::Ports;
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::*;
use std::net::SocketAddrV4;

/// The cluster of all that is in memory.
pub const CLUSTER: u64 = 7;
/// Its first history.
pub const HISTORY: u64 = 0xb1;
/// The longest frame.
pub const FRAME_LEN_MAX: usize = frame_len_max(1500);
/// One turn of everybody.
pub const TURN_NS: Nanos = 10_000;
/// What the wall clock shows at 0.
pub const WALL_NS: Nanos = 1_700_000_000_000_000_000;

/// Silence and elections in virtual time are of round numbers: stories and digests are made of them.
pub const SILENCE: FailureDetectorLimits = FailureDetectorLimits {
    heartbeat_interval_ns: 1_000_000,
    timeout_ns: 8_000_000,
    timeout_ns_max: 64_000_000,
};
/// The waits of such an election.
pub const ELECTION: ElectionLimits = ElectionLimits {
    stagger_ns: 2_000_000,
    again_ns: 1_000_000,
    timeout_ns: 8_000_000,
    backoff_ns_max: 256_000_000,
};

/// The ports of a replica in memory.
#[derive(Clone, Debug)]
pub struct MemoryPorts;

impl Ports for MemoryPorts {
    type Net = SimNet;
    type Memory = MemoryTail;
}

/// Replica `number` in its first life.
pub fn identity(number: u32) -> Identity {
    Identity { replica: number, incarnation: 0x100 + number }
}

/// Epoch `round` under replica `leader`.
pub fn epoch(round: u32, leader: u32) -> Epoch {
    Epoch::new(round, identity(leader))
}

/// Where an operator asks from.
pub const OPERATOR: u32 = 99;

/// Where node `number` answers.
pub fn address(number: u32) -> SocketAddrV4 {
    place::address(number as usize - 1)
}

/// Members 1 to `count`.
pub fn member_list(count: u32) -> Vec<MemberBody> {
    (1..=count).map(|number| MemberBody::full(identity(number), address(number))).collect()
}

/// Replicas 1 to `count` but for number `but`, which repair.
pub fn repairers(count: u32, but: u32) -> Vec<Repairer> {
    let numbers = (1..=count).filter(|number| *number != but);
    numbers.map(|number| Repairer::replica(number, address(number))).collect()
}

/// A receiver that may ask replicas 1 to `count`.
pub fn receiver_limits(me: Identity, count: u32) -> ReceiverLimits {
    ReceiverLimits {
        keys: Keyring::none(CLUSTER).into(),
        me,
        repairers: repairers(count, me.replica),
        store_bytes: 64 << 10,
        ..ReceiverLimits::default()
    }
}

/// A replica of a cluster of `members`.
pub fn replica_limits(number: u32, members: u32) -> ReplicaLimits {
    ReplicaLimits {
        receiver: receiver_limits(identity(number), members),
        heartbeat: HeartbeatLimits { first_ns: 50_000, interval_ns: 500_000 },
        window: Window { entries: 1_000, bytes: 100_000 },
        publishers_max: 8,
        hold_back: 16,
        ack_again_ns: 1_000_000,
        process_nonce: u64::from(number),
        started_at: 1_000,
        repairs_per_request: 16,
        failure_detector: SILENCE,
        election: ELECTION,
        pending_submission_bytes: 16 << 10,
        secret_seed: [number as u8; 32],
        ..ReplicaLimits::default()
    }
}

/// An empty tail of replica `number`.
pub fn blank_tail(number: u32, ring_bytes: usize) -> Tail<MemoryTail> {
    let label = TailLabel {
        cluster: CLUSTER,
        identity: identity(number),
        boot: [1, 1],
        generation: 1,
        record_len_max: FRAME_LEN_MAX as u32,
    };
    Tail::blank(MemoryTail::new(ring_bytes), label, LogEnd::BLANK).expect("a ring large enough")
}

/// A tail in which a history of `members` has been born.
pub fn born_tail(number: u32, members: u32, ring_bytes: usize) -> Tail<MemoryTail> {
    let mut tail = blank_tail(number, ring_bytes);
    bootstrap(&mut tail, &Keyring::none(CLUSTER), HISTORY, &member_list(members)).expect("a blank log");
    tail
}

/// A replica as its process starts over `tail`.
pub fn start(tail: Tail<MemoryTail>, limits: ReplicaLimits) -> Result<ReplicaEngine<MemoryPorts>, String> {
    let mut recovered = Recovered {
        lineage: Lineage::default(),
        membership: Membership::default(),
        open_change: None,
        epochs: Vec::new(),
        durability: Durability::Process,
        publishers: Publishers::new(limits.publishers_max),
        start_frame: Vec::new(),
        commit_next: 1,
        version: 0,
    };
    let mut span = tail.find(1);
    while let Some(found) = span {
        let frame = tail.frame(found).expect("no damage");
        recovered.version = frame.header.version;
        recovered.commit_next = recovered.commit_next.max(frame.header.commit_next);
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            recovered.publishers.on_entry(seq, &entry);
            match entry.kind() {
                EntryKind::Genesis => {
                    recovered.lineage = Lineage::of(frame.header.history);
                    recovered.epochs.push(EpochBase { epoch: frame.header.epoch, base: seq });
                    recovered.membership = Membership::of_genesis(entry.payload).expect("members");
                }
                EntryKind::EpochStart => {
                    let start = EpochStartView::parse(entry.payload).expect("a start");
                    recovered.epochs.push(EpochBase { epoch: start.body.epoch, base: seq });
                    recovered.membership = Membership::of_start(&start, seq);
                    recovered.durability = Durability::from_wire(start.body.durability);
                    recovered.lineage = Lineage::of_start(frame.header.history, &start);
                    recovered.start_frame = frame.bytes.to_vec();
                }
                EntryKind::Membership => {
                    let changed = MembershipView::parse(entry.payload).expect("a change");
                    recovered.membership = Membership::of_change(&changed, seq).expect("a new list");
                    recovered.open_change = Membership::before_change(&changed).map(|before| (seq, before));
                }
                EntryKind::Message
                | EntryKind::Open
                | EntryKind::Close
                | EntryKind::Day
                | EntryKind::ChangeCommitted
                | EntryKind::Order => {}
            }
        }
        span = tail.after(found);
    }
    ReplicaEngine::new(SimNet::default(), tail, recovered, limits)
}

/// The side thread: everything published is on disk.
pub fn flush(memory: &mut MemoryTail) {
    let seq = memory.word(Word::HighSeq);
    memory.set_word(Word::WrittenSeq, seq);
    memory.set_word(Word::DurableSeq, seq);
    memory.set_word(Word::PromisedStored, memory.word(Word::Promised));
    memory.set_word(Word::WrittenPos, memory.word(Word::PublishedPos));
}

/// A change of the membership after that of `after`, as the command of operator `sender` submits it.
pub fn submitted_change(sender: u32, after: Seq, change: Change, member: MemberBody) -> Vec<u8> {
    let mut payload = [0; MEMBERSHIP_LEN_MAX];
    let length = write_membership(&mut payload, after, change, member, &[]);
    let mut bytes = vec![0; HEADER_LEN + entry_len(length)];
    let entry = EntryHeader { kind: EntryKind::Membership as u8, ..bytemuck::Zeroable::zeroed() };
    write_entry(&mut bytes[HEADER_LEN..], entry, &payload[..length]).expect("room");
    let header =
        Header { cluster: CLUSTER, history: HISTORY, count: 1, sender, ..Header::new(Kind::Submission) };
    seal(&mut bytes, header);
    bytes
}

/// What was sent since the last look.
pub fn sent(net: &mut SimNet) -> Vec<(To, Vec<u8>)> {
    std::mem::take(&mut net.sent)
}

/// The headers of the acks among them.
pub fn acks_in(sent: &[(To, Vec<u8>)]) -> Vec<Header> {
    let decoded = sent
        .iter()
        .map(|(_, bytes)| Datagram::decode(bytes, &Keyring::none(CLUSTER)).expect("our own bytes"));
    decoded
        .filter_map(|datagram| if let Datagram::Ack(header, _) = datagram { Some(*header) } else { None })
        .collect()
}

/// One request for repair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The repairer.
    pub to: SocketAddrV4,
    /// The datagram's.
    pub header: Header,
    /// By which the answer is known.
    pub token: u64,
    /// The missing seqs: first and exclusive bound.
    pub ranges: Vec<(Seq, Seq)>,
}

/// The requests among what was sent.
pub fn requests_in(sent: &[(To, Vec<u8>)]) -> Vec<Request> {
    let mut requests = Vec::new();
    for (to, bytes) in sent {
        if let (To::Unicast(to), Ok(Datagram::Nack(header, body, ranges))) =
            (to, Datagram::decode(bytes, &Keyring::none(CLUSTER)))
        {
            let ranges = ranges.iter().map(|range| (range.from, range.to)).collect();
            requests.push(Request { to: *to, header: *header, token: body.token, ranges });
        }
    }
    requests
}

/// A publisher that may ask replicas 1 to `repairers`.
pub fn publisher_limits(me: Identity, repairers: u32) -> PublisherLimits {
    PublisherLimits {
        receiver: receiver_limits(me, repairers),
        window_entries: 64,
        window_datagrams: 8,
        flight_datagrams: 8,
        resend_ns_min: 300_000,
        resend_ns_max: 5_000_000,
        query_retry_ns: 1_000_000,
        names_max: 4,
        ..PublisherLimits::default()
    }
}

/// A subscriber that may ask replicas 1 to `repairers`.
pub fn subscriber_limits(me: Identity, repairers: u32, delivery: Delivery, start: Start) -> SubscriberLimits {
    SubscriberLimits {
        receiver: receiver_limits(me, repairers),
        delivery,
        start,
        lag_report_ns: 1_000_000,
        ..SubscriberLimits::default()
    }
}
