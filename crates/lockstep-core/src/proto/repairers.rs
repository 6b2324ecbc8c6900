//! # repairers: whom a receiver asks, and in which order
//!
//! The question: who is asked first? Receivers are to spread over those that are not in a hurry, without
//! knowing of each other: each orders archivers and standbys by a hash of itself and the repairer (rendezvous
//! hashing: who joins or leaves moves only its own share), and the leader, which stamps, comes last. A
//! repairer that was silent several times is not asked first for a while, and one that has refused older
//! entries not for those.

use super::nack::mix;
use super::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Identity, Nanos, Seq, packed_address};
use std::net::SocketAddrV4;

/// The repairers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RepairerKind {
    /// It stores, and has no vote.
    Archiver,
    /// It votes, and may lead.
    Replica,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Repairer {
    /// Where it answers.
    pub address: SocketAddrV4,
    /// What it is.
    pub kind: RepairerKind,
    /// A replica's number; 0 for an archiver.
    pub replica: u32,
}

impl Repairer {
    /// A replica.
    pub fn replica(replica: u32, address: SocketAddrV4) -> Self {
        Self { address, kind: RepairerKind::Replica, replica }
    }

    /// An archiver.
    pub fn archiver(address: SocketAddrV4) -> Self {
        Self { address, kind: RepairerKind::Archiver, replica: 0 }
    }

    fn key(&self) -> u64 {
        packed_address(self.address)
    }
}

/// Requests without any answer after which a repairer is not asked first any more: a lost request or two, at
/// 30 % loss, is no sign of death.
const SILENT_REQUESTS: u32 = 4;
/// For how long: a dead one costs one retry per second, a restarted one is used again a second later.
const SILENT_NS: Nanos = 1_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Row {
    repairer: Repairer,
    unanswered: u32,
    silent_until: Nanos,
    /// It refuses what is older than this, ...
    oldest_seq: Seq,
    /// ... as far as is known until then.
    oldest_until: Nanos,
}

impl Row {
    fn new(repairer: Repairer) -> Self {
        Self { repairer, unanswered: 0, silent_until: 0, oldest_seq: 0, oldest_until: 0 }
    }
}

/// All that a receiver knows, in its order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Repairers {
    rows: Vec<Row>,
    /// Most of them; not the list's capacity, which a copy does not have.
    room: usize,
    me: Identity,
    /// The leader's number.
    leader: u32,
}

impl Repairers {
    /// Ordered for `me`; `room` is how many there may become.
    pub fn new(me: Identity, repairers: &[Repairer], room: usize) -> Self {
        let mut rows = Vec::with_capacity(room.max(repairers.len()));
        rows.extend(repairers.iter().map(|repairer| Row::new(*repairer)));
        let mut all = Self { rows, room: room.max(repairers.len()).max(1), me, leader: 0 };
        all.sort();
        all
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let count = self.rows.len();
        assert!(count <= self.room, "{count} repairers are known, at most {}", self.room);
        let address = |row: &Row| row.repairer.address;
        let twice =
            (1..count).any(|at| self.rows[..at].iter().any(|row| address(row) == address(&self.rows[at])));
        assert!(!twice, "each repairer is known once: {:?}", self.rows);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One more; where there is no room, it takes the last one's place.
    pub fn add(&mut self, repairer: Repairer) {
        let is_known = self.rows.iter().any(|row| row.repairer.address == repairer.address);
        if is_known && !planted(Mutation::RepairerTwice) {
            return;
        }
        self.rows.truncate(self.room - 1);
        self.rows.push(Row::new(repairer));
        self.sort();
    }

    /// Somebody leads this epoch: it is asked last from now on.
    pub fn on_epoch(&mut self, epoch: Epoch) {
        if epoch.leader().replica != self.leader {
            self.leader = epoch.leader().replica;
            self.sort();
        }
    }

    /// NACK-3 (whom to ask): archivers and standbys first, ordered by a hash of the receiver and the
    /// repairer, the leader last.
    fn sort(&mut self) {
        let Self { rows, me, leader, .. } = self;
        let me = u64::from(me.replica) << 32 | u64::from(me.incarnation);
        rows.sort_unstable_by_key(|row| {
            let key = row.repairer.key();
            (row.repairer.replica == *leader && *leader != 0, mix(me, key), key)
        });
    }

    /// The place of who is asked first at present.
    pub fn first(&self, now: Nanos) -> u32 {
        self.rows.iter().position(|row| now >= row.silent_until).unwrap_or(0) as u32
    }

    /// The place from `place` on whose repairer is asked first for entries from `from` on: it has not refused
    /// older ones within a second, as its ring began later. Where one has, silent ones are passed over too.
    pub fn first_with(&self, now: Nanos, place: u32, from: Seq) -> u32 {
        let refuses = |row: &Row| now < row.oldest_until && from < row.oldest_seq;
        if !self.rows.iter().any(refuses) || planted(Mutation::TooOldAskedFirst) {
            return place;
        }
        let count = self.rows.len() as u32;
        let may_have = |place: &u32| {
            let row = &self.rows[*place as usize];
            now >= row.silent_until && !refuses(row)
        };
        (0..count).map(|further| (place + further) % count).find(may_have).unwrap_or(place)
    }

    /// It refuses what is older than `oldest_seq`.
    pub fn on_too_old(&mut self, now: Nanos, place: u32, oldest_seq: Seq) {
        if let Some(row) = self.rows.get_mut(place as usize) {
            (row.oldest_seq, row.oldest_until) = (oldest_seq, now + SILENT_NS);
        }
    }

    /// The repairer at this place; places go round.
    pub fn at(&self, place: u32) -> Option<&Repairer> {
        let place = place as usize % self.rows.len().max(1);
        self.rows.get(place).map(|row| &row.repairer)
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &Repairer> {
        self.rows.iter().map(|row| &row.repairer)
    }

    /// It is asked something.
    pub fn on_request_sent(&mut self, now: Nanos, place: u32) {
        if let Some(row) = self.rows.get_mut(place as usize) {
            row.unanswered += 1;
            if row.unanswered > SILENT_REQUESTS {
                (row.unanswered, row.silent_until) = (0, now + SILENT_NS);
            }
        }
    }

    /// It has answered something.
    pub fn on_received(&mut self, place: u32) {
        if let Some(row) = self.rows.get_mut(place as usize) {
            (row.unanswered, row.silent_until) = (0, 0);
        }
    }

    /// This replica gave something, whoever had asked for it.
    pub fn on_repair(&mut self, replica: u32) {
        if let Some(place) = self.rows.iter().position(|row| row.repairer.replica == replica) {
            self.on_received(place as u32);
        }
    }

    /// Forgets who was silent, and who was too young.
    pub fn forget_silence(&mut self) {
        for row in &mut self.rows {
            *row = Row::new(row.repairer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::epoch;
    use std::net::Ipv4Addr;

    fn address(number: u32) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, number as u8), 7_000)
    }

    fn of(me: u32, replicas: u32) -> Repairers {
        let list: Vec<_> = (1..=replicas).map(|number| Repairer::replica(number, address(number))).collect();
        let mut repairers = Repairers::new(Identity { replica: me, incarnation: 7 }, &list, 8);
        repairers.on_epoch(epoch(1, 1));
        repairers
    }

    fn order(repairers: &Repairers) -> Vec<u32> {
        repairers.iter().map(|repairer| repairer.replica).collect()
    }

    /// NACK-3.
    #[test]
    fn nack_3_receivers_spread_over_the_standbys_and_the_leader_comes_last() {
        let mut first = [0; 5];
        for me in 1_000..1_300 {
            let order = order(&of(me, 4));
            assert_eq!(order[3], 1);
            first[order[0] as usize] += 1;
        }
        assert!(first[2..].iter().all(|count| *count > 70), "{first:?}");
    }

    /// NACK-3.
    #[test]
    fn nack_3_a_new_leader_is_last_and_the_old_one_takes_its_place_among_the_others() {
        for me in 1_000..1_100 {
            let mut repairers = of(me, 3);
            repairers.on_epoch(epoch(2, 3));
            assert_eq!(order(&repairers)[2], 3);
        }
    }

    /// NACK-3.
    #[test]
    fn nack_3_who_joins_moves_nobody_but_to_itself() {
        for me in 1_000..1_100 {
            let mut repairers = of(me, 4);
            let before = order(&repairers);
            repairers.add(Repairer::archiver(address(9)));
            let after: Vec<_> = order(&repairers).into_iter().filter(|replica| *replica != 0).collect();
            assert_eq!(before, after);
            repairers.add(Repairer::archiver(address(9)));
            assert_eq!(repairers.len(), 5);
        }
    }

    /// NACK-3.
    #[test]
    fn nack_3_who_never_answers_is_not_asked_first_for_a_second() {
        let mut repairers = of(1_000, 3);
        for now in 0..SILENT_REQUESTS {
            assert_eq!(repairers.first(now.into()), 0);
            repairers.on_request_sent(now.into(), 0);
        }
        repairers.on_request_sent(100, 0);
        assert_eq!((repairers.first(100), repairers.first(100 + SILENT_NS)), (1, 0));
        repairers.on_request_sent(100, 1);
        repairers.on_received(0);
        assert_eq!(repairers.first(100), 0);
    }

    /// NACK-3.
    #[test]
    fn nack_3_who_has_said_that_its_ring_begins_later_is_not_asked_first_for_a_second() {
        let mut repairers = of(1_000, 4);
        for place in 0..3 {
            repairers.on_too_old(0, place, 50 + Seq::from(place));
        }
        assert_eq!([49, 50, 51, 52].map(|from| repairers.first_with(10, 0, from)), [3, 0, 0, 0]);
        assert_eq!([49, 50, 51, 52].map(|from| repairers.first_with(10, 1, from)), [3, 3, 1, 1]);
        assert_eq!(repairers.first_with(10, 3, 49), 3);
        assert_eq!(repairers.first_with(SILENT_NS, 1, 49), 1, "a second later it may have been restarted");
        // Where all are too young, they are asked in turn: each says so, and then a journal is asked.
        repairers.on_too_old(0, 3, 53);
        assert_eq!(repairers.first_with(10, 2, 49), 2);
    }

    #[test]
    fn there_are_no_more_than_there_is_room_for() {
        let mut repairers = of(1_000, 3);
        for number in 10..200 {
            repairers.add(Repairer::archiver(address(number)));
        }
        assert!(repairers.len() <= 8 && repairers.at(3 + 8).is_some());
        let mut copy = of(1_000, 3).clone();
        copy.add(Repairer::archiver(address(9)));
        assert_eq!(copy.len(), 4, "a copy has as much room");
        assert!(Repairers::new(Identity::default(), &[], 0).at(5).is_none());
    }
}
