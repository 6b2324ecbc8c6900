//! # clock: time, and other values that only the kernel knows
//!
//! Engines count in `now`: nanoseconds of the monotonic clock, which no administrator sets back. Two
//! processes of one host may compare theirs. Timestamps of the stream are wall time, computed from the same
//! reading and an offset, so that a turn reads one clock once. Both reads stay in user space (vdso, some 25
//! ns) if the kernel's clocksource allows it.

use super::IoError;
use lockstep_wire::Nanos;
use lockstep_wire::date::{date_of_days, days_of_date};
use std::fmt;
use std::io::ErrorKind;

/// The number of readings for the offset; the tightest pair of readings decides.
const OFFSET_READINGS: usize = 5;

/// The two clocks and the offset between them.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Wall time less monotonic time.
    offset: Nanos,
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

impl Clock {
    /// A clock with the offset of this moment.
    pub fn start() -> Self {
        Self { offset: offset() }
    }

    /// Nanoseconds of the monotonic clock (since boot, sleep not counted).
    #[inline]
    pub fn now(&self) -> Nanos {
        read(libc::CLOCK_MONOTONIC)
    }

    /// The wall time of the moment `now`, in nanoseconds since the Unix epoch. It moves evenly: steps of the
    /// system's time take effect only at [`Clock::refresh`].
    #[inline]
    pub fn wall(&self, now: Nanos) -> Nanos {
        now.wrapping_add(self.offset)
    }

    /// Measures the offset again, because the system's time may have been set or slewed. Returns by how many
    /// nanoseconds wall time has moved.
    pub fn refresh(&mut self) -> i64 {
        let before = std::mem::replace(&mut self.offset, offset());
        self.offset.wrapping_sub(before) as i64
    }
}

/// A day.
pub const DAY_NS: Nanos = 86_400_000_000_000;

/// A wall time, in nanoseconds since the Unix epoch, as log lines print it: `2026-11-21T10:00:00.000001Z`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Utc(pub Nanos);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = date_of_days(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl Utc {
    /// The wall time of this moment, for callers that need no other time.
    pub fn now() -> Self {
        Self(read(libc::CLOCK_REALTIME))
    }

    /// The beginning of a day written as `2026-11-21`, from 1970 on; `None` for any other text.
    pub fn day(text: &str) -> Option<Self> {
        let fields = text.split('-').collect::<Vec<_>>();
        let [year, month, day] = fields[..] else { return None };
        let number =
            |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
        let [year, month, day]: [u64; 3] = [number(year)??, number(month)??, number(day)??];
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        // 64 bits of nanoseconds end in the year 2554.
        let found = Self(days_of_date(year, month, day)?.checked_mul(DAY_NS)?);
        // A day beyond the month's end would count into the next month.
        (found.date() == text).then_some(found)
    }

    /// A day as [`Utc::day`] reads it, or a time of it: `2026-11-21T09:30`, with or without seconds, their
    /// fraction and a final `Z`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((day, time)) = text.split_once('T') else { return Self::day(text) };
        let (clock, fraction) = match time.strip_suffix('Z').unwrap_or(time).split_once('.') {
            Some((clock, fraction)) => (clock, fraction),
            None => (time.strip_suffix('Z').unwrap_or(time), "0"),
        };
        let number = |digits: &str, len: std::ops::RangeInclusive<usize>| -> Option<u64> {
            let is_number = len.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten()
        };
        let fields = clock.split(':').map(|field| number(field, 2..=2)).collect::<Option<Vec<_>>>()?;
        let (hour, minute, second) = match fields[..] {
            [hour, minute] => (hour, minute, 0),
            [hour, minute, second] => (hour, minute, second),
            _ => return None,
        };
        let nanos = number(&format!("{fraction:0<9}"), 9..=9)?;
        let is_time = hour < 24 && minute < 60 && second < 60;
        let time_ns = ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos;
        Some(Self(Self::day(day)?.0.checked_add(time_ns)?)).filter(|_| is_time)
    }

    /// The day of this time, as [`Utc::day`] reads it.
    pub fn date(self) -> String {
        let mut text = self.to_string();
        text.truncate(10);
        text
    }

    /// Whole days from this time's day until that of `until`; negative if that day is over.
    pub fn days_until(self, until: Self) -> i64 {
        let day = |time: Self| (time.0 / DAY_NS) as i64;
        day(until) - day(self)
    }
}

/// Nanoseconds of one of the kernel's clocks.
fn read(clock: libc::clockid_t) -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives across the call; the two clocks that we read exist on every Linux, so the
    // call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as Nanos * 1_000_000_000 + time.tv_nsec as Nanos
}

/// Wall time minus monotonic time. The thread may be preempted between two readings, so the tightest of
/// several brackets counts.
fn offset() -> Nanos {
    let bracket = || {
        let before = read(libc::CLOCK_MONOTONIC);
        let wall = read(libc::CLOCK_REALTIME);
        let width = read(libc::CLOCK_MONOTONIC) - before;
        (width, wall.wrapping_sub(before + width / 2))
    };
    let mut best = bracket();
    for _ in 1..OFFSET_READINGS {
        best = best.min(bracket());
    }
    best.1
}

/// The random id of this boot of the machine. The content of memory files belongs to one boot only.
///
/// # Errors
/// `/proc` is not mounted, or does not have it.
pub fn boot_id() -> Result<u128, IoError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let doing = || format!("read the id of this boot from {path}");
    let text = std::fs::read_to_string(path).map_err(|error| IoError::new(doing(), error))?;
    let digits: String = text.trim().chars().filter(|char| *char != '-').collect();
    u128::from_str_radix(&digits, 16).map_err(|_| {
        IoError::because(doing(), ErrorKind::InvalidData, format!("'{}' is no UUID", text.trim()))
    })
}

/// Random bits of the kernel's: for identities, histories and nonces.
///
/// # Errors
/// The kernel gives none, which happens only before its pool is filled or under a filter.
pub fn random_u64() -> Result<u64, IoError> {
    getrandom::u64().map_err(|error| {
        IoError::new("draw a random number from the kernel", std::io::Error::other(error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_is_printed_as_log_lines_print_it() {
        let formatted =
            |seconds: u64, micros: u64| Utc(seconds * 1_000_000_000 + micros * 1_000 + 999).to_string();
        assert_eq!(formatted(0, 0), "1970-01-01T00:00:00.000000Z");
        // As `date -u -d @…` has them.
        assert_eq!(formatted(951_782_399, 1), "2000-02-28T23:59:59.000001Z");
        assert_eq!(formatted(951_868_799, 999_999), "2000-02-29T23:59:59.999999Z");
        assert_eq!(formatted(951_868_800, 0), "2000-03-01T00:00:00.000000Z");
        assert_eq!(formatted(1_700_000_000, 0), "2023-11-14T22:13:20.000000Z");
        assert_eq!(formatted(1_795_254_896, 789_012), "2026-11-21T09:54:56.789012Z");
        assert_eq!(formatted(4_107_542_399, 0), "2100-02-28T23:59:59.000000Z");
        assert_eq!(formatted(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn a_day_is_read_as_it_is_printed_and_no_other_text_is_one() {
        let mut days = (0..120_000).map(|day| Utc(day * DAY_NS));
        assert!(days.all(|day| Utc::day(&day.date()) == Some(day)), "three centuries");
        for wrong in [
            "",
            "2027-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-1-01",
            "27-01-01",
            "2027-01-01T00",
            "1969-12-31",
            "+027-01-01",
            "2555-01-01",
            "9999-12-31",
        ] {
            assert_eq!(Utc::day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_is_read_as_it_is_printed_and_shorter() {
        let time = Utc(951_782_399_000_001_000);
        assert_eq!(Utc::parse(&time.to_string()), Some(time));
        for (text, seconds) in [
            ("1970-01-02", 86_400),
            ("1970-01-01T01:02", 3_720),
            ("1970-01-01T01:02:03", 3_723),
            ("1970-01-01T01:02:03Z", 3_723),
        ] {
            assert_eq!(Utc::parse(text), Some(Utc(seconds * 1_000_000_000)), "{text}");
        }
        assert_eq!(Utc::parse("1970-01-01T00:00:00.5"), Some(Utc(500_000_000)));
        for wrong in ["1970-01-01T", "1970-01-01T1:02", "1970-01-01T24:00", "1970-01-01T01:60", "x"] {
            assert_eq!(Utc::parse(wrong), None, "{wrong}");
        }
    }
}
