//! The folder: where files end, and what crashes, full disks and other settings do.

use super::memory::{Crash, MemoryFolder};
use super::{HISTORY, Sample, encoders, samples};
use crate::failure::USAGE;
use crate::file::encode::FileEncoder;
use crate::file::files::{FileLimits, FileTarget};
use crate::file::manifest::{FileSettings, MANIFEST};
use crate::target::{Target, TargetError};
use lockstep_client::Cursor;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LIMITS: FileLimits = FileLimits { rows: 16, bytes: 1_600 };

fn target(
    folder: &MemoryFolder,
    encoder: Box<dyn FileEncoder>,
    limits: FileLimits,
) -> FileTarget<MemoryFolder> {
    let settings: FileSettings = [("rows".to_owned(), limits.rows.to_string())].into();
    FileTarget::new("folder memory".into(), folder.clone(), (encoder, "x"), limits, settings)
}

fn cursor() -> Cursor {
    Cursor { history: HISTORY, seq: 1, chain: 1 }
}

/// One run of the bridge over the stream, as far as it comes; a commit behind every fourth message.
fn run(target: &mut FileTarget<MemoryFolder>, stream: &[Sample]) -> Result<(), TargetError> {
    let position = target.position()?.map_or(0, |position| position.seq);
    let rest = stream.iter().filter(|sample| sample.seq > position);
    for (index, sample) in rest.enumerate() {
        target.append(&sample.record())?;
        if index % 4 == 3 {
            target.commit(cursor())?;
        }
    }
    target.finish()
}

/// The files of a run that nothing interrupts.
fn whole(
    encoder: Box<dyn FileEncoder>,
    stream: &[Sample],
    limits: FileLimits,
) -> (BTreeMap<String, Vec<u8>>, usize) {
    let folder = MemoryFolder::default();
    run(&mut target(&folder, encoder, limits), stream).expect("a run");
    (folder.files(), folder.operations())
}

fn manifest(files: &BTreeMap<String, Vec<u8>>) -> serde_json::Value {
    serde_json::from_slice(&files[MANIFEST]).expect("JSON")
}

#[test]
fn a_message_that_a_format_has_no_place_for_is_left_out_and_counted_and_the_next_ones_are_written() {
    let mut stream = samples(10);
    (stream[3].payload, stream[4].payload, stream[6].payload) = (Vec::new(), vec![7; 65_536], Vec::new());
    let lengths = |bytes: &[u8]| -> Vec<usize> {
        let (mut at, mut lengths) = (0, Vec::new());
        while at < bytes.len() {
            let len = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            lengths.push(len);
            at += 2 + len;
        }
        lengths
    };
    let limits = FileLimits { rows: 100, bytes: 1 << 30 };
    for (at, (name, encoder)) in encoders().into_iter().enumerate() {
        let left_out = match name {
            "bin" => 3,
            "pcap" | "pcapng" => 1,
            _ => 0,
        };
        let (files, _) = whole(encoder, &stream, limits);
        let manifest = manifest(&files);
        let rows = manifest["files"].as_array().expect("a list");
        let sum = |key: &str| rows.iter().filter_map(|row| row[key].as_u64()).sum::<u64>();
        assert_eq!((sum("rows"), sum("left_out")), (10 - left_out, left_out), "{name}: {manifest}");
        if name == "bin" {
            let written: Vec<usize> = files
                .iter()
                .filter(|(file, _)| *file != MANIFEST)
                .flat_map(|(_, bytes)| lengths(bytes))
                .filter(|len| *len > 0)
                .collect();
            let fits = |sample: &&Sample| (1..=65_535).contains(&sample.payload.len());
            let expected: Vec<usize> =
                stream.iter().filter(fits).map(|sample| sample.payload.len()).collect();
            assert_eq!(written, expected);
        }
        // A run that goes on behind them meets them no more.
        let folder = MemoryFolder::default();
        run(&mut target(&folder, encoders().remove(at).1, limits), &stream[..7]).expect("a run");
        let mut again = target(&folder, encoders().remove(at).1, limits);
        run(&mut again, &stream).expect("and on");
        assert_eq!(
            again.position().ok().flatten().map(|position| position.seq),
            stream.last().map(|last| last.seq)
        );
    }
}

#[test]
fn a_file_ends_with_its_rows_its_bytes_its_day_and_its_history_and_the_manifest_lists_it() {
    let stream = samples(60);
    let (files, _) = whole(encoders().remove(2).1, &stream, LIMITS);
    let manifest = manifest(&files);
    let rows = manifest["files"].as_array().expect("files");
    assert_eq!(files.len(), rows.len() + 1, "nothing but files and manifest: {:?}", files.keys());
    assert_eq!(rows.iter().map(|row| row["rows"].as_u64().expect("rows")).sum::<u64>(), 60);
    let (mut next, mut ends) = (0, [0; 4]);
    for row in rows {
        let count = row["rows"].as_u64().expect("rows") as usize;
        let (first, last) = (&stream[next], &stream[next + count - 1]);
        next += count;
        let file = &files[row["file"].as_str().expect("a name")];
        assert_eq!(row["bytes"], file.len());
        assert_eq!((&row["first_seq"], &row["last_seq"]), (&first.seq.into(), &last.seq.into()));
        assert_eq!(row["last_timestamp_ns"], last.timestamp);
        assert_eq!(row["history"], format!("{:016x}", first.history));
        let same = |a: &Sample| (a.history, a.timestamp / 86_400_000_000_000);
        assert_eq!(same(first), same(last), "one day and one history");
        let behind = stream.get(next);
        let why = match behind {
            _ if count == 16 => 0,
            _ if file.len() as u64 >= LIMITS.bytes => 1,
            Some(behind) if behind.history != last.history => 2,
            Some(behind) => {
                assert_ne!(same(behind).1, same(last).1, "no other reason is left");
                3
            }
            None => continue,
        };
        ends[why] += 1;
        assert!(file.len() < LIMITS.bytes as usize + 4 + last.payload.len());
    }
    assert!(ends.iter().all(|count| *count > 0), "each reason once: {ends:?}");
    let name = rows[0]["file"].as_str().expect("a name");
    assert_eq!(name, "2026-11-27-00000000000000000002.x");
}

#[test]
fn a_crash_at_any_operation_of_any_format_leaves_a_folder_that_ends_with_the_same_bytes() {
    let stream = samples(48);
    for index in 0..encoders().len() {
        let encoder = || encoders().remove(index);
        let name = encoder().0;
        let (expected, operations) = whole(encoder().1, &stream, LIMITS);
        assert!(operations > 20);
        for crash in [Crash::Process, Crash::Power] {
            for at in 1..=operations {
                let folder = MemoryFolder::default();
                folder.crash_at(at, crash);
                let failed = run(&mut target(&folder, encoder().1, LIMITS), &stream);
                assert!(matches!(failed, Err(TargetError::Fatal { .. })), "{name}: {failed:?}");
                folder.restart();
                let listed = listed_files(&folder.files(), &expected);
                run(&mut target(&folder, encoder().1, LIMITS), &stream).expect("the second run");
                assert!(
                    folder.files() == expected,
                    "{name}: {crash:?} at operation {at}, {listed} were complete"
                );
            }
        }
    }
}

/// Files that a manifest lists are whole at any time; how many it lists.
fn listed_files(files: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) -> usize {
    let Some(text) = files.get(MANIFEST) else { return 0 };
    let manifest: serde_json::Value = serde_json::from_slice(text).expect("a whole manifest");
    let rows = manifest["files"].as_array().expect("files");
    for row in rows {
        let name = row["file"].as_str().expect("a name");
        assert!(files.get(name) == expected.get(name), "{name} is listed and not whole");
    }
    rows.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn crashes_one_behind_the_other_leave_the_same_bytes(
        crashes in prop::collection::vec((1usize..60, any::<bool>()), 1..12),
        rows in 1u64..20,
        format in 0usize..8,
    ) {
        let stream = samples(40);
        let limits = FileLimits { rows, bytes: 2_000 };
        let encoder = || encoders().remove(format).1;
        let (expected, _) = whole(encoder(), &stream, limits);
        let folder = MemoryFolder::default();
        for (at, is_power) in crashes {
            folder.crash_at(at, if is_power { Crash::Power } else { Crash::Process });
            let _ = run(&mut target(&folder, encoder(), limits), &stream); // it may come to its end before
            folder.restart();
        }
        run(&mut target(&folder, encoder(), limits), &stream).expect("the last run");
        prop_assert!(folder.files() == expected);
    }
}

#[test]
fn a_full_disk_is_a_retry_that_says_the_same_each_time_and_goes_on_when_there_is_space() {
    let stream = samples(48);
    for index in 0..encoders().len() {
        let encoder = || encoders().remove(index).1;
        let (expected, _) = whole(encoder(), &stream, LIMITS);
        let folder = MemoryFolder::default();
        let needed: usize = expected.values().map(Vec::len).sum();
        folder.set_capacity(Some(needed / 2));
        let mut target = target(&folder, encoder(), LIMITS);
        let retry = |outcome: Result<(), TargetError>| match outcome {
            Err(TargetError::Retry(what)) => what,
            other => panic!("{other:?}"),
        };
        let first = retry(run(&mut target, &stream));
        assert!(first.contains("no space is left"), "{first}");
        let before = folder.files();
        for _ in 0..3 {
            assert_eq!(retry(run(&mut target, &stream)), first);
        }
        assert_eq!(listed_files(&folder.files(), &expected), listed_files(&before, &expected));
        let parts = folder.files().into_iter().filter(|(name, _)| name.ends_with(".part"));
        assert!(parts.map(|(_, bytes)| bytes.len()).sum::<usize>() == 0, "a waiting bridge takes no space");
        folder.set_capacity(None);
        run(&mut target, &stream).expect("there is space");
        assert!(folder.files() == expected);
    }
}

#[test]
fn a_folder_of_other_settings_is_refused_and_stays_as_it_is() {
    let folder = MemoryFolder::default();
    let stream = samples(20);
    run(&mut target(&folder, encoders().remove(0).1, LIMITS), &stream).expect("a run");
    let before = folder.files();
    let other = FileLimits { rows: 5, ..LIMITS };
    let failed = run(&mut target(&folder, encoders().remove(0).1, other), &stream);
    let Err(TargetError::Fatal { code, what }) = failed else { panic!("{failed:?}") };
    assert_eq!(code, USAGE);
    assert!(what.contains("was written with rows 16, and 5 is asked for: name another --folder"), "{what}");
    assert!(folder.files() == before);
}

#[test]
fn a_run_that_is_not_bounded_leaves_the_last_file_to_the_next_one() {
    let folder = MemoryFolder::default();
    let stream = samples(5);
    let mut first = target(&folder, encoders().remove(2).1, LIMITS);
    assert_eq!(first.position(), Ok(None));
    for sample in &stream {
        first.append(&sample.record()).expect("an append");
    }
    first.commit(cursor()).expect("a commit");
    drop(first);
    let names: Vec<_> = folder.files().into_keys().collect();
    // The day ends behind the first message, and the history behind the third.
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.iter().any(|name| name.ends_with(".part")), "{names:?}");
    let mut second = target(&folder, encoders().remove(2).1, LIMITS);
    let position = second.position().expect("a position").expect("two files");
    let expected = (stream[2].seq, HISTORY, Some(stream[2].resume()));
    assert_eq!((position.seq, position.history, position.cursor), expected);
}

#[test]
fn a_folder_without_a_file_knows_from_where_it_is_written_and_how_far_the_stream_was_read() {
    let folder = MemoryFolder::default();
    let again = |seq: u64, at: u64| {
        let mut target = target(&folder, encoders().remove(2).1, LIMITS);
        let position = target.position().expect("a position").expect("it was read before");
        assert_eq!((position.seq, position.cursor.expect("a place").seq), (seq, at));
        target
    };
    // Nothing for the files, twice; then a message, and a crash.
    let mut first = target(&folder, encoders().remove(2).1, LIMITS);
    assert_eq!(first.position(), Ok(None));
    first.commit(cursor()).expect("a commit");
    again(0, 1).commit(Cursor { seq: 70_000, ..cursor() }).expect("a commit");
    let stream = samples(5);
    again(0, 70_000).append(&stream[0].record()).expect("an append");
    let mut last = again(0, 70_000);
    run(&mut last, &stream[..1]).expect("a run");
    let resume = stream[0].resume().seq;
    again(stream[0].seq, resume).commit(Cursor { seq: 60, ..cursor() }).expect("a commit");
    again(stream[0].seq, resume).commit(Cursor { seq: 80_000, ..cursor() }).expect("a commit");
    again(stream[0].seq, 80_000);
}

#[test]
fn the_first_message_of_a_folder_is_found_again_behind_a_crash() {
    let folder = MemoryFolder::default();
    let stream = samples(5);
    let mut first = target(&folder, encoders().remove(2).1, LIMITS);
    assert_eq!(first.position(), Ok(None));
    first.append(&stream[1].record()).expect("an append");
    let mut second = target(&folder, encoders().remove(2).1, LIMITS);
    let position = second.position().expect("a position").expect("from where it was written");
    let expected = (stream[1].seq - 1, Some(stream[1].record().cursor));
    assert_eq!((position.seq, position.cursor), expected);
}
