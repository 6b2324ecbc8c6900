//! # failure_detector: when silence becomes a hint
//!
//! A suspicion is never a decision: it makes a standby ask the others, and a quorum decides. What must not
//! happen is that a standby mistakes its own stall for the leader's death, or that a host which stalls for
//! some milliseconds changes its leader each time.
//!
//! ```text
//!   beats:   │ life │ life │ ---- │ own stall │ ---- │ ---- │ …
//!   score:   N      N      N-1    N-1         N-2    N-3   … 0: suspected
//! ```
//! After the ◇P failure detector of Chandra and Toueg (1996): each false suspicion doubles the timeout, up
//! to a ceiling, and calm shrinks it again.

use super::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Nanos};
use sha2::{Digest, Sha256};

/// The detector's times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FailureDetectorLimits {
    /// A leader beats this often.
    pub heartbeat_interval_ns: Nanos,
    /// Silence that makes a suspicion; at least three beats are waited for.
    pub timeout_ns: Nanos,
    /// Where the doubling ends.
    pub timeout_ns_max: Nanos,
}

impl Default for FailureDetectorLimits {
    fn default() -> Self {
        Self { heartbeat_interval_ns: 1_000_000, timeout_ns: 7_000_000, timeout_ns_max: 64_000_000 }
    }
}

/// Silence of this many timeouts is a suspicion whatever our own stalls were.
const TIMEOUTS_CERTAIN: u64 = 10;
/// A poll that comes this part of a timeout after the one before is a stall of our own. A shorter pause is
/// none: datagrams of that time wait in the socket, and all of them count as one interval at most.
const STALL_PART: u64 = 2;
/// Calm intervals after which a timeout that had been doubled shrinks by an eighth.
const CALM_INTERVALS: u64 = 1_000;

/// Watches one peer: a standby watches its leader, a leader its quorum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FailureDetector {
    limits: FailureDetectorLimits,
    timeout_ns: Nanos,
    /// Silent intervals that are left before the suspicion.
    score: u64,
    interval_at: Nanos,
    polled_at: Nanos,
    life_at: Nanos,
    calm_intervals: u64,
    /// What the present interval has shown.
    alive: bool,
    drained: bool,
    stalled: bool,
    suspected: bool,
}

impl FailureDetector {
    /// Begins to listen at the first look.
    pub fn new(limits: FailureDetectorLimits) -> Self {
        let mut failure_detector = Self {
            timeout_ns: limits.timeout_ns,
            limits,
            score: 0,
            interval_at: 0,
            polled_at: 0,
            life_at: 0,
            calm_intervals: 0,
            alive: false,
            drained: false,
            stalled: false,
            suspected: false,
        };
        failure_detector.score = failure_detector.silent_intervals();
        failure_detector
    }

    fn silent_intervals(&self) -> u64 {
        (self.timeout_ns / self.limits.heartbeat_interval_ns.max(1)).max(3)
    }

    /// Another voice is listened to from now on: the new leader's. The timeout that was learned stays.
    pub fn restart(&mut self, now: Nanos) {
        (self.interval_at, self.polled_at, self.life_at) = (now, now, now);
        (self.alive, self.drained, self.stalled, self.suspected) = (false, false, false, false);
        self.score = self.silent_intervals();
    }

    /// A datagram of the peer. A suspicion was false then, and the timeout doubles.
    #[inline]
    pub fn on_life(&mut self, now: Nanos) {
        self.alive = true;
        self.life_at = now;
        if self.suspected {
            self.timeout_ns = (self.timeout_ns * 2).min(self.limits.timeout_ns_max);
            self.restart(now);
        }
    }

    /// SUSPECT-1 (when silence counts): a silent interval counts only if we had drained our sockets in it
    /// and were not stalled ourselves. Silence of ten timeouts with one drained poll counts whatever our
    /// stalls were. Called once a turn, `drained` where the turn found less than a receive may lend. Returns
    /// whether the peer is suspected now.
    #[inline]
    pub fn poll(&mut self, now: Nanos, drained: bool) -> bool {
        if self.polled_at == 0 {
            self.restart(now);
        }
        self.stalled |= now > self.polled_at + self.timeout_ns / STALL_PART;
        self.polled_at = now;
        self.drained |= drained;
        let heartbeat_interval_ns =
            self.limits.heartbeat_interval_ns / if planted(Mutation::HeartbeatsCountedTwice) { 4 } else { 1 };
        if now >= self.interval_at + heartbeat_interval_ns {
            self.end_interval(now);
        }
        self.suspected
    }

    fn end_interval(&mut self, now: Nanos) {
        if self.alive {
            self.score = (self.score + 2).min(self.silent_intervals());
            self.on_calm();
        } else if self.drained && !self.stalled {
            self.score = self.score.saturating_sub(1);
        }
        let certain = self.drained && now >= self.life_at + TIMEOUTS_CERTAIN * self.timeout_ns;
        self.suspected |= self.score == 0 || certain;
        self.interval_at = now;
        (self.alive, self.drained, self.stalled) = (false, false, false);
    }

    fn on_calm(&mut self) {
        self.calm_intervals += 1;
        if self.calm_intervals >= CALM_INTERVALS {
            self.calm_intervals = 0;
            let excess = self.timeout_ns - self.limits.timeout_ns;
            self.timeout_ns -= excess.div_ceil(8);
            self.score = self.score.min(self.silent_intervals());
        }
    }

    /// Whether the voice is suspected.
    #[inline]
    pub fn is_suspected(&self) -> bool {
        self.suspected
    }

    /// The timeout in force.
    pub fn timeout_ns(&self) -> Nanos {
        self.timeout_ns
    }

    /// When the present interval ends: the node is to be called by then.
    pub fn next_deadline(&self) -> Nanos {
        self.interval_at + self.limits.heartbeat_interval_ns
    }
}

/// The most doublings of the patience with a leader without progress: some half a minute at the default
/// times.
const PATIENCE_DOUBLINGS_MAX: usize = 10;

/// The patience with a leader without progress, where `ns` is usual and the log has `uncommitted_epochs`
/// without a commit: each but the first doubles it, so that takeovers do not follow each other while a quorum
/// catches up.
pub fn patience(ns: Nanos, uncommitted_epochs: usize) -> Nanos {
    let doublings = uncommitted_epochs.saturating_sub(1);
    ns << doublings.min(PATIENCE_DOUBLINGS_MAX)
}

/// The epochs without a commit that make a leader more patient with a quorum from which it hears nothing. A
/// quorum that catches up is not silent: it acknowledges nothing, once per heartbeat. So many doublings are
/// for devices and processes that lag; a leader that has become deaf leads no longer than that.
const SILENT_EPOCHS_MAX: usize = 5;

/// The patience of a leader with a silent quorum; see [`patience`].
pub fn patience_with_silence(ns: Nanos, uncommitted_epochs: usize) -> Nanos {
    patience(ns, uncommitted_epochs.min(SILENT_EPOCHS_MAX))
}

/// SUSPECT-3 (whose fault it is that nothing moves): heartbeats arrive, and nothing moves since `since`. A
/// replica blames the leader only after its `patience`, and only if its own journal and device worked:
/// `hampered_at` is when its journal took nothing, or its device lagged, last.
pub fn is_stuck(now: Nanos, since: Nanos, hampered_at: Nanos, patience: Nanos) -> bool {
    now > since.max(hampered_at) + patience
}

/// The secret of an epoch's watcher, from what the process drew at its start.
pub fn secret(seed: &[u8; 32], epoch: Epoch) -> [u8; 32] {
    Sha256::new().chain_update(seed).chain_update(epoch.0.to_le_bytes()).finalize().into()
}

/// The hash of the secret, which an epoch's start publishes.
pub fn secret_hash(secret: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// SUSPECT-2 (whose death it is): a watcher's notice counts for the epoch that is followed, if it knows the
/// secret whose hash that epoch's start holds: nobody else can announce that death.
pub fn is_down(followed: Epoch, hash: &[u8; 32], epoch: Epoch, secret: &[u8; 32]) -> bool {
    if planted(Mutation::AnySecretKills) {
        return epoch == followed;
    }
    epoch == followed && *hash != [0; 32] && secret_hash(secret) == *hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::epoch;

    const LIMITS: FailureDetectorLimits =
        FailureDetectorLimits { heartbeat_interval_ns: 100, timeout_ns: 800, timeout_ns_max: 3_200 };

    /// Looks each 10 ns from `from` to `to`; returns when it was suspected first.
    fn listen(
        failure_detector: &mut FailureDetector,
        from: Nanos,
        to: Nanos,
        life_each: Option<Nanos>,
    ) -> Option<Nanos> {
        for now in (from..to).step_by(10) {
            if life_each.is_some_and(|each| now % each == 0) {
                failure_detector.on_life(now);
            }
            if failure_detector.poll(now, true) {
                return Some(now);
            }
        }
        None
    }

    /// SUSPECT-1.
    #[test]
    fn suspect_1_a_voice_that_falls_silent_is_suspected_after_the_timeout() {
        let mut failure_detector = FailureDetector::new(LIMITS);
        assert_eq!(listen(&mut failure_detector, 10_000, 20_000, Some(100)), None);
        let at = listen(&mut failure_detector, 20_000, 30_000, None).expect("silence");
        assert!((20_700..=21_000).contains(&at), "{at}");
    }

    /// SUSPECT-1.
    #[test]
    fn suspect_1_our_own_stalls_are_not_counted_against_others() {
        let mut failure_detector = FailureDetector::new(LIMITS);
        assert_eq!(listen(&mut failure_detector, 10_000, 20_000, Some(100)), None);
        // Each look comes more than half a timeout after the one before.
        for now in (20_000..27_000).step_by(450) {
            assert!(!failure_detector.poll(now, true), "{now}");
        }
        let mut busy = failure_detector;
        for now in (27_000..27_900).step_by(10) {
            assert!(!busy.poll(now, false), "what waits in the socket may be a heartbeat");
        }
    }

    /// SUSPECT-1.
    #[test]
    fn suspect_1_silence_of_ten_timeouts_counts_whatever_our_stalls_were() {
        let mut failure_detector = FailureDetector::new(LIMITS);
        assert_eq!(listen(&mut failure_detector, 10_000, 20_000, Some(100)), None);
        let at =
            (20_000..40_000).step_by(450).find(|now| failure_detector.poll(*now, true)).expect("certain");
        assert!((27_900..28_600).contains(&at), "{at}");
    }

    /// SUSPECT-1.
    #[test]
    fn suspect_1_a_pause_of_some_beats_counts_as_one_of_them() {
        let mut failure_detector = FailureDetector::new(LIMITS);
        assert_eq!(listen(&mut failure_detector, 10_000, 20_000, Some(100)), None);
        let at =
            (20_000..40_000).step_by(300).find(|now| failure_detector.poll(*now, true)).expect("silence");
        assert!((22_100..22_800).contains(&at), "eight looks, each of them one silent beat: {at}");
    }

    #[test]
    fn a_false_suspicion_doubles_the_timeout_up_to_the_ceiling_and_calm_shrinks_it() {
        let mut failure_detector = FailureDetector::new(LIMITS);
        let mut now = 10_000;
        for expected in [1_600, 3_200, 3_200] {
            now = listen(&mut failure_detector, now, now + 100_000, None).expect("silence");
            failure_detector.on_life(now);
            assert!(!failure_detector.is_suspected());
            assert_eq!(failure_detector.timeout_ns(), expected);
        }
        assert_eq!(listen(&mut failure_detector, now, now + 4_000_000, Some(100)), None);
        assert!(failure_detector.timeout_ns() < 900, "{}", failure_detector.timeout_ns());
        assert!(failure_detector.timeout_ns() >= LIMITS.timeout_ns);
    }

    #[test]
    fn a_voice_that_is_heard_in_every_other_beat_is_not_suspected() {
        let mut failure_detector = FailureDetector::new(LIMITS);
        assert_eq!(listen(&mut failure_detector, 10_000, 200_000, Some(200)), None);
    }

    /// SUSPECT-2.
    #[test]
    fn suspect_2_only_who_knows_the_secret_announces_a_death_and_only_of_the_epoch_that_is_followed() {
        let seed = [7; 32];
        let followed = epoch(3, 1);
        let known = secret(&seed, followed);
        let hash = secret_hash(&known);
        assert!(is_down(followed, &hash, followed, &known));
        assert!(!is_down(followed, &hash, followed, &secret(&seed, epoch(2, 1))), "of an epoch before");
        assert!(!is_down(epoch(4, 2), &hash, followed, &known), "that leader is history");
        assert!(!is_down(followed, &[0; 32], followed, &known), "no watcher, no death notice");
    }

    /// SUSPECT-3.
    #[test]
    fn suspect_3_patience_doubles_with_each_uncommitted_epoch_and_no_further_than_a_thousandfold() {
        let of = |epochs| patience(10, epochs);
        assert_eq!([0, 1, 2, 3, 11, 12, 100_000].map(of), [10, 10, 20, 40, 10_240, 10_240, 10_240]);
    }

    /// A leader that has become deaf leads no longer, however many takeovers came before it.
    #[test]
    fn patience_with_a_silent_quorum_ends_at_sixteen_times() {
        let of = |epochs| patience_with_silence(10, epochs);
        assert_eq!([0, 1, 2, 3, 5, 6, 100_000].map(of), [10, 10, 20, 40, 160, 160, 160]);
    }

    /// SUSPECT-3.
    #[test]
    fn suspect_3_who_could_not_move_anything_itself_begins_to_count_when_it_can() {
        assert!(!is_stuck(120, 100, 0, 20) && is_stuck(121, 100, 0, 20));
        assert!(!is_stuck(5_020, 100, 5_000, 20) && is_stuck(5_021, 100, 5_000, 20));
    }

    /// The effect of each kind of interval on the silent intervals that are left and on the timeout.
    const TRANSITIONS: &str = "
beat                          listening     one left      suspected
life                          8 of 800      3 of 800      16 of 1600
silent, sockets drained       7 of 800      suspected     suspected
silent, sockets not drained   8 of 800      1 of 800      suspected
silent, and we stalled        8 of 800      1 of 800      suspected
ten timeouts of silence       suspected     suspected     suspected
another voice is followed     8 of 800      8 of 800      8 of 800
";

    #[test]
    fn suspect_1_each_beat_moves_the_detector_as_the_table_says() {
        const NOW: Nanos = 20_000;
        // The interval that is under way at NOW ends at NOW + 100.
        let trusted = || {
            let mut detector = FailureDetector::new(LIMITS);
            assert_eq!(listen(&mut detector, 10_000, NOW, Some(100)), None);
            detector.restart(NOW);
            detector
        };
        let one_left = || FailureDetector { score: 1, ..trusted() };
        let suspected = || FailureDetector { score: 0, suspected: true, ..trusted() };
        type Event = fn(&mut FailureDetector);
        let events: [(&str, Event); 6] = [
            ("life", |detector| {
                detector.on_life(NOW + 50);
                detector.poll(NOW + 100, true);
            }),
            ("silent, sockets drained", |detector| _ = detector.poll(NOW + 100, true)),
            ("silent, sockets not drained", |detector| _ = detector.poll(NOW + 100, false)),
            ("silent, and we stalled", |detector| _ = detector.poll(NOW + 500, true)),
            ("ten timeouts of silence", |detector| _ = detector.poll(NOW + 8_000, true)),
            ("another voice is followed", |detector| detector.restart(NOW + 100)),
        ];
        let shown = |detector: &FailureDetector| {
            if detector.is_suspected() {
                "suspected".to_owned()
            } else {
                format!("{} of {}", detector.score, detector.timeout_ns())
            }
        };
        let mut table = format!("\n{:<30}{:<14}{:<14}suspected\n", "beat", "listening", "one left");
        for (name, event) in events {
            let after = [trusted(), one_left(), suspected()].map(|mut detector| {
                event(&mut detector);
                format!("{:<14}", shown(&detector))
            });
            table.push_str(format!("{name:<30}{}", after.concat()).trim_end());
            table.push('\n');
        }
        assert_eq!(table, TRANSITIONS, "the transitions are now:\n{table}");
    }
}
