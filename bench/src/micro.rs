//! # micro: what each operation of the hot path takes, alone
//!
//! ```text
//!   checksum   CRC-32C over a payload            floor: the same bytes, copied
//!   MAC        the tag of a datagram, one key    floor: the same
//!   chain      the digest behind a frame         floor: its header, copied
//!   seal       header and checksum of a frame    floor: the frame, copied
//!   decode     frame, submission, each entry     floor: the datagram, copied
//!   stamp      a leader's turn                   floor: its submissions, copied
//!   accept     a standby's turn, its ack in it   floor: the same
//! ```
//!
//! Everything lies in the cache, as nothing else runs: this is the least that each takes, not its share of a
//! latency. Work that is too short to be timed alone is timed by the batch. A leader's turn is that of a
//! whole replica in a world without a network; `lockstep-instructions` counts its instructions there, which do
//! not drift as times do.

use crate::environment;
use crate::harness::{Run, Shared, per_operation, pin};
use crate::results::{Row, RunResult, Unit};
use crate::stats::Latencies;
use lockstep_instructions::frames::{CLUSTER, entry, sealed};
use lockstep_instructions::world::{Pattern, Watched, World};
use lockstep_io::clock::Clock;
use lockstep_process::cpu;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::hint::black_box;
use std::time::Instant;

/// Operations that are timed together.
const BATCH: u64 = 1_000;
/// Batches, and steps of a world, that do not count.
const WARM_UP: u64 = 20;
/// Bytes over which the checksum is taken: a message of the usual size, and one of a full datagram's.
const CHECKSUMS: [usize; 2] = [64, 1_344];
/// Bytes of datagrams over which a MAC is taken: an ack, a frame of one message, a full datagram.
const MACS: [usize; 3] = [112, 256, 1_424];
/// Messages of frames and submissions.
const PER_DATAGRAM: [usize; 2] = [1, 15];
/// What a leader finds in one turn.
const STAMPED: [Pattern; 3] =
    [Pattern { datagrams: &[1] }, Pattern { datagrams: &[15] }, Pattern { datagrams: &[15; 16] }];

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// Batches of an operation, or turns of a replica, in each of its turns.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    batches: u64,
}

/// An operation, and what its bytes cost when they are only copied; each does a whole batch.
struct Operation {
    case: String,
    words: &'static str,
    batch: Box<dyn FnMut()>,
    floor: Box<dyn FnMut()>,
}

impl Operation {
    fn of(case: String, words: &'static str, copied: Vec<u8>, mut one: impl FnMut() + 'static) -> Self {
        let mut to = vec![0; copied.len()];
        let floor = Box::new(move || {
            for _ in 0..BATCH {
                to.copy_from_slice(black_box(&copied));
                black_box(&mut to);
            }
        });
        let batch = Box::new(move || {
            for _ in 0..BATCH {
                one();
            }
        });
        Self { case, words, batch, floor }
    }
}

/// Measures, and says what each operation is of a copy.
///
/// # Errors
/// A world whose nodes did not meet, or that lost a message.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let core = cpu::cores().first().copied().unwrap_or_default();
    pin(core)?;
    // As a device does: the tags of the portable code take three times as long.
    lockstep_io::choose_instructions();
    let mut run = Run::begin("micro", "operations of the hot path, alone", environment::facts());
    let tsc = quanta::Clock::new().delta_as_nanos(0, 1_000_000_000);
    run.tell(
        "clock",
        format!("CLOCK_MONOTONIC; the counter of the CPU (TSC) has {:.3} ticks a ns", 1e9 / tsc as f64),
    );
    run.tell(
        "cycles",
        "not told: only unsafe code or perf reads them; ns times the clock of the core are near",
    );
    run.tell("warm-up", format!("{WARM_UP} batches of each turn are not counted"));
    run.tell(
        "turns",
        format!("{} rounds of {} batches of {BATCH}", arguments.shared.rounds, arguments.batches),
    );
    run.tell("replica", "each turn timed alone, with a reading of the clock in it, as in its floor");
    run.tell("core", core);
    let mut operations = operations()?;
    let mut worlds = STAMPED.iter().map(|_| World::new()).collect::<Result<Vec<_>, _>>()?;
    run.rounds(arguments.shared.rounds, |run, _| {
        for Operation { case, words, batch, floor } in &mut operations {
            let copy = Row::new(case, "copy", "a copy of the same bytes", Unit::Nanos).as_floor(true);
            time(run, arguments, copy, floor)?;
            time(run, arguments, Row::new(case, "lockstep", words, Unit::Nanos), batch)?;
        }
        STAMPED
            .iter()
            .zip(&mut worlds)
            .try_for_each(|(pattern, world)| replicas(run, arguments, *pattern, world))
    })?;
    for (pattern, world) in STAMPED.iter().zip(&worlds) {
        let steps = (arguments.shared.rounds * (WARM_UP + arguments.batches)) as usize;
        world.check((steps * pattern.messages()) as u64, steps)?;
    }
    run.finish(&arguments.shared.output)
}

fn time(run: &mut Run, arguments: &Arguments, row: Row, batch: &mut dyn FnMut()) -> Result<(), String> {
    let mut batches = Latencies::new()?;
    let clock = Clock::start();
    (0..WARM_UP).for_each(|_| batch());
    let at = Instant::now();
    for _ in 0..arguments.batches {
        let began = clock.now();
        batch();
        batches.record(clock.now() - began);
    }
    run.record(row, at, at.elapsed(), per_operation(&batches, BATCH));
    Ok(())
}

/// Turns of leader and standby, and of copies of what they find.
fn replicas(run: &mut Run, arguments: &Arguments, pattern: Pattern, world: &mut World) -> Result<(), String> {
    let clock = Clock::start();
    let [mut stamped, mut accepted, mut copied] = [Latencies::new()?, Latencies::new()?, Latencies::new()?];
    let submissions =
        pattern.datagrams.iter().map(|&messages| sealed(Kind::Submission, messages).map(|(_, bytes)| bytes));
    let submissions = submissions.collect::<Result<Vec<_>, _>>()?.concat();
    let mut to = vec![0; submissions.len()];
    let at = Instant::now();
    for step in 0..WARM_UP + arguments.batches {
        let counts = step >= WARM_UP;
        let began = clock.now();
        to.copy_from_slice(black_box(&submissions));
        black_box(&mut to);
        if counts {
            copied.record(clock.now() - began);
        }
        world.step_watched(pattern, |role, turn| {
            let began = clock.now();
            turn();
            let took = clock.now() - began;
            match role {
                _ if !counts => {}
                Watched::Leader => stamped.record(took),
                Watched::Standby => accepted.record(took),
            }
        });
    }
    let (submissions, messages) = (pattern.datagrams.len(), pattern.messages());
    let elapsed = at.elapsed();
    for (what, words, times) in
        [("stamp", "a leader's turn", &stamped), ("accept", "a standby's turn and its ack", &accepted)]
    {
        let case = format!("{what}, per message: {submissions} x {}", of_messages(messages / submissions));
        let copy = Row::new(&case, "copy", "a copy of the submissions", Unit::Nanos).as_floor(true);
        run.record(copy, at, elapsed, per_operation(&copied, messages as u64));
        let ours = Row::new(&case, "lockstep", words, Unit::Nanos);
        run.record(ours, at, elapsed, per_operation(times, messages as u64));
    }
    Ok(())
}

fn of_messages(count: usize) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

/// Looks at every entry of a datagram, as who receives it does. Returns how many there were.
#[inline]
fn decode(bytes: &[u8]) -> Result<usize, Reject> {
    let entries = match Datagram::decode(bytes, &Keyring::none(CLUSTER))? {
        Datagram::Frame(frame, _) => frame.entries(),
        Datagram::Submission(_, entries) => entries,
        _ => return Err(Reject::Kind),
    };
    let mut count = 0;
    for entry in entries {
        black_box(entry.payload);
        count += 1;
    }
    Ok(count)
}

fn operations() -> Result<Vec<Operation>, String> {
    let mut operations = Vec::new();
    for len in CHECKSUMS {
        let payload = vec![0x5a; len];
        let checksum = move || {
            black_box(entry_digest(black_box(&entry(1, 1)), black_box(&payload)));
        };
        let case = format!("checksum, {len} B");
        operations.push(Operation::of(case, "CRC-32C", vec![0x5a; len], checksum));
    }
    for len in MACS {
        let (key, datagram) = (mac::MacKey::new(&[7; 16]), vec![0x5a; len]);
        let tag = move || {
            black_box(key.tag(black_box(&datagram), 1, None));
        };
        operations.push(Operation::of(format!("MAC, {len} B"), "AEGIS-128L", vec![0x5a; len], tag));
    }
    let frame = sealed(Kind::Frame, 1)?.1;
    let header = Header::peek(&frame).ok_or("a frame without a header")?;
    let chain = move || {
        black_box(chain_after(black_box(&header)));
    };
    let words = "the digest of a frame and all before it";
    operations.push(Operation::of("chain".into(), words, frame[..HEADER_LEN].to_vec(), chain));
    for messages in PER_DATAGRAM {
        let mut bytes = sealed(Kind::Frame, messages)?.1;
        let header = Header::peek(&bytes).ok_or("a frame without a header")?;
        let case = format!("seal, a frame of {}, {} B", of_messages(messages), bytes.len());
        operations.push(Operation::of(case, "header and checksum", bytes.clone(), move || {
            black_box(seal(black_box(&mut bytes), black_box(header)));
        }));
    }
    for (kind, what) in [(Kind::Frame, "frame"), (Kind::Submission, "submission")] {
        for messages in PER_DATAGRAM {
            let bytes = sealed(kind, messages)?.1;
            match decode(&bytes) {
                Ok(count) if count == messages => {}
                other => return Err(format!("a {what} of {messages} is decoded as {other:?}")),
            }
            let case = format!("decode, a {what} of {}, {} B", of_messages(messages), bytes.len());
            let copied = bytes.clone();
            operations.push(Operation::of(case, "all that is checked, each entry", copied, move || {
                let _ = black_box(decode(black_box(&bytes)));
            }));
        }
    }
    Ok(operations)
}
