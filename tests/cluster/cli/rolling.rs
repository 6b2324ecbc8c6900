//! `lockstep rolling` on real processes: a `systemctl` of the test's stands where the hosts' would.

// Waits for real processes.
use super::drill::{Drilled, await_whole};
use lockstep_testkit::processes::{Cluster, Outcome, Process, payloads};
use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What stands for systemd: it notes what it is asked for, ends and starts replicas, and breaks where a file
/// says so. A process that has ended may wait for its parent.
const SYSTEMCTL: &str = r#"#!/bin/sh
number=${2##*@}
echo "$1 $2" >>FOLDER/done
if [ -e FOLDER/refused-$number ]; then echo "no such unit: $2" >&2; exit 7; fi
if [ "$1" != start ]; then
  pid=$(cat FOLDER/pid-$number)
  kill -TERM $pid
  while kill -0 $pid 2>/dev/null && ! grep -q ') Z' /proc/$pid/stat; do sleep 0.02; done
fi
if [ "$1" != stop ] && [ ! -e FOLDER/broken-$number ]; then
  PROGRAM sequencer --replica $number --config FOLDER/cluster.toml </dev/null >/dev/null 2>>FOLDER/again-$number.log &
  echo $! >FOLDER/pid-$number
fi
"#;

/// Takeovers are ordered here: a busy machine adds none of its own.
const PATIENT: &str = "\n[timing]\nfailure_timeout = \"2s\"\nfailure_timeout_max = \"4s\"\n";

/// A cluster whose hosts are reached by a command, and its replicas as the test has started them.
struct Hosts {
    cluster: Cluster,
    _replicas: Vec<Process>,
}

impl Hosts {
    fn new() -> Self {
        let cluster = Cluster::new(3, PATIENT);
        let replicas = cluster.found();
        for (replica, number) in replicas.iter().zip(1..) {
            std::fs::write(cluster.path(&format!("pid-{number}")), replica.pid().to_string())
                .expect("a file");
        }
        let folder = cluster.path("").display().to_string();
        let text = SYSTEMCTL.replace("FOLDER/", &folder).replace("PROGRAM", env!("CARGO_BIN_EXE_lockstep"));
        let path = cluster.path("bin");
        std::fs::create_dir(&path).expect("a folder");
        std::fs::write(path.join("systemctl"), text).expect("a script");
        std::fs::set_permissions(path.join("systemctl"), PermissionsExt::from_mode(0o755)).expect("ours");
        await_whole(&cluster);
        Self { cluster, _replicas: replicas }
    }

    /// Runs a rolling change with short pauses.
    fn rolling(&self, kind: &str, more: &[&str]) -> Outcome {
        let bin = self.cluster.path("bin");
        let reach = format!("PATH={}:$PATH LOCKSTEP_HOST={{host}} sh -c {{command}}", bin.display());
        let mut args = vec!["rolling", kind, "--pause", "50ms", "--reach-with", &reach];
        args.extend(more);
        for flag in ["--timeout", "--back-within"] {
            if !more.contains(&flag) {
                args.extend([flag, "50s"]);
            }
        }
        self.cluster.run(&args, b"")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.cluster.path(name)
    }

    /// What the hosts were asked for so far.
    fn done(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("done")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn pids(&self, drilled: &Drilled<'_>) -> [u32; 3] {
        await_whole(&self.cluster);
        [1, 2, 3].map(|replica| drilled.pid(replica))
    }

    /// The two that follow, in order, and the leader.
    fn order(&self) -> [u32; 3] {
        let leader = self.cluster.leader();
        let mut order = [1, 2, 3];
        order.sort_by_key(|replica| (*replica == leader, *replica));
        order
    }
}

/// Publishes while `work` runs, and then shows that each message stands in the stream once, in its order.
pub fn under_load<T>(cluster: &Cluster, work: impl FnOnce() -> T) -> T {
    let mut load = cluster.start("load", &["publish", "--name", "load", "--timeout", "50s"]);
    let mut stdin = load.stdin().take().expect("piped");
    let is_over = AtomicBool::new(false);
    let (result, count) = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Acquire) {
                count += 1;
                writeln!(stdin, "load {count}").expect("it reads");
                std::thread::sleep(Duration::from_millis(2));
            }
            drop(stdin);
            count
        });
        let result = work();
        is_over.store(true, Ordering::Release);
        (result, publisher.join().expect("a thread"))
    });
    assert_eq!(load.wait().code(), Some(0), "{}", load.log());
    let read = cluster.read(&["--committed"]);
    let all = payloads(&read.out);
    let expected: Vec<_> = (1..=count).map(|number| format!("load {number}")).collect();
    // Those of a load before this one stand before it.
    let from = all.len().saturating_sub(count);
    assert!(all[from..] == expected, "{count} were published, and the stream ends with {:?}", &all[from..]);
    assert!(count > 10, "{count} messages are no load");
    result
}

#[test]
fn a_rolling_restart_takes_the_leader_last_and_no_message_is_lost() {
    let hosts = Hosts::new();
    let drilled = Drilled(&hosts.cluster);
    let (before, order) = (hosts.pids(&drilled), hosts.order());
    let planned = hosts.rolling("restart", &["--dry-run", "--hosts", "1=root@seq-a,2=seq-b"]).with_code(0);
    let first = order[0];
    let host = ["root@seq-a", "seq-b", "127.0.0.1"][first as usize - 1];
    let text = format!(
        "[1/3] restart of replica {first}\n  on {host}: systemctl restart lockstep-sequencer@{first}\n"
    );
    assert!(planned.out.starts_with(&text), "{}", planned.out);
    assert!(planned.out.contains(&format!("replica {}\n  lockstep handover\n", order[2])), "{}", planned.out);
    assert_eq!((hosts.done(), hosts.pids(&drilled)), (Vec::new(), before), "a dry run changes nothing");

    let outcome = under_load(&hosts.cluster, || hosts.rolling("restart", &[])).with_code(0);
    let expected = order.map(|replica| format!("restart lockstep-sequencer@{replica}"));
    assert_eq!(hosts.done(), expected);
    let after = hosts.pids(&drilled);
    assert!((0..3).all(|place| before[place] != after[place]), "{before:?} {after:?}");
    assert!(outcome.out.ends_with("done: restart of 3 nodes\n"), "{}", outcome.out);
    assert_ne!(hosts.cluster.leader(), order[2], "it has handed over");
}

#[test]
fn a_rolling_restart_stops_at_the_first_doubt_and_goes_on_where_it_stopped() {
    let hosts = Hosts::new();
    let drilled = Drilled(&hosts.cluster);
    let ([first, second, leader], before) = (hosts.order(), hosts.pids(&drilled));
    let pid_of_leader = before[leader as usize - 1];
    // The command is refused on the host: its words are told, and nothing else is touched.
    let refused = hosts.file(&format!("refused-{first}"));
    std::fs::write(&refused, "").expect("a file");
    let outcome = hosts.rolling("restart", &[]).with_code(1);
    let unit = format!("`systemctl restart lockstep-sequencer@{first}` on 127.0.0.1 failed: exit status: 7");
    let words = format!("{unit}: no such unit: lockstep-sequencer@{first}");
    outcome.saying(&[&words, "done: none", &format!("not touched: replica {second}, replica {leader}")]);
    assert_eq!((hosts.done().len(), hosts.pids(&drilled)), (1, before));
    std::fs::remove_file(&refused).expect("a file");
    // A command that does nothing is a doubt as well.
    let idle = hosts.rolling("restart", &["--restart", "true", "--back-within", "1s"]).with_code(4);
    idle.saying(&[
        &format!("the restart stopped at replica {first}: the process at 127.0.0.1:"),
        "the one from before",
    ]);
    assert_eq!(hosts.pids(&drilled), before);

    // A node does not come back: the leader is not touched.
    hosts.rolling("restart", &["--only", &first.to_string()]).with_code(0);
    let broken = hosts.file(&format!("broken-{second}"));
    std::fs::write(&broken, "").expect("a file");
    let only = format!("{second},{leader}");
    let flags = ["--only", &only, "--back-within", "2s", "--json"];
    let outcome = under_load(&hosts.cluster, || hosts.rolling("restart", &flags));
    let outcome = outcome.with_code(4).saying(&[
        &format!("the restart stopped at replica {second}: "),
        &format!("replica {second} does not answer at 127.0.0.1:"),
        &format!("\n  done: none\n  in doubt: replica {second}\n  not touched: replica {leader}\n"),
        &format!("with --only {only}"),
    ]);
    let json: Value = serde_json::from_str(&outcome.out).expect("JSON");
    assert_eq!(
        (&json["result"], &json["not_touched"][0]),
        (&"stopped".into(), &format!("replica {leader}").into())
    );
    assert_eq!((drilled.pid(leader), hosts.cluster.leader()), (pid_of_leader, leader));

    // Degraded, it is refused, also as a plan, and nobody is asked.
    let done = hosts.done();
    for more in [&[][..], &["--dry-run"]] {
        hosts.rolling("restart", more).with_code(4).saying(&[
            "the restart does not begin, and no node was touched: ",
            &format!("replica {second} does not answer"),
        ]);
    }
    assert_eq!((hosts.done(), drilled.pid(leader)), (done, pid_of_leader));

    std::fs::remove_file(&broken).expect("a file");
    let start = format!("{}/systemctl start lockstep-sequencer@{second}", hosts.file("bin").display());
    let started = std::process::Command::new("sh").args(["-c", &start]).status().expect("a shell");
    assert!(started.success());
    await_whole(&hosts.cluster);
    let rest = hosts.rolling("restart", &["--only", &only]).with_code(0);
    assert!(rest.out.ends_with("done: restart of 2 nodes\n"), "{}", rest.out);
    assert_ne!(drilled.pid(leader), pid_of_leader);
}

#[test]
fn a_rolling_upgrade_installs_between_stop_and_start_and_wants_the_release_of_each_node() {
    let hosts = Hosts::new();
    let drilled = Drilled(&hosts.cluster);
    let ([first, second, leader], before) = (hosts.order(), hosts.pids(&drilled));
    let done = hosts.file("done").display().to_string();
    let install = format!("echo 'install {{release}} for {{replica}}' >>{done}");
    let release = env!("CARGO_PKG_VERSION");
    // No node can have a release that there is not.
    let other = hosts.rolling("upgrade", &["--to", "9.9.9", "--install", &install]).with_code(1);
    other.saying(&[
        &format!("the upgrade stopped at replica {first}: the node at 127.0.0.1:"),
        &format!(" has release {release}, and not 9.9.9"),
        &format!("not touched: replica {second}, replica {leader}\n"),
    ]);
    let steps = |release: &str, replica: u32| {
        let unit = format!("lockstep-sequencer@{replica}");
        [format!("stop {unit}"), format!("install {release} for {replica}"), format!("start {unit}")]
    };
    assert_eq!(hosts.done(), steps("9.9.9", first));
    let after = hosts.pids(&drilled);
    assert_eq!(after[leader as usize - 1], before[leader as usize - 1]);

    std::fs::remove_file(&done).expect("a file");
    let upgrade = hosts.rolling("upgrade", &["--to", release, "--install", &install]).with_code(0);
    let expected: Vec<_> =
        [first, second, leader].iter().flat_map(|replica| steps(release, *replica)).collect();
    assert_eq!(hosts.done(), expected);
    assert!(upgrade.out.contains("`lockstep upgrade --finish`"), "{}", upgrade.out);
    let wrong = hosts.rolling("upgrade", &["--to", "1;reboot", "--install", "true"]).with_code(2);
    wrong.saying(&["write a release like 0.3.0"]);
}

#[test]
fn a_rolling_reload_goes_from_host_to_host_and_ends_where_a_file_is_refused() {
    let hosts = Hosts::new();
    let drilled = Drilled(&hosts.cluster);
    let ([first, second, leader], before) = (hosts.order(), hosts.pids(&drilled));
    let file = hosts.cluster.config().display().to_string();
    let program = env!("CARGO_BIN_EXE_lockstep");
    let reload = format!(
        "echo $LOCKSTEP_HOST >>{}; {program} reload --config {file} replica-{{replica}}",
        hosts.file("done").display()
    );
    let args = ["--hosts", "1=seq-1,2=seq-2,3=seq-3", "--reload", &reload];
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, format!("{text}\n[log]\nlevel = \"debug\"\n")).expect("the file");
    let outcome = hosts.rolling("reload", &args).with_code(0);
    for replica in 1..=3 {
        assert!(
            outcome.err.contains(&format!("replica-{replica}: log.level: info -> debug: in force")),
            "{}",
            outcome.err
        );
    }
    assert_eq!(hosts.done(), [first, second, leader].map(|replica| format!("seq-{replica}")));
    assert_eq!(hosts.pids(&drilled), before);
    assert_eq!(hosts.cluster.leader(), leader, "a reload wants no handover");

    // A file that the daemons refuse ends it on the first host.
    let wrong = format!("echo wrong >>{file}; {reload}");
    let refused =
        hosts.rolling("reload", &["--hosts", "1=seq-1,2=seq-2,3=seq-3", "--reload", &wrong]).with_code(1);
    std::fs::write(&file, text).expect("the file");
    refused.saying(&[&format!("the reload stopped at replica {first}: "), "not touched: replica "]);
    assert_eq!(hosts.done().len(), 4);
    let twice = hosts.rolling("reload", &["--hosts", "1=seq-1,1=seq-2"]).with_code(2);
    twice.saying(&["--hosts names two hosts of node 1"]);
    hosts.rolling("reload", &["--hosts", "2=-oProxyCommand=x"]).with_code(2).saying(&["is no host's name"]);
}
