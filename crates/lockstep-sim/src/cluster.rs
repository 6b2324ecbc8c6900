//! The processes of a cluster that nothing but its network disturbs, in virtual time, for [`super::netsim`]
//! and [`super::lone`]. Replicas, publishers and readers are the production engines.

use crate::keys;
use crate::machine::CLUSTER;
use crate::net::SimNet;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::window::Window;
use lockstep_memory::journal::MemoryJournal;
use lockstep_memory::place::identity;
pub(crate) use lockstep_memory::place::{address, node_of};
use lockstep_memory::world::{ELECTION, FRAME_LEN_MAX, HISTORY, MemoryPorts, WALL_NS, repairers};
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::{Identity, MemberBody, Nanos, PublisherId, PublisherSeq, Seq};
use std::ops::ControlFlow;

/// Longest message, in bytes; all that are sent fit one datagram.
const MESSAGE_LEN_MAX: usize = 1_024;
/// The clocks at the beginning.
pub(crate) const BEGIN_NS: Nanos = 1_000_000;
/// One turn of a loop that spins.
pub(crate) const TURN_NS: Nanos = 500;
/// The poll interval of a process with pending work that has no deadline.
pub(crate) const PENDING_WORK_NS: Nanos = 2_000;
/// The longest wait of a publisher.
const PUBLISHER_WAIT_NS: Nanos = 1_000_000;
/// Longer than any run.
pub(crate) const NEVER_NS: Nanos = 1 << 45;

/// The differences between clusters. Other timers are the defaults of the engines.
pub(crate) struct ClusterSettings {
    /// The nodes from 0 on.
    pub replicas: usize,
    /// Room for all frames of a run.
    pub ring_bytes: usize,
    /// When silence becomes a suspicion.
    pub failure_detector: FailureDetectorLimits,
    /// The first and the longest wait before a publisher sends a message again.
    pub resend_ns: [Nanos; 2],
}

/// One process.
pub(crate) enum ClusterProcess {
    Replica(Box<ReplicaEngine<MemoryPorts>>),
    /// With the id of its name, once that is open.
    Publisher(Box<PublisherEngine<SimNet>>, Option<PublisherId>),
    Reader(Box<SubscriberEngine<SimNet>>),
}

/// A reader delivers a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClusterDelivery {
    pub seq: Seq,
    pub publisher: PublisherId,
    pub number: PublisherSeq,
}

impl ClusterSettings {
    fn receiver(&self, node: usize) -> ReceiverLimits {
        let client =
            Identity { replica: 1_000 + node as u32, incarnation: 0x9e37_79b9u32.wrapping_mul(node as u32) };
        let is_replica = node < self.replicas;
        let keys = if is_replica { keys::replica() } else { keys::publisher() };
        ReceiverLimits {
            keys: keys.clone(),
            me: if is_replica { identity(node) } else { client },
            repairers: repairers(self.replicas as u32, node as u32 + 1),
            store_bytes: 1 << 20,
            ..ReceiverLimits::default()
        }
    }

    /// A replica on a fresh disk; that of node 0 has the genesis, and leads.
    pub(crate) fn replica(&self, node: usize) -> Result<ClusterProcess, String> {
        let mut journal = MemoryJournal::format(CLUSTER, identity(node), FRAME_LEN_MAX)?;
        let opened = if node == 0 {
            let members: Vec<_> =
                (0..self.replicas).map(|node| MemberBody::full(identity(node), address(node))).collect();
            journal.open_born(self.ring_bytes, keys::replica(), HISTORY, &members)?
        } else {
            journal.open(MemoryTail::new(self.ring_bytes))?
        };
        let recovered = Recovered::of_journal(&opened, 4);
        let limits = ReplicaLimits {
            receiver: self.receiver(node),
            window: Window { entries: 1 << 16, bytes: 8 << 20 },
            publishers_max: 4,
            hold_back: 64,
            ack_again_ns: 1_000_000,
            process_nonce: node as u64 + 1,
            failure_detector: self.failure_detector,
            election: ELECTION,
            pending_submission_bytes: 1 << 20,
            secret_seed: [node as u8; 32],
            ..ReplicaLimits::default()
        };
        let replica = ReplicaEngine::new(SimNet::default(), opened.tail, recovered, limits)?;
        Ok(ClusterProcess::Replica(Box::new(replica)))
    }

    /// A publisher that opens its name.
    pub(crate) fn publisher(&self, node: usize) -> ClusterProcess {
        let [resend_ns_min, resend_ns_max] = self.resend_ns;
        let limits = PublisherLimits {
            receiver: self.receiver(node),
            window_entries: 4_096,
            window_datagrams: 4_096,
            flight_datagrams: 1_024,
            resend_ns_min,
            resend_ns_max,
            query_retry_ns: 10_000_000,
            names_max: 1,
            message_len_max: MESSAGE_LEN_MAX,
            ..PublisherLimits::default()
        };
        let mut publisher = PublisherEngine::new(SimNet::of_client(), limits);
        publisher.core.open("gateway", [1, 2]);
        ClusterProcess::Publisher(Box::new(publisher), None)
    }

    /// A reader from the stream's start on.
    pub(crate) fn reader(&self, node: usize, delivery: Delivery) -> ClusterProcess {
        let limits = SubscriberLimits {
            receiver: self.receiver(node),
            delivery,
            start: Start::From(1),
            lag_report_ns: NEVER_NS,
            ..SubscriberLimits::default()
        };
        ClusterProcess::Reader(Box::new(SubscriberEngine::new(SimNet::of_client(), limits)))
    }
}

impl ClusterProcess {
    pub(crate) fn net(&mut self) -> &mut SimNet {
        match self {
            Self::Replica(replica) => replica.net_mut(),
            Self::Publisher(publisher, _) => publisher.net_mut(),
            Self::Reader(reader) => reader.net_mut(),
        }
    }

    /// The end of a replica's log; 0 of another process.
    pub(crate) fn end(&self) -> Seq {
        if let Self::Replica(replica) = self { replica.tail().end().next } else { 0 }
    }

    /// Whether a reader has delivered everything below `next`, or nothing more will come; true of another
    /// process.
    pub(crate) fn has_read(&self, next: Seq) -> bool {
        match self {
            Self::Reader(reader) => reader.core.deliver_next() >= next || reader.core.is_ended(),
            Self::Replica(_) | Self::Publisher(..) => true,
        }
    }

    /// The id of a publisher whose name is open.
    pub(crate) fn opened(&self) -> Option<PublisherId> {
        if let Self::Publisher(_, opened) = self { *opened } else { None }
    }

    /// A publisher hands a message in, and sends it in its next turn. Returns whether it was taken.
    pub(crate) fn publish(&mut self, payload: &[u8]) -> bool {
        match self {
            Self::Publisher(publisher, Some(id)) => publisher.core.try_publish(*id, 0, payload).is_ok(),
            _ => false,
        }
    }

    /// One turn. Returns when the next one is due if nothing arrives.
    pub(crate) fn turn(&mut self, now: Nanos, mut on_delivery: impl FnMut(ClusterDelivery)) -> Nanos {
        match self {
            Self::Replica(replica) => {
                replica.poll(now, lockstep_wire::Wall(now + WALL_NS));
                replica.tail_mut().free_published();
                let pending_work = replica.has_pending_work().then_some(now + PENDING_WORK_NS);
                while replica.core.events.pop().is_some() {}
                replica.next_deadline().min(pending_work.unwrap_or(Nanos::MAX))
            }
            Self::Publisher(publisher, opened) => {
                publisher.poll(now, lockstep_wire::Wall(now + WALL_NS), usize::MAX, |event| {
                    if let PublisherEvent::Opened { publisher, .. } = event {
                        *opened = Some(publisher);
                    }
                });
                now + if opened.is_none() { PENDING_WORK_NS } else { PUBLISHER_WAIT_NS }
            }
            Self::Reader(reader) => {
                reader.poll(now, usize::MAX, |event| {
                    if let SubscriberEvent::Message(message) = event {
                        let (seq, publisher) = (message.seq, message.publisher);
                        on_delivery(ClusterDelivery { seq, publisher, number: message.publisher_seq });
                    }
                    ControlFlow::Continue(())
                });
                reader.core.next_deadline()
            }
        }
    }
}
