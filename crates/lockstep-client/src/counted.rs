//! The counters of a process with handles, in shared memory as a replica's are: `lockstep counters` reads
//! them while the process is busy, hung or dead.

use super::{Endpoint, Publisher, Subscriber};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::losses::SUM_ROWS;
use lockstep_io::IoError;
use lockstep_io::counters::CountersFile;
use lockstep_io::udp::UdpCounts;
use lockstep_wire::Nanos;
use std::path::{Path, PathBuf};

/// Between two times that values are stored.
const PUBLISH_NS: Nanos = 100_000_000;
/// Prefix of the names of a publisher's counters.
pub const PUBLISHER: &str = "publisher_";
/// Prefix of the names of a subscriber's counters.
pub const SUBSCRIBER: &str = "subscriber_";

/// A counters file of the caller's process, which `lockstep counters` shows. Dropping it removes the file;
/// the file of a killed process stays.
///
/// ```no_run
/// use lockstep_client::{Counted, Delivery, Endpoint, Start, Subscriber};
/// use std::ops::ControlFlow;
///
/// fn count(endpoint: &Endpoint) -> Result<(), Box<dyn std::error::Error>> {
///     let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::Live)?;
///     let mut counted = Counted::create(endpoint, "risk", &["risk_orders"], None, Some(&subscriber))?;
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
    path: PathBuf,
    names: usize,
    values: Vec<u64>,
    due: Nanos,
}

/// The names of a handle's counters.
fn handle_names(whose: &str, losses: bool) -> impl Iterator<Item = String> {
    let sums: &[_] = if losses { &SUM_ROWS } else { &[] };
    let rows = Counter::ROWS.iter().chain(UdpCounts::ROWS).chain(sums);
    rows.map(move |row| format!("{whose}{}", row.name))
}

impl Counted {
    /// Creates the file of the process called `process` (letters, digits, `-`, `_`, `.`), with the process's
    /// own counters and those of its handles. It replaces a file of the same name.
    ///
    /// # Errors
    /// Another letter in `process`, a name that is too long, or a file that cannot be made.
    pub fn create(
        endpoint: &Endpoint,
        process: &str,
        own: &[&str],
        publisher: Option<&Publisher>,
        subscriber: Option<&Subscriber>,
    ) -> Result<Self, IoError> {
        let path = Self::path(&endpoint.counters, endpoint.cluster(), process);
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if process.is_empty() || !process.chars().all(is_plain) {
            let doing = format!("make the counters file of the process '{process}'");
            let why = "its name has letters, digits, '-', '_' and '.' only";
            return Err(IoError::because(doing, std::io::ErrorKind::InvalidInput, why));
        }
        let own = own.iter().map(|name| (*name).to_owned());
        let publisher = publisher.map(|_| handle_names(PUBLISHER, false)).into_iter().flatten();
        let subscriber = subscriber.map(|_| handle_names(SUBSCRIBER, true)).into_iter().flatten();
        let names: Vec<String> = own.chain(publisher).chain(subscriber).collect();
        let text: Vec<&str> = names.iter().map(String::as_str).collect();
        let file = CountersFile::create(&path, &text)?;
        Ok(Self { file, path, names: names.len(), values: Vec::with_capacity(names.len()), due: 0 })
    }

    /// The path of the file of `process` in the folder of counters files.
    pub fn path(folder: &Path, cluster: u64, process: &str) -> PathBuf {
        folder.join(format!("lockstep-{cluster}-{process}.counters"))
    }

    /// Stores all values, at most ten times a second. `now` is [`Subscriber::now`] or [`Publisher::now`];
    /// `own` has the values of the own counters in the order of their names. The handles are those with which
    /// the file was created.
    #[inline]
    pub fn publish(
        &mut self,
        now: Nanos,
        own: &[u64],
        publisher: Option<&Publisher>,
        subscriber: Option<&Subscriber>,
    ) {
        if now >= self.due {
            self.due = now + PUBLISH_NS;
            self.store(own, publisher, subscriber);
        }
    }

    #[cold]
    fn store(&mut self, own: &[u64], publisher: Option<&Publisher>, subscriber: Option<&Subscriber>) {
        let values = &mut self.values;
        values.clear();
        values.extend_from_slice(own);
        if let Some(publisher) = publisher {
            values.extend_from_slice(publisher.counters().values());
            values.extend_from_slice(&publisher.net().counts().values());
        }
        if let Some(subscriber) = subscriber {
            values.extend_from_slice(subscriber.counters().values());
            values.extend_from_slice(&subscriber.net().counts().values());
            let sums = values.len() + SUM_ROWS.len();
            subscriber.losses().values(values);
            values.truncate(sums);
        }
        assert_eq!(values.len(), self.names, "the handles are those with which the file was made");
        self.file.publish(values);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // another process of this name may have replaced it
    }
}
