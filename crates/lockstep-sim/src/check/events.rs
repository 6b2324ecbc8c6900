//! The events of readers, publishers and operators: each event names the right place, is true, and is
//! reported once. A new kind of event without a check here does not compile.

use super::facts::OracleFacts;
use super::log_tree::Fact;
use super::reference_model::ReferenceModel;
use super::views::{ReaderViews, ViewPassages};
use super::{Check, Violation};
use lockstep_core::engine::event::{ReplicaEvent as NodeEvent, Role};
use lockstep_core::engine::parts::PartsBound;
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEvent};
use lockstep_core::proto::parts::PARTS_BOUNDS;
use lockstep_core::proto::publishers::PublisherState;
use lockstep_wire::{
    Condition, Epoch, LeaderLossReason, MEMBERS_MAX, PublisherId, RepairReject, Seq, VERSION_MIN,
};
use std::collections::{BTreeMap, BTreeSet};

/// The events of a subscriber's process so far, beside messages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct EventCheck {
    delivery: Option<Delivery>,
    /// The first seq that was reported, and the next one.
    reported: Option<(Seq, Seq)>,
    /// A leadership was reported at this seq: its members follow.
    begun_at: Seq,
    committed: Seq,
    multicast_lost: bool,
    ended: bool,
    views: ReaderViews,
}

/// The events of a publisher's process so far, beside outcomes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ReportedEvents {
    multicast_lost: bool,
    /// Whether a leader has answered it by unicast.
    is_beaten: bool,
    throttled: bool,
    lost: bool,
    /// Numbers with a reported place that was not retracted.
    stamped: BTreeSet<(PublisherId, u64)>,
}

/// Conditions that only a leader checks: a leader that steps down drops them without an event.
const OF_LEADERS: [Condition; 4] =
    [Condition::Exposed, Condition::RedundancyLost, Condition::PublishersNearlyFull, Condition::ReaderAhead];

/// The events that a replica's process has reported to its operator.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Log {
    role: Option<Role>,
    conditions: BTreeSet<Condition>,
    history: Option<u64>,
}

/// The rules of events, by what was reported to each process before.
#[derive(Clone, Debug, Default)]
pub struct EventJudge {
    /// The events reported to each subscriber, ...
    ears: BTreeMap<usize, EventCheck>,
    /// ... to each publisher, ...
    reported: BTreeMap<usize, ReportedEvents>,
    /// ... and by each replica to its operator.
    logs: BTreeMap<usize, Log>,
    /// The passages of all readers from one view to another.
    pub(super) passages: ViewPassages,
    /// Epochs whose leaders' watchers have announced a death.
    announced_dead: BTreeSet<Epoch>,
}

impl EventJudge {
    /// The watcher of the leader of `epoch` announces its death: it knows the epoch's secret.
    pub fn on_death(&mut self, epoch: Epoch) {
        self.announced_dead.insert(epoch);
    }

    /// A subscriber's process begins.
    pub(super) fn on_subscriber_started(&mut self, who: usize, delivery: Delivery) {
        let delivery = Some(delivery);
        self.ears.insert(who, EventCheck { delivery, ..EventCheck::default() });
    }

    /// A subscriber receives an event.
    fn check_subscriber_event(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        event: &SubscriberEvent<'_>,
    ) -> Result<(), Violation> {
        let Some(mut ear) = self.ears.remove(&who) else { return Ok(()) };
        let judged = self.judge_subscriber_event(facts, who, &mut ear, event);
        self.ears.insert(who, ear);
        judged
    }

    fn judge_subscriber_event(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        ear: &mut EventCheck,
        event: &SubscriberEvent<'_>,
    ) -> Result<(), Violation> {
        let broken = |rule: &str| Err(format!("{rule}: subscriber {who} is told {event:?} after {ear:?}"));
        if ear.ended {
            return broken("AGREEMENT");
        }
        let (tree, stamped_next) = (&facts.tree, facts.tree.stamped_next());
        match *event {
            SubscriberEvent::Message(_)
            | SubscriberEvent::Epoch { .. }
            | SubscriberEvent::Membership { .. }
            | SubscriberEvent::Opened { .. }
            | SubscriberEvent::Closed { .. }
            | SubscriberEvent::GatewayHeartbeat { .. }
            | SubscriberEvent::MachineReport { .. }
            | SubscriberEvent::SetNote { .. }
            | SubscriberEvent::Ordered { .. }
            | SubscriberEvent::Filtered { .. }
            | SubscriberEvent::Day { .. } => {
                let Some((seq, fact)) = event.seq().zip(Fact::of_event(event)) else {
                    return broken("ORDER");
                };
                let (from, next) = ear.reported.unwrap_or((seq, seq));
                // The membership of a leadership is reported with it, at one place.
                let goes_with = matches!(fact, Fact::Membership(_)) && ear.begun_at == seq && next == seq + 1;
                if seq != next && !goes_with {
                    return broken("ORDER");
                }
                let is_there = match ear.delivery {
                    Some(Delivery::Committed) => tree.telling(seq, fact, from).any(|node| {
                        facts
                            .reference_models()
                            .any(|reference_model| tree.begins_with(reference_model.tip(), Some(node)))
                    }),
                    _ => tree.telling(seq, fact, from).next().is_some(),
                };
                if !is_there {
                    return broken("INTEGRITY");
                }
                ear.reported = Some((from, seq + 1));
                if goes_with {
                    ear.begun_at = 0;
                } else {
                    ear.begun_at = if let Fact::Epoch(..) = fact { seq } else { 0 };
                    self.judge_views(facts, who, &mut ear.views, (seq, fact), from)?;
                }
            }
            SubscriberEvent::Committed { next } => {
                let is_committed =
                    facts.reference_models().any(|reference_model| next <= tree.next(reference_model.tip()));
                if next <= ear.committed || !is_committed {
                    return broken("S4");
                }
                ear.committed = next;
            }
            SubscriberEvent::Retract { from } => {
                let Some((first, _)) = ear.reported.filter(|(_, next)| from < *next) else {
                    return broken("S10");
                };
                (ear.reported, ear.begun_at) = (Some((first.min(from), from)), 0);
                ear.views.on_retracted(tree, from);
            }
            SubscriberEvent::Gap { from, to } => {
                // A process that waits for the next stamp asks for one entry.
                if from >= to || to > stamped_next.max(from + 1) {
                    return broken("GAP-1");
                }
            }
            SubscriberEvent::Abandoned { from, oldest, why } => {
                // Everything below the oldest stored seq is too old.
                if oldest > stamped_next || why == RepairReject::TooOld && from >= oldest {
                    return broken("AGREEMENT");
                }
                ear.ended = true;
            }
            SubscriberEvent::Refused { .. } => ear.ended = true,
            SubscriberEvent::Multicast { lost } => {
                if lost == ear.multicast_lost || lost && !facts.unicast_heartbeats.reached(who) {
                    return broken("MCAST-1");
                }
                ear.multicast_lost = lost;
            }
            SubscriberEvent::CaughtUp { next } => {
                // A reader that requested an entry that is not stamped yet waits for it, and lacks nothing.
                if ear.reported.is_some_and(|(_, reported)| reported != next) {
                    return broken("ORDER");
                }
            }
            SubscriberEvent::Replaying { from } => {
                if ear.reported.is_some_and(|(_, reported)| from > reported) || from > stamped_next {
                    return broken("ORDER");
                }
            }
            SubscriberEvent::Lag { entries, for_ns } => {
                if entries == 0 || entries > stamped_next || for_ns == 0 {
                    return broken("WIN-1");
                }
            }
            // By the protocol's bounds no publisher of a run leaves so much unfinished. A reader of a later
            // part of the stream lacks what began before it; `log_tree` has what each delivers.
            SubscriberEvent::PartsDiscarded { bound, .. } => {
                if bound != PartsBound::Beginning && tree.parts_bounds == PARTS_BOUNDS {
                    return broken("PARTS-1");
                }
            }
            // Judged by the founding, if there was one: `clients::lineage`.
            SubscriberEvent::Founded { .. }
            | SubscriberEvent::HistoryLost { .. }
            | SubscriberEvent::Ahead { .. }
            | SubscriberEvent::Diverged { .. } => {}
            unknown => unreachable!("the judge does not know {unknown:?}"),
        }
        Ok(())
    }

    /// A publisher that has opened `name` with `nonce`, as `own`, receives an event.
    fn check_publisher_event(
        &mut self,
        facts: &OracleFacts,
        who: usize,
        (name, nonce, own): (&str, [u64; 2], Option<PublisherId>),
        event: PublisherEvent,
    ) -> Result<(), Violation> {
        let mut reported = self.reported.remove(&who).unwrap_or_default();
        let before = reported.clone();
        reported.is_beaten = facts.unicast_heartbeats.reached(who);
        let broken = self.judge_publisher_event(facts, &mut reported, (name, nonce, own), event);
        self.reported.insert(who, reported);
        match broken {
            None => Ok(()),
            Some(rule) => {
                Err(format!("{rule}: publisher {who} of {name} is told {event:?} after {before:?}"))
            }
        }
    }

    /// The rule that the event breaks, if any.
    fn judge_publisher_event(
        &self,
        facts: &OracleFacts,
        reported: &mut ReportedEvents,
        (name, nonce, own): (&str, [u64; 2], Option<PublisherId>),
        event: PublisherEvent,
    ) -> Option<&'static str> {
        if reported.lost {
            return Some("FATE");
        }
        let is_own = |publisher: PublisherId| own == Some(publisher);
        let tips = || facts.reference_models().map(ReferenceModel::tip);
        // The committed state of the name, in each history that the handle may live in.
        let states = || tips().filter_map(|tip| facts.tree.publisher(tip, name));
        // A process that learns late of its first open, and of the one that fences it, may have opened the
        // name once more: its states that were replaced since.
        let replaced = || {
            let before = tips().flatten().flat_map(|tip| facts.tree.undo(tip, 1));
            before.map(|(_, before)| before).filter(|before: &PublisherState| before.nonce == nonce)
        };
        match event {
            PublisherEvent::Opened { publisher, publisher_seq, last, .. } => {
                let is_open = states().any(|state| {
                    // A newer process may already own the name, and have published more.
                    let is_last = if state.nonce == nonce { last == state.last } else { last <= state.last };
                    state.id == publisher && state.incarnation > 0 && is_last
                });
                let was_open = replaced().any(|before| before.id == publisher && last <= before.last);
                if publisher_seq != last + 1 || !is_open && !was_open {
                    return Some("OPENS");
                }
                reported.stamped.clear();
            }
            PublisherEvent::Refused { reason, .. } => {
                let is_full = |max: u32| facts.tree.has_names(max as usize);
                if !matches!(reason, OpenRefusal::TableFull { publishers_max } if is_full(publishers_max)) {
                    return Some("OPENS");
                }
            }
            // The bad publisher has no handle, and to the others nothing is refused.
            PublisherEvent::NotAllowed { .. } => return Some("RIGHTS"),
            PublisherEvent::Stamped { publisher, publisher_seq, .. } => {
                if !is_own(publisher) || !reported.stamped.insert((publisher, publisher_seq)) {
                    return Some("FATE");
                }
            }
            PublisherEvent::Unstamped { publisher, publisher_seq } => {
                if !is_own(publisher) || !reported.stamped.remove(&(publisher, publisher_seq)) {
                    return Some("FATE");
                }
            }
            PublisherEvent::Discarded { .. } if facts.tree.parts_bounds == PARTS_BOUNDS => {
                return Some("PARTS-1");
            }
            PublisherEvent::Committed { publisher, publisher_seq, .. }
            | PublisherEvent::Discarded { publisher, publisher_seq, .. } => {
                if !is_own(publisher) {
                    return Some("FATE");
                }
                reported.stamped.remove(&(publisher, publisher_seq));
            }
            PublisherEvent::Multicast { lost } => {
                if lost == reported.multicast_lost || lost && !reported.is_beaten {
                    return Some("MCAST-1");
                }
                reported.multicast_lost = lost;
            }
            PublisherEvent::Throttled | PublisherEvent::Unthrottled => {
                let begins = event == PublisherEvent::Throttled;
                if begins == reported.throttled {
                    return Some("WIN-1");
                }
                reported.throttled = begins;
            }
            PublisherEvent::Fenced { publisher, .. } => {
                // The open of a process that is fenced at once was never reported to it.
                let may_be = own.is_none() || is_own(publisher);
                let is_fenced = states().any(|state| state.nonce != nonce)
                    || replaced().any(|before| before.id == publisher);
                if !may_be || !is_fenced {
                    return Some("FATE");
                }
            }
            PublisherEvent::Closed { publisher, .. } => {
                let is_closed = states().any(|state| state.nonce != nonce || state.closed);
                if !is_own(publisher) || !is_closed {
                    return Some("FATE");
                }
            }
            PublisherEvent::OutcomesUnknown => reported.lost = true,
            // Judged by the founding, if there was one: `clients::lineage`.
            PublisherEvent::Founded { .. } | PublisherEvent::HistoryLost { .. } => {}
            // No copies publish under a publisher's nonce.
            PublisherEvent::Diverged { .. } => return Some("FATE"),
            unknown => unreachable!("the judge does not know {unknown:?}"),
        }
        None
    }

    /// A replica reports an event to its operator; `may_differ`: its journal was damaged while no process
    /// ran.
    fn check_node_event(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        event: &NodeEvent,
        may_differ: bool,
    ) -> Result<(), Violation> {
        let Some(replica_model) = facts.replicas.get(&who).copied() else { return Ok(()) };
        let is_founded = facts.founding().is_some();
        facts.founding.as_mut().map_or(Ok(()), |founded| founded.check_crossing(&replica_model, event))?;
        let log = self.logs.entry(who).or_default();
        let broken = |rule: &str, log: &Log| {
            Err(format!("{rule}: replica {who} ({}) tells {event:?} after {log:?}", replica_model.identity))
        };
        match *event {
            NodeEvent::Role { from, to, .. } => {
                if from == to || log.role.is_some_and(|role| role != from) {
                    return broken("ROLES", log);
                }
                log.role = Some(to);
                if from == Role::Leader {
                    log.conditions.retain(|condition| !OF_LEADERS.contains(condition));
                }
            }
            NodeEvent::History { history } => {
                let before = log.history.replace(history);
                if before.is_some_and(|before| before == history || !is_founded) {
                    return broken("LINEAGE-1", log);
                }
            }
            NodeEvent::Epoch { epoch, base } => {
                let start = facts.tree.find(epoch, base).map(|node| facts.tree.stem(node));
                if start.is_none_or(|start| !start.starts) {
                    return broken("S5", log);
                }
            }
            NodeEvent::Candidate { ballot } => {
                if ballot.leader() != replica_model.identity {
                    return broken("S5", log);
                }
            }
            NodeEvent::SteppedDown { epoch, seq, .. } => {
                if epoch.leader() != replica_model.identity || seq > facts.tree.stamped_next() {
                    return broken("S1", log);
                }
            }
            NodeEvent::Member { identity, available, listed, .. } => {
                if available > listed
                    || usize::from(listed) > MEMBERS_MAX
                    || identity == replica_model.identity
                {
                    return broken("REDUNDANCY", log);
                }
            }
            NodeEvent::Condition { condition, holds, .. } => {
                let is_news =
                    if holds { log.conditions.insert(condition) } else { log.conditions.remove(&condition) };
                if !is_news {
                    return broken("CONDITIONS", log);
                }
            }
            NodeEvent::VersionRaised { version, .. } => {
                if version <= VERSION_MIN {
                    return broken("VERSION-1", log);
                }
            }
            NodeEvent::TimeSetBack { before, after, .. } => {
                if after >= before {
                    return broken("CLOCK-2", log);
                }
            }
            NodeEvent::SuffixReplaced { from, epoch, old_epoch, old_next } => {
                if epoch <= old_epoch || from > old_next {
                    return broken("S7", log);
                }
            }
            NodeEvent::TakeoverWaits { from, oldest, .. } => {
                if from >= oldest {
                    return broken("ELECT-1", log);
                }
            }
            NodeEvent::Gap { from, to } => {
                // Entries that were never stamped are no gap.
                if from >= to || to > facts.tree.stamped_next() {
                    return broken("GAP-1", log);
                }
            }
            NodeEvent::LeaderSuspected { epoch, why } => {
                // Only the leader of this very epoch reports that it steps down, and only its watcher
                // reports its death.
                let (rule, is_so) = match why {
                    LeaderLossReason::StepDown => ("STABILITY", facts.stopped.contains(&epoch)),
                    LeaderLossReason::Down => ("SUSPECT-2", self.announced_dead.contains(&epoch)),
                    LeaderLossReason::Silence | LeaderLossReason::NoProgress | LeaderLossReason::Refused => {
                        ("SUSPECT-1", true)
                    }
                };
                if !is_so {
                    return broken(rule, log);
                }
            }
            NodeEvent::LeaderReturned { .. } | NodeEvent::OtherLeader { .. } => {}
            // The reason for which a replica stops is judged where it stops, ...
            NodeEvent::CommitContradicted { .. }
            | NodeEvent::Overrun { .. }
            | NodeEvent::DeclaredDeadBoth { .. }
            | NodeEvent::DuplicateIdentity { .. } => {}
            // ... and a datagram in the network, which only delays and repeats, was sent by some node.
            NodeEvent::Rejected { .. } => {}
            NodeEvent::Diverged { .. } | NodeEvent::DivergentAck { .. } if may_differ => {}
            // A replica of the ancestor history is judged where it stops: `facts`.
            NodeEvent::OtherHistory { .. }
            | NodeEvent::AncestorHistory { .. }
            | NodeEvent::Founded { .. }
                if is_founded => {}
            NodeEvent::Diverged { .. }
            | NodeEvent::DivergentAck { .. }
            | NodeEvent::OtherHistory { .. }
            | NodeEvent::AncestorHistory { .. }
            | NodeEvent::Founded { .. }
            | NodeEvent::RoundRefused { .. }
            | NodeEvent::DuplicateIdentityOlder { .. } => return broken("AGREEMENT", log),
        }
        Ok(())
    }
}

/// An event that a process reports.
#[derive(Debug)]
pub enum ReportedEvent<'a> {
    /// A subscriber receives it.
    Subscriber(&'a SubscriberEvent<'a>),
    /// A publisher receives it.
    Publisher {
        /// The name that it has opened, ...
        name: &'a str,
        /// ... with this nonce, ...
        nonce: [u64; 2],
        /// ... as this one.
        own: Option<PublisherId>,
        /// The event.
        event: PublisherEvent,
    },
    /// A replica reports it to its operator.
    Replica {
        /// The event.
        event: &'a NodeEvent,
        /// Its journal was damaged while no process ran.
        may_differ: bool,
    },
}

impl Check for EventJudge {
    fn on_start(&mut self, who: usize) {
        self.reported.remove(&who);
        self.logs.remove(&who);
    }

    fn on_event(
        &mut self,
        facts: &mut OracleFacts,
        who: usize,
        event: &ReportedEvent<'_>,
    ) -> Result<(), Violation> {
        match *event {
            ReportedEvent::Subscriber(event) => self.check_subscriber_event(facts, who, event),
            ReportedEvent::Publisher { name, nonce, own, event } => {
                self.check_publisher_event(facts, who, (name, nonce, own), event)
            }
            ReportedEvent::Replica { event, may_differ } => {
                self.check_node_event(facts, who, event, may_differ)
            }
        }
    }
}
