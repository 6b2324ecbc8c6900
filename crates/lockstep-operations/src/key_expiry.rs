//! The day on which the keys that seal are to have been replaced (`lockstep keys expire`). Nothing ends on
//! that day: a cluster that stops at midnight is no safer. `status` and the logs of daemons remind of it.

use lockstep_config::{Config, KeyUse};
use lockstep_io::clock::Utc;
use lockstep_io::key_file::KeyFile;
use std::fmt;
use std::path::Path;

/// The number of days before the day at which reminders begin: a month, as for certificates.
pub const REMIND_DAYS: i64 = 30;

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
    pub fn of_operator(config: &Config) -> Option<Self> {
        config.key_file(KeyUse::Operator).as_deref().and_then(Self::read)
    }

    /// The day and the time until then, in words.
    pub fn when(&self) -> String {
        let Self { generation, until, days_left } = self;
        let (until, number) = (until.date(), days_left.unsigned_abs());
        let days = if number == 1 { "day" } else { "days" };
        if self.is_over() {
            format!("the keys of generation {generation} were to be replaced by {until}, {number} {days} ago")
        } else {
            format!("the keys of generation {generation} are to be replaced by {until}, in {number} {days}")
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
