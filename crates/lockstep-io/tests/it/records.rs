//! Counters and events: what a process leaves for others to read.

use lockstep_core::engine::counters::{CounterRow, Described};
use lockstep_core::engine::durations::Durations;
use lockstep_io::counters::{CountersFile, CountersReader};
use lockstep_io::event_ring::{EventRing, EventRingReader, RING_EVENTS};
use lockstep_testkit::child::{child_of, is_child_of};
use lockstep_wire::{EventRecord, EventRow};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Counters of these names.
fn counts(names: &[&'static str]) -> Vec<Described> {
    names.iter().map(|name| CounterRow::count(name, "How often.").into()).collect()
}

#[test]
fn counters_outlive_the_process_that_wrote_them() {
    const TEST: &str = "records::counters_outlive_the_process_that_wrote_them";
    if is_child_of(TEST) {
        let path = std::env::var("LOCKSTEP_TEST_PATH").unwrap();
        let labels = [("kind", "test")];
        let mut file =
            CountersFile::create(Path::new(&path), &labels, &counts(&["messages", "gaps"])).unwrap();
        file.publish(1_000, &[7, 0]);
        file.publish(2_000, &[u64::MAX - 1, 3]);
        println!("published");
        loop {
            std::thread::sleep(Duration::from_millis(100)); // until the parent kills us
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters");
    let mut writer = child_of(TEST).env("LOCKSTEP_TEST_PATH", &path).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("published")), "the child ended early");
    let alive = CountersReader::open(&path).unwrap();
    assert_eq!(alive.values(), [u64::MAX - 1, 3]);
    writer.kill().unwrap();
    writer.wait().unwrap();
    let dead = CountersReader::open(&path).unwrap();
    assert_eq!(
        (dead.rows(), dead.label("kind"), dead.label("name")),
        (&*counts(&["messages", "gaps"]), Some("test"), None)
    );
    assert_eq!((dead.value("gaps"), dead.value("nosuch"), dead.pid()), (Some(3), None, writer.id()));
    assert_eq!((alive.values(), dead.started_at()), (dead.values(), alive.started_at()));
    assert_eq!(dead.published_at(), 2_000);
}

#[test]
fn a_histogram_lies_between_other_counters_with_all_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters");
    let mut rows = counts(&["before", "behind"]);
    rows.insert(1, CounterRow::histogram("repair_ns", "How long.").labelled("line=\"a\""));
    let mut durations = Durations::default();
    durations.add(1_000);
    let values = [&[7], &durations.words()[..], &[9]].concat();
    CountersFile::create(&path, &[], &rows).unwrap().publish(1, &values);
    let reader = CountersReader::open(&path).unwrap();
    assert_eq!((reader.rows(), reader.values()), (&*rows, values));
    assert_eq!((reader.value("before"), reader.value("behind")), (Some(7), Some(9)));
    assert_eq!(reader.durations("repair_ns{line=\"a\"}"), Some(durations));
    assert_eq!((reader.value("repair_ns{line=\"a\"}"), reader.durations("before")), (None, None));
}

#[test]
fn a_new_counters_file_leaves_the_readers_of_the_old_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters");
    let mut first = CountersFile::create(&path, &[], &counts(&["a", "b", "c"])).unwrap();
    first.publish(1, &[1, 2, 3]);
    let reader = CountersReader::open(&path).unwrap();
    let _second = CountersFile::create(&path, &[], &counts(&["a"])).unwrap();
    assert_eq!(reader.values(), [1, 2, 3]);
    assert_eq!(CountersReader::open(&path).unwrap().values(), [0]);
}

#[test]
fn a_counters_file_that_is_none_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counters");
    let refusal = || CountersReader::open(&path).err().unwrap().to_string();
    assert!(refusal().contains(&path.display().to_string()));
    for (bytes, reason) in [(vec![0; 10], "shorter than its header"), (vec![0; 4096], "no counters file")] {
        std::fs::write(&path, bytes).unwrap();
        assert!(refusal().contains(reason), "{}", refusal());
    }
    CountersFile::create(&path, &[], &counts(&["a", "b"])).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(refusal().contains("too few for its table"), "{}", refusal());
    // A version, a kind that is none, and letters that are none.
    for (at, byte, reason) in
        [(8, 1, "its layout is 1, this release reads 2"), (64, b'x', "damaged"), (70, 0xff, "damaged")]
    {
        let mut changed = whole.clone();
        changed[at] = byte;
        std::fs::write(&path, changed).unwrap();
        assert!(refusal().contains(reason), "{}", refusal());
    }
    let tab = CounterRow::count("a\tb", "");
    let refused = CountersFile::create(&path, &[], &[tab.into()]).err().unwrap().to_string();
    assert!(refused.contains("a tab or a new line ends a field"), "{refused}");
}

#[test]
fn pages_of_a_ring_have_each_event_once_and_tell_when_it_has_wrapped() {
    let ring = EventRing::in_memory();
    let total = RING_EVENTS as u64 + 10;
    (0..total).for_each(|a| ring.record(a, &EventRecord { a, ..EventRecord::default() }));
    let (mut before, mut seen) = (u64::MAX, Vec::new());
    loop {
        let mut rows = [EventRow::default(); 9];
        let page = ring.page(before, &mut rows);
        assert_eq!((page.span.oldest, page.span.next), (10, total));
        assert!(rows[..page.count].iter().all(|row| (row.number, row.wall) == (row.record.a, row.record.a)));
        seen.extend(rows[..page.count].iter().map(|row| row.number));
        if page.from == page.span.oldest {
            break;
        }
        before = page.from;
    }
    assert!(seen.iter().rev().copied().eq(10..total), "newest first, none twice");
    let mut none = [EventRow::default(); 9];
    assert_eq!(ring.page(3, &mut none).count, 0, "below the oldest there is nothing");
}

#[test]
fn a_file_that_is_no_file_of_events_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.events");
    let refusal = || EventRingReader::open(&path).err().unwrap().to_string();
    assert!(refusal().contains(&path.display().to_string()));
    drop(EventRing::create(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    for (at, byte, reason) in
        [(0, b'x', "no file of events"), (8, 9, "its layout is 9, this release reads 1"), (13, 0, "0 slots")]
    {
        let mut changed = whole.clone();
        changed[at] = byte;
        std::fs::write(&path, changed).unwrap();
        assert!(refusal().contains(reason), "{}", refusal());
    }
    for (bytes, reason) in [(&whole[..100], "shorter than its header"), (&whole[..4_000], "do not fit")] {
        std::fs::write(&path, bytes).unwrap();
        assert!(refusal().contains(reason), "{}", refusal());
    }
}
