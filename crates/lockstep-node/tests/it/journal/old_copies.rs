//! An older copy of a journal is put back within the same boot. Its tail knows more, so every start and every
//! command that opens the journal refuses it, under any configuration, however often it is tried (S9).

use super::*;

/// The files of a folder with their content.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// What the run after the copy did before it was killed.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// It acknowledged much: the segments have more than the copy's.
    InSegments,
    /// It acknowledged little, which only the ring has.
    InRing,
    /// It promised an epoch, and stored nothing.
    Promised,
    /// It was stopped in order, and another run began with its own ring.
    AnotherRing,
}

/// An old copy in place of the journal, and the real end of the log.
fn put_back(since: Since) -> (Place, LogEnd) {
    let place = place();
    let mut running = start(&place.config);
    grow(&mut running.tail, 300);
    running.handle.stop().unwrap();
    drop((running.tail, running._lock));
    let copy = place.config.dir.with_extension("copy");
    copied(&place.config.dir, &copy);
    let config = match since {
        Since::AnotherRing => JournalConfig { tail_len: 3 << 20, ..place.config.clone() },
        _ => place.config.clone(),
    };
    let mut running = start(&config);
    match since {
        Since::InSegments | Since::AnotherRing => {
            grow(&mut running.tail, 500);
            while running.handle.written_seq() < running.tail.end().next {
                std::thread::yield_now();
            }
        }
        Since::InRing => {
            // The side thread ends first: later frames are in the ring alone.
            drop(running.handle);
            grow(&mut running.tail, 5);
            let end = running.tail.end();
            drop((running.tail, running._lock));
            return (replaced(place, &copy), end);
        }
        Since::Promised => {
            drop(running.handle);
            running.tail.promise(Epoch::new(7, IDENTITY));
            let end = running.tail.end();
            drop((running.tail, running._lock));
            return (replaced(place, &copy), end);
        }
    }
    let end = running.tail.end();
    drop(running);
    (replaced(place, &copy), end)
}

fn replaced(place: Place, copy: &Path) -> Place {
    std::fs::remove_dir_all(&place.config.dir).unwrap();
    copied(copy, &place.config.dir);
    place
}

#[test]
fn an_old_copy_is_refused_under_any_configuration_and_what_proves_it_old_stays() {
    for since in [Since::InSegments, Since::InRing, Since::Promised, Since::AnotherRing] {
        let (place, end) = put_back(since);
        let own = &place.config;
        let elsewhere = own.tail.with_extension("elsewhere");
        let configs = [
            own.clone(),
            JournalConfig { tail_len: 2 << 20, ..own.clone() },
            JournalConfig { tail: elsewhere.clone(), ..own.clone() },
            JournalConfig { frame_len_max: frame_len_max(9000), tail_len: 4 << 20, ..own.clone() },
            JournalConfig { power: true, ..own.clone() },
            JournalConfig { segment_len: 2 << 20, power: true, tail_len: 2 << 20, ..own.clone() },
            JournalConfig { tail: elsewhere, power: true, tail_len: 2 << 20, ..own.clone() },
        ];
        let tail = std::fs::read(&own.tail).unwrap();
        for (at, config) in configs.iter().chain(&configs).enumerate() {
            let is_needed = at % configs.len();
            match journal_files::open(config) {
                Err(_) => {}
                // The ring is used as it is: nothing is lost.
                Ok(opened) => {
                    assert_eq!(opened.opened.tail.end(), end, "{since:?}, configuration {is_needed}");
                    assert!(opened.opened.superblock.promised >= promised(since), "{since:?}");
                    return_to(&place, &tail);
                }
            }
            assert_eq!(std::fs::read(&own.tail).unwrap(), tail, "{since:?}, configuration {is_needed}");
            let survey = journal_files::survey(&config.dir, Some(&config.tail)).unwrap();
            let holds_all = survey.inspected.end() == end && survey.inspected.promised() >= promised(since);
            assert!(survey.doubt().is_some() || holds_all, "{since:?}, configuration {is_needed}");
        }
    }
}

fn promised(since: Since) -> Epoch {
    if matches!(since, Since::Promised) { Epoch::new(7, IDENTITY) } else { Epoch::NONE }
}

/// The copy and its tail as they were before a successful start.
fn return_to(place: &Place, tail: &[u8]) {
    std::fs::write(&place.config.tail, tail).unwrap();
    let copy = place.config.dir.with_extension("copy");
    std::fs::remove_dir_all(&place.config.dir).unwrap();
    copied(&copy, &place.config.dir);
}

#[test]
fn another_path_of_the_tail_is_taken_behind_a_stop_in_order_and_is_no_way_around_a_tail_that_is_needed() {
    let place = place();
    let moved = JournalConfig { tail: place.config.tail.with_extension("moved"), ..place.config.clone() };
    let mut running = start(&place.config);
    grow(&mut running.tail, 100);
    let end = running.tail.end();
    drop(running);
    let journal = journal_files::look(&moved).unwrap();
    let Completeness::Incomplete(why) = journal.inspected.completeness() else { panic!("it is needed") };
    assert!(why.contains("the tail"), "{why}");
    drop(journal);
    let running = start(&place.config);
    assert_eq!(running.tail.end(), end);
    running.handle.stop().unwrap();
    drop((running.tail, running._lock));
    let mut running = start(&moved);
    assert_eq!(running.tail.end(), end);
    grow(&mut running.tail, 10);
    let end = running.tail.end();
    running.handle.stop().unwrap();
    drop((running.tail, running._lock));
    // The former tail is put back: it is an older one, and proves nothing.
    let running = start(&place.config);
    assert_eq!(running.tail.end(), end);
}

#[test]
fn a_format_that_was_killed_is_given_again_and_a_journal_that_was_told_of_is_never_formatted() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let whole = at("whole");
    journal_files::format(&whole, CLUSTER, IDENTITY).unwrap();
    let superblock = std::fs::read(whole.join("superblock")).unwrap();
    // The result of each step.
    for (name, half) in [("nothing", None), ("empty", Some(&[][..])), ("one copy", Some(&superblock[4096..]))]
    {
        let dir = at(name);
        std::fs::create_dir_all(dir.join("segments")).unwrap();
        std::fs::write(dir.join("lock"), "1\n").unwrap();
        std::fs::write(dir.join("segments/probe"), [0; 4096]).unwrap();
        if let Some(half) = half {
            let blank = if half.is_empty() { Vec::new() } else { vec![0; 4096] };
            // The first copy is written into the second block.
            std::fs::write(dir.join("superblock"), [&blank, half].concat()).unwrap();
        }
        assert_eq!(journal_files::format(&dir, CLUSTER, IDENTITY).unwrap().identity, IDENTITY, "{name}");
    }
    let again = journal_files::format(&whole, CLUSTER, IDENTITY).unwrap_err().to_string();
    assert!(again.contains(&format!("of the journal of {IDENTITY}")), "{again}");
    // A folder with entries and a damaged superblock is evidence.
    std::fs::write(whole.join("segments/0000000001.seg"), [1; 4096]).unwrap();
    std::fs::write(whole.join("superblock"), []).unwrap();
    assert!(journal_files::format(&whole, CLUSTER, IDENTITY).is_err());
}
