//! The recorder of events: its ring, its file, its log and its dumps.

use crate::KINDS;
use lockstep_io::clock::{Clock, Utc};
use lockstep_io::event_ring::{EventRing, EventRingReader, RING_EVENTS, beside, previous};
use lockstep_process::events::Recorder;
use lockstep_testkit::child::{child_of, is_child_of, printed};
use lockstep_wire::EventRecord;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

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
