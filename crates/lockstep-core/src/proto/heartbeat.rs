//! # heartbeat: when a leader without anything else to send sends a heartbeat
//!
//! Heartbeats follow the last datagram at 70, 140 and 280 µs, so that a lost tail shows at once, then once an
//! interval. Once a quorum has acknowledged the last datagram these acks have shown the tail to everybody,
//! and no rung is left to climb. Under load a heartbeat is due each interval all the same: frames alone do
//! not show a receiver where the epoch began.
//!
//! Between two frames a heartbeat may stand before a submission that comes in; right behind a frame, in the
//! same call, nobody can have answered yet. So under load it goes with a frame, a little early. For the same
//! reason one that would leave alone waits until all that had arrived is read, for a rung at most: sending it
//! takes as long as the frame that a submission in the socket is about to become.
//!
//! The rungs stand beside the times between messages of round rates. At 50, 100 and 200 µs a heartbeat was
//! sent whenever the next of 20,000, 10,000 or 5,000 messages a second came in, and it waited for that.

use super::planted::{Mutation, planted};
use lockstep_wire::Nanos;

/// The ladder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HeartbeatLimits {
    /// First rung after a datagram; the next ones double.
    pub first_ns: Nanos,
    /// The steady interval.
    pub interval_ns: Nanos,
}

impl Default for HeartbeatLimits {
    fn default() -> Self {
        Self { first_ns: 70_000, interval_ns: 1_000_000 }
    }
}

/// If a frame leaves, a heartbeat may be early by this part of the interval: a quarter.
const EARLY: Nanos = 4;
/// Rungs of the ladder before the steady interval.
const RUNGS: u32 = 3;

/// One leader's heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HeartbeatTimer {
    limits: HeartbeatLimits,
    last_datagram: Nanos,
    last_heartbeat_at: Nanos,
    /// One is due then whatever else happens.
    steady: Nanos,
    rung: u32,
}

impl HeartbeatTimer {
    /// Due at once.
    pub fn new(limits: HeartbeatLimits) -> Self {
        Self { limits, last_datagram: 0, last_heartbeat_at: 0, steady: 0, rung: 0 }
    }

    /// Frames were sent.
    #[inline]
    pub fn on_sent(&mut self, now: Nanos) {
        self.last_datagram = now;
        self.rung = 0;
    }

    /// The acks of a quorum have shown everybody all that was sent.
    #[inline]
    pub fn on_acknowledged(&mut self) {
        self.rung = RUNGS;
    }

    /// When the next one is due.
    #[inline]
    pub fn next_deadline(&self) -> Nanos {
        if self.rung < RUNGS {
            self.steady.min(self.last_datagram + (self.limits.first_ns << self.rung))
        } else {
            self.steady
        }
    }

    /// BEAT-1 (when to beat): on the ladder behind the last datagram until a quorum has acknowledged it, and
    /// each interval, also under load, where it follows a frame that leaves anyway (`sends`) if it can. Alone
    /// it leaves from a `drained` socket, or a first rung late. Returns whether a heartbeat is due now, and
    /// counts it as sent.
    #[inline]
    pub fn due(&mut self, now: Nanos, sends: bool, drained: bool) -> bool {
        let deadline = if sends {
            self.with_frame()
        } else if drained {
            self.next_deadline()
        } else {
            self.next_deadline() + self.limits.first_ns
        };
        if now < deadline {
            return false;
        }
        while self.rung < RUNGS && now >= self.last_datagram + (self.limits.first_ns << self.rung) {
            self.rung += 1;
        }
        let from = if planted(Mutation::HeartbeatsMadeUp) && self.steady > 0 { self.steady } else { now };
        (self.last_heartbeat_at, self.steady) = (now, from + self.limits.interval_ns);
        true
    }

    /// When one is due if a frame leaves, which begins the ladder anew: at the interval's end or a little
    /// early, and never sooner than a rung behind the last one.
    #[inline]
    fn with_frame(&self) -> Nanos {
        let early = self.steady.saturating_sub(self.limits.interval_ns / EARLY);
        early.max(self.last_heartbeat_at + self.limits.first_ns).min(self.steady)
    }

    /// There is news that publishers wait for: the next one is due a first rung behind the last one.
    #[cold]
    pub fn hasten(&mut self) {
        self.steady = self.steady.min(self.last_heartbeat_at + self.limits.first_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeartbeatLimits = HeartbeatLimits { first_ns: 50, interval_ns: 1_000 };

    /// When a leader beats that looks each 10 ns until `until`, and sends frames at these times.
    fn timeline(sent: &[Nanos], until: Nanos) -> Vec<Nanos> {
        let mut heartbeat = HeartbeatTimer::new(LIMITS);
        (heartbeat.last_heartbeat_at, heartbeat.steady) = (10_000, 11_000);
        let mut heartbeats = Vec::new();
        for now in (10_000..until).step_by(10) {
            let sends = sent.contains(&now);
            if heartbeat.due(now, sends, true) {
                heartbeats.push(now);
            }
            if sends {
                heartbeat.on_sent(now);
            }
        }
        heartbeats
    }

    /// BEAT-1.
    #[test]
    fn beat_1_three_doubling_rungs_follow_the_last_datagram_and_then_the_steady_beat() {
        assert_eq!(timeline(&[10_000], 13_300), [10_050, 10_100, 10_200, 11_200, 12_200, 13_200]);
    }

    #[test]
    fn no_rung_meets_the_next_message_of_a_round_rate() {
        for rate in [1_000, 2_000, 2_500, 4_000, 5_000, 8_000, 10_000, 20_000, 25_000, 40_000, 50_000] {
            let period = 1_000_000_000 / rate;
            for rung in 0..RUNGS {
                let heartbeat = HeartbeatLimits::default().first_ns << rung;
                assert!(
                    heartbeat.abs_diff(period) > 10_000,
                    "{rate}/s: a beat {heartbeat} ns behind each message"
                );
            }
        }
    }

    /// BEAT-1.
    #[test]
    fn beat_1_under_load_too_a_leader_beats_at_each_beat() {
        let load: Vec<_> = (10_000..13_200).step_by(20).collect();
        assert_eq!(timeline(&load, 12_600), [10_760, 11_520, 12_280], "behind a frame, a quarter early");
        let pause: Vec<_> = load.into_iter().filter(|sent| !(10_700..11_100).contains(sent)).collect();
        assert!(
            timeline(&pause, 11_100).iter().all(|heartbeat| *heartbeat < 11_000),
            "by the ladder where none leaves"
        );
    }

    /// BEAT-1.
    #[test]
    fn beat_1_a_rung_that_comes_with_the_next_frame_is_not_needed() {
        let sent: Vec<_> = (10_000..10_600).step_by(100).collect();
        assert_eq!(timeline(&sent, 10_600), [10_050, 10_150, 10_250, 10_350, 10_450, 10_550]);
    }

    /// BEAT-1.
    #[test]
    fn beat_1_a_new_datagram_begins_the_ladder_anew() {
        assert_eq!(timeline(&[10_000, 10_070], 10_300), [10_050, 10_120, 10_170, 10_270]);
    }

    /// BEAT-1.
    #[test]
    fn beat_1_what_a_quorum_has_acknowledged_needs_no_rung() {
        let mut heartbeat = HeartbeatTimer::new(LIMITS);
        assert!(heartbeat.due(10_000, false, true));
        heartbeat.on_sent(10_300);
        assert_eq!(heartbeat.next_deadline(), 10_350);
        heartbeat.on_acknowledged();
        assert_eq!(heartbeat.next_deadline(), 11_000, "the steady one");
        heartbeat.on_sent(10_400);
        assert_eq!(heartbeat.next_deadline(), 10_450, "of the next datagram nothing is known");
    }

    /// BEAT-1.
    #[test]
    fn beat_1_what_waits_in_the_socket_goes_first_for_a_rung_at_most() {
        let begun = || HeartbeatTimer {
            last_heartbeat_at: 10_000,
            steady: 11_000,
            rung: RUNGS,
            ..HeartbeatTimer::new(LIMITS)
        };
        let mut heartbeat = begun();
        assert!(!heartbeat.due(11_000, false, false), "a datagram may wait");
        assert!(heartbeat.due(11_010, false, true), "it was read, and became no frame");
        let mut heartbeat = begun();
        assert!(
            !heartbeat.due(11_049, false, false) && heartbeat.due(11_050, false, false),
            "a loaded leader"
        );
        let mut heartbeat = begun();
        assert!(heartbeat.due(11_000, true, false), "with a frame that leaves anyway");
    }

    #[test]
    fn a_late_look_beats_once_for_all_that_was_missed() {
        let mut heartbeat = HeartbeatTimer::new(LIMITS);
        assert!(heartbeat.due(50_000, false, true) && !heartbeat.due(50_001, false, true));
        assert_eq!(heartbeat.next_deadline(), 51_000);
    }

    #[test]
    fn beat_1_news_comes_a_rung_behind_the_last_beat_and_not_more_often() {
        let mut heartbeat = HeartbeatTimer::new(LIMITS);
        assert!(heartbeat.due(10_000, false, true));
        heartbeat.hasten();
        assert_eq!(heartbeat.next_deadline(), 10_050);
        assert!(!heartbeat.due(10_049, true, true) && heartbeat.due(10_050, true, true));
        assert_eq!(heartbeat.next_deadline(), 11_050, "once");
    }
}
