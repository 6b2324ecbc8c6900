//! # agreement: whether the replicas of a machine have one state
//!
//! At regular entries each replica stamps the digest of its state. All replicas read all digests at the same
//! positions, so all of them find out at the same entry that one has diverged, and between which two entries.
//! When the next digests are due, the received ones are counted: the replicas outside the single largest
//! group are odd. If two groups are equally large, it is unknown which one is right, and all replicas are
//! odd.
//!
//! Digests of different versions of the machine are not compared.

use lockstep_core::engine::saved::{take, take_u32, take_u64};
use lockstep_wire::Seq;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// The number of own digests with which reports are compared: a report for an older position is not judged.
const OWN_MAX: usize = 64;

/// Two replicas have diverged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parting {
    /// The other replica.
    pub replica: u8,
    /// Both had the same state before this entry; 0: at no compared position.
    pub equal_at: Seq,
    /// Their states differ before this entry.
    pub at: Seq,
    /// The digest of this replica.
    pub own: u64,
    /// The digest of the other replica.
    pub other: u64,
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replica, equal_at, at, own, other } = self;
        write!(
            f,
            "replica {replica} has another state before seq {at} ({other:016x}, here {own:016x}), and had \
             the same before seq {equal_at}: an input from {equal_at} to {} was not applied identically; \
             `lockstep_app::bisect` names it",
            at - 1
        )
    }
}

/// The digests: see the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    version: u32,
    /// The newest digests of this state, oldest first.
    own: VecDeque<(Seq, u64)>,
    /// The digests received for the newest position, by replica.
    reports: BTreeMap<u8, u64>,
    /// The newest position at which each replica had this state.
    equal: BTreeMap<u8, Seq>,
}

impl Agreement {
    /// The digests of a machine of this version, at the stream's beginning.
    pub fn new(version: u32) -> Self {
        Self { version, own: VecDeque::new(), reports: BTreeMap::new(), equal: BTreeMap::new() }
    }

    /// The state before the entry `at` has this digest. Returns the replicas that were odd at the previous
    /// position.
    pub fn on_own(&mut self, at: Seq, digest: u64) -> Vec<u8> {
        let odd = self.odd();
        self.reports.clear();
        if self.own.len() == OWN_MAX {
            self.own.pop_front();
        }
        self.own.push_back((at, digest));
        odd
    }

    /// A replica reports its digest. Returns how it has diverged from this one, if it has.
    pub fn on_report(&mut self, replica: u8, version: u32, at: Seq, digest: u64) -> Option<Parting> {
        let place =
            self.own.binary_search_by_key(&at, |(at, _)| *at).ok().filter(|_| version == self.version)?;
        let own = self.own[place].1;
        if place + 1 == self.own.len() {
            self.reports.insert(replica, digest);
        }
        if own == digest {
            let equal = self.equal.entry(replica).or_default();
            *equal = at.max(*equal);
            return None;
        }
        let equal_at = self.equal.get(&replica).copied().unwrap_or(0);
        Some(Parting { replica, equal_at, at, own, other: digest })
    }

    /// The replicas outside the single largest group of equal digests; all replicas if there is no such
    /// group.
    fn odd(&self) -> Vec<u8> {
        let mut groups: BTreeMap<u64, usize> = BTreeMap::new();
        for digest in self.reports.values() {
            *groups.entry(*digest).or_default() += 1;
        }
        let largest = groups.values().max().copied().unwrap_or(0);
        let mut of_largest = groups.iter().filter(|(_, count)| **count == largest).map(|(digest, _)| *digest);
        let right = of_largest.next().filter(|_| of_largest.next().is_none());
        self.reports
            .iter()
            .filter(|(_, digest)| Some(**digest) != right)
            .map(|(replica, _)| *replica)
            .collect()
    }

    /// Appends the part of a snapshot.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.own.len() as u32).to_le_bytes());
        for (at, digest) in &self.own {
            [*at, *digest].iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
        for rows in [&self.reports, &self.equal] {
            out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
            for (replica, word) in rows {
                out.push(*replica);
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// The digests of a machine that continues from a snapshot of its version.
    pub fn restore(version: u32, rest: &mut &[u8]) -> Option<Self> {
        let mut own = VecDeque::new();
        for _ in 0..take_u32(rest)? {
            own.push_back((take_u64(rest)?, take_u64(rest)?));
        }
        let mut rows = || {
            let mut rows = BTreeMap::new();
            for _ in 0..take_u32(rest)? {
                let [replica] = take(rest)?;
                rows.insert(replica, take_u64(rest)?);
            }
            Some(rows)
        };
        let (reports, equal) = (rows()?, rows()?);
        let is_sound = own.len() <= OWN_MAX && own.iter().is_sorted_by(|older, newer| older.0 < newer.0);
        is_sound.then_some(Self { version, own, reports, equal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(digests: &[(u8, u64)]) -> Agreement {
        let mut agreement = Agreement::new(1);
        assert_eq!(agreement.on_own(100, 7), []);
        for (replica, digest) in digests {
            agreement.on_report(*replica, 1, 100, *digest);
        }
        agreement
    }

    #[test]
    fn the_odd_one_of_three_is_named_and_of_two_nobody_is_right() {
        assert_eq!(of(&[(1, 7), (2, 9), (3, 7)]).on_own(200, 8), [2]);
        assert_eq!(of(&[(1, 9), (2, 9), (3, 7)]).on_own(200, 8), [3]);
        assert_eq!(of(&[(1, 7), (2, 9)]).on_own(200, 8), [1, 2]);
        assert_eq!(of(&[(1, 7), (2, 7)]).on_own(200, 8), []);
        assert_eq!(of(&[(2, 9)]).on_own(200, 8), []);
    }

    #[test]
    fn the_range_is_that_from_the_last_equal_digests_to_the_first_unequal_ones() {
        let mut agreement = of(&[(2, 7)]);
        agreement.on_own(200, 8);
        agreement.on_own(300, 9);
        assert_eq!(agreement.on_report(2, 1, 200, 8), None);
        let parting = agreement.on_report(2, 1, 300, 1).expect("it has parted");
        assert_eq!(parting, Parting { replica: 2, equal_at: 200, at: 300, own: 9, other: 1 });
        assert!(parting.to_string().contains("from 200 to 299"), "{parting}");
    }

    #[test]
    fn another_version_and_a_place_that_was_never_digested_here_are_not_compared() {
        let mut agreement = of(&[]);
        assert_eq!((agreement.on_report(2, 2, 100, 1), agreement.on_report(2, 1, 150, 1)), (None, None));
        assert_eq!(agreement.on_own(200, 1), []);
    }

    #[test]
    fn a_snapshot_has_all_of_it() {
        let agreement = of(&[(1, 7), (2, 9)]);
        let mut saved = Vec::new();
        agreement.save(&mut saved);
        assert_eq!(Agreement::restore(1, &mut &saved[..]), Some(agreement));
        for end in 0..saved.len() {
            assert_eq!(Agreement::restore(1, &mut &saved[..end]), None, "{end} bytes");
        }
    }
}
