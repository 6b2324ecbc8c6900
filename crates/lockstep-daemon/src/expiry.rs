//! The days that the page of a daemon shows and its log reminds of: the one on which the keys that seal are
//! to have been replaced, and the one on which a gateway's certificate ends, from when on its clients refuse
//! it.

use lockstep_core::engine::counters::CounterRow;
#[cfg(feature = "tls")]
use lockstep_io::clock::DAY_NS;
#[cfg(feature = "tls")]
use lockstep_io::clock::Utc;
use lockstep_operations::key_expiry::Expiry;
#[cfg(feature = "tls")]
use lockstep_operations::key_expiry::REMIND_DAYS;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Its metric, on the page of every daemon.
pub const KEY_EXPIRY: CounterRow = CounterRow::gauge(
    "key_expiry_time_ns",
    "The day on which the keys that seal are to have been replaced, since the Unix epoch; 0 none. On the page alone.",
);

/// The metric of the certificates, on the page of a gateway.
pub const CERTIFICATE_EXPIRY: CounterRow = CounterRow::gauge(
    "certificate_expiry_time_ns",
    "When the first of the certificates ends that new clients are shown, since the Unix epoch; 0 without TLS. On the page alone.",
);

/// The day of the keys that this process has read, for its page; 0: none.
static DAY_OF_PROCESS: AtomicU64 = AtomicU64::new(0);
/// The end of the certificates that this process has read; 0: none.
static CERTIFICATE_OF_PROCESS: AtomicU64 = AtomicU64::new(0);

/// The value of [`KEY_EXPIRY`].
pub fn key_expiry() -> u64 {
    DAY_OF_PROCESS.load(Ordering::Relaxed)
}

/// The value of [`CERTIFICATE_EXPIRY`].
pub fn certificate_expiry() -> u64 {
    CERTIFICATE_OF_PROCESS.load(Ordering::Relaxed)
}

/// New clients of this process receive certificates of which the first ends at `end`. The log reminds of it.
#[cfg(feature = "tls")]
pub fn note_certificate(file: &Path, end: Option<Utc>) {
    CERTIFICATE_OF_PROCESS.store(end.map_or(0, |end| end.0), Ordering::Relaxed);
    let Utc(wall) = Utc::now();
    let Some(end) = end.filter(|end| end.0 < wall + REMIND_DAYS as u64 * DAY_NS) else { return };
    let ends = if end.0 <= wall { "has ended: clients refuse it" } else { "ends soon" };
    tracing::warn!(
        "the certificate in {} {ends} ({end}): write the next one and its key into their files, and `lockstep reload`",
        file.display()
    );
}

/// The day of the keys in the file at `path`, which this process has: its page shows it from now on.
pub fn of_process(path: &Path) -> Option<Expiry> {
    let expiry = Expiry::read(path);
    DAY_OF_PROCESS.store(expiry.map_or(0, |expiry| expiry.until.0), Ordering::Relaxed);
    expiry
}
