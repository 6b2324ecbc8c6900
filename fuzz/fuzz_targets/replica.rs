//! Any sequence of datagrams to a replica, each sealed with keys of a class that the input chooses, with time
//! between them. Whatever it receives, it keeps what it promises to the others (`mutated::promises`).
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;
use lockstep_sim::mutated::cluster::{PUBLISHER, Replica, SmallCluster, address, replica};
use lockstep_sim::mutated::promises::ReplicaPromises;
use lockstep_sim::mutated::scenario::Arrival;
use shared::next_step;
use std::cell::OnceCell;

const WALL: u64 = 1_700_000_000_000_000_000;

/// A leader, a standby, a witness, an archiver, and one with an empty journal; and the time.
struct Begun(Vec<Replica>, u64);

impl Begun {
    fn new() -> Self {
        let cluster = SmallCluster::begun();
        let mut replicas: Vec<_> = [0, 1, 3, 4].map(|node| cluster.replicas[node].clone()).into();
        replicas.push(replica(2));
        replicas.iter_mut().for_each(|replica| replica.assume_address(address(PUBLISHER)));
        Self(replicas, cluster.now)
    }
}

thread_local! {
    static BEGUN: OnceCell<Begun> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let (mut replica, mut now) = BEGUN.with(|begun| {
        let Begun(replicas, now) = begun.get_or_init(Begun::new);
        (replicas[usize::from(first) % replicas.len()].clone(), *now)
    });
    let mut promises = ReplicaPromises::default();
    while let Some(step) = next_step(&mut rest, replica.tail().end()) {
        let net = replica.net_mut();
        let _taken = match step.route {
            Arrival::Group(group) => net.arrive(step.datagram, None, Some(group)),
            Arrival::Unicast(from) => net.arrive(step.datagram, Some(from), None),
        };
        now += step.ns;
        // The second turn sends what follows from the first.
        for _ in 0..2 {
            replica.poll(now, lockstep_wire::Wall(WALL + now));
            let sent = std::mem::take(&mut replica.net_mut().sent);
            promises.judge(&replica, &sent);
            while replica.core.events.pop().is_some() {}
        }
    }
});
