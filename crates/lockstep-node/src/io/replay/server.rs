//! The server's loop: accept, check for newly written frames, serve each reader in turn.

use super::connection::{OfferedCheckpoint, ReplayContext, ReplayServerConnection, TurnOutcome};
use super::unopened::UnopenedRequests;
use crate::io::store::DirStore;
use lockstep_core::engine::counters::counter_group;
use lockstep_core::engine::networks::Networks;
use lockstep_io::clock::Clock;
use lockstep_io::{IoError, capabilities};
use lockstep_replica::journal::segment_index::{SegmentIndex, Written};
use lockstep_wire::{Identity, Keys, Nanos};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The cluster, and the keys of a replica.
    pub keys: Keys,
    /// The owner of the journal.
    pub identity: Identity,
    /// The TCP address at which it listens.
    pub listen: SocketAddrV4,
    /// The journal's directory.
    pub journal: PathBuf,
    /// The most readers at a time.
    pub readers_max: usize,
    /// The most connections of one address that have not sent a request yet.
    pub readers_per_address: usize,
    /// The networks whose readers may connect; `None`: all.
    pub allow: Option<Networks>,
    /// Bytes per second for all readers together while the stream moves; unlimited while it is idle.
    pub rate_bytes_per_s: u64,
    /// Whether it serves while its node leads.
    pub by_leader: bool,
}

counter_group! {
    /// The counts of a server so far.
    pub struct ReplayCounts {
        readers gauge "replay_readers" "Readers that are connected now.",
        served count "replay_served" "Readers in all.",
        turned_away count "replay_turned_away" "Connections closed at once as too many were there, in all or of their address.",
        address_refused count "replay_address_refused" "Connections closed at once as their address is in no network of replay.allow.",
        sent_bytes count "replay_sent_bytes" "Bytes of frames sent to them.",
    }
}

/// The counts of the server's thread.
#[derive(Debug, Default)]
struct ServerStats {
    readers: AtomicU64,
    served: AtomicU64,
    turned_away: AtomicU64,
    address_refused: AtomicU64,
    sent_bytes: AtomicU64,
}

/// A running server; dropped, it notifies its readers and ends.
pub struct ReplayServer {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
    stats: Arc<ServerStats>,
}

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST: usize = 2;
/// The most refused readers that receive a refusal at a time.
const DOOMED_MAX: usize = 16;
/// The most of these of one address.
const DOOMED_PER_ADDRESS: usize = 2;
/// A stream without a write for this long is idle: the side thread checks every 20 ms.
const STILL_NS: Nanos = 200_000_000;
/// The time of which a pause may save up the rate: a turn or two.
const SAVED_NS: Nanos = 4_000_000;
/// Pause before segments that could not be read are tried again.
const BROKEN_NS: Nanos = 5_000_000_000;
/// Interval between two checks for written frames while a reader is connected; shorter than the side thread's
/// interval.
const STAY: Duration = Duration::from_millis(5);
/// The most consecutive turns in which a file may vanish while it is read.
const GONE_MAX: u32 = 8;
/// Pause between two turns while the budget is spent.
const SPENT: Duration = Duration::from_millis(1);
/// Interval between two readings of the clock while there is nothing to do.
const QUIET: Duration = Duration::from_millis(250);

impl ReplayServer {
    /// Begins to listen. `written` returns how far the journal's side thread has written.
    ///
    /// # Errors
    /// The address cannot be bound, or the directory cannot be read.
    pub fn start(
        settings: ServerSettings,
        written: impl Fn() -> Written + Send + 'static,
    ) -> Result<Self, IoError> {
        let listen = settings.listen;
        let doing = || format!("listening for readers of the journal on {listen}");
        let fails = |error| IoError::new(doing(), error);
        let mut listener = match TcpListener::bind(listen.into()) {
            // An address that the host itself does not have (a container's, a router's).
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                TcpListener::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, listen.port()).into())
            }
            bound => bound,
        }
        .map_err(|error| IoError::of_bind(doing(), error))?;
        let address = listener.local_addr().map_err(fails)?;
        let poll = Poll::new().map_err(fails)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(fails)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(fails)?;
        let (stop, stats) = (Arc::new(AtomicBool::new(false)), Arc::new(ServerStats::default()));
        let room = Room {
            poll,
            listener,
            connections: Vec::new(),
            tokens: FIRST,
            store: DirStore::reader(&settings.journal),
            segment_index: SegmentIndex::default(),
            offered: None,
            unopened: UnopenedRequests::default(),
            written: Box::new(written),
            last: Written::default(),
            moved_at: 0,
            broken_until: 0,
            gone: 0,
            saved: 0.0,
            turned_at: 0,
            clock: Clock::start(),
            stop: Arc::clone(&stop),
            stats: Arc::clone(&stats),
            settings,
        };
        let builder = std::thread::Builder::new().name("replay".to_string());
        let thread = capabilities::spawn(builder, move || room.run())
            .map_err(|error| IoError::new("starting the thread that replays", error))?;
        Ok(Self { stop, waker, thread: Some(thread), address, stats })
    }

    /// The address at which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counts so far.
    pub fn counts(&self) -> ReplayCounts {
        let ServerStats { readers, served, turned_away, address_refused, sent_bytes } = &*self.stats;
        let [readers, served, turned_away, address_refused, sent_bytes] =
            [readers, served, turned_away, address_refused, sent_bytes]
                .map(|value| value.load(Ordering::Acquire));
        ReplayCounts { readers, served, turned_away, address_refused, sent_bytes }
    }
}

impl Drop for ReplayServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.waker.wake(); // without it the thread looks a moment later
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panic was printed
        }
    }
}

/// The state of the thread.
struct Room {
    settings: ServerSettings,
    poll: Poll,
    listener: TcpListener,
    connections: Vec<(Token, ReplayServerConnection)>,
    tokens: usize,
    store: DirStore,
    segment_index: SegmentIndex,
    unopened: UnopenedRequests,
    offered: Option<OfferedCheckpoint>,
    written: Box<dyn Fn() -> Written + Send>,
    last: Written,
    moved_at: Nanos,
    /// The segments could not be read; before this time they are not tried again.
    broken_until: Nanos,
    /// Consecutive turns in which a file vanished while it was read.
    gone: u32,
    /// Bytes that may be sent now, while the stream moves.
    saved: f64,
    turned_at: Nanos,
    clock: Clock,
    stop: Arc<AtomicBool>,
    stats: Arc<ServerStats>,
}

impl Room {
    fn run(mut self) {
        lockstep_process::cpu::yield_to_others();
        let mut events = Events::with_capacity(256);
        let mut wait = QUIET;
        loop {
            // A signal may end the wait early.
            let _ = self.poll.poll(&mut events, Some(wait));
            let stopping = self.stop.load(Ordering::Acquire);
            self.accept();
            wait = self.turn(stopping);
            if stopping {
                // Each reader was sent its last message, as far as its socket accepted it.
                return;
            }
        }
    }

    fn accept(&mut self) {
        let most = self.settings.readers_max + DOOMED_MAX;
        while let Ok((mut stream, peer)) = self.listener.accept() {
            if !Networks::allow(self.settings.allow.as_ref(), peer.ip()) {
                self.stats.address_refused.fetch_add(1, Ordering::AcqRel);
                continue; // closed at once
            }
            let of_address = |takes: fn(&ReplayServerConnection) -> bool| {
                let mine = |one: &ReplayServerConnection| one.peer.ip() == peer.ip() && takes(one);
                self.connections.iter().filter(|(_, one)| mine(one)).count()
            };
            let share = self.settings.readers_per_address;
            // Connections with a valid request are readers of the cluster: one host may have many.
            let unasked = of_address(|one| !one.has_asked());
            if self.connections.len() >= most || unasked >= share + DOOMED_PER_ADDRESS {
                self.stats.turned_away.fetch_add(1, Ordering::AcqRel);
                continue; // closed at once
            }
            let is_crowded = of_address(ReplayServerConnection::waits) >= share;
            let token = Token(self.tokens);
            self.tokens = self.tokens.checked_add(1).unwrap_or(FIRST);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, token, interest).is_ok() {
                let readers = self.connections.iter().filter(|(_, one)| one.takes_a_place()).count();
                let doomed = is_crowded || readers >= self.settings.readers_max;
                let connection = ReplayServerConnection::new(stream, peer, self.clock.now(), doomed);
                self.connections.push((token, connection));
            }
        }
    }

    /// Serves each reader in turn. Returns how long to wait for events.
    fn turn(&mut self, stopping: bool) -> Duration {
        if self.connections.is_empty() {
            return QUIET;
        }
        let now = self.clock.now();
        self.look(now);
        let mut allowance = self.allowance(now);
        let before = allowance;
        let Self {
            settings,
            store,
            segment_index,
            offered,
            last,
            connections,
            stats,
            clock,
            broken_until,
            unopened,
            ..
        } = self;
        let mut desk = ReplayContext {
            keys: &settings.keys,
            identity: settings.identity,
            by_leader: settings.by_leader,
            store,
            segment_index,
            offered,
            written: *last,
            now,
            wall: clock.wall(now),
            stopping,
            damaged: now < *broken_until,
            unopened,
        };
        let mut wait = QUIET;
        connections.retain_mut(|(_, connection)| {
            let sent = connection.sent_bytes;
            let turned = connection.turn(&mut desk, &mut allowance);
            stats.sent_bytes.fetch_add(connection.sent_bytes - sent, Ordering::AcqRel);
            wait = wait.min(match turned {
                TurnOutcome::Went => Duration::ZERO,
                TurnOutcome::Spent => SPENT,
                TurnOutcome::AtEnd => STAY,
                TurnOutcome::Blocked | TurnOutcome::Gone => QUIET,
            });
            // A neighbour that only tests the port is no reader.
            let is_reader = connection.has_asked() || connection.end.is_some();
            if turned == TurnOutcome::Gone && is_reader {
                stats.served.fetch_add(1, Ordering::AcqRel);
                let (bytes, end) =
                    (connection.sent_bytes, connection.end.map_or("it left", |end| end.name()));
                tracing::info!(peer = %connection.peer, bytes, "replay ended: {end}");
            }
            turned != TurnOutcome::Gone
        });
        // The connection that was served last in this turn is served first in the next one.
        if !connections.is_empty() {
            connections.rotate_left(1);
        }
        stats.readers.store(connections.len() as u64, Ordering::Release);
        self.saved -= (before - allowance) as f64;
        wait
    }

    /// Looks up what was written since the last time.
    fn look(&mut self, now: Nanos) {
        let written = (self.written)();
        if (written.number, written.offset) != (self.last.number, self.last.offset) {
            self.moved_at = now;
        }
        self.last = written;
        if now < self.broken_until {
            return;
        }
        let Err(error) = self.segment_index.refresh(&self.store, &written) else {
            self.gone = 0;
            return;
        };
        self.segment_index = SegmentIndex::default();
        self.gone += 1;
        // A segment that retention removed while it was read is no error in the next turn.
        if !error.is_gone() || self.gone > GONE_MAX {
            tracing::warn!("the journal cannot be replayed further: {error}");
            self.broken_until = now + BROKEN_NS;
        }
    }

    /// Bytes that may be sent in this turn.
    fn allowance(&mut self, now: Nanos) -> u64 {
        if now >= self.moved_at + STILL_NS {
            self.turned_at = now;
            self.saved = 0.0;
            return u64::MAX;
        }
        let rate = self.settings.rate_bytes_per_s;
        let passed = now.saturating_sub(self.turned_at).min(SAVED_NS);
        self.turned_at = now;
        let most = rate as f64 * SAVED_NS as f64 / 1e9;
        self.saved = (self.saved.max(0.0) + rate as f64 * passed as f64 / 1e9).min(most);
        self.saved as u64
    }
}
