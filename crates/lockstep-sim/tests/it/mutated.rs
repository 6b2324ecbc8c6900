//! Mutated datagrams at engines in memory, and the judge of what they do.

use lockstep_core::engine::ports::Group;
use lockstep_sim::mutated::cluster::{self, SmallCluster};
use lockstep_sim::mutated::mutation::{self, Sealed};
use lockstep_sim::mutated::promises;
use lockstep_sim::mutated::scenario::{Arrival, Recorded};
use lockstep_sim::mutated::{Mutated, WORLD_INPUTS};
use lockstep_sim::net::To;
use lockstep_wire::{Datagram, Header, Kind};
use std::collections::BTreeSet;

#[test]
fn every_kind_that_goes_over_the_network_is_recorded_and_opens() {
    let mutated = Mutated::default();
    let mut kinds = BTreeSet::new();
    for Recorded { bytes, .. } in mutated.recorded() {
        kinds.insert(bytes[5]);
        let opened =
            [Sealed::Replica, Sealed::Reader].map(|class| Datagram::decode(bytes, class.keys()).is_ok());
        assert!(opened.contains(&true), "{:?}", Header::peek(bytes));
    }
    // Parts of a checkpoint come by a connection of a node without a log: `replica it install::`.
    let is_recorded = |kind: Kind| kind != Kind::ReplayCheckpoint;
    let all = (0..128).filter(|kind| Kind::from_u8(*kind).is_some_and(is_recorded)).collect::<BTreeSet<_>>();
    assert_eq!(all.difference(&kinds).collect::<Vec<_>>(), Vec::<&u8>::new(), "not recorded");
}

#[test]
fn mutated_datagrams_break_no_promise_and_without_rights_move_nothing_but_counters() {
    let mutated = Mutated::default();
    let inputs: u64 = (0..200).map(|number| mutated.world(number)).sum();
    assert!(inputs >= 200 * WORLD_INPUTS, "{inputs}");
}

/// The standby that gets what a test sends.
const STANDBY: usize = 1;

#[test]
fn the_judge_of_rights_sees_what_has_an_effect_and_nothing_else() {
    let mutated = Mutated::default();
    let digest_of = |datagram: Option<Vec<u8>>| {
        let mut cluster = mutated.begun.clone();
        if let Some(datagram) = datagram {
            assert!(cluster.arrive(STANDBY, datagram, Arrival::Group(Group::Control)));
        }
        cluster.now += 1_000;
        cluster.turn_alone(STANDBY);
        cluster.digest(STANDBY)
    };
    let untouched = digest_of(None);
    let is_ballot = |bytes: &[u8]| (Kind::Prepare as u8..=Kind::StepDown as u8).contains(&bytes[5]);
    let ballots = mutated.recorded().iter().filter(|recorded| is_ballot(&recorded.bytes));
    let effective = ballots.filter(|recorded| digest_of(Some(recorded.bytes.clone())) != untouched);
    let effective: Vec<_> = effective.map(|recorded| &recorded.bytes).collect();
    assert!(effective.len() > 4, "{} ballots of members have an effect", effective.len());
    for sealed in [Sealed::Unkeyed, Sealed::Retired, Sealed::Pretender, Sealed::Reader, Sealed::OtherCluster]
    {
        for ballot in &effective {
            let mut forged = (*ballot).clone();
            mutation::seal(&mut forged, sealed);
            assert!(sealed.is_powerless(forged[5], true));
            assert_eq!(digest_of(Some(forged)), untouched, "{sealed:?}");
        }
    }
    // What a class has a right to is never judged as powerless.
    assert!(!Sealed::Reader.is_powerless(Kind::Nack as u8, true));
    assert!(!Sealed::Publisher.is_powerless(Kind::Submission as u8, true));
    assert!(!Sealed::Replica.is_powerless(Kind::Prepare as u8, true));
}

/// A replica, and the same some entries and acks later.
fn earlier_and_later() -> (cluster::Replica, cluster::Replica, Vec<(To, Vec<u8>)>) {
    let mut cluster = SmallCluster::begun();
    let earlier = cluster.replicas[STANDBY].clone();
    let mut acks = Vec::new();
    for _ in 0..100 {
        cluster.publish(b"more");
        cluster.turn_all(50_000, &mut |node, (to, bytes): &(To, Vec<u8>)| {
            if node == STANDBY && bytes[5] == Kind::Ack as u8 {
                acks.push((*to, bytes.clone()));
            }
        });
    }
    (earlier, cluster.replicas[STANDBY].clone(), acks)
}

#[test]
#[should_panic(expected = "S3: the log of")]
fn s3_a_log_that_ends_before_what_was_acknowledged_is_found() {
    let (earlier, later, _) = earlier_and_later();
    let mut promises = promises::ReplicaPromises::default();
    promises.judge(&later, &[]);
    promises.judge(&earlier, &[]);
}

#[test]
#[should_panic(expected = "S3: an ack of")]
fn s3_an_ack_of_what_is_not_stored_is_found() {
    let (earlier, _, acks) = earlier_and_later();
    promises::ReplicaPromises::default().judge(&earlier, &acks[acks.len() - 1..]);
}
