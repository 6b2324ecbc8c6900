//! The comparison: computed from runs, the same each time, and with steps from each guarantee to the next.

use lockstep_lab::cards::ALL;
use lockstep_lab::compare::{Comparison, Row};
use lockstep_lab::page::page;
use lockstep_lab::timed::{DETECTED_AFTER, LAN, TimedRun, Timing};
use lockstep_lab::{Price, Prices};
use lockstep_sim::wire::NetworkModel;
use lockstep_testkit::lane::amount;
use std::sync::OnceLock;

/// The comparison among `n` processes, computed once for all tests.
fn comparison(n: u8) -> &'static Comparison {
    static AMONG: [OnceLock<Comparison>; 8] = [const { OnceLock::new() }; 8];
    AMONG[usize::from(n)].get_or_init(|| Comparison::of(&ALL, n))
}

fn row<'a>(comparison: &'a Comparison, name: &str) -> &'a Row {
    comparison.protocols.iter().find(|row| row.name == name).expect("it has a price")
}

#[test]
fn equal_comparisons_have_equal_bytes() {
    let (one, other) = (comparison(3), &Comparison::of(&ALL, 3));
    assert_eq!(one.to_string(), other.to_string());
    assert_eq!(page(&ALL, one), page(&ALL, other));
    let json = serde_json::to_value(one).expect("it has no key that is no text");
    let paxos = json["protocols"].as_array().expect("a list").iter().find(|row| row["name"] == "paxos");
    assert_eq!(paxos.expect("it has a price")["delays"], serde_json::json!([3, 3, 4]));
}

/// A process that waits for p1 alone never goes on without it; a takeover costs the detection and its round.
#[test]
fn the_gap_is_endless_without_a_takeover() {
    let comparison = comparison(5);
    assert_eq!(row(comparison, "fixed-sequencer").gap, None);
    assert_eq!(row(comparison, "two-phase-commit").gap, None);
    assert_eq!(row(comparison, "uniform-majority").gap, Some(2));
    assert!(row(comparison, "sequencer-takeover").gap.is_some_and(|gap| gap > 10));
    assert!(row(comparison, "paxos").gap.is_some_and(|gap| gap > 10));
}

/// The one price of a card.
fn price(name: &str) -> &'static Price {
    match ALL.get(name).expect("a card").card.prices {
        Prices::Of([price]) => price,
        Prices::Of(_) | Prices::None(_) => panic!("{name} has no single price"),
    }
}

fn engines_run(name: &str, timing: &Timing) -> TimedRun {
    let run = ALL.get(name).expect("a card").timed(timing).expect("the engines run among so many");
    assert!(run.wrong.is_empty(), "{name}, {timing:?}: {:?}", run.wrong);
    run
}

/// Where delays do not vary, the latency of the engines is their number of message delays.
#[test]
fn the_engines_deliver_after_whole_message_delays_where_delays_are_constant() {
    // Of a delay below 4 no quarter is added.
    for delay_ns in [1, 2, 3] {
        for (name, n, delays) in [
            ("lockstep", 3, [2, 2, 3].as_slice()),
            ("lockstep", 5, &[3; 5]),
            ("lockstep-stamped", 5, &[1, 2, 2, 2, 2]),
        ] {
            let timing = Timing::of_price(price(name), n);
            let network = NetworkModel { delay_ns, ..timing.network };
            let run = engines_run(name, &Timing { network, ..timing });
            let latencies: Vec<u64> = delays.iter().map(|hops| hops * delay_ns).collect();
            assert_eq!(run.cost.delays, latencies, "{name} of {n}");
        }
    }
}

/// A committed message takes three delays one after the other: half of all deliveries are no faster.
#[test]
fn the_engines_deliver_on_a_network_whose_delays_vary_and_every_run_is_judged() {
    let comparison = comparison(5);
    for (name, hops) in [("lockstep-stamped", 2), ("lockstep", 3)] {
        let latency = row(comparison, name).latency_ns.expect("every reader delivers in every run");
        assert!(latency.p50 >= hops * LAN.delay_ns && latency.p50 <= latency.p99, "{name}: {latency:?}");
        for seed in 0..amount(20, 100) {
            let timing = Timing::on_lan(price(name), 5, seed);
            assert_eq!(engines_run(name, &timing), engines_run(name, &timing));
        }
    }
}

/// A takeover is a request for promises and the promises; the frame and its acks follow.
#[test]
fn the_engines_deliver_without_their_leader_after_its_detection_and_a_takeover() {
    for n in [3, 5, 7] {
        for (name, hops) in [("lockstep-stamped", 3), ("lockstep", 4)] {
            let run = engines_run(name, &Timing::without_leader(price(name), n));
            assert_eq!(run.cost.delays.len(), usize::from(n) - 1, "{name} of {n}");
            assert_eq!(run.cost.delays.last(), Some(&(DETECTED_AFTER + hops)), "{name} of {n}");
            assert_eq!(run, engines_run(name, &Timing::without_leader(price(name), n)));
        }
    }
    let comparison = comparison(3);
    assert_eq!(row(comparison, "lockstep").gap, Some(DETECTED_AFTER + 4));
}

#[test]
fn a_stronger_guarantee_is_a_step_that_adds_and_never_takes() {
    let comparison = comparison(3);
    assert!(!comparison.stronger.is_empty());
    for step in &comparison.stronger {
        let (from, to) = (row(comparison, step.from), row(comparison, step.to));
        assert!(from.guarantees.is_subset(&to.guarantees), "{} to {}", step.from, step.to);
        assert_eq!(to.guarantees.len() - from.guarantees.len(), step.adds.len());
    }
    let to_uniform =
        |from| comparison.stronger.iter().find(|step| (step.from, step.to) == (from, "uniform-all-ack"));
    let step = to_uniform("reliable-lazy").expect("uniform agreement is the next after agreement");
    assert_eq!((step.adds.as_slice(), step.delays), (["UNIFORM AGREEMENT"].as_slice(), 1));
}

#[test]
fn a_step_to_a_stronger_guarantee_is_between_requests_of_one_kind() {
    let comparison = comparison(5);
    let has =
        |name, request| comparison.protocols.iter().any(|row| (row.name, row.request) == (name, request));
    for step in &comparison.stronger {
        assert!(has(step.from, step.request) && has(step.to, step.request), "{step:?}");
    }
    let more = |request| {
        let pair = ("regular-majority", "atomic-impose-majority", request);
        let step = comparison.stronger.iter().find(|step| (step.from, step.to, step.request) == pair);
        step.map(|step| (step.delays, step.datagrams))
    };
    assert_eq!([more("write"), more("read")], [Some((0, 0)), Some((2, 5))], "a read writes what it returns");
}

#[test]
fn no_card_fails_in_a_timed_run_of_its_own_model() {
    for entry in ALL.entries() {
        let Some(run) = entry.timed(&Timing::of_card(entry.card)) else { continue };
        assert!(
            run.wrong.is_empty(),
            "{}: {:?}\n{}",
            entry.card.name,
            run.wrong,
            run.story.unwrap_or_default()
        );
        let again = entry.timed(&Timing::of_card(entry.card));
        assert_eq!(Some(run), again, "{}", entry.card.name);
    }
}

#[test]
fn every_card_runs_among_three_to_seven_processes_and_every_property_holds() {
    for entry in ALL.entries() {
        for n in 3..=7 {
            let Some(run) = entry.timed(&Timing::of_card_among(entry.card, n)) else { continue };
            assert!(run.wrong.is_empty(), "{} of {n}: {:?}", entry.card.name, run.wrong);
        }
    }
}
