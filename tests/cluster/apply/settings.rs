//! What the copies of a machine have alike beside their rules, and what they report to each other.

use super::{end_of, turn_until};
use lockstep_app::{
    App, AppError, AppSettings, EVERYBODY, Endpoint, Input, InputEvent, MachineFault, Output, StateMachine,
};
use lockstep_testkit::processes::{Cluster, PATIENCE, payloads};
use std::io::{self, Read, Write};
use std::time::Instant;

/// Answers each order with its limit, which is no input.
struct Limited<const V: u32> {
    limit: u32,
}

impl<const V: u32> StateMachine for Limited<V> {
    const VERSION: u32 = V;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if let InputEvent::Message { .. } = input.event {
            output.publish(EVERYBODY, format!("limit {}", self.limit).as_bytes());
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.limit.to_le_bytes())
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut limit = [0; 4];
        from.read_exact(&mut limit)?;
        Ok(Self { limit: u32::from_le_bytes(limit) })
    }

    fn settings(&self) -> String {
        format!("limit {}", self.limit)
    }
}

fn copy<const V: u32>(cluster: &Cluster, number: u8, limit: u32, digest_every: u64) -> App<Limited<V>> {
    let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
    let mut settings = AppSettings::new("limited", number, cluster.path(&format!("limited-{number}")));
    settings.digest_every = digest_every;
    App::connect(&endpoint, settings, move || Limited { limit }).expect("a cluster")
}

fn texts(cluster: &Cluster) -> Vec<String> {
    payloads(&cluster.read(&[]).out).into_iter().map(str::to_owned).collect()
}

/// Copies whose settings differ answered the first order differently, and the faster one won.
#[test]
fn a_copy_with_other_settings_than_the_first_is_refused_before_its_first_output_with_both() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut right = copy::<1>(&cluster, 1, 100, 1_000);
    cluster.publish("one\n");
    turn_until(&mut right, "the right copy", |app| app.replica().core.outputs.count() == 1);
    drop(right);

    // The first copy is gone: only the stream knows what it began with.
    cluster.publish("two\n");
    let refused = end_of(&mut copy::<1>(&cluster, 2, 200, 1_000));
    assert!(matches!(refused, AppError::Fault(MachineFault::Settings { .. })), "{refused}");
    let words = refused.to_string();
    for part in ["'limit 200'", "'limit 100'", "replica 1", "VERSION"] {
        assert!(words.contains(part), "{part} in: {words}");
    }
    assert_eq!(refused.exit_code(), 3, "a unit does not start it again");
    assert_eq!(texts(&cluster), ["one", "limit 100", "two"], "it has published nothing");

    // Mended, it goes on under the number that it had, and a new version has settings of its own.
    let mut mended = copy::<1>(&cluster, 2, 100, 1_000);
    turn_until(&mut mended, "the mended copy", |app| app.replica().core.outputs.count() == 2);
    assert_eq!(texts(&cluster), ["one", "limit 100", "two", "limit 100"]);
    mended.take_over();
    drop(mended);
    let mut next = copy::<2>(&cluster, 3, 100, 1_000);
    next.take_over();
    turn_until(&mut next, "the next version", |app| app.replica().core.first_settings().is_some());
    assert_eq!(next.replica().core.first_settings().map(|(number, _)| *number), Some(3));
}

/// Digests, ticks and snapshots came to every reader as messages of bytes that nobody else understands.
#[test]
fn what_copies_report_to_each_other_is_an_event_and_no_message_of_the_stream() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut apps = [copy::<1>(&cluster, 1, 7, 20), copy::<1>(&cluster, 2, 7, 20)];
    cluster.publish("one\ntwo\n");
    let began = Instant::now();
    while apps.iter().any(|app| app.replica().core.outputs.count() < 2) || apps[0].replica().partings().0 > 0
    {
        for app in &mut apps {
            app.turn(|_, _| {}).expect("it goes on");
        }
        assert!(began.elapsed() < PATIENCE, "the outputs do not come");
    }
    assert_eq!(texts(&cluster), ["one", "two", "limit 7", "limit 7"]);
    let events = cluster.read(&["--events", "--json"]).out;
    assert!(events.contains("lockstep.reported/1"), "asked for, each report has a line: {events}");
}
