//! Which coordinator publishes first.

use crate::config::{Config, CoordinatorConfig};
use lockstep_wire::Epoch;
use std::net::Ipv4Addr;

/// How many coordinators publish a cut before the one with this number: those on the host of the home
/// stream's leader come first, then each in the order of the numbers. All of them compute the same ranks, as
/// the epoch names the leader.
pub fn rank(home: &Config, coordinators: &[CoordinatorConfig], id: u32, epoch: Epoch) -> u32 {
    let leader = home.replica(epoch.leader().replica).ok().map(|replica| *replica.unicast.ip());
    let is_beside = |host: Ipv4Addr| leader.is_some_and(|leader| leader == host || leader.is_loopback());
    let mut order: Vec<_> = coordinators.iter().map(|one| (!is_beside(one.host), one.id)).collect();
    order.sort_unstable();
    let place = order.iter().position(|(_, other)| *other == id);
    place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::Identity;
    use std::path::Path;

    const SET: &str = r#"profile = "shared"
[[coordinators]]
id = 1
host = "10.0.0.1"
[[coordinators]]
id = 2
host = "10.0.0.2"
[[coordinators]]
id = 3
host = "10.0.0.9"
[[streams]]
name = "orders"
cluster = 7
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "e0"
[[replicas]]
id = 1
unicast = "10.0.0.1:7701"
journal = "/j/1"
[[replicas]]
id = 2
unicast = "10.0.0.2:7701"
journal = "/j/2"
"#;

    #[test]
    fn the_one_beside_the_home_streams_leader_is_first_and_the_others_follow_by_number() {
        let home = Config::parse(Path::new("c.toml"), SET, &[Config::choice_of_stream("orders")]).unwrap();
        let coordinators = &home.set.as_ref().unwrap().coordinators;
        let ranks = |epoch| [1, 2, 3].map(|id| rank(&home, coordinators, id, epoch));
        let led_by = |replica| Epoch::new(1, Identity { replica, incarnation: 1 });
        assert_eq!(ranks(led_by(1)), [0, 1, 2]);
        assert_eq!(ranks(led_by(2)), [1, 0, 2]);
        assert_eq!(ranks(Epoch::NONE), [0, 1, 2], "without a leader by number");
    }
}
