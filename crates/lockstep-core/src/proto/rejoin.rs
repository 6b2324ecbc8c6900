//! # rejoin: how a replica that cannot prove its journal complete comes back without a hand
//!
//! By S9 such a replica must not vote under its identity: it may have forgotten what it acknowledged. It can
//! take a new identity, read the stream as a learner, and then ask for the place of its dead one, as an
//! operator would by `membership replace`. The change itself is judged by its leader (MEMBER-1, MEMBER-3):
//! the rule here keeps a replica from giving up its journal where the change could not follow.

use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Identity, Nanos};
use std::fmt;

/// A member, as its leader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenMember {
    /// Who.
    pub identity: Identity,
    /// Time since its last datagram; `None`: the leader has not heard it in its epoch.
    pub silent: Option<Nanos>,
}

/// What a replica that cannot prove its journal complete knows of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct RejoinEvidence<'a> {
    /// Its number.
    pub replica: u32,
    /// Whether its keys prove that it may be a replica; or nobody proves anything in this cluster.
    pub is_proven: bool,
    /// The one that leads, by its own word.
    pub leader: Identity,
    /// The members at the end of the leader's log.
    pub members: &'a [SeenMember],
    /// Whether the last change of the membership is committed.
    pub is_stable: bool,
    /// A member that is silent for so long is taken for dead.
    pub patience: Nanos,
}

/// Since when a replica has seen, without a break, that it may rejoin.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct RejoinWatch {
    since: Option<Nanos>,
}

impl RejoinWatch {
    /// What the rule says of a look at `now`; `None`: nothing was seen of the cluster.
    pub fn look(
        &mut self,
        now: Nanos,
        seen: Option<&RejoinEvidence<'_>>,
    ) -> Option<Result<Identity, RejoinRefusal>> {
        let seen_for = self.since.map_or(0, |since| now.saturating_sub(since));
        let judged = seen.map(|seen| judge_rejoin(seen, seen_for));
        self.since = match judged {
            Some(Err(RejoinRefusal::TooEarly)) => self.since.or(Some(now)),
            _ => None,
        };
        judged
    }

    /// Whether it sees that it may, and waits for how long that lasts.
    pub fn sees_that_it_may(&self) -> bool {
        self.since.is_some()
    }
}

/// Why a replica does not rejoin now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RejoinRefusal {
    /// Its keys are not those of a replica.
    Unproven,
    /// The membership has no replica of its number.
    NotListed,
    /// The identity that would be replaced lives.
    Alive(Identity),
    /// Of two members both would have to acknowledge the change, the dead one as well.
    TwoMembers,
    /// Another change of the membership is not committed yet.
    ChangePending,
    /// Fewer than a quorum of members is heard.
    NoQuorum,
    /// It was not seen for long enough.
    TooEarly,
}

impl RejoinRefusal {
    /// Whether it may pass without a hand.
    pub fn may_pass(self) -> bool {
        !matches!(self, Self::Unproven | Self::NotListed | Self::TwoMembers)
    }
}

impl fmt::Display for RejoinRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unproven => f.write_str("its keys are not those of a replica"),
            Self::NotListed => f.write_str("the membership has no replica of this number"),
            Self::Alive(identity) => write!(f, "{identity}, whose place it would take, lives"),
            Self::TwoMembers => {
                f.write_str("of two members none is replaced: the dead one would have to agree")
            }
            Self::ChangePending => f.write_str("another change of the membership is not committed yet"),
            Self::NoQuorum => f.write_str("fewer than a quorum of members is heard"),
            Self::TooEarly => f.write_str("the cluster was seen for a moment only"),
        }
    }
}

/// The patience of a replica in operation.
pub const DEAD_NS: Nanos = 2_000_000_000;

/// REJOIN-1: a replica that cannot prove its journal complete gives it up, for a new identity in the place of
/// the member of its number, only where its keys prove that it is a replica, that member has been silent for
/// two seconds and does not lead, there are more than two members, a quorum without it is heard, and no other
/// change is open; all of that was seen for as long without a break. Returns the identity that is replaced.
pub fn judge_rejoin(seen: &RejoinEvidence<'_>, seen_for: Nanos) -> Result<Identity, RejoinRefusal> {
    if !seen.is_proven && !planted(Mutation::RejoinsUnproven) {
        return Err(RejoinRefusal::Unproven);
    }
    let of_number = |member: &&SeenMember| member.identity.replica == seen.replica;
    let Some(dead) = seen.members.iter().find(of_number) else {
        return Err(RejoinRefusal::NotListed);
    };
    let is_alive = |member: &SeenMember| {
        member.identity == seen.leader || member.silent.is_some_and(|silent| silent < seen.patience)
    };
    if is_alive(dead) && !planted(Mutation::RejoinsBesideItself) {
        return Err(RejoinRefusal::Alive(dead.identity));
    }
    if seen.members.len() == 2 {
        return Err(RejoinRefusal::TwoMembers);
    }
    let alive = seen.members.iter().filter(|member| is_alive(member)).count();
    if alive <= seen.members.len() / 2 && !planted(Mutation::RejoinsBelowQuorum) {
        return Err(RejoinRefusal::NoQuorum);
    }
    if !seen.is_stable && !planted(Mutation::RejoinsAtOnce) {
        return Err(RejoinRefusal::ChangePending);
    }
    if seen_for < seen.patience {
        return Err(RejoinRefusal::TooEarly);
    }
    Ok(dead.identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::planted::with_planted;

    const SILENCES: [Option<Nanos>; 3] = [None, Some(DEAD_NS), Some(DEAD_NS - 1)];

    fn identity(replica: u32) -> Identity {
        Identity { replica, incarnation: 7 }
    }

    /// Calls `each` with all evidence of one to five members, of which replica 2 asks.
    fn all_evidence(each: &mut dyn FnMut(&RejoinEvidence<'_>, Nanos)) {
        for count in 1..=5_u32 {
            for silences in 0..3_usize.pow(count) {
                let silent = |at: u32| SILENCES[silences / 3_usize.pow(at) % 3];
                let members: Vec<_> = (0..count)
                    .map(|at| SeenMember { identity: identity(at + 1), silent: silent(at) })
                    .collect();
                for (leader, flags, seen_for) in
                    (1..=count).flat_map(|leader| (0..4).map(move |flags| (leader, flags))).flat_map(
                        |(leader, flags)| [0, DEAD_NS - 1, DEAD_NS].map(|seen_for| (leader, flags, seen_for)),
                    )
                {
                    each(
                        &RejoinEvidence {
                            replica: 2,
                            is_proven: flags & 1 != 0,
                            leader: identity(leader),
                            members: &members,
                            is_stable: flags & 2 != 0,
                            patience: DEAD_NS,
                        },
                        seen_for,
                    );
                }
            }
        }
    }

    /// What must hold where a replica gives up its journal.
    fn is_sound(seen: &RejoinEvidence<'_>, seen_for: Nanos, dead: Identity) -> bool {
        let lives = |member: &&SeenMember| {
            member.identity == seen.leader || matches!(member.silent, Some(silent) if silent < DEAD_NS)
        };
        let living: Vec<_> = seen.members.iter().filter(lives).map(|member| member.identity).collect();
        let listed = seen.members.iter().any(|member| member.identity == dead);
        listed
            && dead.replica == seen.replica
            && !living.contains(&dead)
            && 2 * living.len() > seen.members.len()
            && seen.members.len() > 2
            && seen.is_stable
            && seen.is_proven
            && seen_for >= DEAD_NS
    }

    fn first_unsound() -> Option<String> {
        let mut found = None;
        all_evidence(&mut |seen, seen_for| {
            if let Ok(dead) = judge_rejoin(seen, seen_for)
                && !is_sound(seen, seen_for, dead)
            {
                found.get_or_insert_with(|| format!("{dead}: {seen:?}"));
            }
        });
        found
    }

    #[test]
    fn rejoin_1_a_journal_is_given_up_only_where_the_change_can_follow_and_then_always() {
        assert_eq!(first_unsound(), None);
        let (mut begun, mut refused) = (0, 0);
        all_evidence(&mut |seen, seen_for| match judge_rejoin(seen, seen_for) {
            Ok(_) => begun += 1,
            Err(_) => {
                refused += 1;
                assert!(!is_sound(seen, seen_for, identity(2)), "refused: {seen:?}");
            }
        });
        assert!(begun > 100 && refused > 1_000, "{begun} begun, {refused} refused");
    }

    #[test]
    fn rejoin_1_each_mutation_of_it_is_found() {
        for mutation in [
            Mutation::RejoinsUnproven,
            Mutation::RejoinsBesideItself,
            Mutation::RejoinsBelowQuorum,
            Mutation::RejoinsAtOnce,
        ] {
            assert!(
                with_planted(Some(mutation), first_unsound).is_some(),
                "{mutation:?} is found by nothing"
            );
        }
    }

    #[test]
    fn rejoin_1_what_breaks_off_begins_anew() {
        let members = [1, 2, 3]
            .map(|number| SeenMember { identity: identity(number), silent: (number == 3).then_some(0) });
        let seen = RejoinEvidence {
            replica: 2,
            is_proven: true,
            leader: identity(1),
            members: &members,
            is_stable: true,
            patience: 100,
        };
        let mut watch = RejoinWatch::default();
        let mut looks = |now, seen| (watch.look(now, seen), watch.sees_that_it_may());
        let early = Some(Err(RejoinRefusal::TooEarly));
        assert_eq!(looks(1_000, Some(&seen)), (early, true));
        assert_eq!(looks(1_099, Some(&seen)), (early, true));
        assert_eq!(looks(1_150, None), (None, false));
        let open = RejoinEvidence { is_stable: false, ..seen };
        assert_eq!(looks(1_200, Some(&seen)), (early, true));
        assert_eq!(looks(1_290, Some(&open)), (Some(Err(RejoinRefusal::ChangePending)), false));
        assert_eq!(looks(1_301, Some(&seen)), (early, true));
        assert_eq!(looks(1_401, Some(&seen)), (Some(Ok(identity(2))), false));
    }
}
