//! The publisher of each contestant, without a subscriber beside it.

use super::{Publish, Sent};
use crate::cluster::{Cluster, MESSAGE_LEN};
use crate::plain::Plain;
use crate::scene::Contestant;
use lockstep_client::Publisher;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::PublisherId;
use std::time::Duration;

/// How long the leader may take to know the publisher.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who publishes.
pub trait Speaker {
    /// Publishes a message and sends it at once. Returns whether there was room.
    fn say(&mut self, message: &[u8; MESSAGE_LEN]) -> bool;
    /// One turn of what a publisher hears. Returns the work done.
    fn turn(&mut self) -> usize;
}

/// Opens the publisher of `contestant` and lets it do its work.
pub fn speak(contestant: Contestant, cluster: &Cluster, publish: Publish<'_>) -> Result<Sent, String> {
    if contestant == Contestant::Lockstep {
        let mut publisher =
            Publisher::connect(&cluster.config.endpoint()).map_err(|error| error.to_string())?;
        let id = publisher.open("bench", PATIENCE).map_err(|error| error.to_string())?;
        publish.with(OfLockstep { publisher, id })
    } else {
        // As lockstep's publisher, it is in the groups that tell it of its messages.
        publish.with(OfSocket(Plain::open(&cluster.udp(&[Group::Data, Group::Control]))?))
    }
}

struct OfLockstep {
    publisher: Publisher,
    id: PublisherId,
}

impl Speaker for OfLockstep {
    fn say(&mut self, message: &[u8; MESSAGE_LEN]) -> bool {
        let taken = self.publisher.try_publish(self.id, 0, message).is_ok();
        self.publisher.flush();
        taken
    }

    fn turn(&mut self) -> usize {
        self.publisher.poll(usize::MAX, |_| {})
    }
}

struct OfSocket(Plain);

impl Speaker for OfSocket {
    fn say(&mut self, message: &[u8; MESSAGE_LEN]) -> bool {
        self.0.send_group(Group::Submit, &[Burst { bytes: message, stride: MESSAGE_LEN }]) == 1
    }

    fn turn(&mut self) -> usize {
        self.0.recv_groups()
    }
}
