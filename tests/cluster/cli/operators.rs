//! The operator's commands on real processes: who leads, who votes, and how a dead member is replaced.

use lockstep_testkit::processes::{Cluster, Process, cpu_shares};
use serde_json::Value;

fn json(cluster: &Cluster, args: &[&str]) -> Value {
    let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
    let out = cluster.run(&args, b"").with_code(0).out;
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The identities of the members, by replica.
fn members(cluster: &Cluster) -> Vec<String> {
    let shown = json(cluster, &["membership", "show"]);
    assert_eq!(shown["schema"], "lockstep.membership/1");
    let list = shown["members"].as_array().expect("a list").clone();
    let mut list: Vec<_> =
        list.iter().map(|member| member["identity"].as_str().expect("text").to_owned()).collect();
    list.sort();
    list
}

fn leader(cluster: &Cluster) -> String {
    status(cluster)["leader"].as_str().expect("somebody leads").to_owned()
}

/// What `status` tells programs, whatever the health.
fn status(cluster: &Cluster) -> Value {
    let output = cluster.run(&["status", "--json"], b"");
    let value: Value =
        serde_json::from_str(&output.out).unwrap_or_else(|error| panic!("{error}: {}", output.out));
    let code = match value["health"].as_str() {
        Some("healthy") => 0,
        Some("degraded") => 6,
        _ => 4,
    };
    assert_eq!(output.code, Some(code), "{value}");
    value
}

fn address(cluster: &Cluster, replica: u32) -> String {
    let status = status(cluster);
    let replicas = status["replicas"].as_array().expect("a list").clone();
    let is_it =
        |row: &&Value| row["identity"].as_str().is_some_and(|text| text.starts_with(&format!("{replica}:")));
    replicas.iter().find(is_it).expect("it answers")["address"].as_str().expect("text").to_owned()
}

fn kill(mut process: Process) {
    process.signal("KILL");
    process.wait();
}

/// What an operator does with a machine that lost its disk.
fn format_anew(cluster: &Cluster, replica: u32) -> String {
    std::fs::remove_dir_all(cluster.path(&format!("journal-{replica}"))).expect("a journal");
    std::fs::remove_file(cluster.path(&format!("tail-{replica}"))).expect("a tail");
    cluster.format(replica)
}

#[test]
fn a_leader_hands_over_and_a_dead_member_is_replaced_while_messages_flow() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("before\n");
    let listed = members(&cluster);
    assert_eq!((listed.len(), &leader(&cluster)), (3, &listed[0]));

    let output = cluster.run(&["handover", "--to", "2"], b"").with_code(0);
    assert!(output.out.starts_with(&format!("{} leads", listed[1])), "{}", output.out);
    assert_eq!(leader(&cluster), listed[1]);
    cluster.publish("handed over\n");
    cluster.run(&["handover", "--to", "9"], b"").with_code(2).saying(&["9 is no member"]);
    let own = cluster.run(&["membership", "remove", &listed[1]], b"").with_code(1);
    own.saying(&["leads", "lockstep handover"]);

    let (dead, its_address) = (listed[2].clone(), address(&cluster, 3));
    kill(replicas.pop().expect("three"));
    let output = cluster.run(&["status"], b"").with_code(6).out;
    let first = output.lines().next().expect("a verdict");
    assert!(first.starts_with(&format!("degraded: replica 3 does not answer at {its_address}")), "{output}");
    assert!(first.ends_with("; 2 of 3 hold the log, no member may crash"), "{output}");
    assert!(output.contains(&format!("{dead:<11} does not answer")), "{output}");
    replicas[1]
        .await_log(&format!("member {dead} is unavailable: it is silent; 2 of 3 members hold the log now"));
    replicas[1].await_log("LS1011");
    cluster.publish("one is dead\n");
    let new = format_anew(&cluster, 3);
    // The file has its address.
    let add = ["membership", "add", &new];
    cluster.run(&add, b"").with_code(2).saying(&["another identity of replica 3", "removed first"]);
    let output = cluster.run(&["membership", "remove", &dead], b"").with_code(0);
    assert!(output.saying(&["2 members are left, 0 of them may crash"]).out.contains("committed"));
    cluster
        .run(&["membership", "remove", &dead], b"")
        .with_code(2)
        .saying(&["nothing was removed", "is no member"]);

    let early = [add.as_slice(), &["--timeout", "300ms"]].concat();
    cluster.run(&early, b"").with_code(4).saying(&["does not hold the stream within 300ms"]);
    replicas.push(cluster.start_replica(3));
    cluster.run(&add, b"").with_code(0);
    assert_eq!(members(&cluster), [listed[0].clone(), listed[1].clone(), new]);
    cluster.publish("replaced\n");

    // The new one counts: with it, another may die.
    kill(replicas.remove(0));
    cluster.publish("and one more is dead\n");
    let read = cluster.read(&[]);
    assert_eq!(lockstep_testkit::processes::payloads(&read.out).len(), 5);
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

/// Between a removal and an addition no member may crash. In one step there is no between.
#[test]
fn a_dead_member_is_replaced_in_one_step_and_the_next_crash_is_survived() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("before\n");
    let listed = members(&cluster);
    kill(replicas.pop().expect("three"));
    let new = format_anew(&cluster, 3);
    let wrong = |old: &str, new: &str, why: &[&str]| {
        cluster.run(&["membership", "replace", old, new, "--timeout", "2s"], b"").with_code(2).saying(why);
    };
    wrong(&listed[1], &new, &["they are two replicas", "membership add"]);
    wrong(&listed[2], &listed[2], &["one identity"]);
    wrong("3:0000001", &new, &[&format!("the member of replica 3 is {}", listed[2])]);
    wrong(&listed[0], "1:0000001", &["leads", "lockstep handover"]);
    let replace = ["membership", "replace", &listed[2], &new];
    let early = [replace.as_slice(), &["--timeout", "300ms"]].concat();
    cluster.run(&early, b"").with_code(4).saying(&["does not hold the stream within 300ms"]);

    replicas.push(cluster.start_replica(3));
    cluster.run(&replace, b"").with_code(0).saying(&["in the place of"]);
    assert_eq!(members(&cluster), [listed[0].clone(), listed[1].clone(), new.clone()]);
    cluster.run(&replace, b"").with_code(1).saying(&["nothing was changed", "is a member already"]);
    // The old one is nobody's any more; with the new one another may die.
    kill(replicas.remove(0));
    cluster.publish("and one more is dead\n");
    assert_eq!(lockstep_testkit::processes::payloads(&cluster.read(&[]).out).len(), 2);
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

#[test]
fn of_two_nodes_one_goes_on_alone_by_the_operators_word_alone() {
    let cluster = Cluster::new(2, "");
    let mut replicas = cluster.found();
    cluster.publish("two\n");
    let listed = members(&cluster);
    cluster.run(&["declare-dead", &listed[0]], b"").with_code(2).saying(&["it is not dead"]);
    kill(replicas.remove(0));
    let waits = cluster.run(&["publish", "--name", "orders", "--timeout", "500ms"], b"x\n");
    assert_ne!(waits.code, Some(0), "nobody may go on alone by itself");
    let output = cluster.run(&["status", "--timeout", "300ms"], b"").with_code(4).out;
    assert!(output.starts_with("no quorum: 1 of 2 answer, 2 needed: start 1\n"), "{output}");
    assert!(output.contains(&format!("{:<11} does not answer", listed[0])), "{output}");
    let output = cluster.run(&["declare-dead", &listed[0]], b"").with_code(0);
    assert!(output.out.starts_with(&format!("{} leads alone", listed[1])), "{}", output.out);
    cluster.publish("one\n");
    assert_eq!(members(&cluster), [listed[1].clone()]);
    assert_eq!(replicas.remove(0).terminate(), Some(0));
}

#[test]
fn a_command_that_nobody_answers_says_who_was_asked_and_ends_in_time() {
    let cluster = Cluster::new(2, "");
    let output = cluster.run(&["status", "--timeout", "200ms"], b"").with_code(4).out;
    assert!(output.starts_with("no quorum: 0 of 2 answer, 2 needed: start 1 and 2\n"), "{output}");
    let commands: [&[&str]; 4] = [
        &["membership", "show"],
        &["membership", "remove", "1:0000001"],
        &["handover"],
        &["declare-dead", "1:0000001"],
    ];
    for command in commands {
        let args = [command, &["--timeout", "200ms"]].concat();
        cluster.run(&args, b"").with_code(4).saying(&[
            "within 200ms",
            "does not answer",
            "start the sequencers",
        ]);
    }
}

/// A command waits for people and processes: it sleeps until they answer, and leaves the cores to those who
/// work.
#[test]
fn what_waits_for_an_answer_sleeps_meanwhile() {
    let cluster = Cluster::new(2, "");
    let commands: [&[&str]; 7] = [
        &["status", "--timeout", "40s"],
        &["membership", "show", "--timeout", "40s"],
        &["handover", "--timeout", "40s"],
        &["declare-dead", "1:0000001", "--timeout", "40s"],
        &["day", "end", "--timeout", "40s"],
        &["publish", "--name", "orders", "--timeout", "40s"],
        &["subscribe", "--timeout", "40s"],
    ];
    let waiting: Vec<_> = commands.iter().map(|command| cluster.start(command[0], command)).collect();
    for (name, share) in cpu_shares(&waiting, std::time::Duration::from_secs(1)) {
        println!("{name} uses {:.2} % of a core", share * 100.0);
        assert!(share < 0.05, "{name} uses {:.0} % of a core while it waits", share * 100.0);
    }
}

/// Bytes of the segments of this replica, the one that waits to be filled included.
fn segment_bytes(cluster: &Cluster, replica: u32) -> u64 {
    let folder = std::fs::read_dir(cluster.path(&format!("journal-{replica}/segments"))).expect("segments");
    // One may be removed while we look.
    folder.filter_map(|entry| entry.ok()?.metadata().ok()).map(|meta| meta.len()).sum()
}

#[test]
fn a_witness_keeps_a_rings_worth_comes_back_with_it_and_gives_its_vote() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let (listed, its_address) = (members(&cluster), address(&cluster, 3));
    kill(replicas.pop().expect("three"));
    cluster.run(&["membership", "remove", &listed[2]], b"").with_code(0);
    let new = format_anew(&cluster, 3);
    replicas.push(cluster.start_replica(3));
    cluster.run(&["membership", "add", &new, "--address", &its_address, "--witness"], b"").with_code(0);

    // Its ring has 4 MiB, its segments 1 MiB; three times as much goes by.
    let text = format!("{}\n", "x".repeat(1_000)).repeat(12_000);
    cluster.publish(&text);
    let most = (4 + 3) << 20;
    // Retention looks now and then.
    let shrinks = (0..1_000).any(|_| {
        cluster.publish("one more\n");
        segment_bytes(&cluster, 3) <= most
    });
    assert!(shrinks, "{} bytes are kept", segment_bytes(&cluster, 3));
    assert!(segment_bytes(&cluster, 2) > 12 << 20, "a full member keeps all");

    kill(replicas.pop().expect("three"));
    cluster.publish("while the witness was away\n");
    let mut witness = cluster.start_replica(3);
    witness.await_log("role=\"standby\"");
    cluster.publish("with it\n");
    // It counts when it was heard for a while.
    let is_healthy = (0..500).any(|_| status(&cluster)["health"] == "healthy");
    assert!(is_healthy, "{}", status(&cluster));
    kill(replicas.remove(0));
    cluster.publish("by its vote\n");
    assert_eq!(leader(&cluster), listed[1]);
    for replica in [replicas.remove(0), witness] {
        assert_eq!(replica.terminate(), Some(0));
    }
}
