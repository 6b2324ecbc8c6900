//! A replica's machine: its disk, what writes it, its memory, its clock, and the process that runs there.

use super::check::Violation;
use super::net::SimNet;
use super::plan::{Harm, Plan};
use super::replay::{Fetching, Giving};
use super::rng::Rng;
use crate::engine::ports::Ports;
use crate::engine::replica::{Recovered, Replica, ReplicaLimits};
use crate::journal::memory::{MemoryStore, MemoryTail};
use crate::journal::ports::{FileName, Store, TailSource, Word};
use crate::journal::side::{Inputs, Next, Side, SideSettings};
use crate::journal::{Completeness, Settings, Superblock, WriteError, format, look, open};
use crate::proto::commit::Durability;
use crate::wire::{HEADER_LEN, Header, Identity, Nanos, Seq, frame_len_max};

/// The world of a simulated replica.
#[derive(Clone, Debug)]
pub struct SimPorts;

impl Ports for SimPorts {
    type Net = SimNet;
    type Memory = MemoryTail;
}

/// The cluster's id.
pub(super) const CLUSTER: u64 = 7;
/// The year 2023, where wall clocks begin.
pub(super) const WALL_NS: Nanos = 1_700_000_000_000_000_000;
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
    store: MemoryStore,
    /// The side thread, while the process runs.
    side: Option<Side>,
    boot: u64,
    /// What the wall clock is ahead of everybody's, in nanoseconds.
    pub(super) wall_ahead: i64,
    pub(super) disk_full_until: Nanos,
    pub(super) disk_slow_until: Nanos,
    /// The journal was damaged while nobody looked.
    damaged: bool,
    /// It runs on a journal whose damage nobody has found yet.
    pub(super) harmed: bool,
    /// Memory that held the only copy of something is gone.
    forgot: bool,
    /// The process was told to stop: how long it may take, and when it begins again.
    pub(super) stopping: Option<(Nanos, Nanos)>,
    /// Whether this identity has led.
    pub(super) led: bool,
    /// What its process reads from the journals of others.
    pub(super) fetching: Option<Fetching>,
    /// What others may read of its journal.
    giving: Giving,
}

/// How a start ended.
pub(super) enum Started {
    /// It runs.
    Runs,
    /// It may have forgotten something, and stays silent; why.
    Silent(String),
    /// Its journal is damaged, and it says so.
    Damaged(String),
}

impl Machine {
    /// A machine with the fresh journal of `identity`.
    pub(super) fn new(plan: &Plan, identity: Identity) -> Result<Self, Violation> {
        let mut store = MemoryStore::default();
        format(&mut store, CLUSTER, identity, [1, 1]).map_err(|error| error.to_string())?;
        Ok(Self {
            identity,
            state: State::Down(Some(MemoryTail::new(plan.ring_bytes)), 0),
            store,
            side: None,
            boot: 1,
            wall_ahead: 0,
            disk_full_until: 0,
            disk_slow_until: 0,
            damaged: false,
            harmed: false,
            forgot: false,
            stopping: None,
            led: false,
            fetching: None,
            giving: Giving::default(),
        })
    }

    fn settings(&self, plan: &Plan) -> Settings {
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
    pub(super) fn start(&mut self, plan: &Plan, limits: ReplicaLimits) -> Result<Started, Violation> {
        let settings = self.settings(plan);
        let State::Down(memory, _) = &mut self.state else { return Ok(Started::Runs) };
        let memory = memory.take().unwrap_or_else(|| MemoryTail::new(plan.ring_bytes));
        self.store.set_capacity_bytes(u64::MAX);
        let (damaged, forgot) = (self.damaged, self.forgot);
        let looked = match look(&self.store, Some(&memory), settings) {
            Ok(looked) => looked,
            Err(error) if damaged || forgot => {
                self.state = State::Lost;
                return Ok(Started::Damaged(error.to_string()));
            }
            Err(error) => return Err(format!("S7: the journal of {} does not open: {error}", self.identity)),
        };
        if let Some(found) = looked.damage().first() {
            if !damaged && !forgot && !self.harmed {
                return Err(format!("S7: the journal of {} is found damaged: {found}", self.identity));
            }
            self.state = State::Lost;
            return Ok(Started::Damaged(found.to_string()));
        }
        if let Completeness::Incomplete(why) = looked.completeness() {
            if !damaged && !forgot && !self.harmed {
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
        let replica = Replica::new(SimNet::default().sparing(), opened.tail, recovered, limits)?;
        self.harmed |= damaged;
        (self.damaged, self.forgot) = (false, false);
        self.side = Some(Side::new(opened.writer, opened.superblock, side_settings(plan)));
        (self.fetching, self.giving) = (None, Giving::default());
        self.state = State::Up(Box::new(replica));
        Ok(Started::Runs)
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

    /// What its wall clock shows at `now`.
    pub(super) fn wall(&self, now: Nanos) -> Nanos {
        wall_of(now, self.wall_ahead)
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
        matches!(self.state, State::Down(None, _))
    }

    /// Whether nothing will ever run here again.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// The side thread's turn: what is urgent, then the rest.
    /// Returns what it found damaged, where something has changed while nobody looked.
    pub(super) fn flush(&mut self, now: Nanos) -> Result<Option<String>, Violation> {
        if now < self.disk_slow_until {
            return Ok(None);
        }
        for _ in 0..2 {
            match self.side_turn(now, false) {
                Some(Next::Failed(error)) => return self.judge_failure(&error),
                Some(Next::Again) => {}
                Some(Next::Pause(_) | Next::Stopped) | None => break,
            }
        }
        Ok(None)
    }

    /// One turn of the side thread; `None` where nothing runs.
    fn side_turn(&mut self, now: Nanos, stop: bool) -> Option<Next> {
        let capacity = if now < self.disk_full_until { 0 } else { u64::MAX };
        self.store.set_capacity_bytes(capacity);
        let wall = wall_of(now, self.wall_ahead);
        let Self { state: State::Up(replica), store, side: Some(side), giving, .. } = self else {
            return None;
        };
        // Read before what is published is written: so it is the commit of the log that the segments will hold.
        let inputs = Inputs {
            now,
            wall,
            stop,
            lineage: replica.core.lineage(),
            committed: replica.core.commit_next(),
            ring_only: replica.core.is_witness(),
            device: replica.core.follows_power(),
        };
        let next = side.turn(store, replica.tail_mut().memory_mut(), &inputs, &mut Vec::new());
        giving.written = side.written();
        Some(next)
    }

    /// A side thread that writes nothing any more: damage is what it may find where something has changed.
    fn judge_failure(&self, error: &WriteError) -> Result<Option<String>, Violation> {
        match error {
            WriteError::Damage(damage) if self.is_damaged() => Ok(Some(damage.to_string())),
            WriteError::Damage(damage) => Err(format!("S7: {} wrote damage: {damage}", self.identity)),
            WriteError::Store(error) => {
                Err(format!("S7: the side thread of {} does not go on: {error}", self.identity))
            }
        }
    }

    /// What others may read, and the files that it is read from.
    pub(super) fn giving(&mut self) -> (&mut Giving, &MemoryStore) {
        (&mut self.giving, &self.store)
    }

    /// The process dies; its tail's memory stays. Half a frame may lie behind the tail's end.
    pub(super) fn kill(&mut self, until: Nanos, torn: Option<&mut Rng>) {
        self.stopping = None;
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

    /// The process dies, if there is one.
    pub(super) fn kill_if_up(&mut self, until: Nanos) {
        if matches!(self.state, State::Up(_)) {
            self.kill(until, None);
        }
    }

    /// The process stops in order: the segments have everything, and the superblock says so.
    pub(super) fn stop(&mut self, now: Nanos, until: Nanos) -> Result<bool, Violation> {
        (self.disk_full_until, self.disk_slow_until) = (now, now);
        let stopped = loop {
            match self.side_turn(now, true) {
                Some(Next::Again | Next::Pause(_)) => {}
                Some(Next::Stopped) => break true,
                Some(Next::Failed(error)) => {
                    self.judge_failure(&error)?;
                    break false;
                }
                None => break false,
            }
        };
        if stopped {
            self.kill(until, None);
        }
        Ok(stopped)
    }

    /// The machine dies: memory is gone, and perhaps sectors of what was being written.
    pub(super) fn reboot(
        &mut self,
        plan: &Plan,
        now: Nanos,
        until: Nanos,
        torn: Option<&mut Rng>,
    ) -> Result<bool, Violation> {
        let clean = matches!(self.state, State::Down(..)) && self.superblock_is_clean();
        let mut tore = false;
        if let (Some(rng), State::Up(_), Some(_)) = (torn, &self.state, &self.side) {
            let before = self.store.clone();
            // What it was about to write got there in part.
            for _ in 0..2 {
                self.side_turn(now, false);
            }
            let mut after = std::mem::replace(&mut self.store, before);
            tore = tear(&mut self.store, &mut after, rng);
        }
        (self.side, self.stopping) = (None, None);
        self.boot += 1;
        self.forgot |= plan.durability == Durability::Process && !clean;
        self.state = State::Down(None, until);
        Ok(tore)
    }

    fn superblock_is_clean(&self) -> bool {
        matches!(Superblock::load(&self.store), Ok(Ok(copies)) if copies.newest.run.clean)
    }

    /// The journal is gone.
    pub(super) fn forget(&mut self) {
        self.side = None;
        self.state = State::Lost;
    }

    /// Something in the journal changes while nobody looks. Returns whether there was anything.
    pub(super) fn harm(&mut self, harm: Harm, rng: &mut Rng) -> bool {
        let State::Down(memory, _) = &mut self.state else { return false };
        let harmed = match (harm, memory) {
            (Harm::TailBit, Some(memory)) => {
                let published = memory.word(Word::PublishedPos).min(memory.ring_len());
                let bit = rng.below(published * 8);
                if published > 0 {
                    memory.ring_mut()[(bit / 8) as usize] ^= 1 << (bit % 8);
                }
                published > 0
            }
            (Harm::TailBit, None) => false,
            (Harm::SegmentBit | Harm::StaleBlock, _) => {
                let files = self.store.list().unwrap_or_default();
                let segments: Vec<FileName> =
                    files.into_iter().filter(|file| matches!(file, FileName::Segment(_))).collect();
                let Some(&file) = segments.get(rng.below(segments.len() as u64) as usize) else {
                    return false;
                };
                let Some(bytes) = self.store.file_mut(file) else { return false };
                match harm {
                    Harm::StaleBlock if bytes.len() >= 8_192 => {
                        let blocks = bytes.len() as u64 / 4_096;
                        let (from, to) = (rng.below(blocks) as usize, rng.below(blocks) as usize);
                        let block = bytes[from * 4_096..][..4_096].to_vec();
                        let changes = bytes[to * 4_096..][..4_096] != block[..];
                        bytes[to * 4_096..][..4_096].copy_from_slice(&block);
                        changes
                    }
                    _ => {
                        let bit = rng.below(bytes.len() as u64 * 8);
                        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                        true
                    }
                }
            }
        };
        self.damaged |= harmed;
        harmed
    }
}

/// `before` becomes what is on the device when the power goes while `after` is being written: some of the
/// sectors that change are new, the others old. Returns whether any was to change.
fn tear(before: &mut MemoryStore, after: &mut MemoryStore, rng: &mut Rng) -> bool {
    const SECTOR: usize = 512;
    let mut changes = false;
    for file in after.list().unwrap_or_default() {
        let (Some(new), Some(old)) = (after.file_mut(file), before.file_mut(file)) else { continue };
        if new.len() != old.len() || !matches!(file, FileName::Segment(_)) {
            continue;
        }
        for (old, new) in old.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
            changes |= old != new;
            if old != new && rng.below(2) == 0 {
                old.copy_from_slice(new);
            }
        }
    }
    changes
}

/// What a wall clock shows that is `ahead` of everybody's.
pub(super) fn wall_of(now: Nanos, ahead: i64) -> Nanos {
    (now + WALL_NS).saturating_add_signed(ahead)
}

fn side_settings(plan: &Plan) -> SideSettings {
    SideSettings { scrub_bytes_per_s: 0, ..SideSettings::new(plan.durability == Durability::Power) }
}
