//! The room of the clients: the processes of publishers, subscribers and participants, and their work. It
//! touches what all rooms share; readers read the journals of machines, which are handed to them.

mod opening;
pub(crate) mod payload;
pub(crate) mod sleeper;
mod turn;

use crate::check::Violation;
use crate::clients::sleeper::SleepOutcome;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::engines::{named, subscriber};
use crate::host::{ByNode, Host, SimProcess};
use crate::kinds::SimClock;
use crate::machines::reader::SimReplaySource;
use crate::net::SimNet;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::sets::tap::Tap;
use crate::story::Happening;
use lockstep_core::engine::participant::ParticipantEngine;
use lockstep_core::engine::publisher::PublisherEngine;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberCore, SubscriberEngine};
use lockstep_wire::{Cursor, Nanos, PublisherId, Seq};
use opening::{participant, publisher};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// The number to which the remaining messages are reduced when the faults have ended.
const LEFT_MAX: u64 = 10;
/// Messages that each healthy publisher hands in when the faults have ended.
const MORE: u64 = 3;

/// The remaining work of a publisher.
#[derive(Clone)]
pub(crate) struct WorldWork {
    pub(crate) name: String,
    pub(crate) left: u64,
    pub(crate) id: Option<PublisherId>,
    /// The time at which the next message is handed in, and the interval.
    pub(crate) next_at: Nanos,
    pub(crate) every_ns: Nanos,
    /// The exclusive bound of what was reported to it as final.
    pub(crate) delivered_next: Seq,
    /// Another process has its name.
    pub(crate) fenced: bool,
    pub(crate) restart_at: Nanos,
    /// Makes payloads unique.
    pub(crate) handed_in: u64,
    /// The nonce under which its name was opened last.
    pub(crate) nonce: [u64; 2],
    /// It is to close its name; it has closed it; the close was reported to it, and it opens the name again.
    pub(crate) closes: bool,
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    /// The payloads that it publishes to the channel of sets, the oldest first, and nothing else.
    pub(crate) notes: Option<Rc<RefCell<VecDeque<Vec<u8>>>>>,
}

impl WorldWork {
    pub(crate) fn new(name: String, left: u64, every_ns: Nanos) -> Self {
        Self {
            name,
            left,
            id: None,
            next_at: 0,
            every_ns,
            delivered_next: 1,
            fenced: false,
            restart_at: 0,
            handed_in: 0,
            nonce: [0; 2],
            closes: false,
            closing: false,
            closed: false,
            notes: None,
        }
    }

    /// A new process takes over the work.
    pub(crate) fn begin(&mut self) {
        (self.id, self.delivered_next, self.fenced, self.restart_at) = (None, 1, false, 0);
        (self.closes, self.closing, self.closed) = (false, false, false);
    }
}

/// The work of a subscriber.
#[derive(Clone)]
pub(crate) struct ReaderSlot {
    pub(crate) delivery: Delivery,
    pub(crate) start: Start,
    pub(crate) restart_at: Nanos,
    /// Its subscription has ended.
    pub(crate) ended: bool,
    /// The journal that it reads from.
    pub(crate) source: SimReplaySource,
    /// Its long pauses.
    pub(crate) slept: SleepOutcome,
    /// The process of a set that reads along.
    pub(crate) tap: Option<Tap>,
}

impl ReaderSlot {
    pub(crate) fn new(delivery: Delivery, start: Start) -> Self {
        let (source, slept) = (SimReplaySource::default(), SleepOutcome::default());
        Self { delivery, start, restart_at: 0, ended: false, source, slept, tap: None }
    }

    /// What the process of a set does not merge yet waits in the subscription's own memory.
    pub(crate) fn hold(&self, core: &mut SubscriberCore) {
        if let Some(tap) = &self.tap {
            core.deliver_below(tap.borrow().bound);
        }
    }

    /// The process has ended, and its successor goes on behind what was delivered: everything below `resume`.
    pub(crate) fn resume(&mut self, cursor: Option<Cursor>, resume: Option<Seq>, may_found: bool) {
        self.ended = false;
        // Where a history may be founded, a seq alone does not identify its stream.
        self.start = match (self.delivery, resume) {
            (Delivery::Committed, Some(_)) if may_found => cursor.map_or(Start::From(1), Start::Cursor),
            (Delivery::Committed, Some(seq)) => Start::From(seq),
            (Delivery::Stamped, Some(_)) => Start::From(1),
            (_, None) => Start::Live,
        };
    }
}

/// The process of a client, if it runs, and its work.
#[derive(Clone)]
pub(crate) enum ClientProcess {
    /// A publisher.
    Publisher(Option<Box<PublisherEngine<SimNet>>>, WorldWork),
    /// A subscriber.
    Subscriber(Option<Box<SubscriberEngine<SimNet>>>, ReaderSlot),
    /// A participant, which publishes and reads.
    Participant(Option<Box<ParticipantEngine<SimNet>>>, WorldWork, ReaderSlot),
}

impl ClientProcess {
    /// The work of a publisher, if it publishes.
    pub(crate) fn work_mut(&mut self) -> Option<&mut WorldWork> {
        match self {
            Self::Publisher(_, work) | Self::Participant(_, work, _) => Some(work),
            Self::Subscriber(..) => None,
        }
    }

    /// The work of a subscriber, if it reads.
    pub(crate) fn reading_mut(&mut self) -> Option<&mut ReaderSlot> {
        match self {
            Self::Subscriber(_, reading) | Self::Participant(_, _, reading) => Some(reading),
            Self::Publisher(..) => None,
        }
    }
}

/// A client on its host.
#[derive(Clone)]
pub(crate) struct ClientNode {
    pub(crate) host: Host,
    pub(crate) process: ClientProcess,
}

impl SimProcess for ClientNode {
    fn host(&self) -> &Host {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    fn runs(&self) -> bool {
        match &self.process {
            ClientProcess::Publisher(process, _) => process.is_some(),
            ClientProcess::Subscriber(process, _) => process.is_some(),
            ClientProcess::Participant(process, ..) => process.is_some(),
        }
    }

    fn starts_at(&self) -> Nanos {
        match &self.process {
            ClientProcess::Publisher(_, work) | ClientProcess::Participant(_, work, _) => work.restart_at,
            ClientProcess::Subscriber(_, reading) => reading.restart_at,
        }
    }

    fn net_mut(&mut self, _handle: usize) -> Option<&mut SimNet> {
        match &mut self.process {
            ClientProcess::Publisher(process, _) => process.as_mut().map(|process| process.net_mut()),
            ClientProcess::Subscriber(process, _) => process.as_mut().map(|process| process.net_mut()),
            ClientProcess::Participant(process, ..) => process.as_mut().map(|process| process.net_mut()),
        }
    }

    fn invariants(&self) {
        match &self.process {
            ClientProcess::Publisher(Some(process), _) => process.core.invariants(),
            ClientProcess::Subscriber(Some(process), _) => process.core.invariants(),
            ClientProcess::Participant(Some(process), ..) => process.invariants(),
            _ => {}
        }
    }

    fn is_over(&self) -> bool {
        match &self.process {
            ClientProcess::Subscriber(_, reading) => reading.ended,
            ClientProcess::Participant(Some(process), _, reading) => {
                reading.ended && process.publisher.is_lost()
            }
            _ => false,
        }
    }

    fn is_left(&self) -> bool {
        match &self.process {
            ClientProcess::Publisher(Some(process), _) => process.core.has_unreported(),
            ClientProcess::Subscriber(Some(process), _) => process.core.has_deliverable(),
            ClientProcess::Participant(Some(process), ..) => process.is_left(),
            _ => false,
        }
    }

    fn client_deadline(&self, clock: SimClock) -> Option<Nanos> {
        match &self.process {
            ClientProcess::Publisher(Some(process), work) => {
                let hands_in = if work.left > 0 { work.next_at } else { Nanos::MAX };
                Some(clock.reaches(process.core.next_deadline()).min(hands_in))
            }
            ClientProcess::Subscriber(Some(process), _) => Some(clock.reaches(process.core.next_deadline())),
            ClientProcess::Participant(Some(process), work, _) => {
                let hands_in = if work.left > 0 { work.next_at } else { Nanos::MAX };
                Some(clock.reaches(process.next_deadline()).min(hands_in))
            }
            _ => None,
        }
    }
}

/// The work that a client did in its turn, and whether its process then ends, to start again.
pub(crate) struct ClientTurn {
    pub(crate) work: usize,
    pub(crate) ends: bool,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Clients {
    rng: Rng,
    nodes: ByNode<ClientNode>,
    /// Rivals that were started.
    fences: usize,
}

impl Clients {
    /// None yet, with random numbers of their own.
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, nodes: ByNode::default(), fences: 0 }
    }

    /// A client more, on a host of its own.
    pub(crate) fn add(&mut self, ctx: &RunContext, node: usize, process: ClientProcess) {
        self.nodes.add(node, ClientNode { host: Host::new(&ctx.plan, ctx.now), process });
    }

    /// The client at a node, on its host.
    pub(crate) fn node(&self, index: usize) -> Option<&ClientNode> {
        self.nodes.get(index)
    }

    /// The time of each client's next turn, and its node.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (Nanos, usize)> {
        self.nodes.iter().map(|(index, node)| (node.ready_at(), index))
    }

    /// The client at a node, on its host.
    pub(crate) fn node_mut(&mut self, index: usize) -> Option<&mut ClientNode> {
        self.nodes.get_mut(index)
    }

    /// Whether the client at a node is one of a set.
    pub(crate) fn is_of_set(&self, index: usize) -> bool {
        match self.get(index) {
            Some(ClientProcess::Subscriber(_, reading) | ClientProcess::Participant(_, _, reading)) => {
                reading.tap.is_some()
            }
            _ => false,
        }
    }

    /// The client at a node, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<&ClientProcess> {
        self.nodes.get(index).map(|node| &node.process)
    }

    /// The client at a node, if there is one.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut ClientProcess> {
        self.nodes.get_mut(index).map(|node| &mut node.process)
    }

    /// Whether the client at a node reads the stream.
    pub(crate) fn reads(&self, index: usize) -> bool {
        matches!(self.get(index), Some(ClientProcess::Subscriber(..) | ClientProcess::Participant(..)))
    }

    /// The next of the rivals, which begins now.
    pub(crate) fn start_rival(&mut self, ctx: &mut RunContext) {
        let rival = ctx.plan.nodes() + self.fences;
        self.fences += 1;
        if let Some(ClientProcess::Publisher(None, work)) = self.get_mut(rival) {
            work.restart_at = ctx.now;
            ctx.count(Event::Fences);
            ctx.tell(rival, || Happening::Fault("opens the same name".to_string()));
        }
    }

    /// The faults are over for the client at a node, and it has a few more messages to hand in.
    pub(crate) fn heal(&mut self, now: Nanos, index: usize, is_down: bool) {
        let Some(process) = self.get_mut(index) else { return };
        if let Some(work) = process.work_mut().filter(|work| work.restart_at != Nanos::MAX) {
            if is_down {
                work.restart_at = now;
            }
            if !work.fenced {
                // Not so many that the rings wrap once more.
                work.left = work.left.min(LEFT_MAX) + MORE;
            }
        }
        if let Some(reading) = process.reading_mut() {
            reading.restart_at = now;
        }
    }

    /// The process at `index` has ended by itself in its turn.
    pub(crate) fn end(&mut self, ctx: &RunContext, index: usize) {
        let (now, may_found) = (ctx.now, ctx.plan.may_found());
        match self.get_mut(index) {
            Some(ClientProcess::Publisher(process, _)) => *process = None,
            Some(ClientProcess::Participant(process, work, reading)) => {
                let resume = ctx.oracle.clients.delivered_next(index);
                let cursor = process.take().and_then(|process| process.subscriber.cursor());
                work.restart_at = now + 1;
                reading.resume(cursor, resume, may_found);
            }
            _ => {}
        }
    }

    /// Checks the state of a client after its turn.
    pub(crate) fn check(&self, ctx: &mut RunContext, index: usize, looks: bool) -> Result<(), Violation> {
        let Some(node) = self.nodes.get(index) else { return Ok(()) };
        if looks {
            node.invariants();
        }
        match &node.process {
            ClientProcess::Subscriber(Some(process), _) => ctx.oracle.clients.check_subscriber(
                &ctx.oracle.facts,
                index,
                process.core.commit_next(),
                process.core.history(),
            ),
            ClientProcess::Publisher(Some(_), work) => {
                ctx.oracle.clients.check_publisher(&ctx.oracle.facts, index, work.delivered_next)
            }
            ClientProcess::Participant(Some(process), work, _) => {
                let subscriber = &process.subscriber;
                ctx.oracle.clients.check_subscriber(
                    &ctx.oracle.facts,
                    index,
                    subscriber.commit_next(),
                    subscriber.history(),
                )?;
                ctx.oracle.clients.check_publisher(&ctx.oracle.facts, index, work.delivered_next)
            }
            _ => Ok(()),
        }
    }

    /// The work of the subscriber at `index` among those of its kind.
    pub(crate) fn draw_reading(&mut self, plan: &Plan, index: usize) -> ReaderSlot {
        let delivery = if index.is_multiple_of(2) { Delivery::Committed } else { Delivery::Stamped };
        let start = match self.rng.below(4) {
            0 => Start::Live,
            1 => Start::From(1 + self.rng.below(plan.messages)),
            _ => Start::From(1),
        };
        ReaderSlot::new(delivery, start)
    }

    /// A publisher's or subscriber's process starts.
    pub(crate) fn start(&mut self, ctx: &mut RunContext, node: usize) {
        let rng = &mut self.rng;
        let Some(ClientNode { process, host }) = self.nodes.get_mut(node) else { return };
        let keys = &host.keys;
        match process {
            ClientProcess::Publisher(process, work) => {
                work.begin();
                *process = Some(publisher(&ctx.plan, node, work, &keys.publisher, rng));
                ctx.oracle.on_publisher_started(node);
            }
            ClientProcess::Subscriber(process, reading) => {
                reading.restart_at = 0;
                let (delivery, start) = (reading.delivery, reading.start);
                let place = (node, &keys.reader);
                *process = Some(subscriber(&ctx.plan, place, delivery, start, ctx.plan.replays, rng));
            }
            ClientProcess::Participant(process, work, reading) => {
                work.begin();
                // The channel of sets is open to the keys of replicas.
                let keys = if work.notes.is_some() { &keys.replica } else { &keys.publisher };
                let reads = (reading.delivery, reading.start);
                *process = Some(participant(&ctx.plan, node, work, reads, keys, rng));
                ctx.oracle.on_publisher_started(node);
                ctx.count(Event::Participants);
            }
        }
        if let Some(reading) = process.reading_mut() {
            (reading.source, reading.slept) = (SimReplaySource::default(), SleepOutcome::default());
            let cursor = match reading.start {
                Start::Cursor(cursor) => Some(cursor),
                _ => None,
            };
            ctx.oracle.on_subscriber_started(node, reading.delivery, named(reading.start), cursor);
        }
        host.wake_at = ctx.now;
    }

    /// A leader dies: opens may be under way.
    pub(crate) fn count_opens(&self, ctx: &mut RunContext) {
        let opens = |node: &&ClientNode| match &node.process {
            ClientProcess::Publisher(Some(_), work) | ClientProcess::Participant(Some(_), work, _) => {
                work.id.is_none() && !work.fenced
            }
            _ => false,
        };
        let opening = self.nodes.iter().map(|(_, node)| node).filter(opens).count();
        (0..opening).for_each(|_| ctx.count(Event::OpensInterrupted));
    }

    /// The process at a node is killed, and started again.
    pub(crate) fn crash(&mut self, ctx: &mut RunContext, index: usize) {
        let restart = ctx.now + self.rng.below(ctx.plan.timeout_ns);
        let (resume, may_found) = (ctx.oracle.clients.delivered_next(index), ctx.plan.may_found());
        let event = match self.get_mut(index) {
            Some(ClientProcess::Publisher(process @ Some(_), work)) => {
                *process = None;
                work.restart_at = restart;
                Event::PublisherCrashes
            }
            Some(ClientProcess::Subscriber(process @ Some(_), reading)) => {
                let cursor = process.take().and_then(|process| process.core.cursor());
                reading.restart_at = restart;
                reading.resume(cursor, resume, may_found);
                Event::SubscriberCrashes
            }
            Some(ClientProcess::Participant(process @ Some(_), work, reading)) => {
                let cursor = process.take().and_then(|process| process.subscriber.cursor());
                work.restart_at = restart;
                reading.resume(cursor, resume, may_found);
                Event::ParticipantCrashes
            }
            _ => return,
        };
        ctx.count(event);
        ctx.tell(index, || Happening::Fault("killed".to_string()));
    }
}
