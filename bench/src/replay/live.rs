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

use super::ask;
use crate::client::{Client, Measure};
use crate::cluster::{Cluster, MESSAGE_LEN, Site};
use crate::contestant::Contestant;
use crate::environment;
use crate::harness::{Run, Shared, pin, two_cores};
use crate::load::{BATCH_MAX, Drive, Fill, Pace, Unrecorded};
use crate::probe::{Found, Rally};
use crate::results::{Round, Row, RunResult, Unit};
use crate::stage::Stage;
use crate::ways::Way;
use lockstep_client::Delivery;
use lockstep_core::engine::replay::REPLAY_BUFFER_LEN;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_process::cpu;
use lockstep_wire::{Nanos, Seq};
use std::io::{ErrorKind, Read};
use std::net::SocketAddrV4;
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

/// The readers beside the live one, and how fast it may: `None` is nobody.
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

/// Measures, and gives out what was found. Fewer than two cores are SKIPPED.
///
/// # Errors
/// What failed.
pub fn run(shared: &Shared, messages: u64, rate: u64) -> Result<RunResult, String> {
    let Some(cores) = two_cores("replay --live", "leader and client") else { return Ok(RunResult::Passed) };
    let title = "what a replay of a standby's journal costs those who read live";
    let mut run = Run::begin("replay", title, environment::with_device(None)?);
    // Before this thread is bound to a core: the reader is not.
    let (errands, taken) = channel();
    let (tell, reported) = channel();
    std::thread::spawn(move || read_beside(&taken, &tell));
    pin(cores[0])?;
    run.tell("clock", "monotonic, one for all");
    run.tell("cores", format!("3 busy threads, a server and a reader on {}", cores.len()));
    let idle = Idle::for_machine(3, cores.len());
    run.tell("idle", idle);
    run.tell("loop", format!("open: {rate}/s of {MESSAGE_LEN} B, each at its intended time"));
    run.tell("warm-up", format!("{FILL} messages that fill the journal, and {WARM_UP} more"));
    let live = format!("live, published to committed, {rate}/s of {MESSAGE_LEN} B");
    let beside = "read, meanwhile";
    let axes = [("bytes", MESSAGE_LEN as f64), ("rate", rate as f64)];
    run.rounds(shared.rounds, |run, number| {
        for (name, replay_rate) in ROWS {
            run.show(&format!("round {number}, {name}"));
            let at_s = run.at_s();
            let site = Site { replay_rate: replay_rate.unwrap_or_default().to_owned(), ..Site::loopback(3) };
            let cluster = Cluster::on(&site, idle)?;
            run.results.configure(&cluster.config);
            let reads = replay_rate.map(|_| (&errands, &reported));
            let run_of = one(&cluster, (messages, rate), &cores, reads);
            let (found, read) = run_of.map_err(|error| format!("{name}, round {number}: {error}"))?;
            let round = Round { at_s, ..found.round()? };
            let seconds = round.seconds;
            let row = Row::new(&live, name, name, Unit::Nanos).over(axes);
            run.results.add(row.as_floor(replay_rate.is_none()), round);
            if let Some(read) = read {
                let round = Round { at_s, seconds, ..Round::value(read) };
                run.results.add(Row::new(beside, name, name, Unit::BytesPerSecond), round);
            }
        }
        Ok(())
    })?;
    run.finish(&shared.output)
}

/// The threads that errands go to, and who tells of them.
type Reader<'a> = (&'a Sender<Errand>, &'a Receiver<Result<f64, String>>);

/// One run, and the bytes per second that the reader had.
fn one(
    cluster: &Cluster,
    (messages, rate): (u64, u64),
    cores: &[usize],
    reads: Option<Reader<'_>>,
) -> Result<(Found, Option<f64>), String> {
    let stop = Arc::new(AtomicBool::new(false));
    let errand = Errand {
        cluster: cluster.config.cluster,
        from: cluster.node(2)?.unicast,
        to: FILL,
        stop: Arc::clone(&stop),
    };
    let orders = Orders {
        messages,
        rate: rate.max(1),
        idle: cluster.config.idle(),
        reads: reads.map(|(errands, _)| (errand, errands)),
    };
    let way = Way::default();
    let stage = Stage::of(Contestant::Lockstep, &way, Delivery::Committed, [cores[1], cores[0]]);
    let measured = stage.play(cluster, MESSAGE_LEN, |_| Ok(orders));
    stop.store(true, Ordering::Release);
    let read = reads.map(|(_, reported)| reported.recv().map_err(|error| error.to_string())?).transpose();
    Ok((measured?.0, read?))
}

/// Fills the journal, starts the reader, and publishes at intended times.
struct Orders<'a> {
    messages: u64,
    rate: u64,
    idle: Idle,
    reads: Option<(Errand, &'a Sender<Errand>)>,
}

impl Measure for Orders<'_> {
    type Found = Found;

    fn with(self, mut client: impl Client) -> Result<Found, String> {
        let clock = Clock::start();
        let gives_up = clock.now() + RUN_NS;
        let (idle, message_len, batch_max) = (self.idle, MESSAGE_LEN, BATCH_MAX);
        let fill = Drive {
            clock: &clock,
            idle,
            message_len,
            first: 0,
            batch_max,
            drains: true,
            sleeps: false,
            gives_up,
        };
        fill.run(&mut client, &mut Fill(FILL), &mut Unrecorded)?;
        if let Some((errand, errands)) = self.reads {
            errands.send(errand).map_err(|error| error.to_string())?;
        }
        let time_of = |messages: u64| (messages as f64 * 1e9 / self.rate as f64) as Nanos;
        let (warm_up_ns, pace) = (time_of(WARM_UP), Pace::Open(self.rate, None));
        let orders = Rally { pace, warm_up_ns, ..Rally::probe(MESSAGE_LEN, time_of(self.messages), idle) };
        orders.of(&mut client, FILL)
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
    let mut socket = ask(errand.from.into(), errand.cluster, errand.to)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
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
