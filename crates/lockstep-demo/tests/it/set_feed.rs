//! A feed of the merged order: the same numbers from each feed, whatever restarts.

use crate::coordinators::Set;
use crate::dev::Dev;
use lockstep_testkit::feeds::{Listener, Running, new_group};
use lockstep_testkit::processes::{Outcome, Process, await_code, command};
use std::path::Path;

fn start(set: &Set, folder: &Path, name: &str) -> Running {
    let group = new_group();
    let group_text = group.to_string();
    let args = ["feed", "--merged", "--group", &group_text, "--requests", "127.0.0.1:0", "--of", "everybody"];
    let mut command = command(&args);
    command.env("LOCKSTEP_CONFIG", &set.file);
    Running::begin(Process::start(name, command, folder.join(name)), group)
}

/// The payloads of orders in the merged order, as a reader prints them once it has so many.
fn merged(set: &Set, count: usize) -> Vec<Vec<u8>> {
    let orders_of = |text: &str| -> Vec<Vec<u8>> {
        let orders = text.lines().filter_map(|line| Some(line.split_once("order ")?.1));
        orders.map(|rest| format!("order {rest}").into_bytes()).collect()
    };
    let read = await_code(0, || {
        let args = ["subscribe", "--merged", "--from", "1", "--until-end", "--timeout", "30s"];
        let read = set.run(&args).with_code(0);
        Outcome { code: Some(i32::from(orders_of(&read.out).len() < count)), ..read }
    });
    orders_of(&read.out)
}

#[test]
fn feeds_of_a_set_have_one_numbering_whoever_restarts_and_begin_with_its_days() {
    let mut dev = Dev::start(&["--streams", "2"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    for (args, word) in [
        (&["--merged", "--stream", "s1"][..], "leave it out"),
        (&["--merged", "--of", "client:alice"], "a client has an id in each stream"),
    ] {
        let feed = ["feed", "--group", "239.77.9.9:7900", "--requests", "127.0.0.1:0"];
        let refused = set.run(&[&feed, args].concat()).with_code(2);
        assert!(refused.err.contains(word), "{}", refused.err);
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let publish = |from: usize| {
        for (stream, from) in [("s1", from), ("s2", from + 100), ("s1", from + 200), ("s2", from + 300)] {
            let lines: String = (from..from + 100).map(|number| format!("order {number}\n")).collect();
            set.publish(stream, &lines);
        }
    };
    let (a, b) = (start(&set, folder.path(), "a"), start(&set, folder.path(), "b"));
    let mut listeners = [Listener::new(&a, "FIRST", 3), Listener::new(&b, "FIRST", usize::MAX)];
    publish(1);
    listeners.iter_mut().for_each(|listener| listener.until_messages(400));
    a.process.signal("KILL");
    publish(401);
    let a = start(&set, folder.path(), "a-again");
    // One that begins late has all of the day, by requests alone.
    let mut late = Listener::new(&a, "FIRST", 2);
    publish(801);
    listeners[1].until_messages(1_200);
    late.until_messages(1_200);
    let all = merged(&set, 1_200);
    let expected: Vec<_> = (1..).zip(all).collect();
    assert_eq!(listeners[0].had, expected[..400]);
    assert!(listeners[1].had == expected && late.had == expected, "one order, and one numbering");

    // The days of the set are the home stream's: the other stream's mark begins no session.
    await_code(0, || set.run(&["day", "start", "D2"]));
    drop(listeners);
    let mut second = Listener::new(&b, "D2", usize::MAX);
    publish(1_201);
    second.until_messages(400);
    let numbers: Vec<_> = second.had.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
    drop((a, b));
    dev.end();
}
