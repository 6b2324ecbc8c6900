//! Timers of a machine whose cluster changes its leader again and again.

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
