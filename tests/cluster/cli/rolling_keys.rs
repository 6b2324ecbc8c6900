//! `lockstep rolling keys` on real processes, each with a folder of keys of its own, as hosts have.

// Waits for real processes.
use super::drill::await_whole;
use super::rolling::under_load;
use lockstep_testkit::netns::Place;
use lockstep_testkit::processes::{Cluster, Outcome, Process};
use serde_json::Value;
use std::fs;

/// Replicas whose keys lie in folders of their own; this host's folder is the operator's.
struct KeyHosts {
    cluster: Cluster,
    _replicas: Vec<Process>,
}

impl KeyHosts {
    fn new() -> Self {
        let cluster = Cluster::new(3, "\n[timing]\nfailure_timeout = \"2s\"\nfailure_timeout_max = \"4s\"\n");
        drop(cluster.found());
        let start = |id: u32| {
            let folder = cluster.path(&format!("keys-{id}"));
            let copied =
                std::process::Command::new("cp").arg("-a").arg(cluster.path("keys")).arg(&folder).status();
            assert!(copied.expect("cp").success());
            let mut command =
                cluster.command_at(&Place::host(), &["sequencer", "--replica", &id.to_string()]);
            command.env("LOCKSTEP_SECURITY_KEYS", &folder);
            cluster.start_command(&format!("replica-{id}"), command)
        };
        let replicas = (1..=3).map(start).collect();
        await_whole(&cluster);
        Self { cluster, _replicas: replicas }
    }

    /// Runs the command. A host with a file `refuses-N` takes no key file.
    fn rolling_keys(&self, more: &[&str]) -> Outcome {
        let (program, folder) = (env!("CARGO_BIN_EXE_lockstep"), self.cluster.path("").display().to_string());
        let reach = format!("LOCKSTEP_SECURITY_KEYS={folder}keys-{{replica}} sh -c {{command}}");
        let config = format!("--config {folder}cluster.toml");
        let import = format!(
            "if [ -e {folder}refuses-{{replica}} ]; then echo 'no room' >&2; exit 7; fi; {program} keys import {config}"
        );
        let reload = format!("{program} reload {config} replica-{{replica}}");
        let args = ["rolling", "keys", "--hosts", "1=seq-1,2=seq-2,3=seq-3", "--timeout", "50s"];
        let flags = ["--reach-with", &reach, "--import", &import, "--reload", &reload];
        self.cluster.run(&[&args[..], &flags, more].concat(), b"")
    }

    /// Uses and fingerprints of the generations in a folder.
    fn generations(&self, folder: &str) -> Vec<(String, String)> {
        let path = self.cluster.path(folder).join("replica.keys").display().to_string();
        let text = self.cluster.run(&["keys", "show", "--json", &path], b"").with_code(0).out;
        let shown: Value = serde_json::from_str(&text).expect("JSON");
        let word = |row: &Value, key: &str| row[key].as_str().expect("a word").to_owned();
        let rows = shown["generations"].as_array().expect("rows");
        rows.iter().map(|row| (word(row, "use"), word(row, "fingerprint"))).collect()
    }

    fn uses(&self, folder: &str) -> Vec<String> {
        self.generations(folder).into_iter().map(|(usage, _)| usage).collect()
    }
}

#[test]
fn keys_are_rotated_on_all_hosts_under_load_and_a_rotation_that_stopped_goes_on() {
    let hosts = KeyHosts::new();
    let planned = hosts.rolling_keys(&["--dry-run", "--until", "retired"]).with_code(0);
    let text = "the next generation is added, all seal with the newest one, 0 is retired\n";
    assert!(planned.out.starts_with(text), "{}", planned.out);
    assert_eq!(
        (hosts.uses("keys"), hosts.uses("keys-1")),
        (vec!["sealing".to_owned()], vec!["sealing".to_owned()])
    );
    let leader = hosts.cluster.leader();
    let [first, second] = [1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        panic!("two follow")
    };
    let refuses = |id: u32| hosts.cluster.path(&format!("refuses-{id}"));

    // Each load has the keys that a program has read before the step.
    under_load(&hosts.cluster, || {
        fs::write(refuses(second), "").expect("a file");
        hosts.rolling_keys(&[]).with_code(1).saying(&[
            &format!("on seq-{second} failed: exit code 7: no room"),
            &format!("have it: replica {first} on seq-{first}\n"),
            &format!("not touched: replica {leader} on seq-{leader}\n"),
        ]);
        assert_eq!(hosts.uses("keys"), ["sealing"], "no step begins before all have the one before");
        fs::remove_file(refuses(second)).expect("a file");
        // It stops in the middle of a step, and no step comes after it.
        hosts.cluster.run(&["keys", "rotate"], b"").with_code(0);
        fs::write(refuses(leader), "").expect("a file");
        hosts.rolling_keys(&["--until", "retired"]).with_code(1).saying(&["in doubt: replica ", "no room"]);
        assert_eq!(hosts.uses(&format!("keys-{first}")), ["sealing", "accepted"]);
        assert_eq!(hosts.uses(&format!("keys-{leader}")), ["sealing"]);
        fs::remove_file(refuses(leader)).expect("a file");
        // It goes on where it stopped: no further generation is drawn.
        let added = hosts.rolling_keys(&[]).with_code(0);
        assert!(added.out.contains("done: generation 1 is accepted, and 0 seals."), "{}", added.out);
    });
    under_load(&hosts.cluster, || {
        let sealed = hosts.rolling_keys(&["--until", "sealed"]).with_code(0);
        assert!(sealed.out.contains("every node seals with generation 1\n"), "{}", sealed.out);
        assert!(sealed.out.contains("done: generation 1 seals, and 0 is accepted still."), "{}", sealed.out);
        assert_eq!(hosts.uses("keys-2"), ["accepted", "sealing"]);
    });
    under_load(&hosts.cluster, || {
        let ended = hosts.rolling_keys(&["--until", "retired"]).with_code(0);
        assert!(ended.out.ends_with("done: generation 1 seals, and no other is accepted\n"), "{}", ended.out);
    });
    let expected = hosts.generations("keys");
    assert_eq!(expected.iter().map(|(usage, _)| &**usage).collect::<Vec<_>>(), ["retired", "sealing"]);
    for folder in ["keys-1", "keys-2", "keys-3"] {
        assert_eq!(hosts.generations(folder), expected, "{folder}");
    }
}

#[test]
fn a_host_takes_keys_that_follow_its_own_and_refuses_those_of_another_set_or_cluster() {
    let cluster = Cluster::new(3, "");
    drop(cluster.found());
    let file = |name: &str| cluster.path("keys").join(name);
    let import = |text: &str| cluster.run(&["keys", "import"], text.as_bytes());
    let own = fs::read_to_string(file("replica.keys")).expect("keys");
    let same = import(&own).with_code(0);
    assert!(same.out.contains("\"changed\":false") && !same.out.contains(own.trim()), "{}", same.out);
    cluster.run(&["keys", "rotate"], b"").with_code(0);
    let rotated = fs::read_to_string(file("replica.keys")).expect("keys");
    fs::write(file("replica.keys"), &own).expect("keys");
    let changed = import(&rotated).with_code(0);
    assert!(
        changed.out.contains("\"changed\":true") && changed.out.contains("\"accepted\""),
        "{}",
        changed.out
    );
    assert_eq!(fs::read_to_string(file("replica.keys")).expect("keys"), rotated);

    // A set that `keys new` has made elsewhere, another cluster's, and no keys at all.
    let folder = cluster.path("other");
    let mut new = cluster.command_at(&Place::host(), &["keys", "new"]);
    new.env("LOCKSTEP_SECURITY_KEYS", &folder);
    lockstep_testkit::processes::run(new, b"").with_code(0);
    let other = fs::read_to_string(folder.join("replica.keys")).expect("keys");
    import(&other)
        .with_code(2)
        .saying(&["its generation 0 has the fingerprint ", "another `lockstep keys new`"]);
    let line = own.lines().find(|line| line.starts_with("cluster ")).expect("a cluster");
    import(&own.replace(line, "cluster 7")).with_code(2).saying(&["stdin has keys of cluster 7"]);
    import("no keys").with_code(2).saying(&["stdin has no key file"]);
    assert_eq!(fs::read_to_string(file("replica.keys")).expect("keys"), rotated, "nothing was written");

    // A program's file takes the place of the one with the same key.
    let publisher = fs::read_to_string(file("publisher.keys")).expect("keys");
    fs::remove_file(file("publisher.keys")).expect("a file");
    import(&publisher).with_code(0);
    assert_eq!(fs::read_to_string(file("publisher.keys")).expect("keys"), publisher);
    cluster.run(&["keys", "add", "risk", "--names", "risk"], b"").with_code(0);
    let path = cluster.path("risk.keys").display().to_string();
    cluster.run(&["keys", "export", "--publisher", "risk", &path], b"").with_code(0);
    let risk = fs::read_to_string(&path).expect("keys");
    import(&risk).with_code(2).saying(&["has the key of another program"]);
}
