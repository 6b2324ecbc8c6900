//! The leader gives its place to another, while the stream goes on.

use super::CommandClient;
use crate::OperationError;
use lockstep_client::internal::leader_of;
use lockstep_wire::{Epoch, Identity};

/// A handover that was ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandedOver {
    /// The replica that leads now.
    pub leader: Identity,
    /// Its epoch.
    pub epoch: Epoch,
    /// Whether it led before, and nothing was done.
    pub led_before: bool,
    /// The one that was to lead, where one was named.
    pub named: Option<Identity>,
}

/// Orders the leader to give its place to the replica `to`, or to whoever holds most, and waits for the next
/// one.
///
/// # Errors
/// `to` is no member, the leader does not take the order, or nobody else leads in time.
pub fn hand_over(operator: &mut CommandClient, to: Option<u32>) -> Result<HandedOver, OperationError> {
    let before = operator.leader()?;
    let named = match to {
        None => None,
        Some(replica) => {
            let listed = before.member(replica).ok_or_else(|| {
                let list: Vec<_> =
                    before.members.iter().map(|listed| listed.member.replica.to_string()).collect();
                OperationError::refused(format_args!(
                    "--to {replica} is no member; there are {}",
                    list.join(", ")
                ))
            })?;
            Some(listed.member.identity())
        }
    };
    if named == Some(before.identity) {
        return Ok(HandedOver { leader: before.identity, epoch: before.accepted, led_before: true, named });
    }
    let left = operator.left();
    operator.order_handover(&before, named, left)?;
    let waited = "the leader was ordered to hand over, and no other replica leads";
    let after = operator.wait(waited, |_, statuses| {
        Ok::<_, OperationError>(leader_of(statuses).filter(|now| now.accepted > before.accepted).cloned())
    })?;
    Ok(HandedOver { leader: after.identity, epoch: after.accepted, led_before: false, named })
}

impl HandedOver {
    /// A replica that was named is to lead; any other one is a failure, although the stream goes on.
    ///
    /// # Errors
    /// Another one leads.
    pub fn check_named(&self) -> Result<(), OperationError> {
        let leads = self.leader;
        match self.named.filter(|to| *to != leads) {
            None => Ok(()),
            Some(to) => Err(OperationError::failed(format_args!(
                "{leads} leads instead of {to}, which did not begin in time; the stream continues. Look at \
                 `lockstep status`, then repeat the command"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_leader_than_the_one_that_was_named_is_a_failure_by_name() {
        let identity = |replica| Identity { replica, incarnation: 1 };
        let led = |named| {
            let (leader, epoch) = (identity(3), Epoch::new(2, identity(3)));
            HandedOver { leader, epoch, led_before: false, named }.check_named()
        };
        assert!(led(None).is_ok() && led(Some(identity(3))).is_ok());
        let text = led(Some(identity(2))).expect_err("replica 3 leads").to_string();
        assert!(text.contains(&format!("{} leads instead of {}", identity(3), identity(2))), "{text}");
    }
}
