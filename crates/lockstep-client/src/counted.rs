//! The counters of a process with handles, in shared memory like a replica's: `lockstep counters` reads them
//! while the process is busy, hung or dead.

use super::{Endpoint, Participant, Publisher, Subscriber};
use lockstep_core::engine::counters::{Counter, CounterRow, Counters, Described};
use lockstep_core::engine::durations::{Durations, WORDS};
use lockstep_core::engine::losses::SUM_ROWS;
use lockstep_io::IoError;
use lockstep_io::counters::CountersFile;
use lockstep_io::output::{self, DROPPED_ROW};
use lockstep_io::udp::UdpCounts;
use lockstep_wire::{Epoch, Nanos, Seq};
use std::path::{Path, PathBuf};

/// The interval at which values are stored.
const PUBLISH_NS: Nanos = 100_000_000;

/// The labels of handles, and of the halves of a participant.
const PUBLISHER: &str = "handle=\"publisher\"";
const SUBSCRIBER: &str = "handle=\"subscriber\"";
/// The counter of each handle.
const CONNECTED: CounterRow = CounterRow::gauge(
    "connected",
    "1 while the handle follows a leader's stream: 0 once it has received nothing from one for a second (or ten heartbeats, or four failure timeouts).",
);
/// The counters of a publisher's handle, beside those of its engine.
const PUBLISHER_ROWS: [CounterRow; 2] = [
    CONNECTED,
    CounterRow::histogram(
        "publish_latency_ns",
        "Time from the sending of a message until its publisher knew that it is committed; one message at a time.",
    ),
];
/// The counters of a subscriber's handle, beside those of its engine.
const SUBSCRIBER_ROWS: [CounterRow; 4] = [
    CONNECTED,
    CounterRow::gauge("epoch", "The round of the epoch that the handle follows; 0 none."),
    CounterRow::gauge("deliver_next", "The next seq that is delivered."),
    CounterRow::histogram(
        "delivery_latency_ns",
        "Time from an entry's timestamp, by the leader's clock, until it was delivered, by the clock here; the first \
         entry of each poll.",
    ),
];

/// A counters file of the caller's process, which `lockstep counters` shows. Dropping it removes the file;
/// the file of a killed process stays.
///
/// ```no_run
/// use lockstep_client::{Counted, CounterRow, Delivery, Endpoint, Start, Subscriber};
/// use std::ops::ControlFlow;
///
/// fn count(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::Live)?;
///     let own = [CounterRow::count("risk_orders", "Orders that were checked.")];
///     let mut counted = Counted::create(endpoint, "risk", &own, None, Some(&mut subscriber))?;
///     let mut orders = 0;
///     loop {
///         subscriber.poll(64, |_| {
///             orders += 1;
///             ControlFlow::Continue(())
///         });
///         counted.publish(subscriber.now(), &[orders], None, Some(&subscriber));
///     }
/// }
/// ```
pub struct Counted {
    file: CountersFile,
    process: String,
    path: PathBuf,
    count: usize,
    /// Whether the process is a daemon, which also counts dropped lines.
    is_daemon: bool,
    values: Vec<u64>,
    due: Nanos,
}

fn labelled(groups: &[&[CounterRow]], label: &str) -> Vec<Described> {
    groups.iter().flat_map(|rows| rows.iter()).map(|row| row.labelled(label)).collect()
}

/// The counters of handles, with the label of their handle, in the order in which they are published.
pub fn handle_counters(has_publisher: bool, has_subscriber: bool) -> Vec<Described> {
    let publisher: [&[CounterRow]; 3] = [&PUBLISHER_ROWS, Counter::ROWS, UdpCounts::ROWS];
    let subscriber: [&[CounterRow]; 4] = [&SUBSCRIBER_ROWS, Counter::ROWS, UdpCounts::ROWS, &SUM_ROWS];
    let publisher = has_publisher.then(|| labelled(&publisher, PUBLISHER));
    let subscriber = has_subscriber.then(|| labelled(&subscriber, SUBSCRIBER));
    publisher.into_iter().chain(subscriber).flatten().collect()
}

/// The counters of a participant: its halves, labelled like handles, and the device of both.
pub fn participant_counters() -> Vec<Described> {
    let publisher: [&[CounterRow]; 2] = [&PUBLISHER_ROWS, Counter::ROWS];
    let subscriber: [&[CounterRow]; 3] = [&SUBSCRIBER_ROWS, Counter::ROWS, &SUM_ROWS];
    let device = labelled(&[UdpCounts::ROWS], "handle=\"participant\"");
    [labelled(&publisher, PUBLISHER), labelled(&subscriber, SUBSCRIBER), device].concat()
}

/// The words of durations; zeros if they are not measured.
fn words(durations: Option<&Durations>) -> [u64; WORDS] {
    durations.map_or([0; WORDS], |durations| *durations.words())
}

/// The values of [`PUBLISHER_ROWS`] and of the engine.
fn push_publisher(values: &mut Vec<u64>, is_connected: bool, trips: Option<&Durations>, counters: &Counters) {
    values.push(u64::from(is_connected));
    values.extend(words(trips));
    values.extend_from_slice(counters.values());
}

/// The values of [`SUBSCRIBER_ROWS`] and of the engine.
fn push_subscriber(
    values: &mut Vec<u64>,
    is_connected: bool,
    (epoch, deliver_next): (Epoch, Seq),
    latencies: Option<&Durations>,
    counters: &Counters,
) {
    values.extend([u64::from(is_connected), u64::from(epoch.round()), deliver_next]);
    values.extend(words(latencies));
    values.extend_from_slice(counters.values());
}

impl Counted {
    /// Creates the file of the process called `process` (letters, digits, `-`, `_`, `.`), with the process's
    /// own counters and those of its handles, whose latencies are measured from now on. It replaces a file of
    /// the same name.
    ///
    /// # Errors
    /// Another character in `process`, too many counters, or a file that cannot be made.
    pub fn create(
        endpoint: &Endpoint,
        process: &str,
        own: &[CounterRow],
        publisher: Option<&mut Publisher>,
        subscriber: Option<&mut Subscriber>,
    ) -> Result<Self, IoError> {
        let rows = handle_counters(publisher.is_some(), subscriber.is_some());
        let created = Self::create_of(endpoint, ("application", process, process), own, rows)?;
        Self::measure(publisher, subscriber);
        Ok(created)
    }

    /// As [`create`](Self::create), for a process whose handle is a participant;
    /// [`Counted::publish_participant`] stores the values.
    ///
    /// # Errors
    /// As [`Counted::create`].
    pub fn create_participant(
        endpoint: &Endpoint,
        process: &str,
        own: &[CounterRow],
        participant: &mut Participant,
    ) -> Result<Self, IoError> {
        let rows = participant_counters();
        let created = Self::create_of(endpoint, ("application", process, process), own, rows)?;
        participant.measure();
        Ok(created)
    }

    /// As [`create`](Self::create), for a daemon of this kind with this name: its process is called
    /// `KIND-NAME`.
    ///
    /// # Errors
    /// As [`Counted::create`].
    #[doc(hidden)]
    pub fn create_daemon(
        endpoint: &Endpoint,
        (kind, name): (&str, &str),
        own: &[CounterRow],
        publisher: Option<&mut Publisher>,
        subscriber: Option<&mut Subscriber>,
    ) -> Result<Self, IoError> {
        let process = format!("{kind}-{name}");
        let rows = handle_counters(publisher.is_some(), subscriber.is_some());
        let created = Self::create_of(endpoint, (kind, name, &process), own, rows)?;
        Self::measure(publisher, subscriber);
        Ok(created)
    }

    /// As [`create_participant`](Self::create_participant), for a daemon of this kind with this name, whose
    /// own counters may have labels.
    ///
    /// # Errors
    /// As [`Counted::create`].
    #[doc(hidden)]
    pub fn create_daemon_participant(
        endpoint: &Endpoint,
        (kind, name): (&str, &str),
        own: Vec<Described>,
        participant: &mut Participant,
    ) -> Result<Self, IoError> {
        let process = format!("{kind}-{name}");
        let rows = own.into_iter().chain(participant_counters()).collect();
        let created = Self::create_of(endpoint, (kind, name, &process), &[], rows)?;
        participant.measure();
        Ok(created)
    }

    /// Measures the latencies of a participant that replaces an earlier one.
    #[doc(hidden)]
    pub fn measure_participant(participant: &mut Participant) {
        participant.measure();
    }

    fn create_of(
        endpoint: &Endpoint,
        (kind, name, process): (&str, &str, &str),
        own: &[CounterRow],
        handles: Vec<Described>,
    ) -> Result<Self, IoError> {
        let path = Self::path(&endpoint.counters, endpoint.cluster(), process);
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if process.is_empty() || !process.chars().all(is_plain) {
            let doing = format!("make the counters file of the process '{process}'");
            let why = "its name has letters, digits, '-', '_' and '.' only";
            return Err(IoError::because(doing, std::io::ErrorKind::InvalidInput, why));
        }
        let mut rows: Vec<Described> = own.iter().map(|row| Described::from(*row)).collect();
        rows.extend(handles);
        let is_daemon = kind != "application";
        rows.extend(is_daemon.then(|| Described::from(DROPPED_ROW)));
        let cluster = endpoint.cluster().to_string();
        let labels =
            [("cluster", &*cluster), ("kind", kind), ("name", name), ("release", env!("CARGO_PKG_VERSION"))];
        let file = CountersFile::create(&path, &labels, &rows)?;
        let count = rows.iter().map(|row| row.kind.values()).sum();
        let (process, values) = (process.to_owned(), Vec::with_capacity(count));
        Ok(Self { file, process, path, count, is_daemon, values, due: 0 })
    }

    /// Measures the latencies of handles that replace earlier ones.
    #[doc(hidden)]
    pub fn measure(publisher: Option<&mut Publisher>, subscriber: Option<&mut Subscriber>) {
        publisher.into_iter().for_each(Publisher::measure);
        subscriber.into_iter().for_each(Subscriber::measure);
    }

    /// The path of the file of `process` in the folder of counters files.
    pub fn path(folder: &Path, cluster: u64, process: &str) -> PathBuf {
        folder.join(format!("lockstep-{cluster}-{process}.counters"))
    }

    /// The name of the process, and the path of its file.
    #[doc(hidden)]
    pub fn place(&self) -> (&str, &Path) {
        (&self.process, &self.path)
    }

    /// Whether [`Counted::publish`] stores the values at `now`.
    #[inline]
    pub fn is_due(&self, now: Nanos) -> bool {
        now >= self.due
    }

    /// Stores all values, at most ten times a second. `now` is [`Subscriber::now`] or [`Publisher::now`];
    /// `own` has the values of the own counters in the order of their rows. The handles must be of the kinds
    /// with which the file was created.
    #[inline]
    pub fn publish(
        &mut self,
        now: Nanos,
        own: &[u64],
        publisher: Option<&Publisher>,
        subscriber: Option<&Subscriber>,
    ) {
        if self.is_due(now) {
            self.due = now + PUBLISH_NS;
            self.store(now, own, publisher, subscriber);
        }
    }

    /// As [`publish`](Self::publish), for the participant with which the file was created. `now` is
    /// [`Participant::now`].
    #[inline]
    pub fn publish_participant(&mut self, now: Nanos, own: &[u64], participant: &Participant) {
        if self.is_due(now) {
            self.due = now + PUBLISH_NS;
            self.store_participant(now, own, participant);
        }
    }

    #[cold]
    fn store(
        &mut self,
        now: Nanos,
        own: &[u64],
        publisher: Option<&Publisher>,
        subscriber: Option<&Subscriber>,
    ) {
        let mut wall = now;
        let values = self.begin_values(own);
        if let Some(publisher) = publisher {
            wall = publisher.clock().wall(now);
            push_publisher(values, publisher.is_connected(), publisher.round_trips(), publisher.counters());
            values.extend_from_slice(&publisher.net().counts().values());
        }
        if let Some(subscriber) = subscriber {
            wall = subscriber.clock().wall(now);
            let place = (subscriber.epoch(), subscriber.deliver_next());
            let is_connected = subscriber.is_connected();
            push_subscriber(values, is_connected, place, subscriber.latencies(), subscriber.counters());
            values.extend_from_slice(&subscriber.net().counts().values());
            subscriber.losses().sums(values);
        }
        self.publish_values(wall);
    }

    #[cold]
    fn store_participant(&mut self, now: Nanos, own: &[u64], participant: &Participant) {
        let values = self.begin_values(own);
        let (is_connected, counters) = (participant.is_connected(), participant.publisher_counters());
        push_publisher(values, is_connected, participant.round_trips(), counters);
        let place = (participant.epoch(), participant.deliver_next());
        let (latencies, counters) = (participant.latencies(), participant.subscriber_counters());
        push_subscriber(values, is_connected, place, latencies, counters);
        participant.losses().sums(values);
        values.extend_from_slice(&participant.net().counts().values());
        self.publish_values(participant.clock().wall(now));
    }

    /// The memory of the values, with those of the own counters.
    fn begin_values(&mut self, own: &[u64]) -> &mut Vec<u64> {
        self.values.clear();
        self.values.extend_from_slice(own);
        &mut self.values
    }

    fn publish_values(&mut self, wall: Nanos) {
        self.values.extend(self.is_daemon.then(output::dropped));
        assert_eq!(self.values.len(), self.count, "the handles are those with which the file was made");
        self.file.publish(wall, &self.values);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // another process of this name may have replaced it
    }
}
