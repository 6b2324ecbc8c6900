//! `dev --watch` with a machine: a new version is run over the recorded stream before it takes over.

use crate::dev::{Dev, script};
use lockstep_app::{AppSettings, EVERYBODY, Input, InputEvent, Output, SnapshotMode, StateMachine};
use lockstep_client::{Endpoint, Publisher};
use lockstep_testkit::processes::PATIENCE;
use std::io::{self, Read, Write};
use std::path::Path;
use tempfile::TempDir;

/// Names what is planted in the machine of a process that is a program of `dev`; set: this process is one.
const PLANTED: &str = "WATCHED_MACHINE_HAS";
/// A machine's line once it runs.
const FOLLOWS: &str = "has read the stream up to its end";
const AN_HOUR: u64 = 3_600_000_000_000;

/// Adds up the bytes of messages.
#[derive(Default)]
struct Watched {
    sum: u64,
    planted: String,
}

impl StateMachine for Watched {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        let InputEvent::Message { payload, .. } = input.event else { return };
        self.sum += payload.iter().map(|byte| u64::from(byte - b'0')).sum::<u64>();
        let is_late = self.sum >= 5;
        let word = if is_late && self.planted == "output" { "SUM" } else { "sum" };
        output.publish(EVERYBODY, format!("{word} {}", self.sum).as_bytes());
        output.timer_after(1, if is_late && self.planted == "timer" { 2 * AN_HOUR } else { AN_HOUR }, b"");
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let extra = if self.planted == "state" { "extra" } else { "" };
        write!(out, "{}{extra}", self.sum)
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn state_text(&self) -> Option<String> {
        Some(format!("the sum is {}", self.sum))
    }
}

/// The program, for as long as it runs as one. Returns whether it did.
fn was_program() -> bool {
    let Ok(planted) = std::env::var(PLANTED) else { return false };
    let endpoint = Endpoint::from_env().unwrap_or_else(|error| panic!("{error}"));
    let mut settings = AppSettings::new("watched", 1, "");
    settings.snapshot_mode = SnapshotMode::Never;
    let new = move || Watched { sum: 0, planted: planted.clone() };
    lockstep_app::run(&endpoint, settings, new).unwrap_or_else(|error| panic!("{error}"));
    true
}

/// A file that runs this process's program, with the test whose child it is, and this planted.
fn version(folder: &TempDir, test: &str, planted: &str) -> String {
    let own = std::env::current_exe().expect("this program");
    let lines = format!(
        "{PLANTED}={planted} exec {} --exact watch::{test} --nocapture --test-threads 1",
        own.display()
    );
    script(folder, "app", &lines).display().to_string()
}

/// Publishes messages, and waits until the machine's last output is in the stream.
fn publish(file: &str, messages: &[&[u8]], output: &[u8]) {
    let endpoint = Endpoint::from_file(Path::new(file)).unwrap_or_else(|error| panic!("{error}"));
    let mut publisher = Publisher::connect(&endpoint).expect("a publisher");
    let name = publisher.open("orders", PATIENCE).expect("a leader");
    for message in messages {
        publisher.try_publish(name, EVERYBODY, message).expect("room");
    }
    while !publisher.is_drained() {
        publisher.poll(64, |_| {});
    }
    crate::dev::await_message(file, output);
}

#[test]
fn a_version_that_does_the_same_takes_over_and_another_one_is_shown_and_waits_for_a_word() {
    const TEST: &str =
        "a_version_that_does_the_same_takes_over_and_another_one_is_shown_and_waits_for_a_word";
    if was_program() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let path = version(&folder, TEST, "nothing");
    let mut dev = Dev::start(&["--watch", "--app", &path]);
    let file = dev.after("export LOCKSTEP_CONFIG=");
    dev.process.await_log(FOLLOWS);
    publish(&file, &[b"2", b"3", b"4"], b"sum 9");

    version(&folder, TEST, "nothing-new");
    dev.process.await_log("dev: app does the same with 4 inputs of the stream: it takes over");
    // The shell has read its file by then: what is written there now is the next version.
    dev.process.await_log_times(FOLLOWS, 2);

    version(&folder, TEST, "state");
    dev.process.await_log(
        "app does the same with 4 inputs of the stream, though the state has another digest from seq ",
    );
    dev.process.await_log_times(FOLLOWS, 3);
    let runs = dev.pid_of("app", 3);

    version(&folder, TEST, "output");
    dev.process.await_log("Write `take app` to start the new one");
    let log = dev.process.log();
    let difference = log.split("app differs from the version that runs: ").nth(1).expect("the difference");
    for line in [
        "the first input that differs is that of seq ",
        "message 2 of 'orders' (publisher ",
        "  former |     publishes \"sum 5\" to everybody",
        "     new |     publishes \"SUM 5\" to everybody",
        "  former |   the sum is 5",
        "     new |   the sum is 5",
    ] {
        assert!(difference.contains(line), "{line}: {difference}");
    }
    assert_eq!(dev.pid_of("app", 3), runs);
    let say = |dev: &mut Dev, line: &str| {
        let stdin = dev.process.stdin().as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("a reader");
    };
    say(&mut dev, "perhaps app");
    dev.process.await_log("write `take app` or `leave app`");
    say(&mut dev, "leave app");

    version(&folder, TEST, "timer");
    dev.process.await_log_times("Write `take app` to start the new one", 2);
    let log = dev.process.log();
    let difference = log.split("app differs from the version that runs: ").nth(2).expect("the difference");
    assert!(difference.contains("sets timer 1, due at "), "{difference}");
    assert_eq!(dev.process.log().matches("dev: app is process").count(), 3, "{}", dev.process.log());
    say(&mut dev, "take app");
    dev.pid_of("app", 4);
    dev.end();
}

#[test]
fn a_version_that_differs_takes_over_without_a_word_where_that_is_wanted() {
    const TEST: &str = "a_version_that_differs_takes_over_without_a_word_where_that_is_wanted";
    if was_program() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let path = version(&folder, TEST, "nothing");
    let mut dev = Dev::start(&["--watch", "--watch-differs", "take", "--app", &path]);
    let file = dev.after("export LOCKSTEP_CONFIG=");
    dev.process.await_log(FOLLOWS);
    publish(&file, &[b"2", b"3"], b"sum 5");
    version(&folder, TEST, "output");
    dev.process.await_log("     new |     publishes \"SUM 5\" to everybody");
    dev.process.await_log("dev: app takes over");
    // As it is said where it asks.
    dev.process.await_log("the stream has output 2 of this application");
    dev.end();
}
