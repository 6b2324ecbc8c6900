//! The checkers: an oracle outside the system that sees every log, every datagram and every delivery.
//! It knows the rules as sentences, not the code that keeps them.
//!
//! * [`facts`] is what all checkers read, [`Oracle`] the facts and the checkers, each with its own state.
//! * [`log_tree`] holds every frame that was ever stamped: S1, S5's start, S8 in every single log.
//! * [`reference_model`] counts for itself what is committed, from what replicas really store: S4, S5, S6.
//! * `replicas` watches logs and promises, `datagrams` what is sent of them: S1, S2, S3, S7, S9, S11.
//! * `answers` watches the contents of datagrams beside the protocol: heartbeats, statuses, replies, results
//!   of commands, notices.
//! * `events` watches the events of readers, publishers and operators, and that each is reported once.
//! * `tables` folds each replica's log anew: S8.
//! * `views` watches how readers go from leader to leader and from membership to membership: primary order,
//!   view synchrony.
//! * `rejoins` judges what a replica had seen that gave its journal up: REJOIN-1.
//! * `facts::founding` knows which history is an ancestor, and what it had: LINEAGE-1, LINEAGE-3;
//!   `clients::lineage` watches who goes over to the new one: LINEAGE-2.
//! * `clients` watches what is delivered and which outcomes are reported: S10 and the four promises.

mod answers;
mod clients;
pub mod clocks;
mod datagrams;
mod events;
pub mod facts;
pub mod log_tree;
pub mod reference_model;
mod rejoins;
mod replicas;
mod tables;
pub mod views;

pub use clients::ClientCheck;
pub use datagrams::{DatagramCheck, SentDatagram};
pub use events::{EventJudge, ReportedEvent};
pub use facts::{OracleFacts, ReportedFounding};
pub use rejoins::RejoinClaim;
pub use replicas::LogCheck;
pub use tables::TableCheck;

use crate::coverage::Event;
use facts::Founded;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_core::proto::commit::Durability;
use lockstep_replica::journal::Tail;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_wire::{Cursor, Identity, PublisherId, PublisherSeq, Seq};
use reference_model::ReferenceModel;

/// The violation, in words, with the rule's id in front.
pub type Violation = String;

/// A message: its publisher, its number, and a digest of its payload.
pub type MessageKey = (PublisherId, PublisherSeq, u64);

/// FNV-1a: enough to tell payloads apart in a test.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// A family of rules: its state, and what it is informed of. What it does not care about it leaves out.
pub(crate) trait Check {
    /// A process begins at a node: what its predecessor has reported binds it no more.
    fn on_start(&mut self, _who: usize) {}

    /// A process sends a datagram.
    fn on_datagram(
        &mut self,
        _facts: &mut OracleFacts,
        _who: usize,
        _sent: &SentDatagram<'_>,
    ) -> Result<(), Violation> {
        Ok(())
    }

    /// A process reports an event.
    fn on_event(
        &mut self,
        _facts: &mut OracleFacts,
        _who: usize,
        _event: &ReportedEvent<'_>,
    ) -> Result<(), Violation> {
        Ok(())
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// The facts that all of them read.
    pub facts: OracleFacts,
    /// Logs and promises.
    pub logs: LogCheck,
    /// The datagrams.
    pub datagrams: DatagramCheck,
    /// The events.
    pub events: EventJudge,
    /// Deliveries and outcomes.
    pub clients: ClientCheck,
    /// The tables that replicas make of their logs.
    pub tables: TableCheck,
}

impl Oracle {
    /// The facts, and the checkers that are informed of more than what concerns them alone.
    fn all(&mut self) -> (&mut OracleFacts, [&mut dyn Check; 3]) {
        let Self { facts, datagrams, events, tables, .. } = self;
        (facts, [datagrams, events, tables])
    }

    /// A process sends a datagram.
    pub fn on_datagram(&mut self, who: usize, sent: &SentDatagram<'_>) -> Result<(), Violation> {
        let (facts, mut all) = self.all();
        all.iter_mut().try_for_each(|check| check.on_datagram(facts, who, sent))
    }

    /// A process reports an event.
    pub fn on_event(&mut self, who: usize, event: &ReportedEvent<'_>) -> Result<(), Violation> {
        let (facts, mut all) = self.all();
        all.iter_mut().try_for_each(|check| check.on_event(facts, who, event))
    }

    fn on_start(&mut self, who: usize) {
        let (_, mut all) = self.all();
        all.iter_mut().for_each(|check| check.on_start(who));
    }

    /// A replica's process begins, as the `run`th of all, with this durability and this log.
    pub fn on_replica_started(
        &mut self,
        who: usize,
        (identity, run): (Identity, u64),
        found: (Durability, &Tail<MemoryTail>),
        memory_survived: bool,
    ) -> Result<(), Violation> {
        self.on_start(who);
        self.logs.on_replica_started(&mut self.facts, who, identity, run, found, memory_survived)
    }

    /// A publisher's process begins.
    pub fn on_publisher_started(&mut self, who: usize) {
        self.on_start(who);
        self.clients.on_publisher_started(&mut self.facts, who);
    }

    /// A subscriber's process begins with `from`, or live.
    pub fn on_subscriber_started(
        &mut self,
        who: usize,
        delivery: Delivery,
        from: Option<Seq>,
        cursor: Option<Cursor>,
    ) {
        self.clients.on_subscriber_started(who, delivery, from, cursor);
        self.events.on_subscriber_started(who, delivery);
    }

    /// The operator has founded a history.
    pub fn on_founding(&mut self, founder: Identity, report: &ReportedFounding) -> Result<(), Violation> {
        let Some(tip) = self.facts.known_end(report.end.next, report.end.chain) else {
            return Err(format!(
                "LINEAGE-3: {:x} is founded on {:?}, which nobody stamped",
                report.history, report.end
            ));
        };
        let loses = !self.facts.tree.begins_with(Some(tip), self.facts.reference.tip());
        if loses && report.says_all {
            return Err(format!(
                "RECOVER: the look said that nothing is missing behind {}, and all below {} was committed",
                report.end.next,
                self.facts.commit_next()
            ));
        }
        self.facts.coverage.count(Event::Foundings);
        if loses {
            self.facts.coverage.count(Event::FoundingsLoseCommitted);
        }
        self.clients.on_founding(report.end.next);
        let ancestor =
            std::mem::replace(&mut self.facts.reference, ReferenceModel::founded(&self.facts.tree, tip));
        self.facts.founding = Some(Founded::new(report, founder, tip, ancestor));
        Ok(())
    }
}
