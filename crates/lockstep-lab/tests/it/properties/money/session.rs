use super::{FIRST, SECOND, has, holds, transferred};
use lockstep_lab::property::WRITES_FOLLOW_READS;
use lockstep_lab::{Event, Pid};

/// p1 commits its first transfer, p2 stores what that left of account 0 and commits the second one, which
/// leaves the account with -1; then these events.
fn then(events: &[(Pid, Event)]) -> bool {
    let first = [(0, Event::Asked(FIRST)), (0, has(0, 0)), (0, has(1, 2)), (0, transferred(true))];
    let second = [(1, has(0, 0)), (1, Event::Asked(SECOND)), (1, has(0, -1)), (1, has(2, 2))];
    let run = [&first[..], &second, &[(1, transferred(true))], events].concat();
    holds(&WRITES_FOLLOW_READS, &run)
}

#[test]
fn a_write_does_not_give_way_to_one_that_its_process_had_stored() {
    assert!(then(&[(2, has(0, 0)), (2, has(0, -1)), (0, has(0, -1))]));
    assert!(then(&[(2, has(0, -1))]), "the earlier one is left out");
    assert!(!then(&[(2, has(0, -1)), (2, has(0, 0))]), "another process turns back");
    assert!(!then(&[(1, has(0, 0))]), "its own process turns back");
    assert!(then(&[(2, has(0, -1)), (2, has(0, 1))]), "a third write, which p2 had not stored");
}

#[test]
fn a_committed_write_is_stored_at_its_process() {
    let own = |stored: &[(Pid, Event)], commits| {
        let run = [&[(0, has(0, 2)), (0, Event::Asked(FIRST))], stored, &[(0, transferred(commits))]];
        holds(&WRITES_FOLLOW_READS, &run.concat())
    };
    assert!(own(&[(0, has(0, 1)), (0, has(1, 2))], true));
    assert!(!own(&[(0, has(1, 2))], true) && !own(&[], true));
    assert!(own(&[], false), "an aborted one has no write");
}
