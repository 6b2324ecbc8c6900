//! Other users of our name: a second process of our identity, an echo of the one before, another
//! history.

use super::replica::{RING, decoded, leader, standby};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{Log, written};
use lockstep_memory::net::To;
use lockstep_memory::world::*;
use lockstep_replica::replica::ReplicaLimits;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// What a process says of its presence, among what was sent.
fn presences(sent: &[(To, Vec<u8>)]) -> Vec<IdentityProbeBody> {
    let decoded = sent
        .iter()
        .map(|(_, bytes)| Datagram::decode(bytes, &Keyring::none(CLUSTER)).expect("our own bytes"));
    decoded
        .filter_map(
            |datagram| if let Datagram::IdentityProbe(_, body) = datagram { Some(body) } else { None },
        )
        .collect()
}

/// A process of replica 2 that began at `born`.
fn process(log: &Log, nonce: u64, born: Nanos) -> SoloReplica {
    let mut log = log.clone();
    let mut node = standby(&log, |limits: &mut ReplicaLimits| {
        (limits.process_nonce, limits.started_at) = (nonce, born);
        limits.secret_seed = [nonce as u8; 32];
    });
    node.hear(&[log.heartbeat()]);
    node
}

/// Turns of two processes that hear each other and the same leader. `lost` says of a datagram between them by
/// its number that it is lost. Returns which of the two have stopped.
fn meet(log: &mut Log, mut both: [SoloReplica; 2], lost: impl Fn(u32) -> bool) -> [bool; 2] {
    let mut sent_before: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    let mut count = 0;
    for _ in 0..40_000 {
        if both.iter().any(|node| node.replica.core.is_stopped()) && count > 8 {
            break;
        }
        let received = std::mem::take(&mut sent_before);
        for (index, node) in both.iter_mut().enumerate() {
            let mut batch = vec![log.heartbeat()];
            for bytes in &received[1 - index] {
                count += 1;
                if !lost(count) {
                    batch.push(bytes.clone());
                }
            }
            sent_before[index] = node.hear(&batch).into_iter().map(|(_, bytes)| bytes).collect();
        }
    }
    both.map(|node| node.replica.core.is_stopped())
}

/// ALIVE-1.
#[test]
fn s12_an_impostor_stops_the_node_and_its_own_echo_does_not() {
    let mut log = Log::begun(3);
    let mut node = standby(&log, |_| {});
    node.hear(&[log.ack(2, 3)]);
    assert!(!node.replica.core.is_stopped(), "its own datagram, looped back");
    let echo = log.ack_with(2, 3, |_, body| body.process_nonce = 0xbad);
    let asked = presences(&node.hear(std::slice::from_ref(&echo)));
    assert!(!node.replica.core.is_stopped(), "a datagram of the process before may come late");
    assert!(asked.len() == 1 && asked[0].is_query(), "{asked:?}");
    let answer = |born| {
        let body = IdentityProbeBody {
            process_nonce: 0xbad,
            started_at: born,
            token: asked[0].token,
            echoed_token: 2,
        };
        written(|out| {
            write_presence(out, &Keyring::none(CLUSTER), log.header(Kind::IdentityProbe, identity(2)), body)
        })
    };
    node.hear(&[answer(5_000)]);
    assert!(!node.replica.core.is_stopped(), "it began later: it stops by itself");
    assert!(node.events().contains(&ReplicaEvent::DuplicateIdentity { identity: identity(2) }));
    node.hear(&[answer(500)]);
    assert!(node.replica.core.is_stopped(), "it lives, and began before us");
    assert!(node.events().contains(&ReplicaEvent::DuplicateIdentityOlder { identity: identity(2) }));
    assert!(node.hear(&[log.push(&["a"])]).is_empty() && node.wait(10_000_000).is_empty());
}

/// ALIVE-1.
#[test]
fn own_datagrams_of_the_past_cost_a_leader_a_question_and_nothing_else() {
    let log = Log::begun(3);
    let mut node = leader(3, |_| {});
    let mut sent = Vec::new();
    for _ in 0..100 {
        let ask = IdentityProbeBody { process_nonce: 7, started_at: 1, token: 9, echoed_token: 0 };
        let echoes = [
            log.clone().ack_with(1, 3, |_, body| body.process_nonce = 0xbad),
            log.clone().heartbeat_with(|_, body| body.process_nonce = 0xbad),
            written(|out| {
                write_presence(
                    out,
                    &Keyring::none(CLUSTER),
                    log.header(Kind::IdentityProbe, identity(1)),
                    ask,
                )
            }),
            written(|out| {
                let answer = IdentityProbeBody { echoed_token: 1, ..ask };
                write_presence(
                    out,
                    &Keyring::none(CLUSTER),
                    log.header(Kind::IdentityProbe, identity(1)),
                    answer,
                )
            }),
        ];
        sent.extend(node.hear(&echoes));
    }
    assert_eq!(node.replica.role(), Role::Leader);
    assert!(!node.replica.core.is_stopped());
    let asked = presences(&sent).iter().filter(|body| body.is_query()).count();
    assert!((1..=2).contains(&asked), "asked {asked} times within a millisecond");
    assert!(node.count(Counter::DuplicateIdentityIn) >= 300);
}

/// ALIVE-1.
#[test]
fn of_two_processes_of_one_identity_the_later_one_stops_whoever_speaks_first() {
    for (first, second) in [((5, 1_000), (6, 2_000)), ((6, 1_000), (5, 2_000)), ((5, 1_000), (6, 1_000))] {
        let mut log = Log::begun(3);
        let (one, other) = (process(&log, first.0, first.1), process(&log, second.0, second.1));
        assert_eq!(meet(&mut log, [one, other], |_| false), [false, true], "{first:?} and {second:?}");
        let (one, other) = (process(&log, first.0, first.1), process(&log, second.0, second.1));
        assert_eq!(meet(&mut log, [other, one], |_| false), [true, false], "{second:?} and {first:?}");
    }
}

/// ALIVE-1.
#[test]
fn a_lossy_network_only_delays_that_the_later_one_stops() {
    for seed in 1..=8u32 {
        let mut log = Log::begun(3);
        let (one, other) = (process(&log, 5, 1_000), process(&log, 6, 2_000));
        let lost = |count: u32| (count ^ seed).wrapping_mul(0x9e37_79b9) >> 31 != 0;
        assert_eq!(meet(&mut log, [one, other], lost), [false, true], "seed {seed}: half of all is lost");
    }
}

/// Whether anything among what was sent is a vote: an ack, a ballot, a frame or a beat.
fn votes(sent: &[(To, Vec<u8>)]) -> bool {
    decoded(sent).iter().any(|datagram| {
        !matches!(datagram, Datagram::IdentityProbe(..) | Datagram::Nack(..) | Datagram::Query(..))
    })
}

/// A process of replica 2 that looks for 4 ms before it votes.
fn newcomer(log: &Log) -> SoloReplica {
    standby(log, |limits| (limits.identity_probe_ns, limits.process_nonce) = (4_000_000, 0xbad))
}

/// The leader beats and replica 3 asks for a promise, until replica 2 votes. Returns how long that took. What
/// it asks of its own identity is answered by `answer`.
fn wooed(
    log: &mut Log,
    node: &mut SoloReplica,
    answer: impl Fn(&IdentityProbeBody) -> Option<Vec<u8>>,
) -> Option<Nanos> {
    let began = node.now;
    let mut answers = Vec::new();
    for _ in 0..20 {
        node.now += 250_000;
        let body = BallotBody { process_nonce: 3, ballot: epoch(2, 3).0, about: 0 };
        let prepare = written(|out| {
            write_ballot(out, &Keyring::none(CLUSTER), log.header(Kind::Prepare, identity(3)), body)
        });
        let mut batch = vec![log.heartbeat(), prepare];
        batch.append(&mut answers);
        let sent = node.hear(&batch);
        if votes(&sent) {
            return Some(node.now - began);
        }
        answers = presences(&sent).iter().filter(|body| body.is_query()).filter_map(&answer).collect();
    }
    None
}

/// ALIVE-1: a process that begins asks under its own identity, and votes only when nobody has answered.
#[test]
fn s12_a_process_that_begins_says_nothing_that_counts_before_it_has_looked() {
    let mut log = Log::begun(3);
    let mut node = newcomer(&log);
    let voted = wooed(&mut log, &mut node, |_| None).expect("nobody answers: it votes");
    assert!((4_000_000..5_000_000).contains(&voted), "after {voted} ns");
    assert!(!node.replica.core.is_stopped());
}

/// ALIVE-1: on a copy of a journal a second process says nothing that counts, though its clock is behind, and
/// stops.
#[test]
fn s12_a_second_process_on_a_copy_stops_before_it_has_voted_whatever_the_clocks_show() {
    for lost in 0..3 {
        let mut log = Log::begun(3);
        let mut node = newcomer(&log);
        let header = log.header(Kind::IdentityProbe, identity(2));
        let asked = std::cell::Cell::new(0);
        let first = |query: &IdentityProbeBody| {
            assert_eq!(query.started_at, Nanos::MAX, "who looks is later than all others");
            asked.set(asked.get() + 1);
            let body = IdentityProbeBody {
                process_nonce: 1,
                started_at: Nanos::MAX - 1,
                token: query.token,
                echoed_token: query.process_nonce,
            };
            (asked.get() > lost)
                .then(|| written(|out| write_presence(out, &Keyring::none(CLUSTER), header, body)))
        };
        assert_eq!(wooed(&mut log, &mut node, first), None, "{lost} questions are lost");
        assert!(node.replica.core.is_stopped());
        assert!(node.events().contains(&ReplicaEvent::DuplicateIdentityOlder { identity: identity(2) }));
    }
}

/// ALIVE-1: the leader of a newborn history looks as well, before it stamps: a copy of its journal would lead
/// the same epoch.
#[test]
fn s12_of_two_processes_on_one_newborn_journal_one_leads() {
    let born = |nonce| {
        let mut limits = replica_limits(1, 3);
        (limits.process_nonce, limits.identity_probe_ns) = (nonce, 4_000_000);
        SoloReplica::new(start(born_tail(1, 3, RING), limits).unwrap())
    };
    let mut both = [born(5), born(6)];
    let mut sent_before: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..100 {
        let received = std::mem::take(&mut sent_before);
        for (index, node) in both.iter_mut().enumerate() {
            node.now += 100_000;
            let sent = node.hear(&received[1 - index]);
            assert!(index == 0 || !votes(&sent), "the later one stamps");
            sent_before[index] = sent.into_iter().map(|(_, bytes)| bytes).collect();
        }
    }
    assert_eq!(both.each_ref().map(|node| node.replica.core.is_stopped()), [false, true]);
    assert_eq!(both[0].next(), 3, "the first one has begun its epoch");
    assert_eq!(both[1].next(), 2);
}

/// S12.
#[test]
fn s12_a_node_that_finds_another_history_in_its_group_stops_and_one_that_runs_does_not() {
    let mut log = Log::begun(3);
    let foreign = log.ack_with(3, 3, |header, _| header.history ^= 1);
    let mut newcomer = standby(&log, |_| {});
    let mut running = standby(&log, |_| {});
    running.hear(&[log.heartbeat()]);
    for (node, stops) in [(&mut newcomer, true), (&mut running, false)] {
        for _ in 0..200 {
            node.hear(&[foreign.clone(), foreign.clone()]);
        }
        assert!(!node.replica.core.is_stopped(), "what the network kept of another life is no group");
        for _ in 0..40 {
            node.now += 1_000_000;
            node.hear(std::slice::from_ref(&foreign));
        }
        assert_eq!(node.replica.core.is_stopped(), stops);
        let is_other = |event: &ReplicaEvent| matches!(event, ReplicaEvent::OtherHistory { have, seen } if *seen == have ^ 1);
        assert_eq!(node.events().iter().any(is_other), stops);
    }
    assert!(newcomer.hear(&[log.push(&["a"])]).is_empty() && newcomer.wait(10_000_000).is_empty());
}
