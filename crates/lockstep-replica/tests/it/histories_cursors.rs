//! A history is founded on what is left of another one: where a reader goes on that begins behind it, by a
//! cursor, in a journal, or at a seq (LINEAGE-2, S4).

use super::histories::{LATER, MS, founder, hear_of};
use super::replayed::{reader_of_journals, replay_item_of};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::replay::ReplayStep;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::log::Log;
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::*;

/// S4: the founder is a quorum by itself, and its sight of a frame counts.
#[test]
fn s4_a_reader_that_was_to_begin_behind_the_end_of_the_later_history_takes_no_more_than_it_has_for_final() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let mut later = log.before(4);
    log.commit_next = 4;
    log.push(&["b", "c", "d", "e"]);
    let mut reader = Reader::new(Delivery::Committed, Start::From(7));
    hear_of(&mut reader, &mut log);
    later.found(founder(2), LATER);
    later.begin(Epoch::new(later.epoch.round() + 1, founder(2)), &[MemberBody::full(founder(2), address(2))]);
    later.commit_next = later.end.next;
    hear_of(&mut reader, &mut later);
    assert_eq!(reader.subscriber.core.history(), LATER);
    let (final_next, end) = (reader.subscriber.core.commit_next(), later.end.next);
    assert!(final_next <= end, "everything below {final_next} is final, and the log ends at {end}");
    // It goes on where it was told to.
    for text in ["f", "g", "h"] {
        later.push(&[text]);
        later.commit_next = later.end.next;
        hear_of(&mut reader, &mut later);
    }
    assert_eq!(reader.messages(), ["g", "h"]);
}

fn journal_reader(start: Start) -> Reader {
    reader_of_journals(Delivery::Committed, start, vec![address(8)])
}

fn answer_of(history: u64, end: Option<ReplayEndReason>, next: Seq) -> Vec<u8> {
    replay_item_of(history, Kind::ReplayAnswer, end.map_or(0, |end| end as u32), next)
}

/// Behind the messages a and b another history is founded, and has c; with a cursor behind a.
fn founded_behind_b() -> (Log, Cursor) {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let cursor = Cursor { history: HISTORY, seq: log.end.next, chain: log.end.chain };
    log.push(&["b"]);
    log.found(founder(2), LATER);
    log.push(&["c"]);
    (log, cursor)
}

#[test]
fn lineage_2_a_cursor_of_a_former_history_is_taken_up_by_a_journal_of_the_later_one() {
    let (log, cursor) = founded_behind_b();
    let mut reader = journal_reader(Start::Cursor(cursor));
    // Nobody is heard: it asks a journal after a while.
    reader.wait(600 * MS);
    reader.step();
    let bytes = [answer_of(LATER, None, 4), log.frames[3..].concat()].concat();
    assert_eq!(reader.replay(&bytes), bytes.len());
    assert_eq!(reader.messages(), ["b", "c"]);
    assert!(reader.events.contains(&News::Founded(LATER, 5)), "{:?}", reader.events);
    assert_eq!(reader.subscriber.core.cursor().unwrap().history, LATER);
}

/// A learner's journal that is read follows into the later history while the connection stays.
#[test]
fn lineage_2_a_reader_goes_over_where_its_journal_does_and_ends_where_it_is_ahead() {
    let (log, cursor) = founded_behind_b();
    let answer = answer_of(HISTORY, None, 4);
    let mut reader = journal_reader(Start::Cursor(cursor));
    reader.wait(600 * MS);
    reader.step();
    reader.replay(&[answer.clone(), log.frames[3..].concat()].concat());
    assert_eq!(reader.messages(), ["b", "c"]);
    assert!(reader.events.contains(&News::Founded(LATER, 5)), "{:?}", reader.events);
    assert_eq!(reader.subscriber.core.history(), LATER);
    // It has the message behind which the history was founded, and one more.
    let mut ahead = journal_reader(Start::Cursor(Cursor { seq: 6, chain: 7, ..cursor }));
    ahead.wait(600 * MS);
    ahead.step();
    ahead.replay(&[answer, log.at(5)].concat());
    ahead.poll();
    assert_eq!(ahead.events.last(), Some(&News::Forgotten(LATER, 5, 6)));
}

#[test]
fn lineage_2_a_cursor_beyond_the_founding_is_refused_with_both_numbers() {
    let cursor = Cursor { history: HISTORY, seq: 9, chain: 7 };
    // By a journal.
    let mut reader = journal_reader(Start::Cursor(cursor));
    reader.wait(600 * MS);
    reader.step();
    reader.replay(&answer_of(LATER, Some(ReplayEndReason::BeyondCommit), 5));
    reader.poll();
    assert_eq!(reader.events, [News::Forgotten(LATER, 5, 9)]);
    assert!(reader.subscriber.core.is_ended());
    // And by the stream itself.
    let mut log = Log::begun(3);
    log.push(&["a", "b"]);
    log.found(founder(2), LATER);
    let mut reader = Reader::new(Delivery::Committed, Start::Cursor(cursor));
    hear_of(&mut reader, &mut log);
    assert_eq!(reader.events, [News::Forgotten(LATER, 5, 9)]);
}

/// The founder is down for a moment, and an archiver has not followed into the new history yet.
#[test]
fn lineage_2_a_journal_that_is_still_in_the_former_history_ends_no_reader_of_the_later_one() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    let cursor = Cursor { history: HISTORY, seq: log.end.next, chain: log.end.chain };
    log.found(founder(2), LATER);
    log.push(&["b"]);
    let (founders, archivers) = (address(8), address(9));
    let mut reader =
        reader_of_journals(Delivery::Committed, Start::Cursor(cursor), vec![founders, archivers]);
    let is_behind = answer_of(HISTORY, Some(ReplayEndReason::OtherHistory), 1);
    reader.wait(600 * MS);
    let (mut is_down, mut asked) = (false, 0);
    for _ in 0..400 {
        match reader.step() {
            Some(ReplayStep::Open(to)) if to == archivers => {
                asked += 1;
                reader.replay(&is_behind);
            }
            Some(ReplayStep::Open(_)) if is_down => reader.lose_replay(),
            Some(ReplayStep::Open(_)) => {
                let bytes = [answer_of(LATER, None, cursor.seq), log.frames[3..].concat()].concat();
                assert_eq!(reader.replay(&bytes), bytes.len());
                is_down = true;
                reader.lose_replay();
            }
            _ => {}
        }
        reader.wait(100 * MS);
    }
    assert!(is_down && asked > 20, "the archiver was asked {asked} times");
    assert_eq!(
        (reader.messages(), reader.subscriber.core.is_ended()),
        (vec!["b"], false),
        "{:?}",
        reader.events
    );
}

/// A node that was left behind answers as well, in the former history.
#[test]
fn lineage_2_the_history_that_a_cursor_lies_beyond_is_named_whichever_journal_answers_last() {
    let cursor = Cursor { history: HISTORY, seq: 9, chain: 7 };
    let beyond = answer_of(LATER, Some(ReplayEndReason::BeyondCommit), 5);
    let damaged = answer_of(HISTORY, Some(ReplayEndReason::Damaged), 1);
    for answers in [[&beyond, &damaged], [&damaged, &beyond]] {
        let mut reader =
            reader_of_journals(Delivery::Committed, Start::Cursor(cursor), vec![address(8), address(9)]);
        reader.wait(600 * MS);
        for answer in answers {
            while !matches!(reader.step(), Some(ReplayStep::Open(_))) {}
            assert_eq!(reader.replay(answer), answer.len());
        }
        reader.poll();
        assert_eq!(reader.events, [News::Forgotten(LATER, 5, 9)]);
    }
}

#[test]
fn lineage_2_a_cursor_at_the_founding_goes_on_only_behind_the_same_log() {
    let mut log = Log::begun(3);
    log.push(&["a", "b"]);
    let (next, chain) = (log.end.next, log.end.chain);
    log.found(founder(2), LATER);
    log.push(&["c"]);
    log.commit_next = log.end.next;
    for (own, goes_on) in [(chain, true), (chain ^ 1, false)] {
        let cursor = Cursor { history: HISTORY, seq: next, chain: own };
        let mut reader = Reader::new(Delivery::Committed, Start::Cursor(cursor));
        hear_of(&mut reader, &mut log);
        assert_eq!(reader.messages(), if goes_on { vec!["c"] } else { vec![] });
        assert_eq!(reader.subscriber.core.is_ended(), !goes_on, "{:?}", reader.events);
    }
}

#[test]
fn a_whole_replay_through_two_foundings_tells_of_both() {
    let mut log = Log::begun(3);
    log.push(&["a"]);
    log.found(founder(2), 0xb8);
    log.push(&["b"]);
    log.found(founder(3), LATER);
    log.push(&["c"]);
    let mut reader = journal_reader(Start::Oldest);
    reader.step();
    let bytes = [answer_of(LATER, None, 1), log.frames.concat()].concat();
    assert_eq!(reader.replay(&bytes), bytes.len());
    assert_eq!(reader.messages(), ["a", "b", "c"]);
    let founded: Vec<_> = reader.events.iter().filter(|event| matches!(event, News::Founded(..))).collect();
    assert_eq!(founded, [&News::Founded(0xb8, 4), &News::Founded(LATER, 6)]);
}
