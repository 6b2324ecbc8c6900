//! Several streams of one file: each is a cluster, and commands speak of one or of all.

use crate::dev::{Dev, script};
use lockstep_testkit::processes::{Outcome, await_code, command, program, run};
use serde_json::Value;
use std::process::Command;

/// A command of the operators' program, for the file of a set.
struct Set {
    file: String,
}

impl Set {
    fn run(&self, args: &[&str], input: &[u8]) -> Outcome {
        let mut command = command(args);
        command.env("LOCKSTEP_CONFIG", &self.file);
        run(command, input)
    }
}

#[test]
fn each_command_speaks_of_one_stream_or_of_all_and_no_stream_has_anothers_messages() {
    let mut dev = Dev::start(&["--streams", "2"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };

    let status = await_code(0, || set.run(&["status"], b""));
    let of = |name: &str| status.out.lines().filter(|line| line.starts_with(&format!("{name}: "))).count();
    assert!(of("s1") > 1 && of("s1") == of("s2"), "{}", status.out);
    let status = await_code(0, || set.run(&["status", "--json"], b""));
    let names: Vec<Value> =
        status.out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    // The set's object stands before those of its streams.
    let streams: Vec<_> = names.iter().map(|one| one["stream"].as_str()).collect();
    assert_eq!(streams, [None, Some("s1"), Some("s2")]);
    let health = await_code(0, || set.run(&["health", "--format", "nagios"], b""));
    assert!(health.out.starts_with("LOCKSTEP OK - set: merged: "), "{}", health.out);
    assert!(health.out.contains("\nLOCKSTEP OK - s1: "), "{}", health.out);

    for name in ["s1", "s2"] {
        let text = format!("to {name}\n");
        set.run(&["publish", "--stream", name, "--name", "p"], text.as_bytes()).with_code(0);
        let read = set.run(&["subscribe", "--stream", name, "--until-end"], b"").with_code(0);
        assert!(read.out.ends_with(&text) && read.out.lines().count() == 1, "{name}: {}", read.out);
    }

    // The variable does what the flag does, and the library's programs read it.
    let by_variable = |name: &str| {
        let mut command = command(&["subscribe", "--until-end"]);
        command.env("LOCKSTEP_CONFIG", &set.file).env("LOCKSTEP_STREAM", name);
        run(command, b"").with_code(0)
    };
    assert!(by_variable("s2").out.ends_with("to s2\n"));
    let by_key = await_code(0, || set.run(&["status", "--set", "stream=s2"], b""));
    assert!(!by_key.out.contains("s1: ") && !by_key.out.contains("s2: "), "{}", by_key.out);

    let day = set.run(&["day", "start", "D1"], b"").with_code(0);
    assert!(
        day.out.starts_with("s1: the trading day D1 begins") && day.out.contains("\ns2: "),
        "{}",
        day.out
    );
    set.run(&["day", "end", "--stream", "s2"], b"").with_code(0);
    let day = set.run(&["day", "end"], b"").with_code(1);
    assert!(day.out.starts_with("s1: the trading day ends"), "{}", day.out);
    assert!(
        day.err.contains("stream s2 failed, and it is done for s1: give --stream for each of s2"),
        "{}",
        day.err
    );

    for (args, word) in [
        (&["subscribe"][..], "the file describes the streams s1, s2, and none was chosen"),
        (&["status", "--stream", "s3"], "there is no stream \"s3\""),
    ] {
        let refused = set.run(args, b"").with_code(2);
        assert!(refused.err.contains("LS0125") && refused.err.contains(word), "{}", refused.err);
    }
    let checked = set.run(&["check"], b"").with_code(0);
    assert_eq!(checked.out.lines().count(), 2, "{}", checked.out);
    dev.end();
}

/// A program of the user that chooses no stream reads the first one.
#[test]
fn a_program_beside_a_set_has_its_first_stream_and_a_leader_that_dies_is_one_streams_alone() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let lines = format!("echo from the program | {} publish --name app\nexec sleep 600", program().display());
    let app = script(&folder, "app", &lines);
    let mut dev = Dev::start(&["--streams", "2", "--app", app.to_str().expect("UTF-8")]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    await_code(0, || {
        let read = set.run(&["subscribe", "--stream", "s1", "--until-end"], b"");
        let is_there = read.out.contains("from the program");
        Outcome { code: read.code.map(|code| code + i32::from(!is_there)), ..read }
    });
    let leader_of = |name: &str| {
        let status = await_code(0, || set.run(&["status", "--stream", name, "--json"], b""));
        let status: Value = serde_json::from_str(status.out.trim()).expect("an object");
        (status["leader"].clone(), status["epoch"].clone())
    };
    let before = (leader_of("s1"), leader_of("s2"));
    let line = dev.after("kill -9 ");
    let pid = line.split_whitespace().next().expect("a number");
    assert!(Command::new("kill").args(["-9", pid]).status().expect("every host has kill").success());
    await_code(0, || {
        let now = leader_of("s1");
        Outcome { code: Some(i32::from(now == before.0)), out: String::new(), err: format!("{now:?}") }
    });
    assert_eq!(leader_of("s2"), before.1, "its leader leads on");
    dev.end();
}
