//! When messages of an open and of a closed loop are due.

use super::{Load, Next, WAIT_MAX_NS};
use lockstep_wire::Nanos;
use std::str::FromStr;

/// A second, at the end of which a burst stands.
pub const SECOND_NS: Nanos = 1_000_000_000;

/// What decides when the next message leaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// The one before it has come. It hides what a stall does to those who do not wait for each other.
    Closed,
    /// A clock: so many a second, and more at times, however late the sender is.
    Open(u64, Option<Burst>),
}

/// More messages for a short time, once a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burst {
    /// How many times the rate.
    factor: u64,
    /// For how long.
    lasts_ns: Nanos,
}

impl Burst {
    /// For how long, at the end of each second.
    pub fn lasts_ns(self) -> Nanos {
        self.lasts_ns
    }
}

impl FromStr for Burst {
    type Err = String;

    /// As `10x50ms`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no burst; write FACTORxTIME, like 10x50ms, of at most 900ms");
        let (factor, time) = text.split_once('x').ok_or_else(wrong)?;
        let milliseconds: u64 =
            time.strip_suffix("ms").and_then(|time| time.parse().ok()).ok_or_else(wrong)?;
        let factor: u64 = factor.parse().map_err(|_| wrong())?;
        if (2..=1_000).contains(&factor) && (1..=900).contains(&milliseconds) {
            Ok(Self { factor, lasts_ns: milliseconds * 1_000_000 })
        } else {
            Err(wrong())
        }
    }
}

impl std::fmt::Display for Burst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}ms", self.factor, self.lasts_ns / 1_000_000)
    }
}

/// A loop of a pace, from one time until another.
pub struct Paced {
    pace: Pace,
    schedule: Schedule,
    began: Nanos,
    ends: Nanos,
}

impl Paced {
    /// A loop whose first message is due at `began`, and whose last one before `ends`.
    pub fn new(pace: Pace, began: Nanos, ends: Nanos) -> Self {
        let schedule = match pace {
            Pace::Closed => Schedule::new(1, None),
            Pace::Open(rate, burst) => Schedule::new(rate, burst),
        };
        Self { pace, schedule, began, ends }
    }
}

impl Load for Paced {
    fn next(&mut self, now: Nanos, sent: u64, came: u64) -> Next {
        let due = match self.pace {
            Pace::Closed if sent == came => now,
            Pace::Closed => Nanos::MAX,
            Pace::Open(..) => self.began + self.schedule.due(),
        };
        match due {
            due if due.min(now) >= self.ends => Next::Over,
            due if now < due => Next::Later,
            due => Next::Due(due),
        }
    }

    fn taken(&mut self) {
        self.schedule.pass();
    }

    fn wait_ns(&self, now: Nanos) -> Nanos {
        match self.pace {
            Pace::Closed => WAIT_MAX_NS,
            Pace::Open(..) => (self.began + self.schedule.due()).saturating_sub(now).min(WAIT_MAX_NS),
        }
    }
}

/// The intended times of an open loop, one after the other.
pub struct Schedule {
    rate: f64,
    burst: Option<Burst>,
    /// Nanoseconds since the first, and what is behind their point.
    at: f64,
}

impl Schedule {
    /// Begins with a message at 0.
    pub fn new(rate: u64, burst: Option<Burst>) -> Self {
        Self { rate: rate.max(1) as f64, burst, at: 0.0 }
    }

    /// When the next message is due, since the first.
    pub fn due(&self) -> Nanos {
        self.at.round() as Nanos
    }

    /// Goes on to the one behind it.
    pub fn pass(&mut self) {
        let in_second = self.due() % SECOND_NS;
        let factor = match self.burst {
            Some(Burst { factor, lasts_ns }) if in_second >= SECOND_NS - lasts_ns => factor,
            _ => 1,
        };
        self.at += SECOND_NS as f64 / (self.rate * factor as f64);
    }
}
