//! Joining a stream whose beginning is gone everywhere: by retention of size and of age, by `journal trim`,
//! by a backup that began late. Members are replaced and added, witnesses and archivers come, a cluster is
//! restored; each is whole, counts, and has the log of the others from the oldest entry that is kept.

mod upgraded;

use crate::cli::streams::{SMALL, json, lines};
use lockstep_testkit::processes::{Cluster, Outcome, Process, command, run, signal_all};
use lockstep_wire::write_open;
use serde_json::{Value, json as object};
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

/// Nothing here takes nearly so long; what hangs fails.
const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}: it does not come to be");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn info(cluster: &Cluster, id: u32) -> Value {
    let id = id.to_string();
    let read = || cluster.run(&["journal", "info", "--replica", &id, "--json"], b"");
    let mut info = read();
    // Retention may remove what is being read.
    until("a journal that can be read", || {
        let is_gone = info.err.contains("retention has removed it meanwhile");
        if is_gone {
            info = read();
        }
        !is_gone
    });
    json(&info.with_code(0).out)
}

pub fn number(info: &Value, key: &str) -> u64 {
    info[key].as_u64().unwrap_or_else(|| panic!("{key}: {info}"))
}

/// The machine of replica `id` is lost.
fn lose(cluster: &Cluster, id: u32) {
    let gone = (1..).map(|round| cluster.path(&format!("lost-{round}-{id}"))).find(|path| !path.exists());
    fs::rename(cluster.path(&format!("journal-{id}")), gone.expect("a name")).expect("moved");
    fs::remove_file(cluster.path(&format!("tail-{id}"))).expect("a tail");
}

pub fn kill(mut process: Process) {
    process.signal("KILL");
    process.wait();
}

/// The identities of the members.
pub fn members(cluster: &Cluster) -> Vec<String> {
    let shown = cluster.run(&["membership", "show", "--json"], b"").with_code(0).out;
    let members = json(&shown)["members"].as_array().expect("a list").clone();
    members.iter().map(|member| member["identity"].as_str().expect("an identity").to_owned()).collect()
}

pub fn member(cluster: &Cluster, id: u32) -> String {
    let begins = format!("{id}:");
    members(cluster).into_iter().find(|identity| identity.starts_with(&begins)).expect("a member")
}

/// A fresh journal of replica `id`, and its process.
fn fresh(cluster: &Cluster, id: u32) -> (String, Process) {
    let identity = cluster.format(id);
    (identity, cluster.start_replica(id))
}

/// Replica `id` has the log of replica `of` from its own oldest entry on, which is not the first.
pub fn has_log_of(cluster: &Cluster, id: u32, of: u32) {
    let next = number(&info(cluster, of), "next");
    until("its segments", || number(&info(cluster, id), "next") >= next);
    let oldest = number(&info(cluster, id), "oldest_seq");
    assert!(oldest > 1, "the beginning is gone");
    let [ours, theirs] = [id, of].map(|id| cluster.path(&format!("journal-{id}")).display().to_string());
    let diff = run(command(&["journal", "diff", &theirs, &ours]), b"").with_code(0).out;
    let from = oldest.max(number(&info(cluster, of), "oldest_seq"));
    assert!(diff.starts_with(&format!("equal from seq {from} to ")), "{diff}");
    let verified = cluster.run(&["journal", "verify", "--replica", &id.to_string()], b"").with_code(0);
    assert!(verified.out.contains("no damage"), "{}", verified.out);
}

pub fn is_healthy(cluster: &Cluster) -> Outcome {
    let mut status = cluster.run(&["status"], b"");
    let began = Instant::now();
    while status.code != Some(0) && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
        status = cluster.run(&["status"], b"");
    }
    status.with_code(0)
}

/// Three members whose journals have lost their beginning: everything was stopped and trimmed.
fn trimmed() -> (Cluster, Vec<Process>) {
    let cluster = Cluster::new(3, SMALL);
    let replicas = cluster.found();
    cluster.publish(&lines(0, 5_000));
    stop(&cluster, replicas);
    trim(&cluster, 3_000);
    let replicas = start(&cluster);
    (cluster, replicas)
}

/// Stops three members, whose logs are equal.
fn stop(cluster: &Cluster, replicas: Vec<Process>) {
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    for replica in replicas.into_iter().rev() {
        assert_eq!(replica.terminate(), Some(0));
    }
}

/// Removes what lies before that seq from the journals of three members, which are stopped.
fn trim(cluster: &Cluster, before: usize) {
    let before = before.to_string();
    for id in ["1", "2", "3"] {
        let trim = ["journal", "trim", "--replica", id, "--before", &before, "--accept-loss", "--yes"];
        cluster.run(&trim, b"").with_code(0);
    }
}

/// Starts three members, of which one leads.
fn start(cluster: &Cluster) -> Vec<Process> {
    let replicas = (1..=3).map(|id| cluster.start_replica(id)).collect();
    cluster.run(&["wait", "--for", "leader"], b"").with_code(0);
    replicas
}

/// Removes replica 1 or 2 from the members, whichever does not lead.
fn remove_a_standby(cluster: &Cluster) -> u32 {
    let mut out = 0;
    until("a removal", || {
        // A takeover of a busy machine may make it the leader meanwhile.
        out = if cluster.leader() == 1 { 2 } else { 1 };
        let removed = cluster.run(&["membership", "remove", &member(cluster, out)], b"");
        assert!(removed.code == Some(0) || removed.err.contains("leads"), "{}", removed.err);
        removed.code == Some(0)
    });
    out
}

#[test]
fn a_node_that_holds_nothing_joins_where_the_beginning_is_gone_everywhere() {
    let (cluster, mut replicas) = trimmed();
    assert!(number(&info(&cluster, 1), "oldest_seq") > 1);
    cluster.publish(&lines(5_000, 5_100));

    // Replaced.
    kill(replicas.pop().expect("replica 3"));
    let old = member(&cluster, 3);
    lose(&cluster, 3);
    let (new, mut third) = fresh(&cluster, 3);
    cluster.run(&["membership", "replace", &old, &new, "--timeout", "60s"], b"").with_code(0);
    third.await_log("begins with the tables of the oldest");
    cluster.publish(&lines(5_100, 5_200));
    is_healthy(&cluster);
    has_log_of(&cluster, 3, 2);

    // It counts: without it, nothing is committed by the other one alone. Then it starts again, killed.
    kill(replicas.remove(0));
    cluster.run(&["wait", "--for", "leader", "--timeout", "60s"], b"").with_code(0);
    cluster.publish(&lines(5_200, 5_300));
    replicas.insert(0, cluster.start_replica(1));
    is_healthy(&cluster);
    kill(third);
    let third = cluster.start_replica(3);
    cluster.publish(&lines(5_300, 7_000));
    is_healthy(&cluster);
    has_log_of(&cluster, 3, 1);

    // Removed, lost, and added; the one that gives is the one that joined last.
    let out = remove_a_standby(&cluster);
    kill(replicas.remove(out as usize - 1));
    lose(&cluster, out);
    let (new, added) = fresh(&cluster, out);
    cluster.run(&["membership", "add", &new, "--timeout", "60s"], b"").with_code(0);
    replicas.insert(out as usize - 1, added);
    cluster.publish(&lines(7_000, 7_100));
    is_healthy(&cluster);
    has_log_of(&cluster, out, 3);

    // As a witness, which stores a ring and counts.
    cluster.run(&["membership", "remove", &new], b"").with_code(0);
    kill(replicas.remove(out as usize - 1));
    lose(&cluster, out);
    let (new, witness) = fresh(&cluster, out);
    cluster.run(&["membership", "add", &new, "--witness", "--timeout", "60s"], b"").with_code(0);
    replicas.push(witness);
    cluster.publish(&lines(7_100, 7_200));
    is_healthy(&cluster);

    // An archiver that begins late, and a reader of all that is kept.
    cluster.add_archiver(101, "");
    let mut archiver = cluster.start_archiver(101);
    archiver.await_log("begins with the tables of the oldest");
    until("the archiver", || {
        let status = cluster.run(&["status"], b"").out;
        status.lines().any(|line| line.starts_with("101:") && line.contains("learner"))
    });
    let next = number(&info(&cluster, 3), "next");
    let archive = cluster.path("journal-101").display().to_string();
    until("its segments", || {
        let info = run(command(&["journal", "info", &archive, "--json"]), b"");
        info.code == Some(0) && number(&json(&info.out), "next") >= next
    });
    let read = cluster.read(&["--from", "oldest"]);
    assert_eq!(read.out.lines().last().map(|line| line.ends_with("7199")), Some(true), "{}", read.err);
    assert_eq!(archiver.terminate(), Some(0));
    signal_all("TERM", replicas.iter().chain([&third]));
}

/// Entries of days before, which the first run behind them removes.
fn aged(cluster: &Cluster, retention: &str) -> Vec<Process> {
    let old = Cluster::new(1, SMALL);
    let first = old.found();
    old.publish(&lines(0, 4_000));
    for replica in first {
        assert_eq!(replica.terminate(), Some(0));
    }
    let exported = cluster.path("exported");
    let name = exported.display().to_string();
    let args = ["journal", "export", "--replica", "1", "--format", "json", "--to-file", &name];
    old.run(&args, b"").with_code(0);
    const DAYS_NS: u64 = 3 * 86_400 * 1_000_000_000;
    let text = fs::read_to_string(&exported).expect("a file");
    let earlier = text.lines().map(|line| {
        let mut entry: Value = json(line);
        entry["timestamp_ns"] = number(&entry, "timestamp_ns").saturating_sub(DAYS_NS).into();
        format!("{entry}\n")
    });
    fs::write(&exported, earlier.collect::<String>()).expect("writing");
    cluster.run(&["journal", "import", "--replica", "1", &name, "--yes"], b"").with_code(0);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    assert!(number(&info(cluster, 1), "oldest_seq") <= 1 || !retention.is_empty());
    cluster.publish(&lines(0, 1_500));
    until("retention", || number(&info(cluster, 1), "oldest_seq") > 1);
    vec![first]
}

#[test]
fn a_cluster_grows_behind_retention_of_size_and_of_age() {
    for retention in ["retention_size = \"2MiB\"\n", "retention_age = \"1h\"\n"] {
        let tables = SMALL.replace("[stream]", &format!("{retention}\n[stream]"));
        let cluster = Cluster::new(3, &tables);
        let mut replicas = aged(&cluster, retention);
        for id in [2, 3] {
            let (new, process) = fresh(&cluster, id);
            cluster.run(&["membership", "add", &new, "--timeout", "60s"], b"").with_code(0);
            replicas.push(process);
        }
        cluster.publish(&lines(1_500, 1_600));
        is_healthy(&cluster);
        has_log_of(&cluster, 2, 1);
        has_log_of(&cluster, 3, 1);
        // Without the founder the two that joined are a quorum.
        kill(replicas.remove(0));
        cluster.run(&["wait", "--for", "leader", "--timeout", "60s"], b"").with_code(0);
        cluster.publish(&lines(1_600, 1_700));
    }
}

#[test]
fn a_cluster_restored_from_a_backup_that_began_late_is_joined_by_all() {
    let (cluster, replicas) = trimmed();
    let backup = cluster.path("backup").display().to_string();
    let made = cluster.run(&["backup", "--replica", "2", "--to", &backup, "--json"], b"").with_code(0).out;
    let oldest = number(&json(&made), "oldest_seq");
    assert!(oldest > 1, "{made}");
    signal_all("KILL", &replicas);
    for mut replica in replicas {
        replica.wait();
    }
    (1..=3).for_each(|id| lose(&cluster, id));
    cluster.run(&["restore", &backup, "--replica", "1"], b"").with_code(0);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    let mut replicas = vec![first];
    for id in [2, 3] {
        let (new, process) = fresh(&cluster, id);
        cluster.run(&["membership", "add", &new, "--timeout", "60s"], b"").with_code(0);
        replicas.push(process);
    }
    cluster.publish(&lines(5_000, 5_100));
    is_healthy(&cluster);
    for id in [2, 3] {
        has_log_of(&cluster, id, 1);
        assert_eq!(number(&info(&cluster, id), "oldest_seq"), oldest, "the oldest that is kept");
    }
}

/// Founds a cluster whose replica 3 stops early, and whose others no longer have what that one lacks. Returns
/// the others.
pub fn overtake_the_third(cluster: &Cluster) -> Vec<Process> {
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 200));
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    assert_eq!(replicas.pop().expect("replica 3").terminate(), Some(0));
    cluster.publish(&lines(200, 5_000));
    cluster.run(&["wait", "--for", "leader"], b"").with_code(0);
    for replica in replicas.into_iter().rev() {
        assert_eq!(replica.terminate(), Some(0));
    }
    for id in ["1", "2"] {
        let trim = ["journal", "trim", "--replica", id, "--before", "3000", "--accept-loss", "--yes"];
        cluster.run(&trim, b"").with_code(0);
    }
    let replicas = (1..=2).map(|id| cluster.start_replica(id)).collect();
    cluster.run(&["wait", "--for", "leader"], b"").with_code(0);
    replicas
}

/// A member that was away for longer than the others keep: it says so, and what helps, at once.
#[test]
fn a_node_whose_log_goes_on_in_no_journal_says_so_and_its_successor_joins() {
    let cluster = Cluster::new(3, SMALL);
    let _replicas = overtake_the_third(&cluster);
    let third = cluster.start_replica(3);
    until("its condition", || cluster.run(&["status"], b"").out.contains("no journal that answers has"));
    let health = cluster.run(&["health"], b"");
    assert_eq!(health.code, Some(2), "{}", health.out);
    assert!(health.out.contains("LS1107"), "{}", health.out);
    kill(third);
    let old = member(&cluster, 3);
    lose(&cluster, 3);
    let (new, _third) = fresh(&cluster, 3);
    cluster.run(&["membership", "replace", &old, &new, "--timeout", "60s"], b"").with_code(0);
    is_healthy(&cluster);
    has_log_of(&cluster, 3, 1);
}

/// Names of publishers: as many as a stream has without an alarm, by default.
const NAMES: u32 = 75_000;

/// A file for `journal import`: the opens of that many names, each as long as it may be.
fn with_many_names(cluster: &Cluster) -> String {
    let path = cluster.path("names");
    let mut out = std::io::BufWriter::new(fs::File::create(&path).expect("a file"));
    let mut payload = [0; 128];
    for id in 1..=NAMES {
        let len = write_open(&mut payload, [id.into(), 7], 1, &format!("{id:0>64}"));
        let hex: String = payload[..len].iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = object!({
            "schema": "lockstep.entry/1", "seq": id, "timestamp_ns": 1_790_000_000_000_000_000_u64 + u64::from(id),
            "kind": "open", "publisher": id, "publisher_seq": 0, "destination": 0, "part": null, "payload_hex": hex,
        });
        writeln!(out, "{entry}").expect("writing");
    }
    drop(out);
    path.display().to_string()
}

/// Most bytes of memory that a process has had, as its kernel counts them.
fn memory_max(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
}

/// The tables of a stream with many names are some 7 MiB, in hundreds of parts. A blank node begins with them
/// while the leader, which gives them, goes on; the joiner is killed on the way, and then the giver.
#[test]
fn a_blank_node_begins_with_tables_of_many_names_though_it_and_their_giver_are_killed() {
    let tables = SMALL.replace("[stream]", "retention_size = \"2MiB\"\n\n[stream]");
    let cluster = Cluster::new(3, &tables);
    let names = with_many_names(&cluster);
    cluster.run(&["journal", "import", "--replica", "1", &names, "--yes"], b"").with_code(0);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    cluster.publish(&lines(0, 4_000));
    until("retention", || number(&info(&cluster, 1), "oldest_seq") > u64::from(NAMES));
    let checkpoints = fs::read_dir(cluster.path("journal-1/segments")).expect("a folder").flatten();
    let largest =
        checkpoints.filter_map(|file| file.metadata().ok().map(|data| (file.file_name(), data.len())));
    let largest =
        largest.filter(|(name, _)| name.to_string_lossy().ends_with(".ckp")).map(|(_, len)| len).max();
    assert!(largest > Some(6 << 20), "the tables: {largest:?} bytes");
    let before = memory_max(&first);

    // The joiner is killed at some places of its beginning, the giver at another.
    let identity = cluster.format(2);
    for pause_ms in [50, 200, 600] {
        let joiner = cluster.start_replica(2);
        cluster.publish(&lines(0, 5));
        std::thread::sleep(Duration::from_millis(pause_ms));
        kill(joiner);
    }
    let mut second = cluster.start_replica(2);
    std::thread::sleep(Duration::from_millis(100));
    let grown = memory_max(&first).saturating_sub(before);
    assert!(grown < 8 * largest.unwrap_or(0), "giving grows by {grown} bytes");
    kill(first);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    second.await_log("begins with the tables of the oldest");
    cluster.run(&["membership", "add", &identity, "--timeout", "100s"], b"").with_code(0);
    let (third, mut last) = fresh(&cluster, 3);
    for number in 0..20 {
        cluster.publish(&lines(number, number + 1));
    }
    last.await_log("begins with the tables of the oldest");
    cluster.run(&["membership", "add", &third, "--timeout", "100s"], b"").with_code(0);
    is_healthy(&cluster);
    has_log_of(&cluster, 2, 1);
    has_log_of(&cluster, 3, 2);
    signal_all("TERM", [&first, &second, &last]);
}
