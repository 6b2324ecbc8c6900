//! # repair: which frames a replica sends again, to which requester, and how often
//!
//! The question: a node requests frames. May it have them (S11)? Are they at hand (REPAIR-1)? Were they sent
//! to it just now (REPAIR-2)? Do so many request them that the answer goes to the group (REPAIR-3)? Should
//! another repairer send them (REPAIR-6)? Has it requested them again (REPAIR-7)? The cost is the business of
//! [`super::requesters`].
//!
//! ```text
//!   asked ─▶ granted? ─▶ referred? ─▶ afforded? ─▶ repeat? ──▶ first: at once
//!             S11, R-1      R-6         R-4, R-5     R-2        second: held for a third
//!                                                               third: to everybody, once (R-3)
//! ```
//! Frames are atoms, so what is remembered is remembered by frame: requests whose ranges differ are the same
//! request where they ask for the same frame.

use super::planted::{Mutation, planted};
use crate::proto::log::LogEnd;
use lockstep_wire::{Epoch, Nanos, RepairReject, Seq, SeqRange};

/// The frames that the repairer has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RepairRange {
    /// Where its log ends.
    pub end: LogEnd,
    /// Its commit.
    pub commit_next: Seq,
    /// Its oldest seq in the tail, which was touched when the node started and is written to by nobody else:
    /// all of it is surely in memory.
    pub oldest_seq: Seq,
}

/// S11 (who gets what): the part of `range` that may be given to a requester that follows `epoch`, or the
/// reason why there is none.
pub fn grant(holdings: &RepairRange, epoch: Epoch, range: SeqRange) -> Result<SeqRange, RepairReject> {
    let same_log = epoch == holdings.end.epoch || planted(Mutation::RepairOfOtherEpoch);
    let bound = if same_log { holdings.end.next } else { holdings.commit_next };
    if range.from >= holdings.end.next {
        return Err(RepairReject::Ahead);
    }
    if range.from >= bound {
        let is_off = planted(Mutation::AnswerOfAnother);
        return Err(if is_off { RepairReject::Ahead } else { RepairReject::OtherEpoch });
    }
    if !is_resident(holdings, range.from) {
        return Err(RepairReject::TooOld);
    }
    Ok(SeqRange { from: range.from, to: range.to.min(bound) })
}

/// REPAIR-1 (what is at hand): a duty cycle reads the tail alone. What has left it may be on a page that
/// takes milliseconds to come: it is refused with the oldest seq that is held, and read by replay.
pub fn is_resident(holdings: &RepairRange, seq: Seq) -> bool {
    seq >= holdings.oldest_seq
}

/// A leader's referrals of one requester.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Referral {
    /// The time of the last one.
    at: Option<Nanos>,
    /// The bound up to which the requester was referred.
    next: Seq,
    /// Referrals in a row for what lies below that bound.
    times: u8,
}

impl Referral {
    /// REPAIR-6 (who stamps does not repair): a leader refers a reader to the members that are alive and have
    /// acknowledged the range, below `others_next`. A requester that comes back within [`REFERRED_NS`], or
    /// has been referred [`REFERRALS_MAX`] times for the same range, has found that none of them answers,
    /// however long it waited for each, and is repaired, for [`led_cost`].
    pub fn refers(&mut self, now: Nanos, others_next: Seq, range: SeqRange) -> bool {
        let is_same = range.from < self.next;
        let came_back = self.at.is_some_and(|at| now < at + REFERRED_NS);
        let in_vain = is_same && self.times >= REFERRALS_MAX;
        if range.to > others_next || came_back || in_vain || planted(Mutation::LeaderRepairs) {
            if in_vain {
                self.times = 0;
            }
            return false;
        }
        self.times = if is_same { self.times + 1 } else { 1 };
        (self.at, self.next) = (Some(now), self.next.max(range.to));
        true
    }
}

/// Twice the longest retry of the default configuration: most requesters that were referred have asked each
/// of two others by then.
pub const REFERRED_NS: Nanos = 10_000_000;
/// A requester whose other repairers are silent, or slow, comes back later than that each time.
pub const REFERRALS_MAX: u8 = 4;

/// What a leader gives of what others hold costs this many times as much of a reader's budget. So who loses
/// half of what it is sent, and asks everybody in turn, takes no more than a thirtieth of a stamping core.
const LED_COST: u64 = 16;

/// What `bytes` of a frame that ends at `next` cost a reader that a leader gives them to.
pub fn led_cost(bytes: u64, next: Seq, others_next: Seq) -> u64 {
    let others_hold = next <= others_next && !planted(Mutation::LeaderRepairs);
    if others_hold { LED_COST * bytes } else { bytes }
}

/// REPAIR-7 (the newest request counts): whether a member's newer request, for `ranges`, takes the place of
/// what it is owed of the frame at `first` for an older one. So a queue of repeats, behind a stall of ours,
/// is answered once and not each: answering all of them takes longer than asking again, and the queue would
/// never end.
pub fn supersedes(ranges: &[SeqRange], first: Seq) -> bool {
    ranges.iter().any(|range| range.from <= first && first < range.to)
}

/// Frames that are remembered as given: what 300,000 requests a second ask for in half a millisecond.
pub const REPAIR_HISTORY_MAX: usize = 128;
/// So many requesters of one frame make it worth everybody's while.
const SHARED: usize = 3;

/// A frame that everybody was given so often, and that is still asked for, is given to each: at 30 % loss one
/// reader in ten has not got it, or there are readers that no group reaches at all.
const IN_VAIN: u32 = 2;

/// How long what was asked for is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RepairHistoryLimits {
    /// A repeat by the same requester is ignored for this long: a third of the shortest retry. Less than half
    /// of it by a margin, so that no retry is ever taken for a copy.
    pub ignore_ns: Nanos,
    /// Requests for one frame within this long are of one loss: the shortest retry, which is what receivers
    /// take for more than a round trip.
    pub shared_ns: Nanos,
    /// The second requester waits this long for a third, and so does the first where the loss before was
    /// shared: the jitter of a guard, within which receivers of one loss ask.
    pub delay_ns: Nanos,
}

impl RepairHistoryLimits {
    /// By the timers of those who ask.
    pub fn of(guard_ns: Nanos, retry_ns_min: Nanos) -> Self {
        Self { ignore_ns: retry_ns_min / 3, shared_ns: retry_ns_min, delay_ns: guard_ns / 2 }
    }
}

/// How a frame is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RepairDecision {
    /// Not again: it is under way.
    Ignored,
    /// To this one, no sooner than this.
    At(Nanos),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Slot {
    first: Seq,
    since: Nanos,
    /// The requester that asked, and when last.
    asked: [(u64, Nanos); SHARED],
    count: usize,
    /// The loss before was shared.
    expected: bool,
    /// It was sent to the group.
    shared: bool,
    /// How often it was sent to the group before and did not reach each requester.
    in_vain: u32,
}

/// The frames that were asked for lately, by seq.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RepairHistory {
    limits: RepairHistoryLimits,
    slots: Vec<Slot>,
    /// The place of the loss that was asked for last.
    newest: usize,
}

impl RepairHistory {
    /// Nothing yet.
    pub fn new(limits: RepairHistoryLimits) -> Self {
        Self { limits, slots: Vec::with_capacity(REPAIR_HISTORY_MAX), newest: 0 }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let slots = self.slots.len();
        assert!(
            slots <= REPAIR_HISTORY_MAX,
            "REPAIR-2: {slots} frames are remembered, at most {REPAIR_HISTORY_MAX}"
        );
        for (at, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.first > 0) {
            assert!(
                slot.first as usize % REPAIR_HISTORY_MAX == at,
                "REPAIR-2: each frame has its place: {slot:?} at {at}"
            );
            let asked = &slot.asked[..slot.count];
            let twice = (1..asked.len()).any(|at| asked[..at].iter().any(|(who, _)| *who == asked[at].0));
            assert!(!twice, "REPAIR-3: each requester counts once: {slot:?}");
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.newest = 0;
    }

    /// The memory of the frame at `first`; one that shares its place, or is old, is forgotten for it.
    fn slot(&mut self, now: Nanos, first: Seq) -> &mut Slot {
        let at = first as usize % REPAIR_HISTORY_MAX;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Slot::default());
        }
        let slot = &self.slots[at];
        if slot.first != first || now >= slot.since + self.limits.shared_ns {
            // What many lost is mostly followed by more of the kind: a queue that is too full, a line that
            // fades.
            let expected = self.slots[self.newest].shared;
            let in_vain = if slot.first == first { slot.in_vain + u32::from(slot.shared) } else { 0 };
            self.newest = at;
            self.slots[at] = Slot { first, since: now, expected, in_vain, ..Slot::default() };
        }
        &mut self.slots[at]
    }

    /// REPAIR-2 (once is enough): `who` asks for the frame at `first`. What it asked for just now is under
    /// way to it, and what went to everybody is under way to everybody.
    pub fn on_request(&mut self, now: Nanos, who: u64, first: Seq) -> RepairDecision {
        let RepairHistoryLimits { ignore_ns, delay_ns, .. } = self.limits;
        let slot = self.slot(now, first);
        if slot.shared {
            return RepairDecision::Ignored;
        }
        let count = slot.count;
        let known = slot.asked[..count].iter_mut().find(|(known, _)| *known == who);
        if let Some((_, at)) = known.filter(|_| !planted(Mutation::AskerCountsTwice)) {
            if now < *at + ignore_ns && !planted(Mutation::RepeatsAnswered) {
                return RepairDecision::Ignored;
            }
            *at = now;
            return RepairDecision::At(now);
        }
        if count < SHARED {
            slot.asked[count] = (who, now);
            slot.count += 1;
        }
        // A second requester is a hint that it was lost by many, and so is a loss of that kind just before.
        let is_delayed = (count == 1 || count == 0 && slot.expected) && slot.in_vain < IN_VAIN;
        RepairDecision::At(if is_delayed { now + delay_ns } else { now })
    }

    /// REPAIR-3 (many are one): whether the frame at `first` goes to everybody at once, as three have asked
    /// for it within a round trip, or two where the loss before was shared. Once: a
    /// requester that asks again, which the group may not reach at all, is sent its own copy.
    pub fn is_shared(&self, first: Seq) -> bool {
        let slot = self.slots.get(first as usize % REPAIR_HISTORY_MAX).filter(|slot| slot.first == first);
        let many = |slot: &Slot| slot.count >= SHARED - usize::from(slot.expected);
        slot.is_some_and(|slot| {
            slot.shared || many(slot) && slot.in_vain < IN_VAIN && !planted(Mutation::EachAlone)
        })
    }

    /// Whether everybody has been given it; from now on it has.
    pub fn share(&mut self, now: Nanos, first: Seq) -> bool {
        std::mem::replace(&mut self.slot(now, first).shared, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::epoch;

    /// Holds 10 to 29 of epoch 2, committed up to 19.
    fn holdings() -> RepairRange {
        let end = LogEnd { next: 30, epoch: epoch(2, 1), chain: 1, timestamp: 1 };
        RepairRange { end, commit_next: 20, oldest_seq: 10 }
    }

    fn granted(epoch: Epoch, from: Seq, to: Seq) -> Result<(Seq, Seq), RepairReject> {
        grant(&holdings(), epoch, SeqRange { from, to }).map(|range| (range.from, range.to))
    }

    /// What a requester is given, by the epoch that it follows and the place that it asks for. The repairer
    /// holds 10 to 29 of epoch 2, committed up to 19.
    const GRANTS: &str = "
asks for      no epoch      an older      the same      of a rival    a newer
5..15         TooOld        TooOld        TooOld        TooOld        TooOld
12..18        12..18        12..18        12..18        12..18        12..18
15..25        15..20        15..20        15..25        15..20        15..20
22..25        OtherEpoch    OtherEpoch    22..25        OtherEpoch    OtherEpoch
25..40        OtherEpoch    OtherEpoch    25..30        OtherEpoch    OtherEpoch
30..40        Ahead         Ahead         Ahead         Ahead         Ahead
";

    #[test]
    fn s11_each_requester_is_given_what_the_table_says() {
        let epochs = [Epoch::NONE, epoch(1, 1), epoch(2, 1), epoch(2, 2), epoch(3, 3)];
        let mut table = String::from("\n");
        let mut row = |cells: Vec<String>| {
            let line: String = cells.iter().map(|cell| format!("{cell:<14}")).collect();
            table.push_str(line.trim_end());
            table.push('\n');
        };
        row(["asks for", "no epoch", "an older", "the same", "of a rival", "a newer"]
            .map(str::to_owned)
            .to_vec());
        for (from, to) in [(5, 15), (12, 18), (15, 25), (22, 25), (25, 40), (30, 40)] {
            let cells = epochs.map(|epoch| match granted(epoch, from, to) {
                Ok((from, to)) => format!("{from}..{to}"),
                Err(reject) => format!("{reject:?}"),
            });
            row(std::iter::once(format!("{from}..{to}")).chain(cells).collect());
        }
        assert_eq!(table, GRANTS, "the grants are now:\n{table}");
    }

    #[test]
    fn s11_up_to_the_givers_commit_anyone_repairs_to_anyone() {
        for follower in [Epoch::NONE, epoch(1, 1), epoch(2, 1), epoch(3, 3)] {
            assert_eq!(granted(follower, 12, 20), Ok((12, 20)), "{follower}");
        }
    }

    #[test]
    fn s11_above_the_commit_only_who_follows_exactly_the_givers_epoch_is_given_frames() {
        assert_eq!(granted(epoch(2, 1), 12, 28), Ok((12, 28)));
        assert_eq!(granted(epoch(2, 1), 25, 99), Ok((25, 30)), "no further than the log");
        for other in [Epoch::NONE, epoch(1, 1), epoch(2, 2), epoch(3, 3)] {
            assert_eq!(granted(other, 12, 28), Ok((12, 20)), "{other}: the committed part");
            assert_eq!(granted(other, 20, 28), Err(RepairReject::OtherEpoch), "{other}");
        }
    }

    #[test]
    fn s11_every_refusal_names_its_reason() {
        assert_eq!(granted(epoch(2, 1), 30, 31), Err(RepairReject::Ahead));
        assert_eq!(granted(epoch(1, 1), 30, 31), Err(RepairReject::Ahead));
        assert_eq!(granted(epoch(2, 1), 9, 12), Err(RepairReject::TooOld));
        assert_eq!(granted(epoch(1, 1), 20, 21), Err(RepairReject::OtherEpoch));
        let blank = RepairRange { end: LogEnd::BLANK, commit_next: 1, oldest_seq: 1 };
        assert_eq!(grant(&blank, epoch(1, 1), SeqRange { from: 1, to: 2 }), Err(RepairReject::Ahead));
    }

    const LIMITS: RepairHistoryLimits = RepairHistoryLimits { ignore_ns: 50, shared_ns: 150, delay_ns: 10 };

    /// REPAIR-1.
    #[test]
    fn repair_1_what_has_left_the_tail_is_not_touched() {
        assert!(!is_resident(&holdings(), 9) && is_resident(&holdings(), 10));
    }

    /// REPAIR-2.
    #[test]
    fn repair_2_a_repeat_is_ignored_for_less_than_half_the_shortest_retry() {
        let mut repairs = RepairHistory::new(LIMITS);
        assert_eq!(repairs.on_request(0, 1, 7), RepairDecision::At(0));
        assert_eq!(repairs.on_request(49, 1, 7), RepairDecision::Ignored);
        assert_eq!(repairs.on_request(49, 1, 8), RepairDecision::At(49), "another frame");
        assert_eq!(repairs.on_request(50, 1, 7), RepairDecision::At(50));
        assert_eq!(repairs.on_request(99, 1, 7), RepairDecision::Ignored, "since the last answer");
        assert_eq!(repairs.on_request(150, 1, 7), RepairDecision::At(150));
        let limits = RepairHistoryLimits::of(20_000, 150_000);
        assert!(limits.ignore_ns * 2 < 150_000);
    }

    /// REPAIR-3.
    #[test]
    fn repair_3_the_third_requester_within_a_round_trip_makes_it_everybodys_and_once() {
        let mut repairs = RepairHistory::new(LIMITS);
        assert_eq!((repairs.on_request(0, 1, 7), repairs.is_shared(7)), (RepairDecision::At(0), false));
        assert_eq!(
            (repairs.on_request(5, 2, 7), repairs.is_shared(7)),
            (RepairDecision::At(15), false),
            "held for a third"
        );
        assert_eq!((repairs.on_request(9, 3, 7), repairs.is_shared(7)), (RepairDecision::At(9), true));
        assert!(!repairs.share(9, 7), "nobody has been given it");
        for who in 1..100 {
            assert_eq!(repairs.on_request(10, who, 7), RepairDecision::Ignored);
        }
        assert!(repairs.share(10, 7));
        // The next loss is expected to be of that kind.
        assert_eq!((repairs.on_request(160, 5, 9), repairs.is_shared(9)), (RepairDecision::At(170), false));
        repairs.on_request(165, 6, 9);
        assert!(repairs.is_shared(9), "the loss before was shared: two are enough");
        assert_eq!(
            repairs.on_request(400, 5, 8),
            RepairDecision::At(400),
            "that one went to nobody after all"
        );
    }

    /// REPAIR-3.
    #[test]
    fn repair_3_readers_that_no_group_reaches_get_each_their_own_when_they_ask_again() {
        let mut repairs = RepairHistory::new(LIMITS);
        for (again, shared) in [(0, true), (150, true), (300, false), (450, false)] {
            for who in 1..4 {
                repairs.on_request(again, who, 7);
            }
            assert_eq!(repairs.is_shared(7), shared, "at {again}");
            assert!(!shared || !repairs.share(again, 7));
        }
        assert_eq!(
            repairs.on_request(600, 5, 7),
            RepairDecision::At(600),
            "nor does anybody wait for others"
        );
    }

    /// REPAIR-3.
    #[test]
    fn repair_3_requests_of_one_requester_or_of_different_losses_are_not_many() {
        let mut repairs = RepairHistory::new(LIMITS);
        for now in [0, 50, 100] {
            assert_eq!(repairs.on_request(now, 1, 7), RepairDecision::At(now));
        }
        assert!(!repairs.is_shared(7));
        for now in [200, 400, 600] {
            assert_eq!(repairs.on_request(now, now, 9), RepairDecision::At(now));
        }
        assert!(!repairs.is_shared(9));
    }

    /// REPAIR-6.
    #[test]
    fn repair_6_a_leader_refers_what_others_hold_and_gives_what_only_it_holds_or_who_comes_back() {
        let range = SeqRange { from: 5, to: 9 };
        let fresh = Referral::default;
        assert!(fresh().refers(0, 9, range));
        assert!(!fresh().refers(0, 8, range), "nobody else is known to hold all of it");
        let mut referral = fresh();
        assert!(referral.refers(1, 9, range));
        assert!(!referral.refers(REFERRED_NS, 9, range), "it came back");
        assert!(referral.refers(REFERRED_NS + 1, 9, range), "it may have been slow");
        assert_eq!(
            (led_cost(100, 9, 9), led_cost(100, 10, 9)),
            (1_600, 100),
            "what only it holds costs no more"
        );
    }

    /// REPAIR-6, seed 20261123100690: whoever needs longer than [`REFERRED_NS`] to ask all others was
    /// referred for ever.
    #[test]
    fn repair_6_a_requester_that_comes_back_late_again_and_again_is_repaired() {
        let (range, mut referral, mut now) = (SeqRange { from: 5, to: 9 }, Referral::default(), 0);
        let mut referred = 0;
        while referral.refers(now, 100, range) {
            (now, referred) = (now + 2 * REFERRED_NS, referred + 1);
        }
        assert_eq!(referred, REFERRALS_MAX);
        let other = SeqRange { from: 9, to: 12 };
        assert!(referral.refers(now, 100, other), "that was another loss");
    }
}
