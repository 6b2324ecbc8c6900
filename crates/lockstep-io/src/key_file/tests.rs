use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

fn file() -> KeyFile {
    let publisher = |number, key: u8| PublisherKey { number, name: format!("p{number}"), key: [key; 16] };
    let row = |number, usage, key: u8| GenerationRow {
        number,
        usage,
        until: (number == 4).then(|| Utc::day("2027-03-31").expect("a day")),
        replica: Some([key; 16]),
        reader: [key + 1; 16],
        publishers: vec![publisher(0, key + 2), publisher(7, key + 3)],
    };
    let generations = vec![
        row(2, GenerationUse::Retired, 10),
        row(3, GenerationUse::Accepted, 20),
        row(4, GenerationUse::Sealing, 30),
    ];
    let (rights, recipients) = (Vec::new(), RecipientRules::default());
    KeyFile { cluster: 4711, class: KeyClass::Replica, rights, recipients, generations }
}

#[test]
fn a_key_file_reads_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.keys");
    for class in [KeyClass::Replica, KeyClass::Reader, KeyClass::Publisher(7)] {
        let exported = file().export(class);
        exported.write(&path).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap(), exported);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let ring = exported.ring();
        assert_eq!((ring.own(), ring.cluster(), ring.generations()), (Some(class), 4711, (4, 0b1_1000)));
    }
}

#[test]
fn an_export_has_the_keys_of_its_class_alone() {
    let text = file().export(KeyClass::Reader).text();
    assert!(!text.contains(&"0a".repeat(16)) && !text.contains("publisher"), "{}", *text);
    let text = file().export(KeyClass::Publisher(7)).text();
    assert!(!text.contains("\nreplica") && !text.contains(" p0"), "{}", *text);
}

#[test]
fn a_wrong_line_is_named_and_no_key_is_shown() {
    let right = file().text();
    let cases = [
        ("lockstep-keys 1", "lockstep-keys 2", "line 1: the first line"),
        ("cluster 4711", "cluster x", "line 2: 'x' is no cluster's number"),
        ("class replica", "class king", "line 3: 'king' is no class"),
        ("generation 3 accepted", "generation 2 accepted", "line 9: generation 2 is listed twice"),
        ("generation 3 accepted", "generation 16 accepted", "line 9: a generation's number is below 16"),
        ("generation 3 accepted", "generation 3 used", "line 9: a generation is retired"),
        ("generation 4 sealing", "generation 4 accepted", "0 generations seal"),
        ("until 2027-03-31", "until 2027-02-29", "line 14: '2027-02-29' is no day like"),
        (
            "until 2027-03-31",
            "not after 2027-03-31",
            "line 14: only 'until' and a day may follow a generation's use",
        ),
        ("publisher 7", "publisher 0", "line 8: publisher 0 is listed twice"),
        ("\nreader 0b0b", "\nreader zz0b", "line 6: a key is 32 hexadecimal digits"),
        ("\nreader 0b0b", "\nfriend 0b0b", "line 6: neither a generation nor a key"),
        ("\nreplica 0a", "\n#replica 0a", "generation 2 lacks the keys of a replica"),
    ];
    for (from, to, expected) in cases {
        let wrong = right.replacen(from, to, 1);
        let error = KeyFile::parse(&wrong).expect_err(to);
        assert!(error.contains(expected), "{to}: {error}");
        assert!(!error.contains("0b0b"), "{error}");
    }
    assert!(KeyFile::parse("").is_err_and(|error| error.contains("it is empty")));
}

#[test]
fn a_file_that_others_may_touch_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.keys");
    let error = KeyFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("lockstep keys new"), "{error}");
    file().write(&path).unwrap();
    let link = folder.path().join("link.keys");
    symlink(&path, &link).unwrap();
    assert_eq!(KeyFile::read(&link).unwrap(), file(), "its target is judged");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let error = KeyFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("mode 640"), "{error}");
}

#[test]
fn a_running_ring_follows_its_file() {
    let mut file = file();
    file.generations.truncate(2);
    file.generations[1].usage = GenerationUse::Sealing;
    let ring = file.ring();
    assert_eq!(ring.generations(), (3, 0b1000));
    self::file().apply(&ring).unwrap();
    assert_eq!(ring.generations(), (4, 0b1_1000));
    let error = self::file().export(KeyClass::Reader).apply(&ring).unwrap_err();
    assert!(error.contains("keys of a reader"), "{error}");
    let mut other = self::file();
    other.generations[2].reader = [9; 16];
    let error = other.apply(&ring).unwrap_err();
    assert!(error.contains("restart"), "{error}");
}

/// There are sixteen numbers of generations: a number is used again once its generation is retired.
#[test]
fn keys_are_rotated_as_often_as_one_likes_and_no_step_can_be_missed() {
    let mut file = KeyFile::draw(7).unwrap();
    assert_eq!(file.add_publisher("gateway-1").unwrap(), Ok(1));
    assert!(file.add_publisher("gateway-1").unwrap().is_err_and(|why| why.contains("already")));
    assert!(file.add_publisher("a b").unwrap().is_err_and(|why| why.contains("no name")));
    assert_eq!(file.publisher("gateway-1"), Some(1));
    for turn in 1..40u8 {
        let (old, next) = (file.sealing(), turn % GENERATIONS as u8);
        assert_eq!(file.add_generation().unwrap(), Ok(next));
        assert!(file.add_generation().unwrap().is_err_and(|why| why.contains("there already")));
        assert!(file.retire(old).is_err_and(|why| why.contains("seals")));
        file.seal_with(next).unwrap();
        file.retire(old).unwrap();
        assert!(file.seal_with(old).is_err_and(|why| why.contains("retired")));
        assert!(file.seal_with(99).is_err_and(|why| why.contains("keys show")));
        assert_eq!(file.ring().generations(), (next, 1 << next));
        assert_eq!(KeyFile::parse(&file.text()), Ok(file.clone()));
        assert_eq!(file.publishers().count(), 2, "names stay");
    }
}

#[test]
fn a_hosts_programs_continue_to_have_the_publishers_key_that_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("keys");
    let mut file = KeyFile::draw(7).unwrap();
    file.add_publisher("desk").unwrap().unwrap();
    let class = || KeyFile::read(&folder.join(PUBLISHER_FILE)).unwrap().class;
    file.write_folder(&folder).unwrap();
    assert_eq!(class(), KeyClass::Publisher(0));
    file.export(KeyClass::Publisher(1)).write(&folder.join(PUBLISHER_FILE)).unwrap();
    file.add_generation().unwrap().unwrap();
    file.write_folder(&folder).unwrap();
    assert_eq!(class(), KeyClass::Publisher(1));
    // Another cluster's file, and a missing key, are replaced.
    KeyFile::draw(8).unwrap().write_folder(&folder).unwrap();
    assert_eq!(class(), KeyClass::Publisher(0));
}

#[test]
fn rights_stand_in_the_file_of_replicas_and_of_their_publisher_and_are_set_with_the_keys() {
    let mut file = KeyFile::draw(7).unwrap();
    file.add_publisher("desk").unwrap().unwrap();
    let rights = KeyRights::parse(["names=orders/*", "rate=9"]).unwrap();
    file.set_rights(1, rights.clone());
    assert_eq!(KeyFile::parse(&file.text()), Ok(file.clone()));
    assert_eq!(file.export(KeyClass::Publisher(1)).rights_of(1), rights);
    assert!(file.export(KeyClass::Publisher(0)).rights.is_empty());
    assert!(file.export(KeyClass::Reader).rights.is_empty());
    let ring = file.ring();
    assert_eq!(ring.rights().len(), 1);
    file.set_rights(1, KeyRights::default());
    file.apply(&ring).unwrap();
    assert!(ring.rights().is_empty(), "a key without limits needs no row");
    for (line, why) in [
        ("rights 1 name=x", "line 4: 'name=x' is no right"),
        ("rights 1\nrights 1", "line 5: the rights of publisher 1 are listed once"),
        ("rights 5000", "line 4: a publisher's number is below"),
    ] {
        let text = file.text().replacen("generation", &format!("{line}\ngeneration"), 1);
        let error = KeyFile::parse(&text).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn rules_for_recipients_stand_in_the_file_of_replicas_alone_and_are_set_with_the_keys() {
    let mut file = KeyFile::draw(7).unwrap();
    let rule = |words: &[&str]| lockstep_wire::RecipientRule::parse(words).unwrap();
    for words in [["client/*", "from=exchange/*,risk"], ["risk", "from=exchange/1"]] {
        file.recipients.set(rule(&words)).unwrap();
    }
    assert_eq!(KeyFile::parse(&file.text()), Ok(file.clone()));
    assert_eq!(file.export(KeyClass::Replica), file);
    assert!(file.export(KeyClass::Publisher(0)).recipients.is_empty());
    assert!(file.export(KeyClass::Reader).recipients.is_empty());
    let ring = file.ring();
    assert_eq!(ring.recipients().as_deref(), Some(&file.recipients));
    assert!(file.recipients.remove("risk") && file.recipients.remove("client/*"));
    let version = ring.rights_version();
    file.apply(&ring).unwrap();
    assert_eq!(ring.recipients(), None, "where there are no rules nothing is looked at");
    assert!(ring.rights_version() > version, "whoever judges learns of it");
    for (line, why) in [
        ("recipients client/* to=risk", "line 4: 'to=risk': from=… stands here"),
        ("recipients a from=b\nrecipients a from=c", "line 5: the rule for recipients 'a' is listed once"),
    ] {
        let text = file.text().replacen("generation", &format!("{line}\ngeneration"), 1);
        let error = KeyFile::parse(&text).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn a_retired_generation_has_no_publishers_keys_and_a_forgotten_one_none_at_all() {
    let mut file = KeyFile::draw(7).unwrap();
    file.add_generation().unwrap().unwrap();
    assert!(file.forget(9).is_err_and(|why| why.contains("keys show")));
    assert!(file.forget(0).is_err_and(|why| why.contains("`lockstep keys retire 0` first")));
    file.seal_with(1).unwrap();
    file.retire(0).unwrap();
    assert_eq!(file.add_publisher("desk").unwrap(), Ok(1));
    let publishers =
        |file: &KeyFile| file.generations.iter().map(|row| row.publishers.len()).collect::<Vec<_>>();
    assert_eq!(publishers(&file), [0, 2]);
    for class in [KeyClass::Replica, KeyClass::Reader, KeyClass::Publisher(1)] {
        let exported = file.export(class);
        assert_eq!(
            KeyFile::parse(&exported.text()),
            Ok(exported.clone()),
            "a process of each class starts with it"
        );
        assert_eq!(exported.ring().generations(), (1, 0b10));
    }
    file.forget(0).unwrap();
    assert_eq!(publishers(&file), [2]);
    assert_eq!(KeyFile::parse(&file.text()), Ok(file.clone()));
}

/// A text that grows while it is written leaves parts of itself in freed memory.
#[test]
fn the_text_of_a_file_has_room_for_all_of_it_from_the_beginning() {
    let mut file = file();
    file.set_rights(7, KeyRights::parse(["names=orders/*,risk", "rate=9"]).unwrap());
    let text = file.text();
    assert_eq!(text.capacity(), text.len());
}

/// The limit is the process's, so the test runs in a child process.
#[test]
fn without_the_right_to_lock_memory_one_is_told_what_to_do_and_with_it_the_memory_is_locked() {
    const CHILD: &str = "LOCKSTEP_TEST_LOCKS_NOTHING";
    if std::env::var_os(CHILD).is_some() {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call reads a struct that lives across it.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) }, 0);
        let locked = || lock(&file().ring().places());
        let locked = crate::capabilities::spawn(std::thread::Builder::new(), locked).unwrap().join().unwrap();
        return println!("{locked}");
    }
    let this = "key_file::tests::without_the_right_to_lock_memory_one_is_told_what_to_do_and_with_it_the_memory_is_locked";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(text.contains("memory of keys not locked") && text.contains("LimitMEMLOCK="), "{text}");
    let ring = file().ring();
    let locked = lock(&ring.places());
    if locked.note.is_some() {
        println!("SKIPPED: memory cannot be locked here: {locked}");
        return;
    }
    let (mut is_locked, mut found) = (false, 0);
    let places = ring.places();
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut range = 0..0;
    for line in smaps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-')
            && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
        {
            range = from..to;
            is_locked = false;
        }
        is_locked |= line.starts_with("Locked:") && !line.ends_with(" 0 kB");
        if line.starts_with("VmFlags:") && is_locked {
            found += places.iter().filter(|place| range.contains(&place.start)).count();
        }
    }
    assert_eq!(found, places.len(), "{smaps}");
}
