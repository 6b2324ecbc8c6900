//! What the commands of an operator say of a set: the merged order, which stream is the cause, what it costs.

use crate::coordinators::{Flow, Set};
use crate::dev::Dev;
use lockstep_io::counters::CountersReader;
use lockstep_testkit::processes::{Outcome, PATIENCE};
use serde_json::Value;
use std::process::Command;
use std::time::Instant;

/// Processes that stand still until this is dropped: whoever started them does not start others.
struct Stopped(Vec<u32>);

impl Stopped {
    fn new(pids: impl IntoIterator<Item = u32>) -> Self {
        let stopped = Self(pids.into_iter().collect());
        stopped.send("STOP");
        stopped
    }

    fn send(&self, signal: &str) {
        for pid in &self.0 {
            let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
            assert!(sent.expect("every host has kill").success());
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.send("CONT");
    }
}

/// The lines about the set, once one of them has these words.
#[track_caller]
fn await_words(set: &Set, args: &[&str], words: &str) -> Outcome {
    let began = Instant::now();
    loop {
        let outcome = set.run(args);
        let mut lines =
            outcome.out.lines().filter(|line| line.starts_with("set: ") || line.starts_with("LOCKSTEP"));
        if lines.any(|line| line.contains(words)) {
            return outcome;
        }
        assert!(began.elapsed() < PATIENCE, "no \"{words}\" in\n{}{}", outcome.out, outcome.err);
    }
}

fn replicas(set: &Set, stream: &str) -> Vec<u32> {
    let config = set.config(stream);
    let pid = |path| CountersReader::open(path).unwrap_or_else(|error| panic!("{error}")).pid();
    config.replicas.iter().map(|replica| pid(&replica.counters)).collect()
}

#[test]
fn the_commands_name_the_stream_that_is_the_cause_and_what_it_costs() {
    let mut dev = Dev::start(&["--streams", "2"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    set.publish("s2", "one\n");
    let well = await_words(&set, &["status"], "merged: list 1, cut ");
    let has_row = |name: &str| well.out.lines().any(|line| line.starts_with(&format!("set: {name} ")));
    assert!(has_row("s1") && has_row("s2") && well.out.contains("/cut-"), "{}", well.out);
    let top = set.run(&["top", "--once", "--interval", "200ms"]).with_code(0);
    assert!(top.out.starts_with("merged: list 1, cut ") && top.out.contains("\ns2 "), "{}", top.out);
    let top: Value = serde_json::from_str(&set.run(&["top", "--json"]).with_code(0).out).expect("an object");
    assert!(top["streams"][1]["per_second"].is_number(), "{top}");

    let coordinators = Stopped::new([set.pid(1), set.pid(2)]);
    set.publish("s2", "two\n");
    let none = await_words(
        &set,
        &["status"],
        "no coordinator publishes a cut: the merged order stands still at cut ",
    );
    let none = none.with_code(6);
    let first = none.out.lines().next().unwrap_or_default();
    assert!(first.starts_with("set: degraded: no coordinator") && first.chars().count() <= 125, "{first}");
    let why = await_words(&set, &["why"], "merge_stalled: ");
    assert!(why.out.contains("systemctl restart lockstep-coordinator@1"), "{}", why.out);
    let graded = await_words(&set, &["health"], "no coordinator publishes").with_code(1);
    assert!(graded.out.starts_with("LOCKSTEP WARNING - set: degraded: "), "{}", graded.out);
    let json = set.run(&["status", "--json"]).out;
    let of_set = json.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_set = of_set.into_iter().find(|object| object["schema"] == "lockstep.set/1").expect("an object");
    assert_eq!(of_set["set"]["conditions"][0]["code"], "LS1501", "{json}");
    drop(coordinators);
    await_words(&set, &["status"], "merged: list 1, cut ");

    let flow = Flow::start(set.endpoint("s1"));
    let stream = Stopped::new(replicas(&set, "s2"));
    let words = "s2: no leader is followed: nothing new of it is merged, the others go on";
    await_words(&set, &["status"], words);
    let began = Instant::now();
    loop {
        let counted = set.run(&["counters", "coordinator-1", "--stream", "s1", "--all"]);
        let row = "condition{condition=\"merge_stalled\",stream=\"s2\"}";
        let line = counted.out.lines().find(|line| line.contains(row)).unwrap_or_default().to_owned();
        if line.split_whitespace().any(|word| word == "1") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", counted.out);
    }
    drop(stream);
    await_words(&set, &["status"], "merged: list 1, cut ");
    drop(flow);
    dev.end();
}
