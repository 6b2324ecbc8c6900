//! The machine of a replica: its memory, its clock, and the process that runs there. The faults of its disk
//! are in `storage`.

pub(crate) mod copies;
pub(crate) mod event_pages;
pub(crate) mod replay;
pub(crate) mod storage;
pub(crate) mod vanished;

use crate::check::Violation;
use crate::coverage::Event;
use crate::disk::SimDisk;
use crate::kinds::{Configured, SimClock};
use crate::machine::copies::{Carried, JournalCopy};
use crate::machine::event_pages::RecordedEvents;
use crate::machine::replay::{Fetching, ReplayServing};
use crate::machine::storage::StorageFault;
use crate::machine::vanished::Vanished;
use crate::net::SimNet;
use crate::plan::Plan;
use crate::rng::Rng;
use lockstep_core::proto::commit::Durability;
pub(crate) use lockstep_memory::world::CLUSTER;
use lockstep_memory::world::MemoryPorts;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::TailSource;
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::side::{SideEvent, SideSettings, SideThread};
use lockstep_replica::journal::{
    Checkpoint, Completeness, JournalOpenError, Retention, Settings, format, inspect, open,
};
use lockstep_replica::replica::{Recovered, ReplicaEngine, ReplicaLimits};
use lockstep_wire::{HEADER_LEN, Header, Identity, Nanos, Seq, frame_len_max};
use std::collections::{BTreeMap, BTreeSet};

/// The interval at which a chore of the side thread is polled.
pub(crate) const CHORE_NS: Nanos = 1_000_000;
/// The longest datagram.
pub(crate) const MTU: usize = 1500;

/// The state of a machine.
#[derive(Clone)]
pub(crate) enum MachineState {
    /// The process.
    Up(Box<ReplicaEngine<MemoryPorts>>),
    /// Nothing, until then; with the tail's memory if that has survived.
    Down(Option<MemoryTail>, Nanos),
    /// Nothing ever again: its journal is lost, damaged, or may have forgotten something.
    Lost,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) identity: Identity,
    /// The configuration of the process, or of the next one.
    pub(crate) configured: Configured,
    /// The configuration of the next process, if it changes.
    pub(crate) next_configured: Option<Configured>,
    /// After a clean stop the next process is given the tail's other path.
    pub(crate) moves_tail: bool,
    /// The ring at the tail's other path.
    other_tail: Option<MemoryTail>,
    /// The tail is at another path than in the run before.
    pub(crate) is_tail_elsewhere: bool,
    /// Its process writes to the device what earlier runs acknowledged or promised from memory.
    pub(crate) proves: bool,
    /// Events of its side thread that are not counted yet.
    pub(crate) noted: Vec<Event>,
    /// Bytes of the ring that the process uses.
    pub(crate) ring_bytes: usize,
    pub(crate) state: MachineState,
    pub(crate) store: SimDisk,
    /// The side thread, while the process runs.
    pub(crate) side: Option<SideThread>,
    pub(crate) boot: u64,
    /// Its monotonic clock.
    pub(crate) clock: SimClock,
    /// The wall clocks at the start, ...
    wall_ns: Nanos,
    /// ... and the lead of this one over the others, in nanoseconds.
    pub(crate) wall_ahead: i64,
    pub(crate) disk_full_until: Nanos,
    /// Its room until then, in bytes.
    pub(crate) disk_full_bytes: u64,
    pub(crate) disk_slow_until: Nanos,
    /// The journal was damaged while no process ran.
    pub(crate) damaged: bool,
    /// It runs on a journal with damage that is not found yet.
    pub(crate) harmed: bool,
    /// Memory with the only copy of something is lost.
    pub(crate) forgot: bool,
    /// The device has failed a call once: the journal may refuse to continue, and must not forget.
    pub(crate) failed: bool,
    /// The consequence of a death of the process in a call of its disk.
    pub(crate) ordeal: Option<StorageFault>,
    /// The process was requested to stop: the time that it may take, and the time of its next start.
    pub(crate) stopping: Option<(Nanos, Nanos)>,
    /// After a clean stop the machine loses power for this long.
    pub(crate) darkens: Option<Nanos>,
    /// Whether this identity has led.
    pub(crate) led: bool,
    /// The replay that its process reads from the journals of others.
    pub(crate) fetching: Option<Fetching>,
    /// The replay server of its journal.
    pub(crate) giving: ReplayServing,
    /// No process has run since a loss of power; one may have died during its start.
    pub(crate) cold: bool,
    /// The newest segment at the last suffix replacement of this run.
    pub(crate) replaced_in: Option<u64>,
    /// A copy of its folder.
    pub(crate) copy: Option<JournalCopy>,
    /// Its journal is a restored copy on which no process has started yet.
    pub(crate) rolled_back: bool,
    /// A copy of its folder and of its tail, for another machine; ...
    pub(crate) carried: Option<Box<Carried>>,
    /// ... which is made anew if the process stops cleanly.
    pub(crate) carries: bool,
    /// Processes that have started here.
    pub(crate) starts: u64,
    /// The events of the process.
    pub(crate) recorded: RecordedEvents,
    /// The events that its side thread has reported.
    pub(crate) remarks: Vec<SideEvent>,
    /// Segments of which a bit has changed while the process ran, with their original bytes where those are
    /// known.
    pub(crate) rotten: BTreeMap<u64, Option<Vec<u8>>>,
    /// The segments that changed while no process ran.
    pub(crate) damaged_segments: BTreeSet<u64>,
    /// Files that have vanished.
    pub(crate) vanished: Vanished,
    /// How often other nodes were asked in vain for the missing part of a segment.
    pub(crate) asked: u32,
}

/// The result of a start.
pub(crate) enum Started {
    /// It runs, with these tables.
    Runs(Box<Checkpoint>),
    /// It ran already.
    Ran,
    /// It may have forgotten something and stays silent; the reason.
    Silent(String),
    /// Its journal is damaged, and it reports so.
    Damaged(String),
    /// The process died in a call of its disk.
    Died,
    /// The device failed a call, as planned.
    Failed(String),
}

impl Machine {
    /// A machine with the fresh journal of `identity`.
    pub(crate) fn new(plan: &Plan, configured: Configured, identity: Identity) -> Result<Self, Violation> {
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
            noted: Vec::new(),
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
            recorded: RecordedEvents::default(),
            remarks: Vec::new(),
            cold: false,
            rotten: BTreeMap::new(),
            damaged_segments: BTreeSet::new(),
            vanished: Vanished::default(),
            asked: 0,
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            cluster: CLUSTER,
            replica: self.identity.replica,
            boot: [self.boot, self.boot],
            power: self.configured.durability == Durability::Power,
            frame_len_max: frame_len_max(MTU),
            segment_len: self.configured.segment_len,
        }
    }

    /// Applies `first` to the tail before any leader exists: the genesis of the history.
    pub(crate) fn bear(
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

    /// Starts the process on the present disk and memory.
    pub(crate) fn start(
        &mut self,
        plan: &Plan,
        node: usize,
        limits: ReplicaLimits,
    ) -> Result<Started, Violation> {
        // A stop that did not end in order darkens no later one.
        self.darkens = None;
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
        let inspection = match inspect(&self.store, Some(&memory), settings) {
            Ok(inspection) => inspection,
            Err(error) if may_refuse => {
                self.state = MachineState::Lost;
                return Ok(Started::Damaged(error.to_string()));
            }
            Err(error) => return Err(format!("S7: the journal of {} does not open: {error}", self.identity)),
        };
        if let Some(found) = inspection.damage().first() {
            if !may_refuse {
                return Err(format!("S7: the journal of {} is found damaged: {found}", self.identity));
            }
            self.state = MachineState::Lost;
            return Ok(Started::Damaged(found.to_string()));
        }
        if let Completeness::Incomplete(why) = inspection.completeness() {
            if !may_refuse {
                return Err(format!(
                    "S9: the journal of {} is whole, and called incomplete: {why}",
                    self.identity
                ));
            }
            self.state = MachineState::Lost;
            return Ok(Started::Silent(why.clone()));
        }
        let opened = inspection.begin(&mut self.store, memory).map_err(|error| format!("S9: {error}"))?;
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
        self.vanished.begin();
        self.recorded = RecordedEvents::default();
        self.state = MachineState::Up(Box::new(replica));
        Ok(Started::Runs(tables))
    }

    /// Puts the configuration of the next process in force, where none runs. Returns the events to count.
    pub(crate) fn reconfigure(&mut self) -> Vec<Event> {
        let MachineState::Down(..) = self.state else { return Vec::new() };
        let mut events = Vec::new();
        if self.replaced_in.take().is_some_and(|number| self.store.newest_segment() > number) {
            events.push(Event::RestartsAfterRoll);
        }
        if let Some(next) = self.next_configured.take() {
            let previous = std::mem::replace(&mut self.configured, next);
            if previous != next {
                events.push(Event::Reconfigured);
            }
            if previous.durability != next.durability {
                events.push(Event::DurabilityChanged);
            }
        }
        events.extend(self.resize_ring());
        events
    }

    /// Creates a ring anew where its size differs from the configured one and it is not the only copy of
    /// anything acknowledged or promised, as `io::journal_files` does.
    fn resize_ring(&mut self) -> Option<Event> {
        let (settings, wanted) = (self.settings(), self.configured.ring_bytes as u64);
        let MachineState::Down(memory, _) = &mut self.state else { return None };
        let ring = memory.as_ref().filter(|ring| ring.ring_len() != wanted)?;
        let mut store = self.store.clone();
        store.disarm();
        // A journal that cannot be inspected is left to the start.
        let is_needed = inspect(&store, Some(ring), settings).map_or(true, |found| match found.ring() {
            RingEvidence::Own => !found.superblock().run.clean,
            // The ring shows that the journal is an older copy; it is inspected before another one is made.
            RingEvidence::Other(_) => found.completeness() != &Completeness::Complete,
        });
        if is_needed {
            return Some(Event::RingsNotResized);
        }
        *memory = None;
        Some(Event::RingsResized)
    }

    /// The next process is given the tail's other path, with a ring that the last process did not use.
    pub(crate) fn move_tail(&mut self) {
        let MachineState::Down(memory, _) = &mut self.state else { return };
        std::mem::swap(memory, &mut self.other_tail);
        (self.cold, self.is_tail_elsewhere) = (true, !self.is_tail_elsewhere);
        self.forgot |= !self.is_on_device();
    }

    /// Whether its journal was rolled back and its ring was lost with the machine's power before a process
    /// started again: then an older copy cannot be told from the newest, and no process may start on it.
    pub(crate) fn is_unknowable(&self) -> bool {
        self.rolled_back && self.has_rebooted() && self.is_on_device()
    }

    /// Whether there was only one path for the tail in this boot.
    pub(crate) fn has_one_tail(&self) -> bool {
        !self.is_tail_elsewhere && self.other_tail.is_none() && !self.moves_tail
    }

    /// The rings at both paths are gone.
    pub(crate) fn lose_tails(&mut self) {
        (self.other_tail, self.is_tail_elsewhere, self.moves_tail) = (None, false, false);
    }

    /// Whether the process dies, or its device fails, while the journal is opened, and how. The result of
    /// that attempt stays, the tail's memory too.
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

    /// The time of its wall clock.
    pub(crate) fn wall(&self, now: Nanos) -> Nanos {
        (self.clock.at(now) + self.wall_ns).saturating_add_signed(self.wall_ahead)
    }

    /// Whether it may find damage, or call its journal incomplete.
    pub(crate) fn may_refuse(&self) -> bool {
        let lacks = !self.rotten.is_empty() || self.vanished.may_refuse();
        self.damaged || self.harmed || self.forgot || self.failed || lacks
    }

    /// The oldest seq that it can repair, or could after a restart now: a recovered ring begins with a block
    /// or a segment.
    pub(crate) fn oldest_seq(&self) -> Option<Seq> {
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
    pub(crate) fn replica(&self) -> Option<&ReplicaEngine<MemoryPorts>> {
        match &self.state {
            MachineState::Up(replica) => Some(replica),
            _ => None,
        }
    }

    /// The process, while it runs.
    pub(crate) fn replica_mut(&mut self) -> Option<&mut ReplicaEngine<MemoryPorts>> {
        match &mut self.state {
            MachineState::Up(replica) => Some(replica),
            _ => None,
        }
    }

    /// Whether something in its journal has changed while no process ran.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged || self.harmed
    }

    /// Whether its next process finds only what the disk has.
    pub(crate) fn has_rebooted(&self) -> bool {
        matches!(self.state, MachineState::Down(None, _)) || self.cold
    }

    /// Whether no process will ever run here again.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.state, MachineState::Lost)
    }

    /// The replay server, and the files that it reads.
    pub(crate) fn giving(&mut self) -> (&mut ReplayServing, &SimDisk) {
        (&mut self.giving, &self.store)
    }

    /// The process dies; its tail's memory stays. Half a frame may follow the tail's end.
    pub(crate) fn kill(&mut self, until: Nanos, torn: Option<&mut Rng>) {
        self.stopping = None;
        self.store.revive();
        let state = std::mem::replace(&mut self.state, MachineState::Lost);
        let MachineState::Up(replica) = state else {
            self.state = state;
            return;
        };
        let (bytes, next) = (replica.tail().frame_len_max(), replica.tail().end());
        let mut tail = replica.into_tail();
        if let Some(rng) = torn
            && let Ok(memory) = tail.room()
        {
            // A valid header with an invalid rest.
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

    /// Ends the process or the pending start; the disk and the tail's memory stay.
    pub(crate) fn end(&mut self, until: Nanos) {
        self.kill_if_up(until);
        self.store.revive();
        if let MachineState::Down(_, begins) = &mut self.state {
            *begins = until;
        }
    }

    /// The process dies, if there is one.
    pub(crate) fn kill_if_up(&mut self, until: Nanos) {
        if matches!(self.state, MachineState::Up(_)) {
            self.kill(until, None);
        }
    }

    /// The journal is lost.
    pub(crate) fn forget(&mut self) {
        self.side = None;
        self.state = MachineState::Lost;
    }
}

fn side_settings(plan: &Plan, power: bool, archives: bool) -> SideSettings {
    let keeps_all = archives && !plan.archives_are_cut;
    SideSettings {
        retention: if keeps_all { Retention::default() } else { plan.retention },
        packs: archives && plan.packs,
        scrub_bytes_per_s: plan.scrub_bytes_per_s,
        retention_period_ns: CHORE_NS,
        pack_period_ns: CHORE_NS,
        scrub_period_ns: CHORE_NS,
        mend_period_ns: CHORE_NS,
        presence_period_ns: CHORE_NS,
        ..SideSettings::new(power)
    }
}
