//! The processes of the edge: production's cores over production's handles, on nodes of the simulated
//! network.

use super::copy::{MachineCopy, MachineUnderTest};
use super::fix_trader::INTERVAL_NS;
use super::plan::EdgePlan;
use super::users;
use crate::engines::{plain_publisher, subscriber};
use crate::host::{Host, SimProcess};
use crate::machine::MTU;
use crate::machines::reader::SimReplaySource;
use crate::net::SimNet;
use crate::plan::Plan;
use crate::rng::Rng;
use lockstep_core::engine::ports::MemoryBacklog;
use lockstep_core::engine::publisher::{PublishError, PublisherCore, PublisherEngine};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine};
use lockstep_gateway::calendar::DayMarkRequest;
use lockstep_gateway::feed::{Feed, FeedSource};
use lockstep_gateway::fix::session::FixSessionLimits;
use lockstep_gateway::gateway::core::{Check, Gateway, GatewayLimits, GatewayStream};
use lockstep_gateway::gateway::ledger::Ledger;
use lockstep_gateway::gateway::locks::LockoutTimes;
use lockstep_gateway::gateway::users::Recipient;
use lockstep_machine::{Acknowledger, DivergencePolicy, ReplicaSettings, SnapshotHead, verify_snapshot};
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use std::collections::VecDeque;
use std::fmt;

/// Bytes of a datagram of a feed.
pub(crate) const FEED_LEN_MAX: usize = MTU - 28;
/// The size of a block in it.
pub(super) const BLOCK_LEN_MAX: usize = FEED_LEN_MAX - 22;
/// Bytes of a day.
const BACKLOG_BYTES: u64 = 16 << 20;
/// The interval of gateway heartbeats.
const HEARTBEAT_NS: Nanos = 1_500_000;

/// The kind of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A gateway, by number; the duplicate has the first one's name.
    Gateway(usize),
    /// A copy of the machine, by number.
    Copy(u8),
    /// A feed, by number.
    Feed(usize),
    /// An operator who marks days.
    Calendar,
}

/// A node of the edge, and its process.
pub(crate) struct EdgeNode {
    pub(super) host: Host,
    pub(crate) what: What,
    pub(crate) process: Option<EdgeProcess>,
    pub(crate) restart_at: Nanos,
    /// Processes that have started here.
    pub(super) run: u64,
    /// A copy's disk: its snapshots, the oldest first.
    pub(super) snapshots: VecDeque<Vec<u8>>,
    /// A gateway could not get the stream's beginning: its next process begins with the oldest entry that is
    /// available.
    pub(super) lacks_beginning: bool,
    /// The oldest entry that journals retain for its next process, where that is not the first one.
    pub(super) begins_at: Option<Seq>,
    /// The next command of a calendar: a day of this name, or the end of one.
    pub(super) order: Option<Option<String>>,
}

/// A running process.
pub(crate) enum EdgeProcess {
    Gateway(Box<GatewayProcess>),
    Copy(Box<CopyProcess>),
    Feed(Box<FeedProcess>),
    Calendar(Box<CalendarProcess>),
}

pub(crate) struct GatewayProcess {
    pub(super) publisher: Box<PublisherEngine<SimNet>>,
    pub(super) subscriber: Box<SubscriberEngine<SimNet>>,
    pub(super) source: SimReplaySource,
    pub(super) core: Gateway<MemoryBacklog>,
    /// Links by the core's index.
    pub(super) links: Vec<Option<u64>>,
    /// Passwords that are being checked.
    pub(super) checks: VecDeque<(Nanos, Check)>,
    pub(super) touched: Vec<usize>,
    pub(super) whole: bool,
    pub(super) has_begun: bool,
    /// It was requested to stop, and has so long.
    pub(super) stops: Option<Nanos>,
    pub(super) rng: Rng,
}

pub(crate) struct CopyProcess {
    pub(super) publisher: Box<PublisherEngine<SimNet>>,
    pub(super) subscriber: Box<SubscriberEngine<SimNet>>,
    pub(super) source: SimReplaySource,
    pub(super) copy: Box<dyn MachineCopy>,
    pub(super) rng: Rng,
}

pub(crate) struct FeedProcess {
    pub(super) subscriber: Box<SubscriberEngine<SimNet>>,
    pub(super) source: SimReplaySource,
    pub(super) feed: Feed<MemoryBacklog>,
    pub(super) whole: bool,
    pub(super) has_begun: bool,
}

pub(crate) struct CalendarProcess {
    pub(super) publisher: Box<PublisherEngine<SimNet>>,
    pub(super) order: DayMarkRequest,
}

impl EdgeProcess {
    /// Checked after each turn. Panics with the rule that is broken.
    pub(crate) fn invariants(&self) {
        match self {
            Self::Gateway(process) => {
                process.publisher.core.invariants();
                process.subscriber.core.invariants();
                process.core.invariants();
            }
            Self::Copy(process) => {
                process.publisher.core.invariants();
                process.subscriber.core.invariants();
            }
            Self::Feed(process) => process.subscriber.core.invariants(),
            Self::Calendar(process) => process.publisher.core.invariants(),
        }
    }
}

impl EdgeProcess {
    /// Whether the next turn of one of its handles delivers or reports something although nothing arrives.
    pub(crate) fn is_left(&self) -> bool {
        let (publisher, subscriber) = match self {
            Self::Gateway(process) => (Some(&process.publisher), Some(&process.subscriber)),
            Self::Copy(process) => (Some(&process.publisher), Some(&process.subscriber)),
            Self::Feed(process) => (None, Some(&process.subscriber)),
            Self::Calendar(process) => (Some(&process.publisher), None),
        };
        publisher.is_some_and(|handle| handle.core.has_unreported())
            || subscriber.is_some_and(|handle| handle.core.has_deliverable())
    }
}

/// The publisher as a gateway's core sees it.
pub(super) struct EdgeHandle<'a>(pub(super) &'a mut PublisherCore, pub(super) &'a mut Rng);

impl GatewayStream for EdgeHandle<'_> {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.0.open(name, nonce)
    }

    fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        self.0.try_publish(publisher, destination, payload)
    }

    fn close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        self.0.try_close(publisher, reason)
    }

    fn draw(&mut self) -> [u64; 2] {
        [self.1.next_u64(), self.1.next_u64()]
    }
}

fn gateway_limits(delivery: Delivery) -> GatewayLimits {
    GatewayLimits {
        delivery,
        clients_max: 16,
        clients_per_address: 16,
        allow: None,
        accepts: 1_000_000,
        soup: soupbintcp::ServerLimits {
            login_ns: 20_000_000,
            silence_ns: 10_000_000,
            silence_ns_min: 2_000_000,
            heartbeat_ns: 2_000_000,
        },
        stall_ns: 6_000_000,
        checks_max: 8,
        checks_per_address: 8,
        lockout: LockoutTimes::default(),
        scan_ns: 400_000,
        heartbeat_ns: HEARTBEAT_NS,
        lost_heartbeats: 6,
        // The stream's clocks are stepped by days.
        fix: FixSessionLimits {
            second_ns: INTERVAL_NS,
            accuracy_ns: Nanos::MAX,
            parting_ns: 20_000_000,
            ..FixSessionLimits::default()
        },
    }
}

impl EdgeNode {
    pub(super) fn new(host: Host, what: What, restart_at: Nanos) -> Self {
        Self {
            host,
            what,
            process: None,
            restart_at,
            run: 0,
            snapshots: VecDeque::new(),
            lacks_beginning: false,
            begins_at: None,
            order: None,
        }
    }

    /// Whether it was refused the stream's beginning.
    pub(crate) fn lacks_beginning(&self) -> bool {
        self.lacks_beginning
    }

    /// A process starts. `node` is its first one.
    pub(super) fn start(
        &mut self,
        (plan, edge): (&Plan, &EdgePlan),
        machine: &dyn MachineUnderTest,
        node: usize,
        now: Nanos,
        rng: &mut Rng,
    ) {
        let keys = self.host.keys.clone();
        self.run += 1;
        let whole = !self.lacks_beginning && self.begins_at.is_none();
        let start = match self.begins_at.take() {
            Some(seq) => Start::From(seq),
            None if whole => Start::From(1),
            None => Start::Oldest,
        };
        self.process = match self.what {
            What::Gateway(number) => {
                // The duplicate is the first one once more.
                let number = if number == edge.stamped.len() { 0 } else { number };
                let delivery = if edge.stamped[number] { Delivery::Stamped } else { Delivery::Committed };
                let ledger = Ledger::new(MemoryBacklog::new(BACKLOG_BYTES), whole, true);
                Some(EdgeProcess::Gateway(Box::new(GatewayProcess {
                    publisher: plain_publisher(plan, node, &keys.publisher, rng),
                    subscriber: subscriber(plan, (node + 1, &keys.reader), delivery, start, true, rng),
                    source: SimReplaySource::default(),
                    core: Gateway::new(&number.to_string(), gateway_limits(delivery), users::file(), ledger),
                    links: Vec::new(),
                    checks: VecDeque::new(),
                    touched: Vec::new(),
                    whole,
                    has_begun: false,
                    stops: None,
                    rng: rng.fork(),
                })))
            }
            What::Copy(number) => {
                let mut publisher = plain_publisher(plan, node, &keys.publisher, rng);
                let settings = ReplicaSettings {
                    number,
                    nonce: Acknowledger::NONCE,
                    on_divergence: DivergencePolicy::Stop,
                    is_shadow: edge.has_shadow && usize::from(number) == edge.copies,
                    reads_stamped: edge.stamped_copies[usize::from(number - 1)],
                };
                let delivery = if settings.reads_stamped { Delivery::Stamped } else { Delivery::Committed };
                let (mut copy, start) = self.restored(machine, settings, rng);
                copy.begin_open(&mut publisher.core, [rng.next_u64(), rng.next_u64()]);
                Some(EdgeProcess::Copy(Box::new(CopyProcess {
                    publisher,
                    subscriber: subscriber(plan, (node + 1, &keys.reader), delivery, start, true, rng),
                    source: SimReplaySource::default(),
                    copy,
                    rng: rng.fork(),
                })))
            }
            What::Feed(_) => {
                let source = match edge.feeds_channel {
                    true => FeedSource::For(Recipient::Channel(users::CHANNEL)),
                    false => FeedSource::All,
                };
                let days = [0, 0].map(|_| MemoryBacklog::new(BACKLOG_BYTES));
                let server = moldudp64::RequestServer::new(moldudp64::ServerLimits::default());
                let feed = Feed::new(source, FEED_LEN_MAX, days, whole, server);
                feed.ok().map(|feed| {
                    EdgeProcess::Feed(Box::new(FeedProcess {
                        subscriber: subscriber(
                            plan,
                            (node, &keys.reader),
                            Delivery::Committed,
                            start,
                            true,
                            rng,
                        ),
                        source: SimReplaySource::default(),
                        feed: feed.with_heartbeat(2_000_000),
                        whole,
                        has_begun: false,
                    }))
                })
            }
            What::Calendar => self.order.as_ref().and_then(|order| {
                let mut publisher = plain_publisher(plan, node, &keys.replica, rng);
                let nonce = [rng.next_u64(), rng.next_u64()];
                let order = DayMarkRequest::begin(&mut publisher.core, order.as_deref(), nonce)?;
                Some(EdgeProcess::Calendar(Box::new(CalendarProcess { publisher, order })))
            }),
        };
        self.restart_at = if self.process.is_some() { now } else { Nanos::MAX };
    }

    /// A copy's state by its newest snapshot that is sound, and where its subscription begins. Now and then
    /// the newest one is damaged, and now and then the disk is lost as well.
    fn restored(
        &mut self,
        machine: &dyn MachineUnderTest,
        settings: ReplicaSettings,
        rng: &mut Rng,
    ) -> (Box<dyn MachineCopy>, Start) {
        if rng.below(4) == 0 {
            self.snapshots.clear();
        }
        if rng.below(4) == 0
            && let Some(newest) = self.snapshots.back_mut()
        {
            damage(newest, rng);
        }
        while let Some(newest) = self.snapshots.back() {
            if verify_snapshot(&mut &newest[..]).is_ok() {
                let restored = machine.restore(settings, newest);
                let (copy, cursor) = restored
                    .unwrap_or_else(|error| panic!("MACHINE: a sound snapshot is not restored: {error}"));
                return (copy, Start::Cursor(cursor));
            }
            self.snapshots.pop_back();
        }
        (machine.copy(settings), Start::From(1))
    }
}

impl SimProcess for EdgeNode {
    fn host(&self) -> &Host {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    fn runs(&self) -> bool {
        self.process.is_some()
    }

    fn starts_at(&self) -> Nanos {
        self.restart_at
    }

    fn net_mut(&mut self, handle: usize) -> Option<&mut SimNet> {
        Some(match (self.process.as_mut()?, handle) {
            (EdgeProcess::Gateway(process), 0) => process.publisher.net_mut(),
            (EdgeProcess::Gateway(process), _) => process.subscriber.net_mut(),
            (EdgeProcess::Copy(process), 0) => process.publisher.net_mut(),
            (EdgeProcess::Copy(process), _) => process.subscriber.net_mut(),
            (EdgeProcess::Feed(process), _) => process.subscriber.net_mut(),
            (EdgeProcess::Calendar(process), _) => process.publisher.net_mut(),
        })
    }

    fn invariants(&self) {
        if let Some(process) = &self.process {
            process.invariants();
        }
    }

    fn is_left(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_left())
    }
}

/// The host number of the second handle of a process of the edge: its device is a part of that process.
pub(crate) struct HandleNode {
    pub(super) host: Host,
    /// The node of the process.
    pub(super) owner: usize,
}

impl SimProcess for HandleNode {
    fn host(&self) -> &Host {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    fn runs(&self) -> bool {
        false
    }

    fn starts_at(&self) -> Nanos {
        Nanos::MAX
    }

    fn net_mut(&mut self, _handle: usize) -> Option<&mut SimNet> {
        None
    }

    fn invariants(&self) {}
}

impl fmt::Display for EdgeNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, runs {}", self.what, self.process.is_some())?;
        if let Some(EdgeProcess::Gateway(process)) = &self.process {
            let core = &process.core;
            let connected: Vec<_> =
                core.clients().connected().map(|(_, client)| (&client.user, client.gateway)).collect();
            let (open, own) = (core.open_count(), core.own());
            write!(f, ", own {own:?}, {open} logged in, connected {connected:?}, left {}", core.has_left())?;
        }
        Ok(())
    }
}

/// Snapshots of a copy on its disk.
const SNAPSHOTS_MAX: usize = 2;

impl CopyProcess {
    /// The snapshot that it writes to its disk, between two events of its subscription; none of what may be
    /// taken back.
    pub(super) fn snapshot(&self) -> Option<Vec<u8>> {
        if !self.copy.is_final() {
            return None;
        }
        let core = &self.subscriber.core;
        self.copy.save(core.cursor()?, core.deliver_next()).ok()
    }
}

impl EdgeNode {
    /// A copy's snapshot is on its disk. Returns the seq from which on the oldest one needs the log.
    pub(super) fn store(&mut self, snapshot: Vec<u8>) -> Option<Seq> {
        if self.snapshots.len() == SNAPSHOTS_MAX {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(snapshot);
        let head = SnapshotHead::read(&mut &self.snapshots.front()?[..]);
        Some(head.ok()?.cursor.stream()?.seq)
    }
}

/// A crash has cut a file short, or a disk has lost a bit of it. The judge is the checksum: a damaged
/// snapshot that is restored all the same is found by the copies' digests.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len() as u64) as usize;
    match rng.below(2) {
        0 => bytes.truncate(at),
        _ => bytes[at] ^= 1 << rng.below(8),
    }
}
