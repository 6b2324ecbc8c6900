//! Messages of the client that the session lacks: when they are requested again, and when the session gives
//! up.
//!
//! ```text
//!   a number that is too high ─▶ Resend Request ─ nothing for half a HeartBtInt ─▶ Resend Request … ─▶ Logout
//! ```
//! The time that counts is the client's: it begins when the request is sent, and stops while the stream
//! accepts nothing. However a client answers, or does not, the gap is filled or given up within one and three
//! quarters of a HeartBtInt, and a little more for each message in sequence. A lost message is missed a
//! HeartBtInt later at the latest, so the bound for it is three. So a session never stays without its orders,
//! and the gateway waits for a resend of any length while its messages arrive.

use lockstep_wire::Nanos;

/// The number of messages in sequence that must arrive within one HeartBtInt, or the gap is given up; or as
/// many as the user's rate allows.
const MESSAGES_PER_INTERVAL: Nanos = 512;

/// The times of a session that determine when its gaps end.
#[derive(Clone, Copy, Debug)]
pub(super) struct GapTimes {
    /// HeartBtInt.
    pub interval_ns: Nanos,
    /// The time of one message by the user's rate.
    pub message_ns: Nanos,
}

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum GapStep {
    Wait,
    /// Request the expected number, and all later ones.
    Ask,
    /// Give up: the client does not send it.
    GiveUp,
}

/// A gap: see the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// The highest number that arrived too early.
    to: u64,
    /// The number that was requested last, and the number of requests.
    asked_for: u64,
    asked: u32,
    /// Whether that request was sent to the client, and does not wait for its entry to be stamped.
    is_sent: bool,
    /// The client's time during which it was not sent.
    unsent_ns: Nanos,
    /// The client's time since the first request.
    spent_ns: Nanos,
    /// The client's time at the last progress.
    moved_at: Nanos,
    /// The time granted for messages that arrived in sequence.
    granted_ns: Nanos,
    turned_at: Nanos,
}

impl Gap {
    /// Opens a gap: the message `number` arrived before `expected`. If garbled bytes arrived at `since`, they
    /// were the missing message, and the client's time counts from there; half an interval is left for its
    /// answer.
    pub fn open((since, now): (Nanos, Nanos), times: GapTimes, number: u64, expected: u64) -> Self {
        let spent_ns = now.saturating_sub(since).min(times.interval_ns * 5 / 4);
        Self {
            to: number,
            asked_for: expected,
            asked: 0,
            is_sent: false,
            unsent_ns: 0,
            spent_ns,
            moved_at: spent_ns,
            granted_ns: 0,
            turned_at: now,
        }
    }

    /// The number of requests.
    pub fn asked(&self) -> u32 {
        self.asked
    }

    /// Whether all missing messages have arrived.
    pub fn is_filled(&self, expected: u64) -> bool {
        expected > self.to
    }

    /// Handles another message whose number is too high. If it is a resend, an earlier message of the resend
    /// was lost: unless that number was requested last, it is requested at once.
    pub fn on_ahead(&mut self, number: u64, is_again: bool, expected: u64) -> bool {
        self.to = self.to.max(number);
        is_again && self.is_sent && self.asked_for < expected
    }

    /// The messages were requested.
    pub fn on_asked(&mut self, expected: u64) {
        self.asked += 1;
        (self.asked_for, self.is_sent, self.unsent_ns) = (expected, false, 0);
    }

    /// The last request was sent: from the first one on the client's time runs.
    pub fn on_sent(&mut self, now: Nanos) {
        (self.is_sent, self.moved_at) = (true, self.spent_ns);
        if self.asked <= 1 {
            self.turned_at = now;
        }
    }

    /// A message in sequence arrived.
    pub fn on_message(&mut self, times: GapTimes) {
        self.granted_ns += times.message_ns.max(times.interval_ns / MESSAGES_PER_INTERVAL);
        self.moved_at = self.spent_ns;
    }

    /// Time has passed. `is_stalled`: the stream accepts nothing from the session, so the client may be
    /// waiting for the gateway.
    pub fn turn(&mut self, now: Nanos, times: GapTimes, is_stalled: bool) -> GapStep {
        let passed = now.saturating_sub(std::mem::replace(&mut self.turned_at, now));
        // A client that needs many requests gains no time by that: a repeated request stops the time only if
        // the stream is slow.
        let is_slow = self.asked <= 1 || self.unsent_ns >= times.interval_ns / 8;
        if is_stalled || !self.is_sent && is_slow {
            return GapStep::Wait;
        }
        self.spent_ns += passed;
        self.unsent_ns += if self.is_sent { 0 } else { passed };
        if self.spent_ns >= times.interval_ns * 7 / 4 + self.granted_ns {
            GapStep::GiveUp
        } else if self.is_sent && self.spent_ns - self.moved_at >= times.interval_ns / 2 {
            GapStep::Ask
        } else {
            GapStep::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;
    const MS: Nanos = 1_000_000;
    const TIMES: GapTimes = GapTimes { interval_ns: 30 * S, message_ns: MS };

    /// Turns until the gap is given up; returns the times of the requests, and of the end.
    fn run(gap: &mut Gap, from: Nanos, mut at: impl FnMut(Nanos, &mut Gap)) -> (Vec<Nanos>, Nanos) {
        let (mut asked, mut now) = (Vec::new(), from);
        loop {
            now += 10 * MS;
            at(now, gap);
            match gap.turn(now, TIMES, false) {
                GapStep::Wait => {}
                GapStep::Ask => {
                    asked.push(now - from);
                    gap.on_asked(3);
                    gap.on_sent(now);
                }
                GapStep::GiveUp => return (asked, now - from),
            }
        }
    }

    #[test]
    fn a_gap_that_nobody_fills_is_asked_for_four_times_and_given_up() {
        let mut gap = Gap::open((7, 7), TIMES, 10, 3);
        gap.on_asked(3);
        gap.on_sent(7);
        let (asked, ended) = run(&mut gap, 7, |_, _| {});
        assert_eq!((asked, ended), (vec![15 * S, 30 * S, 45 * S], 52_500 * MS));
        assert_eq!(gap.asked(), 4);
    }

    #[test]
    fn a_gap_that_began_with_something_garbled_ends_as_if_it_had_been_noticed_then() {
        for (before, left) in [(20 * S, 32_500 * MS), (70 * S, 15 * S)] {
            let mut gap = Gap::open((100 * S - before, 100 * S), TIMES, 10, 3);
            gap.on_asked(3);
            gap.on_sent(100 * S);
            let (_, ended) = run(&mut gap, 100 * S, |_, _| {});
            assert_eq!(ended, left, "{before}");
        }
    }

    #[test]
    fn time_in_which_the_request_waits_for_the_stream_is_not_the_clients() {
        let mut gap = Gap::open((0, 0), TIMES, 10, 3);
        assert_eq!(gap.turn(1_000 * S, TIMES, false), GapStep::Wait);
        gap.on_sent(1_000 * S);
        assert_eq!(gap.turn(2_000 * S, TIMES, true), GapStep::Wait);
        let (_, ended) = run(&mut gap, 2_000 * S, |_, _| {});
        assert_eq!(ended, 52_500 * MS);
    }

    #[test]
    fn requests_that_are_repeated_do_not_stop_the_clients_time_and_a_stream_that_stands_does() {
        let ended = |sent_after: Nanos, stands: Nanos| {
            let mut gap = Gap::open((0, 0), TIMES, 1_000_000, 3);
            gap.on_asked(3);
            gap.on_sent(0);
            let mut asked_at = None;
            run(&mut gap, 0, |now, gap| {
                // Each answer brings one message, and the rest is requested again; each request waits for the
                // stream.
                let takes = if now > 10 * S && now < 11 * S + stands { stands } else { sent_after };
                match asked_at {
                    Some(at) if now >= at + takes => {
                        gap.on_sent(now);
                        asked_at = None;
                    }
                    None if now % (S / 2) == 0 => {
                        gap.on_message(TIMES);
                        gap.on_asked(3);
                        asked_at = Some(now);
                    }
                    _ => {}
                }
            })
            .1
        };
        assert!(ended(0, 0) < 60 * S, "{}", ended(0, 0));
        assert!(ended(400 * MS, 400 * MS) < 60 * S, "{}", ended(400 * MS, 400 * MS));
        // Except for an eighth of an interval.
        assert!(ended(0, 1_000 * S) > 1_040 * S, "{}", ended(0, 1_000 * S));
    }

    #[test]
    fn a_client_that_sends_one_message_now_and_then_does_not_hold_a_gap_open() {
        let mut gap = Gap::open((0, 0), TIMES, 1_000_000, 3);
        gap.on_sent(0);
        let (_, ended) = run(&mut gap, 0, |now, gap| {
            if now % (10 * S) == 0 {
                gap.on_message(TIMES);
            }
        });
        assert!(ended < 2 * TIMES.interval_ns, "{ended}");
    }

    #[test]
    fn a_resend_that_goes_on_is_waited_for_however_long_it_is() {
        let mut gap = Gap::open((0, 0), TIMES, 1_000_000, 3);
        gap.on_sent(0);
        let (asked, ended) = run(&mut gap, 0, |now, gap| {
            if now < 3_600 * S && now % (50 * MS) == 0 {
                gap.on_message(TIMES);
            }
        });
        assert!(asked.iter().all(|at| *at > 3_600 * S) && ended > 3_600 * S, "{asked:?} {ended}");
    }

    #[test]
    fn what_a_resend_has_left_out_is_asked_for_at_once_and_once() {
        let mut gap = Gap::open((0, 0), TIMES, 10, 3);
        gap.on_asked(3);
        assert!(!gap.on_ahead(11, false, 3), "it was sent before the request came");
        gap.on_sent(0);
        assert!(!gap.on_ahead(4, true, 3), "3 was asked for");
        gap.on_message(TIMES);
        assert!(gap.on_ahead(6, true, 5));
        gap.on_asked(5);
        assert!(!gap.on_ahead(7, true, 5));
        assert!(!gap.is_filled(11) && gap.is_filled(12));
    }
}
