//! S5 and ELECT-1: who asks when, and which log survives.

use super::*;
use crate::proto::tests::{epoch, identity, membership};

const LIMITS: ElectionLimits =
    ElectionLimits { stagger_ns: 10, again_ns: 5, timeout_ns: 100, backoff_ns_max: 1_000 };

/// Replica 2 of 3, in a round that follows 4.
fn calm() -> Election {
    let mut election = Election::new(LIMITS, identity(2));
    assert!(election.on_epoch_seen(1, epoch(4, 1)));
    election
}

fn poll(election: &mut Election, now: Nanos) -> Option<BallotRequest> {
    election.poll(now, epoch(4, 1), &membership(3), 0, true)
}

/// Replica 2, which collects promises for round 5.
fn preparing() -> Election {
    let mut election = calm();
    election.on_missed(0, LeaderLossReason::Down, 0);
    assert_eq!(poll(&mut election, 0), Some(BallotRequest::Prepare(epoch(5, 2))));
    election
}

fn promise(by: u32, accepted: Epoch, next: Seq, commit_next: Seq) -> Promise {
    Promise { by: identity(by), accepted, next, chain: 0, commit_next }
}

fn end(accepted: Epoch, next: Seq) -> LogEnd {
    LogEnd { next, epoch: accepted, chain: 0, timestamp: 0 }
}

fn three() -> Electorate {
    Electorate { at_end: membership(3), ..Electorate::default() }
}

/// The commit that a win brings; `None` if it is none.
fn won(step: &ElectionStep) -> Option<Seq> {
    if let ElectionStep::Won { commit_next, .. } = step { Some(*commit_next) } else { None }
}

#[test]
fn elect_1_who_misses_a_silent_leader_asks_the_others_first() {
    let mut election = calm();
    election.on_missed(1_000, LeaderLossReason::Silence, 0);
    assert_eq!(poll(&mut election, 1_000), Some(BallotRequest::PreVote(epoch(5, 2))));
    assert_eq!(poll(&mut election, 1_004), None, "not again so soon");
    assert_eq!(poll(&mut election, 1_005), Some(BallotRequest::PreVote(epoch(5, 2))));
    assert_eq!(election.ballot(), None, "nobody is deposed by a question");
    election.on_grant(identity(3));
    assert_eq!(poll(&mut election, 1_006), Some(BallotRequest::Prepare(epoch(5, 2))));
    assert_eq!(election.ballot(), Some(epoch(5, 2)));
}

#[test]
fn elect_1_a_known_death_needs_no_votes() {
    for why in [LeaderLossReason::Down, LeaderLossReason::StepDown] {
        let mut election = calm();
        election.on_missed(0, why, 0);
        assert_eq!(poll(&mut election, 0), Some(BallotRequest::Prepare(epoch(5, 2))), "{why:?}");
    }
}

#[test]
fn elect_1_successors_begin_one_after_the_other() {
    let mut election = calm();
    election.on_missed(0, LeaderLossReason::Down, 2);
    assert_eq!(election.next_deadline(), Some(20));
    assert_eq!(election.poll(19, epoch(4, 1), &membership(3), 2, true), None);
    assert_eq!(
        election.poll(20, epoch(4, 1), &membership(3), 2, true),
        Some(BallotRequest::Prepare(epoch(5, 2)))
    );
}

#[test]
fn elect_1_a_successor_that_was_named_has_the_time_of_a_candidate() {
    let mut election = calm();
    election.on_successor_named(0, 1);
    assert_eq!(election.next_deadline(), Some(LIMITS.timeout_ns + LIMITS.stagger_ns));
    election.on_started();
    assert_eq!(election.next_deadline(), None);
}

#[test]
fn elect_1_grants_of_who_is_not_listed_do_not_count() {
    let mut election = calm();
    election.on_missed(0, LeaderLossReason::Silence, 0);
    poll(&mut election, 0);
    election.on_grant(identity(9));
    election.on_grant(Identity { incarnation: 1, ..identity(3) });
    assert_eq!(poll(&mut election, 1), None);
}

#[test]
fn elect_1_grants_grow_old() {
    let mut election = Election::new(LIMITS, identity(2));
    let five = membership(5);
    let poll = |election: &mut Election, now| election.poll(now, epoch(4, 1), &five, 0, true);
    election.on_missed(1_000, LeaderLossReason::Silence, 0);
    poll(&mut election, 1_000);
    election.on_grant(identity(1));
    assert!(matches!(poll(&mut election, 1_100), Some(BallotRequest::PreVote(_))), "a timeout has passed");
    election.on_grant(identity(3));
    assert_eq!(poll(&mut election, 1_101), None, "the two missed the leader at different times");
    election.on_grant(identity(4));
    assert!(matches!(poll(&mut election, 1_102), Some(BallotRequest::Prepare(_))));
}

#[test]
fn elect_1_a_leader_that_speaks_again_is_not_deposed() {
    let mut election = calm();
    election.on_missed(0, LeaderLossReason::Silence, 1);
    election.on_life();
    assert!(election.is_calm());
    election.on_missed(0, LeaderLossReason::Silence, 0);
    poll(&mut election, 0);
    election.on_life();
    assert!(election.is_calm(), "not while we only ask either");
    election.on_missed(0, LeaderLossReason::Down, 1);
    election.on_life();
    assert!(!election.is_calm(), "the dead do not speak: what comes was under way");
    let mut asked = preparing();
    asked.on_life();
    assert_eq!(asked.ballot(), Some(epoch(5, 2)), "a ballot that was asked for is not taken back");
}

#[test]
fn elect_1_a_known_death_outweighs_silence() {
    let mut election = calm();
    election.on_missed(0, LeaderLossReason::Silence, 0);
    poll(&mut election, 0);
    election.on_missed(3, LeaderLossReason::Down, 0);
    assert_eq!(election.missing(), Some(LeaderLossReason::Down));
    assert_eq!(poll(&mut election, 3), Some(BallotRequest::Prepare(epoch(5, 2))));
    election.on_missed(4, LeaderLossReason::Silence, 0);
    assert_eq!(election.missing(), Some(LeaderLossReason::Down), "and nothing weaker replaces it");
}

#[test]
fn elect_1_who_fails_waits_longer_each_time_and_then_asks_first() {
    let mut election = preparing();
    assert_eq!(poll(&mut election, 99), Some(BallotRequest::Prepare(epoch(5, 2))), "still asking");
    let mut now = 100;
    assert_eq!(poll(&mut election, now), None, "no quorum within the timeout");
    for wait in [100, 200, 400, 800, 1_000, 1_000] {
        assert_eq!(election.next_deadline(), Some(now + wait));
        election.on_missed(now, LeaderLossReason::Down, 0);
        now += wait;
        assert!(
            matches!(poll(&mut election, now), Some(BallotRequest::PreVote(_))),
            "a vote even after a death"
        );
        election.on_grant(identity(3));
        assert!(matches!(poll(&mut election, now), Some(BallotRequest::Prepare(_))));
        // It is given twice as long as the time before, too.
        now += (2 * wait).min(1_000);
        assert!(election.ballot().is_some());
        assert_eq!(poll(&mut election, now), None);
    }
    election.on_started();
    election.on_missed(now, LeaderLossReason::Down, 0);
    assert!(
        matches!(poll(&mut election, now), Some(BallotRequest::Prepare(_))),
        "a new leader begins a new count"
    );
}

#[test]
fn elect_1_who_promised_to_another_waits_a_full_timeout() {
    let mut election = calm();
    election.on_missed(0, LeaderLossReason::Silence, 0);
    election.on_preempted(7, 1);
    assert_eq!(election.next_deadline(), Some(7 + 100 + 10));
    assert_eq!(poll(&mut election, 116), None);
    assert!(
        matches!(poll(&mut election, 117), Some(BallotRequest::PreVote(_))),
        "then it asks: the candidate may be dead"
    );
    let mut preempted = preparing();
    preempted.on_preempted(50, 0);
    assert_eq!(preempted.ballot(), None, "its own candidacy is over");
    preempted.on_promise(epoch(5, 2), promise(3, epoch(4, 1), 10, 1));
    assert_eq!(
        preempted.assess(&end(epoch(4, 1), 10), 1, &three()),
        ElectionStep::Wait,
        "a late promise elects nobody"
    );
}

#[test]
fn elect_1_a_ballot_is_above_every_round_that_was_heard_or_promised() {
    let mut election = calm();
    assert!(election.on_epoch_seen(1, epoch(7, 3)));
    assert_eq!(election.next_ballot(epoch(4, 1)), Some(epoch(8, 2)));
    assert_eq!(election.next_ballot(epoch(9, 1)), Some(epoch(10, 2)));
    assert!(!election.on_epoch_seen(1, epoch(ROUND_MAX, 1)), "too far above what was seen");
    election.on_proven(epoch(ROUND_MAX, 1));
    assert_eq!(election.next_ballot(epoch(9, 1)), None, "rounds are used up, never wrapped");
}

#[test]
fn s5_a_quorum_of_promises_is_needed_and_the_candidates_own_is_one() {
    let mut election = preparing();
    let own = end(epoch(4, 1), 10);
    assert_eq!(election.assess(&own, 1, &three()), ElectionStep::Wait);
    election.on_promise(epoch(4, 2), promise(3, epoch(4, 1), 10, 1));
    assert_eq!(election.assess(&own, 1, &three()), ElectionStep::Wait, "a promise of another ballot");
    election.on_promise(epoch(5, 2), promise(9, epoch(4, 1), 10, 1));
    let outsider = Identity { incarnation: 1, ..identity(3) };
    election.on_promise(epoch(5, 2), Promise { by: outsider, ..promise(3, epoch(4, 1), 10, 1) });
    assert_eq!(election.assess(&own, 1, &three()), ElectionStep::Wait, "nobody who is listed");
    election.on_promise(epoch(5, 2), promise(3, epoch(4, 1), 10, 1));
    let step = election.assess(&own, 1, &three());
    assert!(
        matches!(&step, ElectionStep::Won { leadership, .. } if leadership.epoch() == epoch(5, 2)),
        "{step:?}"
    );
}

#[test]
fn s5_the_greatest_accepted_wins_over_the_greatest_last() {
    let own = end(epoch(3, 2), 90);
    let newer = promise(3, epoch(4, 1), 10, 1);
    let mut election = preparing();
    election.on_promise(epoch(5, 2), newer);
    assert_eq!(election.assess(&own, 1, &three()), ElectionStep::Adopt(newer), "short, and of a later epoch");
    let mut election = preparing();
    let longer = promise(3, epoch(3, 2), 91, 1);
    election.on_promise(epoch(5, 2), longer);
    assert_eq!(
        election.assess(&own, 1, &three()),
        ElectionStep::Adopt(longer),
        "of the same epoch, and longer"
    );
    let mut election = preparing();
    election.on_promise(epoch(5, 2), promise(3, epoch(2, 1), 500, 1));
    assert!(won(&election.assess(&own, 1, &three())).is_some(), "ours is the best");
}

#[test]
fn s5_the_best_of_all_promises_is_adopted_not_the_first() {
    let mut election = preparing();
    let best = promise(1, epoch(4, 1), 12, 1);
    election.on_promise(epoch(5, 2), promise(3, epoch(4, 1), 11, 1));
    election.on_promise(epoch(5, 2), best);
    assert_eq!(election.assess(&end(epoch(4, 1), 10), 1, &three()), ElectionStep::Adopt(best));
    assert!(won(&election.assess(&end(epoch(4, 1), 12), 1, &three())).is_some(), "once it is fetched");
}

#[test]
fn s5_the_greatest_promised_commit_becomes_the_leaders() {
    let mut election = preparing();
    election.on_promise(epoch(5, 2), promise(3, epoch(4, 1), 10, 8));
    assert_eq!(won(&election.assess(&end(epoch(4, 1), 10), 6, &three())), Some(8));
    assert_eq!(won(&election.assess(&end(epoch(4, 1), 10), 9, &three())), Some(9), "or its own");
}

#[test]
fn s5_the_quorum_is_that_of_the_membership_at_the_end_of_the_chosen_log() {
    let mut election = preparing();
    election.on_promise(epoch(5, 2), promise(3, epoch(4, 1), 10, 1));
    let five = Electorate { at_end: membership(5), ..Electorate::default() };
    let own = end(epoch(4, 1), 10);
    assert_eq!(election.assess(&own, 1, &five), ElectionStep::Wait, "two of three, and of five not enough");
    election.on_promise(epoch(5, 2), promise(5, epoch(4, 1), 9, 1));
    assert!(won(&election.assess(&own, 1, &five)).is_some());
}

#[test]
fn s5_a_candidate_that_the_chosen_log_does_not_list_gives_up() {
    let mut election = Election::new(LIMITS, identity(4));
    election.on_missed(0, LeaderLossReason::Down, 0);
    assert!(election.poll(0, epoch(4, 1), &membership(3), 0, true).is_some());
    let ballot = election.ballot().expect("it asks");
    election.on_promise(ballot, promise(1, epoch(4, 1), 10, 1));
    election.on_promise(ballot, promise(2, epoch(4, 1), 10, 1));
    assert_eq!(election.assess(&end(epoch(4, 1), 10), 1, &three()), ElectionStep::Unlisted);
}

#[test]
fn s5_a_change_from_two_members_takes_a_quorum_of_the_two_until_it_is_committed() {
    let mut election = preparing();
    election.on_promise(epoch(5, 2), promise(3, epoch(4, 1), 10, 1));
    let added = Electorate { at_end: membership(3), change: Some((8, membership(2))) };
    let own = end(epoch(4, 1), 10);
    assert_eq!(
        election.assess(&own, 8, &added),
        ElectionStep::Wait,
        "2 and 3 are a quorum of three, not of the two"
    );
    assert_eq!(won(&election.assess(&own, 9, &added)), Some(9), "the change is committed");
    election.on_promise(epoch(5, 2), promise(1, epoch(4, 1), 10, 1));
    assert_eq!(won(&election.assess(&own, 8, &added)), Some(8), "the other of the two promised as well");
}

/// What a candidate lacks may be the committed change that lists those who promised.
#[test]
fn s5_what_a_promise_calls_committed_is_fetched_whoever_gave_it() {
    let mut election = preparing();
    let added = promise(9, epoch(4, 1), 12, 12);
    election.on_promise(epoch(5, 2), added);
    assert_eq!(election.assess(&end(epoch(4, 1), 10), 1, &three()), ElectionStep::Adopt(added));
    assert_eq!(
        election.assess(&end(epoch(4, 1), 12), 1, &three()),
        ElectionStep::Wait,
        "it is nobody's voice in the election before that is held"
    );
    election.on_promise(epoch(5, 2), promise(9, epoch(4, 1), 12, 10));
    assert_eq!(
        election.assess(&end(epoch(4, 1), 10), 1, &three()),
        ElectionStep::Wait,
        "and a log that is merely longer needs a quorum"
    );
}

/// ELECT-3.
#[test]
fn elect_3_who_has_no_room_asks_for_nothing_and_begins_as_soon_as_it_has() {
    let mut election = Election::new(LIMITS, identity(2));
    election.on_missed(0, LeaderLossReason::Down, 0);
    for now in (0..10 * LIMITS.timeout_ns).step_by(7) {
        assert_eq!(election.poll(now, epoch(4, 1), &membership(3), 0, false), None, "{now}");
        assert!(election.next_deadline().is_some_and(|due| due > now), "no deadline in the past");
    }
    let now = election.next_deadline().unwrap();
    assert_eq!(
        election.poll(now, epoch(4, 1), &membership(3), 0, true),
        Some(BallotRequest::Prepare(epoch(5, 2)))
    );
    // It was full in the middle of a candidacy: that is over.
    assert_eq!(election.poll(now + 1, epoch(5, 2), &membership(3), 0, false), None);
    assert_eq!(election.ballot(), None);
}

/// Why the leader is missed in a phase, and what it asks for.
fn phase(election: &Election) -> String {
    match election.phase {
        Phase::Idle => "follows".to_owned(),
        Phase::Waiting { why, .. } => format!("waits ({})", why.name()),
        Phase::PreVoting { .. } => "pre-vote".to_owned(),
        Phase::Preparing { .. } => "prepare".to_owned(),
    }
}

/// What each event makes of each phase of a candidacy. "its turn" is when what it waits
/// for is over, "a quorum" when the others have granted the pre-vote.
const TRANSITIONS: &str = "
event               follows             waits (silence)     waits (down)        pre-vote            prepare
silence             waits (silence)     waits (silence)     waits (down)        pre-vote            prepare
death notice        waits (down)        waits (down)        waits (down)        waits (down)        prepare
stepped down        waits (step down)   waits (step down)   waits (down)        waits (step down)   prepare
another named       waits (step down)   waits (step down)   waits (down)        waits (step down)   prepare
leader heard        follows             follows             waits (down)        follows             prepare
new epoch           follows             follows             follows             follows             follows
promised another    waits (silence)     waits (silence)     waits (silence)     waits (silence)     waits (silence)
refused             waits (refused)     waits (refused)     waits (refused)     waits (refused)     waits (refused)
its turn            follows             pre-vote            prepare             pre-vote            prepare
a quorum            follows             waits (silence)     waits (down)        prepare             prepare
its time is over    follows             pre-vote            prepare             pre-vote            waits (refused)
journal full        follows             waits (silence)     waits (down)        waits (silence)     waits (down)
";

#[test]
fn elect_1_each_event_moves_each_phase_as_the_table_says() {
    const NOW: Nanos = 1_000;
    type Make = fn() -> Election;
    type Event = fn(&mut Election);
    let phases: [Make; 5] = [
        calm,
        || {
            let mut election = calm();
            election.on_missed(NOW, LeaderLossReason::Silence, 3);
            election
        },
        || {
            let mut election = calm();
            election.on_missed(NOW, LeaderLossReason::Down, 3);
            election
        },
        || {
            let mut election = calm();
            election.on_missed(NOW, LeaderLossReason::Silence, 0);
            assert!(matches!(poll(&mut election, NOW), Some(BallotRequest::PreVote(_))));
            election
        },
        || {
            let mut election = calm();
            election.on_missed(NOW, LeaderLossReason::Down, 0);
            assert!(matches!(poll(&mut election, NOW), Some(BallotRequest::Prepare(_))));
            election
        },
    ];
    let events: [(&str, Event); 12] = [
        ("silence", |election| election.on_missed(NOW, LeaderLossReason::Silence, 0)),
        ("death notice", |election| election.on_missed(NOW, LeaderLossReason::Down, 0)),
        ("stepped down", |election| election.on_missed(NOW, LeaderLossReason::StepDown, 0)),
        ("another named", |election| election.on_successor_named(NOW, 0)),
        ("leader heard", Election::on_life),
        ("new epoch", Election::on_started),
        ("promised another", |election| election.on_preempted(NOW, 0)),
        ("refused", |election| election.on_failed(NOW, 0)),
        ("its turn", |election| _ = poll(election, NOW + 3 * LIMITS.stagger_ns)),
        ("a quorum", |election| {
            election.on_grant(identity(3));
            _ = poll(election, NOW + 1);
        }),
        ("its time is over", |election| _ = poll(election, NOW + 10 * LIMITS.backoff_ns_max)),
        ("journal full", |election| _ = election.poll(NOW + 1, epoch(4, 1), &membership(3), 0, false)),
    ];
    let mut table = String::from("\n");
    let mut row = |cells: Vec<String>| {
        let line: String = cells.iter().map(|cell| format!("{cell:<20}")).collect();
        table.push_str(line.trim_end());
        table.push('\n');
    };
    row(std::iter::once("event".to_owned()).chain(phases.map(|make| phase(&make()))).collect());
    for (name, event) in events {
        let after = phases.map(|make| {
            let mut election = make();
            event(&mut election);
            phase(&election)
        });
        row(std::iter::once(name.to_owned()).chain(after).collect());
    }
    assert_eq!(table, TRANSITIONS, "the transitions are now:\n{table}");
}
