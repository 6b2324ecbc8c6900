//! One message in an idle cluster, and what it costs.

use lockstep_core::engine::subscriber::Delivery;
use lockstep_sim::lone::*;
use lockstep_sim::wire::NetworkModel;
use lockstep_wire::Nanos;

const HOP_NS: Nanos = 10_000;
const UNITS: NetworkModel =
    NetworkModel { loss: 0, duplication: 0, lateness: 0, late_ns: 0, delay_ns: 1, corruption: 0 };

fn scene(replicas: usize, delivery: Delivery) -> LoneScene {
    LoneScene {
        replicas,
        delivery,
        network: UNITS,
        seed: 1,
        unit_ns: HOP_NS,
        death_known_after: None,
        horizon: 400,
    }
}

fn run(replicas: usize, delivery: Delivery) -> LoneRun {
    lone_message(&scene(replicas, delivery)).expect("the cluster starts")
}

#[test]
fn a_lone_message_is_one_submission_one_frame_and_an_ack_of_each_standby() {
    for replicas in [3, 5, 7] {
        let run = run(replicas, Delivery::Committed);
        let count = |kind: &str| run.datagrams.iter().filter(|sent| sent.kind == kind).count();
        let counts = [count("Submission"), count("Frame"), count("Ack"), run.datagrams.len()];
        assert_eq!(counts, [1, 1, replicas - 1, replicas + 1], "{replicas}");
    }
}

#[test]
fn what_is_stamped_takes_two_delays_and_what_is_committed_three() {
    for replicas in [3, 5, 7] {
        let latest = |delivery| run(replicas, delivery).delays.into_iter().max().flatten();
        assert_eq!(latest(Delivery::Stamped), Some(2), "{replicas}");
        assert_eq!(latest(Delivery::Committed), Some(3), "{replicas}");
        assert!(run(replicas, Delivery::Committed).delays.iter().all(Option::is_some));
    }
    // Beside the leader the stamp is there at once, and beside one of two standbys the quorum is.
    assert_eq!(run(5, Delivery::Stamped).delays[0], Some(1));
    assert_eq!(run(3, Delivery::Committed).delays, [Some(3), Some(2), Some(2)]);
}

/// A standby that has the notice asks for promises at once: a Prepare, the promises, the frame and the
/// acks are a delay each.
#[test]
fn a_takeover_after_a_notice_takes_two_delays_more_than_a_frame_and_its_acks() {
    for (known_after, replicas) in [(10, 3), (10, 5), (25, 7)] {
        for (delivery, hops) in [(Delivery::Stamped, 1), (Delivery::Committed, 2)] {
            let scene = scene(replicas, delivery);
            let scene = LoneScene { death_known_after: Some(known_after), ..scene };
            let run = lone_message(&scene).expect("the cluster starts");
            assert_eq!(run.delays[LEADER], None);
            assert!(run.delays[1..].iter().all(Option::is_some), "{replicas}: {:?}", run.delays);
            let latest = run.delays.iter().max().copied().flatten();
            assert_eq!(latest, Some(known_after + 2 + hops), "{replicas}: {:?}", run.delays);
            assert!(run.delivered[1..].iter().all(|delivered| *delivered == [(1, 1)]));
            // The new leader has stamped the first submission when the publisher sends it again.
            let kinds: Vec<&str> = run.datagrams.iter().map(|sent| sent.kind.as_str()).collect();
            let framed = kinds.iter().rposition(|kind| *kind == "Frame");
            let again = kinds.iter().skip(1).position(|kind| *kind == "Submission");
            assert!(framed < again.map(|at| at + 1), "{kinds:?}");
        }
    }
}

/// The failure timeout is 8 ms, and the leader's last heartbeat may be a millisecond old when it dies.
#[test]
fn a_leader_without_a_notice_is_missed_after_the_failure_timeout_and_the_others_are_asked_first() {
    let scene = LoneScene { death_known_after: Some(2_000), horizon: 2_000, ..scene(3, Delivery::Committed) };
    let run = lone_message(&scene).expect("the cluster starts");
    let latest = run.delays.iter().max().copied().flatten().expect("it is delivered");
    assert!((700..1_100).contains(&latest), "{latest}");
    let first = |kind: &str| run.datagrams.iter().position(|sent| sent.kind == kind);
    assert!(first("PreVote").is_some() && first("PreVote") < first("Prepare"));
}

#[test]
fn delays_that_vary_are_those_of_the_seed() {
    let network = NetworkModel { delay_ns: HOP_NS, lateness: 10_000, late_ns: 40_000, ..UNITS };
    let of = |seed| {
        let scene = scene(3, Delivery::Committed);
        lone_message(&LoneScene { network, seed, unit_ns: 1, horizon: 400 * HOP_NS, ..scene })
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}
