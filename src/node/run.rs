//! The running node: opened, then turned until it is told to stop, then drained and closed clean.

use super::events::{join_record, leased_record, record};
use super::{NodeError, NodeSettings, RealPorts};
use crate::engine::conditions::Conditions;
use crate::engine::counters::Counter;
use crate::engine::event::{Event, Role};
use crate::engine::losses::Losses;
use crate::engine::ports::Group;
use crate::engine::receiver::ReceiverLimits;
use crate::engine::replay::ReplayLimits;
use crate::engine::replica::{Recovered, ReplayWish, Replica, ReplicaLimits};
use crate::io::Obtained;
use crate::io::clock::{Clock, random_u64};
use crate::io::counters::CountersFile;
use crate::io::cpu;
use crate::io::device::{Device, DeviceSettings};
use crate::io::duty::{self, Turn};
use crate::io::events::Recorder;
use crate::io::fanout::FanoutCounts;
use crate::io::idle::Waiter;
use crate::io::journal_files::{self, Lock, OpenJournal};
use crate::io::journal_thread::{self, Handle, ThreadSettings};
use crate::io::lines::LineCounts;
use crate::io::rehearse::RehearsalCounts;
use crate::io::replay::{Fetch, Server, ServerSettings, ServerStats};
use crate::io::shm::ShmCounts;
use crate::io::udp::{UdpCounts, UdpSettings};
use crate::io::watcher::{NOTICE_LEN_MAX, Watcher};
use crate::io::xdp::XdpCounts;
use crate::journal::Completeness;
use crate::proto::commit::Durability;
use crate::proto::election::ElectionLimits;
use crate::proto::requesters::BudgetLimits;
use crate::proto::start::{self, StartRole};
use crate::proto::suspect::SuspectLimits;
use crate::wire::{Condition, FrameView, Identity, Nanos, frame_len_max};
use std::sync::atomic::{AtomicBool, Ordering};

/// Between two looks at what changes slowly: the counters file and the disk.
const SLOW_NS: Nanos = 10_000_000;
/// Between two looks at the system's time of day, each some microseconds of clock readings.
const CLOCK_NS: Nanos = 1_000_000_000;
/// How long a stopping leader waits for what it stamped to be committed.
const DRAIN_NS: Nanos = 1_000_000_000;
/// A node that has something to send wants to be called at least this often.
const RESTLESS_NS: Nanos = 50_000;
/// A node that is replayed to looks this often whether something has come: a thread brings it, which no descriptor
/// tells of. As long as something comes it is called again at once.
const REPLAYING_NS: Nanos = 2_000_000;
/// Submissions that wait for an earlier one of their publisher.
const HOLD_BACK: u16 = 1024;
/// A standby that has nothing new says where it stands after so many beats: its leader must hear a quorum.
const ACK_AGAIN_BEATS: u64 = 2;
/// Where the doubling of the wait between candidacies that fail ends.
const BACKOFF_TIMEOUTS: u64 = 32;
/// Frames of a replay that are stored in one turn: some dozens of microseconds.
const REPLAYED_PER_TURN: usize = 64;
/// Most frames that one request is answered with.
const REPAIRS_PER_REQUEST: usize = 64;

/// A replica on this machine, open and silent.
pub struct Node {
    identity: Identity,
    replica: Replica<RealPorts>,
    side: Handle,
    clock: Clock,
    waiter: Waiter,
    counters: CountersFile,
    obtained: Vec<Obtained>,
    /// Counter values as they are published, device and engine.
    values: Vec<u64>,
    slow_due: Nanos,
    clock_due: Nanos,
    role_since: Nanos,
    /// Whether our joins find no room elsewhere.
    is_refused: bool,
    /// Nodes that send to us by lease.
    given_by: u64,
    watcher: Option<Watcher>,
    server: Option<Server>,
    fetch: Option<Fetch>,
    _lock: Lock,
}

impl Node {
    /// Opens journal, device and counters, and settles the calling thread, which is to call
    /// [`Node::run`], on its core. Nothing is said to anybody yet.
    ///
    /// # Errors
    /// What does not open, and what to do; or why this replica must not start (S9, S12).
    pub fn open(settings: &NodeSettings) -> Result<Self, NodeError> {
        let clock = Clock::start();
        let OpenJournal { opened, reader, store, lock, remarks } =
            journal_files::open(&settings.journal_config())?;
        let directory = settings.journal.display();
        if let Some(damage) = opened.damage.first() {
            return Err(NodeError::Damaged(format!("journal {directory}: {damage}")));
        }
        if let Completeness::Incomplete(why) = &opened.completeness {
            return Err(NodeError::Refused(format!(
                "journal {directory}: {why}; a replica that may have forgotten what it acknowledged must not vote \
                 under its old identity: format a new journal and let the cluster replace the member"
            )));
        }
        let identity = opened.superblock.identity;
        let recovered = Recovered::of_journal(&opened, settings.publishers_max);
        if settings.is_archiver && recovered.membership.lists(identity) {
            return Err(NodeError::Refused(format!(
                "journal {directory}: the membership lists {identity}, and an archiver is never a member: remove it \
                 with `lockstep membership remove {identity}`, and give the archiver a journal of its own"
            )));
        }
        let before = recovered.open_change.as_ref().map(|(_, before)| before);
        let leads = matches!(
            start::role(identity, &opened.tail.end(), &recovered.membership, before, opened.tail.promised()),
            StartRole::Lead(_)
        );
        let net = open_device(settings, leads)?;
        let mut obtained = net.obtained();
        obtained.extend(remarks.into_iter().map(|remark| Obtained::granted("journal", remark)));
        let power = settings.durability == Durability::Power;
        let usual = ThreadSettings {
            retention: settings.retention,
            packs: settings.packs,
            ..ThreadSettings::new(power)
        };
        let thread = ThreadSettings { idle_ns: settings.flush_interval_ns.unwrap_or(usual.idle_ns), ..usual };
        let side = journal_thread::spawn(store, reader, opened.writer, opened.superblock, thread)?;
        side.set_lineage(recovered.lineage);
        let (server, served) = start_server(settings, identity, &side);
        obtained.extend(served);
        let replay = ReplayLimits::new(settings.cluster, identity, settings.sources.clone());
        let fetch = (!settings.sources.is_empty()).then(|| Fetch::start(replay)).transpose()?;
        let waiter = settings.idle.waiter(&net.sockets())?;
        let limits = replica_limits(settings, identity, clock.wall(clock.now()))?;
        let mut replica = Replica::new(net, opened.tail, recovered, limits)
            .map_err(|why| NodeError::Refused(format!("journal {directory}: {why}")))?;
        if settings.is_archiver {
            replica.core.keep_apart();
        }
        let (losses, conditions) = (Losses::names(), Conditions::names());
        let names = Counter::NAMES.iter().chain(&UdpCounts::NAMES).chain(&RehearsalCounts::NAMES);
        let names = names.chain(&LineCounts::NAMES).chain(&ShmCounts::NAMES).chain(&XdpCounts::NAMES);
        let names = names.chain(&FanoutCounts::NAMES);
        let names = names.chain(&ServerStats::NAMES).copied();
        let names: Vec<&str> = names.chain(losses.iter().chain(&conditions).map(String::as_str)).collect();
        let counters = CountersFile::create(&settings.counters, &names)?;
        obtained.extend(settle_thread(settings));
        Ok(Self {
            identity,
            replica,
            side,
            role_since: clock.now(),
            clock,
            waiter,
            counters,
            obtained,
            values: Vec::with_capacity(names.len()),
            slow_due: 0,
            clock_due: 0,
            is_refused: false,
            given_by: 0,
            watcher: None,
            server,
            fetch,
            _lock: lock,
        })
    }

    /// Each setting with the value that was obtained.
    pub fn obtained(&self) -> &[Obtained] {
        &self.obtained
    }

    /// What the node is.
    pub fn role(&self) -> Role {
        self.replica.role()
    }

    /// Who the node is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The engine, for those who measure it.
    pub fn replica(&self) -> &Replica<RealPorts> {
        &self.replica
    }

    /// From now on `watcher`, which the thread that runs this node has started, knows what to announce.
    pub fn watched_by(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
        self.prepare_notice();
    }

    /// Hands the watcher what a death in this role is announced with: no system call.
    fn prepare_notice(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut notice = [0; NOTICE_LEN_MAX];
        let len = self.replica.core.down_notice(&mut notice);
        watcher.set_notice(&notice[..len]);
    }

    /// Turns until `stop` is set, drains, and marks the stop as clean. What happens goes to `recorder`.
    ///
    /// # Errors
    /// The node had to fall silent (divergence, impostor, a disk that fails), or could not stop clean.
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
                    self.replica.core.begin_drain(now);
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
        self.publish();
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

    /// One turn of the duty cycle: what [`Node::run`] repeats.
    pub fn turn(&mut self, now: Nanos, recorder: &Recorder) -> Turn {
        let mut work = self.replica.poll(now, self.clock.wall(now));
        if self.fetch.is_some() {
            work += self.take_replayed(now);
        }
        while let Some(event) = self.replica.core.events.pop() {
            self.tell(event, now, recorder);
        }
        if now >= self.slow_due {
            self.slow_due = now + SLOW_NS;
            self.publish();
            let (core, core_role) = (&self.replica.core, self.replica.role());
            self.side.set_committed(core.commit_next(), core_role == Role::Leader);
            self.side.set_ring_only(core.is_witness());
            self.look_for_replay(now);
            if now >= self.clock_due {
                self.clock_due = now + CLOCK_NS;
                self.clock.refresh();
            }
            self.look_at_fanout(now, recorder);
            self.look_for_amiss(now);
        }
        Turn { work, next_deadline: Some(self.next_deadline(now)) }
    }

    fn next_deadline(&self, now: Nanos) -> Nanos {
        let replaying = self.fetch.as_ref().is_some_and(|fetch| fetch.at_end().is_some());
        let soon = match () {
            () if self.replica.is_restless() => now + RESTLESS_NS,
            () if replaying => now + REPLAYING_NS,
            () => Nanos::MAX,
        };
        self.replica.next_deadline().min(soon)
    }

    fn look_at_fanout(&mut self, now: Nanos, recorder: &Recorder) {
        let counts = self.replica.net().fanout_counts();
        let is_refused = counts.refused_by > 0;
        if is_refused != self.is_refused {
            recorder.record(join_record(&counts, now));
        }
        if counts.given_by != self.given_by {
            recorder.record(leased_record(&counts, now));
        }
        (self.is_refused, self.given_by) = (is_refused, counts.given_by);
    }

    /// What is amiss outside the engine: disk, lines, leases, watcher.
    fn look_for_amiss(&mut self, now: Nanos) {
        let (net, side) = (self.replica.net(), &self.side);
        let fanout = net.fanout_counts();
        let lines = net.lines();
        // One of two at most: a line is down where the other one brings something.
        let (line, lost) = match lines.iter().position(|counts| counts.is_down) {
            Some(line) => (line as u64 + 1, lines[line].lost),
            None => (0, 0),
        };
        let gone = self.watcher.as_ref().map_or(0, |watcher| u64::from(watcher.given_up()));
        let looked = [
            (Condition::DiskFull, side.disk_full(), (side.written_seq(), 0)),
            (Condition::LineLost, line > 0, (line, lost)),
            (Condition::MembersFull, fanout.is_refusing > 0, (fanout.leases, fanout.refused)),
            (Condition::WatcherGone, gone > 0, (gone, 0)),
        ];
        for (condition, holds, numbers) in looked {
            self.replica.core.set_condition(condition, holds, now, numbers);
        }
    }

    /// What has left every ring is read from a journal; what has come of it goes into ours.
    fn look_for_replay(&mut self, now: Nanos) {
        let Some(fetch) = &mut self.fetch else { return };
        match self.replica.look_for_replay(now, fetch.at_end()) {
            ReplayWish::Begin(order) => fetch.order(Some(order)),
            ReplayWish::End => fetch.order(None),
            ReplayWish::GoOn => {}
        }
    }

    /// Takes some frames of a replay into the journal. Returns how many.
    fn take_replayed(&mut self, now: Nanos) -> usize {
        let Self { fetch, replica, .. } = self;
        let Some(fetch) = fetch else { return 0 };
        let giver = fetch.giver();
        fetch.take(REPLAYED_PER_TURN, |bytes| match FrameView::from_prefix(bytes) {
            Ok(frame) => replica.on_replayed(now, giver, &frame),
            // It was judged when it came: whatever this is, nobody gives it twice.
            Err(_) => true,
        })
    }

    fn tell(&mut self, event: Event, now: Nanos, recorder: &Recorder) {
        let since = match event {
            Event::Role { .. } => {
                self.prepare_notice();
                std::mem::replace(&mut self.role_since, now)
            }
            // Who was elected has something to announce once its epoch has begun, a turn after its role.
            Event::Epoch { .. } => {
                self.prepare_notice();
                now
            }
            Event::History { .. } => {
                self.side.set_lineage(self.replica.core.lineage());
                now
            }
            _ => now,
        };
        recorder.record(record(event, now, since));
    }

    fn publish(&mut self) {
        self.values.clear();
        self.values.extend_from_slice(self.replica.core.counters.values());
        let net = self.replica.net();
        self.values.extend_from_slice(&net.counts().values());
        self.values.extend_from_slice(&net.rehearsed().values());
        for line in net.lines() {
            self.values.extend_from_slice(&line.values());
        }
        self.values.extend_from_slice(&net.memory().values());
        self.values.extend_from_slice(&net.xdp_counts().values());
        self.values.extend_from_slice(&net.fanout_counts().values());
        let served = self.server.as_ref().map_or([0; 3], |server| server.stats().values());
        self.values.extend_from_slice(&served);
        self.replica.core.losses.values(&mut self.values);
        self.replica.core.conditions.values(&mut self.values);
        self.counters.publish(&self.values);
    }
}

/// Begins to serve this journal to readers. A port that is taken is no reason not to run: others serve.
fn start_server(
    settings: &NodeSettings,
    identity: Identity,
    side: &Handle,
) -> (Option<Server>, Option<Obtained>) {
    let Some(replay) = settings.replay else { return (None, None) };
    let wanted = ServerSettings {
        cluster: settings.cluster,
        identity,
        listen: settings.unicast,
        journal: settings.journal.clone(),
        readers_max: replay.readers_max,
        rate_bytes_per_s: replay.rate_bytes_per_s,
        by_leader: replay.by_leader,
    };
    match Server::start(wanted, side.written()) {
        Ok(server) => {
            let listens = Obtained::granted("replay", format!("tcp {}", server.address()));
            (Some(server), Some(listens))
        }
        Err(error) => {
            let note = format!("{error}; this journal is not replayed, others are asked");
            (None, Some(Obtained::short("replay", format!("tcp {}", settings.unicast), "nothing", note)))
        }
    }
}

/// A leader does not join `data`: what it would hear there is itself.
fn open_device(settings: &NodeSettings, leads: bool) -> Result<Device, NodeError> {
    let joins = if leads {
        vec![Group::Submit, Group::Control]
    } else {
        vec![Group::Submit, Group::Data, Group::Control]
    };
    let udp = UdpSettings { joins, unicast_port: settings.unicast.port(), ..settings.udp.clone() };
    let (second, rehearse, memory) = (settings.second.clone(), settings.rehearse, settings.memory);
    let transport = settings.transport.clone();
    Ok(Device::open(DeviceSettings { udp, transport, second, rehearse, memory })?)
}

fn replica_limits(settings: &NodeSettings, me: Identity, born: Nanos) -> Result<ReplicaLimits, NodeError> {
    Ok(ReplicaLimits {
        receiver: ReceiverLimits {
            cluster: settings.cluster,
            history: 0,
            me,
            repairers: settings.peers.clone(),
            nack: settings.nack,
            store_bytes: 4 << 20,
            frame_len_max: frame_len_max(settings.mtu),
            count_when_accepted: true,
        },
        beat: settings.beat,
        window: settings.window,
        durability: settings.durability,
        publishers_max: settings.publishers_max,
        hold_back: HOLD_BACK,
        ack_again_ns: ACK_AGAIN_BEATS * settings.beat.beat_ns,
        process_nonce: random_u64()?,
        born,
        repairs_per_request: REPAIRS_PER_REQUEST,
        budget: BudgetLimits::default(),
        suspect: SuspectLimits {
            beat_ns: settings.beat.beat_ns,
            timeout_ns: settings.suspect_ns,
            timeout_ns_max: settings.suspect_ns_max,
        },
        election: ElectionLimits {
            stagger_ns: settings.beat.beat_ns.min(settings.suspect_ns / 4),
            again_ns: settings.beat.beat_ns.min(settings.suspect_ns / 8),
            timeout_ns: settings.suspect_ns,
            backoff_ns_max: BACKOFF_TIMEOUTS * settings.suspect_ns,
        },
        // The kernel grants twice the bytes that it is asked for.
        heard_bytes: 4 * settings.udp.receive_buffer_bytes,
        secret_seed: random_seed()?,
    })
}

/// What the secrets of this process's epochs follow from.
fn random_seed() -> Result<[u8; 32], NodeError> {
    let mut seed = [0; 32];
    for word in seed.chunks_exact_mut(8) {
        word.copy_from_slice(&random_u64()?.to_le_bytes());
    }
    Ok(seed)
}

/// Core, scheduling class, memory and timers of the calling thread, each with what was obtained.
fn settle_thread(settings: &NodeSettings) -> Vec<Obtained> {
    let mut obtained = vec![cpu::timer_slack(settings.timer_slack_ns), cpu::schedule(settings.scheduling)];
    if settings.scheduling == cpu::SchedulingClass::Other {
        obtained.push(cpu::short_slice());
    }
    if let Some(core) = settings.core {
        obtained.push(cpu::pin(core));
    }
    if settings.lock_memory {
        obtained.push(cpu::lock_memory());
    }
    obtained.push(Obtained::granted("idle", settings.idle));
    obtained
}
