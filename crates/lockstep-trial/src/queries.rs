//! What the replicas of a trial say of themselves, asked until it is so.

use lockstep_client::Endpoint;
use lockstep_client::internal::{NodeState, QueryClient};
use lockstep_core::engine::event::Role;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::NOT_READY;
use lockstep_io::IoError;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// Between two rounds of queries.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks the replicas of a cluster, number 1 first.
pub struct ReplicaQueries {
    /// What asks.
    pub client: QueryClient,
    replicas: Vec<SocketAddrV4>,
    /// How long a round waits for the last answer.
    round: Duration,
}

impl ReplicaQueries {
    /// Asks the replicas of `endpoint`; each round waits so long for the last answer.
    ///
    /// # Errors
    /// No socket is to be had.
    pub fn open(endpoint: &Endpoint, round: Duration) -> Result<Self, IoError> {
        let client = QueryClient::open(endpoint)?;
        Ok(Self { client, replicas: endpoint.replicas().to_vec(), round })
    }

    /// One round: what each says, if it does.
    pub fn ask(&mut self) -> Vec<Option<NodeState>> {
        self.client.nodes(&self.replicas, self.round)
    }

    /// Asks until `found` of the answers; `alive` fails if a process has ended. `late` says of the last
    /// answers what did not come to be in time.
    ///
    /// # Errors
    /// That of `alive`, or what `late` says.
    pub fn until<T>(
        &mut self,
        patience: Duration,
        mut alive: impl FnMut() -> Result<(), Failure>,
        mut found: impl FnMut(&[Option<NodeState>]) -> Option<T>,
        late: impl FnOnce(&[Option<NodeState>]) -> String,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        loop {
            let states = self.ask();
            if let Some(found) = found(&states) {
                return Ok(found);
            }
            alive()?;
            if began.elapsed() > patience {
                return Err(Failure::new(NOT_READY, late(&states)));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// What a replica says of itself, in words.
pub fn words(state: Option<&NodeState>) -> String {
    state.map_or_else(
        || "does not answer".to_owned(),
        |NodeState { role, accepted, accept_next, commit_next, .. }| {
            format!("{} in epoch {accepted}, holds up to {accept_next}, commit {commit_next}", role.name())
        },
    )
}

/// The leader, as the newest of the epochs that are led.
pub fn leader(states: &[Option<NodeState>]) -> Option<&NodeState> {
    let led = states.iter().flatten().filter(|state| state.role == Role::Leader);
    led.max_by_key(|state| state.accepted)
}

/// The leader, if all others follow it and lack no more than so many entries.
pub fn leader_of_whole(states: &[Option<NodeState>], behind_max: u64) -> Option<&NodeState> {
    let leader = leader(states)?;
    let follows = |state: &NodeState| {
        state.accepted == leader.accepted
            && (state.role == Role::Standby || state.identity == leader.identity)
            && state.accept_next.saturating_add(behind_max) >= leader.accept_next
    };
    states.iter().all(|state| state.as_ref().is_some_and(follows)).then_some(leader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::{Epoch, Identity};
    use std::net::Ipv4Addr;

    fn state(replica: u32, role: Role, epoch: u64, accept_next: u64) -> Option<NodeState> {
        Some(NodeState {
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            identity: Identity { replica, incarnation: 1 },
            history: 1,
            accepted: Epoch(epoch << 8),
            accept_next,
            commit_next: accept_next,
            role,
        })
    }

    fn number(found: Option<&NodeState>) -> Option<u32> {
        found.map(|leader| leader.identity.replica)
    }

    #[test]
    fn all_are_whole_where_one_leads_and_the_others_follow_it_closely() {
        use Role::{Leader, Learner, Standby};
        let of = |second, third| [state(1, Leader, 2, 100), second, third];
        let whole = of(state(2, Standby, 2, 100), state(3, Standby, 2, 90));
        assert_eq!(number(leader_of_whole(&whole, 10)), Some(1));
        assert_eq!(number(leader_of_whole(&whole, 9)), None, "one is behind");
        assert_eq!(number(leader_of_whole(&whole, u64::MAX)), Some(1));
        for other in [None, state(3, Standby, 1, 100), state(3, Learner, 2, 100), state(3, Leader, 1, 100)] {
            let states = of(state(2, Standby, 2, 100), other);
            assert_eq!(number(leader_of_whole(&states, 10)), None, "{other:?}");
            assert_eq!(number(leader(&states)), Some(1));
        }
        assert_eq!(number(leader(&of(state(2, Leader, 3, 100), None))), Some(2), "the newer epoch");
        assert_eq!(words(None), "does not answer");
    }
}
