//! # lone: one message, in virtual time
//!
//! The question: how long do the production engines need for a lone message on a network, and which datagrams
//! do they send for it, where nothing fails or where the leader's machine is dead? Timers are the engines'
//! defaults, and all clocks move. A turn takes no time, and a process has one when anything arrives.
//!
//! ```text
//!   all is open and quiet │ request ─▶ submission ─▶ frame ─▶ acks ─▶ delivered on each machine
//!                         │ the leader is dead ──▶ its watcher's notice ─▶ takeover ─▶ frame ─▶ …
//! ```
//!
//! Each machine has a replica, and a reader of the stream beside it. A datagram of a machine to itself takes
//! no time. The publisher's process runs on the second machine, so that it is not beside the leader.

use crate::cluster::{BEGIN_NS, ClusterDelivery, ClusterProcess, ClusterSettings, TURN_NS, address, node_of};
use crate::coverage::Coverage;
use crate::explore::WatchedMessage;
use crate::net::To;
use crate::rng::Rng;
use crate::wire::{NetworkModel, Route, SimNetwork, SimPacket};
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::world::SILENCE;
use lockstep_wire::{Header, Kind, MEMBERS_MAX, Nanos, SMALL_LEN_MAX};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The machine of the replica that leads.
pub const LEADER: usize = 0;
/// The machine of the publisher.
const PUBLISHER: usize = 1;
const PAYLOAD: [u8; 8] = [1; 8];
const RING_BYTES: usize = 256 << 10;
/// As a client's endpoint has it by default.
const RESEND_NS: [Nanos; 2] = [1_000_000, 100_000_000];
/// Heartbeats and acks of an idle cluster are repeated each millisecond. The request comes when each replica
/// has sent one of them within this time, so that those of the run are sent for the message.
const REPEATED_NS: Nanos = 700_000;
/// The heartbeats that follow a frame sooner are over by then.
const CALM_NS: Nanos = 1_000_000;
/// The cluster is open by then.
const OPEN_NS_MAX: Nanos = 1_000_000_000;
/// Turns of a process at one moment, at most.
const TURNS_MAX: usize = 64;
/// Datagrams of a run, at most.
const DATAGRAMS_MAX: usize = 10_000;

/// The parameters of a run. Times are in units of the network's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoneScene {
    /// Replicas.
    pub replicas: usize,
    /// The delivery mode of the readers.
    pub delivery: Delivery,
    /// The network between the machines; it is to lose nothing.
    pub network: NetworkModel,
    /// The seed of its delays.
    pub seed: u64,
    /// One unit by the clocks of the engines.
    pub unit_ns: Nanos,
    /// The leader's machine dies before the request, and so long after it the notice of that death is at all
    /// standbys. A watcher sends it, no timeout is waited for.
    pub death_known_after: Option<u64>,
    /// The run ends so long after the request at the latest.
    pub horizon: u64,
}

/// A datagram of the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoneDatagram {
    /// Its kind, as the wire table names it.
    pub kind: String,
    /// The machine that sent it.
    pub from: usize,
    /// The other machines that receive it.
    pub to: Vec<usize>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A datagram arrives at a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoneArrival {
    /// When.
    pub at: u64,
    /// The machine.
    pub machine: usize,
    /// The datagram, by its place among those of the run; `None` is the notice of the leader's death.
    pub datagram: Option<usize>,
    /// Whether the reader of the machine delivers the message then, for the first time.
    pub is_delivery: bool,
}

/// A run, from the request until nothing is under way and the reader of each machine that lives has
/// delivered the message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoneRun {
    /// All datagrams that were sent, in order.
    pub datagrams: Vec<LoneDatagram>,
    /// Time from the request until the reader of each machine delivers it; `None` if it never does.
    pub delays: Vec<Option<u64>>,
    /// The messages that the reader of each machine has delivered, in order, those that it took back too.
    pub delivered: Vec<Vec<WatchedMessage>>,
    /// All arrivals, in order; of a datagram at the processes of one machine: one.
    pub arrivals: Vec<LoneArrival>,
}

/// Runs one message through the replicas, with a reader beside each.
///
/// # Errors
/// In words, if there cannot be so many replicas, the cluster does not start, or too much is sent.
pub fn lone_message(scene: &LoneScene) -> Result<LoneRun, String> {
    let mut cluster = LoneCluster::new(scene)?;
    cluster.open()?;
    cluster.request()?;
    cluster.run()
}

/// A datagram as its process sent it.
struct Outgoing {
    from: usize,
    to: To,
    bytes: Vec<u8>,
}

struct LoneProcess {
    process: ClusterProcess,
    wake_at: u64,
    sent_at: u64,
}

impl LoneProcess {
    fn new(process: ClusterProcess) -> Self {
        Self { process, wake_at: 0, sent_at: 0 }
    }
}

/// The replicas, then the readers, then the publisher.
struct LoneCluster {
    scene: LoneScene,
    now: u64,
    processes: Vec<LoneProcess>,
    dead: Option<usize>,
    network: SimNetwork,
    coverage: Coverage,
    sent: Vec<Rc<Outgoing>>,
    framed_at: u64,
    /// When the request is made, and the number of the first datagram after it.
    began: Option<(u64, usize)>,
    notice: Option<usize>,
    run: LoneRun,
}

impl LoneCluster {
    fn new(scene: &LoneScene) -> Result<Self, String> {
        let replicas = scene.replicas;
        if !(2..=MEMBERS_MAX).contains(&replicas) {
            return Err(format!("{replicas} replicas: take 2 to {MEMBERS_MAX}"));
        }
        let settings = ClusterSettings {
            replicas,
            ring_bytes: RING_BYTES,
            failure_detector: SILENCE,
            resend_ns: RESEND_NS,
        };
        let mut processes = Vec::new();
        for node in 0..replicas {
            processes.push(settings.replica(node)?);
        }
        processes.extend((replicas..2 * replicas).map(|node| settings.reader(node, scene.delivery)));
        processes.push(settings.publisher(2 * replicas));
        Ok(Self {
            scene: *scene,
            now: 0,
            processes: processes.into_iter().map(LoneProcess::new).collect(),
            dead: None,
            network: SimNetwork::new(Rng::new(scene.seed)),
            coverage: Coverage::default(),
            sent: Vec::new(),
            framed_at: 0,
            began: None,
            notice: None,
            run: LoneRun {
                delays: vec![None; replicas],
                delivered: vec![Vec::new(); replicas],
                ..LoneRun::default()
            },
        })
    }

    fn publisher(&self) -> usize {
        2 * self.scene.replicas
    }

    fn machine(&self, process: usize) -> usize {
        if process == self.publisher() { PUBLISHER } else { process % self.scene.replicas }
    }

    fn is_dead(&self, machine: usize) -> bool {
        self.dead == Some(machine)
    }

    /// The clocks of all processes now.
    fn clock(&self) -> Nanos {
        BEGIN_NS + self.now * self.scene.unit_ns
    }

    /// The time of the network at which the clocks show `clock`, or a moment later.
    fn time_of(&self, clock: Nanos) -> u64 {
        (clock - BEGIN_NS).div_ceil(self.scene.unit_ns)
    }

    /// The next turn without an arrival, and its process.
    fn next_turn(&self) -> (u64, usize) {
        let alive = (0..self.processes.len()).filter(|process| !self.is_dead(self.machine(*process)));
        alive.map(|process| (self.processes[process].wake_at, process)).min().unwrap_or((u64::MAX, 0))
    }

    /// Opens the publisher, and goes on until nothing happens but that an idle cluster repeats itself.
    fn open(&mut self) -> Result<(), String> {
        while !self.is_idle() {
            if self.clock() > BEGIN_NS + OPEN_NS_MAX {
                return Err("the publisher is not open after a second".to_owned());
            }
            self.step()?;
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        let end = self.processes[LEADER].process.end();
        let age_ns = |at: u64| (self.now - at) * self.scene.unit_ns;
        self.processes[self.publisher()].process.opened().is_some()
            && self.network.next_arrival().is_none()
            && self.processes.iter().all(|node| node.process.has_read(end))
            && self.processes[..self.scene.replicas].iter().all(|node| age_ns(node.sent_at) < REPEATED_NS)
            && age_ns(self.framed_at) > CALM_NS
    }

    /// The leader dies, if it is to; the publisher hands its message in.
    fn request(&mut self) -> Result<(), String> {
        if let Some(known_after) = self.scene.death_known_after {
            self.end_leader(self.now + known_after)?;
        }
        self.began = Some((self.now, self.sent.len()));
        let publisher = self.publisher();
        if !self.processes[publisher].process.publish(&PAYLOAD) {
            return Err("the publisher does not take a message".to_owned());
        }
        self.act(publisher);
        Ok(())
    }

    /// The leader's machine is dead from now on, and the standbys have its watcher's notice at `known_at`.
    fn end_leader(&mut self, known_at: u64) -> Result<(), String> {
        let mut bytes = vec![0; SMALL_LEN_MAX];
        let length = match &self.processes[LEADER].process {
            ClusterProcess::Replica(leader) => leader.death_notice(&mut bytes),
            ClusterProcess::Publisher(..) | ClusterProcess::Reader(_) => 0,
        };
        if length == 0 {
            return Err("the first replica does not lead".to_owned());
        }
        bytes.truncate(length);
        self.dead = Some(LEADER);
        let number = self.sent.len();
        self.notice = Some(number);
        self.sent.push(Rc::new(Outgoing { from: LEADER, to: To::Group(Group::Control), bytes }));
        for to in (0..self.scene.replicas).filter(|to| *to != LEADER) {
            self.post(known_at, LEADER, to, number);
        }
        Ok(())
    }

    fn run(mut self) -> Result<LoneRun, String> {
        let (began, _) = self.began.unwrap_or_default();
        loop {
            let is_over = self.network.next_arrival().is_none()
                && (0..self.scene.replicas)
                    .all(|machine| self.is_dead(machine) || self.run.delays[machine].is_some());
            if is_over || self.now > began + self.scene.horizon {
                return Ok(self.run);
            }
            if self.run.datagrams.len() > DATAGRAMS_MAX {
                return Err(format!("more than {DATAGRAMS_MAX} datagrams for one message"));
            }
            self.step()?;
        }
    }

    /// The next arrival or turn; an arrival before a timer that is over at the same time.
    fn step(&mut self) -> Result<(), String> {
        let (turn_at, process) = self.next_turn();
        let Some(at) = self.network.next_arrival().filter(|at| *at <= turn_at) else {
            self.now = turn_at;
            self.act(process);
            return Ok(());
        };
        self.now = at;
        if let Some(packet) = self.network.arrive(at, &mut self.coverage) {
            let number: [u8; 8] = packet.bytes.try_into().map_err(|_| "a packet without a number")?;
            self.arrive(u64::from_le_bytes(number) as usize, packet.route.to);
        }
        Ok(())
    }

    /// A datagram arrives at the processes of a machine that hear it.
    fn arrive(&mut self, number: usize, machine: usize) {
        if self.is_dead(machine) {
            return;
        }
        let row = self.run.arrivals.len();
        let is_new = self.run.delays[machine].is_none();
        if let Some((began, first)) = self.began {
            let datagram = if self.notice == Some(number) { None } else { number.checked_sub(first) };
            let at = self.now - began;
            self.run.arrivals.push(LoneArrival { at, machine, datagram, is_delivery: false });
        }
        let datagram = Rc::clone(&self.sent[number]);
        let (from, group) = match datagram.to {
            To::Group(group) => (None, Some(group)),
            To::Unicast(_) => (Some(address(datagram.from)), None),
        };
        for process in self.hearers(datagram.from, datagram.to) {
            if self.machine(process) == machine
                && self.processes[process].process.net().arrive(datagram.bytes.clone(), from, group)
            {
                self.act(process);
            }
        }
        if let Some(arrival) = self.run.arrivals.get_mut(row) {
            arrival.is_delivery = is_new && self.run.delays[machine].is_some();
        }
    }

    /// The processes that hear a datagram.
    fn hearers(&self, from: usize, to: To) -> Vec<usize> {
        let hears = |process: &usize| match to {
            To::Group(Group::Submit) => *process < self.scene.replicas,
            To::Group(_) => true,
            To::Unicast(to) => node_of(to) == *process,
        };
        (0..self.processes.len()).filter(|process| *process != from).filter(hears).collect()
    }

    /// A process has turns until all consequences of its input have been sent: one turn takes the input in,
    /// a later one sends what follows.
    fn act(&mut self, process: usize) {
        let clock = self.clock();
        for turn in 0..TURNS_MAX {
            let mut delivered: Vec<ClusterDelivery> = Vec::new();
            let node = &mut self.processes[process];
            let wake_ns = node.process.turn(clock, |delivery| delivered.push(delivery));
            let net = node.process.net();
            let sent = std::mem::take(&mut net.sent);
            let is_quiet = sent.is_empty() && !net.has_arrivals();
            self.processes[process].wake_at = self.time_of(wake_ns.max(clock + TURN_NS)).max(self.now + 1);
            self.on_delivered(process, &delivered);
            for (to, bytes) in sent {
                self.send(process, to, bytes);
            }
            if turn > 0 && is_quiet {
                break;
            }
        }
    }

    fn on_delivered(&mut self, process: usize, delivered: &[ClusterDelivery]) {
        let (Some((began, _)), false) = (self.began, delivered.is_empty()) else { return };
        let machine = self.machine(process);
        self.run.delivered[machine]
            .extend(delivered.iter().map(|message| (message.publisher, message.number)));
        self.run.delays[machine].get_or_insert(self.now - began);
    }

    fn send(&mut self, process: usize, to: To, bytes: Vec<u8>) {
        let from = self.machine(process);
        let hearers = self.hearers(process, to);
        let machines: BTreeSet<usize> = hearers.into_iter().map(|process| self.machine(process)).collect();
        let number = self.sent.len();
        let kind = Header::peek(&bytes).and_then(|header| Kind::from_u8(header.kind));
        self.processes[process].sent_at = self.now;
        if kind == Some(Kind::Frame) {
            self.framed_at = self.now;
        }
        if self.began.is_some() {
            self.run.datagrams.push(LoneDatagram {
                kind: kind.map_or_else(String::new, |kind| format!("{kind:?}")),
                from,
                to: machines.iter().copied().filter(|to| *to != from).collect(),
                bytes: bytes.len() as u64,
            });
        }
        self.sent.push(Rc::new(Outgoing { from: process, to, bytes }));
        self.network.next_number();
        for &to in machines.iter().filter(|to| **to != from) {
            let route = Route { from, to, group: None };
            let number = (number as u64).to_le_bytes();
            self.network.send(&self.scene.network, self.now, route, &number, &mut self.coverage);
        }
        if machines.contains(&from) {
            // Behind what arrives at this moment already.
            self.post(self.now, from, from, number);
        }
    }

    /// A datagram arrives at that time, whatever the network.
    fn post(&mut self, at: u64, from: usize, to: usize, number: usize) {
        let (route, number) = (Route { from, to, group: None }, number as u64);
        let bytes = number.to_le_bytes().to_vec();
        self.network.post(at, SimPacket { route, number, sent_at: self.now, bytes });
    }
}
