//! # follow: which epoch owns which seqs
//!
//! An epoch is followed from the moment its start is held, never by a rumour of it. The start's table
//! says which epoch owns which seqs from the one in force at the commit on, as far down as it has rows; what
//! lies below the table is taken only from who says that it is committed, or whose own log is the one that is
//! followed.
//!
//! ```text
//!   the log of e:  ── committed ──│── rows that found no room ──│── rows of the table ──│ start of e ──▶
//!   taken from:      who calls it     whose own log ends in e,     anybody: the row
//!                    committed        as its answer says           says whose it is
//! ```

use super::commit::Durability;
use super::membership::Membership;
use super::planted::{Mutation, planted};
use bytemuck::Zeroable;
use lockstep_wire::{EPOCHS_MAX, Epoch, EpochBase, EpochStartBody, EpochStartView, Header, Seq};

/// The epoch that is followed, and its table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Follow {
    epoch: Epoch,
    base: Seq,
    table: [EpochBase; EPOCHS_MAX],
    rows: u8,
    /// The membership from `base` on.
    pub membership: Membership,
    /// What an ack means in this epoch.
    pub durability: Durability,
    /// What its start tells of its watcher's secret; zero if there is no watcher.
    pub secret_hash: [u8; 32],
    /// Entries that its leader may stamp and not see committed, as its start says; 0 before a start is held.
    pub window_entries: u32,
}

/// Entries beyond the window that a log may hold uncommitted: starts of epochs, a change of the membership,
/// what an epoch with a larger window left. More is believed of nobody but a leader.
const BEYOND_WINDOW: Seq = 4_096;
/// The same for what a leader says.
const BEYOND_WINDOW_LED: Seq = 1 << 20;

impl Default for Follow {
    fn default() -> Self {
        Self {
            epoch: Epoch::NONE,
            base: 0,
            table: [EpochBase::zeroed(); EPOCHS_MAX],
            rows: 0,
            membership: Membership::default(),
            durability: Durability::default(),
            secret_hash: [0; 32],
            window_entries: 0,
        }
    }
}

impl Follow {
    /// The epoch whose start is held; [`Epoch::NONE`] at first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The seq of that start.
    pub fn base(&self) -> Seq {
        self.base
    }

    /// Whether `epoch` is one that we would follow if we held its start.
    pub fn is_newer(&self, epoch: Epoch) -> bool {
        epoch > self.epoch && epoch.round() > 0
    }

    /// The start of an epoch that has won is held: it is followed from now on. One that is not above the
    /// present one changes nothing.
    pub fn on_start(&mut self, start: &EpochStartView<'_>) -> bool {
        if !self.is_newer(start.epoch()) {
            return false;
        }
        self.epoch = start.epoch();
        self.base = start.body.base;
        self.rows = 0;
        for row in start.epochs() {
            self.table[usize::from(self.rows)] = row;
            self.rows += 1;
        }
        self.membership = Membership::of_start(start, start.body.base);
        self.durability = Durability::from_wire(start.body.durability);
        self.set_start(&start.body);
        true
    }

    /// What the start of the followed epoch says of its leader. An owner that restores its log sets it.
    pub fn set_start(&mut self, start: &EpochStartBody) {
        self.secret_hash = start.secret_hash;
        self.window_entries = start.window_entries;
    }

    /// GAP-3 (how far a word may reach): whether a log of the followed epoch may end at `next` while
    /// everything below `commit_next` is known to be committed: its window stops its leader before. `led`
    /// says that the leader itself says so.
    pub fn is_within_window(&self, next: Seq, commit_next: Seq, led: bool) -> bool {
        let beyond = if led { BEYOND_WINDOW_LED } else { BEYOND_WINDOW };
        let window = Seq::from(self.window_entries) + beyond;
        next <= commit_next.saturating_add(window) || planted(Mutation::AnyBoundBelieved)
    }

    /// As a recovered log has it: its epoch table, oldest first, and what the last start said. A log without
    /// a start follows no epoch: a table of one log under the epoch of another would admit nothing of either.
    pub fn restore(&mut self, table: &[EpochBase], membership: Membership, durability: Durability) {
        let rows = &table[table.len().saturating_sub(EPOCHS_MAX)..];
        self.table[..rows.len()].copy_from_slice(rows);
        self.rows = rows.len() as u8;
        let last = rows.last().filter(|row| Epoch(row.epoch).round() > 0);
        (self.epoch, self.base) = last.map_or((Epoch::NONE, 0), |row| (Epoch(row.epoch), row.base));
        self.membership = membership;
        self.durability = durability;
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let rows = &self.table[..usize::from(self.rows)];
        let rises = rows.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].base < pair[1].base);
        assert!(rises, "S10: epochs and their first seqs rise along a table: {rows:?}");
        let last = rows.last().filter(|row| Epoch(row.epoch).round() > 0);
        assert!(
            last.map_or((Epoch::NONE, 0), |row| (Epoch(row.epoch), row.base)) == (self.epoch, self.base),
            "S10: the last row of the table is the epoch that is followed, {} from {}: {rows:?}",
            self.epoch,
            self.base,
        );
    }

    /// The oldest row of the table: below it nothing is said of who owns what.
    pub fn oldest(&self) -> Option<EpochBase> {
        self.table[..usize::from(self.rows)].first().copied()
    }

    /// The epoch that owns `seq`; `None` below the table.
    pub fn owner(&self, seq: Seq) -> Option<Epoch> {
        let rows = &self.table[..usize::from(self.rows)];
        rows.iter().rev().find(|row| row.base <= seq).map(|row| Epoch(row.epoch))
    }

    /// Whether the log that is followed contains the start of `epoch`, and so all of `epoch`'s log up to
    /// [`Follow::succeeded_at`], as far as the table tells.
    pub fn lists(&self, epoch: Epoch) -> bool {
        self.table[..usize::from(self.rows)].iter().any(|row| row.epoch == epoch.0)
    }

    /// The seq at which the first epoch above `epoch` begins; `None` if there is none.
    pub fn succeeded_at(&self, epoch: Epoch) -> Option<Seq> {
        let rows = &self.table[..usize::from(self.rows)];
        rows.iter().find(|row| row.epoch > epoch.0).map(|row| row.base)
    }

    /// S6 (nothing committed is cut): whether the log of the followed epoch contains everything below
    /// `commit_next`. If not, the seq at which it begins to differ: whoever holds a commit stops there.
    pub fn contains(&self, commit_next: Seq) -> Result<(), Seq> {
        if self.base < commit_next { Err(self.base) } else { Ok(()) }
    }

    /// S10 (what may be used): whether a frame belongs to the log of the epoch that is followed: its epoch
    /// owns its seqs, or it lies below the table and whoever gave it calls it committed, or gave it from a
    /// log that ends in this very epoch (`attested`: how far the giver calls its log committed, and in which
    /// epoch that ends).
    pub fn admits(&self, header: &Header, attested: Option<(Seq, Epoch)>) -> bool {
        match self.owner(header.first_seq) {
            Some(owner) => {
                owner == header.epoch() || planted(Mutation::LowerEpochTaken) && header.epoch() < self.epoch
            }
            None if planted(Mutation::PrefixNotProven) => self.rows > 0,
            None => attested.is_some_and(|(committed_next, accepted)| {
                let same_log = accepted == self.epoch && !planted(Mutation::TableEnds);
                self.rows > 0 && (header.next_seq() <= committed_next || same_log)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::log::LogEnd;
    use crate::proto::tests::{epoch, membership, start_payload};
    use lockstep_wire::Kind;

    const ROUND_1: Seq = 2;
    const ROUND_3: Seq = 40;

    /// Follows round 3 from seq 40 on, whose table reaches down to round 1 at seq 2.
    fn followed() -> Follow {
        let table = [
            EpochBase { epoch: epoch(1, 1).0, base: ROUND_1 },
            EpochBase { epoch: epoch(3, 2).0, base: ROUND_3 },
        ];
        let end = LogEnd { next: ROUND_3, epoch: epoch(1, 1), chain: 5, timestamp: 0 };
        let payload = start_payload(epoch(3, 2), &end, &table);
        let mut follow = Follow::default();
        assert!(follow.on_start(&EpochStartView::parse(&payload).unwrap()));
        follow
    }

    fn header(epoch: Epoch, first_seq: Seq, count: u16) -> Header {
        Header { epoch: epoch.0, first_seq, count, ..Header::new(Kind::Frame) }
    }

    /// Given by who calls its log committed so far, which ends in another epoch.
    fn called(committed_next: Seq) -> Option<(Seq, Epoch)> {
        Some((committed_next, epoch(2, 3)))
    }

    #[test]
    fn s10_an_epoch_owns_the_seqs_from_its_base_to_the_next_ones() {
        let follow = followed();
        assert_eq!((follow.epoch(), follow.base()), (epoch(3, 2), ROUND_3));
        let owners = [(1, None), (2, Some(1)), (39, Some(1)), (40, Some(3)), (1_000, Some(3))];
        for (seq, round) in owners {
            assert_eq!(follow.owner(seq).map(Epoch::round), round, "seq {seq}");
        }
    }

    #[test]
    fn s10_only_the_owners_frames_are_used() {
        let follow = followed();
        assert!(follow.admits(&header(epoch(1, 1), 10, 4), None));
        assert!(follow.admits(&header(epoch(3, 2), ROUND_3, 1), None));
        assert!(!follow.admits(&header(epoch(1, 1), ROUND_3, 1), None), "a deposed leader's frame");
        assert!(
            !follow.admits(&header(epoch(2, 3), 10, 1), called(1_000)),
            "an epoch that lost, whatever is said of it"
        );
        assert!(!follow.admits(&header(epoch(3, 2), 10, 1), called(1_000)));
        assert!(
            !follow.admits(&header(epoch(4, 1), 50, 1), called(1_000)),
            "an epoch whose start is not held"
        );
    }

    #[test]
    fn s10_below_the_table_only_what_is_called_committed_is_taken() {
        let follow = followed();
        let genesis = header(epoch(0, 1), 1, 1);
        assert!(!follow.admits(&genesis, None));
        assert!(!follow.admits(&genesis, called(1)), "the whole frame must be committed");
        assert!(follow.admits(&genesis, called(2)));
    }

    #[test]
    fn s10_below_the_table_it_is_enough_that_the_givers_log_is_the_one_that_is_followed() {
        let follow = followed();
        let genesis = header(epoch(0, 1), 1, 1);
        assert!(follow.admits(&genesis, Some((1, epoch(3, 2)))));
        assert!(!follow.admits(&genesis, Some((1, epoch(4, 1)))), "a later epoch may have another log");
        assert!(
            !follow.admits(&header(epoch(2, 3), 10, 1), Some((1, epoch(3, 2)))),
            "the table has said whose it is"
        );
        assert!(!Follow::default().admits(&genesis, Some((1, Epoch::NONE))));
    }

    #[test]
    fn s10_before_the_first_start_nothing_is_used() {
        let follow = Follow::default();
        assert_eq!(follow.owner(1), None);
        assert!(!follow.admits(&header(epoch(1, 1), 2, 1), called(100)));
        assert!(
            follow.is_newer(epoch(1, 1)) && !follow.is_newer(epoch(0, 1)),
            "round 0 is nobody's leadership"
        );
    }

    /// A candidate that holds the birth alone turns back to its own log. The epoch whose start it had heard
    /// is news again: else the table of the one log stood under the epoch of the other, and nothing of either
    /// was admitted.
    #[test]
    fn s10_who_turns_back_to_a_log_without_a_start_learns_the_start_anew() {
        let mut follow = followed();
        let genesis = EpochBase { epoch: epoch(0, 1).0, base: 1 };
        follow.restore(&[genesis], membership(3), Durability::Process);
        assert_eq!((follow.epoch(), follow.base()), (Epoch::NONE, 0));
        assert!(follow.is_newer(epoch(3, 2)), "or it is never asked for again");
    }

    #[test]
    fn s10_an_older_start_changes_nothing() {
        let mut follow = followed();
        let before = follow;
        let end = LogEnd { next: 60, epoch: epoch(1, 1), chain: 5, timestamp: 0 };
        for late in [epoch(3, 2), epoch(2, 3)] {
            let payload = start_payload(late, &end, &[EpochBase { epoch: late.0, base: 60 }]);
            assert!(!follow.on_start(&EpochStartView::parse(&payload).unwrap()));
        }
        assert_eq!(follow, before);
    }

    #[test]
    fn s10_a_recovered_log_is_followed_by_its_own_table() {
        let rows: Vec<_> = (0..EPOCHS_MAX as u64 + 4)
            .map(|round| EpochBase { epoch: epoch(round as u32, 1).0, base: round * 10 + 1 })
            .collect();
        let mut follow = Follow::default();
        follow.restore(&rows, membership(3), Durability::Power);
        assert_eq!((follow.epoch(), follow.base()), (epoch(19, 1), 191));
        assert_eq!(follow.owner(45).map(Epoch::round), Some(4), "the newest rows are kept");
        assert_eq!(follow.owner(35), None);
        assert_eq!(follow.durability, Durability::Power);
        let mut born = Follow::default();
        born.restore(&rows[..1], membership(3), Durability::Process);
        assert_eq!(born.epoch(), Epoch::NONE, "nobody leads round 0");
        assert_eq!(born.owner(1), Some(epoch(0, 1)));
    }
}
