//! A machine over the merged order of a set: the same for each copy, whatever dies, with each output once.

use crate::coordinators::{Flow, Set, kill};
use crate::dev::Dev;
use lockstep_app::{
    App, AppSettings, EVERYBODY, Input, InputEvent, Output, SnapshotMode, SnapshotStore, StateMachine,
    stream_of,
};
use lockstep_client::{Delivery, Start, Subscriber, SubscriberEvent};
use lockstep_streams::StreamSet;
use lockstep_testkit::processes::PATIENCE;
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// Messages from one output to the next.
const EVERY: u64 = 25;

/// The place of each message in the merged order, with the number of its stream.
#[derive(Default)]
struct Places(Vec<(u64, u8)>);

impl Places {
    fn sum(&self) -> u64 {
        self.0.iter().fold(1, |sum: u64, (seq, stream)| {
            sum.wrapping_mul(31).wrapping_add(*seq).wrapping_mul(31).wrapping_add(u64::from(*stream))
        })
    }
}

impl StateMachine for Places {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        let InputEvent::Message { publisher, .. } = input.event else { return };
        self.0.push((input.seq, stream_of(publisher)));
        let count = self.0.len() as u64;
        if count.is_multiple_of(EVERY) {
            output.publish(EVERYBODY, format!("{count} {:x}", self.sum()).as_bytes());
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(seq, stream)| writeln!(out, "{seq} {stream}"))
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        let line = |line: &str| {
            let (seq, stream) = line.split_once(' ')?;
            Some((seq.parse().ok()?, stream.parse().ok()?))
        };
        Ok(Self(text.lines().filter_map(line).collect()))
    }
}

fn settings(folder: &Path, number: u8) -> AppSettings {
    let mut settings = AppSettings::new("places", number, folder.join(number.to_string()));
    settings.snapshot_mode = SnapshotMode::Pause;
    settings.snapshot_every = 200;
    settings.digest_every = 100;
    settings
}

fn begin(set: &StreamSet, settings: AppSettings) -> App<Places> {
    App::connect_set_while(set, settings, Places::default, || true).unwrap_or_else(|error| panic!("{error}"))
}

/// Turns all copies for so long.
fn turn(copies: &mut [App<Places>], lasts: Duration) {
    let began = Instant::now();
    while began.elapsed() < lasts {
        for copy in copies.iter_mut() {
            copy.turn(|_, _| {}).unwrap_or_else(|error| panic!("{error}"));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Turns all copies until they stand at one place, and nothing follows.
fn await_end(copies: &mut [App<Places>]) {
    let (began, mut before) = (Instant::now(), 0);
    loop {
        turn(copies, Duration::from_secs(1));
        let places: Vec<_> = copies.iter().map(|copy| copy.replica().next()).collect();
        let is_calm = places.iter().all(|place| *place == before) && copies.iter().all(App::is_drained);
        if is_calm {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "they go on: {places:?}");
        before = places[0];
    }
}

/// Calls `f` for each event of a stream from its beginning up to its present end.
fn read(set: &Set, stream: &str, mut f: impl FnMut(SubscriberEvent<'_>)) {
    let endpoint = set.endpoint(stream);
    let mut subscriber =
        Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1)).expect("a reader");
    let (began, mut is_over) = (Instant::now(), false);
    while !is_over && began.elapsed() < PATIENCE {
        let work = subscriber.poll(256, |event| {
            is_over |= matches!(event, SubscriberEvent::CaughtUp { .. });
            f(event);
            ControlFlow::Continue(())
        });
        if work == 0 {
            subscriber.wait(Duration::from_millis(5)).expect("it is ours");
        }
    }
}

/// The outputs of the machine in the home stream.
fn outputs(set: &Set) -> Vec<String> {
    let (mut own, mut found) = (None, Vec::new());
    read(set, "s1", |event| match event {
        SubscriberEvent::Opened { name: "places", publisher, .. } => own = Some(publisher),
        SubscriberEvent::Message(message) if Some(message.publisher) == own => {
            found.push(String::from_utf8_lossy(message.payload).into_owned());
        }
        _ => {}
    });
    found
}

/// Whether the first copy has a name in this stream, by which it publishes what journals must retain.
fn has_name(set: &Set, stream: &str) -> bool {
    let mut found = false;
    read(set, stream, |event| {
        found |= matches!(event, SubscriberEvent::Opened { name: "places/replica/1", .. });
    });
    found
}

/// What the outputs must be, by the state alone.
fn expected(machine: &Places) -> Vec<String> {
    let ends = (1..=machine.0.len()).filter(|count| (*count as u64).is_multiple_of(EVERY));
    ends.map(|count| format!("{count} {:x}", Places(machine.0[..count].to_vec()).sum())).collect()
}

#[test]
fn a_machine_over_a_set_has_one_state_and_each_output_once_whatever_dies() {
    let mut dev = Dev::start(&["--streams", "3"]);
    let set = Set { file: dev.after("export LOCKSTEP_CONFIG=") };
    dev.after("streams show");
    let streams = StreamSet::from_file(&set.file).unwrap_or_else(|errors| panic!("{errors}"));
    let folder = tempfile::TempDir::new().expect("a folder");

    let page: SocketAddrV4 = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.expect("a port").port();
        SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port)
    };
    let mut first = settings(folder.path(), 1);
    first.serve = Some(page);
    let mut copies = vec![begin(&streams, first), begin(&streams, settings(folder.path(), 2))];
    let flows: Vec<_> = ["s1", "s2", "s3"].iter().map(|name| Flow::start(set.endpoint(name))).collect();
    turn(&mut copies, Duration::from_secs(2));
    for victim in [set.leader("s2").1, set.pid(1), set.leader("s1").1] {
        // The second copy dies with them, and goes on from its snapshot.
        copies.pop();
        kill(victim);
        copies.push(begin(&streams, settings(folder.path(), 2)));
        turn(&mut copies, Duration::from_secs(1));
    }
    // The third has no snapshot: it begins with the first one's.
    let mut third = settings(folder.path(), 3);
    third.peers = vec![page];
    let mut late = begin(&streams, third);
    let mut first_input = None;
    let began = Instant::now();
    while first_input.is_none() && began.elapsed() < PATIENCE {
        turn(&mut copies, Duration::from_millis(5));
        late.turn(|input, _| first_input = first_input.or(Some(input.seq))).expect("it goes on");
    }
    copies.push(late);
    drop(flows);
    await_end(&mut copies);

    let store = SnapshotStore::open(&folder.path().join("1"), 3).expect("the first one's");
    let snapshots = store.list().expect("its snapshots");
    assert!(snapshots.len() >= 3, "it has snapshots: {snapshots:?}");
    assert!(first_input > Some(200), "the third one began with the first one's snapshot: {first_input:?}");
    let states: Vec<_> = copies.iter().map(|copy| copy.replica().core.digest()).collect();
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "{states:?}");
    let machine = copies[0].replica().core.machine();
    let of = |stream| machine.0.iter().filter(|place| place.1 == stream).count();
    let counts = [of(0), of(1), of(2)];
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    assert!(machine.0.is_sorted_by(|a, b| a.0 < b.0), "merged numbers rise");
    assert_eq!(outputs(&set), expected(machine), "each output is stamped once, in order");
    for stream in ["s2", "s3"] {
        assert!(has_name(&set, stream), "the journals of {stream} retain what the first copy needs");
    }
    drop(copies);
    dev.end();
}
