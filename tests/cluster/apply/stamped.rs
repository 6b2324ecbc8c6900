//! A replica that applies what is stamped, and a takeover that takes some of it back.

use super::{page, turn_until};
use lockstep_app::{
    App, AppSettings, Delivery, EVERYBODY, Endpoint, Input, InputEvent, Output, SnapshotMode, StateMachine,
};
use lockstep_client::Publisher;
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address, signal_all};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Tells everybody how many messages there were.
#[derive(Default)]
struct Totals {
    total: u64,
}

impl StateMachine for Totals {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if let InputEvent::Message { .. } = input.event {
            self.total += 1;
            output.publish(EVERYBODY, format!("total {}", self.total).as_bytes());
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.total.to_le_bytes())
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut total = [0; 8];
        from.read_exact(&mut total)?;
        Ok(Self { total: u64::from_le_bytes(total) })
    }
}

fn total(app: &App<Totals>) -> u64 {
    app.replica().core.machine().total
}

fn outputs(app: &App<Totals>) -> u64 {
    app.replica().core.outputs.count()
}

#[test]
fn what_a_takeover_takes_back_was_applied_and_never_published() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
    let folder = cluster.path("totals-1");
    let mut settings = AppSettings::new("totals", 1, Path::new(&folder));
    settings.delivery = Delivery::Stamped;
    let address = free_address().to_string().parse().expect("an IPv4 address");
    settings.serve = Some(address);
    (settings.snapshot_every, settings.snapshot_mode) = (4, SnapshotMode::Pause);
    let mut app = App::connect(&endpoint, settings, Totals::default).expect("a cluster");
    cluster.publish("a\nb\nc\nd\ne\n");
    turn_until(&mut app, "five messages", |app| outputs(app) == 5 && app.replica().is_final());

    // The leader is alone: it stamps, and nothing is committed. Soon it stamps no more, on a busy machine
    // before it has stamped anything: then once more.
    let (leader, others) = loop {
        let mut publisher = Publisher::connect(&endpoint).expect("a socket");
        let lost = publisher.open("lost", PATIENCE).expect("a leader");
        let leader = cluster.leader() as usize - 1;
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        for payload in [b"x", b"y", b"z"] {
            publisher.try_publish(lost, EVERYBODY, payload).expect("room");
        }
        let fallen = |replica: &Process| replica.log().matches("hears no quorum").count();
        let before = fallen(&replicas[leader]);
        signal_all("KILL", others.map(|other| &replicas[other]));
        turn_until(&mut app, "three that are stamped, or no leader", |app| {
            publisher.poll(64, |_| {});
            total(app) == 8 || fallen(&replicas[leader]) > before
        });
        for other in others {
            replicas[other].wait();
        }
        let began = Instant::now();
        turn_until(&mut app, "what was stamped before", |app| {
            total(app) == 8 || began.elapsed() > Duration::from_millis(200)
        });
        if total(&app) == 8 {
            break (leader, others);
        }
        drop(publisher);
        for other in others {
            replicas[other] = cluster.start_replica(other as u32 + 1);
        }
    };
    assert_eq!(outputs(&app), 5);
    assert!(!app.replica().is_final());

    // Nobody else has them.
    replicas[leader].signal("KILL");
    replicas[leader].wait();
    for other in others {
        replicas[other] = cluster.start_replica(other as u32 + 1);
    }
    turn_until(&mut app, "a state without them", |app| total(app) == 5);
    // Its page and its counters are those of the process still.
    turn_until(&mut app, "new counters", |_| {
        page(address, "/metrics").1.contains("app_rollbacks_total{process=\"totals-1\"} 1")
    });
    assert_eq!(page(address, "/healthz"), (200, "totals-1 is alive\n".to_owned()));
    assert_eq!(cluster.run(&["counters", "totals-1"], b"").with_code(0).err, "");
    cluster.publish("f\n");
    turn_until(&mut app, "the sixth message", |app| total(app) == 6 && outputs(app) == 6);
    assert_eq!(super::totals(&cluster), [1, 2, 3, 4, 5, 6]);
}
