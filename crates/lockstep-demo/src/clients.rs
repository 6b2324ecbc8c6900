//! The clients of the demo's gateways: they know SoupBinTCP and nothing of lockstep. Each sends its share of
//! the order flow, numbered, and counts its answers. One whose connection ends logs in at the other gateway
//! with the number that it expects next, is told the last of its own numbers that the stream has, and sends
//! again what follows it. Without a gateway nobody trades: meanwhile no order falls due.

use crate::args::DemoSenderArgs;
use crate::gateways::{PASSWORD, user_name};
use crate::orders::{NUMBERED_LEN, Order};
use crate::report_lines::{Answered, ChildCommand, ChildReport, Latency, Whereabouts, abandoned};
use crate::share::Share;
use crate::subscriber::latencies;
use crate::{GATEWAYS, PUBLISHERS};
use hdrhistogram::Histogram;
use lockstep_app::Acknowledger;
use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::{FAILED, INTEGRITY, NOT_READY};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_io::idle::{Idle, Waiter};
use lockstep_process::cpu;
use lockstep_wire::Nanos;
use soupbintcp::{ClientEnd, ClientEvent, ClientLimits, Connection, LoginRequest, RejectReason, Timeout};
use soupbintcp::{Field, Session, Text};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

/// Orders that a client has without an answer, at most.
const OPEN_MAX: usize = 4_096;
/// Bytes that may wait for the socket: what a gateway does not take is not written.
const WAITING_MAX: usize = 64 << 10;
/// From a login that failed to the next one, at the other gateway.
const RETRY_NS: Nanos = 5_000_000;
/// The clients give up when nothing is answered for so long.
const ANSWER_TIMEOUT_NS: Nanos = 50_000_000_000;
/// How long a logout may take to be sent.
const LEAVE_NS: Nanos = 1_000_000_000;
/// The answer to a login waits for a core that nobody else wants.
const LIMITS: ClientLimits =
    ClientLimits { answer_ns: 30_000_000_000, silence_ns: 15_000_000_000, heartbeat_ns: 1_000_000_000 };
/// Longest wait between two turns.
const PAUSE_NS: Nanos = 1_000_000;
/// How long a connect may take; the gateways are on this host.
const CONNECT: Duration = Duration::from_secs(1);

/// Sends and receives until every order is answered, and prints a summary.
pub fn run(args: &DemoSenderArgs) -> Result<u8, Failure> {
    // The clients take nothing else of the configuration.
    let idle = Config::load(Some(&args.child.config), &[])?.idle();
    if let Some(core) = args.child.core {
        cpu::pin(core);
    }
    let commands = ChildCommand::listen()?;
    let clock = Clock::start();
    let new = |number| Client::new(number, Share::new(args.child.messages, args.rate, number)?);
    let mut all = Clients {
        gateways: [None; GATEWAYS],
        clients: (0..PUBLISHERS).map(new).collect::<Result<_, _>>()?,
        latency: latencies()?,
        whereabouts: Whereabouts::default(),
        waiter: idle.waiter(&[])?,
        reports: Vec::new(),
    };
    let (mut is_ready, mut has_begun) = (false, false);
    let (mut progress, mut worked) = ((0, clock.now()), 0);
    while !has_begun || !all.clients.iter().all(Client::is_done) {
        let work = all.turn(clock.now())?;
        for report in all.reports.drain(..) {
            report.say()?;
        }
        if !is_ready && all.clients.iter().all(|client| client.knows) {
            is_ready = true;
            ChildReport::Ready.say()?;
        }
        match commands.try_recv() {
            Ok(ChildCommand::Begin { at, lasts }) => {
                all.clients.iter_mut().for_each(|client| client.share.begin(at, lasts));
                has_begun = true;
                progress.1 = at;
            }
            Ok(ChildCommand::Finish) => all.clients.iter_mut().for_each(|client| client.share.finish()),
            Ok(ChildCommand::Gateway { number, address }) if number < GATEWAYS => {
                all.gateways[number] = Some(address);
            }
            Err(TryRecvError::Disconnected) => return Err(abandoned()),
            _ => {}
        }
        let (answers, now) = (all.sum(|counts| counts.answers), clock.now());
        if answers > progress.0 || all.clients.iter().all(|client| client.open.is_empty()) {
            progress = (answers, now);
        } else if now > progress.1.saturating_add(ANSWER_TIMEOUT_NS) {
            let open: usize = all.clients.iter().map(|client| client.open.len()).sum();
            return Err(Failure::new(NOT_READY, format!("{open} orders were not answered in time")));
        }
        worked += work as u64;
        if work == 0 {
            all.waiter.on_progress(worked);
            all.wait(now, idle)?;
        }
    }
    all.leave(&clock);
    let summary = Answered {
        clients: PUBLISHERS,
        orders: all.sum(|counts| counts.orders),
        resent: all.sum(|counts| counts.resent),
        answers: all.sum(|counts| counts.answers),
        lost: all.sum(|counts| counts.lost),
        duplicated: all.sum(|counts| counts.duplicated),
        out_of_order: all.sum(|counts| counts.out_of_order),
        altered: all.sum(|counts| counts.altered),
        logins: all.sum(|counts| counts.logins).saturating_sub(u64::from(PUBLISHERS)),
        latency: Latency::of(&all.latency),
    };
    ChildReport::Answered(summary).say()?;
    Ok(0)
}

/// All of them: one thread, as they wait for nothing.
struct Clients {
    /// Where each gateway listens, as far as is known.
    gateways: [Option<SocketAddr>; GATEWAYS],
    clients: Vec<Client>,
    latency: Histogram<u64>,
    /// Where the clients are, as was said last.
    whereabouts: Whereabouts,
    /// Over their sockets, as they are until one connects or ends.
    waiter: Waiter,
    reports: Vec<ChildReport>,
}

impl Clients {
    fn turn(&mut self, now: Nanos) -> Result<usize, Failure> {
        let mut work = 0;
        for client in &mut self.clients {
            work += client.turn(now, &self.gateways, &mut self.latency, &mut self.reports)?;
        }
        let mut whereabouts = Whereabouts::default();
        for client in self.clients.iter().filter(|client| !client.is_done()) {
            let is_served = client.knows && client.cut_at.is_none();
            *if is_served { &mut whereabouts.at[client.gateway] } else { &mut whereabouts.unavailable } += 1;
        }
        if whereabouts != self.whereabouts {
            self.whereabouts = whereabouts;
            self.reports.push(ChildReport::Clients(whereabouts));
        }
        Ok(work)
    }

    /// Passes an idle moment, at most until an order is due.
    fn wait(&mut self, now: Nanos, idle: Idle) -> Result<(), IoError> {
        let has_moved = |client: &mut Client| std::mem::take(&mut client.has_moved);
        if self.clients.iter_mut().map(has_moved).fold(false, |any, moved| any | moved) {
            let connections = self.clients.iter().filter_map(|client| client.connection.as_ref());
            let sockets: Vec<_> = connections.map(|connection| connection.stream().as_fd()).collect();
            self.waiter = idle.waiter(&sockets)?;
        }
        let due = self.clients.iter().filter(|client| client.may_send()).map(|client| client.share.due());
        self.waiter.wait(due.min().unwrap_or(Nanos::MAX).saturating_sub(now).min(PAUSE_NS));
        Ok(())
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.clients.iter().map(|client| of(&client.counts)).sum()
    }

    /// Logs out, and waits until that has left or nobody takes it.
    fn leave(&mut self, clock: &Clock) {
        let deadline = clock.now() + LEAVE_NS;
        let mut connections: Vec<_> =
            self.clients.iter_mut().filter_map(|client| client.connection.take()).collect();
        for connection in &mut connections {
            let _ = connection.log_out(clock.now()); // one that has ended has left
        }
        while connections.iter().any(|connection| connection.waiting() > 0) && clock.now() < deadline {
            let now = clock.now();
            for connection in &mut connections {
                connection.poll(now, |_| {});
            }
        }
    }
}

/// An order without an answer.
struct Open {
    message: [u8; NUMBERED_LEN],
    sent_ns: Nanos,
}

/// What happened to one client.
#[derive(Default)]
struct Counts {
    orders: u64,
    resent: u64,
    answers: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    altered: u64,
    logins: u64,
}

/// A client, and what it has.
struct Client {
    name: String,
    share: Share,
    connection: Option<Connection<TcpStream>>,
    /// Whether a connection began or ended of which the waiter does not know.
    has_moved: bool,
    /// Which gateway it is at, or tries next.
    gateway: usize,
    retry_at: Nanos,
    /// Whether it is logged in, and knows which of its orders the stream has.
    knows: bool,
    /// The session, once it was told; and the number of the message that it expects next.
    session: Session,
    next_seq: u64,
    /// Orders without an answer, the oldest first. It is number `closed + 1`.
    open: VecDeque<Open>,
    closed: u64,
    /// The last of its orders that this connection has sent, or that the stream had at its login.
    sent: u64,
    answered_at: Nanos,
    /// When it lost its gateway, as long as it has no other one.
    lost_at: Option<Nanos>,
    /// When its connection broke, as long as no answer has come since.
    cut_at: Option<Nanos>,
    counts: Counts,
}

impl Client {
    fn new(number: u16, share: Share) -> Result<Self, Failure> {
        Ok(Self {
            name: user_name(number),
            share,
            connection: None,
            has_moved: false,
            gateway: usize::from(number) % GATEWAYS,
            retry_at: 0,
            knows: false,
            session: Session::BLANK,
            next_seq: 1,
            open: VecDeque::new(),
            closed: 0,
            sent: 0,
            answered_at: 0,
            lost_at: None,
            cut_at: None,
            counts: Counts::default(),
        })
    }

    /// Whether every order is sent and answered.
    fn is_done(&self) -> bool {
        self.share.is_over() && self.open.is_empty()
    }

    /// Whether it sends the next order as soon as that is due.
    fn may_send(&self) -> bool {
        self.knows && self.open.len() < OPEN_MAX && !self.share.is_over()
    }

    /// Does what it can without waiting. Returns the work done.
    fn turn(
        &mut self,
        now: Nanos,
        gateways: &[Option<SocketAddr>],
        latency: &mut Histogram<u64>,
        reports: &mut Vec<ChildReport>,
    ) -> Result<usize, Failure> {
        let Some(mut connection) = self.connection.take() else {
            if now >= self.retry_at && !self.is_done() {
                self.connect(now, gateways[self.gateway])?;
            }
            return Ok(0);
        };
        let (mut work, answers) = (0, self.counts.answers);
        let mut words = String::new();
        let mut wrong = None;
        work += connection.poll(now, |event| match event {
            ClientEvent::Accepted { session, .. } => self.session = session,
            ClientEvent::Message { bytes, .. } => self.on_answer(now, bytes, latency),
            ClientEvent::Unsequenced(bytes) => wrong = self.on_last_number(now, bytes).err(),
            ClientEvent::Debug(text) => words = Text(text).to_string(),
            ClientEvent::Ended(_) => {}
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if self.counts.answers > answers {
            if let Some(cut_at) = self.cut_at.take() {
                let since = if self.answered_at > 0 { self.answered_at } else { cut_at };
                reports.push(ChildReport::Resumed { at: now, wait_ns: now - since });
            }
            self.answered_at = now;
        }
        let Some(end) = connection.client().ended() else {
            work += self.send(now, &mut connection)?;
            self.connection = Some(connection);
            return Ok(work);
        };
        if end == ClientEnd::Rejected(RejectReason::NotAuthorized) {
            let what = format!("the gateway does not let user '{}' in: {end}; {words}", self.name);
            return Err(Failure::new(FAILED, what));
        }
        self.has_moved = true;
        // Whatever ended it, the other gateway knows as much. The next number was counted by the machine.
        self.next_seq = connection.client().next_seq();
        if std::mem::take(&mut self.knows) {
            self.cut_at = Some(self.cut_at.unwrap_or(now));
            self.lost_at = Some(now);
        }
        self.gateway = (self.gateway + 1) % GATEWAYS;
        self.retry_at = now + if matches!(end, ClientEnd::Rejected(_)) { RETRY_NS } else { 0 };
        Ok(work)
    }

    fn connect(&mut self, now: Nanos, gateway: Option<SocketAddr>) -> Result<(), Failure> {
        let socket = gateway.and_then(|address| {
            let socket = TcpStream::connect_timeout(&address, CONNECT).ok()?;
            socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true)).ok()?;
            Some(socket)
        });
        let Some(socket) = socket else {
            self.gateway = (self.gateway + 1) % GATEWAYS;
            self.retry_at = now + RETRY_NS;
            return Ok(());
        };
        let wrong = |error: String| Failure::new(FAILED, format!("user '{}': {error}", self.name));
        let login = LoginRequest {
            username: Field::new(self.name.as_bytes()).map_err(|error| wrong(error.to_string()))?,
            password: Field::new(PASSWORD.as_bytes()).map_err(|error| wrong(error.to_string()))?,
            session: self.session,
            seq: self.next_seq,
            timeout: Timeout::Absent,
        };
        let connection = Connection::log_in(now, socket, login, LIMITS);
        self.connection = Some(connection.map_err(|error| wrong(error.to_string()))?);
        self.counts.logins += 1;
        self.has_moved = true;
        Ok(())
    }

    /// Behind a login: the last of our numbers that the stream has. What follows it is sent again.
    fn on_last_number(&mut self, now: Nanos, bytes: &[u8]) -> Result<(), Failure> {
        let last = bytes.try_into().map(u64::from_be_bytes).ok();
        let known = self.closed..=self.closed + self.open.len() as u64;
        let Some(last) = last.filter(|last| known.contains(last)) else {
            let (last, from, to) = (last.unwrap_or(0), known.start(), known.end());
            let what = format!(
                "user '{}' is told that the stream has its orders up to {last}: {from} are answered, and {to} \
                 sent",
                self.name
            );
            return Err(Failure::new(INTEGRITY, what));
        };
        (self.sent, self.knows) = (last, true);
        if let Some(lost_at) = self.lost_at.take() {
            self.share.delay(now - lost_at);
        }
        Ok(())
    }

    /// An answer: that to the oldest open order, or something is wrong.
    fn on_answer(&mut self, now: Nanos, answer: &[u8], latency: &mut Histogram<u64>) {
        let counts = &mut self.counts;
        let message = answer.strip_prefix(Acknowledger::PREFIX).unwrap_or_default();
        let Some((number, _)) = Order::from_numbered(message) else {
            counts.altered += 1;
            return;
        };
        if number <= self.closed {
            counts.duplicated += 1;
            return;
        }
        let skipped = number - self.closed - 1;
        if skipped >= self.open.len() as u64 {
            counts.altered += 1;
            return;
        }
        counts.out_of_order += u64::from(skipped > 0);
        counts.lost += skipped;
        self.open.drain(..skipped as usize);
        self.closed = number;
        // It was asked for above.
        let Some(open) = self.open.pop_front() else { return };
        counts.altered += u64::from(open.message != message);
        counts.answers += 1;
        latency.saturating_record(now.saturating_sub(open.sent_ns).max(1));
    }

    /// Sends again what the stream does not have, then what is due. Returns how many.
    fn send(&mut self, now: Nanos, connection: &mut Connection<TcpStream>) -> Result<usize, Failure> {
        let mut count = 0;
        self.sent = self.sent.max(self.closed);
        while self.knows && connection.waiting() < WAITING_MAX {
            let at = (self.sent - self.closed) as usize;
            if let Some(open) = self.open.get(at) {
                self.counts.resent += 1;
                let message = open.message;
                self.say(now, connection, &message)?;
            } else if self.open.len() < OPEN_MAX
                && let Some(order) = self.share.next(now)
            {
                let open = Open { message: order.numbered(self.share.number()), sent_ns: order.sent_ns };
                self.share.take(now);
                self.counts.orders += 1;
                self.say(now, connection, &open.message)?;
                self.open.push_back(open);
            } else {
                break;
            }
            self.sent += 1;
            count += 1;
        }
        Ok(count)
    }

    fn say(&self, now: Nanos, connection: &mut Connection<TcpStream>, message: &[u8]) -> Result<(), Failure> {
        let sent = connection.unsequenced(now, message);
        sent.map_err(|error| Failure::new(FAILED, format!("user '{}': {error}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that has sent `count` orders, and these.
    fn client(count: usize) -> (Client, Vec<Vec<u8>>) {
        let mut share = Share::new(1_000, 0, 0).expect("the recorded day");
        share.begin(0, false);
        let mut client = Client::new(0, share).expect("a client");
        for _ in 0..count {
            let order = client.share.next(client.share.due()).expect("it is due");
            let message = order.numbered(client.share.number());
            client.share.take(0);
            client.open.push_back(Open { message, sent_ns: 1 });
            client.sent += 1;
        }
        let answers = client.open.iter().map(|open| [Acknowledger::PREFIX, &open.message].concat()).collect();
        (client, answers)
    }

    fn judged(count: usize, answers: &[usize]) -> [u64; 5] {
        let (mut client, all) = client(count);
        let mut latency = latencies().expect("a histogram");
        answers.iter().for_each(|index| client.on_answer(9, &all[*index], &mut latency));
        let Counts { answers, lost, duplicated, out_of_order, altered, .. } = client.counts;
        [answers, lost, duplicated, out_of_order, altered]
    }

    #[test]
    fn an_answer_that_lacks_comes_again_or_is_not_ours_is_counted() {
        assert_eq!(judged(4, &[0, 1, 2, 3]), [4, 0, 0, 0, 0]);
        assert_eq!(judged(4, &[0, 2, 3]), [3, 1, 0, 1, 0], "one lacks");
        assert_eq!(judged(4, &[0, 1, 1, 0, 2]), [3, 0, 2, 0, 0], "two come again");
        let (mut client, all) = client(4);
        let mut latency = latencies().expect("a histogram");
        let mut other = all[0].clone();
        other[20] ^= 1;
        client.on_answer(9, &other, &mut latency);
        client.on_answer(9, b"ack", &mut latency);
        client.on_answer(
            9,
            &[Acknowledger::PREFIX, &Order::numbered(&client.share.next(client.share.due()).unwrap(), 5)]
                .concat(),
            &mut latency,
        );
        assert_eq!((client.counts.answers, client.counts.altered), (1, 3));
    }

    #[test]
    fn behind_a_login_what_the_stream_lacks_is_sent_again_and_a_number_that_cannot_be_is_an_error() {
        let (mut client, all) = client(4);
        let mut latency = latencies().expect("a histogram");
        client.on_answer(9, &all[0], &mut latency);
        assert!(client.on_last_number(9, &3u64.to_be_bytes()).is_ok());
        assert_eq!((client.sent, client.closed, client.open.len()), (3, 1, 3));
        for wrong in [&0u64.to_be_bytes()[..], &5u64.to_be_bytes(), b"3"] {
            assert!(client.on_last_number(9, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn while_a_client_has_no_gateway_none_of_its_orders_falls_due() {
        let (mut client, _) = client(1);
        let due = client.share.due();
        client.lost_at = Some(5);
        client.on_last_number(25, &1u64.to_be_bytes()).expect("a number that can be");
        assert_eq!((client.share.due(), client.lost_at), (due + 20, None));
    }
}
