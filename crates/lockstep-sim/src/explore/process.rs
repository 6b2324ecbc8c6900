//! One process of the explored cluster: the production engine, a clock that stands still, and the facts that
//! the rules check. A turn is a function of the process and one input; nothing else.

use super::digest::Digest;
use super::rules::Placed;
use crate::net::{SimNet, To};
use lockstep_core::engine::receiver::{ReceiverLimits, Start};
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberEvent, SubscriberLimits};
use lockstep_core::proto::election::ElectionLimits;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::window::Window;
use lockstep_memory::journal::MemoryJournal;
pub(super) use lockstep_memory::place::address;
pub(super) use lockstep_memory::world::{CLUSTER, HISTORY};
use lockstep_memory::world::{MemoryPorts, WALL_NS, repairers};
use lockstep_replica::bootstrap::bootstrap;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::{
    Epoch, HEADER_LEN, Header, Identity, Keyring, Kind, MemberBody, Nanos, PublisherId, PublisherSeq, Seq,
    seal,
};
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Time stands still here. A wait for a timer lasts for ever, unless an input makes the timer due.
pub(super) const NOW: Nanos = 1_000_000_000;
const NEVER: Nanos = 1 << 50;
const FRAME_LEN_MAX: usize = 1024;
const RING_BYTES: usize = 32 << 10;
/// A replica that lost its disk returns under another incarnation.
const REBORN: u32 = 0x1000;

/// Replica `node` in its first incarnation; or, where those that are not members at genesis are heirs of the
/// `members`, the last member first, in the next incarnation of that one.
pub(super) fn identity(node: usize, members: usize, heirs: bool) -> Identity {
    match node.checked_sub(members).filter(|_| heirs) {
        Some(heir) => Identity { replica: (members - heir) as u32, incarnation: 0x200 + node as u32 + 1 },
        None => Identity { replica: node as u32 + 1, incarnation: 0x100 + node as u32 + 1 },
    }
}

/// The same as a member.
pub(super) fn member(node: usize, members: usize, heirs: bool) -> MemberBody {
    MemberBody::full(identity(node, members, heirs), address(node))
}

/// The input of a process in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input<'a> {
    /// A datagram arrives, on a group or (from a node) on the unicast port.
    Hear(&'a [u8], Option<usize>),
    /// Every wait of a standby before its candidacy has passed.
    Campaign { round_max: u32 },
    /// A heartbeat is due.
    Heartbeat,
    /// The process dies and starts again; its log and promise survive.
    Crash,
    /// The machine is replaced: everything is lost, and the identity is another.
    Lose,
}

/// The facts that the rules check.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Facts {
    /// The end of the log.
    pub end: LogEnd,
    /// The end of its committed part, and the epoch whose acks committed it.
    pub committed: (Seq, u64, Epoch),
    pub promised: Epoch,
    /// The epoch that it stamps in.
    pub leads: Option<Epoch>,
    /// The rounds that it knows do not allow another candidacy, or it has no vote.
    pub campaigns: bool,
    /// The error that the node reports.
    pub wrong: Option<String>,
}

#[derive(Clone)]
enum Engine {
    Replica(Box<ReplicaEngine<MemoryPorts>>),
    Reader(Box<SubscriberEngine<SimNet>>, Delivery),
}

/// See the module.
#[derive(Clone)]
pub(super) struct ExploredProcess {
    engine: Engine,
    node: usize,
    identity: Identity,
    /// A replica's.
    journal: Option<Arc<MemoryJournal>>,
    /// The messages that a reader's application has as delivered: without those that were retracted.
    pub delivered: Vec<(Seq, PublisherId, PublisherSeq)>,
    retracted_final: bool,
}

fn receiver(me: Identity, node: usize, replicas: usize) -> ReceiverLimits {
    ReceiverLimits {
        keys: Keyring::none(CLUSTER).into(),
        history: HISTORY,
        me,
        repairers: repairers(replicas as u32, node as u32 + 1),
        nack: NackLimits { guard_ns: 0, apart_ns: 0, retry_ns_min: NEVER, retry_ns_max: NEVER },
        store_bytes: 0,
        frame_len_max: FRAME_LEN_MAX,
        ..ReceiverLimits::default()
    }
}

fn limits(me: Identity, node: usize, replicas: usize) -> ReplicaLimits {
    ReplicaLimits {
        receiver: receiver(me, node, replicas),
        heartbeat: HeartbeatLimits { first_ns: 1, interval_ns: 1 },
        window: Window { entries: 16, bytes: 16 << 10 },
        publishers_max: 2,
        hold_back: 4,
        ack_again_ns: NEVER,
        process_nonce: node as u64 + 1,
        repairs_per_request: 16,
        failure_detector: FailureDetectorLimits {
            heartbeat_interval_ns: NEVER,
            timeout_ns: NEVER,
            timeout_ns_max: NEVER,
        },
        election: ElectionLimits { stagger_ns: 0, again_ns: NEVER, timeout_ns: NEVER, backoff_ns_max: NEVER },
        pending_submission_bytes: 2 << 10,
        secret_seed: [node as u8; 32],
        ..ReplicaLimits::default()
    }
}

fn start(
    node: usize,
    identity: Identity,
    replicas: usize,
    journal: &MemoryJournal,
    memory: MemoryTail,
) -> Result<ReplicaEngine<MemoryPorts>, String> {
    let opened = (journal.clone().open(memory))
        .map_err(|error| format!("S9: a crash of the process left a journal that does not go on: {error}"))?;
    let recovered = Recovered::of_journal(&opened, 2);
    let limits = limits(identity, node, replicas);
    let mut replica = ReplicaEngine::new(SimNet::default(), opened.tail, recovered, limits)?;
    (0..super::system::NODES_MAX).for_each(|node| replica.assume_address(address(node)));
    Ok(replica)
}

impl ExploredProcess {
    /// Replica `node` of `replicas`, formatted; the first one's journal has the genesis of the history.
    pub(super) fn replica(node: usize, replicas: usize, members: usize, heirs: bool) -> Result<Self, String> {
        let identity = identity(node, members, heirs);
        Self::formatted(node, identity, replicas, if node == 0 { members } else { 0 })
    }

    /// On a fresh disk; with `members`, it has the genesis of a history of so many.
    fn formatted(node: usize, identity: Identity, replicas: usize, members: usize) -> Result<Self, String> {
        let mut journal = MemoryJournal::format(CLUSTER, identity, FRAME_LEN_MAX)?;
        // Its files then name its ring, and every later start finds that.
        let mut tail = journal.open(MemoryTail::new(RING_BYTES))?.tail;
        if members > 0 {
            let members: Vec<_> = (0..members).map(|node| member(node, members, false)).collect();
            bootstrap(&mut tail, &Keyring::none(CLUSTER), HISTORY, &members)?;
        }
        let replica = start(node, identity, replicas, &journal, tail.into_memory())?;
        Ok(Self {
            engine: Engine::Replica(Box::new(replica)),
            node,
            identity,
            journal: Some(Arc::new(journal)),
            delivered: Vec::new(),
            retracted_final: false,
        })
    }

    /// A subscriber from the stream's start on.
    pub(super) fn reader(node: usize, replicas: usize, delivery: Delivery) -> Self {
        let me = Identity { replica: 200, incarnation: 1 };
        let limits = SubscriberLimits {
            receiver: receiver(me, node, replicas),
            delivery,
            start: Start::From(1),
            lag_report_ns: NEVER,
            ..SubscriberLimits::default()
        };
        Self {
            engine: Engine::Reader(Box::new(SubscriberEngine::new(SimNet::default(), limits)), delivery),
            node,
            identity: me,
            journal: None,
            delivered: Vec::new(),
            retracted_final: false,
        }
    }

    /// One step: the input, then turns until all its consequences have been sent. Returns what was sent.
    pub(super) fn step(&mut self, input: Input<'_>, replicas: usize) -> Result<Vec<(To, Vec<u8>)>, String> {
        match (&mut self.engine, input) {
            (Engine::Replica(replica), Input::Hear(bytes, from)) => hear(replica.net_mut(), bytes, from),
            (Engine::Reader(reader, _), Input::Hear(bytes, from)) => hear(reader.net_mut(), bytes, from),
            (Engine::Replica(replica), Input::Campaign { round_max }) => {
                replica.campaign_now(NOW, round_max);
            }
            (Engine::Replica(replica), Input::Heartbeat) => replica.heartbeat_now(),
            (Engine::Replica(replica), Input::Crash) => {
                let memory = replica.tail().clone().into_memory();
                let journal = self.journal.as_ref().expect("a replica has a journal");
                **replica = start(self.node, self.identity, replicas, journal, memory)?;
            }
            (Engine::Replica(_), Input::Lose) => {
                let is_reused = planted(Mutation::IdentityReusedAfterLoss);
                let another = if is_reused { 0 } else { REBORN };
                let reborn = Identity { incarnation: self.identity.incarnation + another, ..self.identity };
                *self = Self::formatted(self.node, reborn, replicas, 0)?;
            }
            (Engine::Reader(..), _) => {}
        }
        // The first turn takes the input in; the second sends the consequences: a winner stamps, and a
        // process with a gap requests it.
        self.turn();
        self.turn();
        Ok(self.sent())
    }

    fn turn(&mut self) {
        let Self { engine, delivered, retracted_final, .. } = self;
        match engine {
            Engine::Replica(replica) => {
                replica.poll(NOW, lockstep_wire::Wall(WALL_NS));
            }
            Engine::Reader(reader, delivery) => {
                reader.poll(NOW, 64, |event| {
                    match event {
                        SubscriberEvent::Message(message) => {
                            delivered.push((message.seq, message.publisher, message.publisher_seq));
                        }
                        SubscriberEvent::Retract { from } => {
                            *retracted_final |= *delivery == Delivery::Committed;
                            delivered.retain(|(seq, ..)| *seq < from);
                        }
                        _ => {}
                    }
                    ControlFlow::Continue(())
                });
            }
        }
    }

    /// Takes what was sent, and drops what is no part of the state.
    fn sent(&mut self) -> Vec<(To, Vec<u8>)> {
        let net = match &mut self.engine {
            Engine::Replica(replica) => replica.net_mut(),
            Engine::Reader(reader, _) => reader.net_mut(),
        };
        let mut sent = std::mem::take(net).sent;
        for (_, bytes) in &mut sent {
            unnumber(bytes);
        }
        match &mut self.engine {
            Engine::Replica(replica) => replica.forget_times(NOW),
            Engine::Reader(reader, _) => reader.core.forget_times(),
        }
        sent
    }

    /// The facts that the rules check; `round_max` bounds the candidacies.
    pub(super) fn facts(&self, round_max: u32) -> Facts {
        match &self.engine {
            Engine::Replica(replica) => replica_facts(replica, round_max),
            Engine::Reader(reader, _) => {
                let (end, committed) = reader.core.ends();
                let committed = committed.unwrap_or(LogEnd::BLANK);
                let mut facts = Facts {
                    end: end.unwrap_or(LogEnd::BLANK),
                    committed: (committed.next, committed.chain, reader.core.epoch()),
                    ..Facts::default()
                };
                if reader.core.is_ended() {
                    facts.wrong = Some("S10: the reader found two streams under one name".into());
                }
                if self.retracted_final {
                    facts.wrong = Some("S6: a committed reader was told to retract".into());
                }
                facts
            }
        }
    }

    /// Whether it is a reader, and its delivery mode.
    pub(super) fn delivery(&self) -> Option<Delivery> {
        match &self.engine {
            Engine::Replica(_) => None,
            Engine::Reader(_, delivery) => Some(*delivery),
        }
    }

    /// The frames of a replica's log.
    pub(super) fn frames(&self) -> Vec<Placed> {
        let Engine::Replica(replica) = &self.engine else { return Vec::new() };
        let tail = replica.tail();
        let spans = std::iter::successors(tail.find(1), |span| tail.after(*span));
        spans.filter_map(|span| tail.frame(span).ok()).map(|frame| Placed::of(&frame)).collect()
    }

    /// Two processes with the same digest behave alike from now on.
    pub(super) fn digest(&self) -> u128 {
        let mut digest = Digest::default();
        self.identity.hash(&mut digest);
        self.delivered.hash(&mut digest);
        match &self.engine {
            Engine::Replica(replica) => {
                let tail = replica.tail();
                replica.hash_state(&mut digest);
                // The chain stands for all frames before it.
                (tail.end(), tail.promised(), tail.staged_end(), tail.oldest_seq()).hash(&mut digest);
            }
            Engine::Reader(reader, _) => reader.core.hash(&mut digest),
        }
        digest.both()
    }
}

fn hear(net: &mut SimNet, bytes: &[u8], from: Option<usize>) {
    match from {
        None => net.groups.push_back(bytes.to_vec()),
        Some(from) => net.unicast.push_back((bytes.to_vec(), Some(address(from)))),
    }
}

/// Clears numbers and tokens. They distinguish copies, which nothing here does: all copies are one.
fn unnumber(bytes: &mut [u8]) {
    let Some(header) = Header::peek(bytes) else { return };
    let kind = Kind::from_u8(header.kind);
    if matches!(kind, None | Some(Kind::Frame | Kind::Submission)) {
        return;
    }
    if kind == Some(Kind::Nack) {
        bytes[HEADER_LEN..HEADER_LEN + 8].fill(0);
    }
    seal(bytes, Header { number: 1, ..header });
}

fn replica_facts(replica: &ReplicaEngine<MemoryPorts>, round_max: u32) -> Facts {
    let tail = replica.tail();
    let (epoch, commit_next) = replica.core.counted();
    let mut wrong = None;
    let before = commit_next.checked_sub(1).filter(|seq| *seq > 0);
    let chain = match before.map(|seq| tail.find(seq)) {
        None => 0,
        Some(None) => {
            wrong = Some(format!(
                "S4: commit {commit_next} is past the own log, which ends at {}",
                tail.end().next
            ));
            0
        }
        Some(Some(span)) => match tail.frame(span) {
            Ok(frame) if frame.header.next_seq() == commit_next => frame.chain_after(),
            _ => {
                wrong = Some(format!("S4: commit {commit_next} lies inside a frame"));
                0
            }
        },
    };
    if replica.core.is_stopped() {
        wrong = Some("the node stopped: it found a divergence, or a cut into what is committed".into());
    }
    Facts {
        end: tail.end(),
        committed: (commit_next, chain, epoch),
        promised: tail.promised(),
        leads: replica.leads(),
        campaigns: replica.may_campaign(round_max),
        wrong,
    }
}
