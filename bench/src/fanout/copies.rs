//! What a destination more costs whoever sends by unicast: the send alone, with nothing of the stream around
//! it.
//!
//! ```text
//!   io/fanout, or sendto for each ──▶ socket 1 … socket K, all emptied by one thread on another core
//! ```
//!
//! Closed loop: a send begins when the last has ended, so the rate is what one thread carries. On the
//! loopback a send also is the receipt: the kernel puts each copy into its socket before the call returns. A
//! card takes that away from the sender, and gives it its own work instead.

use super::{Arguments, MESSAGE_LEN};
use crate::environment;
use crate::harness::{Run, per_operation, pin, two_cores};
use crate::results::{Round, Row, RunResult, Unit};
use crate::stats::Latencies;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::clock::Clock;
use lockstep_io::fanout::{Fanout, FanoutNode, FanoutSettings};
use lockstep_io::udp::{Interface, UdpSettings, take_bursts_whole};
use lockstep_process::cpu;
use lockstep_wire::{ENTRY_HEADER_LEN, GROUPS_ALL, HEADER_LEN, Keyring};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A frame with one message.
const STRIDE: usize = HEADER_LEN + ENTRY_HEADER_LEN + MESSAGE_LEN;
/// Datagrams of a send: one, and as many as a busy leader has.
const SHAPES: [usize; 2] = [1, 16];
/// What a receiver's socket holds, as far as the kernel grants it.
const BUFFER_BYTES: usize = 4 << 20;
/// Datagrams that come no more are lost after so long without one.
const SETTLE: Duration = Duration::from_millis(100);

/// Measures every number of copies.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let skipped = Ok(RunResult::Passed);
    let Some(cores) = two_cores("fanout --copies", "sender and receivers") else { return skipped };
    let title = "a send by unicast to so many";
    let mut run = Run::begin("copies", title, environment::facts());
    run.tell("clock", "CLOCK_MONOTONIC, one reading for each send");
    run.tell("loop", "closed: the next send begins when the last has ended");
    run.tell("datagrams", format!("{STRIDE} B: a frame with one message of {MESSAGE_LEN} B"));
    run.tell("cores", format!("sender {}, all receivers {}", cores[0], cores[1]));
    let turned = format!("{} rounds of {} sends", arguments.shared.rounds, arguments.messages);
    run.tell("turns", turned);
    pin(cores[0])?;
    for &copies in &arguments.copies {
        run.rounds(arguments.shared.rounds, |run, round| {
            for (datagrams, one_by_one) in
                SHAPES.into_iter().flat_map(|count| [(count, true), (count, false)])
            {
                run.show(&format!("{copies} copies, round {round}, {datagrams} datagrams"));
                one(run, arguments, cores[1], copies as usize, datagrams, one_by_one)?;
            }
            Ok(())
        })?;
    }
    run.finish(&arguments.shared.output)
}

/// One way of sending, one number of copies, one size of bursts.
fn one(
    run: &mut Run,
    arguments: &Arguments,
    core: usize,
    copies: usize,
    datagrams: usize,
    one_by_one: bool,
) -> Result<(), String> {
    let sockets: Vec<UdpSocket> = (0..copies).map(|_| receiver()).collect::<Result<_, _>>()?;
    let targets: Vec<SocketAddrV4> = sockets.iter().map(address).collect::<Result<_, _>>()?;
    let bytes = vec![1; STRIDE * datagrams];
    let (came, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let at = Instant::now();
    let latencies = std::thread::scope(|scope| {
        scope.spawn(|| empty(&sockets, core, &came, &over));
        let sent = if one_by_one {
            by_sendto(&targets, &bytes, arguments.messages)
        } else {
            by_fanout(&targets, &bytes, arguments.messages)
        };
        settle(&came);
        over.store(true, Ordering::Release);
        sent
    });
    let (latencies, took_ns) = latencies?;
    let all = arguments.messages * (copies * datagrams) as u64;
    let lost = all - came.load(Ordering::Acquire).min(all);
    let subject = if one_by_one { "sendto" } else { "unicast" };
    let words = if one_by_one { "sendto for each copy" } else { "io/fanout" };
    let s = if copies == 1 { "y" } else { "ies" };
    let d = if datagrams == 1 { "" } else { "s" };
    let case = format!("{datagrams} datagram{d} in {copies} cop{s}");
    let mut add = |what: &str, unit, round: Round| {
        let row = Row::new(&format!("{case}, {what}"), subject, words, unit).as_floor(one_by_one);
        let row = row.over([("copies", copies as f64), ("datagrams", datagrams as f64)]);
        run.record(row, at, Duration::from_nanos(took_ns), round);
    };
    // What a socket had no room for is told once.
    add("the send", Unit::Nanos, Round { lost, ..Round::of(&latencies)? });
    add("each copy of a datagram", Unit::Nanos, per_operation(&latencies, (copies * datagrams) as u64));
    let rate = (arguments.messages * datagrams as u64) as f64 * 1e9 / took_ns as f64;
    add("datagrams to all", Unit::MessagesPerSecond, Round::value(rate));
    Ok(())
}

fn receiver() -> Result<UdpSocket, String> {
    let fails = |error| format!("opening a receiver: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fails)?;
    socket.set_nonblocking(true).map_err(fails)?;
    // As members do, and have.
    socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES).map_err(fails)?;
    take_bursts_whole(socket.as_fd()).map_err(|error| error.to_string())?;
    Ok(socket)
}

fn address(socket: &UdpSocket) -> Result<SocketAddrV4, String> {
    match socket.local_addr() {
        Ok(SocketAddr::V4(address)) => Ok(address),
        other => Err(format!("a receiver has no address: {other:?}")),
    }
}

/// Empties all sockets until it is over.
fn empty(sockets: &[UdpSocket], core: usize, came: &AtomicU64, over: &AtomicBool) {
    // Where the core is not given the figures are worse, and the losses tell.
    let _ = cpu::pin(core);
    let mut burst = [0; 16 * STRIDE];
    while !over.load(Ordering::Acquire) {
        for socket in sockets {
            let mut count = 0;
            while let Ok(len) = socket.recv(&mut burst) {
                count += (len / STRIDE) as u64;
            }
            came.fetch_add(count, Ordering::AcqRel);
        }
    }
}

/// Waits until nothing comes any more.
fn settle(came: &AtomicU64) {
    loop {
        let before = came.load(Ordering::Acquire);
        std::thread::sleep(SETTLE);
        if came.load(Ordering::Acquire) == before {
            return;
        }
    }
}

/// The sends, and how long all of them took.
fn timed(sends: u64, mut send: impl FnMut() -> Result<(), String>) -> Result<(Latencies, u64), String> {
    let clock = Clock::start();
    let mut latencies = Latencies::new()?;
    let began = clock.now();
    let mut last = began;
    for _ in 0..sends {
        send()?;
        let now = clock.now();
        latencies.record(now - last);
        last = now;
    }
    Ok((latencies, last - began))
}

fn by_sendto(targets: &[SocketAddrV4], bytes: &[u8], sends: u64) -> Result<(Latencies, u64), String> {
    let socket = receiver()?;
    timed(sends, || {
        for datagram in bytes.chunks(STRIDE) {
            for target in targets {
                socket.send_to(datagram, target).map_err(|error| format!("sendto: {error}"))?;
            }
        }
        Ok(())
    })
}

fn by_fanout(targets: &[SocketAddrV4], bytes: &[u8], sends: u64) -> Result<(Latencies, u64), String> {
    let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, 255, 0, last));
    let udp = UdpSettings::new(Interface::Address(Ipv4Addr::LOCALHOST), 1, groups);
    let node = |(id, &address): (u32, &SocketAddrV4)| FanoutNode { id, address, groups: GROUPS_ALL };
    let nodes = (1..).zip(targets).map(node).collect();
    let settings =
        FanoutSettings { keys: Keyring::none(1).into(), nodes, members_max: 0, grants_leases: true };
    let udp = UdpSettings { joins: Vec::new(), ..udp };
    let mut net = Fanout::open(udp, &settings).map_err(|error| error.to_string())?;
    timed(sends, || {
        let mut at = 0;
        while at < bytes.len() {
            let burst = Burst { bytes: &bytes[at..], stride: STRIDE };
            at += net.send_group(Group::Data, &[burst]) * STRIDE;
        }
        Ok(())
    })
}
