//! The day by which the sealing keys should be replaced (`lockstep keys expire`). Nothing ends on that day: a
//! cluster that stops at midnight is no safer. `status` and the logs of daemons remind of it. Also the day on
//! which a gateway's certificate ends: from then on its clients refuse it.

use crate::Failure;
use crate::args::ClusterArgs;
use crate::config::KeyUse;
use lockstep_core::engine::counters::CounterRow;
#[cfg(feature = "tls")]
use lockstep_io::clock::DAY_NS;
use lockstep_io::clock::Utc;
use lockstep_io::key_file::KeyFile;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of days before the day at which reminders begin: a month, as for certificates.
const REMIND_DAYS: i64 = 30;

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

/// The day, and the time until then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expiry {
    /// The generation that seals.
    pub generation: u8,
    /// The day.
    pub until: Utc,
    /// The days that are left; negative once it is over.
    pub days_left: i64,
}

impl Expiry {
    /// The expiry of the sealing generation, at this wall time.
    fn at((generation, until): (u8, Utc), wall: Utc) -> Self {
        Self { generation, until, days_left: wall.days_until(until) }
    }

    /// The expiry in the key file at `path`, now; `None` if no day is set. A file that cannot be read has
    /// none: a command that needs its keys reports the error.
    pub fn read(path: &Path) -> Option<Self> {
        let expiry = KeyFile::read_expiry(path).ok()??;
        Some(Self::at(expiry, Utc::now()))
    }

    /// The expiry in the key file that this host's commands use.
    pub fn of(cluster: &ClusterArgs) -> Result<Option<Self>, Failure> {
        Ok(cluster.load(&[])?.key_file(KeyUse::Operator).as_deref().and_then(Self::read))
    }

    /// The expiry of the keys of this process, whose page shows it from now on.
    pub fn of_process(path: &Path) -> Option<Self> {
        let expiry = Self::read(path);
        DAY_OF_PROCESS.store(expiry.map_or(0, |expiry| expiry.until.0), Ordering::Relaxed);
        expiry
    }

    /// The day and the time until then, in words.
    pub fn when(&self) -> String {
        let Self { generation, until, days_left } = self;
        let (until, number) = (until.date(), days_left.unsigned_abs());
        let days = if number == 1 { "day" } else { "days" };
        match self.is_over() {
            false => {
                format!(
                    "the keys of generation {generation} are to be replaced by {until}, in {number} {days}"
                )
            }
            true => {
                format!(
                    "the keys of generation {generation} were to be replaced by {until}, {number} {days} ago"
                )
            }
        }
    }

    /// Whether it is time to remind of it.
    pub fn is_near(&self) -> bool {
        self.days_left <= REMIND_DAYS
    }

    /// Whether the day is over.
    pub fn is_over(&self) -> bool {
        self.days_left < 0
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `lockstep keys rotate` begins that", self.when())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_comes_a_month_before_and_an_alarm_on_the_day_after() {
        let mut file = KeyFile::draw(7).expect("random numbers");
        let at = |day: &str| Utc::day(day).expect("a day");
        assert_eq!(file.expiry(), None, "no day was set");
        file.expire(0, Some(at("2027-03-31"))).expect("a generation");
        for (day, left, is_near, is_over) in [
            ("2027-02-28", 31, false, false),
            ("2027-03-01", 30, true, false),
            ("2027-03-31", 0, true, false),
            ("2027-04-01", -1, true, true),
        ] {
            let expiry = Expiry::at(file.expiry().expect("a day was set"), at(day));
            assert_eq!(
                (expiry.days_left, expiry.is_near(), expiry.is_over()),
                (left, is_near, is_over),
                "{day}"
            );
        }
        let over = Expiry::at((0, at("2027-03-31")), at("2027-04-01")).to_string();
        assert!(over.contains("were to be replaced by 2027-03-31, 1 day ago"), "{over}");
    }
}
