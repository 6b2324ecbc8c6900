//! The report of losses, from what a reader reports.

use super::*;

const LEADER: Identity = Identity { replica: 1, incarnation: 7 };
const STANDBY: Identity = Identity { replica: 2, incarnation: 8 };

/// A reader that holds everything below 100, at the time 1 ms, and has looked all the time.
fn reader() -> Losses {
    let mut losses = Losses::default();
    losses.measure();
    losses.on_turn(1_000_000);
    losses.look(1_000_000, 0, Some(100));
    losses
}

fn last(losses: &Losses) -> Loss {
    losses.recent().next().expect("a loss")
}

/// The value called `name` as the counters file has it.
fn value(losses: &Losses, name: &str) -> u64 {
    let mut values = Vec::new();
    losses.values(&mut values);
    let rows: Vec<_> = Losses::rows().collect();
    assert_eq!(values.len(), rows.iter().map(|row| row.kind.values()).sum::<usize>());
    let at = rows.iter().position(|row| row.name == name).expect("a name");
    values[rows[..at].iter().map(|row| row.kind.values()).sum::<usize>()]
}

#[test]
fn a_stream_without_a_hole_has_no_loss() {
    let mut losses = reader();
    for seq in 100..200 {
        losses.on_frame(1_000_100, seq, seq + 1, None, LEADER);
        losses.on_seen(1_000_100, seq + 1);
        losses.look(1_000_100, 5, Some(seq + 1));
    }
    assert_eq!((value(&losses, "loss_gaps"), losses.recent().count()), (0, 0));
}

#[test]
fn a_hole_is_told_with_its_seqs_its_repairer_and_its_time() {
    let mut losses = reader();
    losses.on_frame(1_000_100, 103, 105, None, LEADER);
    losses.look(1_000_100, 0, None);
    assert_eq!(losses.open(), 1);
    losses.on_frame(1_150_100, 100, 103, Some(STANDBY), LEADER);
    let closed = GapEnd::Repaired(STANDBY);
    let (at, cause) = (1_000_100, Cause::Line);
    assert_eq!(last(&losses), Loss { at, from: 100, entries: 3, cause, closed, took_ns: 150_000 });
    let counted = ["loss_gaps", "loss_entries", "loss_open", "loss_by_line", "loss_repaired_by_others"];
    assert_eq!(counted.map(|name| value(&losses, name)), [1, 3, 0, 1, 1]);
    let took = losses.sums.took.as_ref().expect("measured");
    assert_eq!((took.sum(), took.count(), value(&losses, "loss_repair_max_ns")), (150_000, 1, 150_000));
    let by = Identity::from_packed(value(&losses, "recent_loss_by{place=\"0\"}"));
    assert_eq!(
        (
            value(&losses, "recent_loss_from{place=\"0\"}"),
            value(&losses, "recent_loss_closed{place=\"0\"}"),
            by
        ),
        (100, 2, STANDBY)
    );
}

#[test]
fn a_lost_tail_shows_by_the_heartbeat_and_the_leader_is_told_apart_from_other_repairers() {
    let mut losses = reader();
    losses.on_seen(1_000_100, 101);
    losses.look(1_000_100, 0, None);
    losses.on_frame(1_000_200, 100, 101, Some(LEADER), LEADER);
    assert_eq!(
        (value(&losses, "loss_repaired_by_leader"), value(&losses, "loss_repaired_by_others")),
        (1, 0)
    );
}

#[test]
fn drops_of_a_reader_that_looked_are_the_sockets_and_of_one_that_was_away_its_stalls() {
    for (away_ns, cause) in [(100, Cause::Socket), (STALL_NS + 1, Cause::Stall)] {
        let mut losses = reader();
        let now = 1_000_000 + away_ns;
        losses.on_turn(now);
        losses.on_frame(now, 110, 111, None, LEADER);
        losses.look(now, 3, None);
        // Later drops are of later holes.
        losses.look(now + 10, 9, None);
        losses.on_frame(now + 20, 100, 110, Some(STANDBY), LEADER);
        assert_eq!(last(&losses).cause, cause);
    }
    let mut losses = reader();
    losses.on_turn(3_000_000);
    losses.on_frame(3_000_000, 110, 111, None, LEADER);
    losses.look(3_000_000, 0, None);
    losses.on_frame(3_000_010, 100, 110, None, LEADER);
    assert_eq!(last(&losses).cause, Cause::Line, "a stall in which nothing overflowed lost nothing");
}

#[test]
fn what_a_repairer_lacks_too_was_not_sent_or_lost_for_all() {
    let mut losses = reader();
    losses.on_seen(1_000_100, 102);
    losses.look(1_000_100, 0, None);
    losses.on_ahead();
    losses.on_frame(1_000_200, 100, 102, Some(LEADER), LEADER);
    assert_eq!(last(&losses).cause, Cause::Unsent);
}

#[test]
fn what_comes_late_by_itself_is_no_repair() {
    let mut losses = reader();
    losses.on_frame(1_000_100, 101, 102, None, LEADER);
    losses.on_frame(1_000_100, 100, 101, None, LEADER);
    losses.look(1_000_100, 0, Some(102));
    assert_eq!((last(&losses).closed, value(&losses, "loss_came_late")), (GapEnd::Late, 1));
}

#[test]
fn a_hole_that_is_filled_from_both_ends_or_the_middle_is_one_loss() {
    for order in [[100, 101, 102], [102, 101, 100], [101, 100, 102], [101, 102, 100]] {
        let mut losses = reader();
        losses.on_seen(1_000_100, 103);
        losses.look(1_000_100, 0, None);
        for seq in order {
            assert!(losses.open() > 0);
            losses.on_frame(1_000_200, seq, seq + 1, Some(STANDBY), LEADER);
        }
        assert_eq!((losses.open(), losses.recent().count()), (0, 1), "{order:?}");
        assert_eq!((last(&losses).from, last(&losses).entries), (100, 3));
    }
}

#[test]
fn the_way_into_the_stream_is_no_loss_and_neither_is_what_a_leader_does_not_hear() {
    let mut losses = Losses::default();
    losses.on_frame(10, 500, 501, None, LEADER);
    losses.look(10, 0, None);
    losses.on_frame(20, 1, 500, Some(STANDBY), LEADER);
    losses.look(20, 0, Some(501));
    losses.leave();
    losses.on_frame(30, 900, 901, None, LEADER);
    losses.look(30, 0, None);
    assert_eq!((losses.open(), value(&losses, "loss_gaps")), (0, 0));
}

#[test]
fn what_a_new_epoch_does_without_is_gone_and_not_repaired() {
    let mut losses = reader();
    losses.on_seen(1_000_100, 103);
    losses.look(1_000_100, 0, None);
    losses.look(1_000_200, 0, Some(100));
    assert_eq!((last(&losses).closed, value(&losses, "loss_gone")), (GapEnd::Gone, 1));
    losses.on_frame(1_000_300, 100, 101, None, LEADER);
    assert_eq!(value(&losses, "loss_gaps"), 1, "the seqs of the new epoch begin again there");
}

#[test]
fn holes_are_bounded_and_none_is_forgotten() {
    let mut losses = reader();
    let count = 3 * HOLES_MAX as u64;
    for index in 0..count {
        let seq = 101 + 2 * index;
        losses.on_frame(1_000_100, seq, seq + 1, None, LEADER);
    }
    assert_eq!((losses.open(), value(&losses, "loss_gaps")), (HOLES_MAX, count));
    assert_eq!(value(&losses, "loss_entries"), count);
    losses.on_frame(1_000_200, 100, 101 + 2 * count, Some(STANDBY), LEADER);
    assert_eq!((losses.open(), losses.recent().count()), (0, RECENT));
}

#[test]
fn two_readers_that_lost_differently_are_equal_to_whoever_compares_states() {
    assert_eq!(reader(), Losses::default());
}

#[test]
fn forged_ends_at_the_end_of_u64_fill_the_count_and_no_more() {
    let mut losses = reader();
    for at in 1..4 {
        losses.on_seen(at * 1_000_000, u64::MAX);
        losses.look(at * 1_000_000, 0, Some(100));
    }
    assert_eq!((value(&losses, "loss_gaps"), value(&losses, "loss_entries")), (3, u64::MAX));
}
