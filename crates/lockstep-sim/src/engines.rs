//! The engines that production runs, with the limits that a plan gives them.

use crate::kinds::Configured;
use crate::machine::MTU;
use crate::net::SimNet;
use crate::plan::Plan;
use crate::rng::Rng;
use lockstep_core::engine::leader_contact::leaderless_ns_max;
use lockstep_core::engine::parts::PartsLimits;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherLimits};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberLimits};
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::presence::probe_period_ns;
use lockstep_memory::world::repairers;
use lockstep_replica::replica::ReplicaLimits;
use lockstep_wire::{Identity, Keys, Nanos, Seq, frame_len_max};

pub(crate) use lockstep_memory::place::address;
pub(crate) use lockstep_memory::world::HISTORY;

/// Longer than any message of a publisher.
const MESSAGE_LEN_MAX: usize = 8 << 10;

fn receiver(plan: &Plan, node: usize, me: Identity, keys: &Keys) -> ReceiverLimits {
    ReceiverLimits {
        keys: keys.clone(),
        me,
        repairers: repairers(plan.replicas as u32, node as u32 + 1),
        store_bytes: 64 << 10,
        frame_len_max: frame_len_max(MTU),
        ..ReceiverLimits::default()
    }
}

pub(crate) fn replica_limits(
    plan: &Plan,
    node: usize,
    (configured, me, keys): (&Configured, Identity, &Keys),
    started_at: Nanos,
    rng: &mut Rng,
) -> ReplicaLimits {
    let Configured { timeout_ns, heartbeat, .. } = *configured;
    ReplicaLimits {
        receiver: receiver(plan, node, me, keys),
        heartbeat,
        window: configured.window,
        durability: configured.durability,
        publishers_max: configured.publishers_max,
        hold_back: configured.hold_back,
        ack_again_ns: plan.patient(1_000_000),
        process_nonce: rng.next_u64(),
        started_at,
        identity_probe_ns: if plan.looks { probe_period_ns(timeout_ns) } else { 0 },
        repairs_per_request: 16,
        failure_detector: FailureDetectorLimits {
            heartbeat_interval_ns: heartbeat.interval_ns,
            timeout_ns,
            timeout_ns_max: configured.timeout_ns_max,
        },
        election: ElectionLimits {
            stagger_ns: timeout_ns / 4,
            again_ns: timeout_ns / 8,
            timeout_ns,
            backoff_ns_max: 16 * timeout_ns,
        },
        pending_submission_bytes: 16 << 10,
        secret_seed: secret(rng),
        ..ReplicaLimits::default()
    }
}

/// The secret of one process. Two processes have the same one as good as never: a proof that one of them
/// demanded would be good at the other.
fn secret(rng: &mut Rng) -> [u8; 32] {
    let drawn = rng.next_u64().to_le_bytes();
    std::array::from_fn(|at| drawn[at % drawn.len()])
}

pub(crate) fn publisher_limits(plan: &Plan, node: usize, keys: &Keys, rng: &mut Rng) -> PublisherLimits {
    let me = Identity { replica: 1_000 + node as u32, incarnation: rng.next_u64() as u32 };
    PublisherLimits {
        receiver: receiver(plan, node, me, keys),
        window_entries: 16,
        window_datagrams: 8,
        flight_datagrams: 4,
        resend_ns_min: plan.patient(300_000),
        resend_ns_max: plan.patient(5_000_000),
        query_retry_ns: plan.patient(1_000_000),
        heartbeat_interval_ns: plan.heartbeat_interval_ns(),
        names_max: 64,
        message_len_max: MESSAGE_LEN_MAX,
        parts_bounds: plan.parts_bounds,
        ..PublisherLimits::default()
    }
}

/// A publisher's handle without a name, which seals with `keys`.
pub(crate) fn plain_publisher(
    plan: &Plan,
    node: usize,
    keys: &Keys,
    rng: &mut Rng,
) -> Box<PublisherEngine<SimNet>> {
    let limits = publisher_limits(plan, node, keys, rng);
    Box::new(PublisherEngine::new(SimNet::of_client().sparing(), limits))
}

pub(crate) fn subscriber_limits(
    plan: &Plan,
    node: usize,
    (delivery, start): (Delivery, Start),
    keys: &Keys,
    rng: &mut Rng,
) -> SubscriberLimits {
    let me = Identity { replica: 2_000 + node as u32, incarnation: rng.next_u64() as u32 };
    SubscriberLimits {
        receiver: receiver(plan, node, me, keys),
        delivery,
        start,
        parts: PartsLimits { bounds: plan.parts_bounds, ..PartsLimits::default() },
        lag_report_ns: 1_000_000,
        heartbeat_interval_ns: plan.heartbeat_interval_ns(),
        leaderless_ns_max: leaderless_ns_max(plan.heartbeat_interval_ns(), 0),
    }
}

/// A subscriber's process that begins at `start`, and reads journals if it `replays`.
pub(crate) fn subscriber(
    plan: &Plan,
    (node, keys): (usize, &Keys),
    delivery: Delivery,
    start: Start,
    replays: bool,
    rng: &mut Rng,
) -> Box<SubscriberEngine<SimNet>> {
    let limits = subscriber_limits(plan, node, (delivery, start), keys, rng);
    let replay = replay_limits(plan.replicas, &limits.receiver);
    let mut subscriber = SubscriberEngine::new(SimNet::of_client().sparing(), limits);
    if replays {
        subscriber.core.set_replay(replay);
    }
    Box::new(subscriber)
}

/// The seq that a start names.
pub(crate) fn named(start: Start) -> Option<Seq> {
    match start {
        Start::From(seq) => Some(seq),
        Start::Cursor(cursor) => Some(cursor.seq),
        _ => None,
    }
}

/// The limits of replays to this receiver.
pub(crate) fn replay_limits(replicas: usize, receiver: &ReceiverLimits) -> ReplayLimits {
    let me = receiver.me;
    ReplayLimits {
        retry_ns_min: 500_000,
        retry_ns_max: 8_000_000,
        silence_ns: 20_000_000,
        // Readers differ, so that some read a journal where others ask repairers.
        far_behind: 8 << (me.incarnation % 4 * 4),
        ..ReplayLimits::new(receiver.keys.clone(), me, (0..replicas).map(address).collect())
    }
}
