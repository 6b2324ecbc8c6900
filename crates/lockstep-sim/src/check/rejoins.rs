//! REJOIN-1: what the process of a replica had seen when it gave its journal up. The judge has the leader's
//! last status as it was sent, and knows what the keys at the node are; the rule is worked out anew from
//! both.

use super::Violation;
use lockstep_wire::{Identity, Nanos, Seq};

/// What was known when a journal was given up.
#[derive(Clone, Debug)]
pub struct RejoinClaim {
    /// The replica's number.
    pub replica: u32,
    /// Whether the node has a replica's keys.
    pub has_keys: bool,
    /// The sender of the status, who led.
    pub leader: Identity,
    /// The members in it, and how long ago each sent something; `None`: never in this epoch.
    pub members: Vec<(Identity, Option<Nanos>)>,
    /// The seq of the last change of the members in it.
    pub changed_at: Seq,
    /// Everything below was committed by it.
    pub commit_next: Seq,
    /// Silence of so long is death.
    pub death: Nanos,
}

impl RejoinClaim {
    /// Whether the journal could be given up.
    pub fn check(&self) -> Result<(), Violation> {
        let broken = |why: &str| Err(format!("REJOIN-1: a journal is given up {why}: {self:?}"));
        let lives = |(who, ago): &(Identity, Option<Nanos>)| {
            *who == self.leader || ago.is_some_and(|ago| ago < self.death)
        };
        let (dead, others): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|(who, _)| who.replica == self.replica);
        if !self.has_keys {
            return broken("without the keys of a replica");
        }
        if dead.len() != 1 || dead.into_iter().any(lives) {
            return broken("beside an identity of the same replica that lives, or for none");
        }
        if 2 * others.iter().filter(|one| lives(one)).count() <= self.members.len() || others.len() < 2 {
            return broken("where no quorum would carry the change");
        }
        if self.changed_at >= self.commit_next {
            return broken("while another change of the members is open");
        }
        Ok(())
    }
}
