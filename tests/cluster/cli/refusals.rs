//! Commands that are refused, or cannot be done: each with its message and its exit code.

use lockstep_testkit::processes::{Cluster, Outcome, Process, command, command_of, is_root, payloads, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn the_same_replica_twice_is_refused_while_the_first_one_runs() {
    let cluster = Cluster::new(1, "");
    let mut replicas = cluster.found();
    let second = cluster.run(&["sequencer", "--replica", "1"], b"").with_code(1);
    let pid = replicas[0].pid().to_string();
    second.saying(&["journal-1", &pid, "has it open", "stop that one"]);
    // And in the file, which would start it elsewhere.
    let text = fs::read_to_string(cluster.config()).expect("the file");
    let tables = text.split("\n[[replicas]]").nth(1).expect("a replica").split("\n[").next().expect("it");
    let copy = tables.replace("-1\"", "-2\"").replace("127.0.0.1:", "127.0.0.1:1");
    fs::write(cluster.config(), text.replace(tables, &format!("{tables}\n[[replicas]]{copy}")))
        .expect("a write");
    let twice = cluster.run(&["sequencer", "--replica", "1"], b"").with_code(2);
    twice.saying(&["LS0113", "replicas.1.id"]);
    assert_eq!(replicas.remove(0).terminate(), Some(0));
}

#[test]
fn a_journal_of_another_cluster_is_refused() {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    cluster.write_config("127.0.0.1", "");
    let foreign = cluster.run(&["sequencer", "--replica", "1"], b"").with_code(2);
    foreign.saying(&[
        "journal-1",
        "a journal of cluster 0x",
        "this is cluster 0x",
        "give the right directory",
    ]);
}

#[test]
fn a_replica_whose_address_is_not_the_interfaces_is_refused_with_both() {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    let text = fs::read_to_string(cluster.config()).expect("the file");
    fs::write(cluster.config(), text.replace("unicast = \"127.0.0.1:", "unicast = \"127.0.0.12:"))
        .expect("a write");
    let refused = cluster.run(&["sequencer", "--replica", "1", "--until-stdin-ends"], b"").with_code(1);
    refused.saying(&["127.0.0.12", "configured by its address 127.0.0.1"]);
}

#[test]
fn a_journal_of_another_version_is_refused() {
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    let path = cluster.path("journal-1/superblock");
    let mut bytes = fs::read(&path).expect("a superblock");
    for block in bytes.chunks_exact_mut(4096) {
        block[8..12].copy_from_slice(&7u32.to_le_bytes());
        // The checksum is of all but itself.
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..]);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
    fs::write(&path, bytes).expect("a write");
    cluster.run(&["sequencer", "--replica", "1"], b"").with_code(2).saying(&["journal-1", "version 7"]);
}

#[test]
fn a_message_that_is_too_long_is_named_by_its_line_with_the_limit_and_the_remedy() {
    let cluster = Cluster::new(1, "message_len_max = 1500\n");
    let _replicas = cluster.found();
    let input = format!("one\ntwo\n{}\nfour\n", "x".repeat(2000));
    let refused = cluster.run(&["publish", "--name", "orders"], input.as_bytes()).with_code(2);
    refused.saying(&[
        "line 3: 2000 bytes",
        "the limit is 1500",
        "split it",
        "stream.message_len_max",
        "2 published, 2 committed",
    ]);
    assert_eq!(payloads(&cluster.read(&[]).out), ["one", "two"], "what came before it is in the stream");
}

#[test]
fn a_flag_that_does_not_exist_is_refused_and_the_right_one_is_proposed() {
    let refused = run(command(&["status", "--jsno"]), b"").with_code(2);
    assert_eq!(refused.out, "");
    refused.saying(&["--jsno", "--json"]);
    let cluster = Cluster::new(1, "");
    let set = cluster.run(&["format", "--replica", "1", "--set", "timing.beet=5ms"], b"").with_code(2);
    set.saying(&["LS0123", "timing.beet", "--set timing.beet"]);
    cluster.run(&["format", "--replica", "9"], b"").with_code(2).saying(&["no replica 9; the file has 1"]);
}

#[test]
fn a_missing_file_is_named_with_what_to_name_instead() {
    let missing =
        run(command(&["sequencer", "--replica", "1", "--config", "/no/such.toml"]), b"").with_code(2);
    missing.saying(&["LS0100", "/no/such.toml", "name a readable file"]);
    let cluster = Cluster::new(1, "");
    let missing = cluster.run(&["publish", "--name", "orders", "/no/such.txt"], b"").with_code(2);
    missing.saying(&["/no/such.txt", "name a file of messages, or - for stdin"]);
    let blank = cluster.run(&["sequencer", "--replica", "1"], b"").with_code(2);
    blank.saying(&["journal-1", "there is no journal here", "`format` creates one"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let cluster = Cluster::new(1, "");
    // Not even root makes a folder there.
    let text = fs::read_to_string(cluster.config()).expect("the file");
    let path = cluster.path("journal-1").display().to_string();
    fs::write(cluster.config(), text.replace(&path, "/proc/lockstep")).expect("a write");
    cluster.run(&["format", "--replica", "1"], b"").with_code(1).saying(&["/proc/lockstep"]);
}

#[test]
fn a_history_is_started_once_by_those_who_can_be_heard() {
    let cluster = Cluster::new(3, "");
    let identities: Vec<_> = (1..=3).map(|id| cluster.format(id)).collect();
    let ask = |more: &[&str]| {
        let mut args = vec!["bootstrap", "--replica", "1", "--timeout", "300ms"];
        args.extend(more);
        cluster.run(&args, b"")
    };
    ask(&["--identity", &identities[1]]).with_code(4).saying(&["no answer within 300ms from replica 3 ("]);
    ask(&["--identity", "2"]).with_code(2).saying(&["like 2:0a3f9c1"]);
    ask(&["--identity", "9:1"]).with_code(2).saying(&["no replica 9"]);
    ask(&["--identity", "1:1"]).with_code(2).saying(&["is not what the journal of replica 1"]);
    ask(&["--identity", "2:1", "--identity", "2:2"]).with_code(2).saying(&["one replica twice"]);
    let all = ["--identity", &identities[1], "--identity", &identities[2], "--json"];
    let output = ask(&all).with_code(0).out;
    let output: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(
        (&output["schema"], &output["members"][2]["identity"]),
        (&"lockstep.bootstrap/1".into(), &identities[2].clone().into())
    );
    assert_ne!(ask(&all).code, Some(0), "a second history on one journal");
    cluster.run(&["format", "--replica", "1"], b"").with_code(2).saying(&["not empty", "never overwrites"]);
}

#[test]
fn who_waits_for_a_cluster_that_is_not_there_exits_4() {
    let cluster = Cluster::new(1, "");
    let end = cluster.run(&["subscribe", "--until-end", "--timeout", "300ms"], b"").with_code(4);
    end.saying(&["no replica with a history answered within 300ms", "127.0.0.1:"]);
    let silent = cluster.run(&["subscribe", "--timeout", "300ms"], b"").with_code(4);
    silent.saying(&["nothing was delivered for 300ms"]);
    let patient = cluster.run(&["subscribe", "--timeout", "3500ms"], b"").with_code(4);
    patient.saying(&["no leader is received; still waiting: replicas: 1 does not answer"]);
    let open = cluster.run(&["publish", "--name", "orders", "--timeout", "300ms"], b"x\n").with_code(4);
    open.saying(&["publisher 'orders' was not opened within 300ms"]);
}

#[test]
fn damage_in_a_segment_is_named_with_exit_code_3() {
    let cluster = Cluster::new(1, "");
    let mut replicas = cluster.found();
    cluster.publish("to be damaged\n");
    cluster.publish("behind it\n");
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    let folder = fs::read_dir(cluster.path("journal-1/segments")).expect("a journal");
    let text = b"to be damaged";
    let found = folder.filter_map(Result::ok).find_map(|entry| {
        let bytes = fs::read(entry.path()).ok()?;
        let at = bytes.windows(text.len()).position(|window| window == text)?;
        Some((entry.path(), bytes, at))
    });
    let (path, mut bytes, at) = found.expect("the message is in a segment");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("a write");
    let verified = cluster.run(&["format", "--replica", "1", "--verify"], b"").with_code(3);
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    verified.saying(&["is damaged", &name, "at byte", "seq "]);
}

/// A shell behind namespaces of its own that does `prepare` and then becomes our program.
fn behind(unshare: &[&str], prepare: &str, args: &[String]) -> Command {
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-ec", &format!("{prepare}\nexec \"$@\"")]);
    command.args(["sh", env!("CARGO_BIN_EXE_lockstep")]);
    command_of(command, args)
}

fn can(unshare: &[&str], what: &str) -> bool {
    let probe = Command::new("unshare").args(unshare).args(["sh", "-ec", what]).output();
    is_root() && probe.is_ok_and(|output| output.status.success())
}

#[test]
fn an_interface_without_multicast_is_refused_with_the_command_that_mends_it() {
    let dummy = "ip link add quiet0 type veth peer name quiet1\nip addr add 10.99.0.1/24 dev quiet0\nip link set quiet0 multicast off up";
    if !can(&["--net"], dummy) {
        println!("SKIPPED: an interface without multicast needs root and a network namespace");
        return;
    }
    let cluster = Cluster::new(1, "");
    cluster.format(1);
    let args = cluster.args(&["sequencer", "--replica", "1", "--interface", "quiet0"]);
    let refused = run(behind(&["--net"], dummy, &args), b"").with_code(1);
    refused.saying(&["quiet0", "no MULTICAST flag", "ip link set quiet0 multicast on"]);
}

/// The only replica of a cluster, which leads, on a disk that is mounted with these options. `None` where
/// there can be no such disk.
fn on_a_small_disk(options: &str) -> Option<(Cluster, Process)> {
    let probe = "mkdir -p /tmp/lockstep-probe-$$\nmount -t tmpfs none /tmp/lockstep-probe-$$";
    let enough = Path::new("/proc/self/ns/mnt").exists();
    if !enough
        || !can(
            &["--mount"],
            &format!("{probe}\numount /tmp/lockstep-probe-$$\nrmdir /tmp/lockstep-probe-$$"),
        )
    {
        println!("SKIPPED: a full disk of a sequencer needs root and a mount namespace");
        return None;
    }
    let more =
        "\n[journal]\ntail_size = \"1MiB\"\nsegment_size = \"1MiB\"\n[stream]\nwindow_bytes = \"256KiB\"\n";
    let cluster = Cluster::new(1, more);
    cluster.format(1);
    cluster.run(&["bootstrap", "--replica", "1"], b"").with_code(0);
    let journal = cluster.path("journal-1").display().to_string();
    let small = format!(
        "mv {journal} {journal}.old\nmkdir {journal}\nmount -t tmpfs -o {options} none {journal}\ncp -a {journal}.old/. {journal}"
    );
    let args = cluster.args(&["sequencer", "--replica", "1"]);
    let mut replica = cluster.start_command("replica-1", behind(&["--mount"], &small, &args));
    replica.await_log("-> leader");
    Some((cluster, replica))
}

/// The journal's disk of this replica has other options from now on.
fn remount(cluster: &Cluster, replica: &Process, options: &str) {
    let pid = replica.pid().to_string();
    let output = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "mount", "-o", &format!("remount,{options}")])
        .arg(cluster.path("journal-1"))
        .output()
        .expect("nsenter");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The same on a disk of 3 MiB, with more handed in than that takes: what `publish` printed.
pub fn on_a_full_disk() -> Option<(Cluster, Process, Outcome)> {
    let (cluster, replica) = on_a_small_disk("size=3m")?;
    let input: String = (0..8_000).map(|number| format!("{number:01000}\n")).collect();
    let stuck =
        cluster.run(&["publish", "--name", "orders", "--timeout", "2s"], input.as_bytes()).with_code(4);
    Some((cluster, replica, stuck))
}

#[test]
fn a_full_disk_is_told_nothing_is_acknowledged_that_is_not_stored_and_room_ends_it() {
    let Some((cluster, mut replica, stuck)) = on_a_full_disk() else { return };
    stuck.saying(&["not committed within 2s"]);
    replica.await_log("segments end at seq");
    let output = cluster.run(&["status"], b"").with_code(6).out;
    let first = output.lines().next().unwrap_or_default();
    assert!(first.starts_with("degraded: replica 1: ") && first.contains("the disk is full"), "{output}");
    remount(&cluster, &replica, "size=64m");
    replica.await_log("over: the disk is full");
    let published = cluster.publish("after that\n");
    let seq = published.err.rsplit_once(" to ").and_then(|(_, rest)| rest.split_once(',')).expect("a seq").0;
    assert_eq!(payloads(&cluster.read(&["--from", seq]).out), ["after that"]);
    assert_eq!(replica.terminate(), Some(0));
}

#[test]
fn a_disk_that_runs_low_on_inodes_or_bytes_is_told_while_it_still_takes_messages() {
    let Some((cluster, mut replica)) = on_a_small_disk("size=64m,nr_inodes=40") else { return };
    for (option, enough, what) in [
        ("nr_inodes=40", "nr_inodes=4096", "few inodes of the journal's disk are left"),
        ("size=6m", "size=64m", "few bytes of the journal's disk are left"),
    ] {
        remount(&cluster, &replica, option);
        replica.await_log(what);
        let output = cluster.run(&["status"], b"").with_code(6).out;
        assert!(output.lines().next().is_some_and(|first| first.contains(what)), "{output}");
        let health = cluster.run(&["health"], b"").with_code(1).out;
        assert!(health.contains("WARNING") && health.contains(what), "{health}");
        cluster.publish("it goes on\n");
        remount(&cluster, &replica, enough);
        replica.await_log(&format!("over: {what}"));
    }
    cluster.run(&["health"], b"").with_code(0);
    assert_eq!(replica.terminate(), Some(0));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it is the other process")]
fn a_port_that_another_process_has_is_named_with_what_to_do() {
    let cluster = Cluster::new(1, "");
    let users = cluster.path("users.toml");
    let users = users.to_str().expect("a path of text");
    cluster.run(&["gateway", "user", "add", "alice", "--users", users], b"secret").with_code(0);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken = tcp.local_addr().expect("it").to_string();
    let gateway = cluster.run(&["gateway", "--listen", &taken, "--users", users], b"").with_code(1);
    gateway.saying(&[&taken, "--listen", "another process has that port", "choose another port"]);
    let taken = udp.local_addr().expect("it").to_string();
    let feed = cluster.run(&["feed", "--group", "239.77.7.7:7007", "--requests", &taken], b"").with_code(1);
    feed.saying(&[&taken, "listen for requests", "another process has that port", "choose another port"]);
    let foreign = cluster
        .run(
            &["gateway", "--listen", "192.0.2.1:9000", "--users", users, "--set", "gateway.clear_text=true"],
            b"",
        )
        .with_code(1);
    foreign.saying(&["192.0.2.1:9000", "this host has no such address"]);
}

/// `lockstep` in a folder of its own, where nothing is beside it.
fn alone() -> (tempfile::TempDir, std::path::PathBuf) {
    let program = lockstep_testkit::processes::program();
    let folder = tempfile::TempDir::new_in(program.parent().expect("its folder")).expect("a folder");
    let alone = folder.path().join("lockstep");
    fs::hard_link(program, &alone).expect("a second name on the same disk");
    (folder, alone)
}

#[test]
fn a_program_that_is_not_beside_this_one_is_named_with_the_command_that_builds_it() {
    let (folder, program) = alone();
    for (name, package) in [
        ("demo", "cargo run --release -p lockstep-demo"),
        ("dev", "cargo run --release -p lockstep-demo"),
        ("sim", "cargo build --release -p lockstep-sim-program"),
        ("netsim", "cargo build --release -p lockstep-sim-program"),
        ("lab", "cargo build --release -p lockstep-lab"),
        ("bridge", "cargo build --release -p lockstep-bridge"),
    ] {
        let mut command = command_of(Command::new(&program), &[name, "--help"]);
        command.env("PATH", folder.path());
        run(command, b"").with_code(4).saying(&["is a program of its own", package]);
    }
}

#[test]
fn a_program_beside_this_one_gets_what_was_passed_as_it_is_and_its_exit_code_is_ours() {
    let (folder, program) = alone();
    for (name, beside, first) in [
        ("demo", "lockstep-demo", "demo "),
        ("dev", "lockstep-demo", "dev "),
        ("sim", "lockstep-sim", "sim "),
        ("netsim", "lockstep-sim", "netsim "),
        ("lab", "lockstep-lab", ""),
        ("bridge", "lockstep-bridge", ""),
    ] {
        let script = folder.path().join(beside);
        fs::write(&script, "#!/bin/sh\necho \"$@\"\nexit 5\n").expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
        let ran = run(command_of(Command::new(&program), &[name, "--help", "-x", "--", "y"]), b"");
        assert_eq!(ran.with_code(5).out, format!("{first}--help -x -- y\n"), "{name}");
    }
}
