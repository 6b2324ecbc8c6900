//! # unicast_probe: the groups are silent, and the silent node may live all the same
//!
//! The question: multicast fails and unicast works, as when no querier asks for memberships any more and a
//! switch forgets the listeners (IGMP snooping without a querier), or when a rule drops groups on one port. A
//! standby that took this for the leader's death would depose a leader that works, and its successor's
//! datagrams would arrive no better. So before the silence is long enough to be a suspicion, the silent node
//! is probed by unicast, and its answer is the very datagram that the group should have brought: a leader's
//! heartbeat, a standby's ack. Nothing else changes: an answer proves life like any other datagram, frames
//! that it announces are fetched by repair, and a dead or wedged node does not answer.
//!
//! ```text
//!            silent for half a timeout        answered, and the groups silent for long
//!   heard ────────────────────────────▶ asking ─────────────────────────────▶ lost (told)
//!     ▲                                    │                                     │
//!     └────────────── a voice by a group ──┴─────────────────────────────────────┘
//! ```

use super::planted::{Mutation, planted};
use lockstep_wire::Nanos;

/// The times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnicastProbeLimits {
    /// Silence of the groups after which the other is asked: well below what is a suspicion.
    pub silence_ns: Nanos,
    /// From a question to the next, while there are answers; it doubles while there are none.
    pub again_ns: Nanos,
    /// Silence of the groups after which, with answers, multicast is called lost.
    pub lost_ns: Nanos,
}

impl UnicastProbeLimits {
    /// For who replaces nobody and is in no hurry, where an idle leader beats once in
    /// `heartbeat_interval_ns`: silence of
    /// 20 ms is asked about each 2 ms, and where beats are seldom, that of three of them at each.
    pub fn reader(heartbeat_interval_ns: Nanos) -> Self {
        Self {
            silence_ns: SILENCE_NS.max(SILENT_INTERVALS * heartbeat_interval_ns),
            again_ns: AGAIN_NS.max(heartbeat_interval_ns),
            lost_ns: LOST_NS.max(LOST_INTERVALS * heartbeat_interval_ns),
        }
    }
}

/// Readers' times where beats are frequent, ...
const SILENCE_NS: Nanos = 20_000_000;
const AGAIN_NS: Nanos = 2_000_000;
const LOST_NS: Nanos = 200_000_000;
/// ... and at least so many beats: two in a row may be lost.
const SILENT_INTERVALS: u64 = 3;
const LOST_INTERVALS: u64 = 10;
/// The doubling ends at this many times `again_ns`.
const AGAIN_TIMES_MAX: u64 = 64;

/// Whether datagrams of the groups arrive, and whether a node answers by unicast while they do not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnicastProbe {
    limits: UnicastProbeLimits,
    /// When the groups last brought a voice; 0 before the first look.
    group_at: Nanos,
    probed_at: Nanos,
    /// Questions since the last answer.
    unanswered: u32,
    /// Whether one was answered since the groups fell silent.
    answered: bool,
    lost: bool,
}

impl UnicastProbe {
    /// Nobody is missed.
    pub fn new(limits: UnicastProbeLimits) -> Self {
        Self { limits, group_at: 0, probed_at: 0, unanswered: 0, answered: false, lost: false }
    }

    /// The groups brought the one who is listened for, or another begins to be listened for. Returns whether
    /// multicast was called lost, and is back.
    #[inline]
    pub fn on_group(&mut self, now: Nanos) -> bool {
        self.group_at = now;
        self.answered = false;
        self.unanswered = 0;
        std::mem::take(&mut self.lost)
    }

    /// The one who is listened for answered by unicast.
    pub fn on_answer(&mut self) {
        self.unanswered = 0;
        self.answered = true;
    }

    /// Another one answered, who sends nothing to the groups unasked. It is asked on; their silence means
    /// nothing yet: perhaps nobody leads.
    pub fn on_answer_of_another(&mut self) {
        self.unanswered = 0;
        self.answered |= planted(Mutation::AnyAnswerIsLoss);
    }

    /// MCAST-1 (who is asked by unicast, and when): a node without a datagram by the groups for half a
    /// timeout is probed, again each heartbeat interval while it answers and ever more seldom while it does
    /// not.
    #[inline]
    pub fn poll(&mut self, now: Nanos) -> bool {
        if self.group_at == 0 {
            self.group_at = now;
        }
        if now < self.group_at + self.limits.silence_ns {
            return false;
        }
        if now < self.again_at() {
            return false;
        }
        self.probed_at = now;
        self.unanswered = self.unanswered.saturating_add(1);
        true
    }

    /// The next question is not asked before this.
    fn again_at(&self) -> Nanos {
        let times = 1u64.checked_shl(self.unanswered.saturating_sub(1)).unwrap_or(u64::MAX);
        self.probed_at + self.limits.again_ns * times.min(AGAIN_TIMES_MAX)
    }

    /// When the next probe is due if nothing arrives until then.
    pub fn next_deadline(&self) -> Nanos {
        (self.group_at + self.limits.silence_ns).max(self.again_at())
    }

    /// Whether multicast is found to be lost now: true once, until datagrams of the groups arrive again.
    pub fn detects_loss(&mut self, now: Nanos) -> bool {
        let found = !self.lost && self.answered && now >= self.group_at + self.limits.lost_ns;
        self.lost |= found;
        found
    }

    /// Whether the groups are silent while unicast is answered.
    pub fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: UnicastProbeLimits = UnicastProbeLimits { silence_ns: 400, again_ns: 100, lost_ns: 6_400 };

    /// When questions are asked from `from` to `to`, looking each 10 ns; each is answered if `lives`.
    fn on_probe_sent(unicast_probe: &mut UnicastProbe, from: Nanos, to: Nanos, lives: bool) -> Vec<Nanos> {
        let mut asked = Vec::new();
        for now in (from..to).step_by(10) {
            if unicast_probe.poll(now) {
                asked.push(now);
                if lives {
                    unicast_probe.on_answer();
                }
            }
        }
        asked
    }

    /// MCAST-1.
    #[test]
    fn mcast_1_who_is_heard_by_the_groups_is_never_asked() {
        let mut unicast_probe = UnicastProbe::new(LIMITS);
        for now in (1_000..100_000).step_by(100) {
            unicast_probe.on_group(now);
            assert!(on_probe_sent(&mut unicast_probe, now, now + 100, true).is_empty());
        }
    }

    /// MCAST-1.
    #[test]
    fn mcast_1_silence_is_followed_by_a_question_at_each_beat_while_it_is_answered() {
        let mut unicast_probe = UnicastProbe::new(LIMITS);
        unicast_probe.on_group(1_000);
        assert_eq!(
            on_probe_sent(&mut unicast_probe, 1_000, 1_900, true),
            [1_400, 1_500, 1_600, 1_700, 1_800]
        );
    }

    /// MCAST-1.
    #[test]
    fn mcast_1_who_does_not_answer_is_asked_ever_more_seldom_but_thrice_before_it_is_suspected() {
        let mut unicast_probe = UnicastProbe::new(LIMITS);
        unicast_probe.on_group(1_000);
        let asked = on_probe_sent(&mut unicast_probe, 1_000, 100_000, false);
        assert_eq!(asked[..5], [1_400, 1_500, 1_700, 2_100, 2_900]);
        assert!(asked.iter().filter(|at| **at < 1_800).count() >= 3, "a timeout is 800");
        let last = asked.len() - 1;
        assert_eq!(asked[last] - asked[last - 1], LIMITS.again_ns * AGAIN_TIMES_MAX);
    }

    /// MCAST-1.
    #[test]
    fn mcast_1_a_reader_is_as_patient_as_beats_are_seldom() {
        let usual = UnicastProbeLimits { silence_ns: 20_000_000, again_ns: 2_000_000, lost_ns: 200_000_000 };
        assert_eq!(UnicastProbeLimits::reader(1_000_000), usual);
        let slow = UnicastProbeLimits::reader(1_000_000_000);
        assert_eq!((slow.silence_ns, slow.again_ns), (3_000_000_000, 1_000_000_000));
        assert_eq!(slow.lost_ns, 10_000_000_000);
    }

    /// MCAST-1.
    #[test]
    fn mcast_1_multicast_is_lost_when_only_unicast_answers_and_it_is_told_once() {
        let mut unicast_probe = UnicastProbe::new(LIMITS);
        unicast_probe.on_group(1_000);
        on_probe_sent(&mut unicast_probe, 1_000, 7_390, true);
        assert!(!unicast_probe.detects_loss(7_390));
        assert!(
            unicast_probe.detects_loss(7_400)
                && !unicast_probe.detects_loss(7_500)
                && unicast_probe.is_lost()
        );
        assert!(unicast_probe.on_group(7_600) && !unicast_probe.is_lost(), "it is back");
        assert!(!unicast_probe.on_group(7_700), "told once");
    }

    /// MCAST-1.
    #[test]
    fn mcast_1_a_silence_that_nobody_answers_is_no_loss_of_multicast() {
        let mut unicast_probe = UnicastProbe::new(LIMITS);
        unicast_probe.on_group(1_000);
        on_probe_sent(&mut unicast_probe, 1_000, 100_000, false);
        assert!(!unicast_probe.detects_loss(100_000));
    }
}
