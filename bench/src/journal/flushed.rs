//! How long it takes until a frame is written, and until it is on the device. Frames come at intended times,
//! and each one's time runs from its own, however late its turn was.

use super::append::plain_file;
use super::open::{Journal, Takes};
use super::{Arguments, PAYLOAD_LEN, of_frames};
use crate::harness::Run;
use crate::results::{Round, Row, Unit};
use crate::stats::Latencies;
use lockstep_core::proto::log::LogEnd;
use lockstep_instructions::frames::{Frame, Frames};
use lockstep_io::clock::Clock;
use lockstep_process::cpu;
use lockstep_wire::{Nanos, Seq};
use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// A frame that takes longer is lost, and with it the measurement.
const LOST_NS: Nanos = 20_000_000_000;
/// Bytes of the floor's file, which are written before they count and then again and again.
const FILE_LEN: u64 = 16 << 20;

/// The condition waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoredOn {
    Written,
    Flushed,
}

/// Both, of journal and floor.
pub fn turn(run: &mut Run, arguments: &Arguments, cores: &[usize], per_frame: usize) -> Result<(), String> {
    for stored_on in [StoredOn::Written, StoredOn::Flushed] {
        let (what, call, durability) = match stored_on {
            StoredOn::Written => ("written", "write", "process"),
            StoredOn::Flushed => ("flushed", "write, fdatasync", "power"),
        };
        let case = format!("append to {what}, {}, {}/s", of_frames(per_frame), arguments.rate);
        let mut add = |subject: &str, words: &str, floor, at: Instant, paced: Paced| {
            let row = Row::new(&case, subject, words, Unit::Nanos).as_floor(floor);
            let row = row.over([("rate", arguments.rate as f64)]);
            let round = Round {
                target: Some(arguments.rate as f64),
                achieved: Some(paced.achieved),
                ..Round::of(&paced.late)?
            };
            run.record(row, at, at.elapsed(), round);
            Ok::<_, String>(())
        };
        let at = Instant::now();
        add("file", call, true, at, to_file(arguments, per_frame, stored_on)?)?;
        cpu::allow(&cores[1..]);
        let journal = Journal::make(&arguments.folder, stored_on == StoredOn::Flushed, false)?;
        cpu::pin(cores[0]).note.map_or(Ok(()), Err)?;
        let at = Instant::now();
        let words = format!("journal, durability {durability}");
        add("journal", &words, false, at, to_journal(journal, arguments, per_frame, stored_on)?)?;
    }
    Ok(())
}

/// What frames at intended times took.
struct Paced {
    late: Latencies,
    /// Frames per second that were begun.
    achieved: f64,
}

/// The pace of a turn.
struct Pace {
    began: Nanos,
    interval_ns: Nanos,
    total: u64,
    begun: u64,
    last: Nanos,
}

impl Pace {
    fn of(arguments: &Arguments, now: Nanos) -> Self {
        let total = (arguments.rate as f64 * arguments.seconds).max(1.0) as u64;
        Self { began: now, interval_ns: 1_000_000_000 / arguments.rate, total, begun: 0, last: now }
    }

    /// When the next frame is due, if it is now.
    fn due(&mut self, now: Nanos) -> Option<Nanos> {
        let due = self.began + self.begun * self.interval_ns;
        if self.begun == self.total || now < due {
            return None;
        }
        (self.begun, self.last) = (self.begun + 1, now);
        Some(due)
    }

    fn found(&self, late: Latencies) -> Paced {
        let span_ns = (self.last - self.began + self.interval_ns) as f64;
        Paced { late, achieved: self.begun as f64 * 1e9 / span_ns }
    }
}

/// The floor: each frame at once, by the thread that has it.
fn to_file(arguments: &Arguments, per_frame: usize, stored_on: StoredOn) -> Result<Paced, String> {
    let fails = |error: std::io::Error| format!("writing a file in {}: {error}", arguments.folder.display());
    let file = plain_file(&arguments.folder)?;
    file.write_all_at(&vec![1; FILE_LEN as usize], 0).and_then(|()| file.sync_all()).map_err(fails)?;
    let mut frames = Frames::of(LogEnd::BLANK, PAYLOAD_LEN, per_frame);
    let mut waiter = arguments.idle().waiter(&[]).map_err(|error| error.to_string())?;
    let (clock, mut late) = (Clock::start(), Latencies::new()?);
    let mut pace = Pace::of(arguments, clock.now());
    let mut frame = frames.next_frame()?;
    let mut at = 0;
    while late.len() < pace.total {
        let Some(due) = pace.due(clock.now()) else {
            waiter.wait(0);
            continue;
        };
        file.write_all_at(&frame.bytes, at).map_err(fails)?;
        if stored_on == StoredOn::Flushed {
            file.sync_data().map_err(fails)?;
        }
        late.record(clock.now() - due);
        at = (at + frame.bytes.len() as u64) % (FILE_LEN - frame.bytes.len() as u64);
        frame = frames.next_frame()?;
    }
    Ok(pace.found(late))
}

/// The journal: appended at once, and looked at until it is kept.
fn to_journal(
    mut journal: Journal,
    arguments: &Arguments,
    per_frame: usize,
    stored_on: StoredOn,
) -> Result<Paced, String> {
    let mut frames = Frames::of(journal.tail.end(), PAYLOAD_LEN, per_frame);
    let mut waiter = arguments.idle().waiter(&[]).map_err(|error| error.to_string())?;
    let (clock, mut late) = (Clock::start(), Latencies::new()?);
    let mut pace = Pace::of(arguments, clock.now());
    let mut frame: Frame = frames.next_frame()?;
    // The bound of each frame on its way, and when it was due. No longer than the turn has frames.
    let mut under_way: VecDeque<(Seq, Nanos)> = VecDeque::with_capacity(4096);
    while late.len() < pace.total {
        let now = clock.now();
        if let Some(due) = pace.due(now) {
            while !journal.take(&frame) {
                journal.make_room(&frame)?;
            }
            under_way.push_back((frame.header.next_seq(), due));
            frame = frames.next_frame()?;
        }
        let next = match stored_on {
            StoredOn::Written => journal.tail.written_next(),
            StoredOn::Flushed => journal.tail.durable_next(),
        };
        let seen = clock.now();
        let before = late.len();
        while under_way.front().is_some_and(|(bound, _)| *bound <= next)
            && let Some((_, due)) = under_way.pop_front()
        {
            late.record(seen - due);
        }
        if under_way.front().is_some_and(|(_, due)| now > due + LOST_NS) {
            journal.check()?;
            return Err(format!("a frame was not kept within {LOST_NS} ns: the journal is at seq {next}"));
        }
        if late.len() == before {
            waiter.wait(0);
        }
    }
    Ok(pace.found(late))
}
