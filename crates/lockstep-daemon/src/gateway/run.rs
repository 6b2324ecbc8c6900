//! One thread for all sockets: those of the clients and of the two handles.
//!
//! ```text
//!   turn:  publisher ─ subscriber ─▶ core ◀─ results        idle: one poll over clients, handles and waker
//!             ▲            sockets ─▶ │ ─▶ sockets, passwords
//!             └───────────────────────┘
//! ```

mod reload;
mod waiting;

use super::RunArgs;
use super::arrivals::Arrivals;
use super::limits::gateway_limits;
use super::link::{Link, LinkInput};
use super::listeners::{DEFAULT, LISTENERS_MAX, Listener};
use super::user;
use super::verifier::Verifier;
use crate::config::{self, Config, KeyUse};
use crate::ended::{ReadingEnd, serve_whole_or_oldest};
use crate::failure::{FAILED, FENCED, USAGE};
use crate::follows::FollowsLog;
use crate::observed::Observed;
use crate::reloader::{Daemon, Reloader};
use crate::sequencer::{log_effective, stop_with_stdin};
use crate::{Failure, confined, counters_or_warning, log, network_wait, signals};
use lockstep_client::{Counted, Delivery, Endpoint, PublishError, Publisher, PublisherEvent, Subscriber};
use lockstep_core::engine::clients::GATEWAY;
use lockstep_gateway::gateway::core::{Gateway, GatewayCounts, GatewayError, GatewayStream};
use lockstep_gateway::gateway::ledger::Ledger;
use lockstep_gateway::gateway::users::Recipient;
use lockstep_io::IoError;
use lockstep_io::clock::{Clock, Utc, random_u64};
use lockstep_io::idle::Idle;
use lockstep_io::idle::adaptive::Adaptive;
use lockstep_io::output::{self, OutputStream};
use lockstep_io::spool::Spool;
use lockstep_operations::acting;
use lockstep_process::confinement::{self, Becomes, Reach};
use lockstep_process::watcher::forbid_core_dumps;
use lockstep_process::{cpu, limits};
use lockstep_wire::{Destination, NAME_LEN_MAX, Nanos, PublisherId, PublisherSeq};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const WAKER: Token = Token(LISTENERS_MAX);
/// The first token of the handles' sockets.
const HANDLES: usize = LISTENERS_MAX + 1;
/// The first token of the clients' sockets.
const CLIENTS: usize = 32;
/// The most connections accepted in one turn, so that a storm of them leaves time for connected clients.
const ACCEPTED_PER_TURN: usize = 16;
/// The most bytes read from one client in one turn.
const READ_LEN: usize = 16 << 10;
/// The most messages of the stream in one turn.
const BATCH: usize = 256;
/// Longest sleep: a handle may have a request due.
const PAUSE: Duration = Duration::from_millis(1);
/// The time between two log lines about what a start waits for.
const WAITS_NS: Nanos = 5_000_000_000;
/// What the gateway does without a leader, for its log.
const WITHOUT_LEADER: &str = "no client can log in, and what clients send waits";
/// How long a stop waits for its disconnects to be stamped.
const STOP_NS: Nanos = 3_000_000_000;

/// The publisher as the core sees it.
struct Handle<'a>(&'a mut Publisher);

impl GatewayStream for Handle<'_> {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        self.0.begin_open(name, nonce)
    }

    fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        self.0.try_publish(publisher, destination, payload)
    }

    fn close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        self.0.try_close(publisher, reason)
    }

    fn draw(&mut self) -> [u64; 2] {
        // A kernel without random numbers has refused the handles already.
        [random_u64().unwrap_or_default(), random_u64().unwrap_or_default()]
    }
}

/// The gateway's name: the given one, or one that no other process of the cluster has unless it was given.
fn name_of(args: &RunArgs) -> Result<String, Failure> {
    let len_max = NAME_LEN_MAX - GATEWAY.len();
    let Some(name) = args.name.clone() else {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let port = args.listen.or(args.listen_tls).or(args.fix).unwrap_or(DEFAULT.into()).port();
        let host: String =
            host.chars().filter(char::is_ascii_graphic).take(len_max - "-65535".len()).collect();
        return Ok(format!("{host}-{port}"));
    };
    if name.is_empty() || name.len() > len_max {
        let what = format!("--name '{name}' has {} bytes: give it 1 to {len_max}", name.len());
        return Err(Failure::new(USAGE, what));
    }
    Ok(name)
}

/// Polls the sockets of both handles: a datagram ends the wait.
fn watch_handles(
    registry: &Registry,
    publisher: &Publisher,
    subscriber: &Subscriber,
) -> Result<Vec<OwnedFd>, IoError> {
    let sockets = publisher.net().sockets().into_iter().chain(subscriber.net().sockets());
    let handles = sockets.map(|socket| socket.try_clone_to_owned()).collect::<Result<Vec<_>, _>>();
    let handles = handles.map_err(|error| IoError::new("share the handles' sockets", error))?;
    for (index, socket) in handles.iter().enumerate() {
        let source = &mut SourceFd(&socket.as_raw_fd());
        let registered = registry.register(source, Token(HANDLES + index), Interest::READABLE);
        registered.map_err(|error| IoError::new("watch the handles' sockets", error))?;
    }
    Ok(handles)
}

/// Runs until it must stop.
pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let config = args.cluster.load(&[])?;
    acting::not_as_root(&config)?;
    log::start(&config.log);
    // The process has passwords and the TLS key in memory.
    log_effective(&forbid_core_dumps());
    limits::return_large_allocations();
    limits::in_place_of_capabilities();
    let mut reloader = Reloader::new(Daemon::Gateway, &args.cluster, &[], &config)?;
    let reach = confined::of_gateway((&config, reloader.file()), &user::path(args.users.as_deref(), &config));
    confinement::begin(&reach);
    let stop = signals::stop_flag()?;
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reload))
        .map_err(|error| IoError::new("listen to SIGHUP", error))?;
    if args.until_stdin_ends {
        stop_with_stdin(Arc::clone(&stop))?;
    }
    let listens = [args.listen, args.listen_tls, args.fix].into_iter().flatten();
    if !network_wait::wait(&network_wait::of_handles(&config, listens), &config, &stop)? {
        return Ok(0);
    }
    let until_then = "logins wait for the start of a trading day";
    let observed = reloader.observed();
    observed.begin(&config);
    let context = (&config, &observed);
    serve_whole_or_oldest(until_then, |reading| {
        serve(args, context, &reach, ([&stop, &reload], &mut reloader), reading)
    })
}

/// Serves until a stop is requested, or `reading` is over.
fn serve(
    args: &RunArgs,
    (config, observed): (&Config, &Observed),
    reach: &[Reach],
    ([stop, reload], reloader): ([&AtomicBool; 2], &mut Reloader),
    reading: &mut ReadingEnd,
) -> Result<(), Failure> {
    cpu::short_slice();
    let mut server = Server::open(args, (config, observed), reading)?;
    reloader.answers().begin_beside(server.counted.as_ref());
    let mut reported_ready = false;
    let mut waits_at = server.clock.now() + WAITS_NS;
    let mut deadline = None;
    loop {
        server.turn(reading)?;
        if reading.lacks_beginning() {
            return Ok(());
        }
        if !reported_ready && server.core.is_ready() {
            reported_ready = true;
            // Until now it may have had to open its sockets again.
            confined::complete(reach, Becomes::Other);
            for listener in &server.listeners {
                output::write_line(OutputStream::Out, listener.row());
                tracing::info!(address = %listener.address, name = server.name, "clients may log in");
            }
        }
        if reload.swap(false, Ordering::AcqRel) {
            server.reload(reloader);
        }
        let now = server.clock.now();
        if !reported_ready && now >= waits_at {
            waits_at = now + WAITS_NS;
            let what = if server.core.is_listening() {
                "for a gateway of this name to be silent: it may still run"
            } else {
                "for a leader, and for the stream up to its end"
            };
            tracing::warn!(name = server.name, "clients may not log in yet: waiting {what}");
        }
        if stop.load(Ordering::Acquire) {
            let until = *deadline.get_or_insert_with(|| {
                server.core.stop(now);
                now + STOP_NS
            });
            let drained = server.core.has_left() && server.publisher.is_drained();
            if now >= until || drained && now + STOP_NS > until + 100_000_000 {
                let counts = server.core.counts();
                tracing::info!(?counts, faults = counts.no_login, "stopped");
                return Ok(());
            }
        }
    }
}

struct Client {
    link: Link,
    number: u64,
    /// Whether the socket had more to read at the last look.
    readable: bool,
    writable: bool,
}

struct Server {
    name: String,
    counted: Option<Counted>,
    core: Gateway<Spool>,
    follows: FollowsLog,
    publisher: Publisher,
    subscriber: Subscriber,
    verifier: Verifier,
    listeners: Vec<Listener>,
    arrivals: Arrivals,
    poll: Poll,
    events: Events,
    /// The handles' sockets, registered anew before each sleep: see `io::idle`.
    handles: Vec<OwnedFd>,
    clients: Vec<Option<Client>>,
    readable: BTreeSet<usize>,
    /// The client whose handshake last had a step.
    shook: usize,
    touched: Vec<usize>,
    publisher_events: Vec<PublisherEvent>,
    clock: Clock,
    idle: Idle,
    /// For [`Idle::Adapt`]: the rule, and how often clients had traffic.
    adaptive: Adaptive,
    client_events: u64,
    users: std::path::PathBuf,
    delivery: Delivery,
    buffer: Vec<u8>,
}

impl Server {
    fn open(
        args: &RunArgs,
        (config, observed): (&Config, &Observed),
        reading: &ReadingEnd,
    ) -> Result<Self, Failure> {
        let name = &name_of(args)?;
        let users_path = user::path(args.users.as_deref(), config);
        let users = user::read(&users_path)?;
        let endpoint: Endpoint = Endpoint::for_gateway(config)?;
        signals::reload_keys(config.key_file(KeyUse::Gateway), endpoint.keys().clone(), drop)?;
        let limits = &config.gateway;
        let delivery = match limits.delivery {
            config::Delivery::Committed => Delivery::Committed,
            config::Delivery::Stamped => Delivery::Stamped,
        };
        if users.iter().next().is_none() {
            tracing::warn!(file = %users_path.display(), "no user is in the file: no client can log in");
        }
        let keeps_everybody = users.iter().any(|user| user.hear.contains(&Recipient::Everybody));
        let spool = Spool::open(Path::new(&limits.spool), limits.spool_size_bytes).map_err(|error| {
            let hint = "gateway.spool names a writable directory of a file system that has unnamed files";
            Failure::new(FAILED, format!("{error}; {hint}"))
        })?;
        let ledger = Ledger::new(spool, reading.is_whole(), keeps_everybody);
        let poll = Poll::new().map_err(|error| IoError::new("make the gateway's poll", error))?;
        let waker =
            Waker::new(poll.registry(), WAKER).map_err(|error| IoError::new("make a waker", error))?;
        let listeners = Listener::open_all(args, config, poll.registry())?;
        let mut publisher = Publisher::connect(&endpoint)?;
        let mut subscriber = Subscriber::connect(&endpoint, delivery, reading.start())?;
        let handles = watch_handles(poll.registry(), &publisher, &subscriber)?;
        let core = Gateway::new(name, gateway_limits(config, delivery), users, ledger);
        let process: String =
            name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let counted = Counted::create_daemon(
            &endpoint,
            ("gateway", &process),
            GatewayCounts::ROWS,
            Some(&mut publisher),
            Some(&mut subscriber),
        );
        let counted = counters_or_warning(observed, counted);
        Ok(Self {
            name: name.clone(),
            counted,
            core,
            follows: FollowsLog::new(WITHOUT_LEADER, endpoint.leaderless_ns_max()),
            publisher,
            subscriber,
            verifier: Verifier::start(Arc::new(waker))?,
            listeners,
            arrivals: Arrivals::new(limits.tunnels.clone().unwrap_or_default()),
            poll,
            events: Events::with_capacity(1_024),
            handles,
            clients: Vec::new(),
            readable: BTreeSet::new(),
            shook: 0,
            touched: Vec::new(),
            publisher_events: Vec::new(),
            clock: Clock::start(),
            idle: endpoint.idle(),
            adaptive: Adaptive::default(),
            client_events: 0,
            users: users_path,
            delivery,
            buffer: vec![0; READ_LEN],
        })
    }

    /// The gateway ends by itself: its clients receive the reason, as far as their sockets accept it at once.
    fn end(&mut self, now: Nanos, error: &GatewayError) -> Failure {
        self.core.stop(now);
        self.touched.extend(0..self.clients.len());
        self.write(now);
        let code = match error {
            GatewayError::Backlog(_) | GatewayError::NoRoom(_) | GatewayError::NotAllowed(_) => FAILED,
            GatewayError::NameTaken(_) | GatewayError::Fenced(_) => FENCED,
        };
        Failure::new(code, error)
    }

    /// One turn of everything; then a sleep, if there was nothing to do.
    fn turn(&mut self, reading: &mut ReadingEnd) -> Result<(), Failure> {
        let now = self.clock.now();
        self.core.set_clock(Utc::now().0);
        let mut work = self.turn_stream(now, reading)?;
        while let Some((check, is_right)) = self.verifier.next_result() {
            work += 1;
            self.core.on_checked(now, &mut Handle(&mut self.publisher), &check, is_right);
            self.touched.push(check.conn.0);
        }
        for listener in 0..self.listeners.len() {
            if self.listeners[listener].accepts {
                work += self.accept(now, listener);
            }
        }
        while let Some((link, client, fix)) =
            self.arrivals.next(now, |peer, why| self.core.on_turned_away(now, peer, why))
        {
            self.admit(now, link, client, fix.as_deref());
        }
        work += self.shake_hands(now) + self.read(now);
        while self.verifier.has_room()
            && let Some(check) = self.core.next_check()
        {
            self.verifier.check(check);
        }
        self.verifier.turn(now);
        self.look_for_leader(now);
        let Self { core, publisher, touched, .. } = self;
        core.turn(now, &mut Handle(publisher), touched);
        work += self.write(now);
        work += self.publisher.flush();
        if let Some(counted) = &mut self.counted
            && counted.is_due(now)
        {
            let counts =
                GatewayCounts { clients: self.clients.iter().flatten().count() as u64, ..self.core.counts() };
            let (publisher, subscriber) = (&self.publisher, &self.subscriber);
            counted.publish(now, &counts.values(), Some(publisher), Some(subscriber));
        }
        if let Some(error) = self.core.take_failure() {
            return Err(self.end(now, &error));
        }
        // A client that lacks a part of its messages is served in the next turn.
        self.wait(work + usize::from(self.core.next_deadline() == 0))
    }

    /// Reports to the core and the log whether both handles follow a leader.
    fn look_for_leader(&mut self, now: Nanos) {
        let follows = self.publisher.is_connected() && self.subscriber.is_connected();
        self.follows.look(now, follows);
        self.core.leader.follows = follows;
    }

    fn turn_stream(&mut self, now: Nanos, reading: &mut ReadingEnd) -> Result<usize, Failure> {
        let Self { core, publisher, subscriber, publisher_events, .. } = self;
        let mut work = publisher.poll(BATCH, |event| publisher_events.push(event));
        for event in publisher_events.drain(..) {
            if event == PublisherEvent::OutcomesUnknown {
                let what = "the gateway fell so far behind the stream that it can no longer learn the \
                            outcomes of its clients' messages: start it again; clients resume by number";
                return Err(Failure::new(FAILED, what));
            }
            core.on_publisher(now, &mut Handle(publisher), &event);
        }
        let mut failed = None;
        work += subscriber.poll(BATCH, |event| {
            failed = failed.take().or_else(|| reading.on_event(&event));
            core.on_stream(now, &mut Handle(publisher), &event);
            if failed.is_none() && !reading.lacks_beginning() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        failed.map_or(Ok(work), Err)
    }

    fn accept(&mut self, now: Nanos, listener: usize) -> usize {
        for count in 0..ACCEPTED_PER_TURN {
            if !self.core.may_accept(now) {
                return count;
            }
            let (link, peer) = match self.listeners[listener].accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.core.stop_accepting();
                    match error.kind() {
                        ErrorKind::WouldBlock => self.listeners[listener].accepts = false,
                        _ => tracing::warn!("a client could not be accepted: {error}"),
                    }
                    return count;
                }
            };
            let fix = self.listeners[listener].fix.clone();
            if self.arrivals.is_tunnel(peer) {
                let core = &mut self.core;
                self.arrivals.push(now, link, (peer, fix), |peer, why| core.on_turned_away(now, peer, why));
            } else {
                self.admit(now, link, peer, fix.as_deref());
            }
        }
        ACCEPTED_PER_TURN
    }

    /// A client at `peer` has this connection; with a CompID of the gateway it speaks FIX.
    fn admit(&mut self, now: Nanos, mut link: Link, peer: SocketAddr, fix: Option<&str>) {
        let accepted = match fix {
            Some(comp_id) => self.core.accept_fix(now, peer, comp_id),
            None => self.core.accept(now, peer),
        };
        let Some((index, number)) = accepted else { return };
        if self.clients.len() <= index {
            self.clients.resize_with(index + 1, || None);
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(CLIENTS + index);
        if let Err(error) = self.poll.registry().register(link.socket(), token, interest) {
            self.core.on_fault(now, index, &format!("its socket cannot be watched: {error}"));
            return self.core.on_closed(now, index);
        }
        self.core.on_handshake(index, link.is_handshaking());
        self.clients[index] = Some(Client { link, number, readable: true, writable: true });
        self.readable.insert(index);
    }

    fn is_handshaking(&self, index: usize) -> bool {
        self.clients.get(index).and_then(Option::as_ref).is_some_and(|client| client.link.is_handshaking())
    }

    /// One step of one handshake; another handshake has the next turn. A step costs a signature, for which
    /// all others wait.
    fn shake_hands(&mut self, now: Nanos) -> usize {
        let in_turn = self.readable.range(self.shook + 1..).chain(self.readable.range(..=self.shook));
        let in_turn: Vec<_> = in_turn.copied().filter(|index| self.is_handshaking(*index)).collect();
        for index in in_turn {
            self.shook = index;
            if self.core.wants(index) && self.hear(now, index) > 0 {
                return 1;
            }
        }
        0
    }

    /// Reads from all clients whose handshake is complete.
    fn read(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        for index in self.readable.clone() {
            if self.core.wants(index) && !self.is_handshaking(index) {
                work += self.hear(now, index);
            }
        }
        work
    }

    /// Reads from one client. Returns whether anything arrived.
    fn hear(&mut self, now: Nanos, index: usize) -> usize {
        let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else {
            self.readable.remove(&index);
            return 0;
        };
        let shook_hands = client.link.is_handshaking();
        let input = client.link.read(&mut self.buffer);
        if shook_hands && !client.link.is_handshaking() {
            self.core.on_handshake(index, false);
        }
        match input {
            LinkInput::Bytes(len) => {
                let Self { core, publisher, buffer, .. } = self;
                core.on_bytes(now, &mut Handle(publisher), index, &buffer[..len]);
                self.touched.push(index);
            }
            LinkInput::Again => self.touched.push(index), // there may be an answer
            LinkInput::Nothing => {
                client.readable = false;
                self.readable.remove(&index);
                return 0;
            }
            LinkInput::End => self.close(now, index),
            LinkInput::Fault(what) => {
                self.core.on_fault(now, index, &format!("a client was cut: {what}"));
                self.close(now, index);
            }
        }
        1
    }

    fn write(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for index in touched.drain(..) {
            loop {
                let out = self.core.out(index);
                let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else { break };
                if !client.writable || out.is_empty() && !client.link.wants_write() {
                    break;
                }
                match client.link.write(out) {
                    Ok(len) => {
                        work += 1;
                        self.core.on_sent(now, index, len);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => client.writable = false,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => {
                        // What it had sent before is read first: the end of the socket closes it.
                        client.writable = false;
                        client.readable = true;
                        self.readable.insert(index);
                        self.core.on_output_broken(index);
                        break;
                    }
                }
            }
            if self.core.is_done(now, index)
                && let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut)
                && client.link.part(now)
            {
                self.close(now, index);
            }
        }
        self.touched = touched;
        work
    }

    fn close(&mut self, now: Nanos, index: usize) {
        if let Some(mut client) = self.clients.get_mut(index).and_then(Option::take) {
            client.link.part(now);
            let _ = self.poll.registry().deregister(client.link.socket()); // it ends with its descriptor
            tracing::debug!(client.number, "connection closed");
            self.core.on_closed(now, index);
        }
        self.readable.remove(&index);
    }
}
