//! A replica's machine: its memory, its clock, and the process that runs there. What happens to its disk is
//! `storage`.

use super::check::Violation;
use super::clock::SimClock;
use super::configured::Configured;
use super::coverage::Event;
use super::disk::SimDisk;
use super::net::SimNet;
use super::plan::Plan;
use super::replay::{Fetching, ReplayServing};
use super::rng::Rng;
use super::rollback::JournalCopy;
use super::second::Carried;
use super::storage::StorageFault;
use lockstep_core::proto::commit::Durability;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::TailSource;
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::side::{SideEvent, SideSettings, SideThread};
use lockstep_replica::journal::{
    Checkpoint, Completeness, JournalOpenError, Retention, Settings, format, inspect, open,
};
use lockstep_replica::ports::Ports;
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::{HEADER_LEN, Header, Identity, Nanos, Seq, frame_len_max};
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
#[derive(Clone)]
pub(super) enum MachineState {
    /// The process.
    Up(Box<ReplicaEngine<SimPorts>>),
    /// Nothing, until then; the tail's memory is still there, or is not.
    Down(Option<MemoryTail>, Nanos),
    /// Nothing ever again: its journal is gone, damaged, or may have forgotten something.
    Lost,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) identity: Identity,
    /// What the process is configured with, or the next one is.
    pub(super) configured: Configured,
    /// What the next one is, if it is configured anew.
    pub(super) next_configured: Option<Configured>,
    /// The next one, if it is stopped in order, is given the tail's other path.
    pub(super) moves_tail: bool,
    /// What lies at the tail's other path.
    other_tail: Option<MemoryTail>,
    /// The tail lies elsewhere than in the run before.
    pub(super) is_tail_elsewhere: bool,
    /// Its process brings to the device what runs before it said from memory.
    pub(super) proves: bool,
    /// How often that was done, and is not counted yet.
    pub(super) proven: u32,
    /// Bytes of the ring that the process uses.
    pub(super) ring_bytes: usize,
    pub(super) state: MachineState,
    pub(super) store: SimDisk,
    /// The side thread, while the process runs.
    pub(super) side: Option<SideThread>,
    pub(super) boot: u64,
    /// Its monotonic clock.
    pub(super) clock: SimClock,
    /// What wall clocks begin with, ...
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
    pub(super) ordeal: Option<StorageFault>,
    /// The process was told to stop: how long it may take, and when it begins again.
    pub(super) stopping: Option<(Nanos, Nanos)>,
    /// When it has stopped in order its power goes, for so long.
    pub(super) darkens: Option<Nanos>,
    /// Whether this identity has led.
    pub(super) led: bool,
    /// What its process reads from the journals of others.
    pub(super) fetching: Option<Fetching>,
    /// What others may read of its journal.
    pub(super) giving: ReplayServing,
    /// No process has run on what a loss of power left; one may have died while it began to.
    pub(super) cold: bool,
    /// The newest segment when a suffix was exchanged last in this run.
    pub(super) replaced_in: Option<u64>,
    /// A copy of its folder.
    pub(super) copy: Option<JournalCopy>,
    /// Its journal is a copy that was put back, and nobody has begun to run on it.
    pub(super) rolled_back: bool,
    /// A copy of its folder and of its tail, for another machine; ...
    pub(super) carried: Option<Box<Carried>>,
    /// ... which is made anew if the process is stopped in order.
    pub(super) carries: bool,
    /// Processes that have begun here.
    pub(super) starts: u64,
    /// What its side thread has said.
    pub(super) remarks: Vec<SideEvent>,
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
    pub(super) fn new(plan: &Plan, configured: Configured, identity: Identity) -> Result<Self, Violation> {
        let mut store = SimDisk::default();
        store.set_power(true);
        format(&mut store, CLUSTER, identity, [1, 1]).map_err(|error| error.to_string())?;
        Ok(Self {
            identity,
            configured,
            next_configured: None,
            moves_tail: false,
            other_tail: None,
            is_tail_elsewhere: false,
            proves: false,
            proven: 0,
            ring_bytes: configured.ring_bytes,
            state: MachineState::Down(Some(MemoryTail::new(configured.ring_bytes)), 0),
            store,
            side: None,
            boot: 1,
            clock: plan.clock(identity.replica as usize - 1),
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
            giving: ReplayServing::default(),
            replaced_in: None,
            copy: None,
            rolled_back: false,
            carried: None,
            carries: false,
            starts: 0,
            remarks: Vec::new(),
            cold: false,
            rotten: BTreeMap::new(),
            asked: 0,
        })
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            cluster: CLUSTER,
            replica: self.identity.replica,
            boot: [self.boot, self.boot],
            power: self.configured.durability == Durability::Power,
            frame_len_max: frame_len_max(MTU),
            segment_len: self.configured.segment_len,
        }
    }

    /// Does `first` to the tail before anybody leads: the birth of the history.
    pub(super) fn bear(
        &mut self,
        first: impl FnOnce(&mut lockstep_replica::journal::Tail<MemoryTail>) -> Result<(), String>,
    ) -> Result<(), Violation> {
        let settings = self.settings();
        let MachineState::Down(memory, _) = &mut self.state else { return Ok(()) };
        let memory = memory.take().unwrap_or_else(|| MemoryTail::new(self.configured.ring_bytes));
        let mut opened = open(&mut self.store, memory, settings).map_err(|error| error.to_string())?;
        first(&mut opened.tail)?;
        self.state = MachineState::Down(Some(opened.tail.into_memory()), 0);
        Ok(())
    }

    /// Starts the process on what is there.
    pub(super) fn start(
        &mut self,
        plan: &Plan,
        node: usize,
        limits: ReplicaLimits,
    ) -> Result<Started, Violation> {
        let settings = self.settings();
        self.store.set_capacity_bytes(u64::MAX);
        self.store.set_power(settings.power);
        if let Some(ended) = self.fails_to_open(settings) {
            return Ok(ended);
        }
        let MachineState::Down(memory, _) = &mut self.state else { return Ok(Started::Ran) };
        let memory = memory.take().unwrap_or_else(|| MemoryTail::new(self.configured.ring_bytes));
        self.ring_bytes = memory.ring_len() as usize;
        let may_refuse = self.may_refuse();
        let looked = match inspect(&self.store, Some(&memory), settings) {
            Ok(looked) => looked,
            Err(error) if may_refuse => {
                self.state = MachineState::Lost;
                return Ok(Started::Damaged(error.to_string()));
            }
            Err(error) => return Err(format!("S7: the journal of {} does not open: {error}", self.identity)),
        };
        if let Some(found) = looked.damage().first() {
            if !may_refuse {
                return Err(format!("S7: the journal of {} is found damaged: {found}", self.identity));
            }
            self.state = MachineState::Lost;
            return Ok(Started::Damaged(found.to_string()));
        }
        if let Completeness::Incomplete(why) = looked.completeness() {
            if !may_refuse {
                return Err(format!(
                    "S9: the journal of {} is whole, and called incomplete: {why}",
                    self.identity
                ));
            }
            self.state = MachineState::Lost;
            return Ok(Started::Silent(why.clone()));
        }
        let opened = looked.begin(&mut self.store, memory).map_err(|error| format!("S9: {error}"))?;
        let recovered = Recovered::of_journal(&opened, self.configured.publishers_max);
        let tables = Box::new(opened.checkpoint);
        let mut replica = ReplicaEngine::new(SimNet::default().sparing(), opened.tail, recovered, limits)?;
        if plan.is_archiver(node) {
            replica.core.become_archiver();
        }
        self.harmed |= self.damaged;
        self.proves = settings.power && opened.superblock.run.weakest_durability == Durability::Process;
        (self.damaged, self.forgot, self.cold, self.is_tail_elsewhere) = (false, false, false, false);
        self.side = Some(SideThread::new(
            opened.writer,
            opened.superblock,
            side_settings(plan, settings.power, plan.is_archiver(node)),
        ));
        (self.fetching, self.giving) = (None, ReplayServing::default());
        self.starts += 1;
        self.state = MachineState::Up(Box::new(replica));
        Ok(Started::Runs(tables))
    }

    /// What the next process is configured with is in force, where none runs. Returns what of it is counted.
    pub(super) fn reconfigure(&mut self) -> Vec<Event> {
        let MachineState::Down(..) = self.state else { return Vec::new() };
        let mut events = Vec::new();
        if self.replaced_in.take().is_some_and(|number| self.store.newest_segment() > number) {
            events.push(Event::RestartsAfterRoll);
        }
        if let Some(next) = self.next_configured.take() {
            let former = std::mem::replace(&mut self.configured, next);
            if former != next {
                events.push(Event::Reconfigured);
            }
            if former.durability != next.durability {
                events.push(Event::DurabilityChanged);
            }
        }
        events.extend(self.resize_ring());
        events
    }

    /// A ring of another size than is configured is made anew where nothing that was said is in it alone, as
    /// `io::journal_files` does.
    fn resize_ring(&mut self) -> Option<Event> {
        let (settings, wanted) = (self.settings(), self.configured.ring_bytes as u64);
        let MachineState::Down(memory, _) = &mut self.state else { return None };
        let ring = memory.as_ref().filter(|ring| ring.ring_len() != wanted)?;
        let mut store = self.store.clone();
        store.disarm();
        // What cannot be looked at is left to the start.
        let is_needed = inspect(&store, Some(ring), settings).map_or(true, |looked| match looked.ring() {
            RingEvidence::Own => !looked.superblock().run.clean,
            // It shows that the journal is an older copy, and is looked at before another one is made.
            RingEvidence::Other(_) => looked.completeness() != &Completeness::Complete,
        });
        if is_needed {
            return Some(Event::RingsNotResized);
        }
        *memory = None;
        Some(Event::RingsResized)
    }

    /// The next process is given the tail's other path: what lies there is not what the last one used.
    pub(super) fn move_tail(&mut self) {
        let MachineState::Down(memory, _) = &mut self.state else { return };
        std::mem::swap(memory, &mut self.other_tail);
        (self.cold, self.is_tail_elsewhere) = (true, !self.is_tail_elsewhere);
        self.forgot |= !self.is_on_device();
    }

    /// Whether its journal was rolled back and its ring is gone with the machine's power, before it began
    /// again: nobody can tell an older copy from the newest then, and nobody may start it.
    pub(super) fn is_unknowable(&self) -> bool {
        self.rolled_back && self.has_rebooted() && self.is_on_device()
    }

    /// Whether there was only one path for the tail in this boot.
    pub(super) fn has_one_tail(&self) -> bool {
        !self.is_tail_elsewhere && self.other_tail.is_none() && !self.moves_tail
    }

    /// The rings at both paths are gone.
    pub(super) fn lose_tails(&mut self) {
        (self.other_tail, self.is_tail_elsewhere, self.moves_tail) = (None, false, false);
    }

    /// Whether the process dies, or its device fails, while the journal is opened, and how: then what that
    /// leaves is there, the tail's memory too.
    fn fails_to_open(&mut self, settings: Settings) -> Option<Started> {
        if !self.store.is_armed() {
            return None;
        }
        let MachineState::Down(memory, _) = &mut self.state else { return None };
        let mut store = self.store.clone();
        let mut left = memory.clone().unwrap_or_else(|| MemoryTail::new(self.configured.ring_bytes));
        let why: JournalOpenError = open(&mut store, &mut left, settings).err()?;
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
        (self.clock.at(now) + self.wall_ns).saturating_add_signed(self.wall_ahead)
    }

    /// Whether it may find damage, or call its journal incomplete.
    pub(super) fn may_refuse(&self) -> bool {
        self.damaged || self.harmed || self.forgot || self.failed || !self.rotten.is_empty()
    }

    /// The oldest seq that it can repair, or could if it began again now: a ring that is recovered begins
    /// with a block or a segment.
    pub(super) fn oldest_seq(&self) -> Option<Seq> {
        match &self.state {
            MachineState::Up(replica) => Some(replica.tail().oldest_seq()),
            MachineState::Down(memory, _) => {
                let memory = memory.clone().unwrap_or_else(|| MemoryTail::new(self.configured.ring_bytes));
                let opened = open(&mut self.store.clone(), memory, self.settings()).ok()?;
                Some(opened.tail.oldest_seq())
            }
            MachineState::Lost => None,
        }
    }

    /// The process, while it runs.
    pub(super) fn replica(&self) -> Option<&ReplicaEngine<SimPorts>> {
        match &self.state {
            MachineState::Up(replica) => Some(replica),
            _ => None,
        }
    }

    /// The process, while it runs.
    pub(super) fn replica_mut(&mut self) -> Option<&mut ReplicaEngine<SimPorts>> {
        match &mut self.state {
            MachineState::Up(replica) => Some(replica),
            _ => None,
        }
    }

    /// Whether something in its journal has changed while nobody looked.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged || self.harmed
    }

    /// Whether its next process finds on the disk what it finds.
    pub(super) fn has_rebooted(&self) -> bool {
        matches!(self.state, MachineState::Down(None, _)) || self.cold
    }

    /// Whether nothing will ever run here again.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, MachineState::Lost)
    }

    /// What others may read, and the files that it is read from.
    pub(super) fn giving(&mut self) -> (&mut ReplayServing, &SimDisk) {
        (&mut self.giving, &self.store)
    }

    /// The process dies; its tail's memory stays. Half a frame may lie behind the tail's end.
    pub(super) fn kill(&mut self, until: Nanos, torn: Option<&mut Rng>) {
        self.stopping = None;
        self.store.revive();
        let MachineState::Up(replica) = std::mem::replace(&mut self.state, MachineState::Lost) else {
            return;
        };
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
                ..Header::new(lockstep_wire::Kind::Frame)
            };
            memory[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
            for byte in &mut memory[HEADER_LEN..length as usize] {
                *byte = rng.next_u64() as u8;
            }
        }
        self.side = None;
        self.state = MachineState::Down(Some(tail.into_memory()), until);
    }

    /// Whatever runs, or was about to, ends; what the disk and the tail's memory hold stays.
    pub(super) fn end(&mut self, until: Nanos) {
        self.kill_if_up(until);
        self.store.revive();
        if let MachineState::Down(_, begins) = &mut self.state {
            *begins = until;
        }
    }

    /// The process dies, if there is one.
    pub(super) fn kill_if_up(&mut self, until: Nanos) {
        if matches!(self.state, MachineState::Up(_)) {
            self.kill(until, None);
        }
    }

    /// The journal is gone.
    pub(super) fn forget(&mut self) {
        self.side = None;
        self.state = MachineState::Lost;
    }
}

fn side_settings(plan: &Plan, power: bool, keeps_all: bool) -> SideSettings {
    SideSettings {
        retention: if keeps_all { Retention::default() } else { plan.retention },
        packs: keeps_all && plan.packs,
        scrub_bytes_per_s: plan.scrub_bytes_per_s,
        retention_period_ns: CHORE_NS,
        pack_period_ns: CHORE_NS,
        scrub_period_ns: CHORE_NS,
        mend_period_ns: CHORE_NS,
        ..SideSettings::new(power)
    }
}
