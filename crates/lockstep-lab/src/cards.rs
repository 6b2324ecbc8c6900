//! The protocols of the texts, a file each.

mod acks;
mod best_effort;
mod causal_no_wait;
mod causal_waiting;
mod consistent_echo;
mod fixed_sequencer;
mod hierarchical;
mod paxos;
mod reliable_eager;
mod reliable_lazy;
mod two_phase_commit;
mod uniform_all_ack;
mod uniform_hierarchical;
mod uniform_majority;

pub use best_effort::BestEffort;
pub use causal_no_wait::CausalNoWait;
pub use causal_waiting::CausalWaiting;
pub use consistent_echo::ConsistentEcho;
pub use fixed_sequencer::FixedSequencer;
pub use hierarchical::Hierarchical;
pub use paxos::Paxos;
pub use reliable_eager::ReliableEager;
pub use reliable_lazy::ReliableLazy;
pub use two_phase_commit::TwoPhaseCommit;
pub use uniform_all_ack::UniformAllAck;
pub use uniform_hierarchical::UniformHierarchical;
pub use uniform_majority::UniformMajority;

use crate::check::{Catalogue, Entry};
use crate::vocabulary::Value;

/// All of them, in the order of the tour.
pub static ALL: Catalogue = Catalogue(&[
    Entry::of::<BestEffort<Value>>(),
    Entry::of::<ReliableLazy<Value>>(),
    Entry::of::<ReliableEager<Value>>(),
    Entry::of::<UniformAllAck<Value>>(),
    Entry::of::<UniformMajority<Value>>(),
    Entry::of::<CausalNoWait<Value>>(),
    Entry::of::<CausalWaiting<Value>>(),
    Entry::of::<FixedSequencer<Value>>(),
    Entry::of::<Hierarchical<Value>>(),
    Entry::of::<UniformHierarchical<Value>>(),
    Entry::of::<TwoPhaseCommit>(),
    Entry::of::<ConsistentEcho>(),
    Entry::of::<Paxos>(),
]);
