//! A segment that should be there and is not, or what is derived from one, is named: the first, one in the
//! middle, the last, several, all. What retention removed is not missed.

use super::*;
use crate::journal::ports::Store;
use crate::journal::read::numbers;
use crate::journal::side::{Inputs, SideEvent, SideSettings, SideStep, SideThread};
use crate::journal::walk::read_header;
use crate::journal::{Damage, ExpectedSegments, Gone, Retention, gone, verify};

/// Six segments and more.
fn grown() -> Journal {
    let mut journal = Journal::begun_with(Settings { segment_len: 64 << 10, ..settings() });
    journal.grow(420, 1, 1_000);
    journal.drain();
    assert!(journal.opened.writer.number() >= 6);
    journal
}

/// The same with its oldest two segments removed by retention.
fn retained() -> Journal {
    let mut journal = grown();
    let (last, end) = (journal.opened.writer.number(), journal.end());
    let sealed: u64 = (3..last).map(|number| journal.store.len(FileName::Segment(number)).unwrap()).sum();
    let removed = journal.retain(Retention { bytes_max: sealed, age_ns_max: 0 }, end.next, false).removed;
    assert_eq!(removed, [1, 2]);
    journal
}

fn remove(store: &mut MemoryStore, files: &[FileName]) {
    for file in files {
        store.remove(*file).unwrap();
    }
}

fn files(number: u64) -> [FileName; 3] {
    [FileName::Segment(number), FileName::Index(number), FileName::Checkpoint(number)]
}

fn first_seq(store: &MemoryStore, number: u64) -> Seq {
    read_header(store, number).unwrap().unwrap().first_seq
}

fn named(found: &[Damage]) -> Vec<(String, Seq)> {
    found.iter().map(|one| (one.file.clone(), one.seq)).collect()
}

#[test]
fn a_segment_that_is_gone_is_named_with_its_seqs_wherever_it_was_and_whatever_else_is_gone_with_it() {
    for (journal, oldest) in [(grown(), 1), (retained(), 3)] {
        let (last, end) = (journal.opened.writer.number(), journal.end());
        let (store, _) = journal.stop();
        assert_eq!(verify(&store).unwrap().damage, []);
        let firsts: Vec<Seq> = (oldest..=last).map(|number| first_seq(&store, number)).collect();
        let first_of = |number: u64| firsts.get((number - oldest) as usize).copied().unwrap_or(end.next);
        for (first, to) in [
            (oldest, oldest),
            (oldest, oldest + 1),
            (oldest + 1, oldest + 1),
            (oldest + 1, oldest + 2),
            (last - 1, last - 1),
            (last, last),
            (last - 1, last),
            (oldest, last),
        ] {
            for with_derived in [false, true] {
                let mut store = store.clone();
                for number in first..=to {
                    let gone = files(number);
                    let count = if with_derived && number < last { 3 } else { 1 };
                    remove(&mut store, &gone[..count]);
                }
                let found = verify(&store).unwrap().damage;
                let shown = format!("{first}..={to}, derived {with_derived}: {found:?}");
                let place = (FileName::Segment(first).to_string(), first_of(first));
                assert!(named(&found).contains(&place), "{shown}");
                let seqs = format!("seqs {} to {}", first_of(first), first_of(to + 1) - 1);
                assert!(found.iter().any(|one| one.what.contains(&seqs)), "{seqs}: {shown}");
            }
        }
    }
}

#[test]
fn an_index_or_a_checkpoint_that_is_gone_is_named_and_that_of_the_newest_segment_was_never_there() {
    let journal = retained();
    let last = journal.opened.writer.number();
    let (store, _) = journal.stop();
    for number in 3..last {
        for file in [FileName::Index(number), FileName::Checkpoint(number)] {
            let mut store = store.clone();
            remove(&mut store, &[file]);
            let found = verify(&store).unwrap().damage;
            assert_eq!(named(&found), [(file.to_string(), first_seq(&store, number))]);
            assert!(found[0].what.starts_with("the file is gone"), "{}", found[0]);
        }
    }
    // The tables with which the oldest segment begins: nothing else has them.
    let mut store = store.clone();
    remove(&mut store, &[FileName::Checkpoint(2)]);
    let found = verify(&store).unwrap().damage;
    assert_eq!(named(&found), [(FileName::Checkpoint(2).to_string(), first_seq(&store, 3))]);
}

#[test]
fn how_far_retention_went_is_recorded_before_it_removes_anything() {
    let mut journal = grown();
    let (end, before) = (journal.end(), journal.store.clone());
    let removed = journal.retain(Retention { bytes_max: 1, age_ns_max: 0 }, end.next, false).removed;
    assert_eq!(journal.opened.superblock.oldest_number, removed.last().unwrap() + 1);
    // Killed between any two removals, nothing is missed.
    let after = journal.store.clone();
    for upto in 0..=removed.len() {
        let mut store = before.clone();
        let superblock = after.clone().file_mut(FileName::Superblock).unwrap().clone();
        *store.file_mut(FileName::Superblock).unwrap() = superblock;
        remove(
            &mut store,
            &removed[..upto].iter().map(|number| FileName::Segment(*number)).collect::<Vec<_>>(),
        );
        let expected = ExpectedSegments::of(&journal.opened.superblock);
        assert_eq!(gone(&store, expected).unwrap(), []);
    }
    // A journal of a release that did not record it counts what it has.
    let mut store = before;
    remove(&mut store, &files(1));
    assert_eq!(gone(&store, ExpectedSegments::default()).unwrap(), []);
    let first = Gone { first: 1, last: 1, from: 1, to_next: first_seq(&store, 2) };
    assert_eq!(gone(&store, ExpectedSegments { oldest: 1, ..Default::default() }).unwrap(), [first]);
}

#[test]
fn a_trim_accepts_what_is_gone_at_the_beginning_and_nothing_else() {
    let mut journal = grown();
    remove(&mut journal.store, &files(1));
    remove(&mut journal.store, &files(3));
    let (second, third) = (first_seq(&journal.store, 2), first_seq(&journal.store, 4));
    let OpenedJournal { writer, superblock, .. } = &mut journal.opened;
    assert_eq!(
        writer.accept_gone(&mut journal.store, superblock, second - 1).unwrap(),
        None,
        "not all of it"
    );
    let accepted = writer.accept_gone(&mut journal.store, superblock, Seq::MAX).unwrap().unwrap();
    assert_eq!((accepted.first, accepted.last, accepted.to_next), (1, 1, second));
    assert_eq!(writer.accept_gone(&mut journal.store, superblock, Seq::MAX).unwrap(), None, "2 is there");
    let left = gone(&journal.store, ExpectedSegments::of(superblock)).unwrap();
    assert_eq!(left.iter().map(|gone| (gone.first, gone.to_next)).collect::<Vec<_>>(), [(3, third)]);
}

/// Turns of a side thread, a second apart.
fn turns(
    side: &mut SideThread,
    store: &mut MemoryStore,
    memory: &mut MemoryTail,
    now: &mut Nanos,
) -> Vec<SideEvent> {
    let mut events = Vec::new();
    for _ in 0..40 {
        *now += 1_000_000_000;
        let next = side.turn(store, memory, &Inputs { now: *now, ..Inputs::default() }, &mut events);
        assert!(!matches!(next, SideStep::Failed(_)), "{next:?}");
    }
    events
}

#[test]
fn a_node_names_what_vanishes_while_it_runs_until_it_is_back_and_computes_what_is_derived_anew() {
    let Journal { mut store, opened } = grown();
    let last = opened.writer.number();
    let mut side = SideThread::new(opened.writer, opened.superblock, SideSettings::new(false));
    let (mut memory, mut now) = (opened.tail.into_memory(), 0);
    assert_eq!(turns(&mut side, &mut store, &mut memory, &mut now), []);
    for number in [1, 3, last] {
        let whole = store.clone();
        remove(&mut store, &[FileName::Segment(number)]);
        let seq = first_seq(&whole, number);
        let events = turns(&mut side, &mut store, &mut memory, &mut now);
        let named = |event: &SideEvent| matches!(event, SideEvent::Damaged(one) if one.file == FileName::Segment(number).to_string());
        assert_eq!(events.iter().filter(|event| named(event)).count(), 1, "{number}: {events:?}");
        assert_eq!(side.damaged(), (1, seq), "{number}");
        let bytes = whole.clone().file_mut(FileName::Segment(number)).unwrap().clone();
        store.replace(FileName::Segment(number), &bytes).unwrap();
        let events = turns(&mut side, &mut store, &mut memory, &mut now);
        assert!(!events.is_empty() && side.damaged().0 == 0, "{number}: {events:?}");
    }
    let whole = store.clone();
    remove(&mut store, &[FileName::Index(2), FileName::Checkpoint(2), FileName::Index(4)]);
    let events = turns(&mut side, &mut store, &mut memory, &mut now);
    let derived = [FileName::Index(2), FileName::Checkpoint(2), FileName::Index(4)].map(SideEvent::Derived);
    assert_eq!(events, derived);
    for number in [2, 4] {
        for file in &files(number)[1..] {
            assert_eq!(store.file_mut(*file), whole.clone().file_mut(*file), "{file}");
        }
    }
}

#[test]
fn a_node_names_the_tables_of_what_was_removed_that_vanish_until_they_are_back_and_serves_the_rest() {
    let Journal { mut store, opened } = retained();
    let oldest = numbers(&store).unwrap()[0];
    let mut side = SideThread::new(opened.writer, opened.superblock, SideSettings::new(false));
    let (mut memory, mut now) = (opened.tail.into_memory(), 0);
    assert_eq!(turns(&mut side, &mut store, &mut memory, &mut now), []);
    let base = FileName::Checkpoint(oldest - 1);
    let bytes = store.file_mut(base).unwrap().clone();
    remove(&mut store, &[base]);
    let events = turns(&mut side, &mut store, &mut memory, &mut now);
    let [SideEvent::Damaged(damage)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((damage.file.clone(), side.damaged()), (base.to_string(), (1, first_seq(&store, oldest))));
    assert!(!side.written().damaged.contains(oldest), "its own bytes are whole");
    assert_eq!(named(&verify(&store).unwrap().damage), [(base.to_string(), first_seq(&store, oldest))]);
    store.replace(base, &bytes).unwrap();
    let events = turns(&mut side, &mut store, &mut memory, &mut now);
    assert_eq!((events, side.damaged()), (vec![SideEvent::Back(base)], (0, 0)));
}

/// S4: retention removes what is committed. Other hands may remove more, and a node that begins behind it
/// calls nothing of that committed.
#[test]
fn s4_what_retention_has_removed_is_committed_and_what_is_gone_otherwise_need_not_be() {
    let (mut store, _) = grown().stop();
    remove(&mut store, &[FileName::Segment(1)]);
    let oldest = numbers(&store).unwrap()[0];
    assert!(oldest > 1 && first_seq(&store, oldest) > 1);
    assert_eq!(inspected(&store, None, settings()).removed_next(), 1);

    let (store, _) = retained().stop();
    let oldest = numbers(&store).unwrap()[0];
    assert!(oldest > 1);
    assert_eq!(inspected(&store, None, settings()).removed_next(), first_seq(&store, oldest));
}

/// By `power` a journal whose node is down lacks its newest segment, and then the machine loses the tail: the
/// segment is missed all the same. At each turn of a node whose segments roll, and whose store fails.
#[test]
fn s9_the_newest_segment_that_is_gone_is_missed_behind_a_power_cut_once_acks_rest_on_it() {
    let settings = Settings { segment_len: 64 << 10, power: true, ..settings() };
    let rebooted = Settings { boot: [8, 8], ..settings };
    let Journal { mut store, opened } = Journal::begun_with(settings);
    let mut tail = opened.tail;
    let mut side = SideThread::new(opened.writer, opened.superblock, SideSettings::new(true));
    let (mut remarks, mut tried) = (Vec::new(), 0);
    for turn in 1..=400 {
        let bytes = messages(&tail.end(), 1, 1_000);
        tail.append(&FrameView::from_prefix(&bytes).unwrap()).unwrap();
        store.set_unlisted(turn % 7 == 0);
        let inputs = Inputs { now: turn * 1_000_000, ..Inputs::default() };
        side.turn(&mut store, tail.memory_mut(), &inputs, &mut remarks);
        store.set_unlisted(false);
        let durable = word(&mut tail, Word::DurableSeq);
        let mut left = store.clone();
        let Some(newest) = numbers(&left).unwrap().last().copied() else { continue };
        if durable <= first_seq(&left, newest) {
            continue;
        }
        tried += 1;
        assert!(is_complete(&inspected(&left, None, rebooted)), "{turn}");
        left.remove(FileName::Segment(newest)).unwrap();
        let found = inspected(&left, None, rebooted);
        assert!(!is_complete(&found), "turn {turn}: everything below {durable} was acknowledged, {found:?}");
        let named = gone(&left, ExpectedSegments::of(found.superblock())).unwrap();
        assert_eq!(named.last().map(|gone| gone.last), Some(newest), "turn {turn}: {named:?}");
    }
    assert!(side.superblock().run.begun_to >= 5 && tried > 300, "{tried} turns, {:?}", side.superblock());
}

/// Behind retention a log begins with the tables of the newest segment that went. While these are gone that
/// segment stays, and they can be computed anew.
#[test]
fn retention_removes_no_segment_from_which_tables_that_are_gone_can_be_computed_anew() {
    for gone in [1, 2, 3] {
        let mut journal = grown();
        let (last, end, whole) = (journal.opened.writer.number(), journal.end(), journal.store.clone());
        let bytes = (4..last).map(|number| whole.len(FileName::Segment(number)).unwrap()).sum();
        let limits = Retention { bytes_max: bytes, age_ns_max: 0 };
        remove(&mut journal.store, &[FileName::Checkpoint(gone)]);
        let removed = journal.retain(limits, end.next, true).removed;
        let expected: &[u64] = if gone == 3 { &[1, 2] } else { &[1, 2, 3] };
        assert_eq!(removed, expected, "checkpoint {gone}");
        if gone == 3 {
            assert!(crate::journal::derived::derive(&mut journal.store, 3).unwrap().is_ok());
            assert_eq!(journal.retain(limits, end.next, true).removed, [3]);
        }
        let (store, _) = journal.stop();
        assert_eq!(verify(&store).unwrap().damage, [], "checkpoint {gone}");
    }
}

/// A founder's first segment may hold the birth of its history, and no epoch. No node can begin behind that.
#[test]
fn what_retention_leaves_is_a_checkpoint_with_which_a_node_can_begin() {
    let limits = Retention { bytes_max: 1, age_ns_max: 0 };
    let mut journal = Journal::fresh_with(Settings { segment_len: 64 << 10, ..settings() });
    journal.append(&epoch_start(&journal.end(), epoch(0), 3));
    let (store, _) = journal.stop();
    let settings = Settings { segment_len: 64 << 10, ..settings() };
    let mut journal = Journal::open(store, MemoryTail::new(RING_LEN), settings);
    journal.append(&epoch_start(&journal.end(), epoch(1), 3));
    journal.append(&publisher_open(&journal.end(), 1, "gateway"));
    journal.drain();
    assert_eq!((numbers(&journal.store).unwrap(), first_seq(&journal.store, 2)), (vec![1, 2], 2));
    let end = journal.end();
    assert_eq!(journal.retain(limits, end.next, false).removed, []);
    while journal.opened.writer.number() < 3 {
        journal.grow(20, 1, 1_000);
        journal.drain();
    }
    let end = journal.end();
    assert_eq!(journal.retain(limits, end.next, false).removed, [1, 2]);
}
