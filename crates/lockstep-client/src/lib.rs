//! Publish into a lockstep cluster's stream, and subscribe to it.
//!
//! lockstep is a multicast sequencer: it turns messages of many publishers into one stream, which every
//! subscriber reads in the same order. Your program depends on this crate. It has no thread and no runtime: a
//! [`Publisher`] and a [`Subscriber`] do their work when they are polled. A [`Participant`] is both on one
//! device, for a program that publishes and reads in one thread. All three are a [`StreamHandle`], which has
//! the calls of each half once.
//!
//! # Publish, subscribe, resume
//!
//! The program publishes a message, reads the stream until it is delivered, and prints the cursor with which
//! another run continues. It needs a running cluster: `lockstep dev` runs one on loopback and prints its
//! file, `docs/DEPLOY.md` founds one on three hosts. The addresses below are those of `configs/demo.toml`;
//! `lockstep dev` draws others at each start, and a program finds them by `Endpoint::from_env()` (feature
//! `config`).
//!
//! ```no_run
//! use lockstep_client::{Cursor, Delivery, EVERYBODY, Endpoint, Publisher, PublisherEvent, Start, Subscriber,
//! SubscriberEvent}; use std::net::{Ipv4Addr, SocketAddrV4};
//! use std::ops::ControlFlow;
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // With the feature `config`: let endpoint = Endpoint::from_env()?;
//!     let group = |last| Ipv4Addr::new(239, 77, 1, last);
//!     let endpoint = Endpoint::builder()
//!         .cluster(1)
//!         .key_file("/etc/lockstep/keys/publisher.keys")
//!         .interface("lo")
//!         .ttl(0)
//!         .groups([group(1), group(2), group(3)], 7700)
//!         .member(1, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7701))
//!         .member(2, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7702))
//!         .member(3, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7703))
//!         .build()?;
//!     let start = match std::env::args().nth(1) {
//!         Some(cursor) => Start::Cursor(cursor.parse::<Cursor>()?), // what an earlier run printed
//!         None => Start::From(1),
//!     };
//!     let mut subscriber = Subscriber::connect(&endpoint, Delivery::Committed, start)?;
//!     let mut publisher = Publisher::connect(&endpoint)?;
//!     let orders = publisher.open("orders", Duration::from_secs(5))?;
//!     let number = publisher.try_publish(orders, EVERYBODY, b"buy 100 at 42")?;
//!     let mut delivered = false;
//!     while !delivered {
//!         let work = publisher.poll(64, |event| {
//!             if let PublisherEvent::Committed { seq, .. } = event {
//!                 println!("committed at seq {seq}");
//!             }
//!         }) + subscriber.poll(64, |event| {
//!             if let SubscriberEvent::Message(message) = event {
//!                 println!("{}: {}", message.seq, String::from_utf8_lossy(message.payload));
//!                 delivered |= (message.publisher, message.publisher_seq) == (orders, number);
//!             }
//!             ControlFlow::Continue(())
//!         });
//!         if work == 0 {
//!             subscriber.wait(Duration::from_millis(1))?;
//!         }
//!     }
//!     println!("resume with {}", subscriber.cursor().expect("it has begun"));
//!     Ok(())
//! }
//! ```
//!
//! The guide
//! [`docs/APPLICATION.md`](https://github.com/lockstep-sequencer/lockstep/blob/main/docs/APPLICATION.md)
//! continues from here: state with snapshots, outputs that are published once, gateways, threads, waiting,
//! async.
//!
//! # When the leader changes
//!
//! Handles find the new leader by themselves; nothing is reconnected. A `committed` subscriber receives
//! [`SubscriberEvent::Epoch`] at its place in the stream and nothing else. A `stamped` one may receive
//! [`SubscriberEvent::Retract`] first: everything from that seq on is void, and the stream continues there.
//! [`SubscriberEvent::Committed`] bounds what it must be able to undo. A publisher resends what the new
//! leader's log lacks. Each message has one outcome: [`PublisherEvent::Committed`],
//! [`PublisherEvent::Fenced`] or [`PublisherEvent::Closed`]. A reported place may be lost by
//! [`PublisherEvent::Unstamped`] before that.
//!
//! # Where a subscription begins
//!
//! [`Start::From`] begins at a seq, [`Start::Oldest`] at the oldest that a journal stores,
//! [`Start::Cursor`] at the position of an earlier subscription. Entries that replicas no longer have in
//! memory are read from a journal over TCP ([`SubscriberEvent::Replaying`]); live entries follow without a
//! hole or a repeat ([`SubscriberEvent::CaughtUp`]). A subscription that falls behind does the same by
//! itself. Replayed entries are committed and never retracted.
//!
//! [`Start::Live`] begins at the end of the log as it is at the first heartbeat that a poll receives, and not
//! when the handle is made. A program that publishes before its first poll never reads that message.
//! [`Subscriber::begin`] polls until the position is known.
//!
//! [`Subscriber::cursor`] names history, seq and chain; against another stream it is refused
//! ([`SubscriberEvent::Refused`]). A [`CursorFile`] stores it for the next start of the program.
//!
//! # Forks
//!
//! A handle belongs to the process that made it. In a child of a fork it refuses to publish
//! ([`PublishError::OtherProcess`]), to open a name and to wait, as both processes would go on with the same
//! numbers; a poll or a flush does nothing there. An [`Endpoint`] is inherited.
//!
//! # Units
//!
//! Times in fields are nanoseconds ([`Nanos`]): of the monotonic clock where they are called `now`, since the
//! Unix epoch where they are timestamps. Watermarks are exclusive bounds and called `…_next`. Seqs count from
//! 1.
//!
//! # Features
//!
//! * `config`: `Endpoint::from_env` and `Endpoint::from_file` read the cluster's file; adds a TOML parser.
//! * `attested`: `AttestedSubscriber` delivers what a notary has signed; adds ed25519.
//! * `status`: for the programs of this repository, the status of a cluster as one value; adds serde.
//! * `tokio`: `AsyncParticipant`, `AsyncPublisher` and `AsyncSubscriber` are awaited; adds tokio.
//! * `tracing`: devices write what they do to `tracing` as well as to their counters.

#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(feature = "attested")]
mod attested;
mod builder;
#[cfg(feature = "status")]
mod cluster_nodes;
#[cfg(feature = "status")]
mod cluster_status;
mod conditions;
#[cfg(feature = "config")]
mod config;
mod counted;
mod cursor_file;
mod digest;
mod endpoint;
mod halves;
mod handle;
mod health;
mod latency;
mod open;
mod participant;
mod paths;
mod publisher;
mod queries;
mod replay;
mod request;
mod sleep;
mod status;
mod subscriber;

#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncParticipant, AsyncPublisher, AsyncSubscriber};
#[cfg(feature = "attested")]
pub use attested::{AttestationEnd, AttestedSubscriber};
pub use builder::{EndpointBuilder, EndpointError};
pub use counted::Counted;
pub use cursor_file::CursorFile;
pub use digest::StreamDigest;
pub use endpoint::Endpoint;
pub use handle::StreamHandle;
#[cfg(feature = "config")]
pub use lockstep_config::{Config, ConfigErrors};
pub use lockstep_core::engine::counters::{CounterKind, CounterRow, Counters};
pub use lockstep_core::engine::losses::Losses;
pub use lockstep_core::engine::outputs::{Divergence, Outputs, OutputsEnd};
pub use lockstep_core::engine::participant::ParticipantEvent;
pub use lockstep_core::engine::parts::PartsBound;
pub use lockstep_core::engine::publisher::{OpenRefusal, Outcomes, PublishError, PublisherEvent};
pub use lockstep_core::engine::receiver::Start;
pub use lockstep_core::engine::subscriber::{Delivery, Message, SubscriberEvent};
pub use lockstep_io::IoError;
pub use lockstep_io::idle::Idle;
#[cfg(feature = "attested")]
pub use lockstep_notary::{Forged, NotaryKey, parse_notaries};
pub use lockstep_wire::{
    CHANNELS, Cursor, DayMark, Destination, EVERYBODY, EntryKind, Epoch, Nanos, OperatorOrder, OrderBody,
    OrderView, PublisherId, PublisherSeq, RepairReject, ReplayEndReason, Seq,
};
pub use open::OpenError;
pub use participant::Participant;
pub use publisher::Publisher;
pub use request::RequestError;
pub use subscriber::Subscriber;

/// For the programs of this repository: queries of nodes, their status, and the cluster's health. It may
/// change in any release.
#[doc(hidden)]
pub mod internal {
    #[cfg(feature = "status")]
    pub use crate::cluster_nodes::{ClusterNodes, LogVersion};
    #[cfg(feature = "status")]
    pub use crate::cluster_status::{ClusterStatus, ListedMember};
    pub use crate::conditions::ActiveCondition;
    pub use crate::counted::{handle_counters, participant_counters};
    pub use crate::health::{ClusterHealth, Health, HealthCause, LINE_MAX, QueryResult, Reason};
    pub use crate::paths::{LostPath, LostWay, lost_paths};
    pub use crate::queries::{NodeEvents, NodeRelease, NodeState, NodeTimes, QueryClient};
    pub use crate::status::{MemberStatus, NodeStatus, RejectedCommand, SuspectedLeader, leader_of};
    pub use lockstep_core::engine::publisher::PublisherCore;
    pub use lockstep_core::engine::unfinished::Unfinished;
    pub use lockstep_core::proto::parts::PARTS_BOUNDS;
    pub use lockstep_io::made_in::{ELSEWHERE, MadeIn};
}

/// The code of the guide compiles.
#[cfg(all(doctest, feature = "config"))]
#[doc = include_str!("../../../docs/APPLICATION.md")]
struct Guide;

/// So does the code of a primary and its backups.
#[cfg(all(doctest, feature = "config"))]
#[doc = include_str!("../../../docs/LAB.md")]
struct PrimaryAndBackups;

/// What the compiler refuses, so that no handle answers it: a call within a callback of the same handle, one
/// beside that of another thread, and one behind its end.
///
/// ```compile_fail,E0501
/// fn nested(handle: &mut lockstep_client::Publisher) {
///     handle.poll(64, |_| {
///         handle.poll(64, |_| {});
///     });
/// }
/// ```
/// ```compile_fail,E0499
/// fn beside(handle: &mut lockstep_client::Publisher) {
///     std::thread::scope(|scope| {
///         let other = scope.spawn(|| handle.flush());
///         handle.flush();
///         other.join()
///     });
/// }
/// ```
/// ```compile_fail,E0382
/// fn behind_its_end(mut handle: lockstep_client::Publisher) {
///     drop(handle);
///     handle.flush();
/// }
/// ```
/// ```compile_fail,E0505
/// fn closed_in_its_callback(mut handle: lockstep_client::Publisher) {
///     handle.poll(64, |_| drop(handle));
/// }
/// ```
#[cfg(doctest)]
struct Misuses;
