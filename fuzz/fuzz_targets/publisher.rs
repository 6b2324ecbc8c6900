//! Any sequence of datagrams to a publisher, with messages of its own and time between them: its invariants hold,
//! and each of its messages has one outcome, in order.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent};
use lockstep_core::proto::log::LogEnd;
use lockstep_sim::mutated::cluster::SmallCluster;
use lockstep_sim::mutated::scenario::Arrival;
use lockstep_sim::net::SimNet;
use lockstep_wire::{EVERYBODY, PublisherId, Wall};
use shared::next_step;
use std::cell::OnceCell;
use std::collections::BTreeMap;

const WALL: u64 = 1_700_000_000_000_000_000;
const LIMIT: usize = 16;

/// A publisher with an open name, the end of the log, and the time.
struct Begun(PublisherEngine<SimNet>, LogEnd, u64);

thread_local! {
    static BEGUN: OnceCell<Begun> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    let (mut publisher, end, mut now) = BEGUN.with(|begun| {
        let Begun(publisher, end, now) = begun.get_or_init(|| {
            let cluster = SmallCluster::begun();
            Begun(cluster.publisher, cluster.replicas[0].tail().end(), cluster.now)
        });
        (publisher.clone(), *end, *now)
    });
    let (mut rest, mut ids) = (bytes, vec![1]);
    let mut outcomes: BTreeMap<PublisherId, u64> = BTreeMap::new();
    let mut turns = 0_u64;
    while let Some(step) = next_step(&mut rest, end) {
        turns += 1;
        if turns.is_multiple_of(3) {
            let id = ids[turns as usize % ids.len()];
            // A window without room, or a name that is fenced, is an answer too.
            let _ = publisher.core.try_publish(id, EVERYBODY, &step.datagram);
        }
        if turns == 5 {
            publisher.core.open("another", [3, 4]);
        }
        let net = publisher.net_mut();
        let _taken = match step.route {
            Arrival::Group(group) => net.arrive(step.datagram, None, Some(group)),
            Arrival::Unicast(from) => net.arrive(step.datagram, Some(from), None),
        };
        now += step.ns;
        for _ in 0..2 {
            publisher.poll(now, Wall(WALL + now), LIMIT, |event| match event {
                PublisherEvent::Opened { publisher, .. } => ids.push(publisher),
                PublisherEvent::Committed { publisher, publisher_seq, .. } => {
                    let last = outcomes.entry(publisher).or_default();
                    assert!(publisher_seq > *last, "{publisher} {publisher_seq} has two outcomes");
                    *last = publisher_seq;
                }
                _ => {}
            });
            publisher.core.invariants();
            publisher.net_mut().sent.clear();
        }
    }
});
