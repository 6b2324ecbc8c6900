//! # requesters: what repairs may cost
//!
//! The question: how much of a repairer does one receiver get, and all of them together? Repairs take a tenth
//! of what the stream takes, and a floor so that a quiet stream can be repaired as well; one receiver takes a
//! quarter of that. A requester that asks for more is told when to ask again. A requester that does so for
//! seconds loses everything it is sent, so that datagrams are the wrong way to reach it.
//!
//! ```text
//!            over budget            3 s without calm        10 s more, still asking
//!   served ─────────────▶ limited ───────────────────▶ replay ─────────────────▶ dropped
//!     ▲                      │                            │                         │
//!     └────── calm ──────────┴────────────────────────────┴─────────────────────────┘
//! ```
//! Members have a table of their own and far more, as they gate the commit: what a standby that lagged for
//! long needs to catch up while the stream goes on. They stay on the second step however long they ask.

use super::planted::{Mutation, planted};
use super::repair::Referral;
use lockstep_wire::{MEMBERS_MAX, Nanos, RepairReject};

/// What repairs may cost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BudgetLimits {
    /// Bytes per second beside the tenth of the stream: 32 MB/s is some 30,000 full datagrams, a tenth of
    /// what one core sends.
    pub floor_bytes_per_s: u64,
    /// Bytes that may be given at once: 256 KiB is 8 ms of the floor, and a socket's worth.
    pub burst_bytes: u64,
    /// Receivers that are told apart.
    pub requesters_max: usize,
}

impl Default for BudgetLimits {
    fn default() -> Self {
        Self { floor_bytes_per_s: 32_000_000, burst_bytes: 256 << 10, requesters_max: 256 }
    }
}

/// The kind of the requesters of a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RequesterKind {
    /// Readers: together they get a tenth of the stream's bytes, and the floor.
    Reader,
    /// REPAIR-8 (what members may cost): each gets four times the stream's bytes, and eight times a reader's
    /// share of the floor.
    Member,
}

impl RequesterKind {
    /// What all of them may be given of `bytes` of the stream.
    fn of_stream(self, bytes: u64) -> u64 {
        match self {
            Self::Reader => bytes / READERS_STREAM_SHARE,
            Self::Member => bytes.saturating_mul(MEMBER_STREAM_TIMES * REQUESTER_SHARE),
        }
    }

    /// Their limits where readers have `limits`.
    fn limits(self, limits: BudgetLimits) -> BudgetLimits {
        match self {
            Self::Reader => limits,
            Self::Member => BudgetLimits {
                floor_bytes_per_s: limits.floor_bytes_per_s.saturating_mul(MEMBER_TIMES),
                burst_bytes: limits.burst_bytes.saturating_mul(MEMBER_TIMES),
                requesters_max: MEMBERS_MAX,
            },
        }
    }
}

/// Of the stream's bytes, one in so many may be repaired to readers.
const READERS_STREAM_SHARE: u64 = 10;
/// A member gets so many times the stream's bytes: it catches up in a third of the time that it lagged.
const MEMBER_STREAM_TIMES: u64 = 4;
/// A member gets so many times a reader's floor and burst.
const MEMBER_TIMES: u64 = 8;
/// Of all budgets, one receiver has one in so many: three may go wrong and the fourth is served.
const REQUESTER_SHARE: u64 = 4;
/// A receiver that was limited is calm when it has not been for this long: more than any wait that it is
/// told.
const CALM_NS: Nanos = 500_000_000;
/// It may be limited for this long: what a burst of 96 MB takes by datagrams at the floor. After that it is
/// sent to replay.
const REPLAY_AFTER_NS: Nanos = 3_000_000_000;
/// It may ask for this long after it was sent to replay: what a connection takes to be tried twice.
const DROP_AFTER_NS: Nanos = 10_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Row {
    who: u64,
    /// What it may still be given, and up to what all had earned when that was reckoned.
    level: u64,
    earned: u64,
    seen_at: Nanos,
    /// Since when it is over its budget, without calm; and when it was so last.
    limited: Option<(Nanos, Nanos)>,
    referral: Referral,
    dropped: bool,
}

/// What was decided about a request.
pub type BudgetResult = Result<(), (RepairReject, Nanos)>;

/// The requester, and what all may cost.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Requesters {
    kind: RequesterKind,
    limits: BudgetLimits,
    rows: Vec<Row>,
    /// Bytes that were earned since the start.
    earned: u64,
    reckoned_at: Nanos,
    stream_pos: u64,
    level: u64,
}

impl Requesters {
    /// Nobody yet. `limits` are those of readers.
    pub fn new(kind: RequesterKind, limits: BudgetLimits) -> Self {
        let limits = kind.limits(limits);
        Self {
            kind,
            rows: Vec::with_capacity(limits.requesters_max),
            earned: 0,
            reckoned_at: 0,
            stream_pos: 0,
            level: limits.burst_bytes,
            limits,
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let BudgetLimits { burst_bytes, requesters_max, .. } = self.limits;
        let (rows, level) = (self.rows.len(), self.level);
        assert!(rows <= requesters_max, "REPAIR-4: {rows} requesters, at most {requesters_max}");
        assert!(level <= burst_bytes, "REPAIR-4: {level} bytes may be given at once, at most {burst_bytes}");
        for (at, row) in self.rows.iter().enumerate() {
            let twice = self.rows[..at].iter().any(|other| other.who == row.who);
            assert!(!twice, "REPAIR-4: each requester has one budget: {row:?}");
            assert!(row.level <= burst_bytes / REQUESTER_SHARE, "REPAIR-4: one has its share: {row:?}");
            assert!(row.limited.is_some() || !row.dropped, "REPAIR-5: nobody is dropped who is not limited");
        }
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.rows.clear();
        (self.earned, self.reckoned_at, self.stream_pos) = (0, 0, 0);
        self.level = self.limits.burst_bytes;
    }

    /// Time has passed, and the stream has grown to `stream_pos` bytes.
    pub fn on_stream(&mut self, now: Nanos, stream_pos: u64) {
        let ns = now.saturating_sub(self.reckoned_at).min(1_000_000_000);
        let by_time = u128::from(ns) * u128::from(self.limits.floor_bytes_per_s) / 1_000_000_000;
        let by_stream = self.kind.of_stream(stream_pos.saturating_sub(self.stream_pos));
        // A fraction of a byte is earned by the next look.
        if by_time > 0 || by_stream > 0 {
            let earned = by_time as u64 + by_stream;
            (self.reckoned_at, self.stream_pos) = (now, stream_pos);
            self.earned = self.earned.saturating_add(earned);
            self.level = self.level.saturating_add(earned).min(self.limits.burst_bytes);
        }
    }

    fn row(&mut self, now: Nanos, who: u64) -> &mut Row {
        let at = match self.rows.iter().position(|row| row.who == who) {
            Some(at) => at,
            None => {
                let level = self.limits.burst_bytes / REQUESTER_SHARE;
                let row = Row {
                    who,
                    level,
                    earned: self.earned,
                    seen_at: now,
                    limited: None,
                    referral: Referral::default(),
                    dropped: false,
                };
                if self.rows.len() < self.limits.requesters_max {
                    self.rows.push(row);
                    self.rows.len() - 1
                } else {
                    // A requester that was silent the longest is forgotten, of those that are calm first.
                    let oldest = |(_, row): &(usize, &Row)| (row.limited.is_some(), row.seen_at);
                    let at = self.rows.iter().enumerate().min_by_key(oldest).map_or(0, |(at, _)| at);
                    self.rows[at] = row;
                    at
                }
            }
        };
        let (earned, burst) = (self.earned, self.limits.burst_bytes / REQUESTER_SHARE);
        let row = &mut self.rows[at];
        let burst = if planted(Mutation::ShareUnbounded) { u64::MAX } else { burst };
        row.level = row.level.saturating_add((earned - row.earned) / REQUESTER_SHARE).min(burst);
        (row.earned, row.seen_at) = (earned, now);
        row
    }

    /// REPAIR-4 (what it may cost): whether `who` may be given `bytes` now; then they are paid for. If not,
    /// why, and when it may ask again: when a quarter of its burst has been earned.
    pub fn charge(&mut self, now: Nanos, who: u64, bytes: u64) -> BudgetResult {
        let (all, floor) = (self.level, self.limits.floor_bytes_per_s);
        let (burst, climbs) = (self.limits.burst_bytes, self.kind == RequesterKind::Reader);
        let row = self.row(now, who);
        let is_over = row.level < bytes;
        let refusal = if climbs {
            climb(row, now, is_over)
        } else {
            (is_over && !planted(Mutation::NoBudget)).then_some(RepairReject::Limited)
        };
        if let Some(refusal) = refusal {
            let wait = burst / REQUESTER_SHARE / 4 * REQUESTER_SHARE * 1_000_000_000 / floor.max(1);
            return Err((refusal, wait));
        }
        if all < bytes && !planted(Mutation::NoBudget) {
            return Err((RepairReject::Limited, (bytes - all) * 1_000_000_000 / floor.max(1)));
        }
        row.level -= bytes.min(row.level);
        self.level -= bytes.min(all);
        Ok(())
    }

    /// `bytes` that `who` was charged for are not sent after all.
    pub fn refund(&mut self, now: Nanos, who: u64, bytes: u64) {
        let burst = self.limits.burst_bytes;
        let row = self.row(now, who);
        row.level = (row.level + bytes).min(burst / REQUESTER_SHARE);
        self.level = (self.level + bytes).min(burst);
    }

    /// A leader's referrals of `who` to others.
    pub fn referral(&mut self, now: Nanos, who: u64) -> &mut Referral {
        &mut self.row(now, who).referral
    }

    /// How many are given nothing more.
    pub fn dropped(&self) -> u64 {
        self.rows.iter().filter(|row| row.dropped).count() as u64
    }
}

/// REPAIR-5 (who asks too much): limited, then sent to replay, then dropped; calm takes it back. Returns what
/// it is told instead of frames.
fn climb(row: &mut Row, now: Nanos, is_over: bool) -> Option<RepairReject> {
    if planted(Mutation::NoBudget) {
        return None;
    }
    if row.limited.is_some_and(|(_, last)| now >= last + CALM_NS) {
        (row.limited, row.dropped) = (None, false);
    }
    let since = row.limited.map_or(now, |(since, _)| since);
    let climbed = now - since;
    if !is_over && climbed < REPLAY_AFTER_NS {
        return None;
    }
    row.limited = Some((since, now));
    row.dropped = climbed >= REPLAY_AFTER_NS + DROP_AFTER_NS;
    Some(match climbed {
        _ if row.dropped => RepairReject::Dropped,
        REPLAY_AFTER_NS.. => RepairReject::Replay,
        _ => RepairReject::Limited,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::SeqRange;

    const LIMITS: BudgetLimits =
        BudgetLimits { floor_bytes_per_s: 1_000_000, burst_bytes: 40_000, requesters_max: 4 };
    const MS: Nanos = 1_000_000;

    /// REPAIR-4.
    #[test]
    fn repair_4_a_receiver_has_a_quarter_of_what_all_have_and_is_told_when_to_ask_again() {
        let mut all = Requesters::new(RequesterKind::Reader, LIMITS);
        all.on_stream(MS, 0);
        for _ in 0..10 {
            assert_eq!(all.charge(MS, 1, 1_000), Ok(()));
        }
        let Err((RepairReject::Limited, wait)) = all.charge(MS, 1, 1_000) else {
            panic!("it has had its share")
        };
        assert_eq!(all.charge(MS, 2, 1_000), Ok(()), "the others have theirs");
        all.on_stream(MS + wait, 0);
        assert_eq!(all.charge(MS + wait, 1, 1_000), Ok(()), "as it was told");
    }

    /// REPAIR-4.
    #[test]
    fn repair_4_all_together_take_a_tenth_of_the_stream_and_the_floor() {
        let mut all = Requesters::new(RequesterKind::Reader, BudgetLimits { requesters_max: 64, ..LIMITS });
        let (mut granted, mut now) = (0, 0);
        for turn in 0..1_000u64 {
            now = turn * MS;
            // 10 MB/s of stream, of which a tenth is as much as the floor.
            all.on_stream(now, turn * 10_000);
            for who in 0..50 {
                granted += all.charge(now, who, 100).map_or(0, |()| 100u64);
            }
        }
        let earned = now / 1_000 + 10_000 * 999 / 10;
        assert!(granted <= earned + LIMITS.burst_bytes, "{granted} of {earned}");
        assert!(granted >= earned * 9 / 10, "{granted} of {earned}");
    }

    /// What a receiver is told that asks each 50 ms for more than it may have, at these times in ms.
    fn on_refused(asks: impl Iterator<Item = u64>) -> Vec<(u64, Option<RepairReject>)> {
        let mut all = Requesters::new(RequesterKind::Reader, LIMITS);
        let mut reported = Vec::new();
        for at in asks {
            all.on_stream(at * MS, 0);
            while all.charge(at * MS, 1, 1_000).is_ok() {}
            let why = all.charge(at * MS, 1, 1_000).err().map(|(why, _)| why);
            if reported.last().is_none_or(|(_, last)| *last != why) {
                reported.push((at, why));
            }
        }
        reported
    }

    /// REPAIR-8.
    #[test]
    fn repair_8_a_member_catches_up_with_a_busy_stream_and_is_limited_and_never_dropped() {
        let mut members = Requesters::new(RequesterKind::Member, LIMITS);
        let (mut granted, mut limited) = (0u64, 0);
        // A minute at 10 MB/s, of which it asks for 100 MB/s.
        for ms in 0..60_000u64 {
            members.on_stream(ms * MS, ms * 10_000);
            for _ in 0..100 {
                match members.charge(ms * MS, 1, 1_000) {
                    Ok(()) => granted += 1_000,
                    Err((why, _)) => {
                        assert_eq!(why, RepairReject::Limited);
                        limited += 1;
                    }
                }
            }
        }
        // Four times the stream, and eight times the quarter of a megabyte each second.
        let expected = 60 * (4 * 10_000_000 + 2_000_000);
        assert!(granted > expected * 9 / 10 && granted <= expected + 80_000, "{granted} of {expected}");
        assert!(limited > 0);
    }

    /// REPAIR-5.
    #[test]
    fn repair_5_who_asks_too_much_is_limited_then_sent_to_replay_then_dropped_and_calm_takes_it_back() {
        let asks = (0..20_000).step_by(50).chain((20_500..21_000).step_by(50));
        let expected = [
            (0, Some(RepairReject::Limited)),
            (3_000, Some(RepairReject::Replay)),
            (13_000, Some(RepairReject::Dropped)),
            (20_500, Some(RepairReject::Limited)),
        ];
        assert_eq!(on_refused(asks), expected);
    }

    /// REPAIR-5.
    #[test]
    fn repair_5_a_burst_now_and_then_is_nobodys_ruin() {
        assert_eq!(on_refused((0..60_000).step_by(600)), [(0, Some(RepairReject::Limited))]);
    }

    #[test]
    fn the_table_is_bounded_and_remembers_who_asks_too_much() {
        let mut all = Requesters::new(RequesterKind::Reader, LIMITS);
        while all.charge(0, 7, 1_000).is_ok() {}
        for who in 100..10_000 {
            let _ = all.charge(who, who, 1);
        }
        assert_eq!(all.rows.len(), 4);
        assert!(all.rows.iter().any(|row| row.who == 7));
    }

    /// REPAIR-6.
    #[test]
    fn repair_6_who_was_referred_is_remembered() {
        let mut all = Requesters::new(RequesterKind::Reader, LIMITS);
        let range = SeqRange { from: 30, to: 40 };
        assert!(all.referral(5, 1).refers(5, 50, range));
        assert!(!all.referral(9, 1).refers(9, 50, range) && all.referral(9, 2).refers(9, 50, range));
    }
}
