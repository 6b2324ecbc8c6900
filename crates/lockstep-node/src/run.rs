//! The running node: it is opened, runs until a stop is requested, drains, and closes cleanly.

use super::events::{join_record, leased_record};
use super::measures::Measures;
use super::older_keys::OlderKeys;
use super::takeovers::FailedLeaders;
use super::{NodeError, RealPorts};
use crate::io::journal_files::Lock;
use crate::io::journal_thread::Handle;
use crate::io::neighbour_watch::NeighbourWatch;
use crate::io::replay::{Fetch, ReplayServer};
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::event_record::record;
use lockstep_io::Effective;
use lockstep_io::clock::Clock;
use lockstep_io::counters::CountersFile;
use lockstep_io::event_ring::{EventPage, EventSpan};
use lockstep_io::idle::Waiter;
use lockstep_process::duty::{self, Turn};
use lockstep_process::events::Recorder;
use lockstep_process::watcher::{NOTICE_LEN_MAX, Watcher};
use lockstep_replica::journal::Checkpoint;
use lockstep_replica::journal::ports::StoreFault;
use lockstep_replica::journal::stall::DeviceWatch;
use lockstep_replica::replica::{CatchUpRequest, ReplicaEngine};
use lockstep_wire::{Condition, EVENT_ROWS_MAX, EventRow, EventsBody, FrameView, Identity, Nanos, Seq, Wall};
use std::sync::atomic::{AtomicBool, Ordering};

/// The interval of checking slowly changing state: the counters file and the disk.
const SLOW_NS: Nanos = 10_000_000;
/// The interval of checking the system's time of day; a check reads the clock for some microseconds.
const CLOCK_NS: Nanos = 1_000_000_000;
/// A device that confirms nothing for this long is stalled: more than the longest `journal.flush_interval`.
const DEVICE_PATIENCE_NS: Nanos = 2_000_000_000;
/// How long a stopping leader waits until all its stamped entries are committed.
const DRAIN_NS: Nanos = 1_000_000_000;
/// A node that has something to send must be called at least this often.
const BUSY_POLL_NS: Nanos = 50_000;
/// A node that receives a replay checks for frames this often: a thread brings them, which no descriptor
/// signals. As long as frames arrive it is called again at once.
const REPLAYING_NS: Nanos = 2_000_000;
/// The most frames of a replay that are stored in one turn: some dozens of microseconds.
const REPLAYED_PER_TURN: usize = 64;

/// A replica on this machine, opened and not sending yet.
pub struct Node {
    identity: Identity,
    /// Whether the configured durability is `power`.
    power: bool,
    replica: ReplicaEngine<RealPorts>,
    side: Handle,
    clock: Clock,
    waiter: Waiter,
    /// Whether the hot thread never waits.
    spins: bool,
    counters: CountersFile,
    measures: Measures,
    effective: Vec<Effective>,
    /// The published values of the counters of device and engine.
    values: Vec<u64>,
    slow_due: Nanos,
    clock_due: Nanos,
    role_since: Nanos,
    /// Whether other nodes refuse our joins for want of room.
    is_refused: bool,
    /// The number of nodes that send to us by lease.
    lessors: u64,
    /// The index of the line that was last down.
    line_down: usize,
    /// The resource that was last low: seconds, and its number.
    room_low: (u64, u64),
    watcher: Option<Watcher>,
    /// The generation of keys that seals the watcher's notice.
    notice_generation: u8,
    server: Option<ReplayServer>,
    fetch: Option<Fetch>,
    neighbours: Option<NeighbourWatch>,
    /// The key that differed last, and its value.
    differed: (u64, u64),
    /// The address that two nodes had last, and its card.
    had_twice: (u64, u64),
    /// The path that was lost last.
    lost_way: (u64, u64),
    failed_leaders: FailedLeaders,
    /// The last report of leaders that failed often.
    failed_often: (u64, u64),
    /// Programs that seal with an older generation of keys, and the last report of them.
    older_keys: OlderKeys,
    had_older_keys: (u64, u64),
    /// The checkpoint behind which an empty node begins, while it is written to the device.
    base: Option<Checkpoint>,
    device: DeviceWatch,
    _lock: Lock,
}

impl Node {
    /// A node of the resources that [`Node::open`] has acquired.
    pub(super) fn new(
        (identity, power): (Identity, bool),
        (replica, side, lock): (ReplicaEngine<RealPorts>, Handle, Lock),
        (clock, waiter): (Clock, Waiter),
        (counters, values): (CountersFile, Vec<u64>),
        (server, fetch, neighbours): (Option<ReplayServer>, Option<Fetch>, Option<NeighbourWatch>),
        effective: Vec<Effective>,
    ) -> Self {
        let older_keys = OlderKeys::new(clock.now(), replica.core.keys());
        Self {
            identity,
            power,
            replica,
            side,
            role_since: clock.now(),
            clock,
            spins: matches!(waiter, Waiter::Spin),
            waiter,
            counters,
            measures: Measures::default(),
            effective,
            values,
            slow_due: 0,
            clock_due: 0,
            is_refused: false,
            lessors: 0,
            line_down: 0,
            room_low: (0, 0),
            watcher: None,
            notice_generation: 0,
            server,
            fetch,
            neighbours,
            differed: (0, 0),
            had_twice: (0, 0),
            lost_way: (0, 0),
            failed_leaders: FailedLeaders::default(),
            failed_often: (0, 0),
            older_keys,
            had_older_keys: (0, 0),
            base: None,
            device: DeviceWatch::new(DEVICE_PATIENCE_NS),
            _lock: lock,
        }
    }

    /// Each setting with its effective value.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The role of the node.
    pub fn role(&self) -> Role {
        self.replica.role()
    }

    /// The node's identity.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The engine, for measurements.
    pub fn replica(&self) -> &ReplicaEngine<RealPorts> {
        &self.replica
    }

    /// While no journal has what this node lacks: the oldest seq of a journal that answers; 0 if unknown.
    pub fn log_gone(&self) -> impl Fn() -> Option<Seq> + Send + 'static {
        let gone = self.fetch.as_ref().map(Fetch::watch_gone);
        move || gone.as_ref().and_then(|gone| gone())
    }

    /// What an immediate end would skip now, as text: for the code that ends this process.
    pub fn skips(&self) -> impl Fn() -> String + Send + 'static {
        let (progress, power) = (self.side.progress(), self.power);
        move || {
            let (written, end) = progress();
            let missing = match end.saturating_sub(written) {
                0 => "every entry is in a segment".to_string(),
                missing => format!("{missing} entries (seq {written} to {}) are in no segment yet", end - 1),
            };
            let meaning = if power {
                "the device has all that was acknowledged, and the next start continues from it"
            } else {
                "the next start continues from the tail; if the machine restarts before, this replica \
                     may have lost acknowledged entries, and must be replaced"
            };
            format!("{missing}, and the journal is not marked clean: {meaning}")
        }
    }

    /// From now on `watcher`, which the thread that runs this node has started, has the notice to announce.
    pub fn watched_by(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
        self.prepare_notice();
    }

    /// Passes the death notice of this role to the watcher: no system call.
    fn prepare_notice(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        (self.notice_generation, _) = self.replica.core.keys().generations();
        let mut notice = [0; NOTICE_LEN_MAX];
        let len = self.replica.death_notice(&mut notice);
        watcher.set_notice(&notice[..len]);
    }

    /// Turns until `stop` is set, drains, and marks the stop as clean. Events go to `recorder`.
    ///
    /// # Errors
    /// The node had to stop sending (divergence, a second process of its identity, a failing disk), or could
    /// not stop cleanly.
    pub fn run(mut self, stop: &AtomicBool, recorder: &Recorder) -> Result<(), NodeError> {
        let halt = AtomicBool::new(false);
        let mut waiter = std::mem::replace(&mut self.waiter, Waiter::Spin);
        let clock = self.clock;
        let mut draining: Option<Nanos> = None;
        duty::run(
            &mut |now| {
                let turn = self.turn(now, recorder);
                if self.replica.core.is_stopped() || self.side.has_failed() {
                    halt.store(true, Ordering::Release);
                } else if stop.load(Ordering::Acquire) {
                    let since = *draining.get_or_insert(now);
                    self.replica.start_drain(now);
                    if self.replica.is_drained() || now > since + DRAIN_NS {
                        halt.store(true, Ordering::Release);
                    }
                }
                turn
            },
            &clock,
            &mut waiter,
            &halt,
        );
        self.publish(self.clock.now());
        if let Some(why) = self.side.failure() {
            return Err(NodeError::Damaged(why));
        }
        if self.replica.core.is_stopped() {
            return Err(NodeError::Refused(String::from(
                "the node has silenced itself; the log above says why",
            )));
        }
        self.side.stop().map_err(NodeError::Refused)?;
        self.watcher.map_or(Ok(()), |watcher| watcher.stop().map_err(NodeError::Io))
    }

    /// One turn of the duty cycle: [`Node::run`] repeats it.
    pub fn turn(&mut self, now: Nanos, recorder: &Recorder) -> Turn {
        if self.base.is_some() && !self.begin_behind() {
            // Nothing may be stored meanwhile. No cluster waits for a node without a log, and one whose log
            // no journal continues acknowledges nothing new.
            let (work, progress) = (0, Some(self.progress()));
            return Turn { work, next_deadline: Some(now + SLOW_NS), progress };
        }
        let stamped_before = self.replica.core.counters.get(Counter::StampedNext);
        let mut work = self.replica.poll(now, Wall(self.clock.wall(now)));
        self.measure(now, stamped_before);
        if self.fetch.is_some() {
            work += self.take_replayed(now);
        }
        while let Some(event) = self.replica.core.events.pop() {
            self.report(event, now, recorder);
        }
        self.answer_event_queries(now, recorder);
        if now >= self.slow_due {
            self.slow_due = now + SLOW_NS;
            self.publish(now);
            self.measures.take_sample();
            let core = &self.replica.core;
            self.side.set_committed(core.commit_next(), self.replica.leaves_replays());
            self.side.set_ring_only(core.is_witness());
            self.side.set_device(core.follows_power());
            self.poll_catch_up(now);
            if now >= self.clock_due {
                self.clock_due = now + CLOCK_NS;
                self.clock.refresh();
            }
            if self.notice_generation != self.replica.core.keys().generations().0 {
                self.prepare_notice();
            }
            self.poll_fanout(now, recorder);
            self.poll_conditions(now);
        }
        self.measures.on_turn(now, work, self.spins);
        Turn { work, next_deadline: Some(self.next_deadline(now)), progress: Some(self.progress()) }
    }

    /// A number that changes with what is stamped, accepted or committed, and with the role.
    fn progress(&self) -> u64 {
        let core = &self.replica.core;
        let moving = [Counter::StampedNext, Counter::AcceptNext, Counter::CommitNext];
        let seqs = moving.iter().map(|counter| core.counters.get(*counter));
        seqs.fold(self.replica.role() as u64, u64::wrapping_add)
    }

    #[inline]
    fn measure(&mut self, now: Nanos, stamped_before: Seq) {
        if self.replica.role() == Role::Leader {
            let core = &self.replica.core;
            let stamped_next = core.counters.get(Counter::StampedNext);
            self.measures.on_leader_turn(now, stamped_before, stamped_next, core.commit_next());
        } else {
            self.measures.on_follower_turn();
        }
    }

    fn next_deadline(&self, now: Nanos) -> Nanos {
        let replaying = self.fetch.as_ref().is_some_and(|fetch| fetch.supply().is_some());
        let soon = match () {
            () if self.replica.has_pending_work() => now + BUSY_POLL_NS,
            () if replaying => now + REPLAYING_NS,
            () => Nanos::MAX,
        };
        self.replica.next_deadline().min(soon)
    }

    fn poll_fanout(&mut self, now: Nanos, recorder: &Recorder) {
        let counts = self.replica.net().fanout_counts();
        let is_refused = counts.refused_by > 0;
        if is_refused != self.is_refused {
            recorder.record(join_record(&counts, now));
        }
        if counts.lessors != self.lessors {
            recorder.record(leased_record(&counts, now));
        }
        (self.is_refused, self.lessors) = (is_refused, counts.lessors);
    }

    /// Polls the conditions outside the engine: disk, lines, leases, watcher.
    fn poll_conditions(&mut self, now: Nanos) {
        if let Some(watch) = &self.neighbours {
            watch.seen().on_poll(self.replica.core.ways.take_asked());
            self.replica.core.ways.set(watch.seen().ways());
        }
        let (net, side) = (self.replica.net(), &self.side);
        let fanout = net.fanout_counts();
        let lines = net.lines();
        // At most one of two: a line is down if only the other one receives.
        let down = lines.iter().position(|counts| counts.is_down != 0);
        // The end of a condition is reported for the line that it concerned.
        self.line_down = down.unwrap_or(self.line_down);
        let lost = lines.get(self.line_down).map_or(0, |counts| counts.missing);
        let gone = self.watcher.as_ref().map_or(0, |watcher| u64::from(watcher.abandoned_watchers()));
        let stopped = self.watcher.as_ref().and_then(Watcher::stopped_watcher).map_or(0, u64::from);
        let refused = match side.stuck() {
            None | Some(StoreFault::NoSpace) => 0,
            Some(StoreFault::Descriptors) => 1,
            Some(StoreFault::Memory) => 2,
            Some(_) => 3,
        };
        let (damaged, first) = side.damaged();
        let log_gone = self.fetch.as_ref().and_then(Fetch::gone);
        let low = side.room_low();
        // The end of a condition is reported for the resource that it concerned.
        self.room_low = low.map_or(self.room_low, |low| (low.left_s, low.resource));
        let differs = self.neighbours.as_ref().and_then(|watch| watch.seen().differs());
        self.differed = differs.unwrap_or(self.differed);
        let twice = self.neighbours.as_ref().and_then(|watch| watch.seen().twice());
        self.had_twice = twice.unwrap_or(self.had_twice);
        let lost_way = self.replica.core.ways.lost();
        self.lost_way = lost_way.unwrap_or(self.lost_way);
        let often = self.failed_leaders.often(now);
        self.failed_often = often.unwrap_or(self.failed_often);
        let by_unicast = self.replica.core.noted_key.take();
        let older = self.older_keys.poll(now, self.replica.core.keys(), by_unicast);
        self.had_older_keys = older.unwrap_or(self.had_older_keys);
        let log_next = self.replica.tail().end().next;
        let tail = self.replica.tail();
        let confirmed =
            if self.replica.core.follows_power() { tail.durable_next() } else { side.written_seq() };
        let has_pending = !side.disk_full() && refused == 0 && !self.replica.core.is_witness();
        let stalled_ns = self
            .device
            .poll(now, confirmed, if has_pending { tail.end().next } else { confirmed })
            .unwrap_or(0);
        let inspected = [
            (Condition::Damaged, damaged > 0, (first, damaged)),
            (Condition::LogGone, log_gone.is_some(), (log_gone.unwrap_or(0), log_next)),
            (Condition::DiskFull, side.disk_full(), (side.written_seq(), 0)),
            (Condition::FilesRefused, refused > 0, (side.written_seq(), refused)),
            (Condition::DeviceStalled, stalled_ns > 0, (confirmed, stalled_ns)),
            (Condition::FilesDiffer, differs.is_some(), self.differed),
            (Condition::AddressTwice, twice.is_some(), self.had_twice),
            (Condition::PathLost, lost_way.is_some(), self.lost_way),
            (Condition::TakeoversOften, often.is_some(), self.failed_often),
            (Condition::OlderKeys, older.is_some(), self.had_older_keys),
            (Condition::RoomLow, low.is_some(), self.room_low),
            (Condition::LineLost, down.is_some(), (self.line_down as u64 + 1, lost)),
            (Condition::MembersFull, fanout.is_refusing > 0, (fanout.leases, fanout.refused)),
            (Condition::WatcherGone, gone > 0 || stopped > 0, (gone, stopped)),
        ];
        for (condition, holds, numbers) in inspected {
            self.replica.core.set_condition(condition, holds, now, numbers);
        }
    }

    /// Reads frames that have left every ring from a journal, and stores those that have arrived.
    fn poll_catch_up(&mut self, now: Nanos) {
        let Some(fetch) = &mut self.fetch else { return };
        if let Some(checkpoint) = fetch.take_checkpoint() {
            fetch.request(None);
            if self.replica.may_begin_behind(&checkpoint) {
                self.side.begin_behind(checkpoint.clone());
                self.base = Some(checkpoint);
                return;
            }
        }
        match self.replica.poll_catch_up(now, fetch.supply()) {
            CatchUpRequest::Begin(order) => fetch.request(Some(order)),
            CatchUpRequest::End => fetch.request(None),
            CatchUpRequest::GoOn => {}
        }
    }

    /// This node, which has no record, begins behind the checkpoint that it received, once that is on the
    /// device. Returns whether it has begun.
    fn begin_behind(&mut self) -> bool {
        if self.side.begins_behind() {
            return false;
        }
        if let Some(checkpoint) = self.base.take() {
            self.replica.install(&checkpoint);
            self.side.set_lineage(self.replica.core.lineage());
        }
        true
    }

    /// Stores some frames of a replay in the journal. Returns how many.
    fn take_replayed(&mut self, now: Nanos) -> usize {
        let Self { fetch, replica, .. } = self;
        let Some(fetch) = fetch else { return 0 };
        let repairer = fetch.source();
        fetch.take(REPLAYED_PER_TURN, |bytes| match FrameView::from_prefix(bytes) {
            Ok(frame) => replica.on_replayed(now, repairer, &frame),
            // It was judged when it arrived: no source sends such a frame twice.
            Err(_) => true,
        })
    }

    fn report(&mut self, event: ReplicaEvent, now: Nanos, recorder: &Recorder) {
        self.failed_leaders.on_event(now, &event);
        let since = match event {
            ReplicaEvent::Role { .. } => {
                self.prepare_notice();
                std::mem::replace(&mut self.role_since, now)
            }
            // An elected node has something to announce once its epoch has begun, a turn after its role.
            ReplicaEvent::Epoch { .. } => {
                self.prepare_notice();
                now
            }
            ReplicaEvent::History { .. } => {
                self.side.set_lineage(self.replica.core.lineage());
                now
            }
            _ => now,
        };
        recorder.record(record(event, now, since));
    }

    /// Sends pages of this process's events to the nodes that asked for them in this turn.
    fn answer_event_queries(&mut self, now: Nanos, recorder: &Recorder) {
        while let Some(query) = self.replica.next_event_query() {
            let mut rows = [EventRow::default(); EVENT_ROWS_MAX];
            let EventPage { span, from, count } = recorder.page(query.before, &mut rows);
            let EventSpan { id, oldest, next } = span;
            let page = EventsBody { ring: id, oldest, next, from, ..EventsBody::default() };
            self.replica.send_events(Wall(self.clock.wall(now)), query, page, &rows[..count]);
        }
    }

    fn publish(&mut self, now: Nanos) {
        self.values.clear();
        self.values.extend_from_slice(&self.replica.gauges());
        let (written, durable) = (self.side.written_seq(), self.replica.tail().durable_next());
        self.measures.values(written, durable, &mut self.values);
        self.values.extend_from_slice(&self.side.room());
        self.values.extend_from_slice(self.replica.core.counters.values());
        let net = self.replica.net();
        self.values.extend_from_slice(&net.counts().values());
        self.values.extend_from_slice(&net.with_faults().values());
        for line in net.lines() {
            self.values.extend_from_slice(&line.values());
        }
        self.values.extend_from_slice(&net.memory().values());
        self.values.extend_from_slice(&net.xdp_counts().values());
        self.values.extend_from_slice(&net.fanout_counts().values());
        let served = self.server.as_ref().map(ReplayServer::counts).unwrap_or_default().values();
        self.values.extend_from_slice(&served);
        self.replica.core.losses.values(&mut self.values);
        self.replica.core.conditions.values(&mut self.values);
        self.counters.publish(self.clock.wall(now), &self.values);
    }
}
