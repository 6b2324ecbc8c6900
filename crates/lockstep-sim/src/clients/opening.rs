//! The processes of clients that open a name.

use crate::clients::WorldWork;
use crate::engines::{plain_publisher, publisher_limits, replay_limits, subscriber_limits};
use crate::net::SimNet;
use crate::plan::Plan;
use crate::rng::Rng;
use lockstep_core::engine::participant::ParticipantEngine;
use lockstep_core::engine::publisher::{PublisherCore, PublisherEngine};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_wire::Keys;

/// A process opens the name of `work`.
fn open(core: &mut PublisherCore, work: &mut WorldWork, rng: &mut Rng) {
    work.nonce = [rng.next_u64(), rng.next_u64()];
    core.open(&work.name, work.nonce);
}

/// A publisher's process that opens the name of `work`.
pub(crate) fn publisher(
    plan: &Plan,
    node: usize,
    work: &mut WorldWork,
    keys: &Keys,
    rng: &mut Rng,
) -> Box<PublisherEngine<SimNet>> {
    let mut publisher = plain_publisher(plan, node, keys, rng);
    open(&mut publisher.core, work, rng);
    publisher
}

/// A participant's process: a publisher that opens the name of `work`, and a subscriber that begins at
/// `start`.
pub(crate) fn participant(
    plan: &Plan,
    node: usize,
    work: &mut WorldWork,
    (delivery, start): (Delivery, Start),
    keys: &Keys,
    rng: &mut Rng,
) -> Box<ParticipantEngine<SimNet>> {
    let publishes = publisher_limits(plan, node, keys, rng);
    let reads = subscriber_limits(plan, node, (delivery, start), keys, rng);
    let replay = replay_limits(plan.replicas, &reads.receiver);
    let mut participant = ParticipantEngine::new(SimNet::of_client().sparing(), publishes, reads);
    if plan.replays {
        participant.subscriber.set_replay(replay);
    }
    open(&mut participant.publisher, work, rng);
    Box::new(participant)
}
