//! # clocks: the time that a quorum's clocks have reached
//!
//! The stream's time never falls. One leader whose clock is an hour ahead would move it by an hour for good,
//! for every gateway, timer and reader. So a leader does not trust its own clock alone: each ack and each
//! ballot of a member carries that member's time, and a stream's time goes no further than a quorum's clocks
//! have gone.
//!
//! A datagram shows how far its sender's clock had gone when it was sent, and never more, however long it was
//! under way or waited to be read. So what counts of a member is the greatest difference to our monotonic
//! clock within a [`WINDOW`].

use super::planted::{Mutation, planted};
use crate::proto::membership::Membership;
use lockstep_wire::{Identity, MEMBERS_MAX, Nanos, Wall};

/// What a clock showed counts for so long, and up to twice as long: a member's clock that was set back is
/// believed again after that.
pub const WINDOW: Nanos = 5_000_000_000;
/// A clock that differs from a quorum's by less is as good as theirs: disciplined clocks differ by far less.
pub const TOLERANCE: Nanos = 100_000_000;

/// A clock, as its difference to our monotonic one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct ClockSeen {
    identity: Identity,
    /// When this window began.
    began: Nanos,
    /// The greatest difference of this window.
    ahead: i64,
    /// That of the one before, if that ended when this one began.
    previous: Option<i64>,
}

impl ClockSeen {
    /// The greatest difference that counts at `now`.
    fn ahead(&self, now: Nanos) -> Option<i64> {
        let age = now.saturating_sub(self.began);
        if age < WINDOW {
            return Some(self.previous.map_or(self.ahead, |previous| previous.max(self.ahead)));
        }
        (age < 2 * WINDOW).then_some(self.ahead)
    }
}

/// The clocks of the members, and the correction of its own one that follows from them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Clocks {
    seen: [Option<ClockSeen>; MEMBERS_MAX],
    /// By how much the stream's time is to differ from our clock; `None` until a quorum's clocks were known
    /// once.
    correction: Option<i64>,
    /// The greatest difference to our monotonic clock that a quorum's clocks had reached, as last known.
    reached: Option<i64>,
}

impl Clocks {
    /// A datagram of `identity`, which was received at `now`, shows its clock. Those of nodes that `members`
    /// do not list count for nothing.
    #[inline]
    pub fn on_time(&mut self, identity: Identity, members: &Membership, now: Nanos, time: Wall) {
        let ahead = time.ahead_of(now);
        for seen in self.seen.iter_mut().flatten() {
            if seen.identity == identity {
                let age = now.saturating_sub(seen.began);
                if age < WINDOW {
                    seen.ahead = seen.ahead.max(ahead);
                } else {
                    let previous = (age < 2 * WINDOW).then_some(seen.ahead);
                    *seen = ClockSeen { identity, began: now, ahead, previous };
                }
                return;
            }
        }
        if members.lists(identity) {
            self.begin(identity, ahead, now);
        }
    }

    /// A member without a place takes that of the member whose window is the oldest.
    #[cold]
    fn begin(&mut self, identity: Identity, ahead: i64, now: Nanos) {
        let place = self.seen.iter_mut().min_by_key(|seen| seen.map_or(0, |seen| seen.began + 1));
        *place.expect("there are places") = Some(ClockSeen { identity, began: now, ahead, previous: None });
    }

    /// Clocks of which none differs from ours, where nothing is to be learned of them.
    pub fn agreed() -> Self {
        Self { correction: Some(0), ..Self::default() }
    }

    /// By how much the stream's time is to differ from our clock, as last judged. `None`: the clocks of a
    /// quorum were never known to this process, and so no time of the stream is.
    #[inline]
    pub fn correction(&self) -> Option<i64> {
        self.correction
    }

    /// CLOCK-1 (the time of a stream): our own clock, `wall`, as long as it differs by less than
    /// [`TOLERANCE`] from the time that the clocks of a quorum of `members` have reached, ours (`own`) among
    /// them; else that time. Without the clocks of a quorum their time goes on as it was last known, by our
    /// monotonic clock, so that a clock that is set then moves nothing. Before it was known once, nothing is
    /// stamped but what a quorum has to store before it shows its clocks: the start of the first epoch.
    /// Returns by how much our clock differs, where a quorum's are known.
    pub fn judge(&mut self, own: Identity, members: &Membership, now: Nanos, wall: Wall) -> Option<i64> {
        let ours = wall.ahead_of(now);
        let mut ahead = [0; MEMBERS_MAX];
        let mut count = 0;
        for member in members.members() {
            let identity = member.identity();
            let seen = || self.seen.iter().flatten().find(|seen| seen.identity == identity);
            let of_member =
                if identity == own { Some(ours) } else { seen().and_then(|seen| seen.ahead(now)) };
            if let Some(of_member) = of_member {
                ahead[count] = of_member;
                count += 1;
            }
        }
        let known = &mut ahead[..count];
        known.sort_unstable();
        let reached_now = count.checked_sub(members.quorum()).map(|place| known[place]);
        self.reached = reached_now.or(self.reached);
        let apart = ours.saturating_sub(self.reached?);
        // One that is within it again has to be well within it.
        let is_within = self.correction.unwrap_or(0) == 0;
        let tolerance = if is_within { TOLERANCE } else { TOLERANCE / 2 };
        let is_apart = apart.unsigned_abs() > tolerance && !planted(Mutation::OwnClockAlone);
        self.correction = Some(if is_apart { apart.saturating_neg() } else { 0 });
        reached_now.map(|_| apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use lockstep_wire::MemberBody;

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    fn identity(replica: u32) -> Identity {
        Identity { replica, incarnation: 1 }
    }

    fn members(count: u32) -> Membership {
        let member = |replica| MemberBody { replica, incarnation: 1, ..MemberBody::zeroed() };
        Membership::collect((1..=count).map(member), 1)
    }

    /// Times of clocks that are `ahead` of the right one, at `now`.
    fn wall(now: Nanos, ahead: i64) -> Wall {
        Wall(now + 1_700_000_000 * SECOND as u64).saturating_add_signed(ahead)
    }

    /// What replica 1 makes of its clock beside the clocks of the others.
    fn judged(of: u32, own: i64, others: &[(u32, i64)]) -> (Option<i64>, Option<i64>) {
        let (mut clocks, members, now) = (Clocks::default(), members(of), 100);
        for (replica, ahead) in others {
            clocks.on_time(identity(*replica), &members, now, wall(now, *ahead));
        }
        let apart = clocks.judge(identity(1), &members, now, wall(now, own));
        (apart, clocks.correction())
    }

    #[test]
    fn clock_1_a_minority_of_wrong_clocks_moves_no_time_and_a_quorum_is_followed() {
        let (day, years) = (24 * HOUR, 15 * 365 * 24 * HOUR);
        for wrong in [HOUR, day, years, -HOUR, -day] {
            assert_eq!(
                judged(3, wrong, &[(2, 0), (3, 7)]).1,
                Some(if wrong > 0 { 7 - wrong } else { -wrong }),
                "{wrong}"
            );
            assert_eq!(judged(3, 0, &[(2, wrong), (3, 0)]), (Some(0), Some(0)), "{wrong}: another one's");
            assert_eq!(
                judged(5, wrong, &[(2, wrong), (3, 0), (4, 0), (5, 0)]).1,
                Some(-wrong),
                "{wrong}: two of five"
            );
            assert_eq!(
                judged(3, wrong, &[(2, wrong), (3, wrong)]),
                (Some(0), Some(0)),
                "{wrong}: all of them"
            );
            assert_eq!(judged(3, 0, &[(2, wrong), (3, wrong)]).1, Some(wrong), "{wrong}: all others");
        }
    }

    #[test]
    fn clock_1_of_two_clocks_the_earlier_one_counts_and_without_a_quorum_nothing_is_judged() {
        assert_eq!(judged(3, HOUR, &[(2, 0)]), (Some(HOUR), Some(-HOUR)));
        assert_eq!(judged(3, 0, &[(2, HOUR)]), (Some(0), Some(0)));
        assert_eq!(judged(3, HOUR, &[]), (None, None));
        assert_eq!(judged(3, HOUR, &[(9, 0)]), (None, None), "nobody lists that one");
        assert_eq!(judged(1, HOUR, &[]), (Some(0), Some(0)), "its own clock is a quorum's");
    }

    #[test]
    fn clock_1_a_clock_within_the_tolerance_stamps_and_one_that_was_apart_has_to_be_well_within() {
        let (members, tolerance) = (members(3), TOLERANCE as i64);
        let mut clocks = Clocks::default();
        let mut judge = |own: i64| {
            for replica in [2, 3] {
                clocks.on_time(identity(replica), &members, 100, wall(100, 0));
            }
            clocks.judge(identity(1), &members, 100, wall(100, own));
            clocks.correction().unwrap()
        };
        let corrections =
            [tolerance, tolerance + 1, tolerance / 2 + 1, tolerance / 2, tolerance].map(&mut judge);
        assert_eq!(corrections, [0, -tolerance - 1, -tolerance / 2 - 1, 0, 0]);
    }

    #[test]
    fn clock_1_a_clock_that_is_set_while_no_quorum_shows_its_own_moves_nothing() {
        for set in [HOUR, 24 * HOUR, -HOUR] {
            let (mut clocks, members) = (Clocks::default(), members(3));
            clocks.on_time(identity(2), &members, 100, wall(100, 7));
            assert_eq!(clocks.judge(identity(1), &members, 100, wall(100, 0)), Some(0));
            let now = 100 + 3 * WINDOW;
            assert_eq!(clocks.judge(identity(1), &members, now, wall(now, set)), None, "{set}");
            assert_eq!(clocks.correction(), Some(-set), "{set}");
            assert_eq!(clocks.judge(identity(1), &members, now, wall(now, 0)), None, "{set}");
            assert_eq!(clocks.correction(), Some(0), "{set}: right again");
        }
    }

    #[test]
    fn a_datagram_that_waited_sets_no_clock_back_and_one_that_was_set_back_is_believed_after_two_windows() {
        let (mut clocks, members) = (Clocks::default(), members(3));
        let mut hear = |now: Nanos, ahead: i64| {
            clocks.on_time(identity(2), &members, now, wall(now, ahead));
            clocks.judge(identity(1), &members, now, wall(now, 0));
            clocks.correction().unwrap()
        };
        assert_eq!(hear(100, 0), 0);
        assert_eq!(hear(200, -10 * SECOND), 0, "it waited for ten seconds");
        assert_eq!(hear(WINDOW + 100, -10 * SECOND), 0, "the former window counts");
        assert_eq!(hear(2 * WINDOW + 100, -10 * SECOND), -10 * SECOND, "its clock is behind");
        let now = 5 * WINDOW;
        assert_eq!(clocks.judge(identity(1), &members, now, wall(now, 0)), None, "it is silent for too long");
    }
}
