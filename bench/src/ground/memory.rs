//! Round trips between two cores through shared memory: what a hand-over from one hot thread to another costs
//! where neither ever sleeps, as a word in a cache line and as a datagram of the transport.

use super::{Plan, hops::WARM_UP_NS};
use crate::cluster::MESSAGE_LEN;
use crate::harness::{Run, pin};
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::clock::{Clock, random_u64};
use lockstep_io::shm::{Shm, ShmSettings};
use lockstep_wire::Nanos;
use std::hint::spin_loop;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A cache line and the one that the CPU fetches with it, for one writer.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

/// What one writes for the other.
#[derive(Default)]
struct Table {
    there: Line,
    back: Line,
}

/// Says that there is no more to do, and that the other thread could not do it.
const END: u64 = u64::MAX;

/// A datagram that takes longer is lost, and with it the measurement.
const LOST_NS: Nanos = 5_000_000_000;

/// The first core asks, the second answers.
pub fn turn(run: &mut Run, plan: &Plan) -> Result<(), String> {
    word(run, plan)?;
    datagram(run, plan)
}

/// One datagram of the transport there, and one back.
fn datagram(run: &mut Run, plan: &Plan) -> Result<(), String> {
    let at = Instant::now();
    let random = random_u64().map_err(|error| error.to_string())?.to_le_bytes();
    let group = SocketAddrV4::new(Ipv4Addr::new(239, random[0], random[1], random[2]), 1);
    let open = |hears| {
        let settings = ShmSettings::new(group, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        Shm::open(ShmSettings { joins: vec![hears], ..settings }).map_err(|error| error.to_string())
    };
    // The side that is opened last knows the other; the first question waits until the other knows it as
    // well.
    let (theirs, ours) = (open(Group::Submit)?, open(Group::Data)?);
    let (here, there) = (plan.cores[0], plan.cores[1]);
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let other = std::thread::spawn(move || send_back(theirs, there, &is_over));
    let asked = ask_by_datagrams(ours, plan.turn);
    over.store(true, Ordering::Release);
    other.join().map_err(|_| "the answering thread panicked".to_owned())??;
    let words = format!("io::shm, {MESSAGE_LEN} B, core {here} to core {there} and back");
    add(run, plan, at, ("shm", &words), &asked?)
}

/// A row of round trips that began at `at`: its subject by key and words.
fn add(
    run: &mut Run,
    plan: &Plan,
    at: Instant,
    (subject, words): (&str, &str),
    trips: &Latencies,
) -> Result<(), String> {
    let counted = plan.turn.saturating_sub(Duration::from_nanos(WARM_UP_NS));
    let row = Row::new("shared memory, round trip", subject, words, Unit::Nanos);
    run.record(row, at, counted, Round::of(trips)?);
    Ok(())
}

/// Round trips, one behind the other, for a turn. `once` makes one that begins at the time that it is told,
/// and returns whether there was an answer: without one there is no more to ask.
fn trips(
    turn: Duration,
    mut once: impl FnMut(&Clock, Nanos) -> Result<bool, String>,
) -> Result<Latencies, String> {
    let clock = Clock::start();
    let mut trips = Latencies::new()?;
    let began = clock.now();
    let until = began + turn.as_nanos() as Nanos;
    let mut sent = began;
    loop {
        if !once(&clock, sent)? {
            return Ok(trips);
        }
        let now = clock.now();
        if now > began + WARM_UP_NS {
            trips.record(now - sent);
        }
        if now >= until && !trips.is_empty() {
            return Ok(trips);
        }
        sent = now;
    }
}

fn ask_by_datagrams(mut shm: Shm, turn: Duration) -> Result<Latencies, String> {
    let bytes = [1; MESSAGE_LEN];
    trips(turn, |clock, sent| {
        shm.send_group(Group::Submit, &[Burst { bytes: &bytes, stride: bytes.len() }]);
        while shm.recv_groups() == 0 {
            if clock.now() > sent + LOST_NS {
                return Err("a datagram in memory was lost".into());
            }
        }
        Ok(true)
    })
}

fn send_back(mut shm: Shm, core: usize, is_over: &AtomicBool) -> Result<(), String> {
    pin(core)?;
    let mut bytes = [0; MESSAGE_LEN];
    while !is_over.load(Ordering::Relaxed) {
        if shm.recv_groups() > 0 {
            bytes.copy_from_slice(shm.group_datagram(0));
            shm.send_group(Group::Data, &[Burst { bytes: &bytes, stride: MESSAGE_LEN }]);
        }
    }
    Ok(())
}

fn word(run: &mut Run, plan: &Plan) -> Result<(), String> {
    let at = Instant::now();
    let table = Arc::new(Table::default());
    let (here, there) = (plan.cores[0], plan.cores[1]);
    let theirs = Arc::clone(&table);
    let other = std::thread::spawn(move || answer(&theirs, there));
    let asked = ask(&table, plan.turn);
    table.there.0.store(END, Ordering::Release);
    other.join().map_err(|_| "the answering thread panicked".to_owned())??;
    let words = format!("core {here} to core {there} and back");
    add(run, plan, at, ("memory", &words), &asked?)
}

fn ask(table: &Table, turn: Duration) -> Result<Latencies, String> {
    let mut number = 0;
    trips(turn, |_, _| {
        number += 1;
        table.there.0.store(number, Ordering::Release);
        loop {
            match table.back.0.load(Ordering::Acquire) {
                END => return Ok(false), // it says itself why
                back if back == number => return Ok(true),
                _ => spin_loop(),
            }
        }
    })
}

fn answer(table: &Table, core: usize) -> Result<(), String> {
    if let Err(why) = pin(core) {
        table.back.0.store(END, Ordering::Release);
        return Err(why);
    }
    let mut last = 0;
    loop {
        match table.there.0.load(Ordering::Acquire) {
            END => return Ok(()),
            number if number == last => spin_loop(),
            number => {
                table.back.0.store(number, Ordering::Release);
                last = number;
            }
        }
    }
}
