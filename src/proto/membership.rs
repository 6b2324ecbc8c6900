//! # membership: who votes
//!
//! The set of identities in force at a seq is a function of the log (S4): the last membership entry or
//! epoch start at or below it. It filters what is counted, never what is heard.

use crate::wire::{EpochStartView, Identity, MEMBERS_MAX, MemberBody, MembershipView, Seq, parse_birth};
use bytemuck::Zeroable;

/// The members in force from `seq` on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Membership {
    members: [MemberBody; MEMBERS_MAX],
    count: u8,
    /// The seq of the entry that says so; 0 while none is known.
    pub seq: Seq,
}

impl Default for Membership {
    fn default() -> Self {
        Self { members: [MemberBody::zeroed(); MEMBERS_MAX], count: 0, seq: 0 }
    }
}

impl Membership {
    /// The members of an epoch start at `seq`.
    pub fn of_start(start: &EpochStartView<'_>, seq: Seq) -> Self {
        Self::collect(start.members(), seq)
    }

    /// The members of a birth, which is entry 1; `None` if its payload is none.
    pub fn of_birth(payload: &[u8]) -> Option<Self> {
        Some(Self::collect(parse_birth(payload).ok()?, 1))
    }

    /// The new list of a membership entry at `seq`; `None` for one that is only submitted and has none.
    pub fn of_change(changed: &MembershipView<'_>, seq: Seq) -> Option<Self> {
        (changed.members().len() > 0).then(|| Self::collect(changed.members(), seq))
    }

    /// The members in this list; more than [`MEMBERS_MAX`] are a caller's error and panic.
    pub fn collect(list: impl IntoIterator<Item = MemberBody>, seq: Seq) -> Self {
        let mut membership = Self { seq, ..Self::default() };
        for member in list {
            membership.members[usize::from(membership.count)] = member;
            membership.count += 1;
        }
        membership
    }

    /// The listed members.
    pub fn members(&self) -> &[MemberBody] {
        &self.members[..usize::from(self.count)]
    }

    /// Votes that decide: more than half.
    pub fn quorum(&self) -> usize {
        usize::from(self.count) / 2 + 1
    }

    /// Where `identity` stands in the list.
    pub fn position(&self, identity: Identity) -> Option<usize> {
        self.members().iter().position(|member| member.identity() == identity)
    }

    /// Whether these are more than half of the listed members, each counted once.
    pub fn is_quorum(&self, voters: &[Identity]) -> bool {
        let votes = self.members().iter().filter(|member| voters.contains(&member.identity())).count();
        self.count > 0 && votes >= self.quorum()
    }

    /// The listed member with the lowest replica number.
    pub fn lowest(&self) -> Option<Identity> {
        self.members().iter().map(MemberBody::identity).min()
    }
}

/// Who decides whether a log may be led (S5): the membership at its end, and the one before the last change
/// where that was one of two members.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Electorate {
    /// The membership at the log's end.
    pub at_end: Membership,
    /// The two members before the change that `at_end` is.
    pub before: Option<Membership>,
}

impl Electorate {
    /// Whether these promises elect. A change from two members that is not known to be committed takes a
    /// quorum of the two as well, or each of them could go on alone.
    pub fn elects(&self, promised: &[Identity], commit_next: Seq) -> bool {
        let before = self.before.filter(|_| self.at_end.seq >= commit_next);
        self.at_end.is_quorum(promised) && before.is_none_or(|two| two.is_quorum(promised))
    }

    /// Whether `identity` is listed as one that may lead.
    pub fn lists(&self, identity: Identity) -> bool {
        let listed = self.at_end.position(identity);
        listed.is_some_and(|position| self.at_end.members()[position].role == 0)
    }
}
