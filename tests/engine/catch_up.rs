//! A replica's replay, and a takeover that changes what it lacks meanwhile.

use super::log::Log;
use super::world::*;
use lockstep_core::engine::replay::SourceState;
use lockstep_replica::replica::{CatchUpPlan, CatchUpRequest};
use lockstep_wire::*;

/// Longer than a replica waits that does not move.
const STALL_NS: Nanos = 60_000_000;

/// A standby of five whose log ends at seq 7 in epoch 1, with a commit of 3. It waits for a replay from there
/// on.
fn waiting() -> (Node, Log) {
    let mut log = Log::begun(5);
    log.push_open("a", (1, [1, 1]), 1, 0);
    for number in 1..4 {
        log.push_of(1, &[number]);
    }
    let mut node = Node::new(start(blank_tail(2, 256 << 10), replica_limits(2, 5)).unwrap());
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 3));
    node.hear(&log.frames[2..]);
    assert_eq!((node.next(), node.replica.core.commit_next()), (7, 3), "of five, two are no quorum");
    let end = log.end;
    for number in 4..12 {
        log.push_of(1, &[number]);
    }
    node.hear(&[log.heartbeat()]);
    assert_eq!(wish(&mut node, SourceState::AtEnd), CatchUpRequest::GoOn);
    node.now += STALL_NS;
    assert_eq!(wish(&mut node, SourceState::AtEnd), begin(end.next, end.chain));
    (node, log)
}

fn begin(from: Seq, chain: Chain) -> CatchUpRequest {
    CatchUpRequest::Begin(CatchUpPlan { history: HISTORY, from, chain: Some(chain) })
}

fn wish(node: &mut Node, supply: SourceState) -> CatchUpRequest {
    node.replica.poll_catch_up(node.now, Some(supply))
}

fn replay(node: &mut Node, frame: &[u8]) {
    let now = node.now;
    assert!(node.replica.on_replayed(now, (identity(1), HISTORY), &FrameView::from_prefix(frame).unwrap()));
}

/// Every source refuses the chain of a log that is this one's no longer.
#[test]
fn a_replay_of_a_log_that_a_takeover_has_cut_is_asked_for_anew_although_no_source_has_answered() {
    let (mut node, old) = waiting();
    let mut log = old.before(4);
    let begun = log.begin(epoch(2, 3), &member_list(5));
    let end = log.end;
    log.push_of(1, &[1]);
    node.hear(&[begun, log.heartbeat()]);
    assert_eq!(node.next(), end.next, "its own seqs 4 to 6 are gone");
    assert_eq!(wish(&mut node, SourceState::Awaited), CatchUpRequest::GoOn);
    node.now += STALL_NS;
    assert_eq!(wish(&mut node, SourceState::Awaited), begin(end.next, end.chain));
    node.now += STALL_NS;
    assert_eq!(wish(&mut node, SourceState::Awaited), CatchUpRequest::GoOn, "this one is what it needs");
}

/// Seed 10846: the source follows a stream that never rests, and is at its end for no 50 ms.
#[test]
fn a_replay_that_is_past_what_is_missing_is_asked_for_anew_although_frames_come_all_the_time() {
    let (mut node, log) = waiting();
    let (end, mut asked_at) = (log.before(7).end, None);
    for (turn, seq) in (8..15).enumerate() {
        replay(&mut node, &log.at(seq));
        node.now += STALL_NS / 4;
        if wish(&mut node, SourceState::Sending) == begin(end.next, end.chain) {
            asked_at = Some(turn);
            break;
        }
    }
    assert!(asked_at.is_some_and(|turn| turn > 2), "it is given time first: {asked_at:?}");
    for seq in 7..15 {
        replay(&mut node, &log.at(seq));
        node.poll();
        node.now += STALL_NS;
        let wished = wish(&mut node, SourceState::Sending);
        let expected = if seq < 14 { CatchUpRequest::GoOn } else { CatchUpRequest::End };
        assert_eq!(wished, expected, "seq {seq}");
    }
    assert_eq!(node.next(), log.end.next);
}
