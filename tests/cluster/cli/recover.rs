//! `lockstep recover`: all replicas lose their memory at once, and the stream goes on with what is left.

use crate::cli::streams::{cursor, json};
use lockstep::config::Config;
use lockstep::config::NodeConfig;
use lockstep_node::journal_digest;
use lockstep_testkit::processes::{
    Cluster, PATIENCE, PRODUCT_TIMING, Process, command, freeze, payloads, run, signal_all,
};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn lines(from: usize, to: usize) -> String {
    (from..to).map(|number| format!("order {number:0>40}\n")).collect()
}

fn stop_all(processes: impl IntoIterator<Item = Process>) {
    for process in processes {
        let name = process.name().to_owned();
        assert_eq!(process.terminate(), Some(0), "{name}");
    }
}

/// All at once: nobody sees another one die.
fn kill_all(mut processes: Vec<Process>) {
    freeze(&processes);
    signal_all("KILL", &processes);
    for process in &mut processes {
        process.wait();
    }
}

/// The present segments of a journal, under `name`.
fn keep(cluster: &Cluster, id: u32, name: &str) {
    copy(&cluster.path(&format!("journal-{id}")), &cluster.path(name));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("segments")).expect("a folder");
    for entry in fs::read_dir(from.join("segments")).expect("a journal") {
        let entry = entry.expect("an entry");
        // A spare is renamed and removed while a journal is used.
        if entry.file_name() != "spare" {
            fs::copy(entry.path(), to.join("segments").join(entry.file_name())).expect("a copy");
        }
    }
    fs::copy(from.join("superblock"), to.join("superblock")).expect("a copy");
}

/// What a power cut does to a machine: memory is gone, and what the device had not written: its segments are
/// those that were kept.
fn cut_power(cluster: &Cluster, id: u32, copy: &str) {
    fs::remove_file(cluster.path(&format!("tail-{id}"))).expect("a tail");
    let (segments, copy) = (cluster.path(&format!("journal-{id}/segments")), cluster.path(copy));
    fs::remove_dir_all(&segments).expect("segments");
    fs::create_dir(&segments).expect("a folder");
    for entry in fs::read_dir(copy.join("segments")).expect("a copy") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), segments.join(entry.file_name())).expect("a copy");
    }
}

fn recover_json(cluster: &Cluster, args: &[&str]) -> Value {
    let args: Vec<&str> = ["recover", "--json"].iter().chain(args).copied().collect();
    json(&cluster.run(&args, b"").with_code(0).out)
}

/// Looks at a journal into a file, and returns what it says and the file.
fn look(cluster: &Cluster, name: &str, args: &[&str]) -> (Value, String) {
    let report = recover_json(cluster, args);
    let file = cluster.path(&format!("{name}.json"));
    fs::write(&file, report.to_string()).expect("a file");
    (report, file.display().to_string())
}

/// The others come back as new members.
fn rejoin(cluster: &Cluster, id: u32) -> Process {
    let journal = cluster.path(&format!("journal-{id}"));
    fs::rename(&journal, cluster.path(&format!("former-{id}"))).expect("moved away");
    let _ = fs::remove_file(cluster.path(&format!("tail-{id}"))); // the reboot may have taken it
    let identity = cluster.format(id);
    let mut process = cluster.start_replica(id);
    process.await_log("-> learner");
    let config = config(cluster);
    let address = config.node(id).expect("a replica").unicast.to_string();
    let add = ["membership", "add", &identity, "--address", &address, "--timeout", "30s"];
    cluster.run(&add, b"").with_code(0);
    process
}

fn config(cluster: &Cluster) -> Config {
    Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn digest_of(cluster: &Cluster, id: u32) -> String {
    let config = config(cluster);
    let settings = if id > 100 { config.archiver_node(id) } else { config.node(id) };
    let (digest, _) =
        journal_digest(&settings.expect("it is configured"), None).unwrap_or_else(|error| panic!("{error}"));
    digest.hex()
}

#[test]
fn after_a_power_cut_of_all_the_longest_journal_founds_a_history_and_a_reader_that_is_ahead_is_told() {
    let cluster = Cluster::new(3, "");
    cluster.add_archiver(102, "");
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 100));
    let begun = cluster.run(&["subscribe", "--count", "60"], b"").with_code(0);
    stop_all(replicas.drain(..).rev());
    (1..=3).for_each(|id| keep(&cluster, id, &format!("early-{id}")));
    let start = || (1..=3).map(|id| cluster.start_replica(id)).collect::<Vec<_>>();
    replicas = start();
    let mut archiver = cluster.start_archiver(102);
    archiver.await_log("-> learner");
    cluster.publish(&lines(100, 150));
    stop_when_equal(&cluster, archiver, 102);
    stop_all(replicas.drain(..).rev());
    keep(&cluster, 2, "later-2");
    replicas = start();
    let mut live = cluster.start("live", &["subscribe", "--from", "1"]);
    cluster.publish(&lines(150, 180));
    let ahead = cluster.read(&[]);
    assert_eq!(payloads(&ahead.out).len(), 180);
    kill_all(replicas);
    for (id, copy) in [(1, "early-1"), (2, "later-2"), (3, "early-3")] {
        cut_power(&cluster, id, copy);
    }

    // Nobody may vote with what it may have forgotten.
    for id in ["1", "2", "3"] {
        cluster.run(&["sequencer", "--replica", id], b"").with_code(3).saying(&["tail is gone"]);
    }
    // A look changes nothing, and says what it sees.
    let before = fs::read(cluster.path("journal-2/superblock")).expect("a superblock");
    let shown = cluster.run(&["recover", "--replica", "2"], b"").with_code(0);
    for text in ["complete   no: the tail is gone", "missing    ", "holds      seqs 1 to "] {
        assert!(shown.out.contains(text), "{text}: {}", shown.out);
    }
    shown.saying(&["nothing was changed", "--accept-loss"]);
    assert_eq!(fs::read(cluster.path("journal-2/superblock")).expect("a superblock"), before);
    let files: Vec<_> =
        (1..=3).map(|id| look(&cluster, &format!("look-{id}"), &["--replica", &id.to_string()])).collect();
    assert!(files.iter().all(|(report, _)| report["complete"] == false), "{files:?}");
    let args: Vec<&str> =
        ["recover", "--compare"].into_iter().chain(files.iter().map(|(_, file)| file.as_str())).collect();
    let compared = cluster.run(&args, b"").with_code(0).out;
    for text in
        ["look-2.json", "holds most", "0 of 3 members are complete", "recover --replica 2 --accept-loss"]
    {
        assert!(compared.contains(text), "{text}: {compared}");
    }

    // The operator's word.
    let founded = cluster.run(&["recover", "--replica", "2", "--accept-loss"], b"").with_code(0);
    founded.saying(&["now start the sequencer of replica 2", "membership add"]);
    let next = files[1].0["next"].as_u64().expect("a seq");
    let lost = 30;
    let mut first = cluster.start_replica(2);
    first.await_log("-> leader");
    // The reader that had seen more is told by how much, running and by cursor.
    assert_eq!(live.wait().code(), Some(3), "{}", live.log());
    // Of three replicas one answers: the command asks the others for so long.
    let args = ["subscribe", "--until-end", "--timeout", "3s", "--from", &cursor(&ahead.err)];
    let resumed = cluster.run(&args, b"").with_code(3);
    for output in [live.log(), resumed.err] {
        assert!(output.contains("entries that the stream does not have any more"), "{output}");
        assert!(output.contains(&format!("seqs {next} to ")), "{output}");
        let count = output.split("has seen ").nth(1).and_then(|rest| rest.split(' ').next());
        let count: u64 = count.and_then(|count| count.parse().ok()).expect("a number");
        assert!(count >= lost, "{count}: {output}");
    }

    // The others come back anew; the archiver that was not ahead goes on.
    let mut others = vec![rejoin(&cluster, 1), rejoin(&cluster, 3)];
    archiver = cluster.start_archiver(102);
    cluster.publish(&lines(200, 240));
    let whole = cluster.read(&[]);
    let expected = lines(0, 150) + &lines(200, 240);
    assert_eq!(payloads(&whole.out), expected.lines().collect::<Vec<_>>());
    let rest = cluster.read(&["--from", &cursor(&begun.err)]).saying(&["was founded at seq"]);
    assert_eq!(format!("{}{}", begun.out, rest.out), whole.out, "a reader goes on by its cursor");
    let status = cluster.run(&["status"], b"").with_code(0).out;
    assert!(status.starts_with("healthy: 3 of 3"), "{status}");
    let led = cluster.run(&["recover", "--replica", "1", "--accept-loss"], b"");
    assert_ne!(led.code, Some(0), "its journal is in use, and somebody leads: {}", led.err);

    archiver.await_log("-> learner");
    stop_when_equal(&cluster, archiver, 102);
    others.push(first);
    stop_all(others);
    for id in [1, 2, 3, 102] {
        assert_eq!(digest_of(&cluster, id), whole.digest(), "journal {id}");
        let (role, id) = (if id > 100 { "--archiver" } else { "--replica" }, id.to_string());
        cluster.run(&["format", role, &id, "--verify"], b"").with_code(0);
    }
}

/// Stops an archiver once it holds what the leader has committed.
fn stop_when_equal(cluster: &Cluster, archiver: Process, id: u32) {
    await_equal(cluster, id);
    stop_all([archiver]);
}

fn await_equal(cluster: &Cluster, id: u32) {
    let began = std::time::Instant::now();
    loop {
        let status = json(&cluster.run(&["status", "--json"], b"").out);
        let rows = status["replicas"].as_array().expect("rows").clone();
        let own =
            |row: &&Value| row["identity"].as_str().is_some_and(|text| text.starts_with(&format!("{id}:")));
        let end = rows.iter().find(own).and_then(|row| row["commit_next"].as_u64());
        let most = rows.iter().filter_map(|row| row["commit_next"].as_u64()).max();
        if end.is_some() && end == most {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{status}");
    }
}

#[test]
fn where_an_archiver_holds_all_a_copy_of_it_founds_the_history_and_running_readers_go_on() {
    let cluster = Cluster::new(3, "");
    cluster.add_archiver(101, "");
    let replicas = cluster.found();
    let mut archiver = cluster.start_archiver(101);
    archiver.await_log("-> learner");
    let mut live = cluster.start("live", &["subscribe", "--from", "1", "--count", "140"]);
    cluster.publish(&lines(0, 100));
    await_equal(&cluster, 101);
    kill_all(replicas);
    stop_all([archiver]);
    for id in 1..=3 {
        // Their disks are gone.
        fs::remove_dir_all(cluster.path(&format!("journal-{id}"))).expect("a journal");
        fs::remove_file(cluster.path(&format!("tail-{id}"))).expect("a tail");
    }
    let folder = cluster.path("journal-101").display().to_string();
    let report = recover_json(&cluster, &["--archiver", "101"]);
    assert_eq!((&report["complete"], &report["oldest_seq"]), (&true.into(), &1.into()), "{report}");
    let (_, file) = look(&cluster, "archived", &["--replica", "1", "--from", &folder]);
    let compared = cluster.run(&["recover", "--compare", &file], b"").with_code(0).out;
    assert!(
        compared.contains("not compared: 1:") && compared.contains("--from DIR --accept-loss"),
        "{compared}"
    );
    let refused = cluster.run(&["recover", "--archiver", "101", "--accept-loss"], b"").with_code(2);
    refused.saying(&["--replica"]);

    // What an earlier try left that was killed is no obstacle; a journal is.
    fs::create_dir_all(cluster.path("journal-1/segments")).expect("a folder");
    fs::write(cluster.path("journal-1/recovering"), "").expect("a mark");
    fs::write(cluster.path("journal-1/segments/0000000009.seg"), "half").expect("half a copy");
    let found = ["recover", "--replica", "1", "--from", &folder, "--accept-loss"];
    let before = fs::read(cluster.path("journal-101/superblock")).expect("a superblock");
    cluster.run(&found, b"").with_code(0);
    assert_eq!(fs::read(cluster.path("journal-101/superblock")).expect("a superblock"), before);
    assert!(!cluster.path("journal-1/recovering").exists());
    cluster.run(&found, b"").with_code(2).saying(&["journal-1", "not empty"]);

    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    archiver = cluster.start_archiver(101);
    fs::create_dir(cluster.path("journal-2")).expect("a folder");
    let second = rejoin(&cluster, 2);
    cluster.publish(&lines(100, 140));
    // It ran all along, and misses nothing.
    let read = live.read_all();
    assert_eq!(live.wait().code(), Some(0), "{}", live.log());
    assert_eq!(payloads(&read), lines(0, 140).lines().collect::<Vec<_>>());
    let whole = cluster.read(&[]);
    assert_eq!(whole.out, read);
    stop_when_equal(&cluster, archiver, 101);
    stop_all([second, first]);
    for id in [1, 2, 101] {
        assert_eq!(digest_of(&cluster, id), whole.digest(), "journal {id}");
    }
}

#[test]
fn a_backup_of_a_running_archiver_is_restored_by_a_founding_and_never_by_copying_it_back() {
    let cluster = Cluster::new(1, "");
    cluster.add_archiver(101, "");
    let replicas = cluster.found();
    let mut archiver = cluster.start_archiver(101);
    archiver.await_log("-> learner");
    cluster.publish(&lines(0, 2_000));
    let mut publisher = cluster.start("publisher", &["publish", "--name", "more"]);
    std::io::Write::write_all(&mut publisher.stdin().take().expect("piped"), lines(2_000, 4_000).as_bytes())
        .expect("it reads");
    let backup = cluster.path("backup");
    copy(&cluster.path("journal-101"), &backup);
    assert_eq!(publisher.wait().code(), Some(0), "{}", publisher.log());
    let all = cluster.read(&[]);
    kill_all(replicas);
    kill_all(vec![archiver]);
    for id in ["journal-1", "journal-101"] {
        fs::remove_dir_all(cluster.path(id)).expect("a journal");
    }
    ["tail-1", "tail-101"].iter().for_each(|tail| fs::remove_file(cluster.path(tail)).expect("a tail"));

    // Its copy is an archiver's journal that may have forgotten something: it says so.
    copy(&backup, &cluster.path("journal-101"));
    cluster.run(&["archiver", "--archiver", "101"], b"").with_code(3).saying(&["tail is gone"]);
    let folder = backup.display().to_string();
    let report = recover_json(&cluster, &["--replica", "1", "--from", &folder]);
    let next = report["next"].as_u64().expect("a seq");
    assert!(report["complete"] == false && next > 1, "{report}");
    cluster.run(&["recover", "--replica", "1", "--from", &folder, "--accept-loss"], b"").with_code(0);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    let restored = cluster.read(&[]);
    assert!(all.out.starts_with(&restored.out), "it is a prefix of what there was");
    let verified = {
        stop_all([first]);
        cluster.run(&["format", "--replica", "1", "--verify"], b"").with_code(0).out
    };
    assert!(verified.contains("no damage"), "{verified}");
}

#[test]
fn the_second_survivor_does_not_found_beside_the_first_and_two_founders_are_named_by_whoever_hears_both() {
    // Two lead that need nobody else: each begins before it hears the other.
    let cluster = Cluster::new(3, PRODUCT_TIMING);
    let replicas = cluster.found();
    cluster.publish(&lines(0, 10));
    stop_all(replicas.into_iter().rev());
    let found =
        |id: &str| cluster.run(&["recover", "--replica", id, "--accept-loss", "--timeout", "300ms"], b"");
    found("1").with_code(0);
    // Its journal lies on this host; nobody runs.
    found("2")
        .with_code(2)
        .saying(&["replica 1 is in history", "a second founder would serve a second stream"]);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    // A host that has its own journal alone: the other one answers, or is out of reach.
    let text = fs::read_to_string(cluster.config()).expect("the configuration");
    let elsewhere = cluster.path("elsewhere.toml");
    let elsewhere_text =
        text.replace("/journal-1\"", "/not-here-1\"").replace("/journal-3\"", "/not-here-3\"");
    fs::write(&elsewhere, elsewhere_text).expect("written");
    let config = elsewhere.display().to_string();
    let found_there = || {
        let args = ["recover", "--replica", "2", "--accept-loss", "--timeout", "300ms", "--config", &config];
        run(command(&args), b"")
    };
    found_there().with_code(2);
    assert_eq!(first.terminate(), Some(0));
    // Only an operator can look there.
    found_there().with_code(0).saying(&["replicas that do not answer", "1 (", "3 ("]);
    let (mut first, mut second) = (cluster.start_replica(1), cluster.start_replica(2));
    first.await_log("LS1231");
    second.await_log("LS1231");
    let status = cluster.run(&["status"], b"");
    assert!(status.code != Some(0), "{}", status.out);
    assert!(status.out.contains("leads another history"), "{}", status.out);
    let health = cluster.run(&["health"], b"").with_code(2);
    assert!(health.out.contains("leads another history"), "{}", health.out);
    stop_all([first, second]);
}

/// A script collects what each host prints, and compares all of it.
#[test]
fn a_host_without_a_journal_prints_that_as_json_and_the_others_are_compared() {
    let cluster = Cluster::new(3, "");
    let replicas = cluster.found();
    cluster.publish(&lines(0, 5));
    stop_all(replicas);
    fs::remove_dir_all(cluster.path("journal-2")).expect("its journal");
    let missing = cluster.run(&["recover", "--replica", "2", "--json"], b"");
    assert_ne!(missing.code, Some(0), "{missing:?}");
    missing.saying(&["journal-2"]);
    let mut args = vec!["recover".to_owned(), "--compare".to_owned()];
    for id in 1..=3 {
        let out = cluster.run(&["recover", "--replica", &id.to_string(), "--json"], b"").out;
        let file = cluster.path(&format!("{id}.json"));
        fs::write(&file, out).expect("a file");
        args.push(file.display().to_string());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let compared = cluster.run(&args, b"").with_code(0).out;
    for text in ["2 of 3 members are complete", "2.json", "that host had no journal there", "mount it"] {
        assert!(compared.contains(text), "{text}: {compared}");
    }
    fs::write(cluster.path("2.json"), "").expect("a file");
    cluster.run(&args, b"").with_code(2).saying(&["2.json is empty", "leave the file out"]);
}
