//! `lockstep journal`: a reader beside the node that writes, and after its stop.

use crate::cli::streams::{SMALL, json, lines};
use lockstep_testkit::processes::{Cluster, Outcome, payloads};
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
    let before = state_of(&dir);

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
    assert_eq!((since("2100-01-01"), since("1h").lines().count()), (String::new(), seqs.len()));
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
    assert_eq!(dump.read_stdout(4), b"1\t20");
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

/// The same with folders instead of a replica.
fn journal_of(args: &[&str], cluster: &Cluster) -> Outcome {
    let args: Vec<&str> = ["journal"].iter().chain(args).copied().collect();
    let bare = args[1] == "diff";
    if bare { crate::cli::run(crate::cli::command(&args), b"") } else { cluster.run(&args, b"") }
}
