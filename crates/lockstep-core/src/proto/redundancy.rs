//! # redundancy: which members hold the log, besides the leader
//!
//! A quorum that acknowledges says nothing about the others: a cluster of three commits on with two, and the
//! next crash ends it. So a leader checks of each member that its datagrams arrive, and that it has stored
//! what was committed a while ago. Entries of the last moment count for nothing; a lag in entries would mean
//! seconds on a slow stream and nothing on a fast one.
//!
//! ```text
//!           silent for `patience`, or what was committed `patience` ago is not acknowledged
//!   there ─────────────────────────────────────────────────────────────────────────────────────▶ away
//!     ▲                  neither for `patience`                                                   │
//!     └───────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use crate::proto::membership::Membership;
use lockstep_wire::{Identity, MEMBERS_MAX, Nanos, Seq};

/// Why a member is unavailable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum UnavailableReason {
    /// Nothing was received from it.
    Silent = 1,
    /// It lacks entries that were committed long ago.
    Behind = 2,
}

impl UnavailableReason {
    /// The reason with this number, if there is one.
    pub fn from_u32(why: u32) -> Option<Self> {
        [Self::Silent, Self::Behind].into_iter().find(|known| *known as u32 == why)
    }

    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "is silent",
            Self::Behind => "lacks entries that were committed long ago",
        }
    }
}

/// A member that is away from now on, or back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AvailabilityChange {
    /// Who.
    pub identity: Identity,
    /// Why it is unavailable; `None`: it is available again.
    pub unavailable: Option<UnavailableReason>,
    /// How long it was unavailable, if it is available again.
    pub lasted: Nanos,
}

/// What a leader knows of one member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemberContact {
    /// When its last datagram of this epoch was received; 0 if never.
    pub at: Nanos,
    /// The greatest bound that it acknowledged in this epoch.
    pub acked_next: Seq,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Row {
    identity: Identity,
    /// Since when it is away; `None` while it is there.
    unavailable_since: Option<Nanos>,
    /// Since when it has been well, without a break.
    well_since: Nanos,
}

/// One leader's view of its members.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Redundancy {
    patience_ns: Nanos,
    /// A member without a datagram counts as silent from then on.
    since: Nanos,
    /// What was committed at some time, ...
    mark: Seq,
    /// ... and what is to be the next mark, known since when.
    next_mark: (Nanos, Seq),
    rows: [Option<Row>; MEMBERS_MAX],
}

impl Redundancy {
    /// A leader that has just begun and expects everybody within `patience_ns`.
    pub fn new(patience_ns: Nanos) -> Self {
        Self { patience_ns, since: 0, mark: 0, next_mark: (0, 0), rows: [None; MEMBERS_MAX] }
    }

    /// An epoch begins, or other members are listed: each member has its patience again.
    pub fn restart(&mut self, now: Nanos) {
        self.since = now;
        (self.mark, self.next_mark) = (0, (now, 0));
    }

    /// Whether `identity` was available when the members were checked last.
    pub fn is_available(&self, identity: Identity) -> bool {
        self.rows.iter().flatten().any(|row| row.identity == identity && row.unavailable_since.is_none())
    }

    /// Checks the members but `me`. `last_contact` returns the contact by place in the list; `changed` takes
    /// each member that is unavailable from now on, or available again. Returns how many are available, `me`
    /// included.
    pub fn poll(
        &mut self,
        now: Nanos,
        (me, members): (Identity, &Membership),
        commit_next: Seq,
        last_contact: impl Fn(usize) -> MemberContact,
        mut changed: impl FnMut(AvailabilityChange),
    ) -> usize {
        if now >= self.next_mark.0 + self.patience_ns {
            self.mark = self.next_mark.1;
            self.next_mark = (now, commit_next);
        }
        let before = self.rows;
        self.rows = [None; MEMBERS_MAX];
        let mut available = 0;
        for (position, member) in members.members().iter().enumerate() {
            let identity = member.identity();
            if identity == me {
                available += 1;
                continue;
            }
            let MemberContact { at, acked_next } = last_contact(position);
            let why = if now > at.max(self.since) + self.patience_ns {
                Some(UnavailableReason::Silent)
            } else if acked_next < self.mark {
                Some(UnavailableReason::Behind)
            } else {
                None
            };
            let known = before.iter().flatten().find(|row| row.identity == identity);
            let mut row =
                known.copied().unwrap_or(Row { identity, unavailable_since: None, well_since: now });
            match (row.unavailable_since, why) {
                (None, Some(_)) => {
                    row.unavailable_since = Some(now);
                    changed(AvailabilityChange { identity, unavailable: why, lasted: 0 });
                }
                (Some(since), None) if at > 0 && now >= row.well_since + self.patience_ns => {
                    row.unavailable_since = None;
                    changed(AvailabilityChange {
                        identity,
                        unavailable: None,
                        lasted: now.saturating_sub(since),
                    });
                }
                _ => {}
            }
            if why.is_some() || at == 0 {
                row.well_since = now;
            }
            available += usize::from(row.unavailable_since.is_none());
            self.rows[position] = Some(row);
        }
        available
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::MemberBody;

    const PATIENCE: Nanos = 100;
    const ME: Identity = Identity { replica: 1, incarnation: 1 };

    fn members() -> Membership {
        let address = "10.0.0.1:7".parse().expect("an address");
        let member = |replica| MemberBody::full(Identity { replica, incarnation: 1 }, address);
        Membership::collect((1..=3).map(member), 1)
    }

    /// Looks each 10 ns from `from` to `to`; the changes (member, away), and how many are there at the end.
    fn contacts(
        redundancy: &mut Redundancy,
        (from, to): (Nanos, Nanos),
        commit_next: impl Fn(Nanos) -> Seq,
        last_contact: impl Fn(Nanos, u32) -> MemberContact,
    ) -> (Vec<(u32, Option<UnavailableReason>)>, usize) {
        let (members, mut changes, mut available) = (members(), Vec::new(), 0);
        for now in (from..to).step_by(10) {
            let of = |position| last_contact(now, position as u32 + 1);
            let tell =
                |change: AvailabilityChange| changes.push((change.identity.replica, change.unavailable));
            available = redundancy.poll(now, (ME, &members), commit_next(now), of, tell);
        }
        (changes, available)
    }

    fn well(now: Nanos, _: u32) -> MemberContact {
        MemberContact { at: now, acked_next: Seq::MAX }
    }

    #[test]
    fn who_falls_silent_is_away_and_who_speaks_again_for_a_while_is_back() {
        let mut redundancy = Redundancy::new(PATIENCE);
        redundancy.restart(1_000);
        assert_eq!(contacts(&mut redundancy, (1_000, 2_000), |_| 5, well), (vec![], 3));
        let silent = |now, replica| {
            if replica == 3 { MemberContact { at: 2_000, acked_next: 5 } } else { well(now, 2) }
        };
        let seen = contacts(&mut redundancy, (2_000, 3_000), |_| 5, silent);
        assert_eq!(seen, (vec![(3, Some(UnavailableReason::Silent))], 2));
        assert_eq!(
            contacts(&mut redundancy, (3_000, 3_090), |_| 5, well),
            (vec![], 2),
            "not at its first word"
        );
        assert_eq!(contacts(&mut redundancy, (3_090, 3_200), |_| 5, well), (vec![(3, None)], 3));
    }

    #[test]
    fn who_was_never_heard_has_its_time_and_is_away_then() {
        let mut redundancy = Redundancy::new(PATIENCE);
        redundancy.restart(1_000);
        let never =
            |now, replica| if replica == 2 { MemberContact { at: 0, acked_next: 0 } } else { well(now, 3) };
        assert_eq!(contacts(&mut redundancy, (1_000, 1_100), |_| 1, never), (vec![], 3));
        let seen = contacts(&mut redundancy, (1_100, 5_000), |_| 1, never);
        assert_eq!(seen, (vec![(2, Some(UnavailableReason::Silent))], 2));
    }

    #[test]
    fn who_is_heard_and_does_not_hold_what_was_committed_long_ago_is_away() {
        let mut redundancy = Redundancy::new(PATIENCE);
        redundancy.restart(1_000);
        // One entry each 10 ns; a lag of half a patience is what a network may have, one for ever is not.
        let commit = |now| now / 10;
        let lags = |now, replica| MemberContact {
            at: now,
            acked_next: if replica == 3 { now / 10 - 5 } else { now / 10 },
        };
        assert_eq!(contacts(&mut redundancy, (1_000, 3_000), commit, lags), (vec![], 3));
        let stands =
            |now, replica| MemberContact { at: now, acked_next: if replica == 3 { 300 } else { now / 10 } };
        let seen = contacts(&mut redundancy, (3_000, 5_000), commit, stands);
        assert_eq!(seen, (vec![(3, Some(UnavailableReason::Behind))], 2));
        // It catches up.
        let seen = contacts(&mut redundancy, (5_000, 6_000), commit, lags);
        assert_eq!(seen, (vec![(3, None)], 3));
    }

    #[test]
    fn who_is_away_stays_away_while_the_list_changes() {
        let mut redundancy = Redundancy::new(PATIENCE);
        redundancy.restart(1_000);
        let silent =
            |now, replica| if replica == 3 { MemberContact { at: 0, acked_next: 0 } } else { well(now, 2) };
        assert_eq!(contacts(&mut redundancy, (1_000, 2_000), |_| 1, silent).1, 2);
        redundancy.restart(2_000);
        assert_eq!(contacts(&mut redundancy, (2_000, 4_000), |_| 1, silent), (vec![], 2), "told once");
    }
}
