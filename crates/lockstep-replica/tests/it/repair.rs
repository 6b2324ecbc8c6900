//! What a replica gives to readers: once, to everybody where many ask, within a budget, and by somebody else
//! where it leads.

use super::replica::{Repair, answers, decoded, leader, repairer, repairer_of};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::Group;
use lockstep_core::proto::requesters::BudgetLimits;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::{Log, nack, open_submission};
use lockstep_memory::net::To;
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// Readers `who` ask for these ranges, all in one batch. The datagrams that are sent in eight turns.
fn ask_together(
    node: &mut SoloReplica,
    who: impl Iterator<Item = u32>,
    ranges: &[(Seq, Seq)],
) -> Vec<(To, Vec<u8>)> {
    hear_together(node, who.map(|reader| (reader, nack(epoch(1, 1), HISTORY, 5, ranges))))
}

/// These requests wait in the socket, by who sent them. The datagrams that are sent in eight turns.
fn hear_together(
    node: &mut SoloReplica,
    requests: impl Iterator<Item = (u32, Vec<u8>)>,
) -> Vec<(To, Vec<u8>)> {
    for (from, request) in requests {
        node.replica.net_mut().unicast.push_back((request, Some(address(from))));
    }
    (0..8).flat_map(|_| node.poll()).collect()
}

fn seqs(repairs: &[Repair]) -> Vec<Seq> {
    repairs.iter().map(|repair| repair.0).collect()
}

/// To whom frames were repaired.
fn receivers(sent: &[(To, Vec<u8>)]) -> Vec<To> {
    let repairs =
        sent.iter().filter(|(_, bytes)| !answers(&[(To::Group(Group::Data), bytes.clone())]).0.is_empty());
    repairs.map(|(to, _)| *to).collect()
}

/// REPAIR-2.
#[test]
pub fn repair_2_a_request_that_the_network_repeats_is_answered_once() {
    let (mut node, _) = repairer();
    let sent = ask_together(&mut node, [9, 9, 9].into_iter(), &[(3, 5)]);
    assert_eq!(seqs(&answers(&sent).0), [3, 4]);
    assert_eq!(node.count(Counter::NacksIgnored), 4);
    node.wait(50_000);
    let again = ask_together(&mut node, [9].into_iter(), &[(3, 5)]);
    assert_eq!(seqs(&answers(&again).0), [3, 4], "a retry is no repeat");
}

/// REPAIR-3.
#[test]
pub fn repair_3_a_frame_that_a_hundred_readers_lost_is_given_to_all_of_them_at_once() {
    for readers in [3, 10, 100] {
        let (mut node, _) = repairer();
        let sent = ask_together(&mut node, 100..100 + readers, &[(7, 8)]);
        assert_eq!(receivers(&sent), [To::Group(Group::Data)], "{readers} readers");
        assert_eq!((node.count(Counter::RepairsOut), node.count(Counter::RepairsMulticast)), (1, 1));
    }
}

/// REPAIR-3.
#[test]
fn repair_3_whoever_asks_one_after_the_other_costs_one_copy_and_one_for_all() {
    let (mut node, _) = repairer();
    let mut all = Vec::new();
    for reader in 100..110 {
        node.replica
            .net_mut()
            .unicast
            .push_back((nack(epoch(1, 1), HISTORY, 5, &[(7, 8)]), Some(address(reader))));
        // A microsecond after each other, and it looks at requests every few turns.
        for _ in 0..8 {
            all.extend(node.poll());
            node.now -= TURN_NS;
        }
        node.now += 1_000;
    }
    all.extend((0..8).flat_map(|_| node.poll()));
    assert_eq!(receivers(&all), [To::Unicast(address(100)), To::Group(Group::Data)]);
}

/// REPAIR-3, S11.
#[test]
fn repair_3_what_is_not_committed_is_given_to_nobody_who_did_not_ask() {
    let (mut node, log) = repairer_of(5);
    let commit_next = node.replica.core.commit_next();
    assert!(commit_next < log.end.next);
    let sent = ask_together(&mut node, 100..110, &[(commit_next, commit_next + 1)]);
    assert_eq!(receivers(&sent).len(), 10);
    assert!(receivers(&sent).iter().all(|to| matches!(to, To::Unicast(_))));
}

/// REPAIR-3.
#[test]
fn repair_3_what_another_repairer_gave_to_everybody_is_not_given_again() {
    let (mut node, log) = repairer();
    node.hear(&[log.repair(6, 3, 41)]);
    let sent = ask_together(&mut node, 100..110, &[(7, 8)]);
    assert!(receivers(&sent).is_empty());
}

/// REPAIR-4.
#[test]
pub fn repair_4_a_reader_that_asks_too_much_is_told_when_to_ask_again_and_costs_the_others_nothing() {
    let (mut node, _) = repairer();
    let mut refusals = Vec::new();
    for round in 0..400 {
        node.wait(51_000);
        let sent = ask_together(&mut node, [9].into_iter(), &[(3, 19)]);
        refusals.extend(sent.iter().filter_map(|(_, bytes)| {
            match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
                Ok(Datagram::RepairReject(_, body)) => Some((round, body.reason, body.retry_after_ns)),
                _ => None,
            }
        }));
    }
    assert!(!refusals.is_empty(), "16 frames each 130 µs are above the floor's quarter");
    assert!(refusals.iter().all(|refusal| refusal.1 == RepairReject::Limited as u32 && refusal.2 > 0));
    assert_eq!(node.count(Counter::NacksLimited), refusals.len() as u64);
    let sent = ask_together(&mut node, [10].into_iter(), &[(3, 19)]);
    assert_eq!(answers(&sent).0.len(), 16, "another reader is served");
}

/// REPAIR-5.
#[test]
pub fn repair_5_a_crybaby_is_limited_then_sent_to_replay_then_dropped_and_a_member_never_is() {
    let budget = BudgetLimits { floor_bytes_per_s: 1_000, burst_bytes: 4_000, requesters_max: 4 };
    let mut node = leader_with(budget);
    let mut reasons = Vec::new();
    for _ in 0..200 {
        node.wait(100_000_000);
        let sent = ask_together(&mut node, [9].into_iter(), &[(1, 3)]);
        for (reason, _) in answers(&sent).1 {
            if reasons.last() != Some(&reason) {
                reasons.push(reason);
            }
        }
    }
    assert_eq!(reasons, [RepairReject::Limited, RepairReject::Replay, RepairReject::Dropped]);
    assert_eq!(node.count(Counter::RequestersDropped), 1);
    assert_eq!(answers(&node.ask(9, nack_of_member(2, 5, &[(1, 3)]))).0.len(), 0, "by a member's name alone");
    // A member gates the commit: it is told to wait at worst.
    for _ in 0..50 {
        node.wait(1_000_000_000);
        assert_eq!(answers(&node.ask(2, nack_of_member(2, 5, &[(1, 3)]))).0.len(), 2);
    }
}

/// What the member asks for.
fn nack_of_member(member: u32, token: u64, ranges: &[(Seq, Seq)]) -> Vec<u8> {
    let header = Header {
        cluster: CLUSTER,
        history: HISTORY,
        epoch: epoch(1, 1).0,
        sender: identity(member).replica,
        incarnation: identity(member).incarnation,
        ..Header::new(Kind::Nack)
    };
    let ranges: Vec<_> = ranges.iter().map(|&(from, to)| SeqRange { from, to }).collect();
    lockstep_memory::log::written(|out| write_nack(out, &Keyring::none(CLUSTER), header, token, &ranges))
}

/// REPAIR-7: without it, a network with no multicast at all brought a busy leader a queue of requests that
/// took longer to answer than to ask again, and it heard nobody for seconds.
#[test]
fn repair_7_the_requests_that_a_member_repeated_while_we_stalled_are_answered_once_for_the_newest() {
    let mut node = leader_with(BudgetLimits::default());
    node.hear(&[open_submission("b", [2, 1], 0)]);
    let repeated = (0..12).map(|token| (2, nack_of_member(2, token, &[(2, 4)])));
    let others = [(3, nack_of_member(3, 7, &[(2, 3)])), (2, nack_of_member(2, 90, &[(3, 4)]))];
    let sent = hear_together(&mut node, repeated.chain(others));
    let tokens = decoded(&sent).into_iter().filter_map(|datagram| match datagram {
        Datagram::Frame(frame, Some(trailer)) => Some((frame.header.first_seq, trailer.token)),
        _ => None,
    });
    assert_eq!(tokens.collect::<Vec<_>>(), [(2, 11), (2, 7), (3, 90)]);
    assert_eq!(
        seqs(&answers(&node.ask(2, nack_of_member(2, 91, &[(2, 4)]))).0),
        [2, 3],
        "what it asks for anew"
    );
}

/// A leader stamps meanwhile: what a member lacks goes a few frames a turn.
#[test]
fn a_leader_gives_a_member_that_lacks_many_frames_a_few_in_each_turn_and_all_in_the_end() {
    let mut node = leader_with(BudgetLimits::default());
    for number in 1..8 {
        node.hear(&[open_submission(&format!("b{number}"), [number, 1], 0)]);
    }
    node.replica.net_mut().unicast.push_back((nack_of_member(2, 5, &[(2, 10)]), Some(address(2))));
    let repaired: Vec<_> = (0..16).map(|_| answers(&node.poll()).0.len()).collect();
    assert!(repaired.iter().all(|count| *count <= 4) && repaired.iter().sum::<usize>() == 8, "{repaired:?}");
}

/// A leader of three that gives so much, and has stamped an open.
fn leader_with(budget: BudgetLimits) -> SoloReplica {
    let mut node = leader(3, |limits| limits.budget = budget);
    node.hear(&[open_submission("a", [1, 1], 0)]);
    node
}

/// REPAIR-6.
#[test]
pub fn repair_6_a_leader_refers_readers_to_a_standby_that_holds_it_and_gives_nothing() {
    let mut node = leader_with(BudgetLimits::default());
    let mut log = Log::begun(3);
    let ask = |node: &mut SoloReplica| answers(&node.ask(9, nack(epoch(1, 1), HISTORY, 5, &[(2, 3)])));
    assert_eq!(ask(&mut node).0.len(), 1, "nobody else is known to hold it");
    assert_eq!(node.count(Counter::RepairsByLeader), 1);
    node.wait(60_000);
    node.hear(&[log.ack(2, 3)]);
    assert_eq!(ask(&mut node), (vec![], vec![(RepairReject::Referred, 1)]));
    assert_eq!((node.count(Counter::RepairsByLeader), node.count(Counter::NacksReferred)), (1, 1));
    // It comes back: the standby does not answer it.
    node.wait(1_000_000);
    assert_eq!(ask(&mut node).0.len(), 1);
    // What the standby has not acknowledged only the leader has.
    node.wait(60_000_000);
    node.hear(&[log.ack(2, 3)]);
    let (repairs, _) = answers(&node.ask(9, nack(epoch(1, 1), HISTORY, 5, &[(3, 4)])));
    assert_eq!(seqs(&repairs), [3]);
}

/// S11.
#[test]
fn s11_what_is_owed_to_a_follower_of_an_epoch_is_not_given_in_the_next_one() {
    let (mut node, log) = repairer_of(5);
    let commit_next = node.replica.core.commit_next();
    for reader in 100..110 {
        let request = nack(epoch(1, 1), HISTORY, 5, &[(commit_next, log.end.next)]);
        node.replica.net_mut().unicast.push_back((request, Some(address(reader))));
    }
    let repaired = (0..8).map(|_| answers(&node.poll()).0.len()).find(|repaired| *repaired > 0);
    assert_eq!(repaired, Some(16), "and more are owed");
    let mut next = log.before(30);
    let start = next.begin(epoch(2, 3), &member_list(5));
    let mut sent = node.hear(&[start]);
    assert_eq!(node.next(), 31);
    sent.extend((0..40).flat_map(|_| node.poll()));
    assert!(answers(&sent).0.is_empty(), "{:?}", answers(&sent));
}
