//! A replica's replay, and a takeover that changes what it lacks meanwhile.

use lockstep_core::engine::replay::SourceState;
use lockstep_core::proto::log::LogEnd;
use lockstep_memory::cluster::SoloReplica;
use lockstep_memory::log::Log;
use lockstep_memory::world::*;
use lockstep_replica::replica::{CatchUpPlan, CatchUpRequest};
use lockstep_wire::*;

/// Longer than a replica waits that does not move.
const STALL_NS: Nanos = 60_000_000;

/// A standby of five whose log ends at seq 7 in epoch 1, with a commit of 3. It waits for a replay from there
/// on.
fn waiting() -> (SoloReplica, Log) {
    let mut log = Log::begun(5);
    log.push_open("a", (1, [1, 1]), 1, 0);
    for number in 1..4 {
        log.push_of(1, &[number]);
    }
    let mut node = SoloReplica::new(start(blank_tail(2, 256 << 10), replica_limits(2, 5)).unwrap());
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
    CatchUpRequest::Begin(CatchUpPlan::new(HISTORY, from, Some(chain)))
}

fn wish(node: &mut SoloReplica, supply: SourceState) -> CatchUpRequest {
    node.replica.poll_catch_up(node.now, Some(supply))
}

fn replay(node: &mut SoloReplica, frame: &[u8]) {
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

/// A standby of five whose log ends at seq 10 in epoch 1, with a commit of 3. Epoch 3 begins at seq 16 of
/// `log` with a table that does not reach down to epoch 1, so that nothing shows whose its own seqs 3 to 9
/// are. It asks for them, and as the journals of all others may begin behind them, also for what follows a
/// log that ends at `proof`.
fn in_doubt(own: &Log, log: &mut Log, proof: LogEnd) -> SoloReplica {
    let mut node = SoloReplica::new(start(blank_tail(2, 256 << 10), replica_limits(2, 5)).unwrap());
    node.hear(&own.frames[1..2]);
    node.ask(1, own.repair(0, 1, 3));
    node.hear(&own.frames[2..]);
    assert_eq!((node.next(), node.replica.core.commit_next()), (10, 3));
    while log.end.next < 16 {
        log.push(&["more"]);
    }
    let begun = log.begin_with_rows(epoch(3, 3), &member_list(5), 2);
    node.hear(&[begun]);
    assert_eq!(wish(&mut node, SourceState::AtEnd), CatchUpRequest::GoOn);
    node.now += STALL_NS;
    let CatchUpRequest::Begin(plan) = wish(&mut node, SourceState::AtEnd) else { panic!("a replay") };
    assert_eq!(plan.from, 3);
    let other = plan.otherwise(20);
    assert_eq!((other.from, other.chain), (proof.next, Some(proof.chain)));
    assert_eq!(other.otherwise(20), plan, "the two take turns");
    node
}

/// Seven messages behind the start of epoch 1, which are seqs 3 to 9.
fn own_log() -> Log {
    let mut log = Log::begun(5);
    (0..7).for_each(|_| drop(log.push(&["a message"])));
    log
}

/// Seed 20261126502471: an archiver that starts again does not know that its newest frame is committed, and
/// the other journals begin behind it.
#[test]
fn s10_a_committed_frame_behind_a_log_that_no_table_shows_proves_that_log_and_it_goes_on() {
    let own = own_log();
    let mut same_epoch = own.clone();
    same_epoch.push(&["of epoch 1 as well"]);
    let mut next_epoch = own.clone();
    next_epoch.begin(epoch(2, 2), &member_list(5));
    for mut log in [same_epoch, next_epoch] {
        if log.epoch == epoch(1, 1) {
            log.begin(epoch(2, 2), &member_list(5));
        }
        let mut node = in_doubt(&own, &mut log, own.end);
        replay(&mut node, &log.at(10));
        assert_eq!((node.next(), node.replica.core.commit_next()), (11, 11));
        for seq in 11..17 {
            replay(&mut node, &log.at(seq));
            node.poll();
        }
        assert_eq!((node.replica.tail().end(), node.replica.core.commit_next()), (log.end, log.end.next));
        assert!(!node.replica.core.is_stopped());
    }
}

#[test]
fn s10_of_a_log_that_a_committed_start_goes_on_with_the_part_before_it_is_proven_and_the_rest_replaced() {
    let own = own_log();
    let mut log = own.before(7);
    log.begin(epoch(2, 2), &member_list(5));
    let proof = own.before(7).end;
    let mut node = in_doubt(&own, &mut log, proof);
    for seq in 7..15 {
        replay(&mut node, &log.at(seq));
        node.poll();
        let committed = node.replica.core.commit_next();
        assert_eq!((node.next(), committed), (seq + 1, seq + 1), "it is the log of epoch 2 from seq 7 on");
    }
    for seq in [15, 16] {
        replay(&mut node, &log.at(seq));
        node.poll();
    }
    assert_eq!((node.replica.tail().end(), node.replica.core.commit_next()), (log.end, log.end.next));
}

#[test]
pub fn s10_a_committed_frame_of_an_epoch_that_begins_within_a_log_proves_nothing_of_it() {
    let own = own_log();
    for base in [8, 9] {
        let mut log = own.before(base);
        let proof = log.end;
        log.begin(epoch(2, 2), &member_list(5));
        (0..3).for_each(|_| drop(log.push(&["of epoch 2"])));
        let mut node = in_doubt(&own, &mut log, proof);
        replay(&mut node, &log.at(10));
        node.poll();
        assert_eq!((node.next(), node.replica.core.commit_next()), (10, 3));
        assert!(!node.replica.core.is_stopped());
    }
}
