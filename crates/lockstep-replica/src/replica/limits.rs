//! A replica's settings, and what they are where a cluster's file says nothing.

use lockstep_core::engine::receiver::ReceiverLimits;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::requesters::BudgetLimits;
use lockstep_core::proto::window::Window;
use lockstep_wire::{AgreedRow, Nanos};

/// A replica's settings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplicaLimits {
    /// The receiver's; `me` is this replica's identity, the repairers are the other replicas.
    pub receiver: ReceiverLimits,
    /// It is an archiver: it never votes, whatever a membership lists.
    pub is_archiver: bool,
    /// When a leader sends heartbeats.
    pub heartbeat: HeartbeatLimits,
    /// How much may be stamped and not yet committed.
    pub window: Window,
    /// What an ack means.
    pub durability: Durability,
    /// Most names of publishers.
    pub publishers_max: u32,
    /// Most submissions that wait for an earlier one of their publisher.
    pub hold_back: u16,
    /// A standby that has nothing new repeats its ack at this interval.
    pub ack_again_ns: Nanos,
    /// Drawn at each start of the process.
    pub process_nonce: u64,
    /// When the process began, by its own clock: of two processes of one identity the later one stops.
    pub started_at: Nanos,
    /// For this long after its start a process probes for another process of its identity, and has no vote;
    /// 0: no probe.
    pub identity_probe_ns: Nanos,
    /// Most frames that are sent in answer to one request: the requester asks again for more.
    pub repairs_per_request: usize,
    /// Limits of the repairs to readers.
    pub budget: BudgetLimits,
    /// The silence that becomes a suspicion.
    pub failure_detector: FailureDetectorLimits,
    /// The times of an election.
    pub election: ElectionLimits,
    /// Bytes of submissions that a standby buffers to stamp them when it takes over, and that a stalled
    /// leader buffers while it checks whether it still leads: twice what may have waited in a socket.
    pub pending_submission_bytes: usize,
    /// Drawn at each start of the process: the secrets of its epochs' watchers are derived from it.
    pub secret_seed: [u8; 32],
    /// The keys that all files of the cluster must have alike, as this process has them.
    pub agreed: Vec<AgreedRow>,
}

/// A standby without news reports its position after so many heartbeats: its leader must receive from a
/// quorum.
pub const ACK_REPEAT_HEARTBEATS: u64 = 2;

impl Default for ReplicaLimits {
    /// The process sets the receiver's cluster, keys, name and repairers, its nonce and its seed.
    fn default() -> Self {
        let heartbeat = HeartbeatLimits::default();
        Self {
            receiver: ReceiverLimits {
                store_bytes: 4 << 20,
                count_when_accepted: true,
                ..ReceiverLimits::default()
            },
            is_archiver: false,
            heartbeat,
            window: Window::default(),
            durability: Durability::Process,
            publishers_max: 100_000,
            hold_back: 1_024,
            ack_again_ns: ACK_REPEAT_HEARTBEATS * heartbeat.interval_ns,
            process_nonce: 0,
            started_at: 0,
            identity_probe_ns: 0,
            repairs_per_request: 64,
            budget: BudgetLimits::default(),
            failure_detector: FailureDetectorLimits::default(),
            election: ElectionLimits::default(),
            pending_submission_bytes: 16 << 20,
            secret_seed: [0; 32],
            agreed: Vec::new(),
        }
    }
}
