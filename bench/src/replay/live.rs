//! What a replay costs those who read live: orders flow, and beside them a journal is read, again and again.
//!
//! ```text
//!   client ─▶ leader ─▶ standby ─▶ client       messages at their intended times, delivered as committed
//!                          └─TCP─▶ a reader that looks at nothing
//! ```
//!
//! Each round runs once without the reader and once with each `replay.rate`; the ratio is to the run of the
//! same round without it. Server and reader have no machine of their own here: they take their share of
//! the cores that client, leader and standby run on.

use crate::client::{Client, Ground, Measure, measure};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::environment;
use crate::floor::{intended, number, write_message};
use crate::node::{NodeArguments, Role};
use crate::progress::Progress;
use crate::results::{Results, Round, Row, Unit};
use crate::scene::{Contestant, Node};
use crate::stats::Latencies;
use lockstep_client::Delivery;
use lockstep_core::engine::replay::REPLAY_BUFFER_LEN;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::{Header, Kind, Nanos, ReplayRequestBody, SMALL_LEN_MAX, Seq, write_replay_request};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Messages that lie in the journal before the measured ones: some 50 MB.
const FILL: u64 = 500_000;
/// The measured ones that are not counted, at first.
const WARM_UP: u64 = 2_000;
/// A run that takes longer is ended: the machine is too busy to say anything.
const RUN_NS: Nanos = 120_000_000_000;

/// Who reads beside the live one, and how fast it may: `None` is nobody.
const ROWS: [(&str, Option<&str>); 5] = [
    ("nobody", None),
    ("16MiB/s", Some("16MiB")),
    ("64MiB/s", Some("64MiB")),
    ("256MiB/s", Some("256MiB")),
    ("no limit", Some("1TiB")),
];

/// What a reader is to read, until it is told to stop; it answers with bytes per second.
struct Errand {
    cluster: u64,
    from: SocketAddrV4,
    to: Seq,
    stop: Arc<AtomicBool>,
}

/// Measures; `None` where the machine cannot: SKIPPED.
///
/// # Errors
/// What failed.
pub fn run(rounds: usize, messages: u64, rate: u64) -> Result<Option<Results>, String> {
    let cores = cpu::cores();
    if cores.len() < 2 {
        println!(
            "SKIPPED: replay --live: leader and client need a core each, this machine has {}",
            cores.len()
        );
        return Ok(None);
    }
    let title = "what a replay of a standby's journal costs those who read live";
    let mut results = Results::begin("replay", title, environment::with_device(None)?);
    let (began, progress) = (Instant::now(), Progress::new("replay"));
    // Before this thread is bound to a core: the reader is not.
    let (errands, taken) = channel();
    let (tell, told) = channel();
    std::thread::spawn(move || read_beside(&taken, &tell));
    if let Some(note) = cpu::pin(cores[0]).note {
        return Err(note);
    }
    results.tell("clock", "monotonic, one for all");
    results.tell("cores", format!("3 busy threads, a server and a reader on {}", cores.len()));
    let idle = Idle::for_machine(3, cores.len());
    results.tell("idle", idle);
    results.tell("loop", format!("open: {rate}/s of {MESSAGE_LEN} B, each at its intended time"));
    results.tell("warm-up", format!("{FILL} messages that fill the journal, and {WARM_UP} more"));
    let live = format!("live, published to committed, {rate}/s of {MESSAGE_LEN} B");
    let beside = "read, meanwhile";
    let axes = [("bytes", MESSAGE_LEN as f64), ("rate", rate as f64)];
    for number in 1..=rounds {
        for (name, replay_rate) in ROWS {
            progress.say(&format!("round {number} of {rounds}, {name}"));
            let at_s = began.elapsed().as_secs_f64();
            let site = Site { replay_rate: replay_rate.unwrap_or_default().to_owned(), ..Site::loopback(3) };
            let cluster = Cluster::on(&site, idle)?;
            results.configure(&cluster.config);
            let reads = replay_rate.map(|_| (&errands, &told));
            let run = one(&cluster, (messages, rate), &cores, reads);
            let ((latencies, achieved), read) =
                run.map_err(|error| format!("{name}, round {number}: {error}"))?;
            let seconds = messages as f64 / achieved;
            let round = Round { at_s, seconds, ..Round::of(&latencies)? }.sent(rate as f64, achieved);
            let row = || Row::new(&live, name, name, Unit::Nanos).over(axes);
            results.add(&live, name, round, || row().as_floor(replay_rate.is_none()));
            if let Some(read) = read {
                let round = Round { at_s, seconds, ..Round::value(read) };
                results.add(beside, name, round, || Row::new(beside, name, name, Unit::BytesPerSecond));
            }
        }
    }
    Ok(Some(results))
}

/// Whom errands are given to, and who tells of them.
type Reader<'a> = (&'a Sender<Errand>, &'a Receiver<Result<f64, String>>);

/// Latencies, and how many messages a second were sent.
type Sent = (Latencies, f64);

/// One run, and the bytes per second that the reader had.
fn one(
    cluster: &Cluster,
    (messages, rate): (u64, u64),
    cores: &[usize],
    reads: Option<Reader<'_>>,
) -> Result<(Sent, Option<f64>), String> {
    let contestant = Contestant::Lockstep;
    let start = |role, core| Node::start(cluster, &NodeArguments::new(contestant, role, core));
    let (_leader, _standby) = (start(Role::Leader, cores[1])?, start(Role::Standby, cores[0])?);
    let stop = Arc::new(AtomicBool::new(false));
    let errand = Errand {
        cluster: cluster.config.cluster,
        from: cluster.node(2)?.unicast,
        to: FILL,
        stop: Arc::clone(&stop),
    };
    let orders = Orders {
        messages,
        interval_ns: 1_000_000_000 / rate.max(1),
        idle: cluster.config.endpoint().idle,
        reads: reads.map(|(errands, _)| (errand, errands)),
    };
    let measured = measure(contestant, Ground::own(cluster), Delivery::Committed, MESSAGE_LEN, orders);
    stop.store(true, Ordering::Release);
    let read = reads.map(|(_, told)| told.recv().map_err(|error| error.to_string())?).transpose();
    Ok((measured?, read?))
}

/// Fills the journal, starts the reader, and publishes at intended times.
struct Orders<'a> {
    messages: u64,
    interval_ns: Nanos,
    idle: Idle,
    reads: Option<(Errand, &'a Sender<Errand>)>,
}

impl Measure for Orders<'_> {
    type Found = Sent;

    fn with(self, mut client: impl Client) -> Result<Sent, String> {
        let clock = Clock::start();
        let mut waiter = self.idle.waiter(&[]).map_err(|error| error.to_string())?;
        let mut latencies = Latencies::new()?;
        let mut message = [0; MESSAGE_LEN];
        let (counted, total) = (FILL + WARM_UP, FILL + WARM_UP + self.messages);
        let (opened, mut began, mut reads) = (clock.now(), 0, self.reads);
        let (mut sent, mut came, mut sent_at) = (0, 0, 0);
        while came < total {
            let now = clock.now();
            if came == FILL && began == 0 {
                began = now;
                if let Some((errand, errands)) = reads.take() {
                    errands.send(errand).map_err(|error| error.to_string())?;
                }
            }
            let filling = sent < FILL;
            let due = match began {
                0 if filling => now,
                0 => Nanos::MAX,
                began => began + (sent - FILL) * self.interval_ns,
            };
            write_message(&mut message, sent, due);
            if sent < total && now >= due && client.publish(&message) {
                (sent, sent_at) = (sent + 1, now);
                if !filling || sent.is_multiple_of(64) || sent == FILL {
                    client.flush();
                }
            }
            let mut misplaced = None;
            let work = client.turn(|payload, _| {
                if number(payload) != came {
                    misplaced.get_or_insert((came, number(payload)));
                }
                if came >= counted {
                    latencies.record(clock.now().saturating_sub(intended(payload)));
                }
                came += 1;
            });
            if let Some((expected, seen)) = misplaced {
                return Err(format!("message {seen} came where {expected} was to come"));
            }
            if now > opened + RUN_NS {
                return Err(format!("{came} of {total} messages came in time: other work has the cores"));
            }
            if work == 0 && !filling {
                waiter.wait(0);
            }
        }
        let sending_s = sent_at.saturating_sub(began) as f64 / 1e9;
        Ok((latencies, (WARM_UP + self.messages) as f64 / sending_s))
    }
}

/// Runs errands, one after the other, behind everybody else.
fn read_beside(errands: &Receiver<Errand>, tell: &Sender<Result<f64, String>>) {
    cpu::yield_to_others();
    while let Ok(errand) = errands.recv() {
        let began = Instant::now();
        let mut bytes = 0;
        let read = loop {
            if errand.stop.load(Ordering::Acquire) {
                break Ok(bytes as f64 / began.elapsed().as_secs_f64());
            }
            match read_once(&errand) {
                Ok(read) => bytes += read,
                Err(error) => break Err(format!("reading the journal: {error}")),
            }
        };
        if tell.send(read).is_err() {
            return;
        }
    }
}

/// The journal from its first seq on; as many bytes as came before it was told to stop.
fn read_once(errand: &Errand) -> std::io::Result<usize> {
    let mut socket = TcpStream::connect(errand.from)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = [0; SMALL_LEN_MAX];
    let header = Header { cluster: errand.cluster, ..Header::new(Kind::ReplayRequest) };
    let len = write_replay_request(&mut request, header, ReplayRequestBody { from: 1, to: errand.to });
    socket.write_all(&request[..len])?;
    let (mut buffer, mut bytes) = (vec![0; REPLAY_BUFFER_LEN], 0);
    while !errand.stop.load(Ordering::Acquire) {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes += count,
            // Only so that it is noticed when there is nothing more to do.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
