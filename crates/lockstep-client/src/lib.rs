//! # client: handles for applications
//!
//! A [`Publisher`] and a [`Subscriber`] on the kernel's UDP: poll-style, one thread each, no thread of
//! their own, nothing allocated after they have begun. The rules are the engine's.
//!
//! Between two polls that found nothing a thread sleeps by [`Publisher::wait`] or [`Subscriber::wait`], which a
//! datagram ends; who has a loop of its own watches [`Subscriber::sockets`] and polls again after
//! [`Subscriber::due`] at the latest; who spins calls `poll` alone.
//!
//! ```no_run
//! use lockstep_client::{Endpoint, Publisher, PublisherEvent};
//! use std::error::Error;
//! use std::time::Duration;
//!
//! fn publish(endpoint: &Endpoint) -> Result<(), Box<dyn Error>> {
//!     let mut publisher = Publisher::connect(endpoint)?;
//!     let orders = publisher.open("orders", Duration::from_secs(1))?;
//!     publisher.try_publish(orders, 0, b"buy 100 at 42")?;
//!     while !publisher.is_drained() {
//!         let work = publisher.poll(64, |event| {
//!             if let PublisherEvent::Committed { seq, .. } = event {
//!                 println!("its place is {seq}");
//!             }
//!         });
//!         if work == 0 {
//!             publisher.wait(Duration::from_millis(10))?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # When the leader changes
//!
//! Handles find the new leader by themselves: there is nothing to reconnect. A `committed` subscriber hears
//! of it by [`SubscriberEvent::Epoch`] at its place in the stream and by nothing else. A `stamped` one may
//! be told [`SubscriberEvent::Retract`] first: forget what came from that seq on, it goes on from there.
//! It is always told how far the stream is final ([`SubscriberEvent::Committed`]), so it knows what it
//! must be able to undo. A publisher sends again what has no place in the new leader's log; each message
//! has one fate, [`PublisherEvent::Committed`], [`PublisherEvent::Fenced`] or [`PublisherEvent::Closed`],
//! and a place that was told before may be lost by [`PublisherEvent::Unstamped`] on the way there.
//!
//! # Coming late, and coming back
//!
//! [`Start::From`] begins with any seq, [`Start::Oldest`] with the oldest that a journal holds. What replicas
//! have in memory is repaired; what they have not is read from a journal over TCP
//! ([`SubscriberEvent::Replaying`]), and live goes on behind it without a hole or a repeat
//! ([`SubscriberEvent::CaughtUp`]). A subscription that falls behind does the same by itself. What is read
//! from a journal is committed, so nothing of it is ever retracted.
//!
//! [`Subscriber::cursor`] is a place to come back to by [`Start::Cursor`]: it names history, seq and chain, and
//! against another stream it is refused ([`SubscriberEvent::Refused`]).
//!
//! # Applications: what is published once
//!
//! An application whose publishing follows from what it reads keeps it in [`Outputs`]: copies of it may run at the same
//! time, start late, die, and begin again from the stream's beginning or from a snapshot, and each output is stamped
//! once. `docs/APPLICATIONS.md` has the pattern, `examples/application.rs` runs it.

#![forbid(unsafe_code)]

mod conditions;
mod counted;
mod digest;
mod endpoint;
mod health;
mod publisher;
mod questions;
mod sleep;
mod status;
mod subscriber;

pub use conditions::ActiveCondition;
pub use counted::{Counted, PUBLISHER as PUBLISHER_COUNTERS, SUBSCRIBER as SUBSCRIBER_COUNTERS};
pub use digest::StreamDigest;
pub use endpoint::Endpoint;
pub use health::{ClusterHealth, Health, QueryResult, Reason};
pub use lockstep_core::engine::outputs::{Divergence, Outputs, OutputsEnd};
pub use lockstep_core::engine::parts::PartsBound;
pub use lockstep_core::engine::publisher::{PublishError, PublisherEvent};
pub use lockstep_core::engine::receiver::Start;
pub use lockstep_core::engine::subscriber::{Delivery, Flow, Message, SubscriberEvent};
pub use lockstep_wire::{Cursor, ReplayEndReason};
pub use publisher::{OpenError, Publisher};
pub use questions::{NodeState, QueryClient};
pub use status::{MemberStatus, NodeStatus, RejectedCommand, SuspectedLeader, leader_of};
pub use subscriber::Subscriber;
