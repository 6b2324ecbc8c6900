//! A replica's machine: its memory, its clock, and the process that runs there. What happens to its disk is
//! `storage`.

use super::check::Violation;
use super::disk::Disk;
use super::net::SimNet;
use super::plan::Plan;
use super::replay::{Fetching, Giving};
use super::rng::Rng;
use super::storage::Ordeal;
use crate::engine::ports::Ports;
use crate::engine::replica::{Recovered, Replica, ReplicaLimits};
use crate::journal::memory::MemoryTail;
use crate::journal::side::{Remark, Side, SideSettings};
use crate::journal::{Checkpoint, Completeness, OpenError, Retention, Settings, format, look, open};
use crate::proto::commit::Durability;
use crate::wire::{HEADER_LEN, Header, Identity, Nanos, Seq, frame_len_max};
use std::collections::BTreeMap;

/// The world of a simulated replica.
#[derive(Clone, Debug)]
pub struct SimPorts;

impl Ports for SimPorts {
    type Net = SimNet;
    type Memory = MemoryTail;
}

/// The cluster's id.
pub(super) const CLUSTER: u64 = 7;
/// Between two looks at a chore of the side thread.
const CHORE_NS: Nanos = 1_000_000;
/// What datagrams may be as long as.
pub(super) const MTU: usize = 1500;

/// What runs on a machine.
pub(super) enum State {
    /// The process.
    Up(Box<Replica<SimPorts>>),
    /// Nothing, until then; the tail's memory is still there, or is not.
    Down(Option<MemoryTail>, Nanos),
    /// Nothing ever again: its journal is gone, damaged, or may have forgotten something.
    Lost,
}

/// See the module.
pub(super) struct Machine {
    pub(super) identity: Identity,
    pub(super) state: State,
    pub(super) store: Disk,
    /// The side thread, while the process runs.
    pub(super) side: Option<Side>,
    pub(super) boot: u64,
    /// What clocks begin with, ...
    wall_ns: Nanos,
    /// ... and what this one is ahead of everybody's, in nanoseconds.
    pub(super) wall_ahead: i64,
    pub(super) disk_full_until: Nanos,
    /// What it holds until then, in bytes.
    pub(super) disk_full_bytes: u64,
    pub(super) disk_slow_until: Nanos,
    /// The journal was damaged while nobody looked.
    pub(super) damaged: bool,
    /// It runs on a journal whose damage nobody has found yet.
    pub(super) harmed: bool,
    /// Memory that held the only copy of something is gone.
    pub(super) forgot: bool,
    /// The device has failed a call once: the journal may refuse to go on, and must not forget.
    pub(super) failed: bool,
    /// What follows when the process dies in a call of its disk.
    pub(super) ordeal: Option<Ordeal>,
    /// The process was told to stop: how long it may take, and when it begins again.
    pub(super) stopping: Option<(Nanos, Nanos)>,
    /// When it has stopped in order its power goes, for so long.
    pub(super) darkens: Option<Nanos>,
    /// Whether this identity has led.
    pub(super) led: bool,
    /// What its process reads from the journals of others.
    pub(super) fetching: Option<Fetching>,
    /// What others may read of its journal.
    pub(super) giving: Giving,
    /// No process has run on what a loss of power left; one may have died while it began to.
    pub(super) cold: bool,
    /// What its side thread has said.
    pub(super) remarks: Vec<Remark>,
    /// Segments of which a bit has changed while the process ran, and what they were.
    pub(super) rotten: BTreeMap<u64, Vec<u8>>,
    /// How often others were asked in vain for what a segment lacks.
    pub(super) asked: u32,
}

/// How a start ended.
pub(super) enum Started {
    /// It runs, with these tables.
    Runs(Box<Checkpoint>),
    /// It ran already.
    Ran,
    /// It may have forgotten something, and stays silent; why.
    Silent(String),
    /// Its journal is damaged, and it says so.
    Damaged(String),
    /// The process died in a call of its disk.
    Died,
    /// The device failed a call, as it was told to.
    Failed(String),
}

impl Machine {
    /// A machine with the fresh journal of `identity`.
    pub(super) fn new(plan: &Plan, identity: Identity) -> Result<Self, Violation> {
        let mut store = Disk::default();
        store.set_power(true);
        format(&mut store, CLUSTER, identity, [1, 1]).map_err(|error| error.to_string())?;
        Ok(Self {
            identity,
            state: State::Down(Some(MemoryTail::new(plan.ring_bytes)), 0),
            store,
            side: None,
            boot: 1,
            wall_ns: plan.wall_ns,
            wall_ahead: 0,
            disk_full_until: 0,
            disk_full_bytes: 0,
            disk_slow_until: 0,
            damaged: false,
            harmed: false,
            forgot: false,
            failed: false,
            ordeal: None,
            stopping: None,
            darkens: None,
            led: false,
            fetching: None,
            giving: Giving::default(),
            remarks: Vec::new(),
            cold: false,
            rotten: BTreeMap::new(),
            asked: 0,
        })
    }

    pub(super) fn settings(&self, plan: &Plan) -> Settings {
        Settings {
            cluster: CLUSTER,
            replica: self.identity.replica,
            boot: [self.boot, self.boot],
            power: plan.durability == Durability::Power,
            frame_len_max: frame_len_max(MTU),
            segment_len: plan.segment_len,
        }
    }

    /// Does `first` to the tail before anybody leads: the birth of the history.
    pub(super) fn bear(
        &mut self,
        plan: &Plan,
        first: impl FnOnce(&mut crate::journal::Tail<MemoryTail>) -> Result<(), String>,
    ) -> Result<(), Violation> {
        let settings = self.settings(plan);
        let State::Down(memory, _) = &mut self.state else { return Ok(()) };
        let memory = memory.take().unwrap_or_else(|| MemoryTail::new(plan.ring_bytes));
        let mut opened = open(&mut self.store, memory, settings).map_err(|error| error.to_string())?;
        first(&mut opened.tail)?;
        self.state = State::Down(Some(opened.tail.into_memory()), 0);
        Ok(())
    }

    /// Starts the process on what is there.
    pub(super) fn start(
        &mut self,
        plan: &Plan,
        seat: usize,
        limits: ReplicaLimits,
    ) -> Result<Started, Violation> {
        let settings = self.settings(plan);
        self.store.set_capacity_bytes(u64::MAX);
        self.store.set_power(settings.power);
        if let Some(ended) = self.fails_to_open(plan, settings) {
            return Ok(ended);
        }
        let State::Down(memory, _) = &mut self.state else { return Ok(Started::Ran) };
        let memory = memory.take().unwrap_or_else(|| MemoryTail::new(plan.ring_bytes));
        let may_refuse = self.may_refuse();
        let looked = match look(&self.store, Some(&memory), settings) {
            Ok(looked) => looked,
            Err(error) if may_refuse => {
                self.state = State::Lost;
                return Ok(Started::Damaged(error.to_string()));
            }
            Err(error) => return Err(format!("S7: the journal of {} does not open: {error}", self.identity)),
        };
        if let Some(found) = looked.damage().first() {
            if !may_refuse {
                return Err(format!("S7: the journal of {} is found damaged: {found}", self.identity));
            }
            self.state = State::Lost;
            return Ok(Started::Damaged(found.to_string()));
        }
        if let Completeness::Incomplete(why) = looked.completeness() {
            if !may_refuse {
                return Err(format!(
                    "S9: the journal of {} is whole, and called incomplete: {why}",
                    self.identity
                ));
            }
            self.state = State::Lost;
            return Ok(Started::Silent(why.clone()));
        }
        let opened = looked.begin(&mut self.store, memory).map_err(|error| format!("S9: {error}"))?;
        let recovered = Recovered::of_journal(&opened, 16);
        let tables = Box::new(opened.checkpoint);
        let mut replica = Replica::new(SimNet::default().sparing(), opened.tail, recovered, limits)?;
        if plan.is_archiver(seat) {
            replica.core.keep_apart();
        }
        self.harmed |= self.damaged;
        (self.damaged, self.forgot, self.cold) = (false, false, false);
        self.side =
            Some(Side::new(opened.writer, opened.superblock, side_settings(plan, plan.is_archiver(seat))));
        (self.fetching, self.giving) = (None, Giving::default());
        self.state = State::Up(Box::new(replica));
        Ok(Started::Runs(tables))
    }

    /// Whether the process dies, or its device fails, while the journal is opened, and how: then what that leaves is
    /// there, the tail's memory too.
    fn fails_to_open(&mut self, plan: &Plan, settings: Settings) -> Option<Started> {
        if !self.store.is_armed() {
            return None;
        }
        let State::Down(memory, _) = &mut self.state else { return None };
        let mut store = self.store.clone();
        let mut left = memory.clone().unwrap_or_else(|| MemoryTail::new(plan.ring_bytes));
        let why: OpenError = open(&mut store, &mut left, settings).err()?;
        let (died, failed) = (store.is_dead(), store.take_struck());
        if !died && !failed {
            return None;
        }
        self.failed |= !died;
        (self.store, *memory) = (store, Some(left));
        Some(if died { Started::Died } else { Started::Failed(why.to_string()) })
    }

    /// What its wall clock shows.
    pub(super) fn wall(&self, now: Nanos) -> Nanos {
        (now + self.wall_ns).saturating_add_signed(self.wall_ahead)
    }

    /// Whether it may find damage, or call its journal incomplete.
    pub(super) fn may_refuse(&self) -> bool {
        self.damaged || self.harmed || self.forgot || self.failed || !self.rotten.is_empty()
    }

    /// The oldest seq that it can repair, or could if it began again now: a ring that is recovered begins with
    /// a block or a segment.
    pub(super) fn oldest_seq(&self, plan: &Plan) -> Option<Seq> {
        match &self.state {
            State::Up(replica) => Some(replica.tail().oldest_seq()),
            State::Down(memory, _) => {
                let memory = memory.clone().unwrap_or_else(|| MemoryTail::new(plan.ring_bytes));
                let opened = open(&mut self.store.clone(), memory, self.settings(plan)).ok()?;
                Some(opened.tail.oldest_seq())
            }
            State::Lost => None,
        }
    }

    /// The process, while it runs.
    pub(super) fn replica(&self) -> Option<&Replica<SimPorts>> {
        match &self.state {
            State::Up(replica) => Some(replica),
            _ => None,
        }
    }

    /// The process, while it runs.
    pub(super) fn replica_mut(&mut self) -> Option<&mut Replica<SimPorts>> {
        match &mut self.state {
            State::Up(replica) => Some(replica),
            _ => None,
        }
    }

    /// Whether something in its journal has changed while nobody looked.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged || self.harmed
    }

    /// Whether its next process finds on the disk what it finds.
    pub(super) fn has_rebooted(&self) -> bool {
        matches!(self.state, State::Down(None, _)) || self.cold
    }

    /// Whether nothing will ever run here again.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// What others may read, and the files that it is read from.
    pub(super) fn giving(&mut self) -> (&mut Giving, &Disk) {
        (&mut self.giving, &self.store)
    }

    /// The process dies; its tail's memory stays. Half a frame may lie behind the tail's end.
    pub(super) fn kill(&mut self, until: Nanos, torn: Option<&mut Rng>) {
        self.stopping = None;
        self.store.revive();
        let State::Up(replica) = std::mem::replace(&mut self.state, State::Lost) else { return };
        let (bytes, next) = (replica.tail().frame_len_max(), replica.tail().end());
        let mut tail = replica.into_tail();
        if let Some(rng) = torn
            && let Ok(memory) = tail.room()
        {
            // A header that looks right, and nothing behind it is.
            let length = HEADER_LEN as u64 + rng.below((bytes - HEADER_LEN) as u64);
            let header = Header {
                length: length as u32,
                count: 1,
                epoch: next.epoch.0,
                first_seq: next.next,
                chain: next.chain,
                ..Header::new(crate::wire::Kind::Frame)
            };
            memory[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
            for byte in &mut memory[HEADER_LEN..length as usize] {
                *byte = rng.next_u64() as u8;
            }
        }
        self.side = None;
        self.state = State::Down(Some(tail.into_memory()), until);
    }

    /// Whatever runs, or was about to, ends; what the disk and the tail's memory hold stays.
    pub(super) fn end(&mut self, until: Nanos) {
        self.kill_if_up(until);
        self.store.revive();
        if let State::Down(_, begins) = &mut self.state {
            *begins = until;
        }
    }

    /// The process dies, if there is one.
    pub(super) fn kill_if_up(&mut self, until: Nanos) {
        if matches!(self.state, State::Up(_)) {
            self.kill(until, None);
        }
    }

    /// The journal is gone.
    pub(super) fn forget(&mut self) {
        self.side = None;
        self.state = State::Lost;
    }
}

fn side_settings(plan: &Plan, keeps_all: bool) -> SideSettings {
    SideSettings {
        retention: if keeps_all { Retention::default() } else { plan.retention },
        packs: keeps_all && plan.packs,
        scrub_bytes_per_s: plan.scrub_bytes_per_s,
        retention_period_ns: CHORE_NS,
        pack_period_ns: CHORE_NS,
        scrub_period_ns: CHORE_NS,
        mend_period_ns: CHORE_NS,
        ..SideSettings::new(plan.durability == Durability::Power)
    }
}
