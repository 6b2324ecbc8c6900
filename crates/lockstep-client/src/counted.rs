//! The counters of a process with handles, in shared memory as a replica's are: `lockstep counters` reads
//! them while the process is busy, hung or dead.

use super::{Endpoint, Publisher, Subscriber};
use lockstep_core::engine::counters::{Counter, CounterRow, Described};
use lockstep_core::engine::durations::{Durations, WORDS};
use lockstep_core::engine::losses::SUM_ROWS;
use lockstep_io::IoError;
use lockstep_io::counters::CountersFile;
use lockstep_io::udp::UdpCounts;
use lockstep_wire::Nanos;
use std::path::{Path, PathBuf};

/// Between two times that values are stored.
const PUBLISH_NS: Nanos = 100_000_000;

/// What a publisher's handle has beside what its engine counts.
const PUBLISHER_ROWS: [CounterRow; 2] = [
    CounterRow::gauge("connected", "1 while the handle follows a leader's stream."),
    CounterRow::histogram(
        "publish_latency_ns",
        "Time from the sending of a message until its publisher knew that it is committed; one message at a time.",
    ),
];
/// What a subscriber's handle has beside what its engine counts.
const SUBSCRIBER_ROWS: [CounterRow; 3] = [
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
    values: Vec<u64>,
    due: Nanos,
}

/// The counters of handles, labelled with whose they are, in the order in which they are published.
pub fn handle_counters(has_publisher: bool, has_subscriber: bool) -> Vec<Described> {
    let publisher: [&[CounterRow]; 3] = [&PUBLISHER_ROWS, Counter::ROWS, UdpCounts::ROWS];
    let subscriber: [&[CounterRow]; 4] = [&SUBSCRIBER_ROWS, Counter::ROWS, UdpCounts::ROWS, &SUM_ROWS];
    let rows = |groups: &[&[CounterRow]], label: &str| -> Vec<Described> {
        groups.iter().flat_map(|rows| rows.iter()).map(|row| row.labelled(label)).collect()
    };
    let publisher = has_publisher.then(|| rows(&publisher, "handle=\"publisher\""));
    let subscriber = has_subscriber.then(|| rows(&subscriber, "handle=\"subscriber\""));
    publisher.into_iter().chain(subscriber).flatten().collect()
}

impl Counted {
    /// Creates the file of the process called `process` (letters, digits, `-`, `_`, `.`), with the process's
    /// own counters and those of its handles, whose latencies are measured from now on. It replaces a file of
    /// the same name.
    ///
    /// # Errors
    /// Another letter in `process`, too many counters, or a file that cannot be made.
    pub fn create(
        endpoint: &Endpoint,
        process: &str,
        own: &[CounterRow],
        publisher: Option<&mut Publisher>,
        subscriber: Option<&mut Subscriber>,
    ) -> Result<Self, IoError> {
        Self::create_of(endpoint, ("application", process, process), own, publisher, subscriber)
    }

    /// The same of a daemon of this kind with this name: its process is called `KIND-NAME`.
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
        Self::create_of(endpoint, (kind, name, &process), own, publisher, subscriber)
    }

    fn create_of(
        endpoint: &Endpoint,
        (kind, name, process): (&str, &str, &str),
        own: &[CounterRow],
        publisher: Option<&mut Publisher>,
        subscriber: Option<&mut Subscriber>,
    ) -> Result<Self, IoError> {
        let path = Self::path(&endpoint.counters, endpoint.cluster(), process);
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if process.is_empty() || !process.chars().all(is_plain) {
            let doing = format!("make the counters file of the process '{process}'");
            let why = "its name has letters, digits, '-', '_' and '.' only";
            return Err(IoError::because(doing, std::io::ErrorKind::InvalidInput, why));
        }
        let mut rows: Vec<Described> = own.iter().map(|row| Described::from(*row)).collect();
        rows.extend(handle_counters(publisher.is_some(), subscriber.is_some()));
        let cluster = endpoint.cluster().to_string();
        let labels =
            [("cluster", &*cluster), ("kind", kind), ("name", name), ("release", env!("CARGO_PKG_VERSION"))];
        let file = CountersFile::create(&path, &labels, &rows)?;
        Self::measure(publisher, subscriber);
        let count = rows.iter().map(|row| row.kind.values()).sum();
        Ok(Self { file, process: process.to_owned(), path, count, values: Vec::with_capacity(count), due: 0 })
    }

    /// Measures the latencies of handles that are published in the place of earlier ones.
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
    /// `own` has the values of the own counters in the order of their rows. The handles are of those kinds
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

    #[cold]
    fn store(
        &mut self,
        now: Nanos,
        own: &[u64],
        publisher: Option<&Publisher>,
        subscriber: Option<&Subscriber>,
    ) {
        let words =
            |durations: Option<&Durations>| durations.map_or([0; WORDS], |durations| *durations.words());
        let mut wall = now;
        let values = &mut self.values;
        values.clear();
        values.extend_from_slice(own);
        if let Some(publisher) = publisher {
            wall = publisher.clock().wall(now);
            values.push(u64::from(publisher.is_connected()));
            values.extend(words(publisher.round_trips()));
            values.extend_from_slice(publisher.counters().values());
            values.extend_from_slice(&publisher.net().counts().values());
        }
        if let Some(subscriber) = subscriber {
            wall = subscriber.clock().wall(now);
            values.extend([u64::from(subscriber.epoch().round()), subscriber.deliver_next()]);
            values.extend(words(subscriber.latencies()));
            values.extend_from_slice(subscriber.counters().values());
            values.extend_from_slice(&subscriber.net().counts().values());
            subscriber.losses().sums(values);
        }
        assert_eq!(values.len(), self.count, "the handles are those with which the file was made");
        self.file.publish(wall, values);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // another process of this name may have replaced it
    }
}
