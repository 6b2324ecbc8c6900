//! The cluster as a whole: the local states and the transitions between them, the datagrams, and the states
//! that are made of them.

mod perfect_network;
mod space;
pub mod watched;

use super::digest::Digest;
use super::process::{self, CLUSTER, ExploredProcess, Facts, HISTORY, Input, address};
use super::rules::{self, ClaimLog, Committed, SentClaims};
use super::{ExploreScope, Explored, Searched, Space, Trace, Violation};
use crate::net::To;
use bytemuck::Zeroable;
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_wire::{
    Datagram, EntryHeader, EntryKind, Epoch, HEADER_LEN, Header, Keyring, Kind, MEMBERSHIP_LEN_MAX,
    OpenFrame, PublisherId, PublisherSeq, Seq, write_membership, write_open,
};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most processes of a scope.
pub(super) const NODES_MAX: usize = 6;
/// Processes that are retained whole; the others are made again from the steps that led to them.
const LIVE_MAX: usize = 4_096;
/// A command may follow the membership of any of so many seqs.
const MEMBERSHIPS_MAX: u64 = 8;
/// Rounds above the scope's that a healed network may need.
const HEALING_ROUNDS: u32 = 6;

/// One step: an input of one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SystemStep {
    node: u8,
    input: u32,
}

const CAMPAIGN: u32 = 0;
const HEARTBEAT: u32 = 1;
const CRASH: u32 = 2;
const LOSE: u32 = 3;
/// A candidacy beyond the scope's rounds, to see whether a state is stuck.
const HEAL: u32 = 4;
/// The number of a datagram is counted from here on.
const RECEIVE: u32 = 5;

/// A state of the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SystemState {
    nodes: [u32; NODES_MAX],
    reference: Committed,
    crashes: u8,
    losses: u8,
    /// The datagrams sent, ascending.
    bag: Vec<u32>,
}

impl SystemState {
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        self.nodes.iter().for_each(|local| digest.write_u32(*local));
        (self.reference, self.crashes, self.losses).hash(&mut digest);
        digest.write(bytemuck::cast_slice(&self.bag));
        digest.finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whom {
    Replicas,
    /// An operator's command: a standby that stored each of them would be another local state by each.
    Leader,
    All,
    One(usize),
}

struct Sent {
    bytes: Vec<u8>,
    from: usize,
    unicast: bool,
    to: Whom,
    claims: SentClaims,
    datagrams: String,
}

/// The effect of a step.
#[derive(Clone, Debug)]
enum Effect {
    Nothing,
    Next { local: u32, sent: Vec<u32> },
    Wrong(String),
}

struct Local {
    facts: Facts,
    /// What a reader's application has as delivered, where another judge watches.
    delivered: Vec<(Seq, PublisherId, PublisherSeq)>,
    parent: (u32, u32),
    /// By input, 0 where the engine has not run yet.
    effects: Vec<u32>,
}

#[derive(Default)]
struct Locals {
    by_digest: BTreeMap<u128, u32>,
    states: Vec<Local>,
    live: BTreeMap<u32, Box<ExploredProcess>>,
    order: VecDeque<u32>,
}

/// See the module.
pub(super) struct System {
    scope: ExploreScope,
    /// Whether the rules are checked here; another judge may watch the cluster.
    judges: bool,
    locals: Vec<Locals>,
    by_bytes: BTreeMap<(usize, Vec<u8>), u32>,
    sent: Vec<Sent>,
    effects: Vec<Effect>,
    book: ClaimLog,
    first: SystemState,
}

fn submission(kind: EntryKind, publisher: u32, number: u64, incarnation: u32, payload: &[u8]) -> Vec<u8> {
    let mut memory = vec![0; 512];
    let mut open = OpenFrame::default();
    let header = EntryHeader {
        kind: kind as u8,
        publisher,
        publisher_seq: number,
        time_or_incarnation: incarnation,
        ..EntryHeader::zeroed()
    };
    open.push(&mut memory, header, payload);
    let (length, keys) = (open.len(), Keyring::none(CLUSTER));
    let header = Header { cluster: CLUSTER, history: HISTORY, ..Header::new(Kind::Submission) };
    open.close(&mut memory, &keys, header, length);
    memory.truncate(length);
    memory
}

/// The submission that opens a publisher. They are opened in order, so that `publisher` is its id.
pub(super) fn open_submission(publisher: PublisherId) -> Vec<u8> {
    let mut payload = [0; 64];
    let name = char::from(b'a' - 1 + publisher as u8).to_string();
    let length = write_open(&mut payload, [u64::from(publisher), 1], 0, &name);
    submission(EntryKind::Open, 0, 0, 0, &payload[..length])
}

/// The submission of its message `number`.
pub(super) fn value_submission(publisher: PublisherId, number: u64) -> Vec<u8> {
    submission(EntryKind::Message, publisher, number, 1, &[number as u8; 8])
}

impl System {
    /// A cluster in which epoch 1 has begun, and the publishers are open, for all; then the submissions
    /// follow. `judges`: the rules are checked.
    pub(super) fn new(scope: &ExploreScope, judges: bool) -> Result<Self, String> {
        let nodes = scope.replicas + usize::from(scope.reader.is_some());
        if scope.replicas == 0 || nodes > NODES_MAX {
            return Err(format!("{nodes} processes: take 1 to {NODES_MAX}, at least one of them a replica"));
        }
        let nobody = Committed { next: 1, chain: 0, epoch: Epoch::NONE };
        let mut system = Self {
            scope: scope.clone(),
            judges,
            locals: (0..nodes).map(|_| Locals::default()).collect(),
            by_bytes: BTreeMap::new(),
            sent: Vec::new(),
            effects: vec![Effect::Nothing],
            book: ClaimLog::default(),
            first: SystemState {
                nodes: [0; NODES_MAX],
                reference: nobody,
                crashes: 0,
                losses: 0,
                bag: Vec::new(),
            },
        };
        for node in 0..nodes {
            let process = match scope.reader {
                Some(delivery) if node == scope.replicas => {
                    ExploredProcess::reader(node, scope.replicas, delivery)
                }
                _ => ExploredProcess::replica(node, scope.replicas, scope.members, scope.heirs)?,
            };
            system.intern(node, process, (u32::MAX, 0))?;
        }
        let mut state = system.first.clone();
        let mut trace = Vec::new();
        for publisher in 1..=scope.publishers {
            system.put(&mut state, nodes, To::Group(Group::Submit), open_submission(publisher));
            for _ in 0..4 {
                // The leader's heartbeat announces the commit to everybody.
                state = system.quiet(&state, &mut trace)?;
                for node in 0..scope.replicas {
                    let heartbeat = SystemStep { node: node as u8, input: HEARTBEAT };
                    state = system.follow(&state, heartbeat, &mut trace)?;
                }
            }
            state = system.quiet(&state, &mut trace)?;
        }
        state.bag.clear();
        for publisher in 1..=scope.publishers {
            for number in 1..=scope.values {
                let value = value_submission(publisher, number);
                system.put(&mut state, nodes, To::Group(Group::Submit), value);
            }
        }
        for &(change, node) in &scope.changes {
            let member = process::member(node, scope.members, scope.heirs);
            // A command names the membership that it follows, whichever that will be.
            for after in 2..2 + MEMBERSHIPS_MAX {
                let mut payload = [0; MEMBERSHIP_LEN_MAX];
                let length = write_membership(&mut payload, after, change, member, &[]);
                let order = submission(EntryKind::Membership, 0, 0, 0, &payload[..length]);
                system.put(&mut state, nodes, To::Group(Group::Submit), order);
            }
        }
        system.first = SystemState { crashes: scope.crashes, losses: scope.losses, ..state };
        Ok(system)
    }

    /// The result of a search of this cluster, its story in words.
    pub(super) fn explored(&self, found: Searched<SystemStep>) -> Explored {
        let story = found.violation.map(|Violation { what, steps }| Trace {
            violation: what,
            steps: steps.into_iter().map(|step| self.words(step)).collect(),
        });
        Explored {
            states: found.states,
            steps: found.steps,
            depth: found.depth,
            whole: found.whole,
            local_states: self.locals.iter().map(|locals| locals.states.len() as u64).sum(),
            datagrams: self.sent.len() as u64,
            settled: found.settled,
            story,
        }
    }

    fn facts(&self, state: &SystemState, node: usize) -> &Facts {
        &self.locals[node].states[state.nodes[node] as usize].facts
    }

    fn hears(&self, state: &SystemState, node: usize, number: u32) -> bool {
        let sent = &self.sent[number as usize];
        sent.from != node
            && match sent.to {
                Whom::All => true,
                Whom::Replicas => node < self.scope.replicas,
                Whom::One(to) => to == node,
                Whom::Leader => node < self.scope.replicas && self.facts(state, node).leads.is_some(),
            }
    }

    /// Checks between processes after a step of `node`.
    fn check(&self, before: &SystemState, after: &mut SystemState, node: usize) -> Result<(), String> {
        if !self.judges {
            return Ok(());
        }
        for number in &after.bag {
            if before.bag.binary_search(number).is_err() {
                let claims = &self.sent[*number as usize].claims;
                if matches!(claims, SentClaims::Frame { .. }) {
                    for other in &before.bag {
                        let other = &self.sent[*other as usize];
                        rules::check_frame(claims, &other.claims).map_err(|wrong| {
                            format!("{wrong}: {}; {}", other.datagrams, self.sent[*number as usize].datagrams)
                        })?;
                    }
                }
            }
        }
        let (was, is) = (self.facts(before, node), self.facts(after, node));
        if let Some(epoch) = is.leads
            && was.leads != Some(epoch)
        {
            self.book.check_leader(before.reference, epoch, is.end.chain)?;
            for other in (0..self.scope.replicas).filter(|other| *other != node) {
                if self.facts(after, other).leads == Some(epoch) {
                    return Err(format!("S1: replicas {} and {} both lead {epoch}", node + 1, other + 1));
                }
            }
        }
        if is.committed != was.committed {
            let (next, chain, epoch) = is.committed;
            after.reference = self.book.agree(after.reference, Committed { next, chain, epoch })?;
        }
        Ok(())
    }

    // ---- what the engines do ----

    fn effect(&mut self, node: usize, local: u32, input: u32) -> Effect {
        let effects = &mut self.locals[node].states[local as usize].effects;
        if effects.len() <= input as usize {
            effects.resize(input as usize + 1, 0);
        }
        if let known @ 1.. = effects[input as usize] {
            return self.effects[known as usize - 1].clone();
        }
        let effect = self.run(node, local, input);
        let number = if matches!(effect, Effect::Nothing) {
            1
        } else {
            self.effects.push(effect.clone());
            self.effects.len() as u32
        };
        self.locals[node].states[local as usize].effects[input as usize] = number;
        effect
    }

    /// Runs the engine.
    fn run(&mut self, node: usize, local: u32, input: u32) -> Effect {
        if input == LOSE && self.scope.restores_snapshots {
            return Effect::Next { local: self.first.nodes[node], sent: Vec::new() };
        }
        let mut process = self.process(node, local);
        let outgoing = match self.turn(&mut process, input) {
            Ok(outgoing) => outgoing,
            Err(wrong) => return Effect::Wrong(wrong),
        };
        let next = match self.intern(node, process, (local, input)) {
            Ok(next) => next,
            Err(wrong) => return Effect::Wrong(wrong),
        };
        let states = &self.locals[node].states;
        let (before, after) = (&states[local as usize].facts, &states[next as usize].facts);
        let (restarted, reborn) = (matches!(input, CRASH | LOSE), input == LOSE);
        if self.judges
            && let Err(wrong) = rules::check_step(before, after, restarted, reborn)
        {
            return Effect::Wrong(wrong);
        }
        let mut sent = Vec::new();
        for (to, bytes) in outgoing {
            let Some(number) = self.number(node, to, bytes) else { continue };
            let facts = &self.locals[node].states[next as usize].facts;
            if self.judges
                && let Err(wrong) = rules::check_claims(&self.sent[number as usize].claims, facts)
            {
                return Effect::Wrong(wrong);
            }
            sent.push(number);
        }
        if next == local && sent.is_empty() { Effect::Nothing } else { Effect::Next { local: next, sent } }
    }

    fn turn(&self, process: &mut ExploredProcess, input: u32) -> Result<Vec<(To, Vec<u8>)>, String> {
        let round_max = self.scope.round_max;
        let input = match input {
            CAMPAIGN => Input::Campaign { round_max },
            HEAL => Input::Campaign { round_max: round_max + HEALING_ROUNDS },
            HEARTBEAT => Input::Heartbeat,
            CRASH => Input::Crash,
            LOSE => Input::Lose,
            _ => {
                let sent = &self.sent[(input - RECEIVE) as usize];
                Input::Hear(&sent.bytes, sent.unicast.then_some(sent.from))
            }
        };
        let replicas = self.scope.replicas;
        // A release assertion is a rule as well.
        catch_unwind(AssertUnwindSafe(|| process.step(input, replicas))).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            Err(words
                .or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).into()))
                .unwrap_or_default())
        })
    }

    /// The process in this local state, made again from the steps that led to it if it is not retained.
    fn process(&mut self, node: usize, local: u32) -> ExploredProcess {
        let (mut at, mut again) = (local, Vec::new());
        while !self.locals[node].live.contains_key(&at) {
            let (parent, input) = self.locals[node].states[at as usize].parent;
            again.push((at, input));
            at = parent;
        }
        let mut process = (*self.locals[node].live[&at]).clone();
        for (made, input) in again.into_iter().rev() {
            // The turn succeeded the first time.
            let _ = self.turn(&mut process, input);
            let known = self.locals[node].by_digest.get(&process.digest());
            assert_eq!(known, Some(&made), "a turn is no function of the process and its input");
            self.keep(node, made, process.clone());
        }
        process
    }

    fn keep(&mut self, node: usize, local: u32, process: ExploredProcess) {
        let locals = &mut self.locals[node];
        locals.live.insert(local, Box::new(process));
        // The first one is the origin of all others.
        if local > 0 {
            locals.order.push_back(local);
        }
        if locals.order.len() > LIVE_MAX
            && let Some(oldest) = locals.order.pop_front()
        {
            locals.live.remove(&oldest);
        }
    }

    /// The number of a local state; its log is checked once, here.
    fn intern(&mut self, node: usize, process: ExploredProcess, parent: (u32, u32)) -> Result<u32, String> {
        let digest = process.digest();
        if let Some(&known) = self.locals[node].by_digest.get(&digest) {
            return Ok(known);
        }
        let facts = process.facts(self.scope.round_max);
        process.frames().into_iter().for_each(|placed| self.book.add(placed));
        if self.judges {
            self.book.check_messages(facts.end.chain)?;
            match process.delivery() {
                Some(Delivery::Committed) => {
                    self.book.check_delivered(facts.committed.1, &process.delivered)?
                }
                Some(Delivery::Stamped) => self.book.check_delivered(facts.end.chain, &process.delivered)?,
                None => {}
            }
        }
        let locals = &mut self.locals[node];
        let number = locals.states.len() as u32;
        let delivered = if self.judges { Vec::new() } else { process.delivered.clone() };
        locals.states.push(Local { facts, delivered, parent, effects: Vec::new() });
        locals.by_digest.insert(digest, number);
        self.keep(node, number, process);
        Ok(number)
    }

    /// The number of a datagram; `None` if no process of this cluster receives it.
    fn number(&mut self, from: usize, to: To, bytes: Vec<u8>) -> Option<u32> {
        let header = Header::peek(&bytes)?;
        let asks = header.kind == Kind::Nack as u8;
        let orders = header.kind == Kind::Submission as u8
            && bytes.get(HEADER_LEN) == Some(&(EntryKind::Membership as u8));
        let (unicast, whom) = match to {
            To::Group(Group::Submit) if orders => (false, Whom::Leader),
            To::Group(Group::Submit) => (false, Whom::Replicas),
            To::Group(_) => (false, Whom::All),
            // The repairer that a reader asks first is random: any may be asked.
            To::Unicast(_) if asks => (true, Whom::Replicas),
            To::Unicast(to) => (true, Whom::One((0..self.locals.len()).find(|node| address(*node) == to)?)),
        };
        let key = (if let Whom::One(to) = whom { to } else { NODES_MAX }, bytes);
        if let Some(&known) = self.by_bytes.get(&key) {
            return Some(known);
        }
        let decoded = Datagram::decode(&key.1, &Keyring::none(CLUSTER)).ok();
        let claims = decoded.as_ref().map_or(SentClaims::Other, SentClaims::of);
        let what = Kind::from_u8(header.kind).map_or_else(String::new, |kind| format!("{kind:?}"));
        let repaired = if matches!(decoded, Some(Datagram::Frame(_, Some(_)))) { ", repaired" } else { "" };
        let words = format!(
            "{what}{repaired} of {} (seq {}, +{}, commit {}, chain {:x}){}",
            header.epoch(),
            { header.first_seq },
            { header.count },
            { header.commit_next },
            header.chain & 0xffff,
            match decoded {
                Some(Datagram::Prepare(_, body) | Datagram::Promise(_, body) | Datagram::Refuse(_, body)) =>
                    format!(" for {}", Epoch(body.ballot)),
                _ => String::new(),
            }
        );
        let number = self.sent.len() as u32;
        self.sent.push(Sent { bytes: key.1.clone(), from, unicast, to: whom, claims, datagrams: words });
        self.by_bytes.insert(key, number);
        Some(number)
    }

    fn put(&mut self, state: &mut SystemState, from: usize, to: To, bytes: Vec<u8>) {
        if let Some(number) = self.number(from, to, bytes)
            && let Err(at) = state.bag.binary_search(&number)
        {
            state.bag.insert(at, number);
        }
    }

    fn describe(&self, state: &SystemState) -> String {
        let nodes = (0..self.scope.replicas).map(|node| {
            let facts = self.facts(state, node);
            format!(
                "replica {}: log of {} up to {}, commit {}, promised {}, leads {:?}; ",
                node + 1,
                facts.end.epoch,
                facts.end.next,
                facts.committed.0,
                facts.promised,
                facts.leads.map(Epoch::round)
            )
        });
        nodes.collect()
    }
}
