//! What a command says that reads the stream and cannot read on: why, and what to do.

use super::Failure;
use super::failure::{INTEGRITY, NOT_READY};
use crate::client::{PartsBound, ReplayEnd, SubscriberEvent};
use crate::wire::Seq;

/// The failure that an event means for whoever must have all of the stream; `None` if it goes on. What can be had no
/// more ([`SubscriberEvent::Abandoned`]) is each command's own matter: some begin anew.
pub fn ended(event: &SubscriberEvent<'_>) -> Option<Failure> {
    Some(match *event {
        SubscriberEvent::Refused { why, next } => refused(why, next),
        SubscriberEvent::Diverged { seq } => Failure::new(
            INTEGRITY,
            format!(
                "what was received differs from the cluster's log at seq {seq}: two clusters share one \
                 id, or a replica is damaged; run `lockstep format --verify` on each"
            ),
        ),
        SubscriberEvent::GivenUp { publisher, from, bound } => {
            let raise = match bound {
                PartsBound::Memory(bytes) => format!("subscriber.parts, which is {bytes} bytes"),
                PartsBound::Length(max) => format!("stream.message_len_max, which is {max} bytes"),
            };
            let what = format!(
                "a message of publisher {publisher} that began at seq {from} is not joined: raise {raise}"
            );
            Failure::new(INTEGRITY, what)
        }
        _ => return None,
    })
}

/// Why nothing is delivered from `next` on, and what to do.
fn refused(why: Option<ReplayEnd>, next: Seq) -> Failure {
    let what = why.map_or("no journal can be reached", ReplayEnd::name);
    let (code, hint) = match why {
        Some(ReplayEnd::OtherHistory) => (
            INTEGRITY,
            "the cluster was founded anew since: what was read before and what would be read now are two streams; \
             begin with --from oldest, and forget what was derived from the old one",
        ),
        Some(ReplayEnd::ChainMismatch) => (
            INTEGRITY,
            "what was read before is not what the cluster has committed there (it was read with --stamped, or \
             the cursor is another cluster's); begin with --from oldest",
        ),
        Some(ReplayEnd::Damaged) => {
            (INTEGRITY, "run `lockstep format --verify` on each journal, and replace what is damaged")
        }
        Some(ReplayEnd::Leads) => {
            (NOT_READY, "start a standby or an archiver, or set replay.by_leader = true")
        }
        _ => (
            NOT_READY,
            "start a standby or an archiver; they listen on the port of their unicast address, TCP",
        ),
    };
    Failure::new(code, format!("seq {next} cannot be delivered: {what}; {hint}"))
}
