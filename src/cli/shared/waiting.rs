//! The line of a command that has waited in vain: which replicas answer, in which role, and what to do.

use lockstep_client::Endpoint;
use lockstep_client::internal::QueryClient;
use lockstep_core::engine::event::Role;
use lockstep_daemon::config::Config;
use lockstep_daemon::ended::{READS_BY_GROUPS, READS_BY_UNICAST};
use lockstep_wire::{Nanos, Seq};
use std::time::Duration;

/// How long the nodes may take to answer.
const QUERY_FOR: Duration = Duration::from_millis(300);

/// The time since a reader last delivered an entry.
#[derive(Debug)]
pub struct Stall {
    next: Seq,
    since: Nanos,
}

impl Stall {
    /// It begins now.
    pub fn new(now: Nanos) -> Self {
        Self { next: 0, since: now }
    }

    /// The reader delivers `next` next. Returns for how long that has been so.
    pub fn look(&mut self, next: Seq, now: Nanos) -> Duration {
        if next > self.next {
            *self = Self { next, since: now };
        }
        Duration::from_nanos(now - self.since)
    }
}

/// One line about the replicas as they answer now, with what to do.
pub fn explain(config: &Config, endpoint: &Endpoint) -> String {
    let addresses: Vec<_> = config.replicas.iter().map(|replica| replica.unicast).collect();
    let Ok(mut questioner) = QueryClient::open(endpoint) else {
        return String::from("the replicas cannot be asked");
    };
    let answers = questioner.nodes(&addresses, QUERY_FOR);
    let roles: Vec<_> = answers.iter().map(|answer| answer.map(|state| state.role)).collect();
    let states: Vec<String> = config
        .replicas
        .iter()
        .zip(&roles)
        .map(|(replica, role)| format!("{} {}", replica.id, role.map_or("does not answer", Role::name)))
        .collect();
    let is = |role: Role| roles.contains(&Some(role));
    let advice = if roles.iter().all(Option::is_none) {
        "start the sequencers, and check that their addresses are these"
    } else if is(Role::Leader) {
        "there is a leader: either no quorum acknowledges, or its groups are not received on this interface"
    } else if is(Role::Standby) {
        "no replica leads: a quorum of the replicas must run and reach each other, then one of them takes \
         over by itself"
    } else {
        "no replica holds a history yet: run `lockstep bootstrap` on one of them"
    };
    format!("replicas: {}; {advice}", states.join(", "))
}

/// Lines on stderr about the groups of a reader or publisher.
pub fn report_multicast(lost: bool) {
    eprintln!("{}", if lost { READS_BY_UNICAST } else { READS_BY_GROUPS });
}
