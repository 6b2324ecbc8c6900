//! `lockstep journal`: a reader beside the node that writes, and after its stop.

use crate::cli::streams::{SMALL, json, lines};
use lockstep_testkit::processes::{Cluster, Outcome, PATIENCE, payloads};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn journal(cluster: &Cluster, args: &[&str]) -> Outcome {
    let args: Vec<&str> = ["journal"].iter().chain(args).copied().collect();
    cluster.run(&args, b"")
}

/// The files of a folder, with their bytes and times.
fn state_of(dir: &Path) -> Vec<(String, u64, std::time::SystemTime)> {
    let mut files: Vec<_> = [dir.to_path_buf(), dir.join("segments")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
        .map(|entry| {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("a file");
            (entry.path().display().to_string(), meta.len(), meta.modified().expect("a time"))
        })
        .collect();
    files.sort();
    files
}

/// The same, once the node's own thread has written what it had to.
fn state_at_rest(dir: &Path) -> Vec<(String, u64, std::time::SystemTime)> {
    let (began, mut state) = (std::time::Instant::now(), state_of(dir));
    loop {
        assert!(began.elapsed() < PATIENCE, "its files never rest: {state:?}");
        std::thread::sleep(std::time::Duration::from_millis(500));
        let later = state_of(dir);
        if later == state {
            return state;
        }
        state = later;
    }
}

#[test]
fn a_journal_is_read_in_every_way_while_its_node_runs_and_nothing_of_it_changes() {
    let cluster = Cluster::new(1, SMALL);
    let _replicas = cluster.found();
    cluster.run(&["day", "start", "20261121"], b"").with_code(0);
    cluster.publish(&lines(0, 3_000));
    cluster.run(&["publish", "--name", "prices", "--destination", "7"], b"\x01tick\n").with_code(0);
    let long = "x".repeat(20_000) + "needle" + &"y".repeat(20_000);
    cluster.publish(&format!("{long}\n"));
    let dir = cluster.path("journal-1");
    let before = state_at_rest(&dir);

    let listed = json(&journal(&cluster, &["ls", "--replica", "1", "--json"]).with_code(0).out);
    let segments = listed["segments"].as_array().expect("a list");
    assert!(segments.len() >= 3, "{listed}");
    assert_eq!((&segments[0]["state"], &segments[0]["first_seq"]), (&"sealed".into(), &1.into()));
    assert_eq!(segments.last().expect("one")["state"], "active");
    let text = journal(&cluster, &["ls", "--replica", "1"]).with_code(0).out;
    assert_eq!(text.lines().count(), segments.len() + 1, "{text}");

    let info = json(&journal(&cluster, &["info", "--replica", "1", "--json"]).with_code(0).out);
    assert_eq!(info["next"], segments.last().expect("one")["next_seq"]);
    assert!(info["open_by"].is_u64(), "{info}");
    assert_eq!(info["days"][0]["name"], "20261121");
    let publishers = info["publishers"].as_array().expect("a list");
    let orders = publishers.iter().find(|row| row["name"] == "orders").expect("a publisher");
    assert!(orders["messages"].as_u64() > Some(3_001), "parts are entries: {orders}");
    let text = journal(&cluster, &["info", "--replica", "1"]).with_code(0).out;
    for word in ["open by process", "day        20261121 from seq", "epoch      ", "prices: 1 messages here"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }

    let verified = journal(&cluster, &["verify", "--replica", "1"]).with_code(0);
    assert!(verified.out.contains("no damage"), "{}", verified.out);

    // Each seq has a line, and the filters choose.
    let dumped = journal(&cluster, &["dump", "--replica", "1", "--format", "json"]).with_code(0).out;
    let entries: Vec<Value> = dumped.lines().map(json).collect();
    let seqs: Vec<u64> = entries.iter().filter_map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..info["next"].as_u64().expect("a seq")).collect::<Vec<_>>());
    let of_prices = ["dump", "--replica", "1", "--publisher", "prices", "--destination", "7"];
    let one = journal(&cluster, &of_prices).with_code(0).out;
    assert!(one.lines().count() == 1 && one.ends_with("\t7\t\\u{1}tick\n"), "{one}");
    let hex = journal(&cluster, &[&of_prices[..], &["--format", "hex"]].concat()).with_code(0).out;
    assert!(hex.contains("00000000  01 74 69 63 6b ") && hex.contains("|.tick|"), "{hex}");
    let range =
        journal(&cluster, &["dump", "--replica", "1", "--from", "100", "--to", "109"]).with_code(0).out;
    assert_eq!(range.lines().count(), 10);
    let since = |text| journal(&cluster, &["dump", "--replica", "1", "--since", text]).with_code(0).out;
    // The birth has no time.
    assert_eq!((since("2100-01-01"), since("1h").lines().count()), (String::new(), seqs.len() - 1));
    let until = ["dump", "--replica", "1", "--until", "2000-01-01"];
    assert_eq!(journal(&cluster, &until).with_code(0).out, "");
    journal(&cluster, &["dump", "--replica", "1", "--publisher", "nobody"]).with_code(2).saying(&["prices"]);

    // A text is found in a message whatever parts it came in.
    let found = journal(&cluster, &["grep", "needle", "--replica", "1"]).with_code(0);
    assert!(found.out.contains(&long) && found.err.contains("1 of 3002 messages have it"), "{}", found.err);
    let found = journal(&cluster, &["grep", "--hex", "0174", "--replica", "1", "--count", "1"]).with_code(0);
    assert_eq!(payloads(&found.out), ["\\u{1}tick"]);

    let file = cluster.path("exported").display().to_string();
    let raw = ["export", "--replica", "1", "--format", "raw", "--publisher", "orders", "--to-file", &file];
    journal(&cluster, &raw).with_code(0).saying(&["3001 messages"]);
    let bytes = fs::read(&file).expect("a file");
    assert_eq!(bytes.len(), 3_000 * (4 + 906) + 4 + long.len());
    journal(&cluster, &raw).with_code(2).saying(&["exists"]);
    assert_eq!(state_of(&dir), before, "who looks writes nothing");
}

#[test]
fn readers_beside_a_node_under_load_see_no_damage_and_a_reader_that_has_enough_ends_quietly() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| cluster.publish(&lines(0, 12_000)));
        let mut last = 0;
        while !load.is_finished() {
            journal(&cluster, &["verify", "--replica", "1"]).with_code(0);
            let info = json(&journal(&cluster, &["info", "--replica", "1", "--json"]).with_code(0).out);
            assert_eq!(info["damage"], Value::Null);
            let next = info["next"].as_u64().expect("a seq");
            assert!(next >= last, "{next} behind {last}");
            last = next;
        }
        load.join().expect("published");
    });
    let mut dump = cluster.start("dump", &["journal", "dump", "--replica", "1"]);
    assert_eq!(dump.read_stdout(4), b"1\t19");
    assert_eq!((dump.wait().code(), dump.log()), (Some(0), String::new()));
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    journal(&cluster, &["verify", "--replica", "1"]).with_code(0);
    let state = journal(&cluster, &["info", "--replica", "1"]).with_code(0).out;
    assert!(state.contains("stopped cleanly"), "{state}");
}

#[test]
fn a_flipped_bit_is_named_by_file_byte_and_seq_and_what_is_before_it_is_still_read() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 3_000));
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    let copy = cluster.path("copy");
    fs::create_dir_all(copy.join("segments")).expect("a folder");
    for file in fs::read_dir(cluster.path("journal-1/segments")).expect("segments") {
        let file = file.expect("an entry");
        fs::copy(file.path(), copy.join("segments").join(file.file_name())).expect("a copy");
    }
    let copy = copy.display().to_string();
    let equal = journal_of(&["diff", &cluster.path("journal-1").display().to_string(), &copy], &cluster);
    assert!(equal.with_code(0).out.starts_with("equal from seq 1 to "));

    let file = cluster.path("journal-1/segments/0000000002.seg");
    let mut bytes = fs::read(&file).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("writing");
    let damaged = journal(&cluster, &["verify", "--replica", "1"]).with_code(3);
    damaged.saying(&["segments/0000000002.seg is damaged at byte ", "(seq ", "checksum"]);
    let report = journal(&cluster, &["verify", "--replica", "1", "--json"]).with_code(3).out;
    let report = json(&report);
    let byte = report["damage"][0]["byte"].as_u64().expect("a place");
    assert!(byte <= middle as u64 && middle as u64 - byte < 70_000, "{report}");
    let dump = journal(&cluster, &["dump", "--replica", "1"]).with_code(3).saying(&["is damaged at byte"]);
    assert_eq!(dump.out.lines().count() as u64, report["damage"][0]["seq"].as_u64().expect("a seq") - 1);
    let diff = journal_of(&["diff", &cluster.path("journal-1").display().to_string(), &copy], &cluster);
    diff.with_code(3).saying(&["is damaged at byte"]);
    for args in [&["ls"][..], &["ls", "/nowhere"], &["info", "/nowhere"]] {
        journal_of(args, &cluster).with_code(2);
    }
}

#[test]
fn output_that_ends_by_damage_is_said_to_be_a_part_and_exits_3_and_what_was_not_asked_for_is_not_missed() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 1_500));
    cluster.publish(&format!("{}\n", "last"));
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    let listed = json(&journal(&cluster, &["ls", "--replica", "1", "--json"]).with_code(0).out);
    let newest = listed["segments"].as_array().expect("a list").last().expect("one").clone();
    let file = cluster.path(&format!("journal-1/{}", newest["file"].as_str().expect("a name")));
    let whole = fs::read(&file).expect("a segment");
    let used = whole.windows(4).rposition(|bytes| bytes == b"last").expect("the last message");
    // In the middle of the newest segment, behind which nothing tells that the log went on; and near its end.
    for at in [4_096 + (used - 4_096) / 2, used - 100] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, bytes).expect("writing");
        let report = json(&journal(&cluster, &["verify", "--replica", "1", "--json"]).with_code(3).out);
        let (byte, seq) = (&report["damage"][0]["byte"], report["damage"][0]["seq"].as_u64().expect("a seq"));
        let place = format!("is damaged at byte {byte} (seq {seq})");
        // Where an output ends at a committed message, that may lie before the entry that is damaged.
        let part = "is a part of what was asked for";
        let to = cluster.path(&format!("export-{at}"));
        let to_file = to.display().to_string();
        let raw = format!("{to_file}.raw");
        for args in [
            &["dump"][..],
            &["dump", "--format", "json"],
            &["dump", "--format", "hex", "--from", "5"],
            &["grep", "order"],
            &["grep", "last"],
            &["export", "--to-file", &to_file],
            &["export", "--format", "raw", "--to-file", &raw],
            &["export", "--to-file", "-"],
        ] {
            let outcome = journal(&cluster, &[args, &["--replica", "1"]].concat()).with_code(3);
            outcome.saying(&[&place, part]);
        }
        for file in [to_file, raw] {
            assert!(!Path::new(&file).exists(), "{file} is no whole file");
            assert!(fs::metadata(format!("{file}.partial")).expect("a part").len() > 0, "{file}");
        }
        let info = journal(&cluster, &["info", "--replica", "1"]).with_code(3).saying(&[&place]);
        assert!(
            info.out.contains(&format!("damage     {}", newest["file"].as_str().expect("a name"))),
            "{}",
            info.out
        );
        // What lies before it was all of what was asked for.
        let before = (seq - 1).to_string();
        let whole = journal(&cluster, &["dump", "--replica", "1", "--to", &before]).with_code(0).out;
        assert_eq!(whole.lines().count() as u64, seq - 1);
        journal(&cluster, &["dump", "--replica", "1", "--until", "2000-01-01"]).with_code(0);
        journal(&cluster, &["grep", "order", "--replica", "1", "--count", "1"]).with_code(0);
    }
}

#[test]
fn a_publishers_name_and_payload_are_shown_and_not_obeyed() {
    let cluster = Cluster::new(1, SMALL);
    let _replicas = cluster.found();
    let name = "evil\n\u{1b}[2Jquorum ok\r\u{9b}31m\u{202e}";
    cluster.run(&["publish", "--name", name, "--length-prefixed"], b"\x05\0\0\0\x1b[2Ja").with_code(0);
    let stored = || journal(&cluster, &["dump", "--replica", "1"]).with_code(0).out.contains("[2Ja");
    while !stored() {}
    for args in [&["info"][..], &["dump"], &["dump", "--format", "hex"], &["grep", "[2J"], &["ls"]] {
        let outcome = journal(&cluster, &[args, &["--replica", "1"]].concat()).with_code(0);
        let is_raw = |char: char| char.is_control() && !"\n\t".contains(char) || char == '\u{202e}';
        assert!(
            !outcome.out.contains(is_raw) && !outcome.err.contains(is_raw),
            "{args:?}: {:?}",
            outcome.out
        );
        assert!(!outcome.out.lines().any(|line| line.starts_with("quorum ok")), "{args:?}: {}", outcome.out);
    }
    let none = journal(&cluster, &["dump", "--replica", "1", "--publisher", "nobody"]).with_code(2);
    assert!(!none.err.contains('\u{1b}'), "{:?}", none.err);
    let events = cluster.read(&["--events"]).out;
    assert!(!events.contains('\u{1b}') && events.contains("\\u{1b}[2Jquorum ok"), "{events:?}");
}

/// The same with folders instead of a replica.
fn journal_of(args: &[&str], cluster: &Cluster) -> Outcome {
    let args: Vec<&str> = ["journal"].iter().chain(args).copied().collect();
    let bare = args[1] == "diff";
    if bare { crate::cli::run(crate::cli::command(&args), b"") } else { cluster.run(&args, b"") }
}
