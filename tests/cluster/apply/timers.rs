//! Timers of a machine whose cluster changes its leader again and again.

use crate::cli::time::ahead_by;
use lockstep_app::{
    App, AppSettings, Endpoint, Input, InputEvent, Output, SnapshotMode, StateMachine, bisect,
};
use lockstep_testkit::processes::{Cluster, PATIENCE};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Sets as many timers as a message says, spread over so many milliseconds; they fire once each, in order.
#[derive(Clone, Debug, Default, PartialEq)]
struct Alarms {
    fired: u64,
    /// What the last one was due at.
    last_due: u64,
    early: u64,
    unordered: u64,
    /// What a newer version does otherwise.
    skew: u64,
}

impl StateMachine for Alarms {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { payload, .. } => {
                let text = std::str::from_utf8(payload).unwrap_or_default();
                let Some((count, over_ms)) = text.split_once(" over ") else { return };
                let (Ok(count), Ok(over_ms)) = (count.parse::<u64>(), over_ms.trim().parse::<u64>()) else {
                    return;
                };
                (0..count).for_each(|key| output.timer_after(key, key * over_ms * 1_000_000 / count, b""));
                self.last_due += self.skew;
            }
            InputEvent::Timer { due, .. } => {
                self.fired += 1;
                self.early += u64::from(due > input.time);
                self.unordered += u64::from(due < self.last_due);
                self.last_due = due;
            }
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let words = [self.fired, self.last_due, self.early, self.unordered];
        words.iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }
}

fn settings(number: u8) -> AppSettings {
    let mut settings = AppSettings::new("alarms", number, "");
    settings.snapshot_mode = SnapshotMode::Never;
    settings
}

/// `LOCKSTEP_TIMERS=1000000 cargo test --test cluster apply::` is the long run; it prints the lateness.
#[test]
fn each_timer_fires_once_in_order_and_none_early_over_ten_takeovers() {
    let count: u64 =
        std::env::var("LOCKSTEP_TIMERS").map_or(20_000, |count| count.parse().expect("a number"));
    let takeovers = 10;
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
    let mut app = App::connect(&endpoint, settings(1), Alarms::default).expect("a cluster");
    let over_ms = takeovers * 300;
    cluster.publish(&format!("{count} over {over_ms}\n"));
    let (began, mut lateness, mut done) = (Instant::now(), Vec::new(), 0);
    while app.replica().core.machine().fired < count {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_nanos() as u64;
        let mut late = |input: &Input<'_>, _: &Output| {
            if let InputEvent::Timer { due, .. } = input.event {
                lateness.push(wall().saturating_sub(due));
            }
        };
        if app.turn(&mut late).expect("it goes on") == 0 {
            app.wait(Duration::from_millis(1)).expect("a descriptor");
        }
        if done < takeovers && began.elapsed() > Duration::from_millis(300 * done + 100) {
            let index = (cluster.leader() as usize - 1) % replicas.len();
            replicas[index].signal("KILL");
            replicas[index].wait();
            replicas[index] = cluster.start_replica(index as u32 + 1);
            done += 1;
        }
        assert!(began.elapsed() < 4 * PATIENCE, "{:?}", app.replica().core.machine());
    }
    let machine = app.replica().core.machine();
    assert_eq!(
        (machine.fired, machine.early, machine.unordered, app.replica().core.timers()),
        (count, 0, 0, 0)
    );
    lateness.sort_unstable();
    let at = |share: f64| Duration::from_nanos(lateness[(lateness.len() as f64 * share) as usize]);
    println!(
        "{count} timers, {done} takeovers: lateness p50 {:?}, p99 {:?}, longest {:?}",
        at(0.5),
        at(0.99),
        at(0.999_999)
    );

    // A machine that applies the same stream again has the same timers; a version that differs is found at
    // its message.
    let until = app.replica().next();
    let same =
        bisect(&endpoint, &settings(9), (Alarms::default(), Alarms::default()), until).expect("a stream");
    assert_eq!(same, None);
    let newer = Alarms { skew: 1, ..Alarms::default() };
    let parted = bisect(&endpoint, &settings(9), (Alarms::default(), newer), until).expect("a stream");
    assert!(parted.is_some_and(|parted| parted.input.contains("Message") && parted.states.is_some()));
}

/// For a message two timers, both due in two seconds: key 1 after so long, key 2 at that time of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reminder {
    asked_at: u64,
    /// The stream's time before an order set it back.
    before: u64,
    /// Each timer that fired, and the stream's time then.
    fired: Vec<(u64, u64)>,
}

const IN_NS: u64 = 2_000_000_000;

impl StateMachine for Reminder {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { payload, .. } if payload.starts_with(b"remind") => {
                self.asked_at = input.time;
                output.timer_after(1, IN_NS, b"");
                output.timer_at(2, input.time + IN_NS, b"");
            }
            InputEvent::TimeSetBack { before } => self.before = before,
            InputEvent::Timer { key, .. } => self.fired.push((key, input.time)),
            _ => {}
        }
    }

    fn snapshot(&self, _: &mut impl Write) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// A machine lives through `lockstep time --correct`: its timer for a duration fires when what was left of it
/// has passed, the one for a time at that time.
#[test]
fn timers_fire_when_they_are_due_behind_an_order_that_sets_the_streams_time_back() {
    let (cluster, ahead) = ahead_by(12_000_000_000);
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
    let mut app = App::connect(&endpoint, settings(1), Reminder::default).expect("a cluster");
    let mut run = |is: &dyn Fn(&Reminder) -> bool| {
        let began = Instant::now();
        while !is(app.replica().core.machine()) {
            if app.turn(&mut |_: &Input<'_>, _: &Output| {}).expect("it goes on") == 0 {
                app.wait(Duration::from_millis(1)).expect("a descriptor");
            }
            assert!(began.elapsed() < PATIENCE, "{:?}", app.replica().core.machine());
        }
        app.replica().core.machine().clone()
    };
    cluster.publish("remind\n");
    let asked = run(&|machine| machine.asked_at > 0);
    assert!(asked.asked_at >= ahead && asked.fired.is_empty(), "time stands still: {asked:?}");
    cluster.run(&["time", "--correct"], b"").with_code(0);
    let machine = run(&|machine| machine.fired.len() == 2);
    let [(first, at), (second, later)] = machine.fired[..] else { panic!("{machine:?}") };
    assert!(machine.before >= asked.asked_at, "{machine:?}");
    assert!(first == 1 && at < asked.asked_at, "it waited for what was left alone: {machine:?}");
    assert!(second == 2 && later >= asked.asked_at + IN_NS, "not early: {machine:?}");
}
