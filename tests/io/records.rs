//! Counters and events: what a process leaves for others to read.

use crate::{KINDS, child_of, is_child_of, printed};
use lockstep_core::engine::counters::{CounterRow, Described};
use lockstep_core::engine::durations::Durations;
use lockstep_io::clock::{Clock, Utc};
use lockstep_io::counters::{CountersFile, CountersReader};
use lockstep_io::event_ring::{EventRing, EventRingReader, RING_EVENTS, beside, previous};
use lockstep_process::events::Recorder;
use lockstep_wire::{EventRecord, EventRow};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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
fn the_flight_recorder_keeps_the_newest_events_in_order() {
    let recorder = Recorder::new(KINDS, 16);
    let total = RING_EVENTS as u64 + 100;
    for a in 0..total {
        recorder.record(EventRecord { code: 1001, a, e: 2, ..EventRecord::default() });
    }
    recorder.record(EventRecord { code: 77, b: 5, ..EventRecord::default() });
    let recent = recorder.recent();
    assert_eq!(recent.len(), RING_EVENTS);
    assert!(recent[..RING_EVENTS - 1].iter().map(|row| row.record.a).eq(101..total));
    assert_eq!(recorder.dropped(), total + 1 - 16, "nobody emptied the queue");
    let text = recorder.recent_text();
    assert!(text.contains(&format!("Z  INFO epoch {} by 2 code=LS1001 at_ns=0\n", total - 1)), "{text}");
    assert!(
        text.ends_with("Z  WARN an event without text: a=0 b=5 c=0 d=0 e=0 small=0 code=LS0077 at_ns=0\n")
    );
}

#[test]
fn the_flight_recorder_prints_the_times_of_the_log() {
    let recorder = Recorder::new(KINDS, 16);
    let clock = Clock::start();
    let at = clock.now();
    recorder.record(EventRecord { at, code: 1001, ..EventRecord::default() });
    let text = recorder.recent_text();
    let line = text.lines().last().expect("an event");
    // To the second: the wall clock may be slewed between two readings.
    let second = Utc(clock.wall(at)).to_string()[..17].to_owned();
    assert!(line.starts_with(&second) && line.ends_with(&format!("at_ns={at}")), "{second} {line}");
}

#[test]
fn events_of_many_threads_are_read_whole_while_they_are_written() {
    let recorder = Recorder::new(KINDS, 16);
    let (done, checked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                for event in recorder.recent().into_iter().map(|row| row.record) {
                    assert_eq!((event.b, event.c, event.at), (event.a, event.a, event.a), "a torn event");
                    checked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let writer = |from: u64| {
            let recorder = &recorder;
            move || {
                for a in from..from + 100_000 {
                    recorder.record(EventRecord {
                        at: a,
                        a,
                        b: a,
                        c: a,
                        code: 1001,
                        ..EventRecord::default()
                    });
                }
            }
        };
        let writers = [scope.spawn(writer(0)), scope.spawn(writer(1 << 40))];
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        while checked.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn a_file_of_events_is_read_beside_its_writer_and_after_it_and_the_one_before_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = beside(&folder.path().join("lockstep-7-1.counters"));
    assert_eq!(path.file_name().unwrap(), "lockstep-7-1.events");
    let recorder = Recorder::new(KINDS, 16);
    let (clock, at) = (Clock::start(), Clock::start().now());
    let event = |a| EventRecord { at, code: 1001, a, e: 3, ..EventRecord::default() };
    recorder.record(event(0));
    recorder.store_in(&path).unwrap();
    let reader = EventRingReader::open(&path).unwrap();
    let numbers = |reader: &EventRingReader| -> Vec<_> {
        reader.rows().iter().map(|row| (row.number, row.record.a)).collect()
    };
    assert_eq!(numbers(&reader), [(0, 0)], "what was recorded before there was a file");
    recorder.record(event(1));
    assert_eq!((reader.pid(), numbers(&reader)), (std::process::id(), vec![(0, 0), (1, 1)]));
    let row = reader.rows()[1];
    assert_eq!(row.record, event(1));
    assert!(row.wall.abs_diff(clock.wall(at)) < 1_000_000_000, "{} {}", row.wall, clock.wall(at));
    assert!(recorder.store_in(&path).is_err(), "a process has one file");

    drop(recorder);
    let first = EventRingReader::open(&previous(&path)).unwrap();
    assert_eq!((numbers(&first), first.span()), (vec![(0, 0), (1, 1)], reader.span()));
    let second = EventRing::create(&path).unwrap();
    second.record(7, &event(5));
    let after = EventRingReader::open(&path).unwrap();
    assert_eq!(numbers(&after), [(0, 5)]);
    assert!(after.span().id != reader.span().id && after.started_at() >= reader.started_at());
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

/// Collects what `tracing` writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_event_becomes_a_log_line_with_its_code_and_lost_ones_are_said() {
    const TEST: &str = "records::each_event_becomes_a_log_line_with_its_code_and_lost_ones_are_said";
    if !is_child_of(TEST) {
        // In a child, since a subscriber of all threads is one per process.
        let output = child_of(TEST).output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
        return;
    }
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let recorder = Recorder::new(KINDS, 8);
    for a in 0..10 {
        recorder.record(EventRecord { code: 1001, a, e: 3, at: 5, ..EventRecord::default() });
    }
    let log = recorder.start_log().unwrap();
    drop(log); // formats what is queued
    let bytes = lines.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), 9, "{text}");
    assert!(text.lines().all(|line| line.contains("INFO") || line.contains("LS0001")), "{text}");
    assert!(text.contains("epoch 7 by 3 code=LS1001 at_ns=5"), "{text}");
    assert!(text.contains("2 events were lost") && !text.contains("epoch 8"), "{text}");
}

#[test]
fn the_recorder_is_dumped_on_sigusr1_and_on_a_panic() {
    const TEST: &str = "records::the_recorder_is_dumped_on_sigusr1_and_on_a_panic";
    if is_child_of(TEST) {
        let recorder = Recorder::new(KINDS, 64);
        recorder.dump_on_panic();
        let log = recorder.start_log().unwrap();
        recorder.record(EventRecord { code: 1001, a: 41, ..EventRecord::default() });
        signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
        drop(log); // the side thread looks once more before it ends
        recorder.record(EventRecord { code: 1002, a: 42, ..EventRecord::default() });
        panic!("the invariant that broke");
    }
    let output = child_of(TEST).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let dumps: Vec<&str> = text.split("flight recorder: ").skip(1).collect();
    assert_eq!(dumps.len(), 2, "{text}");
    assert!(
        dumps[0].starts_with("the last 1 events") && dumps[0].contains("INFO epoch 41 by 0 code=LS1001"),
        "{text}"
    );
    assert!(dumps[1].contains("epoch 41") && dumps[1].contains("ERROR lost 42 code=LS1002"), "{text}");
    assert!(dumps[1].contains("the invariant that broke"), "the panic's own words stand behind: {text}");
}
