//! Counters and events: the files that a process leaves for others to read.

#![allow(clippy::unwrap_used, reason = "files of the test's own folder")]

use lockstep_core::engine::counters::{CounterRow, Described};
use lockstep_core::engine::durations::Durations;
use lockstep_io::counters::{CountersFile, CountersReader};
use lockstep_io::event_ring::{EventRing, EventRingReader, RING_EVENTS};
use lockstep_io::private::FileOwners;
use lockstep_testkit::child::{child_of, is_child_of};
use lockstep_wire::{EventRecord, EventRow};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Whether this process may give files to other users.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

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
    // A version, an unknown kind, and bytes that are no letters.
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

/// A file of counters and one of events, both sound.
fn make_both(counters: &Path, events: &Path) {
    CountersFile::create(counters, &[], &counts(&["a", "b"])).unwrap().publish(1, &[1, 2]);
    EventRing::create(events).unwrap().record(1, &EventRecord::default());
}

/// What a stranger puts in place of a sound file, how, and a word of the refusal.
type Form = (&'static str, fn(&Path), &'static str);

fn in_place(path: &Path, make: impl FnOnce(&Path)) {
    std::fs::remove_file(path).unwrap();
    make(path);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn set_len(path: &Path, len: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn give_away(path: &Path) {
    chown(path, Some(64_712), Some(64_712)).unwrap();
}

const FORMS: [Form; 11] = [
    (
        "a fifo",
        |path| in_place(path, |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        "it is a fifo",
    ),
    (
        "a link",
        |path| {
            let other = path.with_extension("other");
            std::fs::rename(path, &other).unwrap();
            symlink(&other, path).unwrap();
        },
        "it is a link",
    ),
    ("a link to itself", |path| in_place(path, |path| symlink(path, path).unwrap()), "it is a link"),
    ("a link to a device", |path| in_place(path, |path| symlink("/dev/zero", path).unwrap()), "it is a link"),
    (
        "a socket",
        |path| in_place(path, |path| std::mem::forget(UnixListener::bind(path).unwrap())),
        "it is a socket",
    ),
    ("a folder", |path| in_place(path, |path| std::fs::create_dir(path).unwrap()), "it is a folder"),
    ("junk", |path| std::fs::write(path, [7; 40]).unwrap(), "shorter than its header"),
    ("an empty file", |path| std::fs::write(path, []).unwrap(), "shorter than its header"),
    ("long junk", |path| std::fs::write(path, [7; 1 << 16]).unwrap(), "lockstep"),
    ("a group writes", |path| set_mode(path, 0o664), "mode is 664"),
    ("others write", |path| set_mode(path, 0o646), "mode is 646"),
];

fn remove_both(counters: &Path, events: &Path) {
    for path in [counters, events] {
        let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path)); // it may not exist
    }
}

#[test]
fn what_a_stranger_puts_in_the_place_of_a_file_is_refused_at_once_and_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (counters, events) = (folder.path().join("counters"), folder.path().join("events"));
    let foreign: Form = ("another user", give_away, "is user 64712's");
    if !is_root() {
        println!("SKIPPED: making another user's file needs root");
    }
    for (form, make, word) in FORMS.into_iter().chain(is_root().then_some(foreign)) {
        remove_both(&counters, &events);
        make_both(&counters, &events);
        make(&counters);
        make(&events);
        let refused =
            CountersReader::open(&counters).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(word) && refused.contains("counters"), "{form}: {refused}");
        let refused = EventRingReader::open(&events).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(word) && refused.contains("events"), "{form}: {refused}");
    }
}

#[test]
fn a_file_whose_length_does_not_fit_it_is_read_as_far_as_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let (counters, events) = (folder.path().join("counters"), folder.path().join("events"));
    make_both(&counters, &events);
    set_len(&counters, 1 << 36);
    set_len(&events, 1 << 36);
    assert_eq!(CountersReader::open(&counters).unwrap().values(), [1, 2], "only what it needs is read");
    assert!(EventRingReader::open(&events).err().unwrap().to_string().contains("do not fit"));
}

#[test]
fn whose_file_it_is_counts_unless_its_reader_has_named_it_by_itself() {
    if !is_root() {
        return println!("SKIPPED: making another user's file needs root");
    }
    let folder = tempfile::tempdir().unwrap();
    let (counters, events) = (folder.path().join("counters"), folder.path().join("events"));
    make_both(&counters, &events);
    give_away(&counters);
    assert!(CountersReader::open(&counters).is_err());
    assert!(CountersReader::open_of(&counters, &FileOwners::anybody()).is_ok());
    let owners = FileOwners::own().with_owners_of([counters.as_path()]);
    assert!(CountersReader::open_of(&counters, &owners).is_ok(), "the user that a configuration names");
}

#[test]
fn a_file_that_is_cut_while_it_is_read_ends_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let (counters, events) = (folder.path().join("counters"), folder.path().join("events"));
    make_both(&counters, &events);
    let (reader, ring) = (CountersReader::open(&counters).unwrap(), EventRingReader::open(&events).unwrap());
    assert_eq!((reader.values(), ring.rows().len()), (vec![1, 2], 1));
    for len in [64, 1, 0] {
        set_len(&counters, len);
        set_len(&events, len);
        assert_eq!((reader.values(), reader.value("b"), reader.published_at()), (vec![0, 0], Some(0), 0));
        assert!(ring.rows().is_empty());
        let _ = (reader.bytes(), ring.span());
        assert!(CountersReader::open(&counters).is_err() && EventRingReader::open(&events).is_err());
    }
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
