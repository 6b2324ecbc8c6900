//! Answers of a cluster for the tests of those who judge them.

use lockstep_client::internal::{ActiveCondition, MemberStatus, NodeStatus, QueryResult};
use lockstep_core::engine::event::Role;
use lockstep_core::proto::commit::Durability;
use lockstep_wire::{Condition, Epoch, Identity, MemberBody};
use std::net::SocketAddrV4;
use std::time::Duration;

/// The history of the answers.
pub const HISTORY: u64 = 0xb1;

/// The identity of a replica.
pub fn identity(replica: u32) -> Identity {
    Identity { replica, incarnation: 0x100 + replica }
}

fn address(replica: u32) -> SocketAddrV4 {
    format!("10.0.0.{replica}:7003").parse().expect("an address")
}

/// The answer of replica `number` of `members`; 1 leads, and the last of 49 entries is committed everywhere.
fn status(number: u32, members: u32) -> NodeStatus {
    let member = |replica| MemberStatus {
        member: MemberBody::full(identity(replica), address(replica)),
        acked_next: if number == 1 { 50 } else { 0 },
        last_contact: (number == 1).then_some(Duration::from_millis(1_500)),
    };
    NodeStatus {
        address: address(number),
        identity: identity(number),
        history: HISTORY,
        role: if number == 1 { Role::Leader } else { Role::Standby },
        leader: Some(identity(1)),
        accepted: Epoch::new(3, identity(1)),
        epoch_since: 5,
        epoch_age: None,
        promised: Epoch::new(3, identity(1)),
        accept_next: 50,
        commit_next: 50,
        membership_seq: 1,
        generation: None,
        members: (1..=members).map(member).collect(),
        durability: Durability::Process,
        conditions: Vec::new(),
        agreed: None,
        ways: Vec::new(),
        suspected: None,
        denied: None,
    }
}

/// The answers of a cluster of so many, in which these do not answer.
pub fn cluster(members: u32, silent: &[u32]) -> Vec<QueryResult> {
    let node = |number| QueryResult {
        address: address(number),
        number: Some(number),
        is_archiver: false,
        status: (!silent.contains(&number)).then(|| status(number, members)),
        asker_file: Vec::new(),
    };
    (1..=members).map(node).collect()
}

/// The answer of this replica.
pub fn answer(asked: &mut [QueryResult], number: usize) -> &mut NodeStatus {
    asked[number - 1].status.as_mut().expect("it answers")
}

/// A condition that holds for three seconds.
pub fn active(condition: Condition, a: u64, b: u64) -> ActiveCondition {
    ActiveCondition { condition, age: Duration::from_secs(3), a, b }
}
